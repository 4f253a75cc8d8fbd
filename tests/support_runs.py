"""Runs of pipelines as the ledger knows them, in few words. Seconds after T0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleetwatch.records.pipelines import Phase, Run, RunWithPhases, Tally, Usage

SECOND = 10**9
T0 = 1_800_000_000 * SECOND


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


def execution(name: str, start: float, end: float | None, result: str = "success", **fields: Any) -> Phase:
    """One execution of a phase; without an end it is under way."""
    record = Phase(
        pipeline="nightly",
        run="",
        execution=f"{name}@{start}",
        phase=name,
        subphase="",
        attempt=1,
        state="executing" if end is None else "ended",
        result="" if end is None else result,
        reason="",
        error_type="",
        started=at(start),
        ended=None if end is None else at(end),
        sent=at(start),
        span=b"",
        usage=Usage(),
        tally=Tally(),
        llm_cost=None,
        machine_cost=None,
    )
    return record._replace(**fields)


def run(
    name: str, end: float | None, phases: Sequence[Phase] = (), result: str = "success", start: float = 0, **fields: Any
) -> RunWithPhases:
    """A run with its phases; without an end it is under way."""
    record = Run(
        pipeline="nightly",
        run=name,
        state="executing" if end is None else "ended",
        result="" if end is None else result,
        reason="",
        error_type="",
        started=at(start),
        ended=None if end is None else at(end),
        seen=at(end or start),
        sent=at(end or start),
        first_seen=at(start),
        interval=None,
        source="spans",
        trace=b"",
        host="node",
        instance="node/1",
        version="1",
        cores=None,
        slot=None,
        settled=end is not None,
        llm_cost=None,
        llm_calls=0,
        llm_unpriced=0,
        machine_cost=None,
        corrected="",
    )
    return RunWithPhases(record._replace(**fields), tuple(phase._replace(run=name) for phase in phases))


def line(name: str, *phases: tuple[str, float], start: float = 0) -> RunWithPhases:
    """A run that ended well, its phases one after the other without a pause: (name, seconds)."""
    done = []
    now = start
    for phase, seconds in phases:
        done.append(execution(phase, now, now + seconds))
        now += seconds
    return run(name, now, done, start=start)
