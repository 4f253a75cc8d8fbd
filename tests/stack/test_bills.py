"""A bill through the real program: read, judged, kept over kill -9, and explained when the key is taken away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.collect.bills import _shelf as shelf
from fleetwatch.reckon.bills import day_of
from support import wait_for
from support_bills import ADMIN_KEY, Openai, openai_cost, serving, utc
from support_cli import ledger_of
from support_house import House
from support_llm import call

pytestmark = pytest.mark.stack

COSTS = "/v1/organization/costs"


@pytest.fixture
def books() -> Iterator[Openai]:
    with serving(Openai()) as server:
        assert isinstance(server, Openai)
        yield server


@pytest.fixture
def house(tmp_path: Path, books: Openai) -> Iterator[House]:
    """20 calls for 0.007 US dollars on each of the past five days, of which 0.0105 were billed."""
    (tmp_path / "admin.key").write_text(ADMIN_KEY)
    openai = {"key_file": str(tmp_path / "admin.key"), "url": books.address, "lag": "1s"}
    house = House(tmp_path / "house", {"bills": {"openai": openai, "least_usd": "0.001"}, "host": {"enabled": False}})
    today = day_of(time.time())
    house.data.mkdir(parents=True)
    ledger_of(house.data, [call(at=int(utc(day, 12) * 10**9)) for day in range(today - 5, today) for _ in range(20)])
    books.books = {COSTS: {day: [openai_cost("0.0105")] for day in range(today - 5, today)}}
    with house:
        yield house


def drifts(house: House) -> dict[str, float]:
    """Windows whose bill drifts, with the drift."""
    verdicts = {dict(labels)["window"]: value for labels, value in house.metrics("bill_verdict").items() if value}
    found = {dict(labels)["window"]: value for labels, value in house.metrics("bill_drift_ratio").items()}
    return {window: found[window] for window in verdicts}


def test_a_bill_is_judged_and_survives_kill_9_without_being_asked_for_again(house: House, books: Openai) -> None:
    wait_for(lambda: drifts(house), 30, "a verdict")
    assert drifts(house) == {"1d": pytest.approx(0.5), "7d": pytest.approx(0.5), "30d": pytest.approx(0.5)}
    asked = len(books.asked)
    house.kill9()
    house.start()
    wait_for(lambda: drifts(house), 30, "the verdict again")
    assert drifts(house)["7d"] == pytest.approx(0.5)
    assert len(books.asked) == asked, "the hour is not over"


def test_a_key_that_was_taken_away_is_named_by_metric_and_doctor_and_the_bill_stays(
    house: House, books: Openai, tmp_path: Path
) -> None:
    wait_for(lambda: drifts(house), 30, "a verdict")
    house.kill9()
    (tmp_path / "admin.key").write_text("sk-proj-an-ordinary-one")
    file = shelf.file_of(house.data / "bills", "openai")
    known = shelf.read(file)
    shelf.write(file, known._replace(read_at=known.read_at - 7200))  # two hours have passed
    house.start()
    denied = wait_for(lambda: house.metrics("fleetwatch_collector_denied"), 30, "the missing right")
    assert [dict(labels)["permission"] for labels in denied] == ["api.usage.read"]
    wait_for(lambda: drifts(house), 30, "the last good bill")
    examined = house.run("doctor", "--format", "json")
    [finding] = [one for one in json.loads(examined.stdout) if one["permission"]]
    assert (finding["what"], finding["permission"]) == ("openai", "api.usage.read")
    assert "ordinary" not in examined.stdout + house.log.read_text()
    rows = json.loads(house.run("bills", "--format", "json").stdout)
    assert [(row["drift_percent"], row["verdict"]) for row in rows[:4]] == [("50.00", "drift")] * 4
