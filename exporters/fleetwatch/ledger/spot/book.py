"""Spot in the ledger: machine time and money, interruptions, switches; each fact counted once, however often it comes.

Everything here is for the thread of the ledger alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import metrics_of
from fleetwatch.ledger.counts import Counts
from fleetwatch.ledger.errors import explained
from fleetwatch.ledger.group import KeptSpot, SpotRecord
from fleetwatch.ledger.spot import tables
from fleetwatch.ledger.spot.interruptions import Interruptions
from fleetwatch.ledger.spot.keys import Keys
from fleetwatch.ledger.spot.registry import Registry
from fleetwatch.ledger.spot.slices import Slices
from fleetwatch.ledger.spot.tables import DAY, Exposure
from fleetwatch.reckon.timeline import Fact
from fleetwatch.records.spot import (
    Decision,
    DrainStep,
    FleetSlice,
    Instance,
    InstanceSeen,
    Interruption,
    LostWork,
    Pool,
    SpotSignal,
    Switch,
)

METRICS = tuple(metric for metric in metrics_of(spot) if metric.durable)
"""What is counted here."""

EVENT_REMEMBERED: Final = 15 * DAY
"""SQS keeps a message for 14 days at most."""
DECISION_REMEMBERED: Final = DAY
WORK_REMEMBERED: Final = 90 * DAY
MOST_SWITCHES: Final = 20_000
PRUNE_ROWS: Final = 5000
AHEAD: Final = DAY
"""Nanoseconds by which a time may be after now; what is further ahead is wrong and taken for now."""
LONGEST: Final = 300
"""Characters of a text that is kept. Names of nodes have at most 253."""
_FACTS: Final = frozenset({"rebalance", "warning", "reservation_warning"})
_ENDS: Final = frozenset({"stopped", "terminated"})


class SpotRules(NamedTuple):
    """How much is kept; see the settings of the same name."""

    keep_days: int = 400


class SpotBook:
    """All that the ledger knows of EC2's machines. keep, resume, prune and undo: inside the writer's transaction."""

    def __init__(self, path: Path, db: sqlite3.Connection, counts: Counts, rules: SpotRules) -> None:
        self._path = path
        self._db = db
        self._counts = counts
        self._keep = rules.keep_days * DAY
        self._keys = Keys(db)
        self._slices = Slices(db, counts)
        self._registry = Registry(db)
        self._interruptions = Interruptions(db, counts, self._registry, self._slices)

    # --- what others ask; all raise LedgerError

    def until(self, account: str, region: str) -> int | None:
        """Up to when a region's machine time is counted, Unix nanoseconds: the next slice begins there."""
        return self.untils().get((account, region))

    def untils(self) -> dict[tuple[str, str], int]:
        """The same of all, by (account, region)."""
        return self._slices.untils()

    def instances(self, account: str = "", region: str = "") -> dict[str, Instance]:
        """Machines that had not ended in the last slice of their region: of one region, or of all. They were seen at
        `until`.
        """
        return self._registry.here(account, region)

    def take_changed(self) -> list[Interruption]:
        """Takings that commits changed since the last call, as they are now; at first all that are not settled."""
        with explained(self._path):
            return self._interruptions.take_changed()

    def recent(self, most: int) -> list[Interruption]:
        """The last takings, newest first."""
        with explained(self._path):
            return tables.interruptions(self._db, order=f"began DESC, instance LIMIT {int(most)}")

    def interruptions(self, since: int) -> list[Interruption]:
        """Takings that began since then, Unix nanoseconds, oldest first."""
        with explained(self._path):
            return tables.interruptions(self._db, "began >= ?", (since,))

    def switches(self, most: int) -> list[Switch]:
        """The last switches, newest first."""
        with explained(self._path):
            return tables.switches(self._db, 0, most)

    def exposure(self, since: int) -> dict[Pool, Exposure]:
        """Spot machine time and interruptions by pool, of whole days (UTC), the first is that of `since`."""
        with explained(self._path):
            return tables.exposure(self._db, since)

    # --- what the writer does

    def keep(self, told: Iterable[SpotRecord], now: int) -> KeptSpot:
        """Count and keep what is new. Slices come first: they tell what the machines of the others are."""
        records = list(told)
        if records and not self._slices.untils():
            self._begin()
        kept = 0
        for record in records:
            if isinstance(record, FleetSlice) and self._slices.keep(record):
                kept += 1
                self._interruptions.known(self._registry.keep(record), now)
        facts: dict[str, set[Fact]] = {}
        places: dict[str, tuple[str, str]] = {}
        signals = moves = 0
        for record in records:
            if isinstance(record, SpotSignal):
                signals += self._signal(record, facts, places, now)
            elif isinstance(record, InstanceSeen):
                seen = Fact("seen", _bounded(record.at, now), why=record.why[:LONGEST])
                facts.setdefault(record.instance[:LONGEST], set()).add(seen)
                places.setdefault(record.instance[:LONGEST], (record.account, record.region))
            elif isinstance(record, DrainStep):
                self._step(record, facts, now)
            elif not isinstance(record, FleetSlice):
                moves += self._move(record, now)
        if facts:
            self._interruptions.keep(facts, places, now)
        self._interruptions.settle(now)
        return KeptSpot(kept, signals, moves)

    def any_due(self, now: int) -> bool:
        """Whether there is something to count."""
        return self._interruptions.any_due(now)

    def resume(self, now: int) -> None:
        """Go on with what an earlier process left."""
        self._interruptions.resume(now)

    def prune(self, now: int) -> int:
        """Forget some of what is past its time; returns how many rows. Totals stay."""
        old = "SELECT number FROM spot_switches WHERE at < ? ORDER BY at LIMIT ?"
        gone = self._db.execute(
            f"DELETE FROM spot_switches WHERE number IN ({old})", (now - self._keep, PRUNE_ROWS)
        ).rowcount
        gone += self._keys.prune(now) + self._slices.prune(now, self._keep) + self._registry.prune(now)
        return gone + self._interruptions.prune(now, self._keep)

    def committed(self) -> None:
        """The transaction is on disk."""
        self._interruptions.committed()

    def undo(self) -> None:
        """The transaction was undone: what is in memory may not be in the file."""
        for part in (self._keys, self._slices, self._registry, self._interruptions):
            part.undo()

    # --- what a transaction does

    def _begin(self) -> None:
        """Let series begin at zero with the first record, so that the first event of a kind is seen as one."""
        for signal in spot.SIGNAL.one_of:
            self._counts.open(spot.EVENTS, (signal,))
            self._counts.open(spot.EVENT_DUPLICATES, (signal,))

    def _signal(
        self, told: SpotSignal, facts: dict[str, set[Fact]], places: dict[str, tuple[str, str]], now: int
    ) -> bool:
        if not self._keys.is_new("event", told.key, now + EVENT_REMEMBERED):
            self._counts.add(spot.EVENT_DUPLICATES, (told.kind,))
            return False
        at = _bounded(told.at, now)
        self._counts.add(spot.EVENTS, (told.kind,))
        self._counts.observe(spot.EVENT_DELAY, (), max(now - at, 0))
        instance = told.instance[:LONGEST]
        places.setdefault(instance, (told.account, told.region))
        due = None if told.due is None else _bounded(told.due, now)
        if told.kind in _FACTS:
            # mypy does not see that it is one of them.
            facts.setdefault(instance, set()).add(Fact(told.kind, at, due, told.action))  # type: ignore[arg-type]
        elif told.kind == "state_change" and told.state in _ENDS:
            facts.setdefault(instance, set()).add(Fact("ended", at))
        return True

    def _step(self, told: DrainStep, facts: dict[str, set[Fact]], now: int) -> None:
        instance = told.instance or self._registry.by_host(told.host)
        if instance:
            place = (text[:LONGEST] for text in (told.cluster, told.nodepool, told.host))
            fact = Fact(told.step, _bounded(told.at, now), None, "unknown", "", *place)
            facts.setdefault(instance[:LONGEST], set()).add(fact)

    def _move(self, told: Switch | Decision | LostWork, now: int) -> bool:
        if isinstance(told, Switch):
            return self._switch(told, now)
        if isinstance(told, Decision):
            if not self._keys.is_new("decision", told.key, now + DECISION_REMEMBERED):
                return False
            for stage, reason, number in told.counts:
                self._counts.add(spot.DECISIONS, (stage, reason), max(number, 0))
            return True
        return self._lost(told, now)

    def _switch(self, told: Switch, now: int) -> bool:
        row = (
            told.workload[:LONGEST],
            _bounded(told.at, now),
            json.dumps(told.before),
            json.dumps(told.after),
            told.outcome,
        )
        put = self._db.execute(
            "INSERT OR IGNORE INTO spot_switches (workload, at, before, after, outcome) VALUES (?, ?, ?, ?, ?)", row
        )
        if not put.rowcount:
            return False
        self._counts.add(spot.SWITCHES, (told.workload, told.outcome))
        self._db.execute("DELETE FROM spot_switches WHERE number <= ?", ((put.lastrowid or 0) - MOST_SWITCHES,))
        return True

    def _lost(self, told: LostWork, now: int) -> bool:
        if not self._keys.is_new("work", told.key, now + WORK_REMEMBERED):
            return False
        where = (told.account, told.region)
        self._counts.add(spot.LOST_ITEMS, (*where, told.kind))
        self._counts.add(spot.LOST_WORK, (*where, told.kind), max(told.time, 0))
        self._counts.add(spot.INTERRUPTION_COST, (*where, "machine"), max(told.machine or 0, 0))
        self._counts.add(spot.INTERRUPTION_COST, (*where, "llm"), max(told.llm, 0))
        if told.machine is None:
            self._counts.add(spot.LOST_UNPRICED, (*where, told.kind))
        return True


def _bounded(at: int, now: int) -> int:
    """A time that can be: not before 1970, and not far ahead of this machine's clock."""
    return at if 0 < at <= now + AHEAD else now
