"""Which room may import which: the walls of the house."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.places import PROJECT

PACKAGE = PROJECT / "exporters" / "fleetwatch"

ANY = frozenset({"*"})
MAY_IMPORT = {
    "catalogue": frozenset(),
    "records": frozenset(),
    "places": frozenset(),
    "settings": frozenset(),
    "reckon": frozenset({"records"}),
    "dialects": frozenset({"records", "wire", "catalogue"}),
    "receive": frozenset({"dialects", "records", "wire"}),
    "spool": frozenset(),
    "wire": frozenset(),
    "send": frozenset({"wire"}),
    "meter": frozenset({"catalogue", "wire"}),
    "ledger": frozenset({"records", "reckon", "catalogue"}),
    "aws": frozenset({"catalogue"}),
    "collect": frozenset({"records", "reckon", "meter", "catalogue", "aws"}),
    "demo": frozenset({"instrument"}),
    "instrument": frozenset(),
    "stack": frozenset({"settings", "places"}),
    "app": ANY,
    "cli": ANY,
    "__main__": frozenset({"cli"}),
}
"""Room -> rooms that it may import beside itself and the package's version."""

ENTRANCES = {"app": {"cli", "app"}, "cli": {"cli", "__main__"}, "settings": {"settings", "app", "cli", "stack"}}
"""Rooms that only these may import."""


def ours(tree: ast.Module) -> Iterator[str]:
    """Rooms that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == "fleetwatch"
                else [node.module]
            )
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "fleetwatch" and len(parts) > 1 and parts[1] != "__version__":
                yield parts[1]


def breaches(room: str, source: str) -> list[str]:
    """What a module of the room imports and may not."""
    found = []
    for other in sorted(set(ours(ast.parse(source)))):
        allowed = MAY_IMPORT[room]
        entrance = ENTRANCES.get(other)
        if other != room and allowed != ANY and other not in allowed:
            found.append(f"{room} may not import {other}")
        elif entrance is not None and room not in entrance:
            found.append(f"{other} may only be imported by {', '.join(sorted(entrance))}, not by {room}")
    return found


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    assert breaches(room_of(path), path.read_text(encoding="utf-8")) == []


def test_every_room_has_a_rule() -> None:
    assert {room_of(path) for path in modules()} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("reckon", "from fleetwatch.ledger import Ledger"),
        ("records", "import fleetwatch.catalogue.llm"),
        ("ledger", "from fleetwatch.meter import Meter"),
        ("meter", "def late():\n    from fleetwatch import ledger"),
        ("receive", "from fleetwatch.settings import load"),
        ("collect", "from fleetwatch.app import Exporter"),
    ],
)
def test_the_wall_stands(room: str, line: str) -> None:
    """A forbidden import, even a late one, is found."""
    assert breaches(room, line) != []


def test_domains_have_the_same_stem_in_every_room() -> None:
    """A file of rules or alerts, <domain> or <domain>_<topic>, belongs to a domain; a board may show any side of it."""
    domains = {path.stem for path in (PACKAGE / "catalogue").glob("*.py")}
    for folder in ("prometheus/rules", "prometheus/alerts"):
        assert {_domain(path.stem, domains) for path in (PROJECT / folder).glob("*.yml")} <= domains
    tests = {path.name.split(".")[0] for path in (PROJECT / "tests" / "alerts").glob("*.test.yml")}
    assert {_domain(stem, domains) for stem in tests} == {
        _domain(path.stem, domains) for path in (PROJECT / "prometheus/alerts").glob("*.yml")
    }


def _domain(stem: str, domains: set[str]) -> str:
    """The domain that a stem begins with; the stem itself where there is none."""
    return next((name for name in domains if stem == name or stem.startswith(f"{name}_")), stem)


def test_only_the_house_imports_grafanalib() -> None:
    importers = [
        path.relative_to(PROJECT)
        for path in PROJECT.rglob("*.py")
        if ".venv" not in path.parts and "grafanalib" in _foreign(path) and "tests" not in path.parts
    ]
    assert {path.parts[:2] for path in importers} == {("grafana", "house")}


def _foreign(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names
