"""Which sightings of LLM calls in one trace are the same call.

A sighting is the same call as one that was counted if it encloses it or lies inside it: directly, or through spans that
are sightings or steps themselves. What an agent or a tool does inside a call is another call. Children end first and
mostly come first, so the innermost counts: each attempt of a retry, and not the wrapper that sums them up.
"""

from __future__ import annotations

import bisect
from itertools import islice
from typing import NamedTuple

MOST_DEPTH = 200
"""Spans between two sightings; further apart, or in a circle, nobody has seen one call."""
MOST_SPANS = 20_000
"""Spans of one trace that are remembered: a service that does all its work in one trace goes on for days."""
MOST_DOUBTS = 500
"""Calls that one sighting is compared with by time."""
TOLERANCE = 100_000_000
"""Nanoseconds by which the clocks of two processes of one trace may differ."""

_WALL, _THROUGH, _COUNTED = range(3)


class Sighting(NamedTuple):
    """A call as one span tells it. Times are Unix nanoseconds; the parent of a root is empty."""

    span: bytes
    parent: bytes
    start: int
    at: int

    def contains(self, other: Sighting) -> bool:
        """Whether the other one can lie inside, by time."""
        return self.start <= other.start + TOLERANCE and other.at <= self.at + TOLERANCE


class _Climb(NamedTuple):
    """The way up from a span: what was met, the span that nobody has told of yet (or empty), and a counted call."""

    met: list[bytes]
    missing: bytes
    inside: bool


class Tree:
    """What is known of one trace."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, tuple[int, bytes]] = {}
        self._names: dict[bytes, str] = {}
        self._around: set[bytes] = set()
        """Spans that enclose a counted call, also those that have not come yet."""
        self._counted: list[tuple[int, Sighting]] = []
        """Counted calls by their end."""
        self._doubtful: dict[bytes, bytes] = {}
        """Sightings that wait because they are in doubt -> their parent."""
        self._over_doubt: set[bytes] | None = set()
        """Spans that enclose one of them; None while it is not known."""

    def __len__(self) -> int:
        return len(self._nodes)

    def add_wall(self, span: bytes, parent: bytes) -> None:
        """An agent or a tool: what is inside it is not what is around it."""
        self._nodes.setdefault(span, (_WALL, parent))

    def add_step(self, span: bytes, parent: bytes) -> None:
        """A span that is neither; it joins what is above and below."""
        if span not in self._nodes:
            self._add(_THROUGH, span, parent)

    def add(self, sighting: Sighting, name: str, *, counted: bool, doubtful: bool = False) -> None:
        """A sighting: one that counts, or stands for a call that does; one that does not; one that is in doubt."""
        span, parent = sighting.span, sighting.parent
        self._names[span] = name
        if self._doubtful.pop(span, None) is not None:
            self._over_doubt = None
        if doubtful:
            self._doubtful[span] = parent
            if self._over_doubt is not None:
                self._over_doubt.update(self._climb(parent).met)
        self._add(_COUNTED if counted else _THROUGH, span, parent)
        if counted:
            bisect.insort(self._counted, (sighting.at, sighting))
            self._mark(parent)
        if len(self._nodes) > MOST_SPANS:
            self._forget_half()

    def knows(self, span: bytes) -> bool:
        """Whether the span has come."""
        return span in self._nodes

    def name(self, span: bytes) -> str | None:
        """Under which name a sighting was added; None for a span that is none."""
        return self._names.get(span)

    def encloses(self, sighting: Sighting) -> bool:
        """Whether a counted call lies inside the sighting."""
        return sighting.span in self._around

    def inside(self, sighting: Sighting) -> bool:
        """Whether the sighting lies inside a counted call."""
        return self._climb(sighting.parent).inside

    def in_doubt(self, sighting: Sighting) -> bool:
        """Whether it is open that the sighting is the same call as a counted one.

        A span that has not come yet could make it so, or the counting of a sighting inside that is in doubt itself.
        """
        if self._over_doubt is None:
            self._over_doubt = {span for parent in self._doubtful.values() for span in self._climb(parent).met}
        if sighting.span in self._over_doubt:
            return True
        if not self._counted:
            return False
        way = self._climb(sighting.parent)
        for other in self._near(sighting):
            below, above = sighting.contains(other), other.contains(sighting)
            if not (below or above):
                continue
            theirs = self._climb(other.parent)
            # What is missing above both lies above the one that would have to enclose the other.
            if above and way.missing and way.missing not in theirs.met:
                return True
            if below and theirs.missing and theirs.missing not in way.met:
                return True
        return False

    def around_by_time(self, sighting: Sighting) -> list[bytes]:
        """Counted calls that may contain the sighting, where the way up is broken by spans that nobody reads."""
        if not self._climb(sighting.parent).missing:
            return []
        return [other.span for other in self._near(sighting) if other.contains(sighting)]

    def _near(self, sighting: Sighting) -> list[Sighting]:
        """Counted calls that ended after the sighting began."""
        first = bisect.bisect_left(self._counted, (sighting.start - TOLERANCE,))
        return [other for _, other in islice(self._counted, first, first + MOST_DOUBTS)]

    def _add(self, kind: int, span: bytes, parent: bytes) -> None:
        self._nodes[span] = (kind, parent)
        if span in self._around:
            self._mark(parent)
        if self._over_doubt is not None and span in self._over_doubt:
            self._over_doubt.update(self._climb(parent).met)

    def _mark(self, parent: bytes) -> None:
        """All from `parent` up enclose a counted call."""
        self._around.update(self._climb(parent).met)

    def _climb(self, parent: bytes) -> _Climb:
        met: dict[bytes, None] = {}
        while parent and len(met) < MOST_DEPTH and parent not in met:
            node = self._nodes.get(parent)
            if node is None:
                met[parent] = None
                return _Climb(list(met), parent, inside=False)
            kind, above = node
            if kind == _WALL:
                break
            met[parent] = None
            if kind == _COUNTED:
                return _Climb(list(met), b"", inside=True)
            parent = above
        return _Climb(list(met), b"", inside=False)

    def _forget_half(self) -> None:
        """Forget the older half: what is still under way has come lately."""
        for span in list(islice(self._nodes, len(self._nodes) // 2)):
            del self._nodes[span]
            self._names.pop(span, None)
            self._doubtful.pop(span, None)
        self._counted = [item for item in self._counted if item[1].span in self._nodes]
        self._over_doubt = None
        self._around.clear()
        for _, sighting in self._counted:
            self._mark(sighting.parent)
