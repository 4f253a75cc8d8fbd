"""Storage and waste as samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from fleetwatch.catalogue import storage
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.collect.storage._clock import Where
from fleetwatch.reckon.storage_waste import Sum, add_up, dearest, nano, wasted
from fleetwatch.records.storage import Estimate, Item

TOP = 20
"""Resources that are shown by name, of each source."""


class Aged(NamedTuple):
    """Something unused. since: Unix time; seconds: its age, at least 0."""

    where: Where
    item: Item
    since: float
    seconds: float
    waste: bool


def aged(where: Where, items: Iterable[Item], since: Mapping[str, float], grace: float, now: float) -> Iterator[Aged]:
    """Those whose time is known, and whether they have been unused for longer than the grace."""
    for item in items:
        first = since.get(item.id)
        if first is not None:
            seconds = max(0.0, now - first)
            yield Aged(where, item, first, seconds, seconds >= grace)


def read(where: Where, part: str, at: float) -> Sample:
    return storage.READ(at, account=where.account, region=where.region, part=part)


def watched(where: Where, part: str, since: float) -> Sample:
    return storage.WATCHED(since, account=where.account, region=where.region, part=part)


def stored(where: Where, items: Iterable[Item]) -> Iterator[Sample]:
    place = where._asdict()
    by_type: defaultdict[tuple[str, str], Sum] = defaultdict(Sum)
    for (kind, type_, estimate), found in sorted(add_up(items).items()):
        if found.priced:
            yield storage.COST(nano(found.cost) / NANO, **place, kind=kind, type=type_, estimate=estimate)
        whole = by_type[kind, type_]
        whole.size += found.size
        whole.resources += found.resources
        whole.unpriced += found.unpriced
    for (kind, type_), found in by_type.items():
        labels = {**place, "kind": kind, "type": type_}
        yield storage.BYTES(found.size, **labels)
        yield storage.RESOURCES(found.resources, **labels)
        if found.unpriced:
            yield storage.UNPRICED(found.unpriced, **labels)


def unused(where: Where, found: Iterable[Aged]) -> Iterator[Sample]:
    """Waste, and what will be waste."""
    waste: list[Aged] = []
    pending: list[Item] = []
    for item in found:
        if item.waste:
            waste.append(item)
        else:
            pending.append(item.item)
    yield from _waste(where, waste)
    yield from _pending(where, pending)


def top(found: Iterable[Aged]) -> Iterator[Sample]:
    """The dearest of all places."""
    by_id = {item.item.id: item for item in found}
    for item in dearest((item.item for item in by_id.values()), TOP):
        place = by_id[item.id]
        labels = {
            **place.where._asdict(),
            "kind": item.kind,
            "type": item.type,
            "reason": item.reason or "",
            "estimate": item.estimate,
            "resource": item.id,
        }
        yield storage.TOP_COST(nano(item.cost or 0) / NANO, **labels)
        yield storage.TOP_BYTES(item.size, **labels)
        yield storage.TOP_SINCE(place.since, **labels)


def _waste(where: Where, found: Sequence[Aged]) -> Iterator[Sample]:
    place = where._asdict()
    unpriced: defaultdict[tuple[str, str], int] = defaultdict(int)
    for (kind, type_, estimate), whole in sorted(add_up(item.item for item in found).items()):
        labels = {**place, "kind": kind, "type": type_, "estimate": estimate}
        if whole.priced:
            yield storage.WASTE(nano(whole.cost) / NANO, **labels)
        yield storage.WASTE_BYTES(whole.size, **labels)
        yield storage.WASTE_RESOURCES(whole.resources, **labels)
        unpriced[kind, type_] += whole.unpriced
    for (kind, type_), number in unpriced.items():
        if number:
            yield storage.WASTE_UNPRICED(number, **place, kind=kind, type=type_)
    lost: defaultdict[tuple[str, Estimate], int] = defaultdict(int)
    oldest: defaultdict[str, float] = defaultdict(float)
    for item in found:
        oldest[item.item.kind] = max(oldest[item.item.kind], item.seconds)
        if item.item.cost is not None:
            lost[item.item.kind, item.item.estimate] += wasted(item.item.cost, item.seconds)
    for (kind, estimate), usd in sorted(lost.items()):
        yield storage.WASTED(usd / NANO, **place, kind=kind, estimate=estimate)
    for kind, seconds in sorted(oldest.items()):
        yield storage.OLDEST(seconds, **place, kind=kind)


def _pending(where: Where, items: Sequence[Item]) -> Iterator[Sample]:
    place = where._asdict()
    costs: defaultdict[tuple[str, Estimate], int] = defaultdict(int)
    number: defaultdict[str, int] = defaultdict(int)
    for item in items:
        number[item.kind] += 1
        if item.cost is not None:
            costs[item.kind, item.estimate] += item.cost
    for (kind, estimate), cost in sorted(costs.items()):
        yield storage.PENDING(nano(cost) / NANO, **place, kind=kind, estimate=estimate)
    for kind, count in sorted(number.items()):
        yield storage.PENDING_RESOURCES(count, **place, kind=kind)
