"""The knobs as a list, for the page of settings, and as a JSON schema, for editors."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from msgspec import NODEFAULT, Meta, structs

from fleetwatch.settings.kinds import unfold
from fleetwatch.settings.model import Settings
from fleetwatch.settings.section import Section

_TYPES: dict[Any, dict[str, object]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Path: {"type": "string", "format": "path"},
    Decimal: {"type": ["number", "string"]},
    datetime.date: {"type": "string", "format": "date"},
}
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "le": "maximum"}


class Knob(NamedTuple):
    name: str
    """As in `web.listen`, `budgets[].name` and `collect.NAME.interval`."""
    default: str
    """As JSON; empty where there is none or it depends on the machine."""
    why: str


def knobs(section: type[Section] = Settings, prefix: str = "") -> Iterator[Knob]:
    """Every knob, in the order of the model."""
    for field in structs.fields(section):
        kind, notes, _ = unfold(field.type)
        inner = kind if get_origin(kind) is None else get_args(kind)[-1]
        if isinstance(inner, type) and issubclass(inner, Section):
            many = {list: "[]", dict: ".NAME"}.get(get_origin(kind), "")
            yield from knobs(inner, f"{prefix}{field.name}{many}.")
        else:
            shown = json.dumps(_default(field), default=str) if _has_default(field) else ""
            yield Knob(f"{prefix}{field.name}", shown, _why(notes))


def schema() -> dict[str, object]:
    """JSON schema of fleetwatch.yml."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "fleetwatch", **_section(Settings)}


def _section(section: type[Section]) -> dict[str, object]:
    fields = structs.fields(section)
    found: dict[str, object] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {field.name: _field(field) for field in fields},
    }
    required = [field.name for field in fields if field.required]
    return found | ({"required": required} if required else {})


def _field(field: structs.FieldInfo) -> dict[str, object]:
    kind, notes, _ = unfold(field.type)
    found = _value(field.type)
    if _why(notes):
        found["description"] = _why(notes)
    if get_origin(kind) is None and issubclass(kind, Section):
        return found
    return found | ({"default": _jsonable(_default(field))} if _has_default(field) else {})


def _value(hint: Any) -> dict[str, object]:
    kind, notes, optional = unfold(hint)
    origin = get_origin(kind)
    if origin is list:
        found: dict[str, Any] = {"type": "array", "items": _value(get_args(kind)[0])}
    elif origin is dict:
        found = {"type": "object", "additionalProperties": _value(get_args(kind)[1])}
    elif origin is Literal:
        found = {"enum": list(get_args(kind))}
    elif issubclass(kind, Section):
        found = _section(kind)
    else:
        found = dict(_TYPES[kind])
    for note in notes:
        found |= note.extra_json_schema or {}
        found |= {word: bound for name, word in _BOUNDS.items() if (bound := getattr(note, name)) is not None}
    # A section, list or map whose every line is commented out is null in YAML.
    if optional or found.get("type") in ("object", "array"):
        types = found["type"] if isinstance(found["type"], list) else [found["type"]]
        found["type"] = [*types, "null"]
    return found


def _why(notes: tuple[Meta, ...]) -> str:
    return next((note.description for note in notes if note.description), "")


def _has_default(field: structs.FieldInfo) -> bool:
    return field.default is not NODEFAULT or field.default_factory in (list, dict)


def _default(field: structs.FieldInfo) -> Any:
    return field.default if field.default is not NODEFAULT else field.default_factory()


def _jsonable(value: object) -> object:
    return str(value) if isinstance(value, Path | Decimal) else value
