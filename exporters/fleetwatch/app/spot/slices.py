"""Machine time and money since the last look, region by region: the records that the ledger counts.

A slice begins where the ledger's last one of the region ended, so nothing counts twice and nothing is left out, however
long the exporter was away. It ends where the fleet was looked at and all prices are known, or at midnight (UTC), never
later: what cannot be read is waited for and not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from fleetwatch.collect.desk import Desk
from fleetwatch.reckon import savings
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.reckon.spot_risk import DAY
from fleetwatch.records.spot import Fleet, FleetSlice, Instance, InstanceSeen, Pool

MOST_WAIT = 15 * 60 * SECOND
"""Nanoseconds that prices are waited for; what ran without them is counted as unpriced then."""

ENDED = ("instance-terminated", "instance-stopped", "marked-for")
"""How the status of a spot request begins that tells of a machine's end."""


class Slices:
    """Makes slices; remembers what was waited for, and what was told already."""

    def __init__(self) -> None:
        self._waiting: dict[Pool, int] = {}
        """Pool whose price is waited for -> since when."""
        self._told: dict[InstanceSeen, int] = {}
        """Ends that are on disk -> when they were told last."""
        self._last_seen: dict[str, int] = {}
        """Machine -> when it was last seen running, for those of whose end EC2 tells no time."""

    def of(self, fleet: Fleet, desk: Desk, until: int | None, now: int) -> FleetSlice | None:
        """The next slice of a region; None where there is nothing new, or prices are waited for.

        until: up to when the ledger has counted. The first slice of all is empty and tells only which machines there
        are: what they did before nobody saw.
        """
        self._last_seen.update((item.id, fleet.at) for item in fleet.instances if item.state in savings.ALIVE)
        if until is None:
            return FleetSlice(fleet.account, fleet.region, fleet.at - 1, fleet.at, (), fleet.instances)
        end = savings.prices_known_until(fleet.instances, desk.spot_prices, fleet.at, MOST_WAIT)
        # Sums of days are of that day alone, also after a gap: the rest follows with the next look.
        end = min(end, self._priced_until(fleet, desk, now), (until // DAY + 1) * DAY)
        if end <= until:
            return None
        seen = self._last_seen
        found = savings.uses(fleet.instances, desk.spot_prices, desk.list_prices, until, end, last_seen=seen)
        return FleetSlice(fleet.account, fleet.region, until, end, found, fleet.instances)

    def _priced_until(self, fleet: Fleet, desk: Desk, now: int) -> int:
        """Up to when no machine ran whose price may still come: prices of new types are asked for at once."""
        listed = {(region, product) for region, _, product in desk.list_prices}
        end = fleet.at
        waiting = {}
        for item in fleet.instances:
            if item.state in savings.ALIVE and _may_come(item, desk, listed):
                since = waiting[item.pool] = self._waiting.get(item.pool, now)
                if now - since < MOST_WAIT:
                    end = min(end, item.launched)
        self._waiting = {pool: since for pool, since in self._waiting.items() if not _is_in(pool, fleet)} | waiting
        return end

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
        return [item for item in found if item not in self._told]

    def told(self, seen: Iterable[InstanceSeen], now: int) -> None:
        """These are on disk: they need not be told again for a while."""
        self._last_seen = {id_: at for id_, at in self._last_seen.items() if now - at < 24 * savings.HOUR}
        self._told = {key: at for key, at in self._told.items() if now - at < 24 * savings.HOUR}
        self._told.update(dict.fromkeys(seen, now))


def _is_in(pool: Pool, fleet: Fleet) -> bool:
    return pool.account == fleet.account and pool.region == fleet.region


def _may_come(item: Instance, desk: Desk, listed: Set[tuple[str, str]]) -> bool:
    """Whether a price is missing because nobody has asked yet. listed: (region, product) whose list prices are read."""
    pool = item.pool
    if (pool.region, pool.product) not in listed:
        return True
    if item.lifecycle != "spot" or pool in desk.spot_prices:
        return False
    return (pool.instance_type, pool.product) not in desk.price_looks.get((pool.account, pool.region), frozenset())


def with_forced(fleet: Fleet, forced: Mapping[str, bool]) -> Fleet:
    """The fleet with what annotations of nodes say: id of a machine -> whether it is to be on demand."""
    if not any(forced.get(item.id) and not item.forced for item in fleet.instances):
        return fleet
    marked = [item._replace(forced=True) if forced.get(item.id) else item for item in fleet.instances]
    return fleet._replace(instances=tuple(marked))
