"""The real exporter before two accounts in two regions with 300 machines: what it counts is what a hand would count.

The ledger begins as that of an exporter that last looked six hours ago: prices changed, machines came and went
meanwhile. The tests go on with one fleet and one exporter, in order; the last one looks that all adds up in the end.
"""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from fleetwatch.ledger import Ledger
from fleetwatch.ledger.query import Reader
from fleetwatch.records.spot import FleetSlice, Interruption
from support import wait_for
from support_aws import own_identity
from support_ec2 import OWN, Ec2, ec2_cloud
from support_house import House
from support_ledger import BOOK
from support_program import Series, samples

OTHER = "444455556666"
ACCOUNTS = {OWN: "prod", OTHER: "lab"}
REGIONS = ("us-east-1", "eu-west-1")
TYPES = {"m7g.large": 2, "c7g.xlarge": 4, "r6i.2xlarge": 8, "t3.medium": 2, "c6g.large": 2, "m5.large": 2}
VICTIM, MISSING = "c6g.large", "m5.large"
"""Types of one machine that is taken, and of those that have no spot price."""
HOURS = 6
SOON = 120
"""Seconds within which the exporter has to show something."""

Use = tuple[str, str, str, str, str]
"""account, region, team, workload, lifecycle."""


class Fleet:
    """What the tests know of machines and prices: times in whole Unix seconds, prices in billionths of a US dollar."""

    def __init__(self, ec2: Ec2) -> None:
        self.ec2 = ec2
        self.ended: dict[str, int] = {}
        self.steps: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
        """(region, zone's letter, type) -> (from when on, price)."""
        self.listed: dict[tuple[str, str], int] = {}
        self.now = int(time.time())
        self.since = self.now - HOURS * 3600
        self._dice = random.Random(7)

    def price_all(self) -> None:
        """List prices, and spot prices that change some times a day."""
        for region in REGIONS:
            for kind, vcpus in TYPES.items():
                self.listed[region, kind] = vcpus * self._dice.randrange(40_000_000, 60_000_000)
                self.ec2.list_price(kind, self.listed[region, kind] / 10**9, region=region)
                for zone in "abc" if kind != MISSING else "":
                    changes = sorted(self._dice.sample(range(self.now - 12 * 3600, self.now), 6))
                    self.steps[region, zone, kind] = [
                        (at, self.listed[region, kind] * self._dice.randrange(20, 90) // 100_000 * 1000)
                        for at in (self.now - 20 * 86_400, *changes)
                    ]
                    for at, price in self.steps[region, zone, kind]:
                        self.ec2.price(kind, price / 10**9, region=region, zone=zone, at=at)

    def run(self, kind: str, count: int = 1, launched: int | None = None, **where: str) -> list[str]:
        self.ec2.now = time.time()
        tags = {"team": where.pop("team", "find"), "workload": where.pop("workload", "search")}
        return self.ec2.run(kind, count, launched=launched or int(self.ec2.now), tags=tags, **where)

    def fill(self) -> None:
        """300 machines; a sixth of them has ended."""
        for account in ACCOUNTS:
            for region in REGIONS:
                for _ in range(75):
                    (name,) = self.run(
                        self._dice.choice(["m7g.large", "c7g.xlarge", "r6i.2xlarge", "t3.medium"]),
                        launched=self.now - self._dice.randrange(600, 12 * 3600),
                        account=account,
                        region=region,
                        zone=self._dice.choice("abc"),
                        lifecycle=self._dice.choice(["spot", "spot", "on-demand"]),
                        team=self._dice.choice(["find", "ads"]),
                        workload=self._dice.choice(["search", "batch"]),
                    )
                    if self._dice.random() < 1 / 6:
                        self.end(name, self._dice.randrange(int(self.ec2.machines[name].launched) + 60, self.now))

    def end(self, name: str, at: int | None = None) -> None:
        """By its owner, or at that moment by EC2."""
        is_spot = self.ec2.machines[name].lifecycle == "spot"
        self.ec2.now = time.time() if at is None else at
        self.ended[name] = int(self.ec2.now)
        self.ec2.take(name, "capacity" if is_spot else "user", tell=at is None)
        self.ec2.now = time.time()

    # --- by hand

    def use(self, name: str) -> Use:
        told = self.ec2.machines[name]
        lifecycle = "spot" if told.lifecycle == "spot" else "on_demand"
        return ACCOUNTS[told.account], told.region, told.tags["team"], told.tags["workload"], lifecycle

    def money(self, untils: dict[tuple[str, str], float]) -> dict[tuple[Use, str], float]:
        """US dollars by label set, second by second where a price changed: (labels, spot or on_demand) -> sum."""
        sums: dict[tuple[Use, str], Fraction] = defaultdict(Fraction)
        for name, told in self.ec2.machines.items():
            use = self.use(name)
            if told.type == MISSING:
                continue
            begin, end = self._ran(name, untils)
            listed = self.listed[told.region, told.type]
            sums[use, "on_demand"] += (end - begin) * listed
            if told.lifecycle != "spot":
                sums[use, "spend"] += (end - begin) * listed
                continue
            steps = self.steps[told.region, told.zone, told.type]
            for place, (at, price) in enumerate(steps):
                until = steps[place + 1][0] if place + 1 < len(steps) else end
                sums[use, "spend"] += max(Fraction(0), min(until, end) - max(Fraction(at), begin)) * price
        return {key: float(total / 3600 / 10**9) for key, total in sums.items() if total}

    def unpriced(self, untils: dict[tuple[str, str], float]) -> float:
        """Hours."""
        spans = [self._ran(name, untils) for name, told in self.ec2.machines.items() if told.type == MISSING]
        return float(sum(end - begin for begin, end in spans) / 3600)

    def _ran(self, name: str, untils: dict[tuple[str, str], float]) -> tuple[Fraction, Fraction]:
        told = self.ec2.machines[name]
        until = Fraction(untils[ACCOUNTS[told.account], told.region])
        begin = Fraction(max(int(told.launched), self.since))
        return begin, max(begin, min(until, Fraction(self.ended.get(name, 1 << 40))))


class Page:
    """One scrape."""

    def __init__(self, house: House) -> None:
        self.found = samples(house.get("/metrics")[1])

    def sums(self, name: str, *by: str) -> dict[tuple[str, ...], float]:
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for series, value in self.found.get(name, {}).items():
            sums[tuple(dict(series)[label] for label in by)] += value
        return dict(sums)

    def one(self, name: str, **labels: str) -> float | None:
        """Sum of the series with these labels; None where there is none."""
        wanted: Series = frozenset(labels.items())
        found = [value for series, value in self.found.get(name, {}).items() if wanted <= series]
        return sum(found) if found else None

    def untils(self) -> dict[tuple[str, str], float]:
        return {
            (a, r): at for (a, r), at in self.sums("spot_recorded_until_timestamp_seconds", "account", "region").items()
        }


def agrees(house: House, fleet: Fleet, after: float) -> bool:
    """Whether all is counted up to after that time, and is what the hand says. Raises AssertionError where not."""
    page = Page(house)
    untils = page.untils()
    assert len(untils) == 4
    assert min(untils.values()) > after
    labels = ("account", "region", "team", "workload", "lifecycle")
    ours = fleet.money(untils)
    for name, kind in (("spot_spend_usd_total", "spend"), ("spot_on_demand_equivalent_usd_total", "on_demand")):
        found = page.sums(name, *labels)
        expected = {use: total for (use, which), total in ours.items() if which == kind}
        assert found == pytest.approx(expected, abs=5e-8)
    hours = page.one("spot_unpriced_instance_hours_total", price="spot")
    assert hours == pytest.approx(fleet.unpriced(untils), abs=1e-6)
    return True


@pytest.fixture(scope="module")
def ec2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ec2]:
    with pytest.MonkeyPatch.context() as patch:
        own_identity(patch, tmp_path_factory.mktemp("identity"))
        with ec2_cloud(time.time()) as server:
            yield server
            assert server.wrong == []


@pytest.fixture(scope="module")
def fleet(ec2: Ec2) -> Fleet:
    found = Fleet(ec2)
    found.price_all()
    found.fill()
    found.run(MISSING, 2, launched=found.now - 3 * 3600, account=OTHER, region="eu-west-1")
    return found


@pytest.fixture(scope="module")
def house(ec2: Ec2, fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("house")
    paces = ("ec2_fleet", "spot_prices", "on_demand_prices", "spot_judge")
    settings = {
        "aws": {
            "regions": list(REGIONS),
            "accounts": [
                {"name": "prod"},
                {"name": "lab", "role_arn": f"arn:aws:iam::{OTHER}:role/fleetwatch"},
            ],
            "endpoint_url": ec2.url,
            "timeout": 3,
            "attempts": 1,
        },
        "spot": {"enabled": True, "advisor_url": "", "queues": [{"url": ec2.queue(), "region": "us-east-1"}]},
        "host": {"enabled": False},
        "collect": {name: {"interval": 2} for name in paces},
    }
    found = House(folder, settings)
    found.data.mkdir()
    ledger = Ledger(found.ledger, BOOK)
    since = fleet.since * 10**9
    ledger.commit(
        [FleetSlice(name, region, since - 1, since, (), ()) for name in ACCOUNTS.values() for region in REGIONS]
    )
    ledger.close()
    with found:
        yield found


def test_the_fleet_is_that_of_the_accounts(house: House, fleet: Fleet) -> None:
    machines: dict[Use, int] = defaultdict(int)
    vcpus: dict[Use, int] = defaultdict(int)
    rates: dict[Use, float] = defaultdict(float)
    for name, told in fleet.ec2.machines.items():
        if name not in fleet.ended:
            machines[fleet.use(name)] += 1
            vcpus[fleet.use(name)] += TYPES[told.type]
            if told.type != MISSING:
                price = fleet.listed[told.region, told.type]
                if told.lifecycle == "spot":
                    price = fleet.steps[told.region, told.zone, told.type][-1][1]
                rates[fleet.use(name)] += price / 10**9
    assert sum(machines.values()) > 240
    by = ("account", "region", "team", "workload", "lifecycle")

    def shows() -> bool:
        page = Page(house)
        assert page.sums("spot_fleet_instances", *by) == machines
        assert page.sums("spot_fleet_vcpus", *by) == vcpus
        assert page.sums("spot_spend_usd_per_hour", *by) == pytest.approx(rates)
        assert page.one("spot_price_missing_instances", price="spot", instance_type=MISSING) == 2
        return True

    wait_for(shows, SOON, "the fleet", 0.3)


def test_six_hours_of_changing_prices_equal_the_hand(house: House, fleet: Fleet) -> None:
    wait_for(lambda: agrees(house, fleet, fleet.now), SOON, "the sums of the hand", 0.3)


def test_a_killed_exporter_counts_nothing_twice_and_leaves_nothing_out(house: House, fleet: Fleet) -> None:
    for _ in range(2):
        house.kill9()
        house.start()
    died = time.time()
    wait_for(lambda: agrees(house, fleet, died), SOON, "the sums of the hand after two deaths", 0.3)


def test_an_interruption_is_told_once_with_its_times(house: House, fleet: Fleet) -> None:
    """Its messages come twice, and the exporter dies between them."""
    ec2 = fleet.ec2
    (victim,) = fleet.run(VICTIM, zone="b")
    wait_for(lambda: Page(house).one("spot_fleet_instances", instance_type=VICTIM) == 1, SOON, "the victim", 0.2)
    ec2.rebalance(victim)
    warning = ec2.warn(victim)
    assert warning is not None

    def kind(word: str) -> bool:
        return Page(house).one("spot_recent_notice_timestamp_seconds", instance_id=victim, kind=word) is not None

    wait_for(lambda: kind("warning"), SOON, "the warning", 0.2)
    house.kill9()
    (queue,) = ec2.queues[OWN, "us-east-1"]
    ec2.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(warning))
    fleet.end(victim)
    house.start()
    wait_for(lambda: kind("interruption"), SOON, "the interruption", 0.2)
    wait_for(lambda: Page(house).one("spot_fleet_instances", instance_type=VICTIM) is None, SOON, "its end", 0.2)

    def counted() -> bool:
        page = Page(house)
        assert page.one("spot_events_total", signal="warning") == 1
        assert page.one("spot_event_duplicates_total", signal="warning") == 1
        assert page.one("spot_events_total", signal="rebalance") == 1
        return True

    wait_for(counted, SOON, "the events", 0.3)

    def row_of() -> Interruption:
        with Reader(house.ledger) as ledger:
            (found,) = [item for item in ledger.interruptions(0) if item.instance == victim]
        # What the machine was is known with the next slice.
        assert found.workload == "search"
        return found

    row = wait_for(row_of, SOON, "the interruption on disk", 0.3)
    assert (row.reason, row.action, row.interrupted) == ("capacity", "terminate", True)
    assert row.rebalance is not None
    assert row.warning is not None
    assert row.terminated is not None
    assert row.rebalance <= row.warning <= row.terminated
    assert row.due == row.warning + 120 * 10**9


def test_a_region_that_hangs_and_a_permission_that_is_missing_hurt_only_themselves(house: House, fleet: Fleet) -> None:
    ec2 = fleet.ec2
    before = Page(house).untils()
    ec2.refuse("hang", account=OTHER, region="eu-west-1")
    ec2.refuse("denied", "ec2:DescribeSpotInstanceRequests", account=OWN, region="eu-west-1")
    fleet.run(VICTIM, 3, zone="b", workload="late")

    def others_go_on() -> bool:
        page = Page(house)
        assert page.one("spot_fleet_instances", workload="late") == 3
        denied = {"account": "prod", "region": "eu-west-1", "api": "ec2:DescribeSpotInstanceRequests"}
        assert page.one("aws_api_permission_denied", **denied) == 1
        missing = {"collector": "ec2_fleet", "permission": "ec2:DescribeSpotInstanceRequests"}
        assert page.one("fleetwatch_collector_denied", **missing) == 1
        assert page.untils()["prod", "us-east-1"] > before["prod", "us-east-1"]
        return True

    wait_for(others_go_on, SOON, "the other regions", 0.3)
    # As old as it is, and told as such.
    assert Page(house).untils()["lab", "eu-west-1"] == pytest.approx(before["lab", "eu-west-1"], abs=120)
    ec2.relent()
    healed = time.time()
    for account in ACCOUNTS:
        for region in REGIONS:
            fleet.run(VICTIM, account=account, region=region, workload="new")
    house.kill9()
    house.start()
    wait_for(lambda: agrees(house, fleet, healed), SOON, "the sums of the hand in the end", 0.3)


def test_each_interruption_is_counted_once(house: House, fleet: Fleet) -> None:
    """A minute after the last news of each; those that nobody was warned of are told apart.

    Those that went before the first look are not counted: their hours are not either.
    """
    on_spot = {name: at for name, at in fleet.ended.items() if fleet.ec2.machines[name].lifecycle == "spot"}
    taken = [name for name, at in on_spot.items() if at >= fleet.since]
    assert len(taken) < len(on_spot)

    def counted() -> bool:
        page = Page(house)
        assert page.one("spot_interruptions_total", reason="capacity") == len(taken)
        assert page.one("spot_terminations_total", told="yes") == 1
        assert page.one("spot_terminations_total", told="no") == len(taken) - 1
        return True

    wait_for(counted, 2 * SOON, "all interruptions", 0.5)
