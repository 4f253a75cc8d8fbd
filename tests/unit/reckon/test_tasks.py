"""Tasks: what is one, what it cost, who called whom."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon import tasks
from fleetwatch.reckon.span_tree import Span, Tree
from fleetwatch.reckon.tasks import (
    BOOKED,
    OUTERMOST_WAIT,
    REPEAT,
    UNDECIDED_WAIT,
    Edge,
    ModelShare,
    Rules,
    Settled,
    Spent,
    Task,
)
from support_tasks import SECOND, at, llm, node, run, soups, span_id, step, tool

RULES = Rules(grace=10 * SECOND, quiet=30 * SECOND)


def repeats(*spans: Span, fresh: str = "") -> list[str]:
    """Names of the repeats; `fresh`: names that came now, all where it is left out."""
    names = [span_id(name) for name in fresh.split()] if fresh else [span.span for span in spans if span.agent]
    return sorted(span.rstrip(b".").decode() for span in tasks.repeats(spans, names))


def settle(spans: list[Span], seconds: float) -> tuple[Settled, list[Span]]:
    """What a look at that time finds, and the spans as they are afterwards."""
    settled = tasks.settle(spans, at(seconds), RULES)
    return settled, [span._replace(flags=settled.flags.get(span.span, span.flags)) for span in spans]


# --- what is the same


def test_of_two_sightings_of_a_task_the_inner_one_counts() -> None:
    assert repeats(node(run("outer")), node(run("inner", "outer", 1, 9))) == ["outer"]


def test_the_sighting_that_came_first_stays_counted() -> None:
    spans = (node(run("outer")), node(run("inner", "outer", 1, 9)))
    assert repeats(*spans, fresh="inner") == ["inner"]


def test_steps_and_calls_between_two_sightings_change_nothing() -> None:
    spans = (
        node(run("outer")),
        node(step("chain", "outer", 1, 9)),
        node(llm("call", "chain", 1, 9), kind="again"),
        node(run("inner", "call", 2, 8)),
    )
    assert repeats(*spans, fresh="outer inner") == ["outer"]


def test_three_sightings_are_one_task() -> None:
    assert repeats(node(run("a")), node(run("b", "a", 1, 9)), node(run("c", "b", 2, 8))) == ["a", "b"]


def test_another_agent_is_another_task() -> None:
    assert repeats(node(run("outer")), node(run("inner", "outer", 1, 9, agent="writer"))) == []


def test_an_agent_that_calls_itself_by_a_tool_has_two_tasks() -> None:
    spans = (node(run("outer")), node(tool("ask", "outer", 1, 9)), node(run("inner", "ask", 2, 8)))
    assert repeats(*spans) == []


def test_runs_side_by_side_are_tasks_of_their_own() -> None:
    """A workflow that has the name of its agent, and called it twice."""
    spans = (node(run("flow")), node(run("one", "flow", 1, 4)), node(run("two", "flow", 5, 8)))
    assert repeats(*spans) == ["flow"]
    later = (node(run("flow")), node(run("one", "flow", 1, 4)), node(run("two", "flow", 5, 8)))
    assert repeats(*later, fresh="flow") == ["flow"]


def test_tool_calls_inside_each_other_are_one() -> None:
    spans = (node(tool("a", "r", 1, 5)), node(step("s", "a", 1, 5)), node(tool("b", "s", 2, 4)))
    assert repeats(*spans, fresh="a b") == ["a"]
    assert repeats(node(tool("a", "r", 1, 5)), node(tool("b", "a", 2, 4, tool="fetch"))) == []


def test_tool_calls_with_one_id_are_one_wherever_they_are() -> None:
    one, two = (node(tool(name, parent, call_id=b"call-id1")) for name, parent in (("a", "x"), ("b", "y")))
    assert len(repeats(one, two)) == 1
    assert repeats(one, two, fresh="b") == ["b"]
    assert repeats(one, node(tool("b", "y", call_id=b"call-id2"))) == []


def test_tool_calls_with_different_ids_are_two_even_inside_each_other() -> None:
    assert repeats(node(tool("a", call_id=b"call-id1")), node(tool("b", "a", call_id=b"call-id2"))) == []


def test_rings_of_parents_end() -> None:
    spans = (node(run("a", "b")), node(run("b", "a")), node(run("c", "c")), node(tool("d", "d")))
    assert len(repeats(*spans)) == 1


# --- what a task cost

FAMILY = [
    node(llm("call", "inner", 3, 4, model="gpt-4o-mini"), seen=4),
    node(tool("search", "inner", 4, 5), seen=5),
    node(run("inner", "outer", 2, 6, agent="writer", outcome="error"), seen=6),
    node(llm("plan", "outer", 7, 8), seen=8, cost=5000),
    node(run("outer", "", 0, 10, agent="planner"), seen=10),
]


def test_a_task_is_settled_after_its_grace_with_all_that_belongs_to_it() -> None:
    settled, spans = settle(FAMILY, 15.9)
    assert (settled.tasks, settled.due, settled.since) == ([], at(16), at(0))
    settled, spans = settle(spans, 16)
    assert settled.tasks == [Task("writer", 1000, 1, 1, is_unpriced=False)]
    assert (settled.spent, settled.due, settled.since) == ([], at(20), at(0))
    settled, spans = settle(spans, 20)
    assert settled.tasks == [Task("planner", 6000, 2, 1, is_unpriced=False)]
    assert settled.spent == [Spent("planner", "support", "ok", 6000)]
    assert settled.models == [ModelShare("openai", "gpt-4o", "ok", 1, 6000, 1)]
    assert settled.due == 0
    settled, _ = settle(spans, 1000)
    assert settled == Settled([], [], [], [], {}, 0, 0)


def test_who_called_a_task_is_told_as_soon_as_the_caller_came() -> None:
    settled, spans = settle(FAMILY[:3], 16)
    assert settled.edges == []
    settled, spans = settle([*spans, *FAMILY[3:]], 17)
    assert settled.edges == [Edge("planner", "writer", "error", 4 * SECOND)]
    settled, _ = settle(spans, 18)
    assert settled.edges == []


def test_a_remote_agent_seen_from_both_sides_does_not_call_itself() -> None:
    spans = [
        node(run("remote", "http", 2, 8, agent="writer")),
        node(run("client", "outer", 1, 9, agent="writer")),
        node(run("outer")),
    ]
    settled, _ = settle(spans, 20)
    assert settled.edges == [Edge("triage", "writer", "ok", 8 * SECOND)]


def test_who_called_over_spans_that_nobody_reads_is_told_by_time_when_all_has_come() -> None:
    spans = [node(run("inner", "http", 2, 8, agent="writer")), node(run("outer"), seen=15)]
    settled, spans = settle(spans, 20)
    assert (settled.edges, settled.due, settled.since) == ([], at(25), at(0))
    settled, _ = settle(spans, 25)
    assert settled.edges == [Edge("triage", "writer", "ok", 6 * SECOND)]


def test_a_task_that_is_no_root_is_outermost_when_its_trace_fell_quiet() -> None:
    spans = [node(llm("call", "task", 1, 2), seen=2), node(run("task", "http"), seen=10)]
    settled, spans = settle(spans, 20)
    assert len(settled.tasks) == 1
    assert (settled.spent, settled.due, settled.since) == ([], at(40), at(0))
    settled, _ = settle([*spans, node(step("other", "http"), seen=25)], 40)
    assert (settled.spent, settled.due) == ([], at(55))
    settled, _ = settle(spans, 40)
    assert settled.spent == [Spent("triage", "support", "ok", 1000)]


def test_a_trace_that_never_falls_quiet_is_not_waited_for_for_ever() -> None:
    seconds = OUTERMOST_WAIT / SECOND
    spans = [node(run("task", "http"), seen=10), node(step("other", "http"), seen=seconds + 10)]
    settled, _ = settle(spans, seconds + 10)
    assert len(settled.spent) == 1


def test_a_dollar_that_comes_late_is_booked_once_and_where_the_others_are() -> None:
    _, spans = settle(FAMILY, 30)
    late = [node(llm(f"late{number}", "outer", 9, 10, model="o3"), seen=60, cost=50_000) for number in range(2)]
    settled, spans = settle([*spans, *late], 70)
    assert settled.tasks == []
    assert settled.spent == [Spent("planner", "support", "ok", 100_000)]
    assert settled.models == [ModelShare("openai", "gpt-4o", "ok", 0, 100_000, 0)]
    settled, _ = settle(spans, 1000)
    assert settled.spent == []


def test_a_run_that_comes_around_a_booked_one_books_the_rest() -> None:
    _, spans = settle(FAMILY[:3], 100)
    settled, _ = settle([*spans, *(span._replace(seen=at(110)) for span in FAMILY[3:])], 120)
    assert settled.spent == [Spent("planner", "support", "ok", 5000)]
    assert [share.tasks for share in settled.models] == [0]
    assert settled.tasks == [Task("planner", 6000, 2, 1, is_unpriced=False)]


def test_two_sightings_of_a_task_cost_once_what_both_hold() -> None:
    spans = [
        node(llm("call", "inner", 2, 3)),
        node(run("inner", "outer", 1, 9)),
        node(llm("guard", "outer", 9, 9.5)),
        node(run("outer"), flags=REPEAT),
    ]
    settled, _ = settle(spans, 20)
    assert settled.tasks == [Task("triage", 2000, 2, 0, is_unpriced=False)]
    assert [item.cost for item in settled.spent] == [2000]
    assert [share.tasks for share in settled.models] == [1]
    assert settled.edges == []


def test_a_call_of_unknown_price_marks_every_task_around_it() -> None:
    unknown = FAMILY[0]._replace(cost=0, is_unpriced=True)
    settled, _ = settle([unknown, *FAMILY[1:]], 20)
    assert [(task.agent, task.is_unpriced) for task in settled.tasks] == [("writer", True), ("planner", True)]


def test_repeated_tool_calls_and_sightings_cost_nothing() -> None:
    spans = [
        *FAMILY,
        node(tool("again", "search", 4, 5), flags=REPEAT),
        node(llm("sdk", "inner", 3, 4), kind="again", cost=0),
    ]
    settled, _ = settle(spans, 20)
    assert settled.tasks[-1] == Task("planner", 6000, 2, 1, is_unpriced=False)


def test_a_task_waits_for_the_decision_whether_a_call_counts() -> None:
    waiting = node(llm("proxy", "task"), kind="waiting", cost=0)
    settled, spans = settle([node(run("task")), waiting], 20)
    assert (settled.tasks, settled.due) == ([], at(21))
    decided = [span._replace(kind="call", cost=1000) if span.kind == "waiting" else span for span in spans]
    assert settle(decided, 21)[0].tasks == [Task("triage", 1000, 1, 0, is_unpriced=False)]
    assert settle(spans, UNDECIDED_WAIT / SECOND)[0].tasks == [Task("triage", 0, 0, 0, is_unpriced=False)]


def test_a_task_without_calls_is_told_and_stands_for_no_model() -> None:
    settled, spans = settle([node(run("task"))], 20)
    assert settled.tasks == [Task("triage", 0, 0, 0, is_unpriced=False)]
    assert (settled.spent, settled.models) == ([Spent("triage", "support", "ok", 0)], [])
    settled, _ = settle([*spans, node(llm("late", "task"), seen=50)], 70)
    assert settled.models == [ModelShare("openai", "gpt-4o", "ok", 1, 1000, 0)]


def test_a_model_that_cost_as_much_as_another_stands_for_a_task_with_more_calls() -> None:
    calls = [node(llm(f"c{number}", "task", model="o3"), cost=0) for number in range(2)]
    settled, _ = settle([node(llm("one", "task", model="z"), cost=0), *calls, node(run("task"))], 20)
    assert [share.model for share in settled.models] == ["o3"]


# --- whatever comes in whatever order


@st.composite
def families(draw: st.DrawFn) -> list[Span]:
    """A tree of runs, tools, steps and calls; a child begins and ends inside its parent."""
    spans = [node(run("s0", "", 0, 100, agent="a0"))]
    for number in range(1, draw(st.integers(1, 12))):
        parent = spans[draw(st.integers(0, number - 1))]
        if parent.kind == "call":
            parent = spans[0]
        make = draw(st.sampled_from([run, tool, step, llm]))
        label = {} if make is step else {"agent": f"a{draw(st.integers(0, 2))}"}
        start = (parent.start - at(0)) / SECOND + 0.01
        end = (parent.at - at(0)) / SECOND - 0.01
        name = parent.span.rstrip(b".").decode()
        spans.append(node(make(f"s{number}", name, start, end, **label)))  # type: ignore[operator]
    return spans


@given(spans=families(), data=st.data())
def test_every_dollar_is_booked_once_however_a_family_comes_and_is_looked_at(
    spans: list[Span], data: st.DataObject
) -> None:
    """Runs may be settled before all of theirs is there; what is booked in the end is what was spent."""
    order = data.draw(st.permutations(spans))
    known: list[Span] = []
    looks = []
    for number, span in enumerate(order):
        known.append(span._replace(seen=at(number)))
        if data.draw(st.booleans()):
            settled, known = settle(known, number + data.draw(st.sampled_from([0, 10, 100])))
            looks.append(settled)
    settled, known = settle(known, 1000)
    looks.append(settled)
    assert sum(item.cost for look in looks for item in look.spent) == 1000 * sum(span.kind == "call" for span in spans)
    assert sum(len(look.tasks) for look in looks) == sum(span.kind == "agent" for span in spans)
    assert settle(known, 2000)[0] == Settled([], [], [], [], {}, 0, 0)


@given(spans=families(), data=st.data())
def test_a_family_that_came_whole_is_told_the_same_in_any_order(spans: list[Span], data: st.DataObject) -> None:
    truth = _sorted(tasks.settle(spans, at(1000), RULES))
    again = tasks.settle(data.draw(st.permutations(spans)), at(1000), RULES)
    assert _sorted(again) == truth
    assert len(truth[1]) == 1


@given(spans=soups(), data=st.data())
def test_in_any_mess_nothing_is_told_twice_and_nothing_that_belongs_to_a_run_is_left(
    spans: list[Span], data: st.DataObject
) -> None:
    """Rings, gaps and parallel work, coming in pieces."""
    known: list[Span] = []
    looks = []
    for number, span in enumerate(spans):
        known.append(span._replace(seen=at(number)))
        if span.kind in {"agent", "tool"} and tasks.repeats(known, [span.span]):
            known[-1] = known[-1]._replace(flags=REPEAT)
        if data.draw(st.booleans()):
            settled, known = settle(known, number + data.draw(st.sampled_from([0, 10, 100])))
            looks.append(settled)
    settled, known = settle(known, 10_000)
    looks.append(settled)
    tree = Tree(known)
    mine = [span for span in known if span.kind == "call" and span.span in tree.owner]
    spent = sum(item.cost for look in looks for item in look.spent)
    booked = [span for span in known if span.kind == "call" and span.flags & BOOKED]
    assert spent == sum(item.cost for look in looks for item in look.models) == 1000 * len(booked)
    assert {span.span for span in mine} <= {span.span for span in booked}
    counted = [span.agent for span in known if span.kind == "agent" and not span.flags & REPEAT]
    assert sorted(task.agent for look in looks for task in look.tasks) == sorted(counted)
    assert settle(known, 20_000)[0] == Settled([], [], [], [], {}, 0, 0)


def _sorted(settled: Settled) -> tuple[list[Task], list[Spent], list[ModelShare], list[Edge], dict[bytes, int]]:
    return sorted(settled.tasks), settled.spent, settled.models, sorted(settled.edges), settled.flags
