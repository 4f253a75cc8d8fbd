"""Machine time and money: a slice counts only where the one before it ended, so that each moment counts once."""

from __future__ import annotations

import logging
import sqlite3
from collections import defaultdict

from fleetwatch.catalogue import spot
from fleetwatch.ledger.counts import Counts
from fleetwatch.ledger.spot.tables import DAY
from fleetwatch.records.spot import FleetSlice, Pool, Use

log = logging.getLogger(__name__)

_EXPOSE = "INSERT INTO spot_exposure VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET time = time + excluded.time"


class Slices:
    """The tables `spot_slices` and `spot_exposure`. keep, prune and undo: inside the writer's transaction."""

    def __init__(self, db: sqlite3.Connection, counts: Counts) -> None:
        self._db = db
        self._counts = counts
        self._until: dict[tuple[str, str], int] = {}
        self.undo()

    def untils(self) -> dict[tuple[str, str], int]:
        """Up to when each (account, region) is counted, Unix nanoseconds."""
        return dict(self._until)

    def keep(self, told: FleetSlice) -> bool:
        """Count it where it goes on from the one before; whether it did. Raises ValueError for one that is wrong."""
        _check(told)
        where = (told.account, told.region)
        until = self._until.get(where)
        if until not in {None, told.since}:
            log.debug("%s/%s: a slice since %d is left out: counted until %s", *where, told.since, until)
            return False
        self._until[where] = told.until
        self._db.execute("INSERT OR REPLACE INTO spot_slices VALUES (?, ?, ?)", (*where, told.until))
        exposed: dict[Pool, int] = defaultdict(int)
        for use in told.uses:
            self._count(use)
            if use.lifecycle == "spot":
                exposed[use.pool] += use.running
        # A slice lies within one day but where the exporter was down over midnight; it is of the day in which it ends.
        self._db.executemany(_EXPOSE, [(told.until // DAY, *pool, time) for pool, time in exposed.items()])
        return True

    def prune(self, now: int, keep: int) -> int:
        """Forget exposure older than so many nanoseconds."""
        return self._db.execute("DELETE FROM spot_exposure WHERE day < ?", ((now - keep) // DAY,)).rowcount

    def undo(self) -> None:
        """Read all from the file."""
        rows = self._db.execute("SELECT account, region, until FROM spot_slices")
        self._until = {(account, region): until for account, region, until in rows}

    def _count(self, use: Use) -> None:
        pool, add = use.pool, self._counts.add
        labels = (pool.account, pool.region, use.team, use.workload, use.lifecycle)
        if use.spend is not None and use.on_demand is not None:
            add(spot.SPEND, labels, use.spend)
            add(spot.EQUIVALENT, labels, use.on_demand)
        else:
            missing = "spot" if use.lifecycle == "spot" and use.spend is None else "on_demand"
            add(spot.UNPRICED_HOURS, (pool.account, pool.region, missing), use.running)
        add(spot.VCPU_HOURS, (*labels, "yes" if use.eligible else "no"), use.vcpu_time)
        if use.lifecycle == "spot":
            add(spot.INSTANCE_HOURS, tuple(pool), use.running)


def _check(told: FleetSlice) -> None:
    """A counter never goes back, and a slice that ends before it begins would count time twice."""
    if not 0 <= told.since < told.until < 2**63:
        raise ValueError(f"FleetSlice: expected 0 <= since < until, got {told.since} and {told.until}")
    for use in told.uses:
        least = min(use.running, use.vcpu_time, use.spend or 0, use.on_demand or 0)
        if least < 0:
            raise ValueError(f"FleetSlice: expected uses of 0 or more, got {use}")
