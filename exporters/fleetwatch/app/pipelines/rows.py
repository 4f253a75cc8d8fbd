"""Runs, phases and signals as rows for programs: exact, times in ISO 8601, empty where nothing is known."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from fleetwatch.app.told import exact
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.pipelines import Phase, Run, RunWithPhases

RUNS = (
    *("pipeline", "run", "state", "result", "reason", "error_type", "started", "ended", "duration_s", "source"),
    *("host", "instance", "version", "trace", "llm_cost_usd", "llm_calls", "llm_unpriced", "machine_cost_usd"),
    "corrected",
)
PHASES = (
    *("pipeline", "run", "execution", "phase", "subphase", "attempt", "state", "result", "reason", "error_type"),
    *("started", "ended", "duration_s", "items_in", "items_out", "items_expected", "warnings", "artifacts"),
    *("artifact_bytes", "errors", "cpu_s", "memory_peak_bytes", "read_bytes", "written_bytes"),
    *("llm_cost_usd", "machine_cost_usd"),
)
SIGNALS = ("pipeline", "run", "execution", "phase", "subphase", "signal", "value")


def run_row(run: Run) -> tuple[object, ...]:
    """A row of RUNS."""
    return (
        *(run.pipeline, run.run, run.state, run.result, run.reason, run.error_type),
        *_lasted(run),
        *(run.source, run.host, run.instance, run.version, run.trace.hex()),
        *(_usd(run.llm_cost), run.llm_calls, run.llm_unpriced, _usd(run.machine_cost), run.corrected),
    )


def phase_row(phase: Phase) -> tuple[object, ...]:
    """A row of PHASES."""
    tally, usage = phase.tally, phase.usage
    return (
        *(phase.pipeline, phase.run, phase.execution, phase.phase, phase.subphase, phase.attempt),
        *(phase.state, phase.result, phase.reason, phase.error_type),
        *_lasted(phase),
        *(tally.items_in, tally.items_out, _or_empty(tally.expected), tally.warnings),
        *(tally.artifacts, tally.artifact_bytes, " ".join(f"{kind}={number}" for kind, number in tally.errors)),
        *("" if usage.cpu is None else exact(usage.cpu), _or_empty(usage.memory_peak)),
        *(_or_empty(usage.read), _or_empty(usage.written), _usd(phase.llm_cost), _usd(phase.machine_cost)),
    )


def signal_rows(phase: Phase) -> Iterator[tuple[object, ...]]:
    """Rows of SIGNALS."""
    for name, value in phase.tally.signals:
        yield phase.pipeline, phase.run, phase.execution, phase.phase, phase.subphase, name, value


def as_object(found: RunWithPhases) -> dict[str, Any]:
    """A run with its phases and their signals, for JSON."""
    phases = [
        {**dict(zip(PHASES, phase_row(phase), strict=True)), "signals": dict(phase.tally.signals)}
        for phase in found.phases
    ]
    return {**dict(zip(RUNS, run_row(found.run), strict=True)), "phases": phases}


def _lasted(of: Run | Phase) -> tuple[str, str, str]:
    return _iso(of.started), _iso(of.ended), "" if of.ended is None else exact(of.ended - of.started)


def _iso(ns: int | None) -> str:
    """To the microsecond, which is what other programs read."""
    if ns is None:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // SECOND)) + f".{ns % SECOND // 1000:06d}Z"


def _usd(nano: int | None) -> str:
    return "" if nano is None else exact(nano)


def _or_empty(value: int | None) -> object:
    return "" if value is None else value
