"""Which agent's run a span belongs to."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon import span_tree
from fleetwatch.reckon.span_tree import Span, Tree
from support_tasks import llm, node, run, soups, span_id, step, tool


def owners(*spans: Span) -> dict[str, str]:
    """By name."""
    tree = Tree(spans)
    return {span.rstrip(b".").decode(): run.rstrip(b".").decode() for span, run in tree.owner.items()}


def test_a_call_belongs_to_the_nearest_run_above_it() -> None:
    found = owners(
        node(run("outer")),
        node(step("chain", "outer")),
        node(run("inner", "chain", agent="writer")),
        node(tool("search", "inner")),
        node(step("plan", "search")),
        node(llm("call", "plan")),
    )
    assert found == {"chain": "outer", "inner": "outer", "search": "inner", "plan": "inner", "call": "inner"}


def test_what_has_no_run_above_it_belongs_to_none() -> None:
    assert owners(node(llm("call", start=3, end=4)), node(run("run", start=0, end=10))) == {}


def test_where_the_chain_breaks_time_decides() -> None:
    found = owners(
        node(run("outer", start=0, end=10)),
        node(run("inner", "outer", start=2, end=6, agent="writer")),
        node(llm("early", "unread", start=1, end=1.5)),
        node(llm("call", "unread", start=3, end=4)),
        node(tool("late", "other", start=11, end=12)),
    )
    assert found == {"inner": "outer", "early": "outer", "call": "inner"}


def test_of_runs_in_parallel_the_call_s_own_agent_has_it() -> None:
    found = owners(
        node(run("a", "x", start=0, end=10, agent="writer")),
        node(run("b", "y", start=1, end=11, agent="critic")),
        node(llm("mine", "unread", start=3, end=4, agent="critic")),
        node(llm("whose", "unread", start=3, end=4, agent="service")),
    )
    assert found == {"mine": "b"}


def test_a_call_in_one_of_several_parallel_runs_belongs_to_the_run_around_them() -> None:
    found = owners(
        node(run("outer", start=0, end=20)),
        node(run("a", "outer", start=1, end=10, agent="writer")),
        node(run("b", "outer", start=2, end=11, agent="writer")),
        node(llm("call", "unread", start=3, end=4, agent="writer")),
    )
    assert found["call"] == "outer"


def test_runs_that_fan_out_are_not_inside_each_other() -> None:
    """Both children of one span that nobody reads; the second lies inside the first by time only."""
    found = owners(
        node(run("outer", start=0, end=20)),
        node(run("long", "unread", start=1, end=10, agent="writer")),
        node(run("short", "unread", start=2, end=9, agent="writer")),
    )
    assert found == {"long": "outer", "short": "outer"}


def test_runs_that_fan_out_over_several_unread_spans_belong_to_the_longest() -> None:
    found = owners(
        node(run("outer", start=0, end=20)),
        node(run("long", "one", start=1, end=10, agent="writer")),
        node(run("short", "two", start=2, end=9, agent="writer")),
    )
    assert found == {"long": "outer", "short": "outer"}


def test_a_remote_run_belongs_to_the_span_of_its_caller() -> None:
    found = owners(
        node(run("outer", start=0, end=20, agent="planner")),
        node(run("client", "outer", start=1, end=10)),
        node(run("remote", "http", start=2, end=9)),
    )
    assert found == {"client": "outer", "remote": "client"}


def test_a_span_is_not_inside_what_its_parents_show_to_be_beside_it() -> None:
    found = owners(
        node(step("workflow", "unread", start=0, end=20)),
        node(run("a", "workflow", start=0, end=20)),
        node(llm("call", "workflow", start=3, end=4)),
    )
    assert found == {}


def test_rings_of_parents_end() -> None:
    spans = [node(run("a", "b")), node(run("b", "a")), node(step("c", "c")), node(step("d", "e")), node(step("e", "d"))]
    tree = Tree(spans)
    assert tree.owner == {span_id("b"): span_id("a")}
    assert [tree.outermost(run.span) for run in tree.runs] == [span_id("a")] * 2
    assert owners(node(run("x", "y")), node(tool("y", "x"))) == {"y": "x"}


def test_a_trace_with_too_many_pairs_goes_by_parents_alone() -> None:
    parallel = int(span_tree.MOST_PAIRS ** (1 / 3)) + 1
    runs = [node(run(f"r{number}", start=0, end=10, agent=f"a{number}")) for number in range(parallel)]
    calls = [node(llm(f"c{number}", "unread", start=1, end=2, agent="a5")) for number in range(parallel)]
    assert owners(*runs, *calls[:2], node(llm("call", "r1"))) == {"call": "r1", "c0": "r5", "c1": "r5"}
    assert owners(*runs, *calls, node(llm("call", "r1"))) == {"call": "r1"}


@given(spans=soups(), seed=st.integers())
def test_the_order_of_spans_changes_nothing_and_every_chain_ends(spans: list[Span], seed: int) -> None:
    tree = Tree(spans)
    assert all(span not in tree.above(span) for span in tree.owner)
    assert all(tree.spans[owner].kind == "agent" for owner in tree.owner.values())
    random.Random(seed).shuffle(spans)
    again = Tree(spans)
    assert again.owner == tree.owner
    assert [again.is_rooted(run.span) for run in tree.runs] == [tree.is_rooted(run.span) for run in tree.runs]
