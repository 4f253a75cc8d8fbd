"""Runs cost what the LLM calls of their trace cost, and their share of the machine; each dollar once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleetwatch.catalogue import agents, pipelines
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.pipelines import costs as run_costs
from fleetwatch.ledger.pipelines.pipelines import LONG, LOOK
from fleetwatch.reckon.run_cost import MachineRule
from fleetwatch.records.pipelines import Usage
from support_ledger import BOOK, COST
from support_pipelines import Opened, begun, ended, judged, one_phase, phase, traced, traced_phase, whole
from support_tasks import SECOND, Clock, llm, run, step, tool
from support_tasks import Tally as Counted

DOLLAR = 10**9
MACHINES = (MachineRule("gpu-*", 36 * DOLLAR, whole=True), MachineRule("node-*", 3600 * DOLLAR))


@pytest.fixture
def ledger(opened: Opened) -> Ledger:
    return opened(machines=MACHINES, signals=())


def settled(ledger: Ledger, clock: Clock) -> Counted:
    """What is counted when all is quiet."""
    clock.now += 11
    ledger.settle()
    return Counted().take(ledger)


# --- LLM calls


def test_a_call_is_of_the_nearest_phase_above_it(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([
        llm("c1", "s1", 2, 3), llm("c2", "tool", 11, 12), llm("c3", "top", 40, 41), tool("tool", "p2", 10, 13),
        step("s1", "p1", 1, 4), step("p1", "top", 0, 9), step("p2", "top", 9, 20), step("top", "", 0, 60),
        traced_phase(phase("P01", 0, 9), "p1", "top"), traced_phase(phase("P02", 9, 20), "p2", "top"),
        traced(ended(), "top"),
    ])  # fmt: skip
    assert Counted().take(ledger).of(pipelines.RUN_SPENT) == {}
    assert whole(ledger).run.llm_cost is None
    counted = settled(ledger, clock)
    assert counted.of(pipelines.RUN_SPENT) == {("nightly", "llm"): 3 * COST}
    assert counted.of(pipelines.PHASE_SPENT) == {("nightly", "P01", "llm"): COST, ("nightly", "P02", "llm"): COST}
    item = whole(ledger)
    assert (item.run.settled, item.run.llm_cost, item.run.llm_calls, item.run.llm_unpriced) == (True, 3 * COST, 3, 0)
    assert [found.llm_cost for found in item.phases] == [COST, COST]


def test_where_the_chain_breaks_it_is_the_innermost_phase_in_time(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([
        llm("c1", "lost", 2, 3), llm("c2", "gone", 12, 13), llm("c3", "away", 50, 51),
        traced_phase(phase("P01", 0, 9), "p1", "top"),
        traced_phase(phase("P02", 10, 20), "p2", "top"), traced_phase(phase("P03", 10, 20), "p3", "top"),
        traced(ended(), "top"),
    ])  # fmt: skip
    counted = settled(ledger, clock)
    assert counted.of(pipelines.PHASE_SPENT) == {("nightly", "P01", "llm"): COST}, "of P02 and P03 nobody knows"
    assert counted.of(pipelines.RUN_SPENT) == {("nightly", "llm"): 3 * COST}


def test_calls_that_come_late_are_added_once(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([llm("c1", "p1", 2, 3), traced_phase(phase("P01", 0, 9), "p1", "top"), traced(ended(), "top")])
    counted = settled(ledger, clock)
    for _ in range(2):
        clock.now += 3600
        ledger.commit([llm("c1", "p1", 2, 3), llm("c2", "p1", 4, 5), llm("elsewhere", "", 4, 5, trace="u")])
        clock.now += 11
        ledger.settle()
    counted.take(ledger)
    assert counted.of(pipelines.RUN_SPENT) == {("nightly", "llm"): 2 * COST}
    assert counted.of(pipelines.PHASE_SPENT) == {("nightly", "P01", "llm"): 2 * COST}
    assert whole(ledger).run.llm_calls == 2


def test_a_restart_between_end_and_settlement_loses_nothing(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "ledger.db"
    first = Ledger(path, BOOK, clock=clock)
    first.commit([llm("c1", "top", 2, 3), traced(ended(), "top")])
    first.close()
    for _ in range(2):
        again = Ledger(path, BOOK, clock=clock)
        again.commit([llm("c1", "top", 2, 3), traced(ended(), "top")])
        assert settled(again, clock).of(pipelines.RUN_SPENT) == {("nightly", "llm"): COST}
        clock.now += 100
        again.close()


def test_a_run_inside_a_run_pays_for_its_own(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([
        llm("c1", "inner", 12, 13), llm("c2", "outer", 2, 3), step("inner", "outer", 10, 20), step("outer", "", 0, 60),
        traced(ended("r1", 0, 60, pipeline="outer"), "outer"), traced(ended("r1", 10, 20, pipeline="inner"), "inner"),
    ])  # fmt: skip
    assert settled(ledger, clock).of(pipelines.RUN_SPENT) == {("outer", "llm"): COST, ("inner", "llm"): COST}


def test_a_call_without_a_price_makes_the_run_unpriced(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([
        llm("c1", "top", 2, 3, model="nobody-knows-it"), llm("c2", "top", 2, 3), traced(ended(), "top"),
    ])  # fmt: skip
    counted = settled(ledger, clock)
    assert counted.of(pipelines.RUNS_UNPRICED) == {("nightly", "llm"): 1, ("nightly", "machine"): 1}
    run_now = whole(ledger).run
    assert (run_now.llm_cost, run_now.llm_calls, run_now.llm_unpriced) == (COST, 2, 1)


def test_a_run_without_a_trace_has_no_cost_and_not_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([ended("r1"), traced(ended("r2"), "top")])
    counted = settled(ledger, clock)
    assert whole(ledger, "r1").run.llm_cost is None
    assert whole(ledger, "r2").run.llm_cost == 0
    assert counted.of(pipelines.RUN_SPENT) == {}


def test_agents_inside_a_phase_pay_both_their_task_and_the_run(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([
        llm("c1", "task", 2, 3), run("task", "p1", 1, 4), step("p1", "top", 0, 9), step("top", "", 0, 60),
        traced_phase(phase("P01", 0, 9), "p1", "top"), traced(ended(), "top"),
    ])  # fmt: skip
    clock.now += 40
    counted = settled(ledger, clock)
    assert counted.of(agents.TASK_SPENT) == {("triage", "support", "ok"): COST}
    assert counted.of(pipelines.PHASE_SPENT) == {("nightly", "P01", "llm"): COST}
    clock.now += 40
    assert settled(ledger, clock).of(pipelines.RUN_SPENT) == {}


def test_a_long_trace_is_booked_in_pieces(ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_costs, "WHOLE", 8)
    monkeypatch.setattr(run_costs, "PIECE", 5)
    ledger.commit([llm(f"c{number}", "p1", 2, 3) for number in range(23)])
    ledger.commit([traced_phase(phase("P01", 0, 9), "p1", "top"), traced(ended(), "top")])
    counted = settled(ledger, clock)
    for _ in range(6):
        clock.now += 1
        ledger.settle()
    counted.take(ledger)
    assert counted.of(pipelines.PHASE_SPENT) == {("nightly", "P01", "llm"): 23 * COST}


def test_a_run_of_days_is_booked_before_its_calls_are_forgotten(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([traced(begun(), "top"), traced_phase(phase("P01", 0), "p1", "top"), llm("c1", "p1", 2, 3)])
    counted = Counted()
    for _ in range(60):
        clock.now += LOOK // SECOND + 1
        ledger.commit([traced_phase(phase("P01", 0, at=clock()), "p1", "top")])
        ledger.settle()
        ledger.prune()
    assert clock.now > 2 * LONG // SECOND
    assert ledger.query("SELECT count(*) FROM trace_spans") == [(0,)]
    counted.take(ledger)
    assert counted.of(pipelines.RUN_SPENT) == {}, "a run pays when it ends"
    end = clock.now
    ledger.commit([traced_phase(phase("P01", 0, end), "p1", "top"), traced(ended("r1", 0, end), "top")])
    counted = settled(ledger, clock)
    assert counted.of(pipelines.RUN_SPENT) == {("nightly", "llm"): COST}
    assert counted.of(pipelines.PHASE_SPENT) == {("nightly", "P01", "llm"): COST}


# --- machines


def test_a_share_of_processors_is_a_share_of_the_price(ledger: Ledger, clock: Clock) -> None:
    """3,600 dollars an hour are one a second: 30 of 4 x 60 processor seconds are an eighth of a minute's 60 dollars."""
    cpu = Usage(cpu=30 * SECOND)
    half = Usage(cpu=10 * SECOND)
    ledger.commit([phase("P01", 0, 9, usage=half), phase("P02", 9, 20), ended(host="node-1", cores=4, usage=cpu)])
    counted = settled(ledger, clock)
    assert counted.of(pipelines.RUN_SPENT) == {("nightly", "machine"): 7_500_000_000}
    assert counted.of(pipelines.PHASE_SPENT) == {("nightly", "P01", "machine"): 2_500_000_000}
    assert one_phase(ledger, "P02").machine_cost is None
    assert counted.of(pipelines.RUNS_UNPRICED) == {}


def test_a_run_that_told_no_processor_time_took_what_its_phases_did(ledger: Ledger, clock: Clock) -> None:
    parts = [phase(name, 0, 9, usage=Usage(cpu=8 * SECOND)) for name in ("P01", "P02")]
    ledger.commit([*parts, ended(host="node-1", cores=4)])
    assert settled(ledger, clock).of(pipelines.RUN_SPENT) == {("nightly", "machine"): 4_000_000_000}


def test_a_whole_machine_is_divided_among_what_ran_at_once(ledger: Ledger, clock: Clock) -> None:
    """36 dollars an hour are a cent a second."""
    ledger.commit([phase("P01", 0, 20), phase("P02", 10, 30), phase("P03", 10, 20), ended(host="gpu-7")])
    counted = settled(ledger, clock)
    assert counted.of(pipelines.RUN_SPENT) == {("nightly", "machine"): 600_000_000}
    spent = {labels[1]: amount for labels, amount in counted.of(pipelines.PHASE_SPENT).items()}
    assert spent == {"P01": 133_333_333, "P02": 133_333_333, "P03": 33_333_333}


@pytest.mark.parametrize(
    "fields",
    [{"host": "other-1", "cores": 4}, {"host": "node-1"}, {"host": "node-1", "cores": 4, "usage": None}, {"cores": 4}],
)
def test_what_is_not_known_is_not_nothing(ledger: Ledger, clock: Clock, fields: dict[str, Any]) -> None:
    ledger.commit([ended(**({"usage": Usage(cpu=SECOND)} | fields))])
    counted = settled(ledger, clock)
    assert whole(ledger).run.machine_cost is None
    assert counted.of(pipelines.RUNS_UNPRICED) == {("nightly", "machine"): 1}


def test_the_real_end_adds_what_it_cost_more(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([begun(host="gpu-7"), judged(end=30)])
    counted = settled(ledger, clock)
    assert counted.of(pipelines.RUN_SPENT) == {("nightly", "machine"): 300_000_000}
    ledger.commit([ended(host="gpu-7")])
    counted = settled(ledger, clock)
    assert counted.of(pipelines.RUN_SPENT) == {("nightly", "machine"): 300_000_000}
    assert whole(ledger).run.machine_cost == 600_000_000
