"""Where a workload could run instead: pools that fit it, by what they cost with the work that interruptions repeat.

Every candidate ends in exactly one place: filtered with its first reason, or scored. So candidates = scored + filtered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from fleetwatch.reckon.spot_fit import Need, family, unfit, units
from fleetwatch.reckon.spot_risk import advised
from fleetwatch.records.spot import Advice, Lifecycle, ListPrice, Pool, Shape

MOST = 5
"""Alternates of a workload that are shown."""
MOST_PER_FAMILY = 2
MOST_PER_ZONE = 2


class Candidate(NamedTuple):
    """A pool as it is known. Prices: nano-USD per hour; hazard: interruptions per machine hour; risk: 0 to 100."""

    pool: Pool
    shape: Shape
    price: int | None
    on_demand: int | None
    hazard: float
    risk: float | None


class Scored(NamedTuple):
    """A pool that fits. price: effective, nano-USD per hour and unit (vCPU, or GPU where the workload needs GPUs)."""

    pool: Pool
    price: float
    risk: float | None


class Look(NamedTuple):
    """What one look at a workload's candidates found.

    filtered: reason -> pools, reasons as of catalogue.spot.STAGE_REASON; scored: best first.
    """

    workload: str
    candidates: int
    filtered: Mapping[str, int]
    scored: tuple[Scored, ...]

    @property
    def alternates(self) -> tuple[Scored, ...]:
        """The best, at most MOST."""
        return self.scored[:MOST]

    def counts(self, chosen: int = 0) -> tuple[tuple[str, str, int], ...]:
        """(stage, reason, pools) for a Decision, without zeros; chosen: how many were recommended to move to."""
        told = [("candidate", "", self.candidates)]
        told += [("filtered", reason, number) for reason, number in sorted(self.filtered.items())]
        told += [("scored", "", len(self.scored)), ("chosen", "", chosen)]
        return tuple(item for item in told if item[2])


class Machine(NamedTuple):
    """A machine of a workload that could be spot, as it runs now; values as of Candidate.

    price: its spot price; not needed of one that is not spot, which costs its list price.
    """

    pool: Pool
    lifecycle: Lifecycle
    shape: Shape
    price: int | None
    on_demand: int | None
    hazard: float


class Standing(NamedTuple):
    """What a workload's machines are and cost now, nano-USD per hour. unpriced: machines that are left out of it.

    cost: with the expected rework; units: vCPUs, or GPUs where the workload needs GPUs.
    """

    units: int
    on_demand: int
    cost: float
    unpriced: int

    @property
    def price(self) -> float | None:
        """Effective, per unit and hour; as of Scored."""
        return self.cost / self.units if self.units else None


def wanted(
    need: Need,
    region: str,
    product: str,
    shapes: Mapping[str, Shape],
    *,
    list_prices: Mapping[tuple[str, str, str], ListPrice],
    advice: Mapping[tuple[str, str, str], Advice],
    most: int = 40,
) -> list[str]:
    """Types of a region whose spot prices are worth asking for: those that fit, with the lowest expected price first.

    Expected is the list price less AWS' advised savings, with rework, per unit. Types without a list price are left
    out: nobody could tell whether spot is the dearer one.
    """
    system = "Windows" if product.startswith("Windows") else "Linux"
    expected = []
    for name, shape in shapes.items():
        listed = list_prices.get((region, name, product))
        if listed is None or unfit(need, name, shape):
            continue
        told = advice.get((region, name, system))
        price = listed.price * (1 - (told.savings if told is not None else 0.0))
        expected.append((_effective(price, advised(told), need) / units(need, shape), name))
    return [name for _, name in sorted(expected)[:most]]


def look(need: Need, candidates: Iterable[Candidate]) -> Look:
    """Filter and rank pools; each pool once. Ties go to the lower risk, the lower hazard, then to the names in order.

    Reasons, the first that applies: those of `unfit`, no_price, dearer_than_on_demand (effective price above the list
    price of the same type), risk, diversity. Diversity is counted while the first MOST are picked: a pool whose family
    or zone has its places taken by better ones. What comes after the MOST is scored, and not shown.
    """
    filtered: Counter[str] = Counter()
    fit: list[tuple[float, float, float, Scored]] = []
    verdicts: dict[tuple[str, Shape], str] = {}
    number = 0
    for item in candidates:
        number += 1
        of_type = (item.pool.instance_type, item.shape)
        verdict = verdicts.get(of_type)
        if verdict is None:
            verdict = verdicts[of_type] = unfit(need, *of_type)
        found = verdict or _scored(need, item)
        if isinstance(found, str):
            filtered[found] += 1
        else:
            # An unknown risk comes after every known one.
            fit.append((found.price, 101.0 if found.risk is None else found.risk, item.hazard, found))
    fit.sort(key=lambda entry: (*entry[:3], entry[3].pool))
    scored, dropped = _diverse([entry[3] for entry in fit])
    if dropped:
        filtered["diversity"] = dropped
    return Look(need.workload, number, dict(filtered), tuple(scored))


def standing(need: Need, machines: Iterable[Machine]) -> Standing:
    """What the workload's machines cost with the expected rework; on demand is without."""
    total = on_demand = unpriced = 0
    cost = 0.0
    for machine in machines:
        is_spot = machine.lifecycle == "spot"
        price = machine.price if is_spot else machine.on_demand
        own = units(need, machine.shape)
        if price is None or machine.on_demand is None or not own:
            unpriced += 1
            continue
        total += own
        on_demand += machine.on_demand
        cost += _effective(price, machine.hazard if is_spot else 0.0, need)
    return Standing(total, on_demand, cost, unpriced)


def recommended(found: Look, now: Standing, in_use: Iterable[Pool], least_gain: float) -> Scored | None:
    """The best alternate that is not in use, if its price is at least the share `least_gain` below today's."""
    if now.price is None:
        return None
    used = set(in_use)
    best = next((pool for pool in found.alternates if pool.pool not in used), None)
    return best if best is not None and best.price <= (1 - least_gain) * now.price and best.price < now.price else None


def optimisation(found: Look, now: Standing) -> float | None:
    """(ODE - C) / (ODE - C*): savings that a workload has, of those that it could have.

    C: its cost with expected rework; C*: that of the same units on the best scored pool. None where nothing is scored
    or nothing could be saved (ODE <= C*). Above 1: it runs on pools that its own rules exclude.
    """
    if not found.scored or not now.units:
        return None
    possible = now.on_demand - now.units * found.scored[0].price
    # What is left by rounding is nothing.
    return (now.on_demand - now.cost) / possible if possible > 1e-9 * now.on_demand else None


def _effective(price: float, hazard: float, need: Need) -> float:
    """Price x (1 + interruptions per hour x hours of work that each costs)."""
    return price * (1 + hazard * need.rework_hours)


def _scored(need: Need, item: Candidate) -> Scored | str:
    """Or why it is none."""
    if item.price is None:
        return "no_price"
    price = _effective(item.price, item.hazard, need)
    if item.on_demand is not None and price > item.on_demand:
        return "dearer_than_on_demand"
    if item.risk is not None and item.risk > need.most_risk:
        return "risk"
    return Scored(item.pool, price / units(need, item.shape), item.risk)


def _diverse(ranked: Sequence[Scored]) -> tuple[list[Scored], int]:
    """(what is left, how many were dropped) once the first MOST have at most so many of a family and of a zone."""
    families: Counter[str] = Counter()
    zones: Counter[str] = Counter()
    kept: list[Scored] = []
    for place, item in enumerate(ranked):
        if len(kept) == MOST:
            return kept + list(ranked[place:]), place - MOST
        its_family = family(item.pool.instance_type)
        if families[its_family] < MOST_PER_FAMILY and zones[item.pool.az_id] < MOST_PER_ZONE:
            kept.append(item)
            families[its_family] += 1
            zones[item.pool.az_id] += 1
    return kept, len(ranked) - len(kept)
