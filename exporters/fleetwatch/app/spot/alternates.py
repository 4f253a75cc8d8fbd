"""Where workloads could run instead: candidates, the best of them, what is recommended, and which prices are wanted.

A workload is looked at by its machines of the product that most of its processors run; its candidates are all types in
all zones of the regions where it runs or may run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from itertools import zip_longest
from typing import NamedTuple

from fleetwatch.app.spot.gauges import eligible
from fleetwatch.app.spot.pools import Pools
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.collect.desk import Desk
from fleetwatch.reckon import ranking, spot_fit
from fleetwatch.reckon.ranking import Candidate, Look, Machine, Scored, Standing
from fleetwatch.reckon.savings import HOUR
from fleetwatch.reckon.spot_fit import Need
from fleetwatch.records.spot import Decision, Instance, Pool, Shape
from fleetwatch.settings.spot import Spot, SpotWorkload

MOST_WANTED = 200
"""Types of a region whose prices are asked for besides those in use."""
PER_WORKLOAD = 40
MOST_WORKLOADS = 99
"""Looked at, those with most processors: as many as have a series of their own. Each takes some 30 ms a region, and
whoever may tag machines could invent any number."""
_UNKNOWN = Shape(0, 0)


class Judged(NamedTuple):
    """What was found for a workload. look: None where nothing says how large a machine has to be."""

    workload: str
    look: Look
    now: Standing
    chosen: Scored | None
    optimisation: float | None


class Workload(NamedTuple):
    """Machines of a workload that could be spot, of one product. where: (account, region), those it runs in first."""

    name: str
    machines: Sequence[Instance]
    product: str
    where: Sequence[tuple[str, str]]


def workloads_of(instances: Iterable[Instance], rules: Mapping[str, SpotWorkload]) -> list[Workload]:
    """Workloads with a machine that could be spot, the largest MOST_WORKLOADS, by name."""
    by_name: dict[str, list[Instance]] = {}
    for item in eligible(instances):
        if item.workload and (item.workload not in rules or rules[item.workload].eligible):
            by_name.setdefault(item.workload, []).append(item)
    largest = nsmallest(MOST_WORKLOADS, by_name, key=lambda name: (-sum(item.vcpus for item in by_name[name]), name))
    return [_workload(name, by_name[name], rules.get(name)) for name in sorted(largest)]


def _workload(name: str, machines: list[Instance], rule: SpotWorkload | None) -> Workload:
    products: Counter[str] = Counter()
    for item in machines:
        products[item.pool.product] += max(item.vcpus, 1)
    product = min(products, key=lambda one: (-products[one], one))
    ours = [item for item in machines if item.pool.product == product]
    places = Counter((item.pool.account, item.pool.region) for item in ours)
    where = sorted(places, key=lambda place: (-places[place], place))
    if rule is not None and rule.regions:
        account = where[0][0]
        where = [place for place in where if place[1] in rule.regions]
        where += [(account, region) for region in rule.regions if all(region != known for _, known in where)]
    return Workload(name, ours, product, where)


def need_of(workload: Workload, shapes: Mapping[str, Shape], rule: SpotWorkload | None, section: Spot) -> Need | None:
    """What its machines have to be; None where neither settings nor machines tell."""
    most_risk = section.most_risk if rule is None or rule.most_risk is None else rule.most_risk
    rework = section.rework_hours if rule is None or rule.rework_hours is None else rule.rework_hours
    return spot_fit.need_of(
        workload.name,
        workload.machines,
        shapes,
        types=rule.instance_types if rule else (),
        least_vcpus=rule.least_vcpus if rule else 0,
        least_memory=int(rule.least_memory_gib * 2**30) if rule else 0,
        most_risk=most_risk,
        rework_hours=rework,
    )


def candidates(workload: Workload, desk: Desk, pools: Pools) -> Iterator[Candidate]:
    """Every type in every zone of where it may run."""
    for account, region in workload.where:
        zones = sorted(set(desk.zones.get((account, region), {}).values()))
        for az_id in zones:
            for name, shape in desk.shapes.items():
                pool = Pool(account, region, az_id, name, workload.product)
                price, listed = pools.price(pool), pools.list_price(pool)
                if price is None:
                    yield Candidate(pool, shape, None, listed.price if listed else None, 0.0, None)
                    continue
                hazard, risk = pools.hazard(pool).posterior, pools.risk(pool).score
                yield Candidate(pool, shape, price, listed.price if listed else None, hazard, risk)


def judge(workload: Workload, need: Need, desk: Desk, pools: Pools, least_gain: float) -> Judged:
    """One look at a workload."""
    look = ranking.look(need, candidates(workload, desk, pools))
    now = ranking.standing(need, [_machine(item, desk, pools) for item in workload.machines])
    in_use = {item.pool for item in workload.machines if item.lifecycle == "spot"}
    chosen = ranking.recommended(look, now, in_use, least_gain)
    return Judged(workload.name, look, now, chosen, ranking.optimisation(look, now))


def _machine(item: Instance, desk: Desk, pools: Pools) -> Machine:
    listed = pools.list_price(item.pool)
    shape = desk.shapes.get(item.pool.instance_type) or _UNKNOWN._replace(vcpus=item.vcpus)
    hazard = pools.hazard(item.pool).posterior
    return Machine(item.pool, item.lifecycle, shape, pools.price(item.pool), listed.price if listed else None, hazard)


def samples(found: Iterable[Judged]) -> Iterator[Sample]:
    """Alternates, prices and how much is left to gain."""
    for item in found:
        for rank, alternate in enumerate(item.look.alternates, 1):
            yield Sample(spot.ALTERNATE_RANK, (item.workload, *alternate.pool), rank)
            yield Sample(spot.ALTERNATE_PRICE, (item.workload, *alternate.pool), alternate.price / NANO)
        if item.now.price is not None:
            yield Sample(spot.WORKLOAD_PRICE, (item.workload,), item.now.price / NANO)
        if item.optimisation is not None:
            yield Sample(spot.OPTIMISATION, (item.workload,), item.optimisation)
        yield Sample(spot.OPEN_RECOMMENDATIONS, (item.workload,), float(item.chosen is not None))


def decision(item: Judged, at: int) -> Decision:
    """What the look came to; of all looks of an hour at a workload one counts."""
    key = f"look {at // HOUR} {item.workload}"
    return Decision(key, at, tuple(item.look.counts(chosen=int(item.chosen is not None))))


def wanted(
    needs: Iterable[tuple[Workload, Need]], desk: Desk, most: int = MOST_WANTED
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(region, type) whose spot prices are wanted, and of them those of the first choice of each workload.

    Workloads take turns until a region has its number: one with many fitting types does not crowd out the others.
    """
    lists: dict[str, list[list[str]]] = {}
    for workload, need in needs:
        for region in dict.fromkeys(region for _, region in workload.where):
            found = ranking.wanted(
                need,
                region,
                workload.product,
                desk.shapes,
                list_prices=desk.list_prices,
                advice=desk.advice,
                most=PER_WORKLOAD,
            )
            lists.setdefault(region, []).append(found)
    all_of: set[tuple[str, str]] = set()
    firsts: set[tuple[str, str]] = set()
    for region, several in lists.items():
        turns = [name for turn in zip_longest(*several) for name in turn if name is not None]
        all_of.update((region, name) for name in list(dict.fromkeys(turns))[:most])
        firsts.update((region, found[0]) for found in several if found)
    return all_of, firsts
