"""What tests of the spool ask of it."""

from __future__ import annotations

from fleetwatch.spool import Record, Spool, Stats


def drain(spool: Spool) -> list[Record]:
    """All that waits, settled."""
    found = []
    while records := spool.take():
        spool.done(records)
        found += records
    return found


def lost(stats: Stats) -> dict[tuple[str, str], int]:
    return {key: items for key, items in stats.dropped.items() if items}


def balance(stats: Stats) -> int:
    """Items that are neither forwarded nor lost."""
    return sum(stats.accepted.values()) - sum(stats.forwarded.values()) - sum(stats.dropped.values())
