"""What the ledger knows of machines, as the judge's thread gets it: a copy, made on the thread that owns the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fleetwatch.ledger.lost_work import EndedRun, cost_of_calls, ended_runs
from fleetwatch.reckon.spot_risk import DAY, HOUR, Exposure
from fleetwatch.records.agents import AgentRun
from fleetwatch.records.spot import Instance, Interruption, Pool, Switch

if TYPE_CHECKING:
    from fleetwatch.ledger import Ledger

WINDOW = 30 * DAY
"""Nanoseconds of the past that interruption rates are of."""
LOST_WITHIN = 2 * DAY
"""Nanoseconds after an interruption for which work is sought that went with it: a run that tells only its beginning is
given up after a day."""


class Known(NamedTuple):
    """At one moment."""

    untils: Mapping[tuple[str, str], int]
    """(account, region) -> up to when machine time is counted."""
    instances: Mapping[str, Instance]
    """Machines that ran at that time, by id."""
    recent: Sequence[Interruption]
    interruptions: Sequence[Interruption]
    """Of the last LOST_WITHIN."""
    switches: Sequence[Switch]
    exposure: Mapping[Pool, Exposure]
    """Of the last WINDOW."""
    runs: Sequence[EndedRun]
    """Of pipelines, that may have gone with a machine."""


def known_of(ledger: Ledger, now: int, recent: int) -> Known:
    """On the thread of the ledger. now: Unix nanoseconds; recent: so many of both rings. Raises LedgerError."""
    book = ledger.spot
    seen = book.exposure(now - WINDOW)
    taken = book.interruptions(now - LOST_WITHIN)
    return Known(
        book.untils(),
        book.instances(),
        book.recent(recent),
        taken,
        book.switches(recent),
        {pool: Exposure(found.time / HOUR, found.interruptions) for pool, found in seen.items()},
        ended_runs(ledger.query, now - LOST_WITHIN) if any(item.interrupted for item in taken) else (),
    )


def cost_of_tasks(ledger: Ledger, tasks: Sequence[AgentRun]) -> dict[bytes, int]:
    """What LLM calls within each task cost, nano-USD, by its span. On the thread of the ledger. Raises LedgerError."""
    return {task.span: cost_of_calls(ledger.query_traces, task.span[:16], task.start, task.at) for task in tasks}
