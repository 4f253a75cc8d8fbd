"""Workloads that move: where most of a workload runs, and whether that was what had been recommended.

A workload moves when another pool has more of its virtual processors than the one that had most. Both sides come from
what the ledger knows: the commit that counts the move also writes the machines that show it, so it is seen once,
however often the exporter dies between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.spot import Decision, Instance, Pool, Switch

RUNS = frozenset({"pending", "running"})
"""States of machines that count."""
ANSWERS = 24 * 3600 * SECOND
"""Nanoseconds after a recommendation within which a move there follows it."""


class Moved(NamedTuple):
    """What a look found. spent: workloads whose recommendation is answered."""

    switches: list[Switch]
    decisions: list[Decision]
    spent: list[str]


def by_workload(instances: Iterable[Instance]) -> dict[str, Counter[Pool]]:
    """Workload -> pool -> virtual processors that run; a machine of unknown size counts for one."""
    found: dict[str, Counter[Pool]] = {}
    for item in instances:
        if item.workload and item.state in RUNS and item.ended is None:
            found.setdefault(item.workload, Counter())[item.pool] += max(item.vcpus, 1)
    return found


def main_pool(vcpus: Mapping[Pool, int], before: Pool | None = None) -> Pool | None:
    """The pool with most of it; of equal ones that which it was before."""
    if not vcpus:
        return None
    most = max(vcpus.values())
    first = [pool for pool, number in vcpus.items() if number == most]
    return before if before in first else min(first)


def moved(
    then: Iterable[Instance],
    now: Iterable[Instance],
    main: Mapping[str, Pool],
    recommended: Mapping[str, Mapping[Pool, int]],
    at: int,
) -> Moved:
    """Who has moved between two looks.

    main: workload -> its main pool as last known, which decides between equal ones. recommended: workload -> pool ->
    when it was last recommended. A workload that had no machine, or has none now, has not moved.
    """
    found = Moved([], [], [])
    before, after = by_workload(then), by_workload(now)
    for workload in sorted(before.keys() & after.keys()):
        old = main_pool(before[workload], main.get(workload))
        new = main_pool(after[workload], old)
        if old is None or new is None or old == new:
            continue
        told = {pool for pool, when in recommended.get(workload, {}).items() if at - when <= ANSWERS}
        outcome = "followed" if new in told else "elsewhere"
        found.switches.append(Switch(workload, at, old, new, outcome))
        if told:
            # Only what answers a recommendation is in the funnel, by the time of that as its key: nothing can be
            # switched that was not chosen, though the exporter dies before it has noted the answer.
            chosen_at = max(recommended[workload][pool] for pool in told)
            found.decisions.append(Decision(f"switch {workload} {chosen_at}", at, (("switched", outcome, 1),)))
            found.spent.append(workload)
    return found
