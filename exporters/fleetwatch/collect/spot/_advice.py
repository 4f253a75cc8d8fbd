"""The data of AWS' Spot Advisor: what of it is read, and what must be as it is for that.

    {"ranges": [{"index": 0, "label": "<5%", "max": 5}, …],
     "spot_advisor": {"us-east-1": {"Linux": {"m7g.large": {"s": 61, "r": 1}, …}, "Windows": …}, …}}

s: savings in percent, below 0 where spot is dearer; r: index of a range of interruptions a month. AWS documents
neither, so all is looked at before any of it is believed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from fleetwatch.catalogue.spot import OS
from fleetwatch.records.spot import Advice

RANGES = (5, 11, 16, 22, 100)
"""Ends of the ranges in percent, as the reckoning of risks takes them."""
LEAST = -1000
"""Percent. Some types are dearer as spot than on demand; ten times as dear is no saving but another unit."""


def read(body: bytes, at: int) -> dict[tuple[str, str, str], Advice]:
    """(region, type, operating system) -> advice. at: Unix nanoseconds. Raises ValueError, naming the field."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"expected JSON, got {len(body)} bytes that are none") from None
    _check_ranges(_field(found, "ranges", list, ""))
    advice: dict[tuple[str, str, str], Advice] = {}
    regions = _field(found, "spot_advisor", dict, "")
    for region, systems in regions.items():
        for system in OS.one_of:
            types = _field(systems, system, dict, f"spot_advisor.{region}.")
            for kind, told in types.items():
                advice[region, kind, system] = _advice(told, at) or _wrong(told, (region, system, kind))
    if not advice:
        raise ValueError("spot_advisor: expected regions with types, got none")
    return advice


def _advice(told: Any, at: int) -> Advice | None:
    """None for what is none. In the usual case nothing is put into words: there are 25,000 of them."""
    if type(told) is not dict:
        return None
    bucket, savings = told.get("r"), told.get("s")
    if type(bucket) is not int or type(savings) is not int:
        return None
    if not (0 <= bucket < len(RANGES) and LEAST <= savings <= 100):
        return None
    return Advice(bucket, savings / 100, at)


def _wrong(told: Any, path: tuple[str, str, str]) -> NoReturn:
    where = ".".join(("spot_advisor", *path))
    bucket = _field(told, "r", int, f"{where}.")
    if not 0 <= bucket < len(RANGES):
        raise ValueError(f"{where}.r: expected 0 to {len(RANGES) - 1}, got {bucket}")
    savings = _field(told, "s", int, f"{where}.")
    raise ValueError(f"{where}.s: expected percent, {LEAST} to 100, got {savings}")


def _check_ranges(ranges: list[Any]) -> None:
    ends = tuple(_ends(ranges))
    if ends != RANGES:
        raise ValueError(f"ranges: expected them to end at {RANGES} percent, got {ends!r:.80}")


def _ends(ranges: list[Any]) -> Iterator[int]:
    for place, item in enumerate(ranges):
        if _field(item, "index", int, f"ranges[{place}].") != place:
            raise ValueError(f"ranges[{place}].index: expected {place}, got {item['index']}")
        yield _field(item, "max", int, f"ranges[{place}].")


_KINDS = {dict: "an object", list: "a list", int: "a whole number"}


def _field(holder: Any, name: str, kind: type, where: str) -> Any:
    """Raises ValueError."""
    found = holder.get(name) if isinstance(holder, dict) else None
    if type(found) is not kind:
        raise ValueError(f"{where}{name}: expected {_KINDS[kind]}, got {found!r:.40}")
    return found
