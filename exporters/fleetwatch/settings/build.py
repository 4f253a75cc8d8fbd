"""Data of a file, an environment or a program -> settings, or every mistake in it at once.

Walks what was given and not what could be given, so that a short file is read in a moment.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin

from msgspec import structs

from fleetwatch.settings.kinds import check_bounds, reader, unfold
from fleetwatch.settings.model import Settings
from fleetwatch.settings.section import Section

Place = tuple[Hashable, ...]
"""Keys and list positions from the root to a value."""
S = TypeVar("S", bound=Section)


class Mistake(NamedTuple):
    place: Place
    told: str
    """What was expected and what came."""


class _Walk:
    """One reading: what is wrong is noted and the walk goes on."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def wrong(self, place: Place, expected: object, value: object) -> None:
        self.mistakes.append(Mistake(place, f"{expected}, got {shown(value)}"))

    def section(self, kind: type[S], data: object, place: Place) -> S | None:
        """None when something in it is wrong. A section whose every line is commented out is None in YAML."""
        if not isinstance(data, (Mapping, type(None))):
            self.wrong(place, "expected a map of settings", data)
            return None
        known, values, before = _fields(kind), {}, len(self.mistakes)
        for key, value in (data or {}).items():
            if key in known:
                values[key] = self.value(known[key].type, value, (*place, key))
            elif not isinstance(key, str):
                self.wrong((*place, key), "expected a name as key", key)
            else:
                self.mistakes.append(Mistake((*place, key), f"unknown key; expected one of {', '.join(sorted(known))}"))
        self.mistakes += [
            Mistake((*place, name), "expected a value, got none")
            for name, field in known.items()
            if field.required and name not in values
        ]
        return kind(**values) if len(self.mistakes) == before else None

    def value(self, hint: Any, value: object, place: Place) -> Any:
        """A setting's value in its type; None when it is wrong."""
        kind, notes, optional = unfold(hint)
        if optional and value is None:
            return None
        origin = get_origin(kind)
        if origin is not None:
            several = {list: self._list, dict: self._map, Literal: self._one_of}[origin]
            return several(get_args(kind), value, place)
        if issubclass(kind, Section):
            return self.section(kind, value, place)
        try:
            found = reader(kind, notes)(value)
            check_bounds(found, notes)
        except ValueError as error:
            self.wrong(place, error, value)
            return None
        return found

    def _list(self, of: tuple[Any, ...], value: object, place: Place) -> list[Any] | None:
        """Empty when every line of it is commented out; a map likewise."""
        if not isinstance(value, (list, tuple, type(None))):
            self.wrong(place, "expected a valid list", value)
            return None
        return [self.value(of[0], item, (*place, number)) for number, item in enumerate(value or ())]

    def _map(self, of: tuple[Any, ...], value: object, place: Place) -> dict[str, Any] | None:
        if not isinstance(value, (Mapping, type(None))):
            self.wrong(place, "expected a map", value)
            return None
        for key in value or ():
            if not isinstance(key, str):
                self.wrong((*place, key), "expected a name as key", key)
        return {key: self.value(of[1], item, (*place, key)) for key, item in (value or {}).items()}

    def _one_of(self, words: tuple[Any, ...], value: object, place: Place) -> str | None:
        if value in words:
            return str(value)
        *most, last = (f"'{word}'" for word in words)
        self.wrong(place, f"expected {', '.join(most)} or {last}", value)
        return None


@cache
def _fields(kind: type[Section]) -> dict[str, structs.FieldInfo]:
    return {field.name: field for field in structs.fields(kind)}


def build(data: Mapping[str, Any]) -> tuple[Settings | None, list[Mistake]]:
    """The settings, or None and what is wrong."""
    walk = _Walk()
    settings = walk.section(Settings, data, ())
    names = [budget.name for budget in settings.budgets] if settings else []
    for number, name in enumerate(names):
        if name in names[:number]:
            walk.mistakes.append(
                Mistake(("budgets", number, "name"), f'expected a name of its own, got "{name}" again')
            )
    return (None if walk.mistakes else settings), walk.mistakes


def shown(value: object) -> str:
    """A wrong value on one line, however long it is."""
    if isinstance(value, (Mapping, list, tuple)):
        return "a map" if isinstance(value, Mapping) else "a list"
    if value is None:
        return "none"
    line = one_line(value if not isinstance(value, bool) else str(value).lower())
    return f'"{line[:100]}…"' if len(line) > 100 else f'"{line}"'


def one_line(value: object) -> str:
    return " ".join(str(value).split())
