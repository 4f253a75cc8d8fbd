"""Every knob, once, with the reason to turn it.

One optional `fleetwatch.yml`; environment variables `FLEETWATCH_SECTION__KEY` win over it; secrets are files.
A wrong key, type or unit raises SettingsError: a line per mistake with file, line and what was expected.
What a setting may be stands in model.py. A program without a file never loads YAML.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetwatch.settings.build import Mistake, Place, build, one_line
from fleetwatch.settings.environment import overlay, variable_of
from fleetwatch.settings.errors import SettingsError
from fleetwatch.settings.model import Settings

__all__ = ["CONFIG_NAME", "Settings", "SettingsError", "from_dict", "load"]

CONFIG_NAME = "fleetwatch.yml"


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from `path` (default: FLEETWATCH_CONFIG, else fleetwatch.yml here if it exists) and the environment."""
    named = path or (Path(environ["FLEETWATCH_CONFIG"]) if environ.get("FLEETWATCH_CONFIG") else None)
    file = named or Path(CONFIG_NAME)
    data: dict[str, Any] = {}
    lines: dict[Place, int] = {}
    if named is not None or file.exists():
        from fleetwatch.settings import read  # noqa: PLC0415 - YAML is loaded only where there is some

        data, lines = read.file(file)
    places = overlay(data, environ)
    settings, mistakes = build(data)
    if settings is None:
        raise SettingsError(
            "\n".join(
                f"{variable_of(places, item.place) or f'{file}{_line(lines, item.place)}'}: {_told(item)}"
                for item in mistakes
            )
        )
    settings.ledger_path  # noqa: B018 - raises for a bad URL at start and not at first use
    return settings


def from_dict(data: Mapping[str, Any]) -> Settings:
    """Settings of a program's own sections. Raises SettingsError."""
    settings, mistakes = build(data)
    if settings is None:
        raise SettingsError("\n".join(map(_told, mistakes)))
    return settings


def _line(lines: Mapping[Place, int], place: Place) -> str:
    """`:12` for the line of a place, or of the nearest section around it; empty when there is none."""
    while place and place not in lines:
        place = place[:-1]
    return f":{lines[place]}" if place else ""


def _told(mistake: Mistake) -> str:
    name = "".join(
        f"[{part}]" if isinstance(part, int) else f".{one_line(part)[:100]}" for part in mistake.place
    ).lstrip(".")
    return f"{name}: {mistake.told}"
