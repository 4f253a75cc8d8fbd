"""Events as counters: each occurrence once, whatever is listed anew.

The API keeps an event for an hour and counts up in it what happens again. Kept here is the count of each event that
the API still has; what it says more than that is new. What was there before the first look is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from fleetwatch.catalogue import kubernetes
from fleetwatch.catalogue.metric import OTHER, Label
from fleetwatch.collect.kubernetes._objects import Meta

MOST = 100_000
"""Events whose counts are kept, and that are read of a list: some 25 MB. A cluster has a few thousand an hour."""


class _Object(msgspec.Struct):
    kind: str = ""
    namespace: str = ""


class _Series(msgspec.Struct):
    count: int = 0


class RawEvent(msgspec.Struct, rename="camel"):
    metadata: Meta
    involved_object: _Object = msgspec.field(default_factory=_Object)
    reason: str = ""
    type: str = ""
    count: int | None = None
    series: _Series | None = None


class Fact(NamedTuple):
    """An event: how often it happened so far, and what. labels: kind, reason, type, namespace."""

    uid: str
    times: int
    labels: tuple[str, str, str, str]


def fact(raw: RawEvent, namespaces: Collection[str]) -> Fact:
    """What is kept of an event: only words that are on a list."""
    series = raw.series.count if raw.series is not None else 0
    space = raw.involved_object.namespace
    labels = (
        _listed(kubernetes.KIND, raw.involved_object.kind),
        _listed(kubernetes.EVENT_REASON, raw.reason),
        _listed(kubernetes.EVENT_TYPE, raw.type),
        # Of what belongs to no namespace: empty.
        space if not space or space in namespaces else OTHER,
    )
    return Fact(raw.metadata.uid, max(raw.count or 0, series, 1), labels)


def _listed(label: Label, value: str) -> str:
    return value if value in label.one_of else OTHER


class Tally:
    """Occurrences by labels. For one thread.

    Past MOST the oldest are forgotten; from then on an event that is not known counts once, however often it happened:
    it may be one that was forgotten.
    """

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str, str]] = Counter()
        self._seen: dict[str, int] | None = None
        self._forgot = False

    def __len__(self) -> int:
        return len(self._seen or ())

    def replace(self, events: Iterable[Fact]) -> None:
        """All events that the API has."""
        first = self._seen is None
        before = self._seen or {}
        self._seen = {}
        for event in events:
            if not first:
                self._add(event, before.get(event.uid))
            self._seen[event.uid] = event.times
        self._forgot |= len(self._seen) >= MOST

    def put(self, event: Fact) -> None:
        """One that is new, or happened again."""
        if self._seen is None:
            self._seen = {}
        self._add(event, self._seen.pop(event.uid, None))
        self._seen[event.uid] = event.times
        if len(self._seen) > MOST:
            self._seen.pop(next(iter(self._seen)))
            self._forgot = True

    def drop(self, uid: str) -> None:
        """One that the API forgot."""
        if self._seen is not None:
            self._seen.pop(uid, None)

    def _add(self, event: Fact, before: int | None) -> None:
        if before is None:
            self.counts[event.labels] += 1 if self._forgot else event.times
        elif event.times > before:
            self.counts[event.labels] += event.times - before
