"""Risk and ranking of every type of us-east-1, from AWS' own advice and list prices; SPOT.md shows what they say."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from fleetwatch.places import PROJECT
from fleetwatch.reckon import ranking, spot_risk
from fleetwatch.reckon.ranking import Candidate, Look, Machine
from fleetwatch.reckon.spot_fit import Need, need_of
from fleetwatch.reckon.spot_risk import BUCKETS, Exposure
from fleetwatch.records.spot import Advice, Instance, ListPrice, Pool, PriceStep, Shape, SpotPrices

PAGE = (PROJECT / "exporters" / "SPOT.md").read_text(encoding="utf-8")
DATA = Path(__file__).parents[2] / "fixtures" / "spot" / "us-east-1-linux.csv"
NOW = 1_790_000_000 * 10**9
PRIOR = 720.0
ZONES = tuple(f"use1-az{number}" for number in range(1, 7))
WORKLOADS = (
    ("m5.large", 8),
    ("m7g.large", 8),
    ("c6i.4xlarge", 4),
    ("r6i.2xlarge", 4),
    ("i3.2xlarge", 2),
    ("g5.xlarge", 2),
)


class Book:
    """The table, as the exporter would have it."""

    def __init__(self) -> None:
        self.shapes: dict[str, Shape] = {}
        self.advice: dict[str, Advice] = {}
        self.lists: dict[str, int] = {}
        with DATA.open(encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                name = row["instance_type"]
                self.advice[name] = Advice(int(row["bucket"]), int(row["savings_percent"]) / 100, NOW)
                self.lists[name] = round(float(row["usd_per_hour"]) * 10**9)
                if row["architecture"]:
                    memory = int(row["memory_mib"]) * 2**20
                    self.shapes[name] = Shape(int(row["vcpus"]), memory, int(row["gpus"]), row["architecture"])

    def price(self, name: str) -> int:
        return round(self.lists[name] * (1 - self.advice[name].savings))

    def risk(self, name: str) -> float:
        """By advice and price alone: nothing of it has run."""
        prices = SpotPrices((PriceStep(0, self.price(name)),), NOW)
        known = spot_risk.inputs(
            Exposure(), self.advice[name], PRIOR, NOW, prices=prices, list_price=ListPrice(self.lists[name], NOW)
        )
        found = spot_risk.risk(known)
        assert found.present == 4
        assert found.score is not None
        return found.score

    def hazard(self, name: str) -> float:
        return spot_risk.hazard(Exposure(), self.advice[name], PRIOR).posterior

    def candidates(self) -> list[Candidate]:
        return [
            Candidate(_pool(name, zone), shape, self.price(name), self.lists[name], self.hazard(name), self.risk(name))
            for name, shape in self.shapes.items()
            for zone in ZONES
        ]

    def need(self, name: str, number: int) -> Need:
        machines = [Instance(f"i-{place}", _pool(name), "spot", "running", 0, 0) for place in range(number)]
        need = need_of("index", machines, self.shapes, most_risk=60.0, rework_hours=0.5)
        assert need is not None
        return need

    def machines(self, name: str, number: int) -> list[Machine]:
        price = self.price(name)
        return [Machine(_pool(name), "spot", self.shapes[name], price, self.lists[name], self.hazard(name))] * number


def _pool(name: str, zone: str = ZONES[0]) -> Pool:
    return Pool("main", "us-east-1", zone, name, "Linux/UNIX")


@cache
def book() -> Book:
    return Book()


@cache
def pools() -> Sequence[Candidate]:
    return book().candidates()


@cache
def seen(name: str, number: int) -> Look:
    return ranking.look(book().need(name, number), pools())


# --- risk


def test_every_type_has_a_risk() -> None:
    risks = {name: book().risk(name) for name in book().advice}
    assert len(risks) == 894
    assert min(risks.values()) > 0
    assert max(risks.values()) < 60
    by_bucket = [[risk for name, risk in risks.items() if book().advice[name].bucket == which] for which in range(5)]
    for which, found in enumerate(by_bucket):
        share = spot_risk.within(spot_risk.advised(Advice(which, 0.0, NOW)), 24)
        line = (
            f"| {('under 5', '5 to 10', '10 to 15', '15 to 20', 'over 20')[which]} % | {len(found)} | "
            f"{BUCKETS[which]:.1%} | {share:.2%} | {min(found):.0f} to {max(found):.0f} |"
        )
        assert line in PAGE
    # AWS' buckets are kept apart: a price does not outweigh one.
    for better, worse in pairwise(by_bucket):
        assert max(better) < min(worse) + 5


@pytest.mark.parametrize("hours", [0, 720, 7200, 72000])
def test_how_soon_what_was_seen_outweighs_wrong_advice(hours: int) -> None:
    """Advice of under 5 % a month, where 25 % are taken: mean and deviation of the posterior over Poisson counts."""
    true = -math.log(0.75) / 720
    advice = Advice(0, 0.5, NOW)
    expected = true * hours
    counts = range(int(expected + 12 * math.sqrt(expected + 1)) + 12)
    chances = [math.exp(n * math.log(expected) - expected - math.lgamma(n + 1)) if expected else 1.0 for n in counts]
    chances = chances if expected else [1.0] + [0.0] * (len(counts) - 1)
    told = [100 * spot_risk.hazard(Exposure(hours, n), advice, PRIOR).posterior for n in counts]
    mean = sum(p * x for p, x in zip(chances, told, strict=True))
    deviation = math.sqrt(sum(p * (x - mean) ** 2 for p, x in zip(chances, told, strict=True)))
    assert f"| {hours:,} | {mean:.4f} | {deviation:.4f} | {100 * true:.4f} |" in PAGE


@pytest.mark.parametrize("mean", [0.1, 0.7, 2.0, 5.5, 20.0])
def test_the_upper_bound_holds_as_often_as_it_says(mean: float) -> None:
    """The share of all Poisson counts for which the bound is at or above the truth is at least 95 %."""
    held = sum(
        math.exp(n * math.log(mean) - mean - math.lgamma(n + 1))
        for n in range(200)
        if (spot_risk.upper_bound(n, 1.0) or 0) >= mean
    )
    assert held >= 0.95


# --- ranking


@pytest.mark.parametrize(("name", "number"), WORKLOADS)
def test_the_five_of_a_workload(name: str, number: int) -> None:
    """As the page shows them: a line each for the workload, and what is left to gain."""
    found = seen(name, number)
    now = ranking.standing(book().need(name, number), book().machines(name, number))
    assert now.price is not None
    five = Counter(
        f"{item.pool.instance_type} {item.price / 10**9:.4f} ({item.risk:.0f})"
        for item in found.alternates
        if item.risk is not None
    )
    told = ", ".join(f"{count} x {text}" for text, count in five.items())
    rate = ranking.optimisation(found, now)
    assert rate is not None
    line = f"| {number} x {name} | {now.price / 10**9:.4f} | {told} | {rate:.0%} |"
    assert line in PAGE, line


@pytest.mark.parametrize(("name", "number"), WORKLOADS)
def test_alternates_of_real_types_make_sense(name: str, number: int) -> None:
    found = seen(name, number)
    own = book().shapes[name]
    assert found.candidates == len(pools()) == len(found.scored) + sum(found.filtered.values())
    assert 1 < len(found.alternates) <= ranking.MOST
    for item in found.alternates:
        shape = book().shapes[item.pool.instance_type]
        assert shape.architecture == own.architecture
        assert shape.memory * own.vcpus >= own.memory * shape.vcpus
        assert own.vcpus <= shape.vcpus <= 4 * own.vcpus
        assert bool(shape.gpus) == bool(own.gpus)
        assert book().price(item.pool.instance_type) < book().lists[item.pool.instance_type]
    now = ranking.standing(book().need(name, number), book().machines(name, number))
    assert now.price is not None
    assert found.scored[0].price <= now.price
    best = ranking.recommended(found, now, [_pool(name)], 0.1)
    assert best is None or best.price <= 0.9 * now.price
