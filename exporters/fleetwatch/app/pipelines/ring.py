"""Series of the ring: what its slots show of a pipeline's recent runs.

A slot's series stand until another run has the slot. What moves without news, durations and predictions of what is
under way, is apart (`moving`): it is made anew at each scrape, and the rest only when something came.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import NANO, Metric, Sample
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.pipelines import RESULTS, STATES, Phase, Run, RunWithPhases, Tally

NOT_BEGUN = 0
STATE_NUMBERS = {word: number for number, word in enumerate((*STATES[:3], *RESULTS), start=1)}
"""What the state gauges show: the states under way, then the results."""

Part = tuple[str, str]
"""Phase and sub-phase as they are shown; the sub-phase is empty for the phase itself."""

Naming = Callable[[Phase], Part]


class Ends(NamedTuple):
    """When something will be done, by a prediction. Unix nanoseconds."""

    p50: int
    p90: int


class Outlook(NamedTuple):
    """A prediction for a run under way."""

    at: int
    """When it was made."""
    run: Ends
    phases: Mapping[str, Ends]
    overdue: int
    """Nanoseconds past its p90 at that time."""


def grouped(run: RunWithPhases, naming: Naming) -> dict[Part, list[Phase]]:
    """Executions by what they are shown as, in order of their start."""
    found: dict[Part, list[Phase]] = {}
    for phase in run.phases:
        found.setdefault(naming(phase), []).append(phase)
    return found


def standing(run: RunWithPhases, parts: Mapping[Part, Sequence[Phase]], usual: Collection[str]) -> Iterator[Sample]:
    """What changes only with news. usual: phases that such a run has; those that have not begun are told as well."""
    told = run.run
    pipeline, slot = told.pipeline, str(told.slot)
    where = (pipeline, slot)
    yield Sample(pipelines.SLOT_INFO, (pipeline, slot, told.run, told.version, told.host), 1)
    yield Sample(pipelines.SLOT_RUN_STATE, where, _number(told))
    yield Sample(pipelines.SLOT_RUN_START, where, told.started / SECOND)
    if told.ended is not None:
        yield Sample(pipelines.SLOT_RUN_DURATION, where, _seconds(told.started, told.ended))
    for kind, cost in (("llm", told.llm_cost), ("machine", told.machine_cost)):
        if cost is not None:
            yield Sample(pipelines.SLOT_RUN_SPENT, (pipeline, slot, kind), cost / NANO)
    for (phase, subphase), executions in parts.items():
        labels = (pipeline, slot, phase, subphase)
        yield Sample(pipelines.SLOT_PHASE_STATE, labels, _number(_telling(executions)))
        yield Sample(pipelines.SLOT_PHASE_START, labels, min(item.started for item in executions) / SECOND)
        ends = [item.ended for item in executions]
        if None not in ends:
            last = max(end for end in ends if end is not None)
            yield Sample(pipelines.SLOT_PHASE_DURATION, labels, _seconds(_first(executions), last))
        if not subphase:
            yield from _work(labels[:3], executions)
    for phase in usual:
        if (phase, "") not in parts:
            yield Sample(pipelines.SLOT_PHASE_STATE, (pipeline, slot, phase, ""), NOT_BEGUN)


def moving(
    run: RunWithPhases, parts: Mapping[Part, Sequence[Phase]], outlook: Outlook | None, now: int, there: int
) -> Iterator[Sample]:
    """What changes with time, of a run under way; with `standing` all series of its slot.

    there: now by the sender's clock, by which the beginnings were told.
    """
    pipeline, slot = run.run.pipeline, str(run.run.slot)
    where = (pipeline, slot)
    yield Sample(pipelines.SLOT_RUN_DURATION, where, _seconds(run.run.started, there))
    if outlook is not None:
        yield from _left(pipelines.RUN_ETA, where, outlook.run, now)
        overdue = outlook.overdue + max(0, now - outlook.at) if outlook.overdue else max(0, now - outlook.run.p90)
        yield Sample(pipelines.RUN_OVERDUE, where, overdue / SECOND)
    for (phase, subphase), executions in parts.items():
        if all(item.ended is not None for item in executions):
            continue
        labels = (pipeline, slot, phase, subphase)
        yield Sample(pipelines.SLOT_PHASE_DURATION, labels, _seconds(_first(executions), there))
        ends = outlook.phases.get(phase) if outlook is not None and not subphase else None
        if ends is not None:
            yield from _left(pipelines.PHASE_ETA, labels[:3], ends, now)


def _left(metric: Metric, labels: tuple[str, ...], ends: Ends, now: int) -> Iterator[Sample]:
    for quantile, end in zip(pipelines.QUANTILE.one_of, ends, strict=True):
        yield Sample(metric, (*labels, quantile), _seconds(now, end))


def _work(labels: tuple[str, ...], executions: Sequence[Phase]) -> Iterator[Sample]:
    """What a phase did and took, all its executions together; what was not told is not shown."""
    tallies = [item.tally for item in executions]
    items = sum(map(_items, tallies))
    share = _share(executions)
    if share is not None:
        yield Sample(pipelines.SLOT_PHASE_PROGRESS, labels, share)
    if items or share is not None:
        yield Sample(pipelines.SLOT_PHASE_ITEMS, labels, items)
    errors = sum(number for tally in tallies for _, number in tally.errors)
    yield Sample(pipelines.SLOT_PHASE_ERRORS, labels, errors)
    yield Sample(pipelines.SLOT_PHASE_WARNINGS, labels, sum(tally.warnings for tally in tallies))
    costs = [cost for item in executions for cost in (item.llm_cost, item.machine_cost) if cost is not None]
    if costs:
        yield Sample(pipelines.SLOT_PHASE_SPENT, labels, sum(costs) / NANO)
    cpu = [item.usage.cpu for item in executions if item.usage.cpu is not None]
    if cpu:
        yield Sample(pipelines.SLOT_PHASE_CPU, labels, sum(cpu) / SECOND)
    peaks = [item.usage.memory_peak for item in executions if item.usage.memory_peak is not None]
    if peaks:
        yield Sample(pipelines.SLOT_PHASE_MEMORY_PEAK, labels, max(peaks))


def _share(executions: Sequence[Phase]) -> float | None:
    """Items that are there of those that are expected. An attempt that was given up is no part of either."""
    counting = [item for item in executions if item.tally.expected]
    held = [item for item in counting if item.result in ("", "success")] or counting
    expected = sum(item.tally.expected or 0 for item in held)
    return min(1.0, sum(_items(item.tally) for item in held) / expected) if expected else None


def _items(tally: Tally) -> int:
    return tally.items_out or tally.items_in


def _telling(executions: Sequence[Phase]) -> Phase:
    """The execution whose state is the phase's: one under way, else the last."""
    under_way = [item for item in executions if item.ended is None]
    return max(under_way or executions, key=lambda item: (item.started, item.attempt))


def _number(told: Run | Phase) -> float:
    return STATE_NUMBERS.get(told.result if told.ended is not None else told.state, NOT_BEGUN)


def _first(executions: Iterable[Phase]) -> int:
    return min(item.started for item in executions)


def _seconds(since: int, until: int) -> float:
    """Never below 0: the sender's clock may lead ours."""
    return max(0, until - since) / SECOND
