"""Whatever comes in whatever order, grouping and number, and whenever the process dies: rows and counters are exact."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import NANO
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.pipelines.counts import SignalRule
from fleetwatch.ledger.pipelines.pipelines import PipelineRules
from fleetwatch.ledger.store import Record
from fleetwatch.records.pipelines import PhaseReport, RunReport, Tally, Usage
from support_deaths import Deaths, groups
from support_ledger import BOOK, COST
from support_pipelines import begun, ended, phase, traced, traced_phase
from support_tasks import SECOND, Clock, at, llm
from support_tasks import Tally as Counted

RULES = PipelineRules(signals=(SignalRule("events", "counter"), SignalRule("pressure", "gauge")))


class Plant:
    """Random runs of phases that beat while they last, and the truth of what is counted of them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.records: list[RunReport | PhaseReport | Record] = []
        self.truth: dict[str, Counter[tuple[str, ...]]] = {}
        self.runs: set[tuple[str, str]] = set()
        for number in range(self._random.randint(1, 4)):
            self._run(f"r{number}")

    def _count(self, metric: Any, labels: tuple[str, ...], amount: int = 1) -> None:
        if amount:
            self.truth.setdefault(metric.name, Counter())[labels] += amount

    def _run(self, name: str) -> None:
        pipeline = self._random.choice(["nightly", "weekly"])
        length = self._random.randint(10, 90)
        result, reason = self._random.choice([("success", "completed"), ("failure", "phase"), ("error", "killed")])
        top: dict[str, Any] = {"trace": name}
        self.records.append(traced(begun(name, pipeline=pipeline, interval=5 * SECOND), "top", **top))
        calls = sum(self._phase(pipeline, name, place, length) for place in range(self._random.randint(0, 4)))
        end = ended(name, 0, length, pipeline=pipeline, result=result, reason=reason)
        self.records.append(traced(end, "top", **top))
        self.runs.add((pipeline, name))
        self._count(pipelines.RUNS, (pipeline, result, reason))
        self._count(pipelines.RUN_DURATION, (pipeline, result), length * SECOND)
        self._count(pipelines.RUN_SPENT, (pipeline, "llm"), calls * COST)

    def _phase(self, pipeline: str, run: str, place: int, length: int) -> int:
        """One phase with its beats and calls; returns how many calls."""
        name, part = f"P{place % 3}", self._random.choice(["", "", "load"])
        start = self._random.randint(0, length - 5)
        end = self._random.randint(start + 1, length)
        fields: dict[str, Any] = {"run": run, "pipeline": pipeline, "execution": f"e{place}", "subphase": part}
        fields["attempt"] = 1 + place // 3
        steps = self._random.randint(0, 3)
        items = errors = 0
        events = 0.0
        for number in range(steps + 1):
            items += self._random.randint(0, 9)
            errors += self._random.randint(0, 1)
            events += self._random.choice([0, 0.5, 2])
            signals = (("events", events), ("pressure", float(number)))
            tally = Tally(items, items // 2, 100, number, 0, 0, (("OSError", errors),) if errors else (), signals)
            told = {**fields, "tally": tally, "usage": Usage(cpu=(number + 1) * SECOND, written=items)}
            when = start + (end - start) * number / (steps + 1)
            report = phase(name, start, end if number == steps else None, **told)
            report = report if number == steps else report._replace(at=at(when))
            self.records.append(traced_phase(report, f"e{place}", "top", trace=run))
        calls = 0 if part else self._random.randint(0, 2)
        for number in range(calls):
            self.records.append(llm(f"c{place}{number}", f"e{place}", start, start + 1, trace=run))
        if part:
            self._count(pipelines.SUBPHASE_DURATION, (pipeline, name, part, "success"), (end - start) * SECOND)
            return 0
        labels = (pipeline, name)
        self._count(pipelines.PHASE_DURATION, (*labels, "success"), (end - start) * SECOND)
        self._count(pipelines.PHASE_SQUARES, labels, (end - start) ** 2 * NANO)
        self._count(pipelines.PHASE_WITHOUT_ARTIFACTS, labels)
        self._count(pipelines.PHASE_ITEMS, (*labels, "in"), items)
        self._count(pipelines.PHASE_ITEMS, (*labels, "out"), items // 2)
        self._count(pipelines.PHASE_ERRORS, (*labels, "OSError"), errors)
        self._count(pipelines.PHASE_WARNINGS, labels, steps)
        self._count(pipelines.PHASE_CPU, labels, (steps + 1) * SECOND)
        self._count(pipelines.PHASE_IO, (*labels, "write"), items)
        self._count(pipelines.PHASE_RETRIES, labels, int(place >= 3))
        self._count(pipelines.SIGNAL_COUNT, (*labels, "events"), round(events * NANO))
        self._count(pipelines.PHASE_SPENT, (*labels, "llm"), calls * COST)
        return calls

    def check(self, ledger: Ledger) -> None:
        """Compare all that is counted, and the rows that are there."""
        counted = Counted().take(ledger)
        for metric in (value for value in vars(pipelines).values() if getattr(value, "durable", False)):
            assert counted.of(metric) == dict(self.truth.get(metric.name, {})), metric.name
        rows = ledger.query("SELECT pipeline, run, state, settled, is_counted FROM pipeline_runs")
        assert set(rows) == {(*key, "ended", 1, 1) for key in self.runs}


def rows(ledger: Ledger) -> list[tuple[Any, ...]]:
    """All of the file but what tells when and in which order something came."""
    runs = ledger.query("SELECT * FROM pipeline_runs ORDER BY pipeline, run")
    names = [item[1] for item in ledger.query("SELECT * FROM pragma_table_info('pipeline_runs')")]
    order = {"number", "seen", "first_seen", "slot", "due"}
    kept = [tuple(value for name, value in zip(names, row, strict=True) if name not in order) for row in runs]
    phases = ledger.query(
        "SELECT r.pipeline, r.run, p.execution, p.phase, p.subphase, p.attempt, p.state, p.result, p.started, p.ended, "
        "p.sent, p.llm_cost, p.cpu, p.written, p.items_in, p.items_out, p.warnings, p.errors, p.signals, p.told "
        "FROM pipeline_phases p JOIN pipeline_runs r ON r.number = p.number ORDER BY 1, 2, 3"
    )
    return [*kept, *phases]


def _open(opened: contextlib.ExitStack, path: Path, clock: Clock) -> Ledger:
    return opened.enter_context(contextlib.closing(Ledger(path, BOOK, pipelines=RULES, clock=clock)))


def _at_end(ledger: Ledger, clock: Clock) -> None:
    for _ in range(3):
        clock.now += 100
        ledger.settle()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_any_order_grouping_and_resending_gives_the_same_rows_and_counts(
    seed: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plant = Plant(seed)
    folder = tmp_path_factory.mktemp("exact")
    clock = Clock()
    clock.now = 100
    with contextlib.ExitStack() as opened:
        straight = _open(opened, folder / "straight.db", clock)
        straight.commit(plant.records)
        _at_end(straight, clock)
        truth = rows(straight)
        plant.check(straight)
    records = list(plant.records)
    if data.draw(st.booleans(), label="shuffled"):
        random.Random(seed).shuffle(records)
    records += data.draw(st.lists(st.sampled_from(records), max_size=5), label="resent")
    clock.now = 100
    with contextlib.ExitStack() as opened:
        ledger = _open(opened, folder / "ledger.db", clock)
        for group in groups(data, records):
            ledger.commit(group)
            # All of it within the time that is waited for what belongs together.
            clock.now += data.draw(st.sampled_from([0, 0.5, 1]))
            if data.draw(st.booleans(), label="restart"):
                opened.close()
                ledger = _open(opened, folder / "ledger.db", clock)
        _at_end(ledger, clock)
        # All is in the file.
        opened.close()
        ledger = _open(opened, folder / "ledger.db", clock)
        plant.check(ledger)
        assert rows(ledger) == truth


@pytest.mark.parametrize("seed", range(3))
def test_a_process_that_dies_between_any_two_steps_and_a_sender_that_comes_again_leave_exact_numbers(
    seed: int, tmp_path: Path
) -> None:
    """The steps: every write of counts in every transaction, before and after it, and every commit."""
    plant = Plant(seed)
    path = tmp_path / "ledger.db"
    deaths = Deaths(path)
    clock = Clock()
    clock.now = 100
    with deaths.around_counts(), contextlib.ExitStack() as opened:
        ledger = _open(opened, path, clock)
        for number in range(5):
            ledger.commit(plant.records[number::5])
            deaths.copy()
        _at_end(ledger, clock)
        truth = rows(ledger)
        plant.check(ledger)
    assert len(deaths.copies) > 15
    for copy in deaths.copies:
        with contextlib.ExitStack() as opened:
            again = _open(opened, copy, clock)
            again.commit(plant.records)
            _at_end(again, clock)
            plant.check(again)
            assert rows(again) == truth


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_two_runs_have_one_slot_and_none_is_free_while_a_run_waits(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is in memory, what is in the file, and what a new process makes of it are the same."""
    path = tmp_path_factory.mktemp("slots") / "ledger.db"
    clock = Clock()
    rules = PipelineRules(slots=3)
    names = st.sampled_from("abcdefgh")
    events = st.lists(st.tuples(names, st.booleans(), st.integers(0, 90)), min_size=1, max_size=6)
    with contextlib.ExitStack() as opened:
        ledger = opened.enter_context(contextlib.closing(Ledger(path, BOOK, pipelines=rules, clock=clock)))
        told: dict[str, int | None] = {}
        for group in data.draw(st.lists(events, min_size=1, max_size=6)):
            clock.now += 100
            ledger.commit([ended(run, 0, end) if is_end else begun(run, end) for run, is_end, end in group])
            told |= {item.run.run: item.run.slot for item in ledger.pipelines.take_changed()}
            if data.draw(st.booleans(), label="restart"):
                opened.close()
                ledger = opened.enter_context(contextlib.closing(Ledger(path, BOOK, pipelines=rules, clock=clock)))
            rows = ledger.query("SELECT run, slot, state FROM pipeline_runs")
            assert told == {run: slot for run, slot, _ in rows}
            taken = {slot: state for _, slot, state in rows if slot is not None}
            assert len(taken) == sum(slot is not None for _, slot, _ in rows) == min(3, len(rows))
            if any(slot is None and state != "ended" for _, slot, state in rows):
                assert "ended" not in taken.values()


def test_the_plants_are_worth_their_name() -> None:
    """The property above is about something."""
    planted = [Plant(seed) for seed in range(100)]
    counted = Counter(name for plant in planted for name in plant.truth)
    names = {metric.name for metric in vars(pipelines).values() if getattr(metric, "durable", False)}
    missing = {"runs_corrected", "runs_unpriced", "artifacts", "artifact.size"}
    assert {name for name in names if not any(name.endswith(word) for word in missing)} <= counted.keys()
