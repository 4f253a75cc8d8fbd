"""Which of CloudWatch's series count: the same calls are published several times, by ever finer dimensions.

Of one metric, series with the same labels of ours must not overlap, and a total must not be added to its parts:

- of several sets of dimensions that give the same labels, the smallest is read (`ModelId`, not `ModelId` with a tier),
- what names no resource is left out where the same operation has resources, what names no operation where the same
  resource has operations,
- a series with a dimension that the table does not know is left out.

Calls, failures and throttles of the same thing are read together, listed or not: the first failure in hours is listed
half an hour late, and until then its call would pass for a good one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fleetwatch.collect.ai_services._table import Column, Namespace

MOST_SERIES = 2000
"""Of one service, account and region; each costs money at every look."""

ALL = "all"
"""The resource of figures that name none."""

LONGEST = 200
"""Characters of a label's value."""

Group = tuple[tuple[str, ...], tuple[str, ...]]
"""Values of the dimensions that are the resource, and of those that are the operation."""


class Found(NamedTuple):
    """A series that CloudWatch lists. dimensions: (name, value), sorted."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """A series that is read. model: the resource as AWS names it, for the price table."""

    column: Column
    found: Found
    resource: str
    operation: str
    model: str


def chosen(namespace: Namespace, found: Iterable[Found]) -> list[Series]:
    """The series that count, sorted, MOST_SERIES at most."""
    by_metric: dict[str, dict[tuple[tuple[str, str], ...], Found]] = {}
    known = {*namespace.resource, *namespace.operation, *namespace.besides}
    # What stands in two namespaces is read in the first.
    listed = [item for item in set(found) if item.namespace in namespace.names]
    for item in sorted(listed, key=lambda item: (namespace.names.index(item.namespace), item)):
        names = [name for name, _ in item.dimensions]
        if known.issuperset(names) and len(set(names)) == len(names):
            by_metric.setdefault(item.metric, {}).setdefault(item.dimensions, item)
    picked: list[Series] = []
    for column in namespace.columns:
        spellings = (by_metric.get(name) for name in column.names)
        of_metric = next(filter(None, spellings), {})
        picked += (_series(namespace, column, item) for item in _without_overlap(namespace, of_metric.values()))
    picked += _siblings(namespace, picked)
    # Past the bound whole resources are left out, and not the failures of all.
    return sorted(picked, key=lambda series: (series.found.dimensions, series.found.metric))[:MOST_SERIES]


def _siblings(namespace: Namespace, picked: Iterable[Series]) -> list[Series]:
    """What tells how calls ended, and is not listed beside what is."""
    columns = [column for column in namespace.columns if column.kind == "requests"]
    listed = [series for series in picked if series.column in columns]
    have = {(series.column, _group(namespace, series.found)) for series in listed}
    added: dict[tuple[Column, Found], Series] = {}
    for series in listed:
        for column in columns:
            if (column, _group(namespace, series.found)) not in have:
                found = series.found._replace(metric=column.names[0])
                added[column, found] = _series(namespace, column, found)
    return list(added.values())


def _without_overlap(namespace: Namespace, found: Iterable[Found]) -> list[Found]:
    groups: dict[Group, list[Found]] = {}
    for item in found:
        groups.setdefault(_group(namespace, item), []).append(item)
    totals = _totals(groups)
    kept: list[Found] = []
    for group, members in groups.items():
        if group not in totals:
            sets = {tuple(name for name, _ in item.dimensions) for item in members}
            smallest = min(sets, key=lambda names: (len(names), names))
            kept += (item for item in members if tuple(name for name, _ in item.dimensions) == smallest)
    return kept


def _totals(groups: Iterable[Group]) -> set[Group]:
    """Groups whose calls are those of other groups."""
    every = list(groups)
    with_resource = [operation for resource, operation in every if resource]
    totals = set()
    for resource, operation in every:
        if not resource and any(_same_start(operation, other) for other in with_resource):
            totals.add((resource, operation))
        finer = (other for owner, other in every if owner == resource and len(other) > len(operation))
        if any(other[: len(operation)] == operation for other in finer):
            totals.add((resource, operation))
    return totals


def _same_start(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def _group(namespace: Namespace, found: Found) -> Group:
    values = dict(found.dimensions)
    return _values(namespace.resource, values), _values(namespace.operation, values)


def _values(names: Iterable[str], values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(values[name] for name in names if name in values)


def _series(namespace: Namespace, column: Column, found: Found) -> Series:
    resource, operation = _group(namespace, found)
    return Series(column, found, shown(resource) or ALL, shown(operation), resource[0] if resource else "")


def shown(values: Iterable[str]) -> str:
    """A label's value. Of an ARN what follows region and account: those are labels of their own."""
    text = " ".join(re.sub(r"^arn:([^:]*:){4}(?=.)", "", value, flags=re.DOTALL) for value in values)
    text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
