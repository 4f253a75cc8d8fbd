"""Tables of spot, and how their rows are read; by the writer, and by readers of the file in other processes.

spot_slices         from when and up to when the machine time of a region of an account is counted
spot_exposure       spot machine time per day and pool: what interruption rates are divided by
spot_days           money and machine time per day and workload, for as long as `spot.keep_days`
spot_instances      the registry: what a machine is or was. Events name machines by their id alone
spot_keys           digests of what was counted by key, and until when they are remembered
spot_facts          what was told of single machines, until long after; see reckon.timeline
spot_interruptions  takings of machines as the facts tell them, for as long as `spot.keep_days`
spot_switches       workloads that moved, likewise
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from fleetwatch.records.spot import Instance, Interruption, Pool, Switch

DAY: Final = 86_400 * 10**9

SCHEMA: Final = """
CREATE TABLE spot_slices (
    account TEXT NOT NULL, region TEXT NOT NULL, until INTEGER NOT NULL,
    -- When it was looked at first: who was taken before is in no rate, since its hours are in none.
    since INTEGER NOT NULL,
    PRIMARY KEY (account, region)
) WITHOUT ROWID;
CREATE TABLE spot_days (
    -- Since 1970.
    day INTEGER NOT NULL,
    account TEXT NOT NULL, region TEXT NOT NULL, team TEXT NOT NULL, workload TEXT NOT NULL, lifecycle TEXT NOT NULL,
    -- Nano-USD of what has both prices; nanoseconds: of processors, of machines without a price.
    spend INTEGER NOT NULL, on_demand INTEGER NOT NULL, vcpu_time INTEGER NOT NULL, eligible_time INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    PRIMARY KEY (day, account, region, team, workload, lifecycle)
) WITHOUT ROWID;
CREATE TABLE spot_exposure (
    -- Since 1970.
    day INTEGER NOT NULL,
    account TEXT NOT NULL, region TEXT NOT NULL, az_id TEXT NOT NULL, instance_type TEXT NOT NULL,
    product TEXT NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (day, account, region, az_id, instance_type, product)
) WITHOUT ROWID;
CREATE TABLE spot_instances (
    instance TEXT PRIMARY KEY,
    account TEXT NOT NULL, region TEXT NOT NULL, az_id TEXT NOT NULL, instance_type TEXT NOT NULL,
    product TEXT NOT NULL,
    lifecycle TEXT NOT NULL, state TEXT NOT NULL, vcpus INTEGER NOT NULL, launched INTEGER NOT NULL,
    ended INTEGER, ended_why TEXT NOT NULL, request TEXT NOT NULL, team TEXT NOT NULL, workload TEXT NOT NULL,
    forced INTEGER NOT NULL, eligible INTEGER NOT NULL, cluster TEXT NOT NULL, names TEXT NOT NULL,
    -- When it had gone from the answers or had ended; NULL: it was there in the last slice of its region.
    gone INTEGER
) WITHOUT ROWID;
CREATE INDEX spot_instances_gone ON spot_instances (gone) WHERE gone IS NOT NULL;
CREATE INDEX spot_instances_here ON spot_instances (account, region) WHERE gone IS NULL;
CREATE TABLE spot_keys (key BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX spot_keys_until ON spot_keys (until);
CREATE TABLE spot_facts (
    instance TEXT NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL, due INTEGER, action TEXT NOT NULL,
    why TEXT NOT NULL, cluster TEXT NOT NULL, nodepool TEXT NOT NULL, host TEXT NOT NULL,
    -- When anything new came of its machine last.
    seen INTEGER NOT NULL
);
CREATE INDEX spot_facts_instance ON spot_facts (instance);
CREATE INDEX spot_facts_seen ON spot_facts (seen);
CREATE TABLE spot_interruptions (
    instance TEXT NOT NULL, began INTEGER NOT NULL,
    account TEXT NOT NULL, region TEXT NOT NULL, az_id TEXT NOT NULL, instance_type TEXT NOT NULL,
    product TEXT NOT NULL,
    workload TEXT NOT NULL, cluster TEXT NOT NULL, nodepool TEXT NOT NULL, host TEXT NOT NULL,
    action TEXT NOT NULL, reason TEXT NOT NULL,
    rebalance INTEGER, warning INTEGER, due INTEGER, cordoned INTEGER, first_eviction INTEGER, drained INTEGER,
    terminated INTEGER, outcome TEXT NOT NULL,
    interrupted INTEGER NOT NULL, reserved INTEGER NOT NULL, reclaimed INTEGER NOT NULL, settled INTEGER NOT NULL,
    -- When it is to be counted; 0: it is.
    settles INTEGER NOT NULL,
    -- Its facts are gone: it stays as it is.
    closed INTEGER NOT NULL,
    -- Its rebalance recommendation is counted; the taking itself may come hours later.
    recommended INTEGER NOT NULL,
    PRIMARY KEY (instance, began)
) WITHOUT ROWID;
CREATE INDEX spot_interruptions_began ON spot_interruptions (began);
CREATE INDEX spot_interruptions_settles ON spot_interruptions (settles) WHERE settles > 0;
CREATE TABLE spot_switches (
    number INTEGER PRIMARY KEY,
    workload TEXT NOT NULL, at INTEGER NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, outcome TEXT NOT NULL,
    UNIQUE (workload, at)
);
CREATE INDEX spot_switches_at ON spot_switches (at);
"""

_POOL = "account, region, az_id, instance_type, product"
_INTERRUPTION = (
    f"instance, began, {_POOL}, workload, cluster, nodepool, host, action, reason, rebalance, warning, due, cordoned, "
    "first_eviction, drained, terminated, outcome, interrupted, settled"
)
_BEFORE = (
    "coalesce(terminated, warning, began) < coalesce((SELECT since FROM spot_slices s "
    "WHERE s.account = spot_interruptions.account AND s.region = spot_interruptions.region), 0)"
)
"""It went before its region was looked at first."""
_INSTANCE = (
    f"instance, {_POOL}, lifecycle, state, vcpus, launched, ended, ended_why, request, team, workload, forced, "
    "eligible, cluster, names"
)


class Exposure(NamedTuple):
    """What a pool's interruption rate is made of. time: nanoseconds of spot machine time."""

    time: int
    interruptions: int


class Day(NamedTuple):
    """Sums of days, by the labels of the catalogue's USE. Money: nano-USD, of what has both prices; times: nanoseconds.

    vcpu_time: of processors; eligible_time: of them, those that could be spot; unpriced: of machines without a price.
    """

    account: str
    region: str
    team: str
    workload: str
    lifecycle: str
    spend: int
    on_demand: int
    vcpu_time: int
    eligible_time: int
    unpriced: int


def interruptions(
    db: sqlite3.Connection, where: str = "1", given: Sequence[Any] = (), order: str = "began, instance"
) -> list[Interruption]:
    """Takings that fit a condition. where, order: SQL of this package, never of a person."""
    rows = db.execute(f"SELECT {_INTERRUPTION} FROM spot_interruptions WHERE {where} ORDER BY {order}", given)
    return [_interruption(row) for row in rows]


def instances(db: sqlite3.Connection, where: str = "gone IS NULL", given: Sequence[Any] = ()) -> list[Instance]:
    """Machines of the registry that fit a condition."""
    rows = db.execute(f"SELECT {_INSTANCE} FROM spot_instances WHERE {where} ORDER BY instance", given)
    return [instance_of(row) for row in rows]


def switches(db: sqlite3.Connection, since: int, most: int) -> list[Switch]:
    """Switches since then, newest first."""
    rows = db.execute(
        "SELECT workload, at, before, after, outcome FROM spot_switches WHERE at >= ? ORDER BY at DESC, number DESC "
        "LIMIT ?",
        (since, most),
    )
    return [
        Switch(workload, at, Pool(*json.loads(before)), Pool(*json.loads(after)), outcome)
        for workload, at, before, after, outcome in rows
    ]


def exposure(db: sqlite3.Connection, since: int) -> dict[Pool, Exposure]:
    """Spot machine time and interruptions per pool, of the whole days from that of `since` on."""
    day = since // DAY
    # total() is a float: 3,500 machines for a month are more nanoseconds than an INTEGER holds.
    hours = {
        Pool(*row[:5]): int(row[5])
        for row in db.execute(f"SELECT {_POOL}, total(time) FROM spot_exposure WHERE day >= ? GROUP BY {_POOL}", (day,))
    }
    taken = {
        Pool(*row[:5]): row[5]
        for row in db.execute(
            f"SELECT {_POOL}, count(*) FROM spot_interruptions "
            f"WHERE began >= ? AND interrupted AND NOT reserved AND instance_type <> '' AND NOT {_BEFORE} "
            f"GROUP BY {_POOL}",
            (day * DAY,),
        )
    }
    return {pool: Exposure(hours.get(pool, 0), taken.get(pool, 0)) for pool in {**hours, **taken}}


def days(db: sqlite3.Connection, since: int) -> list[Day]:
    """Money and machine time of the whole days from that of `since` on."""
    labels = "account, region, team, workload, lifecycle"
    # 3,500 processors for a month are more nanoseconds than an INTEGER holds: total() is a float.
    sums = "sum(spend), sum(on_demand), total(vcpu_time), total(eligible_time), total(unpriced)"
    rows = db.execute(f"SELECT {labels}, {sums} FROM spot_days WHERE day >= ? GROUP BY {labels}", (since // DAY,))
    return [Day(*row[:7], *map(int, row[7:])) for row in rows]


def instance_row(item: Instance) -> tuple[Any, ...]:
    """Columns as in `_INSTANCE`."""
    return (
        *(item.id, *item.pool, item.lifecycle, item.state, item.vcpus, item.launched, item.ended, item.ended_why),
        *(item.request, item.team, item.workload, int(item.forced), int(item.eligible), item.cluster),
        json.dumps(item.names),
    )


def instance_of(row: Sequence[Any]) -> Instance:
    """From columns as in `_INSTANCE`."""
    lifecycle, state, vcpus, launched, ended, why, request, team, workload, forced, eligible, cluster, names = row[6:19]
    return Instance(
        *(row[0], Pool(*row[1:6]), lifecycle, state, vcpus, launched, ended, why, request, team, workload),
        *(bool(forced), bool(eligible), cluster, tuple(json.loads(names))),
    )


def _interruption(row: Sequence[Any]) -> Interruption:
    instance, began, account, region, az_id, instance_type, product, workload = row[:8]
    pool = Pool(account, region, az_id, instance_type, product) if instance_type else None
    place = (account, region, workload, began, bool(row[21]), bool(row[22]))
    fields: tuple[Any, ...] = (f"{instance}/{began}", instance, pool, *row[8:21], *place)
    return Interruption(*fields)
