"""How many spans, data points or log records a request has, without decoding it: the spool's account.

A request of any signal is `repeated resource group = 1`, that is `repeated scope group = 2`, that is `repeated
item = 2`. Items of metrics are metrics; their points are one message deeper. What is inside an item is not looked
at: whether it makes sense is for the sink to say.
"""

from __future__ import annotations

from typing import Any

from fleetwatch.receive.door import SignalName
from fleetwatch.receive.errors import BadRequest, TooLarge
from fleetwatch.receive.split import Budget
from fleetwatch.receive.unpack import json_object
from fleetwatch.receive.walk import bad, fields

_GROUPS, _SCOPES, _ITEMS, _POINTS = 0x0A, 0x12, 0x12, 0x0A  # tags: fields 1, 2, 2 and 1, each with a length
# Gauge, sum, histogram, exponential histogram and summary: fields 5, 7, 9, 10 and 11 of a metric.
_DATA = frozenset({0x2A, 0x3A, 0x4A, 0x52, 0x5A})

_JSON: dict[SignalName, tuple[str, str, str]] = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}
_JSON_DATA = ("gauge", "sum", "histogram", "exponentialHistogram", "exponential_histogram", "summary")


def count_protobuf(signal: SignalName, body: bytes) -> int:
    """Items of a serialized request. Raises BadRequest when it is none, TooLarge past the bound of items."""
    budget = Budget()
    points = 0
    items = 0
    for tag, _, start, end in fields(body, 0, len(body)):
        _check(tag, _GROUPS)
        if tag != _GROUPS:
            continue
        budget.count()
        for scope_tag, _, scope_start, scope_end in fields(body, start, end):
            _check(scope_tag, _SCOPES)
            if scope_tag != _SCOPES:
                continue
            budget.count()
            for item_tag, _, item_start, item_end in fields(body, scope_start, scope_end):
                _check(item_tag, _ITEMS)
                if item_tag != _ITEMS:
                    continue
                budget.count()
                items += 1
                if signal == "metrics":
                    points += _points(body, item_start, item_end, budget)
    return points if signal == "metrics" else items


def _check(tag: int, wanted: int) -> None:
    """A field that we read, as another wire type than it has."""
    if tag >> 3 == wanted >> 3 and tag != wanted:
        raise bad()


def _points(body: bytes, start: int, end: int, budget: Budget) -> int:
    found = 0
    for tag, _, data_start, data_end in fields(body, start, end):
        if tag in _DATA:
            for point_tag, _, _, _ in fields(body, data_start, data_end):
                if point_tag == _POINTS:
                    budget.count()
                    found += 1
    return found


def count_json(signal: SignalName, body: bytes) -> int:
    """Items of a request in OTLP's JSON. Raises BadRequest when it is none, TooLarge past the bounds."""
    groups, scopes, items = _JSON[signal]
    try:
        found = [
            item
            for group in _list(json_object(body), groups)
            for scope in _list(group, scopes)
            for item in _list(scope, items)
        ]
        if signal != "metrics":
            return len(found)
        return sum(len(_list(item[kind], "dataPoints")) for item in found for kind in _JSON_DATA if item.get(kind))
    except TooLarge:
        raise
    # Hostile JSON fails in many ways; each of them says the same of the body.
    except Exception:
        raise BadRequest("the body is not a JSON message of this signal") from None


def _list(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A field that holds messages. Its name may also be written as in the protobuf file: scope_spans."""
    found = value.get(name)
    if found is None:
        found = value.get("".join(f"_{char.lower()}" if char.isupper() else char for char in name))
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise TypeError(f"expected a list of objects in {name}")
    return found
