"""Takings of machines: facts in any order become rows, and rows, when they are settled, counters.

A counter cannot take back the pool or the reason that it was counted under. So a taking counts when it is settled:
QUIET after its last news when nothing is missing any more, HELD after it otherwise. Both are measured by this machine's
clock: messages may be late and AWS' clock another. What comes still later changes the row, and no counter. But where a
recommendation stood alone when it was counted, and its machine is taken hours later, the taking counts then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from fleetwatch.catalogue import spot
from fleetwatch.ledger.counts import Counts
from fleetwatch.ledger.spot import tables
from fleetwatch.ledger.spot.facts import Facts
from fleetwatch.ledger.spot.registry import Registry
from fleetwatch.ledger.spot.slices import Slices
from fleetwatch.reckon.timeline import Fact, Taking, drain_time, outcome, takings
from fleetwatch.records.spot import Instance, Interruption, Pool

QUIET: Final = 60 * 10**9
HELD: Final = 900 * 10**9
MOST: Final = 100_000
"""Rows in the file, some 30 MB; past it the oldest go."""
AT_ONCE: Final = 200
"""Takings settled in one transaction, some 50 ms; the others a second later."""
PRUNE_ROWS: Final = 5000
_PUT: Final = f"INSERT OR REPLACE INTO spot_interruptions VALUES ({', '.join('?' * 28)})"
_OLD: Final = "SELECT * FROM spot_interruptions WHERE instance = ? AND NOT closed ORDER BY began"
_BEGAN, _PLACE, _INTERRUPTED, _SETTLED, _SETTLES, _RECOMMENDED = 1, slice(2, 8), 21, 24, 25, 27


class Interruptions:
    """The table `spot_interruptions`. All that writes is called inside the writer's transaction."""

    def __init__(
        self, db: sqlite3.Connection, counts: Counts, registry: Registry, slices: Slices, most: int = MOST
    ) -> None:
        self._db = db
        self._counts = counts
        self._registry = registry
        self._slices = slices
        self._most = most
        self._facts = Facts(db)
        self._places: dict[str, tuple[str, str]] = {}
        self._next: int | None = None
        self._rows: int | None = None
        self._changed: dict[tuple[str, int], None] = {}
        self._changed_now: dict[tuple[str, int], None] = {}

    # --- what others ask

    def take_changed(self) -> list[Interruption]:
        """Changed by commits since the last call; after a start all that are not settled."""
        taken, self._changed = list(self._changed), {}
        found = (tables.interruptions(self._db, "instance = ? AND began = ?", key) for key in taken)
        return [item for items in found for item in items]

    # --- what the writer does

    def keep(self, told: dict[str, set[Fact]], places: dict[str, tuple[str, str]], now: int) -> None:
        """Take over what was told of machines. places: (account, region) by machine, where the registry has none."""
        self._places = places
        for instance, facts in told.items():
            if self._facts.add(instance, facts, now):
                self._merge(instance, now)

    def known(self, changed: Iterable[str], now: int) -> None:
        """The registry learned what these machines are: takings that wait for it are filled in."""
        if self._first() == 0:
            return
        for instance in changed:
            open_now = "SELECT 1 FROM spot_interruptions WHERE instance = ? AND NOT settled AND NOT closed LIMIT 1"
            if self._db.execute(open_now, (instance,)).fetchone():
                self._merge(instance, now)

    def any_due(self, now: int) -> bool:
        """Whether a taking is to be settled."""
        return 0 < self._first() <= now

    def settle(self, now: int) -> None:
        """Count takings that nothing more is waited for."""
        if not self.any_due(now):
            return
        due = (
            "SELECT instance, began FROM spot_interruptions WHERE settles > 0 AND settles <= ? ORDER BY settles LIMIT ?"
        )
        for instance, began in self._db.execute(due, (now, AT_ONCE)).fetchall():
            self._settle(instance, began)
        self._next = None

    def resume(self, now: int) -> None:
        """Go on with what an earlier process left. The clock may have been set back meanwhile."""
        self._db.execute("UPDATE spot_interruptions SET settles = min(settles, ?) WHERE settles > 0", (now + HELD,))
        self._next = None
        rows = self._db.execute("SELECT instance, began FROM spot_interruptions WHERE NOT settled ORDER BY began")
        self._changed = dict.fromkeys(rows)

    def prune(self, now: int, keep: int) -> int:
        """Forget some rows past their time, and facts that nothing comes of; returns how many."""
        gone = self._drop("began < ? AND settled", (now - keep,), PRUNE_ROWS)
        return gone + self._facts.prune(now)

    def committed(self) -> None:
        """The transaction is on disk."""
        for key in self._changed_now:
            # Taken out and put in again: what changed last comes last.
            self._changed.pop(key, None)
            self._changed[key] = None
        self._changed_now = {}

    def undo(self) -> None:
        """The transaction was undone."""
        self._changed_now = {}
        self._next = self._rows = None
        self._facts.undo()

    # --- what a transaction does

    def _merge(self, instance: str, now: int) -> None:
        """Make the machine's rows anew of its facts. What was settled stays so."""
        old = self._db.execute(_OLD, (instance,)).fetchall()
        found = takings(self._facts.of(instance))
        machine = self._registry.find(instance)
        place = self._place(instance, machine, old)
        settled, recommended = _settled(found, old)
        rows = {}
        for number, taking in enumerate(found):
            row = _row(instance, taking, machine, place, is_settled=number in settled)
            was = next((item for item in old if item[_BEGAN] == taking.began), None)
            if number in settled:
                settles = 0
            elif was is not None and was[:_SETTLES] == row:
                settles = was[_SETTLES]
            else:
                settles = now + (QUIET if taking.is_whole and machine is not None else HELD)
            rows[taking.began] = (*row, settles, 0, int(number in recommended))
        self._write(instance, old, rows)

    def _write(self, instance: str, old: Sequence[tuple[Any, ...]], rows: dict[int, tuple[Any, ...]]) -> None:
        before = {row[_BEGAN]: row for row in old}
        for began in before.keys() - rows.keys():
            self._db.execute("DELETE FROM spot_interruptions WHERE instance = ? AND began = ?", (instance, began))
            self._changed_now[instance, began] = None
        for began, row in rows.items():
            if before.get(began) != row:
                self._db.execute(_PUT, row)
                self._changed_now[instance, began] = None
        self._next = None
        if self._rows is None:
            (self._rows,) = self._db.execute("SELECT count(*) FROM spot_interruptions").fetchone()
        else:
            self._rows += len(rows) - len(before)
        if self._rows > self._most:
            self._drop("1", (), max(self._most // 100, 1))

    def _place(
        self, instance: str, machine: Instance | None, old: Sequence[tuple[Any, ...]]
    ) -> tuple[str, str, str, str, str, str]:
        """Columns of the pool, and the workload. What the registry has forgotten the rows still know."""
        if machine is not None:
            return (*machine.pool, machine.workload)
        if old:
            account, region, az_id, instance_type, product, workload = old[-1][_PLACE]
            return account, region, az_id, instance_type, product, workload
        return (*self._places.get(instance, ("", "")), "", "", "", "")

    def _settle(self, instance: str, began: int) -> None:
        old = self._db.execute(_OLD, (instance,)).fetchall()
        found = next((taking for taking in takings(self._facts.of(instance)) if taking.began == began), None)
        row = next((row for row in old if row[_BEGAN] == began), None)
        if found is None or row is None:
            # Its facts had to go before it was settled: nothing is known to be counted.
            leave = "UPDATE spot_interruptions SET settles = 0 WHERE instance = ? AND began = ?"
            self._db.execute(leave, (instance, began))
            return
        machine = self._registry.find(instance)
        place = self._place(instance, machine, [row])
        told = (*_row(instance, found, machine, place, is_settled=True), 0, 0, int(found.rebalance is not None))
        self._db.execute(_PUT, told)
        self._changed_now[instance, began] = None
        if (found.terminated or found.warning or found.began) >= self._slices.since(place[0], place[1]):
            # What went before the first look is in no rate: its hours are in none either.
            self._count(found, machine, place, is_recommended=bool(row[_RECOMMENDED]))

    def _count(self, taking: Taking, machine: Instance | None, place: Sequence[str], *, is_recommended: bool) -> None:
        """is_recommended: its recommendation was counted before."""
        pool, workload = Pool(*place[:5]), place[5]
        add, observe = self._counts.add, self._counts.observe
        if taking.interrupted and not taking.reserved:
            add(spot.INTERRUPTIONS, (*pool, taking.action, taking.reason))
        if taking.reclaimed:
            told = "no" if taking.warning is None else "yes"
            add(spot.TERMINATIONS, (pool.account, pool.region, taking.reason, told))
        if taking.rebalance is not None and not is_recommended:
            add(spot.REBALANCES, (pool.region, pool.instance_type))
        if taking.interrupted:
            for signal, at in (("rebalance", taking.rebalance), ("warning", taking.warning)):
                if at is not None and taking.terminated is not None and taking.terminated >= at:
                    observe(spot.SIGNAL_LEAD, (signal,), taking.terminated - at)
            left = _left(taking, machine, workload)
            add(spot.DRAIN_OUTCOMES, (*left, outcome(taking, settled=True)))
            time = drain_time(taking)
            if time is not None:
                observe(spot.DRAIN_DURATION, left, time)

    def _first(self) -> int:
        """When the next taking is to be settled; 0 for none."""
        if self._next is None:
            found = self._db.execute("SELECT min(settles) FROM spot_interruptions WHERE settles > 0").fetchone()[0]
            self._next = found or 0
        return self._next

    def _drop(self, where: str, given: Sequence[int], most: int) -> int:
        which = f"SELECT instance, began FROM spot_interruptions WHERE {where} ORDER BY began LIMIT ?"
        rows = self._db.execute(which, (*given, most)).fetchall()
        self._db.executemany("DELETE FROM spot_interruptions WHERE instance = ? AND began = ?", rows)
        for key in rows:
            self._changed.pop(key, None)
        self._rows = self._next = None
        return len(rows)


def _settled(found: Sequence[Taking], old: Sequence[tuple[Any, ...]]) -> tuple[set[int], set[int]]:
    """(takings that were counted, those whose recommendation was): in whose time such a row began.

    A late sign may have come before it. A recommendation that became an interruption is yet to be counted as one.
    """
    settled, recommended = set(), set()
    for row in old:
        if found and (row[_SETTLED] or row[_RECOMMENDED]):
            earlier = [number for number, taking in enumerate(found) if taking.began <= row[_BEGAN]]
            number = earlier[-1] if earlier else 0
            if row[_SETTLED] and (row[_INTERRUPTED] or not found[number].interrupted):
                settled.add(number)
            if row[_RECOMMENDED]:
                recommended.add(number)
    return settled, recommended


def _left(taking: Taking, machine: Instance | None, workload: str) -> tuple[str, str]:
    """Cluster and nodepool; outside of a cluster the workload stands for the latter."""
    cluster = taking.cluster or (machine.cluster if machine is not None else "")
    return cluster, taking.nodepool or workload


def _row(
    instance: str, taking: Taking, machine: Instance | None, place: Sequence[str], *, is_settled: bool
) -> tuple[Any, ...]:
    """Columns up to `settled`."""
    return (
        *(instance, taking.began, *place, *_left(taking, machine, place[5]), taking.host),
        *(taking.action, taking.reason, taking.rebalance, taking.warning, taking.due, taking.cordoned),
        *(taking.first_eviction, taking.drained, taking.terminated, outcome(taking, settled=is_settled)),
        *(int(taking.interrupted), int(taking.reserved), int(taking.reclaimed), int(is_settled)),
    )
