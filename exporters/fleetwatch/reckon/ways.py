"""How past runs of a pipeline went, and which of its phases wait for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fleetwatch.reckon.measures import by_phase
from fleetwatch.records.pipelines import RunWithPhases

Spans = Mapping[str, tuple[int, int]]
"""First beginning and last end of each phase that ended."""


class Way(NamedTuple):
    """How one run went. Nanoseconds, by the phase's place; a phase that it did not have takes 0."""

    has: frozenset[int]
    took: list[int]
    """First beginning to last end, so attempts and parallel executions are one."""
    gaps: list[int]
    """From the end of what the phase waits for to its beginning."""
    tail: int
    """From the end of the last phase to that of the run."""
    total: int


class Ways(NamedTuple):
    places: dict[str, int]
    """Name of a phase -> its place; a place is after those of all that it waits for."""
    before: list[frozenset[int]]
    """By place: the phases that ended before it began in every run that had both."""
    waits: list[list[int]]
    """Likewise, without those that another one of them waits for."""
    runs: list[Way]


def learn(runs: Sequence[RunWithPhases], most: int) -> Ways:
    """runs: that ended; most: phases that are looked at, the most frequent ones."""
    spans = [spans_of(run) for run in runs]
    counts = Counter(name for one in spans for name in one)
    names = [name for name, _ in counts.most_common(most)]
    earlier = {name: _earlier(name, names, spans) for name in names}
    # What is before one in all runs has fewer before it, where runs are many; the name settles what is left.
    names.sort(key=lambda name: (len(earlier[name]), name))
    places = {name: place for place, name in enumerate(names)}
    before = [frozenset(places[other] for other in earlier[name] if places[other] < places[name]) for name in names]
    waits = [[one for one in those if not any(one in before[other] for other in those)] for those in before]
    return Ways(places, before, waits, [_way(run, span, names, waits) for run, span in zip(runs, spans, strict=True)])


def spans_of(run: RunWithPhases) -> Spans:
    """Phases of which an execution has ended."""
    found = {}
    for name, executions in by_phase(run).items():
        ends = [phase.ended for phase in executions if phase.ended is not None]
        if ends:
            start = min(phase.started for phase in executions)
            found[name] = start, max(start, *ends)
    return found


def _earlier(name: str, names: Sequence[str], runs: Sequence[Spans]) -> set[str]:
    """Phases that ended before `name` began in every run that had both, and in one at least."""
    left, met = set(names) - {name}, set()
    for spans in runs:
        if name not in spans:
            continue
        start = spans[name][0]
        both = left.intersection(spans)
        met |= both
        left.difference_update([other for other in both if spans[other][1] > start])
    return left & met


def _way(run: RunWithPhases, spans: Spans, names: Sequence[str], waits: Sequence[Sequence[int]]) -> Way:
    started = run.run.started
    ended = max(started, run.run.ended or started)
    ends: list[int] = []
    took: list[int] = []
    gaps: list[int] = []
    for place, name in enumerate(names):
        free = max([ends[other] for other in waits[place]], default=started)
        begin, end = spans.get(name, (free, free))
        ends.append(end)
        took.append(end - begin)
        gaps.append(max(0, begin - free))
    has = frozenset(place for place, name in enumerate(names) if name in spans)
    last = max([ends[place] for place in has], default=started)
    return Way(has, took, gaps, max(0, ended - last), ended - started)
