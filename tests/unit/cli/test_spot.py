"""`fleetwatch spot`: what a person at a terminal and a program in a pipe learn of spot machines."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import Result

from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import Sample
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from fleetwatch.records.spot import DrainStep, SpotSignal
from support_cli import ledger_of, run
from support_serving import ModelServer
from support_spot_judge import HOUR, NOON, SECOND, WHERE, Court, machine, pool

HERE, THERE, UNPRICED = pool(), pool("m8g.large", "use1-az2"), pool("x8g.large")
NOWHERE = ("--exporter", "http://127.0.0.1:1")
"""Nobody listens on port 1."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(folder with a ledger, exposition) after two hours of two machines, one of which was taken after the first."""
    folder = tmp_path_factory.mktemp("spot")
    court = Court(folder)
    court.desk.zones[WHERE] = {"us-east-1a": "use1-az1", "us-east-1b": "use1-az2"}
    for kind in ("m7g.large", "m8g.large"):
        court.shape(kind)
        court.list_price(0.10, kind)
    court.price(0.04, HERE)
    court.price(0.02, THERE)
    court.list_price(0.5, "x8g.large")
    kept = machine(1, pool("m8g.large"), lifecycle="on_demand", eligible=False, launched=NOON, workload="db")
    fleet = [machine(2, HERE, launched=NOON), kept, machine(4, UNPRICED, launched=NOON, workload="odd")]
    court.fleet(*fleet, machine(3, HERE, launched=NOON))
    court.look()
    instance, ended = f"i-{3:017x}", NOON + HOUR
    warned = ended - 120 * SECOND
    court.open_ledger.commit(
        [
            SpotSignal("a", "warning", instance, *WHERE, warned, warned, "terminate", ended),
            DrainStep("prod-1", "batch", "node-3", instance, "drained", warned + 45 * SECOND),
            SpotSignal("b", "rebalance", f"i-{2:017x}", *WHERE, NOON, NOON),
        ]
    )
    gone = machine(3, HERE, launched=NOON, state="terminated", ended=ended, ended_why="Server.SpotInstanceTermination")
    for _ in range(8):
        court.now += 15 * 60 * SECOND
        court.monotonic += 15 * 60
        court.read()
        court.fleet(*fleet, gone if court.now > ended else machine(3, HERE, launched=NOON))
        shown = court.look()
    court.now += 15 * SECOND
    court.read()
    court.fleet(machine(5, THERE, launched=court.now), kept)
    shown = court.look()
    court.close()
    meter = Meter()
    fleet_now = Sample(spot.FLEET_INSTANCES, (*HERE, "spot", "find", "search"), 1)
    prices = [Sample(spot.POOL_PRICE, tuple(where), price) for where, price in ((HERE, 0.04), (THERE, 0.02))]
    ages = [Sample(spot.PRICE_AGE, (*where, "api"), 12.4) for where in (HERE, THERE)]
    others = Sample(spot.FLEET_INSTANCES, (*HERE, "on_demand", "find", "search"), 7)
    meter.replace("spot_judge", [*shown, fleet_now, others, *prices, *ages])
    return folder, exposition(meter, openmetrics=False)


def rows_of(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_savings_are_exact_and_say_what_they_leave_out(told: tuple[Path, str]) -> None:
    """Machines at 0.04 for 0.10 USD ran for two hours and one; one on demand, and one without a price, for two."""
    on_spot, on_demand, unpriced = rows_of(run(told[0], "spot", "savings", "--format", "csv"))
    assert (on_spot["lifecycle"], on_spot["workload"], on_spot["team"]) == ("spot", "search", "find")
    assert (on_spot["spend_usd"], on_spot["on_demand_usd"]) == ("0.120000000", "0.300000000")
    assert (on_spot["saved_usd"], on_spot["saved_share"]) == ("0.180000000", "0.6000")
    # Two hours and 15 s.
    assert on_demand["spend_usd"] == on_demand["on_demand_usd"] == "0.200416667"
    assert (unpriced["workload"], unpriced["spend_usd"], unpriced["saved_share"]) == ("odd", "", "")
    said = run(told[0], "spot", "savings").stdout
    assert "Saved 0.180000000 of 0.500416667 USD at list prices, 36.0%." in said
    assert "Left out: 2.0 machine hours without a known price." in said
    assert "Spot ran 71.4% of all vCPU-hours, 100.0% of those that could be spot." in said


def test_savings_of_some_days_are_those_of_the_counters(told: tuple[Path, str]) -> None:
    everything = rows_of(run(told[0], "spot", "savings", "--format", "csv"))
    assert rows_of(run(told[0], "spot", "savings", "--since", "2027-01-15T13:30", "--format", "csv")) == everything
    said = run(told[0], "spot", "savings", "--since", "2027-01-15").stdout
    assert said == run(told[0], "spot", "savings").stdout
    none = run(told[0], "spot", "savings", "--since", "2027-01-16")
    assert "No machine ran in that time, as far as it is counted." in none.stdout
    wrong = run(told[0], "spot", "savings", "--since", "yesterday-ish")
    assert wrong.exit_code == 2
    assert "--since: " in wrong.stderr


def test_interruptions_with_their_lead_and_how_they_were_left(told: tuple[Path, str]) -> None:
    newest, oldest = rows_of(run(told[0], "spot", "interruptions", "--format", "csv"))
    assert (newest["kind"], newest["instance_type"], newest["workload"]) == ("interruption", "m7g.large", "search")
    assert (newest["lead_s"], newest["drain_s"], newest["outcome"]) == ("120.0", "45.0", "in_time")
    assert (newest["action"], newest["host"], newest["cluster"]) == ("terminate", "node-3", "prod-1")
    assert (oldest["kind"], oldest["began"]) == ("rebalance", "2027-01-15T12:00:00Z")
    said = run(told[0], "spot", "interruptions").stdout
    assert "1 interruption: 1 in_time; 1 rebalance recommendation alone." in said
    none = run(told[0], "spot", "interruptions", "--since", "2030-01-01")
    assert "Nothing was taken in that time, as far as it was told." in none.stdout


def test_switches(told: tuple[Path, str]) -> None:
    (row,) = json.loads(run(told[0], "spot", "switches", "--format", "json").stdout)
    assert row == {
        "at": "2027-01-15T14:00:15Z",
        "workload": "search",
        "from_type": "m7g.large",
        "from_az_id": "use1-az1",
        "to_type": "m8g.large",
        "to_az_id": "use1-az2",
        "to_region": "us-east-1",
        "outcome": "followed",
    }
    assert "No workload moved in that time." in run(told[0], "spot", "switches", "--since", "2030-01-01").stdout


def test_pools_join_what_was_seen_with_what_is_now(told: tuple[Path, str]) -> None:
    folder, text = told
    with ModelServer(text) as server:
        rows = rows_of(run(folder, "spot", "pools", "--format", "csv", "--exporter", server.url))
    here = next(row for row in rows if row["instance_type"] == "m7g.large")
    assert (here["hours"], here["interruptions"], here["per_100_hours"]) == ("3.000", "1", "33.333")
    # Garwood: 4.744 / 3 hours.
    assert here["at_most_per_100_hours"] == "158.129"
    assert (here["machines"], here["spot_usd_per_hour"], here["on_demand_usd_per_hour"]) == (
        "1",
        "0.040000",
        "0.100000",
    )
    assert (here["saved_share"], here["price_age_s"]) == ("0.6000", "12")
    assert 0 < float(here["risk"]) <= 100
    unseen = next(row for row in rows if row["instance_type"] == "x8g.large")
    assert (unseen["spot_usd_per_hour"], unseen["hours"]) == ("", "2.000")


def test_pools_without_an_exporter_are_what_the_ledger_knows(told: tuple[Path, str]) -> None:
    result = run(told[0], "spot", "pools", "--format", "csv", *NOWHERE)
    assert [(row["instance_type"], row["machines"], row["risk"]) for row in rows_of(result)] == [
        ("m7g.large", "", ""),
        ("x8g.large", "", ""),
    ]
    assert result.stderr.startswith("--exporter: 127.0.0.1:1: ")
    assert "machines, prices and risk are known to a running exporter only" in result.stderr


def test_alternates_are_asked_of_the_running_exporter(told: tuple[Path, str]) -> None:
    folder, text = told
    with ModelServer(text) as server:
        best, *others = rows_of(run(folder, "spot", "alternates", "--format", "csv", "--exporter", server.url))
        said = run(folder, "spot", "alternates", "--exporter", server.url).stdout
    assert (best["workload"], best["rank"], best["instance_type"], best["az_id"]) == (
        *("search", "1", "m8g.large"),
        "use1-az2",
    )
    assert best["spot_usd_per_hour"] == "0.020000"
    assert float(best["effective_usd_per_unit_hour"]) >= 0.01
    assert len(others) <= 4
    assert "search: pays " in said


def test_alternates_need_a_running_exporter(tmp_path: Path) -> None:
    result = run(tmp_path, "spot", "alternates", *NOWHERE)
    assert result.exit_code == 1
    assert "alternates are of now, so the exporter has to run: `fleetwatch run`" in result.output
    wrong = run(tmp_path, "spot", "alternates", "--exporter", "nonsense")
    assert 'expected an address like http://127.0.0.1:8000, got "nonsense"' in wrong.output


def test_what_is_no_exposition_is_told(tmp_path: Path) -> None:
    with ModelServer("spot_alternate_rank{workload=oops} 1\n") as server:
        result = run(tmp_path, "spot", "alternates", "--exporter", server.url)
    assert result.exit_code == 1
    assert "line 1: expected labels" in result.output


def test_a_ledger_without_machines(tmp_path: Path) -> None:
    ledger_of(tmp_path, [])
    assert "Nothing is counted so far." in run(tmp_path, "spot", "savings").stdout
    assert "No spot machine ran in that time." in run(tmp_path, "spot", "pools", *NOWHERE).stdout
    assert json.loads(run(tmp_path, "spot", "savings", "--format", "json").stdout) == []
    assert rows_of(run(tmp_path, "spot", "interruptions", "--format", "csv")) == []


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path, "spot", "interruptions", "--since", "yesterday")
    assert result.exit_code == 2
    assert '--since: expected a time such as 2026-11-01T08:00 or an age such as 24h, got "yesterday"' in result.output
