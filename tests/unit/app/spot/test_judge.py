"""The judge: what it tells the ledger, once, and what it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.catalogue import spot
from fleetwatch.ledger.query import Reader
from fleetwatch.ledger.spot.tables import DAY
from fleetwatch.records.kubernetes import Cluster, Node
from fleetwatch.records.spot import SpotSignal
from fleetwatch.settings.model import Aws, AwsAccount
from support_spot_judge import HOUR, NOON, SECOND, Court, machine, pool, values


@pytest.fixture
def court(tmp_path: Path) -> Iterator[Court]:
    """One type at 0.04 on spot and 0.10 on demand."""
    found = Court(tmp_path)
    furnish(found)
    yield found
    found.close()


def furnish(court: Court) -> None:
    court.price(0.04)
    court.list_price(0.10)
    court.shape("m7g.large")


def test_savings_begin_at_the_first_look_and_follow_the_price(court: Court) -> None:
    """Two machines, an hour: half of it at 0.04, half at 0.06 USD; before nobody looked."""
    court.fleet(machine(1), machine(2))
    court.look()
    court.now += HOUR
    court.price(0.06, at=NOON + HOUR // 2)
    court.fleet(machine(1), machine(2))
    court.look()
    assert court.total(spot.SPEND, team="find", workload="search", lifecycle="spot") == 100_000_000
    assert court.total(spot.EQUIVALENT) == 200_000_000
    assert court.total(spot.INSTANCE_HOURS) == 2 * HOUR
    assert court.total(spot.VCPU_HOURS, eligible="yes") == 4 * HOUR


def test_a_slice_that_could_not_be_written_is_told_again_whole(court: Court) -> None:
    court.fleet(machine(1))
    court.look()
    court.now += HOUR
    court.read()
    court.fleet(machine(1))
    court.refuses = True
    shown, why = court.failing_look()
    assert "the disk is full" in why
    assert values(shown, spot.SPEND_RATE) == [0.04]
    court.refuses = False
    court.now += HOUR
    court.read()
    court.fleet(machine(1))
    court.look()
    court.look()
    assert court.total(spot.SPEND) == 80_000_000


def test_a_start_after_a_gap_counts_the_gap_once(court: Court) -> None:
    """The exporter is away for three hours; one machine runs on, one was stopped an hour after it went."""
    court.fleet(machine(1), machine(2))
    court.look()
    court.now += 3 * HOUR
    court.open()
    court.price(0.04)
    court.list_price(0.10)
    court.fleet(machine(1), machine(2, state="terminated", ended=NOON + HOUR, ended_why="Client.UserInitiatedShutdown"))
    court.look()
    court.open()
    court.price(0.04)
    court.list_price(0.10)
    court.fleet(machine(1))
    court.look()
    assert court.total(spot.SPEND) == 4 * 40_000_000
    assert court.total(spot.INSTANCE_HOURS) == 4 * HOUR


def test_a_gap_over_midnight_is_put_into_its_days(court: Court) -> None:
    """From 22:00 to 03:00: two hours of one day, three of the next, also where midnight is hit exactly."""
    court.now = (NOON // DAY + 1) * DAY - 2 * HOUR
    court.fleet(machine(1))
    court.look()
    court.now += 5 * HOUR
    court.read()
    court.fleet(machine(1))
    court.look()
    assert court.total(spot.SPEND) == 80_000_000
    court.look(later=15)
    assert court.total(spot.SPEND) == 200_000_000
    with Reader(court.folder / "ledger.db") as reader:
        (whole,), (second,) = reader.machine_days(0), reader.machine_days(court.now)
    assert (whole.spend, whole.on_demand, whole.vcpu_time) == (200_000_000, 500_000_000, 10 * HOUR)
    assert (second.spend, second.team, second.workload) == (120_000_000, "find", "search")


def test_sums_stay_true_past_the_bounds_of_labels(court: Court) -> None:
    """Anyone who may tag machines can invent workloads: they have no series of their own, and are in the sums."""
    court.fleet(*(machine(number, workload=f"w{number}") for number in range(500)))
    shown = court.look()
    rates = values(shown, spot.SPEND_RATE)
    assert len(rates) == spot.WORKLOAD.at_most
    assert sum(rates) == pytest.approx(500 * 0.04)
    assert len(values(shown, spot.OPEN_RECOMMENDATIONS)) <= spot.WORKLOAD.at_most
    court.now += HOUR
    court.monotonic += 3600
    court.read()
    court.fleet(*(machine(number, workload=f"v{number}") for number in range(500)))
    shown = court.look()
    assert court.total(spot.SPEND) == 500 * 40_000_000
    assert sum(values(shown, spot.SPEND_RATE)) == pytest.approx(500 * 0.04)
    kept = json.loads((court.folder / "spot_judge.json").read_bytes())
    assert all(name.startswith("v") for name in kept["decided"])


def test_a_region_that_cannot_be_read_waits(court: Court) -> None:
    """Its machines are not guessed to run on; when it answers again, what ran meanwhile is counted."""
    court.fleet(machine(1))
    court.look()
    court.look(later=3600)
    assert court.total(spot.SPEND) == 0
    court.read()
    court.fleet(machine(1))
    shown = court.look()
    assert court.total(spot.SPEND) == 40_000_000
    court.look(later=600)
    assert court.total(spot.SPEND) == 40_000_000
    assert values(shown, spot.RECORDED_UNTIL) == [NOON / SECOND]


def test_a_region_that_has_left_the_settings_is_behind_for_good_and_no_trouble(court: Court) -> None:
    """So has an account that has got a name. What was counted stays; their machines are not there any more."""
    court.fleet(machine(1))
    court.fleet(machine(2, pool(region="eu-west-1")), region="eu-west-1")
    court.fleet(machine(3, pool(account="111122223333")), account="111122223333")
    court.look()
    assert len(values(court.look(), spot.RECORDED_UNTIL)) == 3
    court.aws = Aws(regions=["us-east-1"], accounts=[AwsAccount(name="prod")])
    court.open()
    furnish(court)
    court.fleet(machine(1))
    shown = court.look(later=3600)
    assert values(shown, spot.RECORDED_UNTIL) == [NOON / SECOND]
    assert len(court.open_ledger.spot.instances()) == 3
    court.now += 3 * DAY
    court.read()
    court.fleet(machine(1))
    for _ in range(4):
        court.look(later=15)
    court.open_ledger.prune()
    assert list(court.open_ledger.spot.instances()) == [machine(1).id]
    with Reader(court.folder / "ledger.db") as reader:
        assert [item.id for item in reader.instances()] == [machine(1).id]


def test_a_new_pool_waits_for_its_price(court: Court) -> None:
    """A machine of a type that is new runs for a minute before its price is read: that minute has a price, too."""
    court.fleet(machine(1))
    court.look()
    new = pool("c7g.large")
    court.now += 600 * SECOND
    launched = court.now
    court.fleet(machine(1), machine(2, new, launched=launched))
    court.list_price(0.08, "c7g.large")
    court.look()
    court.read()
    court.now += 3000 * SECOND
    court.price(0.03, new)
    court.fleet(machine(1), machine(2, new, launched=launched))
    court.look()
    assert court.total(spot.UNPRICED_HOURS) == 0
    assert court.total(spot.SPEND) == 40_000_000 + 25_000_000


def test_a_price_that_there_is_not_is_unpriced_and_not_spend(court: Court) -> None:
    """Prices of the type were read in all zones, and there was none in the second."""
    court.fleet(machine(1), machine(2, pool(zone="use1-az2")))
    shown = court.look()
    assert values(shown, spot.PRICE_MISSING, az_id="use1-az2", price="spot") == [1]
    court.now += HOUR
    court.read()
    court.fleet(machine(1), machine(2, pool(zone="use1-az2")))
    court.look()
    assert court.total(spot.UNPRICED_HOURS, price="spot") == HOUR
    assert court.total(spot.SPEND) == 40_000_000
    assert court.total(spot.EQUIVALENT) == 100_000_000
    assert court.total(spot.INSTANCE_HOURS) == 2 * HOUR


def test_a_price_that_nobody_can_read_is_not_waited_for_for_ever(court: Court) -> None:
    """Prices of a new type are not read: after a quarter of an hour its time is unpriced; all other has a price."""
    court.fleet(machine(1))
    court.look()
    new = pool("c7g.large")
    for _ in range(3):
        court.now += 600 * SECOND
        court.read()
        court.fleet(machine(1), machine(2, new, launched=NOON))
        court.look()
    assert court.total(spot.SPEND) == 20_000_000
    assert court.total(spot.UNPRICED_HOURS) == HOUR // 2


def test_what_is_gone_is_gone_at_the_next_look(court: Court) -> None:
    elsewhere = pool(zone="use1-az3")
    court.price(0.05, elsewhere)
    court.fleet(machine(1), machine(2, elsewhere, workload="batch"))
    assert {sample.labels[2] for sample in court.look() if sample.metric is spot.RISK} == {"use1-az1", "use1-az3"}
    court.fleet(machine(1))
    shown = court.look(later=15)
    assert values(shown, spot.SPEND_RATE, workload="batch") == []
    assert values(shown, spot.RISK, az_id="use1-az3") == []
    assert values(shown, spot.OPEN_RECOMMENDATIONS, workload="batch") == []


def test_an_annotated_node_is_kept_on_demand(court: Court) -> None:
    one, two = machine(1, lifecycle="on_demand"), machine(2, lifecycle="on_demand", forced=True, workload="db")
    node = Node("n1", one.id, "p", "on_demand", "m7g.large", "z", (0, 0, 0), (1, 1, 1), True, 1.0, True)
    court.desk.clusters["c"] = Cluster("c", "", court.now, (node,))
    court.fleet(one, two)
    shown = court.look()
    assert values(shown, spot.FORCED, workload="search") == [1]
    assert values(shown, spot.FORCED, workload="db") == [1]
    assert values(shown, spot.OPEN_RECOMMENDATIONS) == []


def test_an_interruption_shows_as_recent_with_its_node_and_keeps_its_slot(court: Court) -> None:
    node = Node("ip-10-0-0-1", machine(1).id, "p", "spot", "m7g.large", "z", (0, 0, 0), (1, 1, 1), True, 1.0)
    court.desk.clusters["blue"] = Cluster("blue", "", court.now, (node,))
    court.fleet(machine(1), machine(2))
    court.look()

    def tell(number: int, kind: str, key: str) -> None:
        given = (key, kind, machine(number).id, "prod", "us-east-1", court.now, court.now, "terminate")
        court.open_ledger.commit([SpotSignal(*given)])  # type: ignore[arg-type] # a word of the test

    tell(1, "rebalance", "a")
    before = [sample for sample in court.look(later=1) if sample.metric is spot.RECENT_NOTICE]
    tell(2, "warning", "b")
    tell(1, "warning", "c")
    after = [sample for sample in court.look(later=1) if sample.metric is spot.RECENT_NOTICE]
    names = spot.RECENT_NOTICE.label_names
    first = dict(zip(names, before[0].labels, strict=True))
    assert (first["kind"], first["cluster"], first["node"], first["workload"], first["slot"]) == (
        "rebalance", "blue", "ip-10-0-0-1", "search", "0",
    )  # fmt: skip
    rows = {dict(zip(names, sample.labels, strict=True))["instance_id"]: sample.labels for sample in after}
    again = dict(zip(names, rows[machine(1).id], strict=True))
    assert (again["kind"], again["slot"], again["outcome"]) == ("warning", "0", "pending")
    assert dict(zip(names, rows[machine(2).id], strict=True))["slot"] == "1"
