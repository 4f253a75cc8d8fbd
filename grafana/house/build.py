"""From `boards/<stem>.dashboard.py` to `generated/<stem>.json`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from grafana.house.board import Board

SUFFIX = ".dashboard.py"


def load(path: Path) -> Board:
    """The board that a file defines as `dashboard`. Raises TypeError without one, ValueError for another stem."""
    stem = path.name.removesuffix(SUFFIX)
    spec = importlib.util.spec_from_file_location(f"grafana.boards.{stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: expected a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, "dashboard", None)
    if not isinstance(found, Board):
        raise TypeError(f"{path}: expected `dashboard = board(...)`")
    if found.stem != stem:
        raise ValueError(f'{path}: expected board "{stem}", got "{found.stem}"')
    return found


def boards(folder: Path) -> Iterator[Board]:
    """The boards of `folder`/boards, by stem."""
    for path in sorted((folder / "boards").glob(f"*{SUFFIX}")):
        yield load(path)


def stale(folder: Path) -> dict[Path, str | None]:
    """Generated files that differ from their boards -> what they should say; None where the board is gone."""
    wanted: dict[Path, str | None] = {
        folder / "generated" / f"{board.stem}.json": board.text() for board in boards(folder)
    }
    for path in (folder / "generated").glob("*.json"):
        wanted.setdefault(path, None)
    return {path: text for path, text in sorted(wanted.items()) if _content(path) != text}


def write(folder: Path) -> list[Path]:
    """Bring the generated files up to date. Returns those that changed."""
    changed = stale(folder)
    for path, text in changed.items():
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return list(changed)


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
