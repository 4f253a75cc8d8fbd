"""How busy machines are, from CloudWatch's answers to a scrape."""

from __future__ import annotations

import pytest

from fleetwatch.catalogue import exporter, spot
from fleetwatch.collect.here import SpotAccess
from fleetwatch.collect.runner import KEPT_CYCLES, NoData
from fleetwatch.collect.spot.ec2_fleet import Ec2Fleet
from fleetwatch.collect.spot.ec2_load import PERIOD, Ec2Load
from support_ec2 import OWN, REGION, Ec2
from support_ec2_looks import Looks

ASKED = "cloudwatch:GetMetricData"
TAGS = {"team": "search", "workload": "indexer"}
LABELS = (OWN, REGION, "search", "indexer", "spot")


def both(ec2: Ec2) -> tuple[Looks, Looks]:
    fleet = Looks(Ec2Fleet, ec2, spot=SpotAccess(load=True))
    return fleet, Looks(Ec2Load, ec2, fleet.here)


def test_the_mean_is_weighted_by_processors_and_leaves_out_what_has_no_value(ec2: Ec2) -> None:
    [small] = ec2.run("m7g.large", tags=TAGS)
    [large] = ec2.run("m7g.4xlarge", tags=TAGS)
    ec2.run("m7g.4xlarge", tags=TAGS)
    [other] = ec2.run("m7g.large", lifecycle="on-demand")
    [stopped] = ec2.run("m7g.large", tags=TAGS, state="stopped")
    ec2.load = {small: 90.0, large: 30.0, other: 5.0, stopped: 99.0}
    fleet, load = both(ec2)
    fleet.look()
    load.look()
    assert load.failure is None
    assert load.series(spot.LOAD) == {
        LABELS: pytest.approx((90 * 2 + 30 * 16) / 18 / 100),
        (OWN, REGION, "", "", "on_demand"): pytest.approx(0.05),
    }
    # What it costs is told: four machines.
    assert load.total(exporter.API_ITEMS, operation="GetMetricData") == 4


def test_it_waits_for_the_machines_and_then_asks_every_five_minutes(ec2: Ec2) -> None:
    ec2.load = dict.fromkeys(ec2.run("m7g.large", tags=TAGS), 50.0)
    fleet, load = both(ec2)
    load.look()
    assert (load.series(spot.LOAD), ec2.count(ASKED)) == ({}, 0)
    fleet.look()
    for _ in range(PERIOD // 60):
        load.look(60)
        assert load.series(spot.LOAD) == {LABELS: 0.5}
    assert ec2.count(ASKED) == 1
    load.look(60)
    assert ec2.count(ASKED) == 2


def test_more_machines_than_a_request_takes_are_all_asked_for(ec2: Ec2) -> None:
    ec2.load = dict.fromkeys(ec2.run("m7g.large", 501, tags=TAGS), 20.0)
    last = list(ec2.load)[-1]
    ec2.load[last] = 100.0
    fleet, load = both(ec2)
    fleet.look()
    load.look()
    assert load.series(spot.LOAD) == {LABELS: pytest.approx((500 * 0.2 + 1) / 501)}
    assert ec2.count(ASKED) == 2


def test_a_region_that_fails_keeps_its_values_for_a_while(ec2: Ec2) -> None:
    ec2.load = dict.fromkeys(ec2.run("m7g.large", tags=TAGS), 50.0)
    fleet, load = both(ec2)
    fleet.look()
    load.look()
    ec2.refuse("denied", ASKED)
    ec2.now += PERIOD
    for _ in range(KEPT_CYCLES):
        load.look(60)
        assert load.series(spot.LOAD) == {LABELS: 0.5}
        assert load.failure is not None
        assert [item.permission for item in load.failure.denied] == [ASKED]
    load.look(60)
    assert load.series(spot.LOAD) == {}
    ec2.relent()
    load.look(60)
    assert (load.failure, load.series(spot.LOAD)) == (None, {LABELS: 0.5})


def test_where_it_is_not_asked_for_there_is_nothing(ec2: Ec2) -> None:
    with pytest.raises(NoData):
        Looks(Ec2Load, ec2).look()
