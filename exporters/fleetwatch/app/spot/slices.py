"""Machine time and money since the last look, region by region: the records that the ledger counts.

A slice begins where the ledger's last one of the region ended, so nothing counts twice and nothing is left out, however
long the exporter was away. It ends where the fleet was looked at and all prices are known, never later: what cannot be
read is waited for and not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fleetwatch.collect.desk import Desk
from fleetwatch.reckon import savings
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.spot import Fleet, FleetSlice, Instance, InstanceSeen, Pool

MOST_WAIT = 15 * 60 * SECOND
"""Nanoseconds that prices are waited for; what ran without them is counted as unpriced then."""
LOOKS = 2
"""Later looks at a region's prices that found none for a pool, until it is taken as having none."""

ENDED = ("instance-terminated", "instance-stopped", "marked-for")
"""How the status of a spot request begins that tells of a machine's end."""


class _Missing:
    """A price that is waited for. since: when it was first missed; looks: at the region's prices since then."""

    __slots__ = ("looks", "newest", "since")

    def __init__(self, since: int) -> None:
        self.since = since
        self.newest = since
        self.looks = 0


class Slices:
    """Makes slices; remembers what was waited for, and what was told already."""

    def __init__(self) -> None:
        self._missing: dict[Pool, _Missing] = {}
        self._told: dict[tuple[str, str], int] = {}
        """(machine, why it ended) -> when it was told last."""

    def of(self, fleet: Fleet, desk: Desk, until: int | None) -> FleetSlice | None:
        """The next slice of a region; None where there is nothing new, or prices are waited for.

        until: up to when the ledger has counted. The first slice of all is empty and tells only which machines there
        are: what they did before nobody saw.
        """
        if until is None:
            return FleetSlice(fleet.account, fleet.region, fleet.at, fleet.at, (), fleet.instances)
        end = savings.prices_known_until(fleet.instances, desk.spot_prices, fleet.at, MOST_WAIT)
        end = min(end, self._priced_until(fleet, desk))
        if end <= until:
            return None
        found = savings.uses(fleet.instances, desk.spot_prices, desk.list_prices, until, end)
        return FleetSlice(fleet.account, fleet.region, until, end, found, fleet.instances)

    def _priced_until(self, fleet: Fleet, desk: Desk) -> int:
        """Up to when no machine ran whose price may still come."""
        newest = max((prices.at for pool, prices in desk.spot_prices.items() if _is_in(pool, fleet)), default=0)
        end = fleet.at
        seen = set()
        for item in fleet.instances:
            if item.state not in savings.ALIVE or not _lacks(item, desk):
                continue
            seen.add(item.pool)
            missing = self._missing.setdefault(item.pool, _Missing(fleet.at))
            if missing.looks < LOOKS and fleet.at - missing.since < MOST_WAIT:
                end = min(end, item.launched)
        self._count_looks(fleet, seen, newest)
        return end

    def _count_looks(self, fleet: Fleet, seen: set[Pool], newest: int) -> None:
        for pool in [pool for pool in self._missing if _is_in(pool, fleet)]:
            missing = self._missing[pool]
            if pool not in seen:
                del self._missing[pool]
            elif newest > missing.newest:
                missing.newest = newest
                missing.looks += 1

    def ends(self, fleet: Fleet) -> list[InstanceSeen]:
        """What EC2's own answers tell of ends, what was not told yet first."""
        found = [
            InstanceSeen(item.id, fleet.account, fleet.region, item.ended, item.ended_why)
            for item in fleet.instances
            if item.ended is not None and item.lifecycle == "spot" and item.ended_why
        ]
        found += [
            InstanceSeen(item.instance, fleet.account, fleet.region, item.updated, item.status)
            for item in fleet.requests
            if item.instance and item.status.startswith(ENDED)
        ]
        return [item for item in found if (item.instance, item.why) not in self._told]

    def told(self, seen: Iterable[InstanceSeen], now: int) -> None:
        """These are on disk: they need not be told again for a while."""
        self._told = {key: at for key, at in self._told.items() if now - at < 24 * savings.HOUR}
        self._told.update({(item.instance, item.why): now for item in seen})


def _is_in(pool: Pool, fleet: Fleet) -> bool:
    return pool.account == fleet.account and pool.region == fleet.region


def _lacks(item: Instance, desk: Desk) -> bool:
    """Whether a price is missing that money would be counted by."""
    pool = item.pool
    if (pool.region, pool.instance_type, pool.product) not in desk.list_prices:
        return True
    return item.lifecycle == "spot" and pool not in desk.spot_prices


def with_forced(fleet: Fleet, forced: Mapping[str, bool]) -> Fleet:
    """The fleet with what annotations of nodes say: id of a machine -> whether it is to be on demand."""
    if not any(forced.get(item.id) and not item.forced for item in fleet.instances):
        return fleet
    marked = [item._replace(forced=True) if forced.get(item.id) else item for item in fleet.instances]
    return fleet._replace(instances=tuple(marked))
