"""Senders that contradict themselves, clocks that jump, deaths, forgetting: counters and rows agree after each step."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import NANO, Metric
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.agents import AgentRules
from fleetwatch.ledger.pipelines import rows as pipeline_rows
from fleetwatch.ledger.pipelines.counts import SignalRule
from fleetwatch.ledger.pipelines.pipelines import PipelineRules
from fleetwatch.records.pipelines import PhaseReport, RunReport, Tally, Usage
from support_ledger import BOOK
from support_pipelines import judged
from support_tasks import SECOND, Clock, at

RULES = PipelineRules(
    slots=2, max_phases=2, max_executions=4, max_open=3, keep_days=2, signals=(SignalRule("events", "counter"),)
)
"""So little of all that each bound is met."""
DAY = 86_400

_pipelines = st.sampled_from(["nightly", "weekly", "renamed"])
_runs = st.sampled_from(["r1", "r2", "r3", "r4"])
_seconds = st.integers(-200, 200)
_ends = st.sampled_from([None, ("success", "completed"), ("failure", "phase"), ("error", "killed")])
_numbers = st.integers(0, 9)


@st.composite
def _times(draw: st.DrawFn) -> dict[str, Any]:
    """When something began and ended, or that it is under way; seconds to the present, by any clock."""
    told: dict[str, Any] = {"state": "executing"}
    if draw(st.booleans()):
        told["started"] = draw(_seconds)
    if (end := draw(_ends)) is not None:
        told |= {"state": "ended", "ended": draw(_seconds), "result": end[0], "reason": end[1]}
    return told


@st.composite
def _tallies(draw: st.DrawFn) -> Tally:
    errors = draw(st.dictionaries(st.sampled_from(["OSError", "KeyError"]), _numbers, max_size=2))
    signals = draw(st.dictionaries(st.sampled_from(["events", "unheard"]), _numbers.map(float), max_size=2))
    return Tally(
        draw(_numbers), draw(_numbers), None, draw(_numbers), 0, 0, tuple(sorted(errors.items())),
        tuple(sorted(signals.items())),
    )  # fmt: skip


class PipelinesMachine(RuleBasedStateMachine):
    """Anything that senders, operators and machines do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp())
        self._clock = Clock()
        self._clock.now = 1000
        self._sent: list[RunReport | PhaseReport] = []
        self._group: list[RunReport | PhaseReport] = []
        self._gone: Counter[Metric] = Counter()
        """What was counted of rows that are forgotten, less what was forgotten of what is counted."""
        self._ledger = self._open(self._folder / "ledger.db")

    def _open(self, path: Path) -> Ledger:
        limits = AgentRules(limits={"pipeline": 2})
        return Ledger(path, BOOK, agents=limits, pipelines=RULES, clock=self._clock)

    def teardown(self) -> None:
        with contextlib.closing(self._ledger):
            self.commit()
            for _ in range(8):
                self._clock.now += DAY
                self._ledger.settle()
                self.counters_and_rows_agree()
            unfinished = self._ledger.query("SELECT run FROM pipeline_runs WHERE due > 0 AND state = 'ended'")
            unfinished += self._ledger.query("SELECT run FROM pipeline_runs WHERE state = 'ended' AND NOT settled")
            unfinished += self._ledger.query(
                "SELECT execution FROM pipeline_phases p JOIN pipeline_runs r USING (number) "
                "WHERE r.state = 'ended' AND (p.state <> 'ended' OR NOT p.is_counted OR NOT r.is_counted)"
            )
            assert unfinished == []
        shutil.rmtree(self._folder)

    # --- what happens

    def _tell(self, report: RunReport | PhaseReport, is_last: bool) -> None:
        self._group.append(report)
        if is_last:
            self.commit()

    @rule(
        pipeline=_pipelines, run=_runs, times=_times(), interval=st.sampled_from([None, 5 * SECOND]),
        is_last=st.booleans(),
    )  # fmt: skip
    def tell_a_run(self, pipeline: str, run: str, times: dict[str, Any], interval: int | None, is_last: bool) -> None:
        self._tell(RunReport(pipeline, run, self._clock(), interval=interval, **self._absolute(times)), is_last)

    @rule(
        pipeline=_pipelines, run=_runs, execution=st.integers(0, 5), times=_times(), tally=_tallies(), cpu=_numbers,
        part=st.sampled_from(["", "", "load"]), attempt=st.integers(1, 2), is_last=st.booleans(),
    )  # fmt: skip
    def tell_a_phase(  # noqa: PLR0917 - fields of one report
        self, pipeline: str, run: str, execution: int, times: dict[str, Any], tally: Tally, cpu: int, part: str,
        attempt: int, is_last: bool,
    ) -> None:  # fmt: skip
        name = f"P{execution % 3}"
        report = PhaseReport(
            pipeline, run, f"e{execution}", name, part, self._clock(), attempt, tally=tally,
            usage=Usage(cpu=cpu * SECOND), **self._absolute(times),
        )  # fmt: skip
        self._tell(report, is_last)

    def _absolute(self, times: dict[str, Any]) -> dict[str, Any]:
        return times | {name: at(self._clock.now + times[name]) for name in ("started", "ended") if name in times}

    @rule(pipeline=_pipelines, run=_runs)
    def give_up(self, pipeline: str, run: str) -> None:
        self._tell(judged(run, self._clock.now - 5, pipeline=pipeline), is_last=True)

    @rule(data=st.data())
    def resend(self, data: st.DataObject) -> None:
        if self._sent:
            self._group += data.draw(st.lists(st.sampled_from(self._sent), max_size=4))

    @rule()
    def commit(self) -> None:
        self._ledger.commit(self._group)
        self._sent += self._group
        self._group = []

    @rule()
    def fail_in_a_transaction(self) -> None:
        before = self._counted()
        real, self._ledger._counts.write = self._ledger._counts.write, self._fail  # type: ignore[method-assign]
        with contextlib.suppress(OSError):
            self._ledger.commit(self._group)
        self._ledger._counts.write = real  # type: ignore[method-assign]
        assert self._counted() == before

    @staticmethod
    def _fail() -> None:
        raise OSError("the disk is full")

    @rule(seconds=st.sampled_from([1, 5, 11, 61, 1000, 4000, DAY, 3 * DAY, -30, -5000]))
    def time_passes(self, seconds: int) -> None:
        self._clock.now += seconds
        self._ledger.settle()

    @rule()
    def restart(self) -> None:
        path = self._ledger.path
        self._ledger.close()
        self._ledger = self._open(path)

    @rule()
    def prune(self) -> None:
        before = self._rows()
        self._ledger.prune()
        self._gone += before
        self._gone.subtract(self._rows())

    @rule(pipeline=_pipelines)
    def forget(self, pipeline: str) -> None:
        before = self._counted()
        self._ledger.pipelines.forget(pipeline)
        self._gone.subtract(before)
        self._gone.update(self._counted())

    # --- what always holds

    def _counted(self) -> Counter[Metric]:
        """Sum of each counter, and number of each histogram, over all labels."""
        metrics = {metric.name: metric for metric in vars(pipelines).values() if isinstance(metric, Metric)}
        found: Counter[Metric] = Counter()
        for name, value, buckets in self._ledger.query("SELECT metric, value, buckets FROM counts"):
            if name in metrics:
                found[metrics[name]] += sum(json.loads(buckets)) if buckets else int(value)
        found[pipelines.PHASE_DURATION] += found[pipelines.SUBPHASE_DURATION]
        return found

    def _rows(self) -> Counter[Metric]:
        """The same by the rows."""
        found: Counter[Metric] = Counter()
        for item in pipeline_rows.with_phases(self._ledger._db, pipeline_rows.runs(self._ledger._db)):
            found[pipelines.RUNS] += item.run.is_counted
            found[pipelines.RUN_DURATION] += item.run.is_counted
            for phase in item.phases:
                # One that was taken for a part when it ended is counted as that.
                found[pipelines.PHASE_DURATION] += phase.is_counted
                if phase.subphase:
                    continue
                found[pipelines.PHASE_ITEMS] += phase.tally.items_in + phase.tally.items_out
                found[pipelines.PHASE_WARNINGS] += phase.tally.warnings
                found[pipelines.PHASE_RETRIES] += phase.attempt > 1
                found[pipelines.PHASE_ERRORS] += sum(number for _, number in phase.tally.errors)
                found[pipelines.PHASE_CPU] += phase.usage.cpu or 0 if phase.ended else 0
                events = dict(phase.tally.signals).get("events", 0)
                found[pipelines.SIGNAL_COUNT] += round(events * NANO)
        return found

    @invariant()
    def counters_and_rows_agree(self) -> None:
        counted, rows = self._counted(), self._rows()
        for metric in rows:
            assert counted[metric] == rows[metric] + self._gone[metric], metric.name

    @invariant()
    def nothing_lasts_less_than_nothing(self) -> None:
        for table in ("pipeline_runs", "pipeline_phases"):
            odd = f"SELECT 1 FROM {table} WHERE ended < started OR (ended IS NULL) = (state = 'ended')"
            assert self._ledger.query(odd) == []

    @invariant()
    def slots_and_names_are_bounded_and_nobody_s_twice(self) -> None:
        slots = self._ledger.query("SELECT pipeline, slot FROM pipeline_runs WHERE slot IS NOT NULL")
        assert len(slots) == len(set(slots))
        assert all(0 <= slot < RULES.slots for _, slot in slots)
        known = self._ledger.pipelines.known()
        assert len(known) <= 2
        assert {pipeline for pipeline, _ in slots} <= {item.pipeline for item in known}
        assert all(sum(not phase.subphase for phase in item.phases) <= RULES.max_phases for item in known)
        [(under_way,)] = self._ledger.query("SELECT count(*) FROM pipeline_runs WHERE state <> 'ended'")
        assert under_way <= RULES.max_open

    @invariant()
    def memory_is_as_the_file(self) -> None:
        mine, db = self._ledger.pipelines, self._ledger._db
        assert mine.known() == pipeline_rows.pipelines(db)
        for key, held in mine._runs._held.items():
            [row] = pipeline_rows.with_phases(db, pipeline_rows.runs(db, pipeline=key[0], run=key[1]))
            assert held.whole() == row
        assert mine._runs._rows == sum(held.weight for held in mine._runs._held.values())
        rings = {(name, slot, place.run) for name, ring in mine._slots._rings.items() for slot, place in ring.items()}
        assert rings == set(self._ledger.query("SELECT pipeline, slot, run FROM pipeline_runs WHERE slot IS NOT NULL"))
        [(under_way,)] = self._ledger.query("SELECT count(*) FROM pipeline_runs WHERE state <> 'ended'")
        assert mine._runs.number_open() == under_way


TestPipelinesMachine = PipelinesMachine.TestCase
TestPipelinesMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
