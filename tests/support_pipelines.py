"""Reports of pipelines for tests. Times are seconds after T0 of support_tasks; runs are of the pipeline `nightly`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fleetwatch.ledger import Ledger
from fleetwatch.ledger.pipelines import rows as pipeline_rows
from fleetwatch.ledger.pipelines.counts import SignalRule
from fleetwatch.records.pipelines import Phase, PhaseReport, Run, RunReport, RunWithPhases
from support_tasks import at, span_id, trace_id

INSTRUMENT = "instrument"
SIGNALS = (SignalRule("irrigation.events", "counter"), SignalRule("pressure", "gauge", "night*"))
Opened = Callable[..., Ledger]
"""Opens the ledger of a test, again where it is open."""


def begun(run: str = "r1", start: float = 0, *, pipeline: str = "nightly", **fields: Any) -> RunReport:
    """A run that began."""
    values: dict[str, Any] = {"at": at(start), "state": "executing", "started": at(start), "source": INSTRUMENT}
    return RunReport(pipeline, run, **(values | fields))


def ended(run: str = "r1", start: float = 0, end: float = 60, *, pipeline: str = "nightly", **fields: Any) -> RunReport:
    """A run that ended well."""
    values: dict[str, Any] = {
        "at": at(end), "state": "ended", "result": "success", "reason": "completed", "started": at(start),
        "ended": at(end), "source": INSTRUMENT,
    }  # fmt: skip
    return RunReport(pipeline, run, **(values | fields))


def phase(
    name: str, start: float = 0, end: float | None = None, *, run: str = "r1", pipeline: str = "nightly", **fields: Any
) -> PhaseReport:
    """A phase, which ended well where it has an end; its execution is called like it."""
    values: dict[str, Any] = {"at": at(start), "state": "executing", "started": at(start), "source": INSTRUMENT}
    if end is not None:
        values |= {"at": at(end), "state": "ended", "result": "success", "reason": "completed", "ended": at(end)}
    return PhaseReport(pipeline, run, fields.pop("execution", name), name, **(values | fields))


def traced(report: RunReport, span: str, *, trace: str = "t") -> RunReport:
    """The same, as a span of a trace."""
    return report._replace(trace=trace_id(trace), span=span_id(span))


def traced_phase(report: PhaseReport, span: str, parent: str = "", *, trace: str = "t") -> PhaseReport:
    """Likewise."""
    return report._replace(trace=trace_id(trace), span=span_id(span), parent=span_id(parent))


def lone(name: str, start: float, end: float, span: str, parent: str = "") -> PhaseReport:
    """A phase that knows only its trace."""
    return traced_phase(phase(name, start, end, pipeline="", run=""), span, parent)


def judged(run: str = "r1", end: float = 60, *, pipeline: str = "nightly", reason: str = "lost") -> RunReport:
    """A run that was given up."""
    return RunReport(
        pipeline, run, at(end), state="ended", result="error", reason=reason, ended=at(end), source="judged"
    )


def whole(ledger: Ledger, run: str = "r1", pipeline: str = "nightly") -> RunWithPhases:
    """A run as the file has it."""
    db = ledger._db
    found: Sequence[Run] = list(pipeline_rows.runs(db, pipeline=pipeline, run=run))
    assert len(found) == 1, f"{len(found)} rows of {pipeline}/{run}"
    return RunWithPhases(found[0], tuple(pipeline_rows.phases(db, pipeline, run)))


def one_phase(ledger: Ledger, execution: str, run: str = "r1", pipeline: str = "nightly") -> Phase:
    """A phase as the file has it."""
    (found,) = (item for item in whole(ledger, run, pipeline).phases if item.execution == execution)
    return found
