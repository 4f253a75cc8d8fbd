"""What runs are compared by: one number for each phase and measure of a run.

    duration     s, of executions that ended well: the mean where a phase ran several times
    throughput   items per second, of executions that ended well
    error_rate   errors per item, of all executions that ended
    cost         US dollars, of all executions; none where a price is missing or the run is not settled
    cpu          s, of executions that ended well
    memory       bytes, the most of any execution that ended well

Items are those that a phase put out, else those that it took in. The phase "" is the run: its duration (where it ended
well), cost, cpu (its own, else its phases' sum) and memory (the most). The items of its phases are not of one kind, so
it has no throughput.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fleetwatch.records.pipelines import Phase, Run, RunWithPhases, Tally

MEASURES = ("duration", "throughput", "error_rate", "cost", "cpu", "memory")

SECOND = 10**9
NANO_USD = 10**9

Key = tuple[str, str]
"""(phase, measure)."""


def items_of(tally: Tally) -> int:
    """Items that were put out, else those taken in."""
    return tally.items_out or tally.items_in


def by_phase(run: RunWithPhases) -> dict[str, list[Phase]]:
    """Executions by phase, in order; parts of phases left out."""
    found: dict[str, list[Phase]] = {}
    for phase in run.phases:
        if not phase.subphase:
            found.setdefault(phase.phase, []).append(phase)
    return found


def measures_of(run: RunWithPhases) -> dict[Key, float]:
    """What is known of a run, in the units above; what is not known is not in it."""
    found: dict[Key, float] = {}
    is_settled = run.run.settled and not run.run.llm_unpriced
    for name, executions in by_phase(run).items():
        for measure, value in _of_phase(executions, is_settled):
            if value is not None:
                found[name, measure] = value
    for measure, value in _of_run(run.run, run.phases):
        if value is not None:
            found["", measure] = value
    return found


def items_by_phase(run: RunWithPhases) -> dict[str, float]:
    """Items of each phase's executions that ended well, the mean; phases without items are not in it."""
    found = {}
    for name, executions in by_phase(run).items():
        well = [phase for phase in executions if phase.result == "success"]
        if items := sum(items_of(phase.tally) for phase in well):
            found[name] = items / len(well)
    return found


def _of_phase(executions: Sequence[Phase], is_settled: bool) -> Iterable[tuple[str, float | None]]:
    ended = [phase for phase in executions if phase.ended is not None and phase.result != "skip"]
    well = [phase for phase in ended if phase.result == "success"]
    took = sum(_took(phase) for phase in well)
    items = sum(items_of(phase.tally) for phase in well)
    yield "duration", took / len(well) if well else None
    yield "throughput", items / took if items and took else None
    of_all = sum(items_of(phase.tally) for phase in ended)
    errors = sum(number for phase in ended for _, number in phase.tally.errors)
    yield "error_rate", errors / of_all if of_all else None
    yield "cost", _cost(executions) if is_settled else None
    yield "cpu", _sum(phase.usage.cpu for phase in well)
    yield "memory", _most(phase.usage.memory_peak for phase in well)


def _of_run(run: Run, phases: Sequence[Phase]) -> Iterable[tuple[str, float | None]]:
    if run.result == "success" and run.ended is not None:
        yield "duration", max(0, run.ended - run.started) / SECOND
        told = run.usage.cpu
        of_phases = (phase.usage.cpu for phase in phases if not phase.subphase)
        yield "cpu", _sum(of_phases if told is None else (told,))
        yield "memory", _most((run.usage.memory_peak, *(phase.usage.memory_peak for phase in phases)))
    if run.settled and not run.llm_unpriced:
        yield "cost", _cost([run])


def _took(phase: Phase) -> float:
    return max(0, (phase.ended or phase.started) - phase.started) / SECOND


def _cost(things: Iterable[Phase | Run]) -> float | None:
    known = [cost for thing in things for cost in (thing.llm_cost, thing.machine_cost) if cost is not None]
    return sum(known) / NANO_USD if known else None


def _sum(values: Iterable[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / SECOND if known else None


def _most(values: Iterable[int | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
