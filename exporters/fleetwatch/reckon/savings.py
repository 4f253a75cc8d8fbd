"""What machines cost, and would have cost on demand: integrated over time, piece by piece between price changes.

Prices are nano-USD per hour, times Unix nanoseconds, so that a sum of price x time is an exact integer; it is divided
once, at the end of a label set. Formulas: FinOps Foundation, effective savings rate; SPOT.md has them all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from fleetwatch.records.spot import Instance, Lifecycle, ListPrice, Pool, PriceStep, SpotPrices, Use

HOUR = 3600 * 10**9
ALIVE = frozenset({"pending", "running"})
"""States of machines that run. EC2 does not tell when one became `running`; it is counted from its launch."""

SpotBook = Mapping[Pool, SpotPrices]
ListBook = Mapping[tuple[str, str, str], ListPrice]
"""(region, instance type, product) -> price."""


class Rate(NamedTuple):
    """What machines with these labels cost now, nano-USD per hour; those without both prices are left out."""

    account: str
    region: str
    team: str
    workload: str
    lifecycle: Lifecycle
    spend: int
    on_demand: int


class Rates(NamedTuple):
    """All of a fleet. missing: (pool, `spot` or `on_demand`) -> machines that run without that price."""

    rates: tuple[Rate, ...]
    missing: Mapping[tuple[Pool, str], int]


class Savings(NamedTuple):
    """Sums over uses whose prices are known, nano-USD. Negative savings are possible, and are not hidden."""

    spend: int
    on_demand: int

    @property
    def saved(self) -> int:
        return self.on_demand - self.spend

    @property
    def esr_over_list(self) -> float | None:
        """Effective savings rate over list price, (ODE - C) / ODE; None where nothing ran."""
        return self.saved / self.on_demand if self.on_demand else None


class Coverage(NamedTuple):
    """Spot's share of processor time, 0 to 1; None where none ran. of_eligible: of what could be spot."""

    of_all: float | None
    of_eligible: float | None


def uses(
    instances: Iterable[Instance],
    spot_prices: SpotBook,
    list_prices: ListBook,
    since: int,
    until: int,
    *,
    last_seen: Mapping[str, int] = MappingProxyType({}),
) -> tuple[Use, ...]:
    """What machines ran and cost from `since` up to `until`, Unix nanoseconds; sorted, without empty ones.

    A machine counts from its launch to its end. One that runs no longer, and of which EC2 does not tell since when,
    counts up to when it was last seen running: `last_seen`, id -> Unix nanoseconds, or `since` where it is not there.
    Spot is charged the price of the moment, everything else the list price. Before its first known step a spot price
    is not known.

    Time is put apart by which prices are known, so a label set may come several times. Where `spend` or `on_demand` is
    None, neither may be counted as money: else savings would be wrong. Each amount is rounded once, half to even, so it
    is at most half a nano-USD from the exact one; amounts of k slices of a period add up to that of the whole within
    (k + 1) / 2 nano-USD.
    """
    sums: dict[_Key, _Sum] = defaultdict(_Sum)
    for instance in instances:
        begin, end = _ran(instance, since, until, last_seen)
        if begin >= end:
            continue
        listed = _list_price(instance, list_prices)
        for length, price in _pieces(instance, spot_prices, listed, begin, end):
            key = _Key(
                instance.pool, instance.lifecycle, instance.team, instance.workload, instance.eligible,
                price is not None, listed is not None,
            )  # fmt: skip
            total = sums[key]
            total.running += length
            total.vcpu_time += instance.vcpus * length
            total.spend += (price or 0) * length
            total.on_demand += (listed or 0) * length
    return tuple(
        Use(
            *key[:5],
            total.running,
            total.vcpu_time,
            _hours(total.spend) if key.is_spend_known else None,
            _hours(total.on_demand) if key.is_list_known else None,
        )
        for key, total in sorted(sums.items(), key=lambda item: item[0])
    )


def prices_known_until(instances: Iterable[Instance], spot_prices: SpotBook, at: int, most_wait: int) -> int:
    """The latest `until` before which no price change can be missed; at most `at`, Unix nanoseconds.

    A change is known only once it has been read, so a slice ends where the spot prices of running machines were last
    read, and those of ended ones, where they have not been read since. What was not read for `most_wait` nanoseconds is
    waited for no longer, and what has no price not at all.
    """
    until = at
    for instance in instances:
        if instance.lifecycle == "spot":
            prices = spot_prices.get(instance.pool)
            is_unsure = prices is not None and (instance.state in ALIVE or prices.at < (instance.ended or 0))
            if prices is not None and is_unsure and at - prices.at <= most_wait:
                until = min(until, prices.at)
    return until


def rates(instances: Iterable[Instance], spot_prices: SpotBook, list_prices: ListBook, at: int) -> Rates:
    """What machines that run at `at` cost per hour, by account, region, team, workload and lifecycle; sorted."""
    sums: dict[tuple[str, str, str, str, Lifecycle], list[int]] = defaultdict(lambda: [0, 0])
    missing: dict[tuple[Pool, str], int] = defaultdict(int)
    for instance in instances:
        if instance.state not in ALIVE:
            continue
        listed = _list_price(instance, list_prices)
        price = _price_now(instance, spot_prices, listed, at)
        if listed is None:
            missing[instance.pool, "on_demand"] += 1
        if price is None and instance.lifecycle == "spot":
            missing[instance.pool, "spot"] += 1
        if price is not None and listed is not None:
            pool = instance.pool
            total = sums[pool.account, pool.region, instance.team, instance.workload, instance.lifecycle]
            total[0] += price
            total[1] += listed
    return Rates(tuple(Rate(*key, *total) for key, total in sorted(sums.items())), dict(missing))


def cost(instance: Instance, spot_prices: SpotBook, list_prices: ListBook, since: int, until: int) -> int | None:
    """Nano-USD of one machine from `since` up to `until`, whether it runs now or not; None where a price is missing."""
    if until <= since:
        return 0
    listed = _list_price(instance, list_prices)
    amount = 0
    for length, price in _pieces(instance, spot_prices, listed, since, until):
        if price is None:
            return None
        amount += price * length
    return _hours(amount)


def price_at(steps: Sequence[PriceStep], at: int) -> int | None:
    """Nano-USD per hour at a time; None before the first step."""
    place = bisect_right(steps, at, key=lambda step: step.at)
    return steps[place - 1].price if place else None


def savings(some: Iterable[Use]) -> Savings:
    """Sums of what has both prices."""
    spend = on_demand = 0
    for use in some:
        if use.spend is not None and use.on_demand is not None:
            spend += use.spend
            on_demand += use.on_demand
    return Savings(spend, on_demand)


def coverage(some: Iterable[Use]) -> Coverage:
    """Spot vCPU-hours over all vCPU-hours. Counts of machines would mislead where sizes differ."""
    everything = eligible = spot = spot_eligible = 0
    for use in some:
        on_spot = use.vcpu_time if use.lifecycle == "spot" else 0
        everything += use.vcpu_time
        spot += on_spot
        if use.eligible:
            eligible += use.vcpu_time
            spot_eligible += on_spot
    return Coverage(
        spot / everything if everything else None,
        spot_eligible / eligible if eligible else None,
    )


class _Key(NamedTuple):
    """What amounts are added up by."""

    pool: Pool
    lifecycle: Lifecycle
    team: str
    workload: str
    eligible: bool
    is_spend_known: bool
    is_list_known: bool


class _Sum:
    """running, vcpu_time: nanoseconds; spend, on_demand: price x nanoseconds."""

    __slots__ = ("on_demand", "running", "spend", "vcpu_time")

    def __init__(self) -> None:
        self.running = self.vcpu_time = self.spend = self.on_demand = 0


def _ran(instance: Instance, since: int, until: int, last_seen: Mapping[str, int]) -> tuple[int, int]:
    """From when to when a machine ran within a slice; the end is not above the begin where it did not."""
    if instance.state in ALIVE:
        end = until
    elif instance.ended is not None:
        end = instance.ended
    else:
        end = last_seen.get(instance.id, since)
    return max(instance.launched, since), min(end, until)


def _list_price(instance: Instance, prices: ListBook) -> int | None:
    pool = instance.pool
    found = prices.get((pool.region, pool.instance_type, pool.product))
    return None if found is None else found.price


def _price_now(instance: Instance, prices: SpotBook, listed: int | None, at: int) -> int | None:
    if instance.lifecycle != "spot":
        return listed
    found = prices.get(instance.pool)
    return None if found is None else price_at(found.steps, at)


def _pieces(
    instance: Instance, prices: SpotBook, listed: int | None, begin: int, end: int
) -> Iterator[tuple[int, int | None]]:
    """(nanoseconds, price) of the time from begin to end."""
    if instance.lifecycle != "spot":
        yield end - begin, listed
        return
    found = prices.get(instance.pool)
    steps = found.steps if found is not None else ()
    place = bisect_right(steps, begin, key=lambda step: step.at)
    price = steps[place - 1].price if place else None
    for step in steps[place:]:
        if step.at >= end:
            break
        yield step.at - begin, price
        begin, price = step.at, step.price
    yield end - begin, price


def _hours(amount: int) -> int:
    """Price x nanoseconds as money, rounded half to even."""
    whole, rest = divmod(amount, HOUR)
    return whole + (2 * rest > HOUR or (2 * rest == HOUR and whole % 2 == 1))
