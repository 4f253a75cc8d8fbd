"""The memory of OpenLineage's runs over a file of its own, and what becomes of its reports."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from fleetwatch.ledger.pipelines.lineage import SCHEMA, Lineage, Report
from fleetwatch.reckon.runs import flaw, merge_phase, merge_run
from fleetwatch.records.lineage import DataUse, Job, LineageEvent
from fleetwatch.records.pipelines import Phase, Run, RunReport, Tally

S = 10**9
T0 = 1_780_000_000 * S


class Told(NamedTuple):
    """What of a run or phase does not depend on when it came."""

    pipeline: str
    phase: str
    subphase: str
    state: str
    result: str
    reason: str
    seconds: float | None
    attempt: int = 1
    items: tuple[int, int, int, int] = (0, 0, 0, 0)
    errors: tuple[tuple[str, int], ...] = ()


class LineageBooks:
    """A memory and the rows that its reports make, merged as the ledger does."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:")
        self.db.executescript(SCHEMA)
        self.lineage = Lineage(self.db)
        self.runs: dict[tuple[str, str], Run] = {}
        self.phases: dict[tuple[str, str, str], Phase] = {}
        self.now = T0

    def take(self, *events: LineageEvent, after: int = 0) -> list[Report]:
        """Events of one commit, `after` ns later."""
        self.now += after
        return self._merge(self.lineage.resolve(events, self.now))

    def wait(self, ns: int) -> list[Report]:
        self.now += ns
        assert self.lineage.any_due(self.now) == bool(
            self.db.execute("SELECT count(*) FROM lineage_runs WHERE due <= ?", (self.now,)).fetchone()[0]
        )
        return self._merge(self.lineage.due(self.now))

    def _merge(self, reports: Iterable[Report]) -> list[Report]:
        found = list(reports)
        for report in found:
            assert flaw(report, self.now, 10 * 365 * 86_400 * S) == ""
            if isinstance(report, RunReport):
                run = report.pipeline, report.run
                self.runs[run] = merge_run(self.runs.get(run), report, self.now)
            else:
                key = report.pipeline, report.run, report.execution
                self.phases[key] = merge_phase(self.phases.get(key), report, self.now)
        return found

    def told(self) -> list[Told]:
        """Runs, then phases and their parts."""
        return sorted(
            [
                *(
                    Told(run.pipeline, "", "", run.state, run.result, run.reason, seconds(run))
                    for run in self.runs.values()
                ),
                *(
                    Told(
                        phase.pipeline, phase.phase, phase.subphase, phase.state, phase.result, phase.reason,
                        seconds(phase), phase.attempt, items(phase.tally), phase.tally.errors,
                    )
                    for phase in self.phases.values()
                ),
            ]
        )  # fmt: skip


def items(tally: Tally) -> tuple[int, int, int, int]:
    return tally.items_in, tally.items_out, tally.artifacts, tally.artifact_bytes


def seconds(item: Run | Phase) -> float | None:
    return None if item.ended is None else (item.ended - item.started) / S


def ok(pipeline: str, phase: str, subphase: str, seconds: float, **more: Any) -> Told:
    return Told(pipeline, phase, subphase, "ended", "success", "completed", seconds, **more)


def named(name: str, run: str = "") -> Job:
    return Job(run or name, name, "prod")


def happens(
    name: str, kind: str = "START", at: float = 0, *, parent: str = "", root: str = "", run: str = "", rows: int = 0
) -> LineageEvent:
    """An event of a job whose run has the job's name."""
    return LineageEvent(
        me=named(name, run),
        at=T0 + round(at * S),
        state="ended" if kind in ("COMPLETE", "FAIL", "ABORT") else "executing",
        result={"COMPLETE": "success", "FAIL": "failure", "ABORT": "cancellation"}.get(kind, ""),
        begins=kind == "START",
        parent=named(parent) if parent else None,
        root=named(root) if root else None,
        data=(DataUse("d" * 16, items_out=rows),) if rows else (),
    )
