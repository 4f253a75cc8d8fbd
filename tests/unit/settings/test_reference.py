"""The page of settings and the schema say what the program really takes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fleetwatch.settings import Settings, SettingsError, from_dict
from fleetwatch.settings.reference import knobs, schema

WRONG = {"string": 5, "integer": "x", "number": "x", "boolean": "maybe", "array": 5, "object": 5}


def at(name: str, value: object) -> dict[str, Any]:
    """`value` in the sections of a knob's name."""
    *sections, leaf = name.split(".")
    found: dict[str, Any] = {leaf: value}
    for section in reversed(sections):
        found = {section.removesuffix("[]"): [found] if section.endswith("[]") else found}
    return found


def leaves(part: dict[str, Any], name: str = "") -> dict[str, dict[str, Any]]:
    """Name of a knob -> its piece of the schema."""
    kind = part.get("type", [])
    if "properties" in part:
        inner = part["properties"].items()
        return {key: leaf for item, below in inner for key, leaf in leaves(below, f"{name}.{item}").items()}
    if "array" in kind and "properties" in part["items"]:
        return leaves(part["items"], f"{name}[]")
    if "object" in kind and "properties" in part["additionalProperties"]:
        return leaves(part["additionalProperties"], f"{name}.NAME")
    return {name.removeprefix("."): part}


LEAVES = leaves(schema())


def told(name: str, value: object) -> str:
    """What is said about the knob itself when it is given a value."""
    try:
        from_dict(at(name, value))
    except SettingsError as error:
        place = re.escape(name.replace("[]", "[0]"))
        return "".join(re.findall(rf"(?m)^{place}: (.*)$", str(error)))
    return ""


def test_page_and_schema_name_the_same_knobs_each_with_its_reason() -> None:
    listed = list(knobs())
    assert [knob.name for knob in listed] == list(LEAVES)
    assert [knob.name for knob in listed if not knob.why] == []


@pytest.mark.parametrize("knob", [knob for knob in knobs() if knob.default], ids=lambda knob: knob.name)
def test_a_default_may_be_written_down(knob: Any) -> None:
    assert told(knob.name, json.loads(knob.default)) == ""
    if not set(knob.name) & set("[N"):
        assert from_dict(at(knob.name, json.loads(knob.default))) == Settings()


@pytest.mark.parametrize("name", LEAVES)
def test_what_the_schema_forbids_is_refused(name: str) -> None:
    part = LEAVES[name]
    types = [part["type"]] if isinstance(part.get("type"), str) else part.get("type", ["string"])
    assert told(name, WRONG[types[0]]) != ""
    assert (told(name, None) == "") is ("null" in types)
    assert [word for word in part.get("enum", ()) if told(name, word)] == []
    if "enum" in part:
        assert told(name, "another") != ""


BOUNDED = {name: part for name, part in LEAVES.items() if set(part) & {"minimum", "maximum", "exclusiveMinimum"}}


@pytest.mark.parametrize("name", BOUNDED)
def test_the_schema_s_bounds_are_those_of_the_program(name: str) -> None:
    part = BOUNDED[name]
    assert [told(name, part[end]) for end in ("minimum", "maximum") if end in part and told(name, part[end])] == []
    past = {"minimum": -1, "maximum": 1, "exclusiveMinimum": 0}
    assert [end for end, step in past.items() if end in part and told(name, part[end] + step) == ""] == []
