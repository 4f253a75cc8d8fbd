"""Whether a node could be left in time, what would hold it up, and what the end of one pool would take.

What the Eviction API answers is as its code has it (pkg/registry/core/pod/storage/eviction.go in Kubernetes 1.26 to
1.36): pods that wait, have ended or are ending go without a question; two budgets for one pod are an error; a pod that
is not ready may go where its budget always lets such pods go, or has as many healthy ones as it wants; else the budget
has to be worked out for its newest version, and has to have something left.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from fleetwatch.records.kubernetes import Budget, Pod, Selector

MOST_UNCONFIRMED = 2000
"""Evictions that nobody confirmed, past which the Eviction API refuses more."""

ENDED = frozenset({"Succeeded", "Failed"})
_UNASKED = frozenset({"Pending", *ENDED})
"""Phases in which a pod may go whatever its budgets say."""

P = TypeVar("P")

BudgetsOf = Callable[[Pod], Sequence[Budget]]
"""The budgets that select a pod."""


class Terms(NamedTuple):
    """Seconds: there are to leave a node; until a notice is acted upon; until a replacement is ready."""

    within: float
    notice_lag: float
    replacement_ready: float


class Readiness(NamedTuple):
    """Of one node. pods: that would have to leave; blocked: reason -> pods; estimate: seconds.

    held_by: (namespace, name) of a budget -> pods that it holds.
    """

    ready: bool
    pods: int
    blocked: Mapping[str, int]
    estimate: float
    held_by: Mapping[tuple[str, str], int]


class Blast(NamedTuple):
    """What the end of one pool would take. share: of all nodes, 0 to 1; broken: budgets left with too few pods."""

    share: float
    broken: int


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """As Kubernetes does it: NotIn and DoesNotExist also hold where there is no such label."""
    if selector is None:
        return False
    for key, operator, values in selector:
        has = key in labels
        if operator == "In":
            holds = has and labels[key] in values
        elif operator == "NotIn":
            holds = not has or labels[key] not in values
        elif operator == "Exists":
            holds = has
        elif operator == "DoesNotExist":
            holds = not has
        else:
            return False  # a selector that the API could not read selects nothing
        if not holds:
            return False
    return True


def finder(budgets: Iterable[Budget]) -> BudgetsOf:
    """Finds the budgets of a pod; pods of one namespace with equal labels are looked up once."""
    spaces: dict[str, list[Budget]] = {}
    for budget in budgets:
        spaces.setdefault(budget.namespace, []).append(budget)
    known: dict[tuple[str, tuple[tuple[str, str], ...]], Sequence[Budget]] = {}

    def budgets_of(pod: Pod) -> Sequence[Budget]:
        here = spaces.get(pod.namespace)
        if not here:
            return ()
        found = known.get((pod.namespace, pod.labels))
        if found is None:
            labels = dict(pod.labels)
            found = [budget for budget in here if matches(budget.selector, labels)]
            known[pod.namespace, pod.labels] = found
        return found

    return budgets_of


def must_leave(pod: Pod) -> bool:
    """Whether the node is not empty before this pod is gone."""
    return not pod.stays and pod.phase not in ENDED


def refusal(pod: Pod, budgets: Sequence[Budget]) -> str:
    """Why the Eviction API would refuse this pod; empty: it would not."""
    if not budgets or pod.ends is not None or pod.phase in _UNASKED:
        return ""
    budget = budgets[0]
    if len(budgets) > 1:
        return "several_pdbs"
    if _goes_unhealthy(pod, budget):
        return ""
    if budget.behind:
        return "pdb_stale"
    return _used_up(pod, budget)


def _used_up(pod: Pod, budget: Budget) -> str:
    if budget.unconfirmed > MOST_UNCONFIRMED:
        return "pdb_unconfirmed"
    if budget.allowed > 0:
        return ""
    return "pdb_exhausted" if pod.ready else "unhealthy"


def reasons(pod: Pod, budgets: Sequence[Budget], terms: Terms) -> list[str]:
    """What holds a pod that must leave; one that is ending is held by nothing."""
    if pod.ends is not None:
        return []
    found = [refusal(pod, budgets)]
    if pod.do_not_disrupt:
        found.append("do_not_disrupt")
    if pod.grace > terms.within - terms.notice_lag:
        found.append("grace_period")
    if not pod.controlled:
        found.append("no_controller")
    return [reason for reason in found if reason]


def readiness(pods: Iterable[Pod], budgets_of: BudgetsOf, terms: Terms, now: int) -> Readiness:
    """Of a node with these pods. now: Unix nanoseconds.

    The estimate: until the notice is acted upon, then the longest of: what is ending already; the longest grace of
    pods that no budget guards; and for each budget ceil(pods / allowed) rounds of (grace + a replacement's time to be
    ready), but for the last round, after which the node need not wait for replacements.
    """
    leaving = [pod for pod in pods if must_leave(pod)]
    blocked: Counter[str] = Counter()
    held_by: Counter[tuple[str, str]] = Counter()
    guarded: dict[tuple[str, str], tuple[Budget, list[float]]] = {}
    longest = 0.0
    for pod in leaving:
        if pod.ends is not None:
            longest = max(longest, (pod.ends - now) / 1e9)
            continue
        budgets = budgets_of(pod)
        blocked.update(reasons(pod, budgets, terms))
        if refusal(pod, budgets):
            held_by.update((budget.namespace, budget.name) for budget in budgets)
        for budget in budgets:
            if pod.phase in _UNASKED or _goes_unhealthy(pod, budget):
                longest = max(longest, pod.grace)
            else:
                guarded.setdefault((budget.namespace, budget.name), (budget, []))[1].append(pod.grace)
        if not budgets:
            longest = max(longest, pod.grace)
    for budget, graces in guarded.values():
        rounds = math.ceil(len(graces) / max(1, budget.allowed))
        longest = max(longest, rounds * max(graces) + (rounds - 1) * terms.replacement_ready)
    estimate = terms.notice_lag + longest if leaving else 0.0
    return Readiness(not blocked and estimate <= terms.within, len(leaving), blocked, estimate, held_by)


def _goes_unhealthy(pod: Pod, budget: Budget) -> bool:
    """A pod that is not ready does not count as one of the budget's, and may go without using it up."""
    return not pod.ready and (budget.always_unhealthy or budget.healthy >= budget.desired > 0)


def blasts(pools: Mapping[str, P], pods: Iterable[Pod], budgets: Iterable[Budget]) -> dict[P, Blast]:
    """What the end of each pool would take. pools: node -> its pool.

    A budget breaks that has pods there and would have fewer healthy ones than it wants; one that is short of them
    already breaks with each pool that has some of its healthy pods.
    """
    nodes = Counter(pools.values())
    total = sum(nodes.values())
    budgets = list(budgets)
    budgets_of = finder(budgets)
    lost: dict[P, Counter[tuple[str, str]]] = {}
    for pod in pods:
        pool = pools.get(pod.node)
        if pool is None or not pod.ready or pod.ends is not None:
            continue
        for budget in budgets_of(pod):
            lost.setdefault(pool, Counter())[budget.namespace, budget.name] += 1
    spare = {(item.namespace, item.name): item.healthy - item.desired for item in budgets}
    return {
        pool: Blast(number / total, sum(gone > spare[name] for name, gone in lost.get(pool, {}).items()))
        for pool, number in nodes.items()
    }


def concentration(numbers: Iterable[int]) -> float:
    """Herfindahl-Hirschman index of pools of such sizes: 1/n for n equal ones, 1 for a single one, 0 for none."""
    sizes = list(numbers)
    total = sum(sizes)
    return sum((size / total) ** 2 for size in sizes) if total else 0.0
