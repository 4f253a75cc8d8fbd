"""What interruptions cost beside the machine: work that ended with it and has to be done again.

A run of a pipeline, or an agent's task that did not end well, is lost if its host is a machine that was interrupted, by
any of the machine's names, and its end falls into that interruption. It cost the time it had worked at the price that
the machine had then, and its LLM calls. Where several shared a machine, the time that they worked at once is divided
among those that are found together: a machine's hour is not lost twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from fleetwatch.ledger.lost_work import EndedRun
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.reckon.savings import HOUR
from fleetwatch.records.agents import AgentRun
from fleetwatch.records.spot import Instance, Interruption, LostWork

ABOUT = 120 * SECOND
"""Nanoseconds that an end may lie before the first sign or after the machine's end: clocks differ, and the last report
of a run is some time before it fell silent."""
NOTICE = 120 * SECOND
"""Nanoseconds from a warning to the end, where neither was told."""
SETTLE = 3600 * SECOND
"""Nanoseconds after which a run's costs are taken as they are."""


class Marked(NamedTuple):
    """A machine that is being taken. price: nano-USD per hour when that was seen; None: not known."""

    machine: Instance
    price: int | None
    node: str = ""
    """Its name in its cluster."""
    others: frozenset[str] = frozenset()
    """Those of its names that others had, too, as the tag Name of a group, or an address of two networks."""


class _Work(NamedTuple):
    """Something that went with a machine."""

    key: str
    kind: str
    since: int
    until: int
    llm: int


def names_of(marked: Marked, host: str = "") -> set[str]:
    """How hosts of telemetry may call the machine, and it alone. host: as its cluster called it."""
    return {marked.machine.id, *marked.machine.names, marked.node, host} - marked.others - {""}


def lost(
    interruptions: Iterable[Interruption],
    marked: Mapping[str, Marked],
    runs: Sequence[EndedRun],
    tasks: Sequence[tuple[AgentRun, int]],
    *,
    done: Callable[[str], bool],
    now: int,
) -> list[LostWork]:
    """Work that went with the interrupted machines. marked: by id of the machine; tasks: with the cost of LLM calls.

    done: whether a key has been told already; such work still has its share of the machine.
    """
    found: list[LostWork] = []
    for item in interruptions:
        machine = marked.get(item.instance)
        if not item.interrupted or machine is None:
            continue
        names = names_of(machine, item.host)
        works = [*_runs(item, names, runs, now), *_tasks(item, names, tasks)]
        for work, share in zip(works, shares([(work.since, work.until) for work in works]), strict=True):
            if not done(work.key):
                found.append(_told(work, share, machine, item))
    return found


def _told(work: _Work, share: int, marked: Marked, item: Interruption) -> LostWork:
    pool = marked.machine.pool
    cost = None if marked.price is None else round(share * marked.price / HOUR)
    return LostWork(work.key, item.began, pool.account, pool.region, work.kind, work.until - work.since, cost, work.llm)


def _runs(item: Interruption, names: set[str], runs: Sequence[EndedRun], now: int) -> Iterator[_Work]:
    for run in runs:
        if run.host in names and _ended_with(run.ended, item) and (run.settled or now - run.ended > SETTLE):
            yield _Work(f"run:{run.pipeline}/{run.run}", "pipeline_run", run.started, run.ended, run.llm)


def _tasks(item: Interruption, names: set[str], tasks: Sequence[tuple[AgentRun, int]]) -> Iterator[_Work]:
    for task, llm in tasks:
        if task.host in names and _ended_with(task.at, item):
            yield _Work(f"task:{task.span.hex()}", "agent_task", min(task.start, task.at), task.at, llm)


def _ended_with(at: int, item: Interruption) -> bool:
    last = item.terminated or item.due or (item.warning or item.began) + NOTICE
    return item.began - ABOUT <= at <= last + ABOUT


def shares(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Time of each of several spans, where that in which several overlap is divided among them. Same unit."""
    edges = sorted({edge for span in spans for edge in span})
    sums = [0.0] * len(spans)
    whole = [0] * len(spans)
    for begin, end in pairwise(edges):
        inside = [place for place, (since, until) in enumerate(spans) if since <= begin and end <= until]
        for place in inside:
            if len(inside) == 1:
                whole[place] += end - begin
            else:
                sums[place] += (end - begin) / len(inside)
    return [exact + round(rest) for exact, rest in zip(whole, sums, strict=True)]
