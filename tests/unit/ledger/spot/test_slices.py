"""Machine time and money, the registry, switches, decisions and lost work: each counts once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fleetwatch.catalogue import spot
from fleetwatch.ledger.query import Reader
from fleetwatch.ledger.spot.tables import Exposure
from fleetwatch.records.spot import Decision, LostWork, Switch
from support import wait_for
from support_spot_ledger import DAY, HOUR, ID, NOON, POOL, Told, at, machine, part, use

LABELS = ("prod", "us-east-1", "search", "index", "spot")
OTHER = POOL._replace(az_id="use1-az2")


def test_slices_that_follow_each_other_add_up(told: Told) -> None:
    for number in range(3):
        told.tell(part(at(number), at(number + 1), uses=[use(hours=0.5, spend=7, od=30)]))
    counts = told.counts()
    assert counts[spot.SPEND.prometheus, *LABELS] == 21
    assert counts[spot.EQUIVALENT.prometheus, *LABELS] == 90
    assert counts[spot.INSTANCE_HOURS.prometheus, *POOL] == 3 * HOUR // 2
    assert counts[spot.VCPU_HOURS.prometheus, *LABELS, "yes"] == 3 * HOUR
    assert told.ledger.spot.until("prod", "us-east-1") == at(3)


def test_a_slice_that_does_not_go_on_where_the_last_one_ended_is_left_out_whole(told: Told) -> None:
    first = part(at(0), at(10), machine(), uses=[use()])
    told.tell(first)
    for wrong in (first, part(at(5), at(15), uses=[use()]), part(at(11), at(20), uses=[use()])):
        told.tell(wrong)
        told.restart()
    assert told.count(spot.SPEND, *LABELS) == 40
    assert list(told.ledger.spot.instances()) == [ID]
    told.tell(part(at(0), at(10), uses=[use()], region="eu-west-1"))
    assert told.ledger.spot.untils() == {("prod", "us-east-1"): at(10), ("prod", "eu-west-1"): at(10)}


def test_two_slices_of_the_same_time_in_one_commit_count_once(told: Told) -> None:
    told.tell(part(at(0), at(10), uses=[use()]), part(at(0), at(12), uses=[use()]))
    assert told.count(spot.SPEND, *LABELS) == 40


@pytest.mark.parametrize(
    ("given", "price"),
    [
        (use(spend=None), "spot"),
        (use(spend=None, od=None), "spot"),
        (use(od=None), "on_demand"),
        (use(lifecycle="on_demand", spend=None, od=None), "on_demand"),
    ],
)
def test_what_has_no_price_is_hours_and_no_money(told: Told, given: object, price: str) -> None:
    told.tell(part(at(0), at(10), uses=[given]))  # type: ignore[list-item]
    counts = told.counts()
    assert {key: n for key, n in counts.items() if key[0] == spot.UNPRICED_HOURS.prometheus} == {
        (spot.UNPRICED_HOURS.prometheus, "prod", "us-east-1", price): HOUR
    }
    assert not any(key[0] in {spot.SPEND.prometheus, spot.EQUIVALENT.prometheus} for key in counts)


def test_on_demand_machines_are_no_exposure(told: Told) -> None:
    told.tell(part(at(0), at(10), uses=[use(lifecycle="on_demand", spend=100)]))
    assert told.count(spot.SPEND, *LABELS[:4], "on_demand") == 100
    assert told.count(spot.INSTANCE_HOURS, *POOL) == 0
    assert told.ledger.spot.exposure(0) == {}


@pytest.mark.parametrize(
    ("since", "until", "uses"),
    [(10, 10, []), (10, 9, []), (-(10**18), 9, []), (0, 10, [use(hours=-1)]), (0, 10, [use(spend=-1)])],
)
def test_a_slice_that_would_take_something_back_is_refused(
    told: Told, since: int, until: int, uses: list[object]
) -> None:
    with pytest.raises(ValueError, match="FleetSlice: expected"):
        told.tell(part(at(since), at(until), uses=uses))  # type: ignore[arg-type]
    assert told.ledger.spot.until("prod", "us-east-1") is None


def test_exposure_is_by_day_and_pool_and_is_kept_its_time(told: Told) -> None:
    told.tell(part(NOON, NOON + HOUR, uses=[use(), use(pool=OTHER, hours=2)]))
    told.tell(part(NOON + HOUR, NOON + DAY, uses=[use(hours=3)]))
    book = told.ledger.spot
    assert book.exposure(NOON) == {POOL: Exposure(4 * HOUR, 0), OTHER: Exposure(2 * HOUR, 0)}
    assert book.exposure(NOON + DAY) == {POOL: Exposure(3 * HOUR, 0)}
    told.settle(401 * 86_400)
    told.ledger.prune()
    assert told.ledger.spot.exposure(0) == {POOL: Exposure(3 * HOUR, 0)}


def test_days_have_what_the_counters_have_and_are_kept_their_time(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """More time than an INTEGER of SQLite holds is no trouble: 300,000 processors for a day."""
    much = use()._replace(vcpu_time=300_000 * DAY // 3, eligible=False)
    for day in range(4):
        told.tell(part(at(0) + day * DAY, at(0) + (day + 1) * DAY, uses=[use(), use(spend=None), much], region="x"))
    with Reader(told.path) as reader:
        (whole,), (last,) = reader.machine_days(0), reader.machine_days(at(0) + 4 * DAY)
        assert reader.exposure(0)[POOL].time == 4 * 3 * HOUR
    assert (whole.spend, whole.on_demand, whole.unpriced) == (320, 800, 4 * HOUR)
    assert (whole.eligible_time, last.spend, last.unpriced) == (4 * 4 * HOUR, 80, HOUR)
    assert whole.vcpu_time == pytest.approx(4 * 100_000 * DAY, rel=1e-3)
    told.now = at(0) + 4 * DAY
    monkeypatch.setattr("fleetwatch.ledger.spot.slices.MOST_DAYS", 2)
    told.ledger.prune()
    with Reader(told.path) as reader:
        assert reader.machine_days(0)[0].spend == 160
    told.now += 500 * DAY
    told.ledger.prune()
    with Reader(told.path) as reader:
        assert reader.machine_days(0) == []


def test_the_registry_knows_who_is_there_over_restarts(told: Told) -> None:
    here = machine(names=("ip-10-0-0-1", "node-1"), forced=True, team="search")
    gone, stopped = machine("i-00000000000000001"), machine("i-00000000000000002", state="stopped")
    told.tell(part(at(0), at(10), here, gone, stopped))
    abroad = machine("i-00000000000000003", pool=POOL._replace(region="eu-west-1"))
    told.tell(part(at(0), at(10), abroad, region="eu-west-1"))
    told.tell(part(at(10), at(20), here, stopped))
    for _ in range(2):
        assert told.ledger.spot.instances("prod", "us-east-1") == {ID: here}
        assert sorted(told.ledger.spot.instances()) == ["i-00000000000000003", ID]
        told.restart()
    told.tell(part(at(20), at(30), here._replace(state="terminated", ended=at(25)), stopped._replace(state="running")))
    assert list(told.ledger.spot.instances("prod", "us-east-1")) == ["i-00000000000000002"]


def test_a_slice_writes_what_changed_alone(told: Told) -> None:
    fleet = [machine(f"i-{number:017x}") for number in range(50)]
    fleet += [machine(f"i-1{number:016x}", state="stopped") for number in range(50)]
    told.tell(part(at(0), at(10), *fleet))
    before = told.ledger._db.total_changes
    told.tell(part(at(10), at(20), *fleet))
    # The slice's own row; no use, no machine.
    assert told.ledger._db.total_changes - before == 1


def test_a_switch_a_decision_and_lost_work_count_once(told: Told) -> None:
    switch = Switch("index", at(0), POOL, OTHER, "followed")
    look = Decision("index@1", at(0), (("candidate", "", 7), ("filtered", "risk", 2), ("scored", "", 5)))
    work = LostWork("run:etl/1", at(0), "prod", "us-east-1", "pipeline_run", 90 * 10**9, 5_000, 700)
    unpriced = work._replace(key="run:etl/2", machine=None)
    for _ in range(2):
        told.tell(switch, look, work, unpriced)
        told.restart()
    counts = told.counts()
    assert counts[spot.SWITCHES.prometheus, "index", "followed"] == 1
    assert counts[spot.DECISIONS.prometheus, "candidate", ""] == 7
    assert counts[spot.DECISIONS.prometheus, "filtered", "risk"] == 2
    assert counts[spot.LOST_ITEMS.prometheus, "prod", "us-east-1", "pipeline_run"] == 2
    assert counts[spot.LOST_WORK.prometheus, "prod", "us-east-1", "pipeline_run"] == 180 * 10**9
    assert counts[spot.INTERRUPTION_COST.prometheus, "prod", "us-east-1", "machine"] == 5_000
    assert counts[spot.INTERRUPTION_COST.prometheus, "prod", "us-east-1", "llm"] == 1_400
    assert counts[spot.LOST_UNPRICED.prometheus, "prod", "us-east-1", "pipeline_run"] == 1
    assert told.ledger.spot.switches(5) == [switch]
    with Reader(told.path) as reader:
        assert reader.switches() == [switch]
        assert reader.switches(since=at(1)) == []


def test_switches_are_kept_their_time(told: Told) -> None:
    told.tell(Switch("index", at(0), POOL, OTHER, "followed"))
    told.settle(401 * 86_400)
    told.ledger.prune()
    assert told.ledger.spot.switches(5) == []
    assert told.count(spot.SWITCHES, "index", "followed") == 1


WRITER = """
import sys
from pathlib import Path
from support_spot_ledger import Told, at, part, use
told = Told(Path(sys.argv[1]))
while True:
    until = told.ledger.spot.until("prod", "us-east-1") or at(0)
    told.tell(part(until, until + 10**9, uses=[use(hours=1, spend=1, od=2)]))
    print(until, flush=True)
"""


def test_killed_at_any_moment_a_slice_counts_once(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    log = tmp_path / "log"
    for most in (3, 12):
        with log.open("w") as out:
            writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], env=environment, stdout=out)
        wait_for(lambda: len(log.read_text().splitlines()) >= most, 30)  # noqa: B023 - called within this turn
        writer.send_signal(signal.SIGKILL)
        writer.wait(10)
    told = Told(tmp_path)
    seconds = ((told.ledger.spot.until("prod", "us-east-1") or 0) - at(0)) // 10**9
    assert seconds >= 15
    assert told.count(spot.SPEND, *LABELS) == seconds
    assert told.count(spot.EQUIVALENT, *LABELS) == 2 * seconds
    told.ledger.close()
    with Reader(told.path) as reader:
        (days,) = reader.machine_days(0)
    assert (days.spend, days.on_demand) == (seconds, 2 * seconds)
