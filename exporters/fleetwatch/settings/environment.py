"""FLEETWATCH_SECTION__KEY: variables that win over the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fleetwatch.settings.build import Place
from fleetwatch.settings.errors import SettingsError

PREFIX = "FLEETWATCH_"
# Variables that scripts, tests, Collector, Grafana and instrumented programs read; they are no settings.
NOT_SETTINGS = re.compile(
    r"FLEETWATCH_(BOARDS|COLLECTOR_\w+|CONFIG|JOIN|LOCK|PICTURES|PROMETHEUS_URL|PYTHON|TOOLS|VENV)"
)


def overlay(data: dict[str, Any], environ: Mapping[str, str]) -> dict[Place, str]:
    """Put FLEETWATCH_A__B into data["a"]["b"]; lists and maps are given as YAML. Returns place -> variable."""
    places: dict[Place, str] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or NOT_SETTINGS.fullmatch(name):
            continue
        place = tuple(name.removeprefix(PREFIX).lower().split("__"))
        inner = data
        for part in place[:-1]:
            if inner.get(part) is None:
                inner[part] = {}
            below = inner[part]
            if not isinstance(below, dict):
                raise SettingsError(f"{name}: {part} is not a section")
            inner = below
        inner[place[-1]] = _value(name, text)
        places[place] = name
    return places


def _value(name: str, text: str) -> object:
    if text[:1] not in ("[", "{"):
        return text
    from fleetwatch.settings import read  # noqa: PLC0415 - YAML is loaded only where there is some

    try:
        return read.inline(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def variable_of(places: Mapping[Place, str], place: Place) -> str | None:
    """The variable that gave the value at a place or around it."""
    while place:
        if place in places:
            return places[place]
        place = place[:-1]
    return None
