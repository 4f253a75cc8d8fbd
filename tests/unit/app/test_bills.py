"""Bills and ledger side by side: as series and as the verb's table."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.app import bills
from fleetwatch.app.bills import BillCheck
from fleetwatch.app.doctor.outward import ask
from fleetwatch.app.here import bill_sources, bills_folder, here_of
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect import NoData, Runner
from fleetwatch.collect.bills import _shelf as shelf
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.errors import LedgerError
from fleetwatch.ledger.query import Reader
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from fleetwatch.records.bills import Bill, BillDay, BillRow, TokenDay
from fleetwatch.records.llm import LlmCall, Tokens
from fleetwatch.settings import Settings, load
from support_bills import ADMIN_KEY, TODAY, Clock, Openai, openai_cost, serving, utc
from support_cli import ledger_of, run
from support_ledger import BOOK
from support_llm import call

COSTS = "/v1/organization/costs"
SETTLED = TODAY - 2
CALL = Decimal("0.00035")
"""US dollars of one call; see support_ledger."""


def settings_of(folder: Path, text: str = "") -> Settings:
    config = folder / "fleetwatch.yml"
    key = folder / "admin.key"
    key.write_text(ADMIN_KEY)
    config.write_text(f"data_dir: {folder}\n{text.format(key=key)}", encoding="utf-8")
    return load(config)


ALL = "bills: {{openai: {{key_file: {key}}}, anthropic: {{key_file: {key}}}, least_usd: 0}}\n"


def at(day: int, hour: float = 12, **fields: Any) -> LlmCall:
    return call(at=int(utc(day, hour) * 10**9), **fields)


def put(settings: Settings, provider: str, usd: dict[int, str], tokens: dict[int, TokenDay] | None = None) -> None:
    """A bill on the shelf, read long after its days."""
    days = {
        day: BillDay(day, utc(day + 9), (BillRow("p", "l", int(Decimal(text).scaleb(9))),)) for day, text in usd.items()
    }
    shelf.write(shelf.file_of(bills_folder(settings), provider), Bill(days, tokens or {}, utc(TODAY)))


def series(settings: Settings) -> dict[tuple[str, ...], float]:
    """Name and label values -> value."""
    found = BillCheck(settings)()
    return {(sample.metric.name, *sample.labels): sample.value for sample in found}


def test_billed_and_metered_are_shown_side_by_side(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    settings = settings_of(tmp_path, ALL)
    priority = TokenDay(SETTLED, 0.0, {"input": 900, "cache_read": 100, "output": 50}, uncosted=50)
    put(settings, "anthropic", {SETTLED: "0.0007"}, {SETTLED: priority})
    put(settings, "openai", {SETTLED: "0.00042", SETTLED - 1: "0.00035"})
    ledger_of(
        tmp_path,
        [
            at(SETTLED - 9),
            at(SETTLED - 1),
            at(SETTLED),
            at(SETTLED, provider="house", model="house-model"),
            at(SETTLED, model="unheard-of"),
            at(SETTLED, provider="anthropic", model="claude-sonnet-4-5", tokens=Tokens(input=100, reasoning=40)),
        ],
    )
    meter = Meter()
    meter.replace("bills", BillCheck(settings)())
    golden("sources/bill_check.prom", exposition(meter, openmetrics=False))


def test_calls_at_midnight_belong_to_the_day_that_begins(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    put(settings, "openai", {SETTLED: str(2 * CALL)})
    border = int(utc(SETTLED) * 10**9)
    inside = [call(at=border), call(at=border + 86400 * 10**9 - 1)]
    outside = [call(at=border - 1), call(at=border + 86400 * 10**9), at(SETTLED - 3)]
    ledger_of(tmp_path, inside + outside)
    found = series(settings)
    assert found["bill.unmetered.usd", "openai", "1d"] == 0
    assert found["bill.verdict", "openai", "1d", "ok"] == 1


@pytest.mark.parametrize(
    ("provider", "bill"),
    [
        ("openai", "openai"),
        ("anthropic", "anthropic"),
        ("aws.bedrock", "aws"),
        ("aws.sagemaker", "aws"),
        ("azure.ai.openai", ""),
        ("gcp.vertex_ai", ""),
        ("gcp.gemini", ""),
        ("openai-proxy", ""),
        ("", ""),
    ],
)
def test_on_whose_bill_a_call_is(provider: str, bill: str) -> None:
    assert bills.bill_of(provider, bills.PROVIDERS) == bill


def test_a_gateway_can_be_put_on_a_bill(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "bills: {{openai: {{key_file: {key}, providers: [openai, 'gateway*']}}}}\n")
    put(settings, "openai", {SETTLED: "20"})
    gateway = at(SETTLED)._replace(provider="gateway-eu")
    ledger_of(tmp_path, [at(SETTLED - 3), gateway, at(SETTLED), at(SETTLED)._replace(provider="other")])
    [row] = told(tmp_path)
    assert row["requests"] == 2


def test_a_provider_that_nobody_meters_is_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    put(settings, "anthropic", {SETTLED: "12"})
    ledger_of(tmp_path, [at(SETTLED - 3)])
    found = series(settings)
    assert found["bill.verdict", "anthropic", "1d", "unmetered_provider"] == 1
    assert found["bill.unmetered.usd", "anthropic", "1d"] == 12
    assert ("bill.drift", "anthropic", "1d") not in found


def test_calls_since_the_last_checkpoint_and_late_ones_count(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    put(settings, "openai", {SETTLED: "0.0007"})
    ledger_of(tmp_path, [at(SETTLED - 3), at(SETTLED)], checkpoint=False)
    now = [0.0]
    check = BillCheck(settings, lambda: now[0])

    def unmetered() -> float:
        [found] = [one.value for one in check() if one.metric.name == "bill.unmetered.usd" and one.labels[1] == "1d"]
        return found

    assert unmetered() == float(CALL)
    ledger = Ledger(tmp_path / "ledger.db", BOOK)
    ledger.commit([at(SETTLED)])  # of a spool that was away for days
    ledger.close()
    assert unmetered() == float(CALL), "the ledger is not asked at every look"
    now[0] = bills.AGAIN
    assert unmetered() == 0


def test_a_bill_that_was_read_is_seen_at_the_next_look(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    ledger_of(tmp_path, [at(SETTLED - 3)])
    check = BillCheck(settings, lambda: 0.0)
    with pytest.raises(NoData):
        check()
    put(settings, "openai", {SETTLED: "1"})
    assert list(check())


def test_a_bill_that_is_not_read_any_more_is_not_compared(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "bills: {{openai: {{key_file: {key}}}}}\n")
    put(settings, "openai", {SETTLED: "1"})
    put(settings, "anthropic", {SETTLED: "1"})
    ledger_of(tmp_path, [at(SETTLED - 3)])
    assert {labels[1] for labels in series(settings)} == {"openai"}
    assert {row["provider"] for row in told(tmp_path)} == {"openai", "anthropic"}


def test_before_the_first_whole_metered_day_nothing_is_judged(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    put(settings, "openai", {SETTLED: "1"})
    ledger_of(tmp_path, [at(SETTLED, 0)])
    with pytest.raises(NoData):
        BillCheck(settings)()


def test_without_a_ledger_the_check_fails_by_name(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    put(settings, "openai", {SETTLED: "1"})
    with pytest.raises(LedgerError, match="there is no ledger here"):
        BillCheck(settings)()


def test_the_ledger_knows_when_it_began(tmp_path: Path) -> None:
    with Reader(ledger_of(tmp_path, [])) as ledger:
        assert ledger.began() is None
    for checkpoint in (True, False):
        folder = tmp_path / str(checkpoint)
        folder.mkdir()
        with Reader(ledger_of(folder, [at(SETTLED), at(SETTLED - 4, 1.3)], checkpoint=checkpoint)) as ledger:
            assert ledger.began() == utc(SETTLED - 4, 1.25)


# --- which sources run


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("bills: {{openai: {{key_file: {key}}}}}\n", ["openai"]),
        (ALL, ["anthropic", "openai"]),
        ("bills: {{aws: {{enabled: true}}}}\n", ["aws_cost"]),
        ("bills: {{openai: {{key_file: {key}}}}}\ncollect: {{openai: {{enabled: false}}}}\n", []),
    ],
)
def test_a_bill_is_read_where_its_key_is_given(tmp_path: Path, text: str, names: list[str]) -> None:
    settings = settings_of(tmp_path, text)
    assert [source.name for source in bill_sources(settings, here_of(settings))] == names


def test_through_the_runner_from_the_provider_s_books_to_the_verdict(tmp_path: Path) -> None:
    """Text in, exposition out: a source, the shelf, a ledger and the check, as the exporter runs them."""
    clock = Clock()
    with serving(Openai()) as books:
        books.books = {COSTS: {SETTLED: [openai_cost("7.5")]}}
        settings = settings_of(tmp_path, f"bills: {{{{openai: {{{{key_file: {{key}}, url: '{books.address}'}}}}}}}}\n")
        ledger_of(tmp_path, [at(SETTLED - 3), at(SETTLED)])
        here = here_of(settings)
        object.__setattr__(here, "clock", clock)
        sources = [*bill_sources(settings, here), BillCheck(settings).source()]
        meter = Meter(implied={"host_name": "here"})
        runner = Runner(sources, meter, clock=clock)

        async def cycles() -> None:
            for source in sources:
                await runner.cycle(source)

        asyncio.run(cycles())
    lines = exposition(meter, openmetrics=False).splitlines()
    assert 'bill_usd{provider="openai",window="1d"} 7.5' in lines
    assert 'bill_unmetered_usd{provider="openai",window="1d"} 7.49965' in lines
    assert 'bill_verdict{provider="openai",window="1d",verdict="drift"} 1.0' in lines
    assert 'fleetwatch_collector_success{host_name="here",collector="bill_check"} 1' in lines


def test_the_doctor_names_the_missing_right_and_changes_nothing(tmp_path: Path) -> None:
    with serving(Openai()) as books:
        settings = settings_of(tmp_path, f"bills: {{{{openai: {{{{key_file: {{key}}, url: '{books.address}'}}}}}}}}\n")
        (tmp_path / "admin.key").write_text("sk-proj-an-ordinary-one")
        [finding] = [one for one in ask(settings, lambda _what: None, paid=False) if one.what == "openai"]
    assert (finding.state, finding.permission) == ("trouble", "api.usage.read")
    assert f"put it into {tmp_path}/admin.key." in finding.fix
    assert not bills_folder(settings).exists()


# --- the verb


def told(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    found = run(folder, "bills", *arguments, "--format", "json")
    assert found.exit_code == 0, found.output
    rows: list[dict[str, Any]] = json.loads(found.output)
    return rows


def test_the_verb_shows_each_day(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    put(settings, "openai", {SETTLED: "0.00042", SETTLED - 1: "0.00035", SETTLED - 5: "3"})
    put(settings, "anthropic", {SETTLED: "9.5"}, {SETTLED: TokenDay(SETTLED, 0.0, {}, 7)})
    ledger_of(tmp_path, [at(SETTLED - 3), at(SETTLED - 1), at(SETTLED), at(SETTLED, model="unheard-of")])
    rows = told(tmp_path)
    assert [(row["provider"], row["day"], row["verdict"]) for row in rows] == [
        ("openai", "2026-11-19", "drift"),
        ("openai", "2026-11-18", "ok"),
        ("openai", "2026-11-14", "before_metering"),
        ("anthropic", "2026-11-19", "unmetered_provider"),
    ]
    assert rows[0] == {
        "provider": "openai",
        "day": "2026-11-19",
        "billed_usd": "0.000420000",
        "metered_usd": "0.000350000",
        "unmetered_usd": "0.000070000",
        "drift_percent": "20.00",
        "verdict": "drift",
        "requests": 2,
        "remarks": "1 call without a price",
    }
    assert rows[3]["remarks"] == "the bill leaves out 7 tokens (Priority Tier)"
    assert [row["day"] for row in told(tmp_path, "--days", "1")] == ["2026-11-19", "2026-11-19"]


def test_the_verb_writes_tables_and_csv(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    put(settings, "openai", {SETTLED: "1"})
    ledger_of(tmp_path, [at(SETTLED - 3)])
    table = run(tmp_path, "bills").output
    assert "unmetered" in table
    [row] = csv.DictReader(io.StringIO(run(tmp_path, "bills", "--format", "csv").output))
    assert row["billed_usd"] == "1.000000000"


def test_a_table_fits_a_terminal_and_breaks_no_number(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    put(settings, "openai", {SETTLED: "12345.678", SETTLED - 1: "3"})
    put(settings, "anthropic", {SETTLED - day: "9.5" for day in range(3)}, {SETTLED: TokenDay(SETTLED, 0.0, {}, 7)})
    ledger_of(tmp_path, [at(SETTLED - 3), *(at(SETTLED - day, model="unheard-of") for day in range(2))])
    lines = run(tmp_path, "bills").output.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[:5] == ["openai", "2026-11-19", "12345.68", "0.00", "12345.68"]
    assert lines[-2] == "openai, 2 days from 2026-11-18 to 2026-11-19: 1 call without a price"
    assert lines[-1] == "anthropic, 2026-11-19: the bill leaves out 7 tokens (Priority Tier)"


def test_the_verb_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert "set bills.openai.key_file" in " ".join(run(tmp_path / "none", "bills").output.split())
    settings = settings_of(tmp_path, ALL)
    ledger_of(tmp_path, [])
    assert "No bill was read yet" in run(tmp_path, "bills").output
    put(settings, "openai", {SETTLED: "1"})
    (tmp_path / "ledger.db").unlink()
    said = run(tmp_path, "bills").output
    assert "there is no ledger here" in said
    assert "before metering" in said
    (tmp_path / "ledger.db").write_bytes(b"no database" * 1000)
    broken = run(tmp_path, "bills")
    assert broken.exit_code == 1
    assert "ledger.db" in broken.output


def test_samples_are_of_the_catalogue(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ALL)
    put(settings, "openai", {SETTLED: "1"})
    ledger_of(tmp_path, [at(SETTLED - 3)])
    assert all(isinstance(sample, Sample) for sample in BillCheck(settings)())
