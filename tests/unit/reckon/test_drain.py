"""Readiness to leave a node; what the Eviction API does with each reason is tried in tests/stack/test_drain.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.drain import Blast, Terms, blasts, concentration, finder, matches, readiness, reasons, refusal
from fleetwatch.records.kubernetes import Budget, Pod, Requirement, Selector

TERMS = Terms(within=120, notice_lag=5, replacement_ready=30)
ALL: Selector = ()
NOW = 1_800_000_000 * 10**9


def pod(name: str = "p", **more: Any) -> Pod:
    usual: dict[str, Any] = {
        "uid": name,
        "namespace": "default",
        "node": "n",
        "labels": (("app", "search"),),
        "phase": "Running",
        "ready": True,
        "stays": False,
        "controlled": True,
        "do_not_disrupt": False,
        "grace": 30.0,
        "ends": None,
        "requests": (0.0, 0.0, 0.0),
    }
    return Pod(**{**usual, **more})


def budget(name: str = "b", **more: Any) -> Budget:
    usual: dict[str, Any] = {
        "namespace": "default",
        "name": name,
        "selector": ALL,
        "allowed": 0,
        "healthy": 2,
        "desired": 2,
        "expected": 2,
    }
    return Budget(**{**usual, **more})


@pytest.mark.parametrize(
    ("selector", "labels", "holds"),
    [
        (None, {"app": "x"}, False),
        ((), {}, True),
        ((Requirement("app", "In", frozenset({"x", "y"})),), {"app": "y"}, True),
        ((Requirement("app", "In", frozenset({"x"})),), {}, False),
        ((Requirement("app", "NotIn", frozenset({"x"})),), {}, True),
        ((Requirement("app", "NotIn", frozenset({"x"})),), {"app": "x"}, False),
        ((Requirement("app", "Exists"),), {"app": ""}, True),
        ((Requirement("app", "DoesNotExist"),), {"app": ""}, False),
        ((Requirement("app", "Exists"), Requirement("tier", "Exists")), {"app": "x"}, False),
        ((Requirement("app", "Like", frozenset({"x"})),), {"app": "x"}, False),
    ],
)
def test_a_selector_selects(selector: Selector, labels: dict[str, str], holds: bool) -> None:
    assert matches(selector, labels) is holds


def test_budgets_of_another_namespace_are_not_looked_at() -> None:
    found = finder([budget("here"), budget("there", namespace="other")])
    assert [item.name for item in found(pod())] == ["here"]
    assert [item.name for item in found(pod(namespace="third"))] == []


def test_what_is_ours_is_held_beside_what_the_api_refuses() -> None:
    held = pod(do_not_disrupt=True, grace=115.1, controlled=False)
    assert reasons(held, [budget()], TERMS) == ["pdb_exhausted", "do_not_disrupt", "grace_period", "no_controller"]
    assert reasons(held._replace(ends=NOW), [budget()], TERMS) == []
    assert refusal(held, [budget(allowed=1)]) == ""


def estimate(*pods: Pod, budgets: tuple[Budget, ...] = ()) -> float:
    return readiness(pods, finder(budgets), TERMS, NOW).estimate


def test_the_estimate_is_the_longest_way_to_leave() -> None:
    assert estimate() == 0  # nobody has to leave
    assert estimate(pod(stays=True)) == 0
    assert estimate(pod()) == 5 + 30
    assert estimate(pod(), pod("q", grace=60.0)) == 5 + 60  # at the same time
    # One after the other: the second may go when the first one's replacement is ready.
    three = [pod(name) for name in "pqr"]
    assert estimate(*three, budgets=(budget(allowed=1),)) == 5 + 3 * 30 + 2 * 30
    assert estimate(*three, budgets=(budget(allowed=2),)) == 5 + 2 * 30 + 30
    assert estimate(*three, budgets=(budget(allowed=3),)) == 5 + 30
    assert estimate(*three, budgets=(budget(allowed=0),)) == estimate(*three, budgets=(budget(allowed=1),))
    # Not ready, and so not one of the budget's: all at once.
    sick = [item._replace(ready=False) for item in three]
    assert estimate(*sick, budgets=(budget(always_unhealthy=True),)) == 5 + 30
    # On its way already.
    assert estimate(pod(ends=NOW + 50 * 10**9)) == 5 + 50
    assert estimate(pod(ends=NOW - 10**9)) == 5


def test_a_node_is_ready_where_nothing_holds_and_the_estimate_fits() -> None:
    pods = [pod(name) for name in "pq"]
    fits = readiness(pods, finder([budget(allowed=1)]), TERMS, NOW)
    assert (fits.ready, fits.estimate, fits.blocked, fits.pods) == (True, 95, {}, 2)
    late = readiness([*pods, pod("r")], finder([budget(allowed=1)]), TERMS, NOW)
    assert (late.ready, late.estimate, late.blocked) == (False, 155, {})
    held = readiness(pods, finder([budget("a"), budget("b", selector=None)]), TERMS, NOW)
    assert (held.ready, held.blocked, held.held_by) == (False, {"pdb_exhausted": 2}, {("default", "a"): 2})


def test_a_pool_s_end_breaks_the_budgets_that_live_there() -> None:
    """Two zones of one type: `even` has a pod in each and wants one, `here` has both in a."""
    pools = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "b3": "b"}
    labels = {name: (("app", name),) for name in ("even", "here", "short")}
    budgets = [
        budget(name, selector=(Requirement("app", "In", frozenset({name})),), healthy=healthy, desired=desired)
        for name, healthy, desired in (("even", 2, 1), ("here", 2, 1), ("short", 1, 2))
    ]
    pods = [
        pod("1", node="a1", labels=labels["even"]),
        pod("2", node="b1", labels=labels["even"]),
        pod("3", node="a1", labels=labels["here"]),
        pod("4", node="a2", labels=labels["here"]),
        pod("5", node="b2", labels=labels["short"]),
        pod("6", node="b2", labels=labels["here"], ready=False),
        pod("7", node="elsewhere", labels=labels["here"]),
    ]
    assert blasts(pools, pods, budgets) == {"a": Blast(0.4, 1), "b": Blast(0.6, 1)}


def test_concentration_is_one_for_a_single_pool() -> None:
    assert concentration([]) == 0
    assert concentration([7]) == 1
    assert concentration([5, 5]) == 0.5
    assert concentration([1, 2, 1]) == pytest.approx(0.375)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=50))
def test_concentration_has_its_bounds(sizes: list[int]) -> None:
    assert 1 / len(sizes) - 1e-9 <= concentration(sizes) <= 1 + 1e-9


PODS = st.lists(
    st.builds(
        pod,
        name=st.uuids().map(str),
        phase=st.sampled_from(["Running", "Pending", "Succeeded", "Unknown"]),
        ready=st.booleans(),
        stays=st.booleans(),
        controlled=st.booleans(),
        do_not_disrupt=st.booleans(),
        grace=st.floats(0, 3600),
        ends=st.none() | st.integers(NOW - 10**12, NOW + 10**12),
    ),
    max_size=12,
)
BUDGETS = st.lists(
    st.builds(
        budget,
        name=st.sampled_from(["a", "b", "c"]),
        allowed=st.integers(0, 5),
        healthy=st.integers(0, 5),
        desired=st.integers(0, 5),
        behind=st.booleans(),
        always_unhealthy=st.booleans(),
    ),
    max_size=3,
    unique_by=lambda item: item.name,
)


@given(PODS, BUDGETS)
def test_readiness_keeps_its_word(pods: list[Pod], budgets: list[Budget]) -> None:
    """Ready says just this: nothing is held, and there is time enough. Another pod never makes it better."""
    found = readiness(pods, finder(budgets), TERMS, NOW)
    assert found.ready == (not found.blocked and found.estimate <= TERMS.within)
    assert all(0 < number <= found.pods for number in found.blocked.values())
    more = readiness([*pods, pod("more")], finder(budgets), TERMS, NOW)
    assert more.estimate >= found.estimate
    assert more.pods == found.pods + 1
    assert found.ready or not more.ready


@given(PODS, st.integers(0, 5))
def test_a_budget_that_allows_more_never_makes_it_worse(pods: list[Pod], allowed: int) -> None:
    less = readiness(pods, finder([budget(allowed=allowed)]), TERMS, NOW)
    more = readiness(pods, finder([budget(allowed=allowed + 1)]), TERMS, NOW)
    assert more.estimate <= less.estimate
    assert sum(more.blocked.values()) <= sum(less.blocked.values())
