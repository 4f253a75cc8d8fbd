"""What a cluster shows of a node's end: cordoned, first eviction, drained, gone.

Nodes and pods are watched apart, so either may be ahead: an eviction that came shortly before its node's cordon was
seen belongs to it. Times are those of the API's objects where they tell one, else when it was seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fleetwatch.collect.kubernetes._nodes import Fact
from fleetwatch.records.spot import DrainStep, Step

MOST = 10_000
"""Steps that wait to be written down; past it the oldest go."""

AHEAD = 10 * 10**9
"""Nanoseconds by which an eviction may be seen before its node's cordon."""


class _Leaving(NamedTuple):
    since: int
    evicted: bool = False
    drained: bool = False


class Drains:
    """The steps of one cluster. For one thread at a time.

    left: node -> pods that must leave it; None while pods are not known.
    """

    def __init__(self, cluster: str, left: Callable[[str], int | None]) -> None:
        self._cluster = cluster
        self._left = left
        self._leaving: dict[str, _Leaving] = {}
        self._evicted: dict[str, int] = {}
        self._steps: deque[DrainStep] = deque(maxlen=MOST)

    def waiting(self) -> list[DrainStep]:
        """Steps that are not written down, oldest first."""
        return list(self._steps)

    def written(self, steps: Sequence[DrainStep]) -> None:
        """These are on disk."""
        done = set(steps)
        self._steps = deque((step for step in self._steps if step not in done), maxlen=MOST)

    def node(self, fact: Fact, now: int) -> None:
        """A node as it is now."""
        known = self._leaving.get(fact.name)
        if not fact.leaving:
            self._leaving.pop(fact.name, None)
            return
        if known is None:
            since = fact.leaving_since or now
            self._leaving[fact.name] = _Leaving(since)
            self._tell(fact, "cordoned", since)
            evicted = self._evicted.get(fact.name)
            if evicted is not None and evicted >= since - AHEAD:
                self._first(fact, evicted)
        self.look(fact, now)

    def evicted(self, fact: Fact, at: int) -> None:
        """A pod of the node was told to go."""
        self._evicted[fact.name] = max(at, self._evicted.get(fact.name, 0))
        known = self._leaving.get(fact.name)
        if known is not None and not known.evicted and at >= known.since - AHEAD:
            self._first(fact, at)

    def look(self, fact: Fact, now: int) -> None:
        """Whether a node that is being emptied is empty."""
        known = self._leaving.get(fact.name)
        if known is not None and not known.drained and self._left(fact.name) == 0:
            self._leaving[fact.name] = known._replace(drained=True)
            self._tell(fact, "drained", max(now, known.since))

    def gone(self, fact: Fact, now: int) -> None:
        """The node is no more."""
        self._tell(fact, "gone", now)
        self._leaving.pop(fact.name, None)
        self._evicted.pop(fact.name, None)

    def look_at(self, facts: Iterable[Fact], now: int) -> None:
        for fact in facts:
            self.look(fact, now)

    def _first(self, fact: Fact, at: int) -> None:
        known = self._leaving[fact.name]
        self._leaving[fact.name] = known._replace(evicted=True)
        # The API's times are whole seconds: it would have been before the cordon.
        self._tell(fact, "first_eviction", max(at, known.since))

    def _tell(self, fact: Fact, step: Step, at: int) -> None:
        if fact.instance:
            self._steps.append(DrainStep(self._cluster, fact.pool, fact.name, fact.instance, step, at))
