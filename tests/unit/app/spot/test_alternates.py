"""Alternates, recommendations and moves: shown, counted once, and the funnel adds up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.catalogue import spot
from fleetwatch.records.spot import Instance
from support_spot_judge import HOUR, SECOND, WHERE, Court, machine, pool, values

CHEAP = pool("m8g.large", "use1-az2")


def furnish(court: Court) -> None:
    """Two types in two zones; m8g in az2 costs a quarter of what the workload pays."""
    court.desk.zones[WHERE] = {"us-east-1a": "use1-az1", "us-east-1b": "use1-az2"}
    for kind in ("m7g.large", "m8g.large"):
        court.shape(kind)
        court.list_price(0.10, kind)
        for zone in ("use1-az1", "use1-az2"):
            court.price(0.08, pool(kind, zone))
    court.price(0.02, CHEAP)


@pytest.fixture
def court(tmp_path: Path) -> Iterator[Court]:
    found = Court(tmp_path)
    furnish(found)
    yield found
    found.close()


def funnel(court: Court) -> dict[str, int]:
    return {stage: court.total(spot.DECISIONS, stage=stage) for stage in spot.STAGE.one_of}


def read_and_look(court: Court, *machines: Instance, later: float = 15) -> None:
    court.now += round(later * SECOND)
    court.monotonic += later
    court.read()
    court.fleet(*machines)
    court.look()


def test_the_cheapest_pool_that_fits_is_recommended(court: Court) -> None:
    court.fleet(machine(1))
    shown = court.look()
    assert values(shown, spot.ALTERNATE_RANK, instance_type="m8g.large", az_id="use1-az2") == [1]
    assert values(shown, spot.OPEN_RECOMMENDATIONS, workload="search") == [1]
    assert len(values(shown, spot.ALTERNATE_RANK)) <= 5
    assert CHEAP in court.desk.alternates
    assert court.desk.wanted == {("us-east-1", "m7g.large"), ("us-east-1", "m8g.large")}
    assert values(shown, spot.POOL_ON_DEMAND, instance_type="m8g.large", az_id="use1-az2") == [0.10]


def test_a_look_counts_once_an_hour_and_after_a_restart_too(court: Court) -> None:
    court.fleet(machine(1))
    court.look()
    first = funnel(court)
    assert first == {
        "candidate": 4,
        "filtered": first["filtered"],
        "scored": 4 - first["filtered"],
        "chosen": 1,
        "switched": 0,
    }
    read_and_look(court, machine(1))
    court.open()
    furnish(court)
    read_and_look(court, machine(1))
    assert funnel(court) == first
    read_and_look(court, machine(1), later=3600)
    assert funnel(court) == {stage: 2 * number for stage, number in first.items()}


def test_a_lost_memory_counts_no_look_twice(court: Court) -> None:
    court.fleet(machine(1))
    court.look()
    before = funnel(court)
    (court.folder / "spot_judge.json").write_text("{broken")
    court.open()
    furnish(court)
    read_and_look(court, machine(1))
    assert funnel(court) == before


def test_a_move_to_the_recommended_pool_follows_it(court: Court) -> None:
    """Two of three machines move, one after the other: the workload moves with the second."""
    court.fleet(machine(1), machine(2), machine(3))
    court.look()
    read_and_look(court, machine(1), machine(2), machine(4, CHEAP))
    assert court.total(spot.SWITCHES) == 0
    read_and_look(court, machine(1), machine(5, CHEAP), machine(4, CHEAP))
    assert court.total(spot.SWITCHES, workload="search", advice="followed") == 1
    assert court.total(spot.DECISIONS, stage="switched", reason="followed") == 1
    court.open()
    furnish(court)
    read_and_look(court, machine(1), machine(5, CHEAP), machine(4, CHEAP))
    assert court.total(spot.SWITCHES) == 1


def test_a_move_elsewhere_is_told_and_each_recommendation_is_answered_once(court: Court) -> None:
    court.fleet(machine(1))
    court.look()
    read_and_look(court, machine(2, pool("m7g.large", "use1-az2")))
    assert court.total(spot.SWITCHES, advice="elsewhere") == 1
    read_and_look(court, machine(3))
    assert court.total(spot.SWITCHES, advice="elsewhere") == 2
    counts = funnel(court)
    assert counts["switched"] <= counts["chosen"] <= counts["scored"]
    shown = court.look(later=1)
    assert sorted(values(shown, spot.RECENT_SWITCH, from_type="m7g.large")) == sorted(values(shown, spot.RECENT_SWITCH))
    assert len(values(shown, spot.RECENT_SWITCH)) == 2


def test_a_move_that_could_not_be_written_is_counted_when_it_can(court: Court) -> None:
    court.fleet(machine(1))
    court.look()
    court.refuses = True
    court.now += HOUR // 2
    court.read()
    court.fleet(machine(2, CHEAP))
    court.failing_look()
    court.refuses = False
    court.look(later=1)
    assert court.total(spot.SWITCHES, advice="followed") == court.total(spot.SWITCHES) == 1
    assert court.total(spot.DECISIONS, stage="switched", reason="followed") == 1
    counts = funnel(court)
    assert counts["switched"] <= counts["chosen"]


def test_a_recommendation_is_answered_once_though_its_answer_was_not_noted(court: Court) -> None:
    """The exporter dies when the move is on disk, and before it has noted that the recommendation is answered."""
    court.fleet(machine(1))
    court.look()
    noted = (court.folder / "spot_judge.json").read_bytes()
    read_and_look(court, machine(2, CHEAP))
    (court.folder / "spot_judge.json").write_bytes(noted)
    court.open()
    furnish(court)
    read_and_look(court, machine(3))
    read_and_look(court, machine(4, CHEAP))
    assert court.total(spot.SWITCHES) == 3
    assert court.total(spot.DECISIONS, stage="chosen") == court.total(spot.DECISIONS, stage="switched") == 1


def test_machines_that_are_kept_on_demand_have_no_alternates(court: Court) -> None:
    court.fleet(machine(1, forced=True, lifecycle="on_demand"), machine(2, eligible=False, workload="db"))
    shown = court.look()
    assert values(shown, spot.ALTERNATE_RANK) == []
    assert court.desk.wanted == set()


def test_on_demand_machines_are_told_of_spot(court: Court) -> None:
    court.fleet(machine(1, lifecycle="on_demand"))
    shown = court.look()
    assert values(shown, spot.OPEN_RECOMMENDATIONS, workload="search") == [1]
    assert values(shown, spot.OPTIMISATION, workload="search") == [0]


def test_decisions_wait_for_prices_of_alternates(court: Court) -> None:
    """What has no price yet is not counted as a pool that was looked at and had none."""
    prices = dict(court.desk.spot_prices)
    court.desk.spot_prices = {pool(): prices[pool()]}
    court.desk.list_prices["us-east-1", "m8g.large", "Linux/UNIX"] = court.desk.list_prices[
        "us-east-1", "m7g.large", "Linux/UNIX"
    ]._replace(price=1)
    court.fleet(machine(1))
    court.look()
    assert funnel(court)["candidate"] == 0
    court.desk.spot_prices = prices
    read_and_look(court, machine(1))
    assert funnel(court)["candidate"] == 4
