"""What machines cost now, which prices are missing, how likely pools are taken away: gauges of one look at the desk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from fleetwatch.app.spot.moves import RUNS
from fleetwatch.app.spot.pools import Pools
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.collect.desk import Desk
from fleetwatch.reckon import savings
from fleetwatch.records.spot import Fleet, Instance, Pool

PER = 100
"""Hours that interruption rates are told per."""


def pools_in_use(fleets: Iterable[Fleet]) -> set[Pool]:
    """Pools with a machine that runs."""
    return {item.pool for fleet in fleets for item in fleet.instances if item.state in RUNS}


def money(fleets: Iterable[Fleet], desk: Desk) -> Iterator[Sample]:
    """What the fleets cost per hour now, and whose price is not known."""
    for fleet in fleets:
        found = savings.rates(fleet.instances, desk.spot_prices, desk.list_prices, fleet.at)
        for rate in found.rates:
            labels = (rate.account, rate.region, rate.team, rate.workload, rate.lifecycle)
            yield Sample(spot.SPEND_RATE, labels, rate.spend / NANO)
            yield Sample(spot.EQUIVALENT_RATE, labels, rate.on_demand / NANO)
        for (pool, price), machines in found.missing.items():
            yield Sample(spot.PRICE_MISSING, (*pool, price), machines)


def forced(fleets: Iterable[Fleet]) -> Iterator[Sample]:
    """Machines that run and that somebody keeps on demand."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for fleet in fleets:
        for item in fleet.instances:
            if item.forced and item.state in RUNS:
                found[fleet.account, fleet.region, item.team, item.workload] += 1
    return (Sample(spot.FORCED, labels, machines) for labels, machines in found.items())


def recorded(untils: Mapping[tuple[str, str], int]) -> Iterator[Sample]:
    """Up to when machine time is counted; of regions that cannot be asked any more, too."""
    return (Sample(spot.RECORDED_UNTIL, where, until / NANO) for where, until in untils.items())


def pools(shown: Iterable[Pool], known: Pools) -> Iterator[Sample]:
    """List price, risk and interruption rates of pools."""
    for pool in sorted(shown):
        price = known.list_price(pool)
        if price is not None:
            yield Sample(spot.POOL_ON_DEMAND, pool, price.price / NANO)
        risk = known.risk(pool)
        yield Sample(spot.RISK_INPUTS, pool, risk.present)
        if risk.score is not None:
            yield Sample(spot.RISK, pool, risk.score)
        hazard = known.hazard(pool)
        for bound, rate in (("observed", hazard.observed), ("upper", hazard.upper), ("posterior", hazard.posterior)):
            if rate is not None:
                yield Sample(spot.HAZARD, (*pool, bound), rate * PER)


def eligible(instances: Iterable[Instance]) -> list[Instance]:
    """Those that run and could be spot: nobody keeps them on demand."""
    return [item for item in instances if item.state in RUNS and item.eligible and not item.forced]
