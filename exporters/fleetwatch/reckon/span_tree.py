"""The spans of one trace as a tree: which agent's run each belongs to.

A span belongs to the nearest run above it by the chain of parents. Where the chain breaks, at a span that nobody reads,
it belongs to the run that contains it in time:

    a call of a model or tool   the innermost such run; of several in parallel the one of the same agent, else the
                                nearest run that is around all of them, else none
    a run                       the innermost such run whose place in the tree is known; of several the longest, if it
                                contains the others, else none: agents fan out, and what runs beside is not above

Runs that the parents show to be beside a span, not above it, are never taken. The result depends on the spans alone,
not on their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

CALL, WAITING, AGENT, TOOL, STEP = "call", "waiting", "agent", "tool", "step"
"""Kinds of spans: a counted LLM call, a sighting of which nobody knows yet whether it counts, a run, a tool call, what
is neither. Any other is a sighting of an LLM call that does not count.
"""

MOST_PAIRS = 500_000
"""Comparisons in time for one trace, some 50 ms; a trace that needs more is attributed by its parents alone."""


class Span(NamedTuple):
    """One span. Ids are 8 bytes, the parent of a root is empty; times are Unix nanoseconds."""

    span: bytes
    parent: bytes
    kind: str
    start: int
    at: int
    seen: int
    """When it came."""
    agent: str
    team: str
    what: str
    """The tool."""
    outcome: str
    flags: int
    call_id: int = 0
    """Of a tool call: tells two sightings of one call; 0 where unknown."""
    requests: int = 0
    cost: int = 0
    """Of a counted LLM call, nano-USD."""
    provider: str = ""
    model: str = ""
    is_unpriced: bool = False


class Tree:
    """`owner`: span -> the run that it belongs to, for runs, tools and LLM calls that belong to one.

    `is_certain`: runs whose place is known by parents, up to a root or to the run above.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans: dict[bytes, Span] = {span.span: span for span in spans}
        self.runs = [span for span in self.spans.values() if span.kind == AGENT]
        self.owner: dict[bytes, bytes] = {}
        # Span without a run above it -> what stands at the top of its chain: a root's own id, or the id of the unknown
        # parent, which is the same for siblings.
        self._tops: dict[bytes, bytes] = {}
        self._parents = _without_rings({span.span: span.parent for span in self.spans.values()})
        for span in self.spans:
            self._climb(span)
        self._by_parents = dict(self.owner)
        if self._tops and self.runs:
            self._attach_by_time()

    def is_rooted(self, run: bytes) -> bool:
        """Whether nothing unknown is above a run that belongs to no other."""
        return self._tops.get(run) in self.spans

    def is_certain(self, span: bytes) -> bool:
        """Whether parents tell the run that a span belongs to."""
        return span in self._by_parents

    def above(self, run: bytes) -> Iterator[bytes]:
        """The runs around a run, from inside out."""
        while (outer := self.owner.get(run)) is not None:
            yield outer
            run = outer

    def outermost(self, run: bytes) -> bytes:
        """The run around all; the run itself where nothing is around it."""
        *_, last = (run, *self.above(run))
        return last

    def _climb(self, start: bytes) -> None:
        """Find the run or the top above one span, and note it for all that is passed on the way."""
        path: list[bytes] = []
        current = start
        owner = top = None
        while owner is None and top is None:
            if current in self._tops:
                top = self._tops[current]
            elif current in self.owner:
                owner = self.owner[current]
            else:
                path.append(current)
                parent = self._parents[current]
                above = self.spans.get(parent)
                if above is None:
                    top = parent or current
                elif above.kind == AGENT:
                    owner = parent
                current = parent
        for span in path:
            if owner is not None:
                self.owner[span] = owner
            elif top is not None:
                self._tops[span] = top

    def _attach_by_time(self) -> None:
        broken = [self.spans[span] for span, top in self._tops.items() if top not in self.spans]
        runs = sorted((span for span in broken if span.kind == AGENT), key=_longest_first)
        others = [span for span in broken if span.kind in (CALL, WAITING, TOOL)]
        containing = self._containing([*runs, *others])
        chains = {run.span: set(self.above(run.span)) for run in self.runs}
        for span in runs:
            around = [run for run in self._may_be_above(span, containing) if _longest_first(run) < _longest_first(span)]
            found = _for_run(around, chains)
            if found is not None:
                self.owner[span.span] = found
        chains = {run.span: set(self.above(run.span)) for run in self.runs}
        for span in others:
            found = _for_call(span, self._may_be_above(span, containing), chains)
            if found is not None:
                self.owner[span.span] = found

    def _containing(self, spans: Sequence[Span]) -> dict[bytes, list[Span]]:
        """The runs that contain each of the spans in time; nothing where that would take too long."""
        found: dict[bytes, list[Span]] = {}
        coming = sorted(self.runs, key=lambda run: run.start, reverse=True)
        active: list[Span] = []
        pairs = 0
        for span in sorted(spans, key=lambda span: span.start):
            while coming and coming[-1].start <= span.start:
                active.append(coming.pop())
            active = [run for run in active if run.at >= span.start]
            found[span.span] = [run for run in active if run.at >= span.at and run is not span]
            pairs += len(active) + len(found[span.span]) ** 2
            if pairs > MOST_PAIRS:
                return {}
        return found

    def _may_be_above(self, span: Span, containing: Mapping[bytes, Sequence[Span]]) -> list[Span]:
        """Runs that contain a span and that its parents do not show to be beside or below it, the longest first."""
        around = containing.get(span.span, ())
        if not around:
            return []
        top = self._tops[span.span]
        above = [run for run in around if self._top_of(run.span) != top and span.span not in self.above(run.span)]
        return sorted(above, key=_longest_first)

    def _top_of(self, run: bytes) -> bytes | None:
        """What stands at the top of a run's chain of parents."""
        while run in self._by_parents:
            run = self._by_parents[run]
        return self._tops.get(run)


def _without_rings(parents: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Span -> parent. Of spans that are each other's parents, a sender's mistake, the lowest id becomes a root."""
    done: set[bytes] = set()
    for start in parents:
        path: dict[bytes, None] = {}
        current = start
        while current in parents and current not in done and current not in path:
            path[current] = None
            current = parents[current]
        if current in path:
            ring = list(path)
            parents[min(ring[ring.index(current) :])] = b""
        done.update(path)
    return parents


def _longest_first(span: Span) -> tuple[int, bytes]:
    return span.start - span.at, span.span


def _for_run(around: Sequence[Span], chains: Mapping[bytes, set[bytes]]) -> bytes | None:
    innermost = [run for run in around if not any(run.span in chains[other.span] for other in around)]
    if len(innermost) > 1 and all(_contains(around[0], other) for other in innermost):
        return around[0].span
    return innermost[0].span if len(innermost) == 1 else None


def _for_call(call: Span, around: Sequence[Span], chains: Mapping[bytes, set[bytes]]) -> bytes | None:
    innermost = [
        run
        for run in around
        if not any(
            run.span in chains[other.span] or (other is not run and _contains(run, other) and not _contains(other, run))
            for other in around
        )
    ]
    if len(innermost) > 1:
        named = [run for run in innermost if run.agent == call.agent]
        if len(named) != 1:
            common = set.intersection(*(chains[run.span] for run in innermost))
            # The nearest is the one that has all the others above it.
            return max(common, key=lambda run: len(chains[run]), default=None)
        innermost = named
    return innermost[0].span if innermost else None


def _contains(outer: Span, inner: Span) -> bool:
    return outer.start <= inner.start and inner.at <= outer.at
