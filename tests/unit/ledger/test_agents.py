"""Tasks, tool calls and evaluations are counted once, and tasks cost what their calls cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.catalogue import agents
from fleetwatch.catalogue.metric import OTHER
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.agents import ABOUT, MOST_SCORE, WHOLE_TRACE, AgentRules
from fleetwatch.ledger.store import Record
from fleetwatch.ledger.traces import KEPT
from fleetwatch.records.agents import Evaluation
from support_ledger import BOOK, COST
from support_tasks import SECOND, Clock, Tally, at, llm, run, span_id, step, tool


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path, clock: Clock) -> Iterator[Ledger]:
    opened = Ledger(path, BOOK, clock=clock)
    yield opened
    opened.close()


def evaluation(number: int = 1, **fields: object) -> Evaluation:
    values = {
        "key": number.to_bytes(24, "big"), "at": at(1), "agent": "triage", "team": "support", "provider": "openai",
        "model": "gpt-4o", "name": "relevance", "score": 0.7, "verdict": "pass",
    }  # fmt: skip
    return Evaluation(**(values | fields))  # type: ignore[arg-type]


# --- at once


def test_a_task_is_counted_when_it_comes(ledger: Ledger) -> None:
    committed = ledger.commit([run("task", end=12.5, outcome="error", exit_reason="max_turns")])
    assert len(committed.fresh_runs) == 1
    tally = Tally().take(ledger)
    assert tally.of(agents.TASKS) == {("triage", "error", "max_turns"): 1}
    assert tally.counts["agent_task_duration_seconds", "triage"] == (12_500_000_000, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])


def test_a_tool_call_is_counted_with_its_edge(ledger: Ledger) -> None:
    committed = ledger.commit([tool("call", "unknown", 1, 3, outcome="timeout", tool="bash")])
    assert len(committed.fresh_tools) == 1
    tally = Tally().take(ledger)
    assert tally.of(agents.TOOL_CALLS) == {("triage", "bash", "timeout"): 1}
    assert tally.of(agents.TOOL_DURATION) == {("bash",): 2 * SECOND}
    assert tally.of(agents.EDGE_REQUESTS) == {("triage", "bash", "tool", "timeout"): 1}
    assert tally.of(agents.EDGE_TIME) == {("triage", "bash", "tool"): 2 * SECOND}


def test_a_model_call_is_an_edge_to_its_provider(ledger: Ledger) -> None:
    ledger.commit([llm("a", "", 1, 3), llm("b", "", 1, 2, model="o3"), llm("c", "", 1, 2, outcome="error")])
    ledger.commit([llm("a", "", 1, 3), llm("d", "", 1, 2)._replace(duration=None)])
    tally = Tally().take(ledger)
    assert tally.of(agents.EDGE_REQUESTS) == {
        ("triage", "openai", "model", "ok"): 3,
        ("triage", "openai", "model", "error"): 1,
    }
    assert tally.of(agents.EDGE_TIME) == {("triage", "openai", "model"): 4 * SECOND}


def test_what_is_sent_again_is_not_counted_again(path: Path, clock: Clock) -> None:
    group: list[Record] = [run("task"), tool("call", "task"), step("step", "task"), llm("chat", "task"), evaluation()]
    ledger = Ledger(path, BOOK, clock=clock)
    ledger.commit([*group, *group])
    committed = ledger.commit(group)
    assert (committed.fresh_runs, committed.fresh_tools, committed.evaluations) == ([], [], 0)
    truth = Tally().take(ledger).counts
    ledger.close()
    ledger = Ledger(path, BOOK, clock=clock)
    ledger.commit(group)
    assert Tally().take(ledger).counts == truth
    assert truth["agent_tasks_total", "triage", "ok", "completed"] == 1
    assert truth["agent_tool_calls_total", "triage", "search", "ok"] == 1
    assert truth["agent_evaluations_total", "triage", "gpt-4o", "relevance", "pass"] == 1
    ledger.close()


def test_two_instrumentations_of_a_task_are_one_in_one_group_or_two(ledger: Ledger) -> None:
    ledger.commit([run("b", "a", 1, 9, trace="one"), run("a", trace="one")])
    ledger.commit([run("b", "a", 1, 9, trace="two")])
    ledger.commit([run("a", trace="two")])
    ledger.commit([run("a", trace="three")])
    ledger.commit([run("b", "a", 1, 9, trace="three")])
    assert Tally().take(ledger).of(agents.TASKS) == {("triage", "ok", "completed"): 3}


def test_two_instrumentations_of_a_tool_call_are_one(ledger: Ledger) -> None:
    same = b"call-id1"
    assert len(ledger.commit([tool("a", "x", call_id=same)]).fresh_tools) == 1
    assert ledger.commit([tool("b", "y", call_id=same)]).fresh_tools == []
    assert len(ledger.commit([tool("c", "z", trace="other", call_id=same)]).fresh_tools) == 1
    ledger.commit([tool("outer", "x", 1, 4, trace="third"), tool("inner", "outer", 2, 3, trace="third")])
    assert Tally().take(ledger).of(agents.TOOL_CALLS) == {("triage", "search", "ok"): 3}


def test_an_evaluation_is_counted_with_its_score(ledger: Ledger) -> None:
    bad = [evaluation(number, score=score) for number, score in ((4, float("nan")), (5, float("inf")), (6, 1e300))]
    committed = ledger.commit([evaluation(1), evaluation(2, score=None, verdict=""), evaluation(3, score=1.0), *bad])
    assert committed.evaluations == 6
    tally = Tally().take(ledger)
    assert tally.of(agents.EVALUATIONS) == {
        ("triage", "gpt-4o", "relevance", "pass"): 5,
        ("triage", "gpt-4o", "relevance", ""): 1,
    }
    assert tally.counts["agent_evaluation_score", "triage", "gpt-4o", "relevance"] == (
        1_700_000_000,
        [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0],
    )
    assert MOST_SCORE < 1e300


def test_what_has_no_trace_is_nobody_s_task(ledger: Ledger) -> None:
    nowhere = bytes(16) + span_id("a")
    assert ledger.commit([run("a")._replace(span=nowhere), run("b")._replace(span=b"")]).fresh_runs == []


def test_a_group_that_fails_leaves_nothing_behind(ledger: Ledger) -> None:
    """An evaluation that no file can hold is met when all else is counted."""
    with pytest.raises(OverflowError):
        ledger.commit([run("task", agent="new"), tool("call"), evaluation(key=1 << 70)])
    assert ledger.counts() == []
    ledger.commit([run("task", agent="new")])
    assert Tally().take(ledger).of(agents.TASKS) == {("new", "ok", "completed"): 1}


# --- settled


def _between_agents(tally: Tally) -> dict[tuple[str, str], int]:
    edges = tally.of(agents.EDGE_REQUESTS).items()
    return {(source, target): calls for (source, target, kind, _), calls in edges if kind == "agent"}


def look(ledger: Ledger, clock: Clock, seconds: float) -> Tally:
    clock.now = seconds
    ledger.settle()
    return Tally().take(ledger)


def test_a_task_costs_what_its_calls_and_those_of_its_sub_agents_cost(ledger: Ledger, clock: Clock) -> None:
    clock.now = 10
    ledger.commit([
        llm("c1", "inner", 2, 3), llm("c2", "inner", 3, 4), tool("t1", "inner", 4, 5),
        run("inner", "outer", 1, 6, agent="writer"), llm("c3", "outer", 7, 8), run("outer", agent="planner"),
    ])  # fmt: skip
    Tally().take(ledger)
    assert look(ledger, clock, 19.9).counts == {}
    tally = look(ledger, clock, 20)
    assert tally.of(agents.TASK_COST) == {("writer",): 2 * COST, ("planner",): 3 * COST}
    assert tally.of(agents.TASK_LLM_CALLS) == {("writer",): 2 * SECOND, ("planner",): 3 * SECOND}
    assert tally.of(agents.TASK_TOOL_CALLS) == {("writer",): SECOND, ("planner",): SECOND}
    assert tally.of(agents.TASK_SPENT) == {("planner", "support", "ok"): 3 * COST}
    assert tally.of(agents.MODEL_TASKS) == {("openai", "gpt-4o", "ok"): 1}
    assert tally.of(agents.MODEL_TASK_SPENT) == {("openai", "gpt-4o", "ok"): 3 * COST}
    assert tally.of(agents.MODEL_TOOL_CALLS) == {("openai", "gpt-4o", "ok"): 1}
    assert tally.of(agents.EDGE_REQUESTS) == {("planner", "writer", "agent", "ok"): 1}
    assert tally.of(agents.EDGE_TIME) == {("planner", "writer", "agent"): 5 * SECOND}
    assert tally.of(agents.TASKS_UNPRICED) == {}
    assert look(ledger, clock, 10_000).counts == {}


def test_a_call_of_unknown_price_is_told(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([llm("call", "task", model="nobody-knows"), run("task")])
    tally = look(ledger, clock, 20)
    assert tally.of(agents.TASKS_UNPRICED) == {("triage",): 1}
    assert (tally.of(agents.TASK_COST), tally.number(agents.TASK_COST, "triage")) == ({}, 0)  # and not a cost of 0


def test_the_same_call_seen_twice_costs_once(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([llm("a", "task", key=b"response"), llm("b", "task", key=b"response"), run("task")])
    tally = look(ledger, clock, 20)
    assert tally.of(agents.TASK_SPENT) == {("triage", "support", "ok"): COST}
    assert tally.of(agents.TASK_LLM_CALLS) == {("triage",): SECOND}


def test_a_call_that_comes_after_its_task_was_settled_is_spent_once(ledger: Ledger, clock: Clock) -> None:
    group: list[Record] = [llm("c1", "task"), run("task")]
    ledger.commit(group)
    tally = look(ledger, clock, 20)
    clock.now = 100
    late: list[Record] = [llm("c2", "task"), tool("t1", "task")]
    ledger.commit(late)
    tally.take(ledger)
    for seconds in (110, 111, 200):
        clock.now = seconds
        ledger.settle()
        ledger.commit([*late, *group])
    tally.take(ledger)
    assert tally.of(agents.TASK_SPENT) == {("triage", "support", "ok"): 2 * COST}
    assert tally.of(agents.TASK_COST) == {("triage",): COST}
    assert tally.of(agents.MODEL_TOOL_CALLS) == {("openai", "gpt-4o", "ok"): 1}
    assert tally.of(agents.MODEL_TASKS) == {("openai", "gpt-4o", "ok"): 1}


def test_a_lone_call_that_comes_late_to_the_next_process_is_spent(path: Path, clock: Clock) -> None:
    ledger = Ledger(path, BOOK, clock=clock)
    ledger.commit([run("task")])
    look(ledger, clock, 20)
    ledger.close()
    ledger = Ledger(path, BOOK, clock=clock)
    ledger.commit([llm("late", "task")])
    tally = look(ledger, clock, 30)
    assert tally.of(agents.TASK_SPENT) == {("triage", "support", "ok"): COST}
    ledger.close()


def test_a_caller_that_comes_long_after_is_linked(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([llm("c1", "inner", 1, 2), run("inner", "outer", 1, 3, agent="writer")])
    tally = look(ledger, clock, 15)
    assert tally.of(agents.TASK_COST) == {("writer",): COST}
    assert (tally.of(agents.TASK_SPENT), _between_agents(tally)) == ({}, {})
    clock.now = 25
    ledger.commit([run("outer", end=25)])
    tally = look(ledger, clock, 35)
    assert tally.of(agents.TASK_SPENT) == {("triage", "support", "ok"): COST}
    assert _between_agents(tally) == {("triage", "writer"): 1}


def test_what_was_open_when_the_process_ended_is_settled_by_the_next(path: Path, clock: Clock) -> None:
    first = Ledger(path, BOOK, clock=clock)
    first.commit([llm("c1", "task"), run("task")])
    first.close()
    clock.now = 1000
    second = Ledger(path, BOOK, clock=clock)
    tally = Tally().take(second)
    assert look(second, clock, 1009).counts == {}
    second.commit([llm("c2", "task")])
    clock.now = 1010
    second.settle()
    assert tally.take(second).of(agents.TASK_COST) == {("triage",): 2 * COST}
    second.close()


def test_the_settings_say_when_a_task_is_settled(path: Path, clock: Clock) -> None:
    ledger = Ledger(path, BOOK, clock=clock, agents=AgentRules(grace=1, quiet=3))
    ledger.commit([llm("call", "task"), run("task", "http")])
    assert look(ledger, clock, 1).of(agents.TASK_COST) == {("triage",): COST}
    assert look(ledger, clock, 2.9).counts == {}
    assert look(ledger, clock, 3).of(agents.TASK_SPENT) == {("triage", "support", "ok"): COST}
    ledger.close()


def test_agents_past_the_bound_are_other_and_the_sums_stay_exact(path: Path, clock: Clock) -> None:
    ledger = Ledger(path, BOOK, clock=clock, agents=AgentRules(limits={"agent": 2}))
    for number in range(5):
        ledger.commit([llm("call", "task", trace=f"t{number}"), run("task", trace=f"t{number}", agent=f"a{number}")])
    tally = look(ledger, clock, 20)
    assert tally.of(agents.TASK_COST) == {("a0",): COST, ("a1",): COST, (OTHER,): 3 * COST}
    assert tally.of(agents.TASKS) == {
        ("a0", "ok", "completed"): 1, ("a1", "ok", "completed"): 1, (OTHER, "ok", "completed"): 3,
    }  # fmt: skip
    assert ledger.overflows()["agent_tasks_total", "agent"] == 3
    ledger.close()


def test_a_long_trace_is_settled_task_by_task(ledger: Ledger, clock: Clock) -> None:
    """A service that does all its work in one trace: what is long past is not read again."""
    length = ABOUT / SECOND / 2
    for begin in range(3):
        clock.now = begin * 1000
        ledger.commit([step(f"s{begin}x{number}", "", clock.now, clock.now) for number in range(WHOLE_TRACE)])
        ledger.commit([
            llm(f"c{begin}", f"r{begin}", clock.now, clock.now + 1),
            tool(f"t{begin}", f"r{begin}", clock.now, clock.now + 1),
            run(f"i{begin}", f"r{begin}", clock.now, clock.now + length),
            run(f"r{begin}", "", clock.now, clock.now + length),
        ])  # fmt: skip
        clock.now += 10
        ledger.settle()
    tally = Tally().take(ledger)
    assert tally.of(agents.TASKS) == {("triage", "ok", "completed"): 3}
    assert tally.of(agents.TASK_SPENT) == {("triage", "support", "ok"): 3 * COST}
    assert tally.of(agents.TASK_LLM_CALLS) == {("triage",): 3 * SECOND}


def test_a_task_in_a_long_busy_trace_is_booked_when_it_falls_quiet(ledger: Ledger, clock: Clock) -> None:
    """However long that takes, what is not booked yet is not forgotten."""
    ledger.commit([llm("call", "task"), run("task", "http")])
    for clock.now in range(20, 300, 20):
        ledger.commit([step(f"s{clock.now}x{number}", "http", clock.now, clock.now) for number in range(WHOLE_TRACE)])
        ledger.settle()
    assert Tally().take(ledger).of(agents.TASK_SPENT) == {}
    assert look(ledger, clock, 400).of(agents.TASK_SPENT) == {("triage", "support", "ok"): COST}


def test_what_is_a_day_old_is_forgotten_and_the_counts_stay(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([run("task"), evaluation()])
    tally = look(ledger, clock, 20)
    clock.now = KEPT / SECOND + 1
    for _ in range(3):
        ledger.prune()
    for table in ("trace_spans", "traces_open", "evaluations"):
        assert ledger.query(f"SELECT count(*) FROM {table}") == [(0,)]
    assert Tally().take(ledger).counts == {}
    assert tally.of(agents.TASKS) == {("triage", "ok", "completed"): 1}
