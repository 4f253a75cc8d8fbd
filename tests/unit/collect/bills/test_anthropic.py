"""Anthropic's bill: cents as decimal texts, asked for and read in the forms of Anthropic's own SDK and reference."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from fleetwatch.catalogue import bills, exporter
from fleetwatch.collect import Runner, Source
from fleetwatch.collect.bills import _shelf
from fleetwatch.collect.bills.anthropic import COSTS, USAGE
from fleetwatch.collect.bills.anthropic import Anthropic as Bill
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from fleetwatch.records import bills as records
from support_bills import (
    ADMIN_KEY,
    TODAY,
    Anthropic,
    Clock,
    anthropic_cost,
    anthropic_tokens,
    here,
    serving,
)
from support_machines import collected

SETTLED = TODAY - 2

# "Get Cost Report" of Anthropic's API reference, its example word for word but for the dates.
DOCUMENTED = {
    "amount": "123.78912",
    "context_window": "0-200k",
    "cost_type": "tokens",
    "currency": "USD",
    "description": "Claude Sonnet 4 Usage - Input Tokens",
    "model": "claude-sonnet-4-20250514",
    "service_tier": "standard",
    "token_type": "uncached_input_tokens",
    "workspace_id": "wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ",
}


@pytest.fixture
def books() -> Iterator[Anthropic]:
    with serving(Anthropic()) as server:
        assert isinstance(server, Anthropic)
        server.books = {COSTS: {SETTLED: [anthropic_cost("150")]}}
        yield server


def bill(tmp_path: Path, books: Anthropic, clock: Clock | None = None) -> Bill:
    return Bill(here(tmp_path, "anthropic", books.address, clock or Clock()))


def kept(tmp_path: Path) -> records.Bill:
    return _shelf.read(tmp_path / "bills" / "anthropic.json")


def test_requests_have_the_form_of_anthropic_s_own_sdk(tmp_path: Path, books: Anthropic) -> None:
    """The SDK knows the same report for another kind of organisation: it groups by other words, under another path."""
    collected(bill(tmp_path, books)())
    costs, usage = books.asked
    assert (costs.path, usage.path) == (COSTS, USAGE)
    assert [value for name, value in costs.query if name == "group_by[]"] == ["workspace_id", "description"]
    books.asked.clear()
    sdk = anthropic.Anthropic(api_key=ADMIN_KEY, base_url=books.address, max_retries=0)
    with sdk, pytest.raises(anthropic.NotFoundError):
        sdk.beta.organization.analytics.cost_report.list(
            starting_at="2026-11-16T00:00:00Z",
            ending_at="2026-11-21T00:00:00Z",
            bucket_width="1d",
            group_by=["model", "token_type"],
            limit=5,
        )
    [theirs] = books.asked

    def form(query: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return sorted((name, "" if name == "group_by[]" else value) for name, value in query)

    assert form(costs.query) == form(theirs.query)
    # The report is documented with the older version and an X-Api-Key; the SDK sends the newest, and a bearer token.
    for name, value in (("x-api-key", ADMIN_KEY), ("anthropic-version", "2023-06-01")):
        assert costs.headers[name] == usage.headers[name] == value
    assert theirs.headers["anthropic-version"] >= "2023-06-01"


def test_the_documented_answer_is_read(tmp_path: Path, books: Anthropic) -> None:
    books.books = {COSTS: {SETTLED: [DOCUMENTED]}}
    assert collected(bill(tmp_path, books)())[1] == ""
    [row] = kept(tmp_path).days[SETTLED].rows
    # "123.78912" cents are 1.2378912 US dollars.
    assert row == ("wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ", "Claude Sonnet 4 Usage - Input Tokens", 1_237_891_200)


def test_a_bill_is_shown_by_workspace_and_description(
    tmp_path: Path, books: Anthropic, golden: Callable[[str, str], None]
) -> None:
    search = anthropic_cost("30", "Web Search Usage", cost_type="web_search", token_type=None, model=None)
    books.books = {
        COSTS: {
            SETTLED - 1: [anthropic_cost("12.5"), search],
            SETTLED: [anthropic_cost("123.78912"), anthropic_cost("0.0000001", "tiny"), anthropic_cost("7", None)],
            TODAY - 1: [anthropic_cost("9900")],
        },
        USAGE: {SETTLED: [anthropic_tokens(input=100, output=10), anthropic_tokens("priority", input=1000)]},
    }
    clock, meter = Clock(), Meter(implied={"host_name": "here"})
    item = Source("anthropic", 300, 30, bill(tmp_path, books, clock))
    asyncio.run(Runner([item], meter, clock=clock).cycle(item))
    lines = exposition(meter, openmetrics=False).splitlines()
    golden("sources/anthropic.prom", "".join(f"{line}\n" for line in lines if "collector_duration" not in line))


@pytest.mark.parametrize(
    ("cents", "nano"),
    [
        ("123.78912", 1_237_891_200),
        ("100", 1_000_000_000),
        ("0.00000005", 0),
        ("0.00000015", 2),
        ("-250.5", -2_505_000_000),
        ("12345678901.23456789", 123_456_789_012_345_679),
    ],
)
def test_cents_become_dollars_exactly(tmp_path: Path, books: Anthropic, cents: str, nano: int) -> None:
    books.books = {COSTS: {SETTLED: [anthropic_cost(cents)]}}
    assert collected(bill(tmp_path, books)())[1] == ""
    assert kept(tmp_path).days[SETTLED].nano == nano


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({**DOCUMENTED, "amount": 123.5}, "amount: expected cents as a decimal text, got Decimal('123.5')"),
        ({**DOCUMENTED, "amount": None}, "amount: expected cents as a decimal text, got None"),
        ({**DOCUMENTED, "amount": "1,5"}, "expected an amount of money, got '1,5'"),
        ({**DOCUMENTED, "currency": "EUR"}, "currency: expected USD, got 'EUR'"),
        ({**DOCUMENTED, "currency": None}, "currency: expected USD, got None"),
    ],
)
def test_what_is_no_money_is_refused(tmp_path: Path, books: Anthropic, row: Any, why: str) -> None:
    books.books = {COSTS: {SETTLED: [row], SETTLED - 1: [DOCUMENTED]}}
    assert collected(bill(tmp_path, books)())[1] == f"{COSTS}: 2026-11-19: {why}"
    assert SETTLED not in kept(tmp_path).days
    assert kept(tmp_path).days[SETTLED - 1].nano == 1_237_891_200


def test_tokens_and_those_whose_cost_is_on_no_report(tmp_path: Path, books: Anthropic) -> None:
    books.books |= {
        USAGE: {
            SETTLED: [
                anthropic_tokens(input=100, read=30, written=20, written_long=10, output=5),
                anthropic_tokens("batch", input=1),
                anthropic_tokens("priority", input=1000, output=50),
            ]
        }
    }
    assert collected(bill(tmp_path, books)())[1] == ""
    day = kept(tmp_path).tokens[SETTLED]
    assert day.kinds == {"input": 1101, "cache_read": 30, "cache_write": 30, "output": 55}
    assert day.uncosted == 1050


def test_pages_in_any_order_and_twice_make_the_same_bill(tmp_path: Path, books: Anthropic) -> None:
    books.books = {COSTS: {day: [anthropic_cost(str(day - TODAY + 9))] for day in range(TODAY - 5, TODAY)}}
    bills_read = []
    for size, reverse, repeat in ((31, False, False), (2, True, False), (1, False, True), (2, True, True)):
        books.page_size, books.reversed_pages, books.repeat_pages = size, reverse, repeat
        folder = tmp_path / f"{size}-{reverse}-{repeat}"
        folder.mkdir()
        assert collected(bill(folder, books)())[1] == ""
        bills_read.append({number: day.nano for number, day in kept(folder).days.items()})
    assert bills_read == [bills_read[0]] * 4
    assert sum(bills_read[0].values()) == (4 + 5 + 6 + 7 + 8) * 10**7


def test_a_cursor_that_leads_back_ends_the_reading(tmp_path: Path, books: Anthropic) -> None:
    page = {"data": [], "has_more": True, "next_page": "page_1"}
    books.odd = {number: (200, {}, json.dumps(page).encode()) for number in range(9)}
    assert f"GET {COSTS}: expected a new next_page, got 'page_1'" in collected(bill(tmp_path, books)())[1]
    assert len(books.asked) == 4, "two pages of each report"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((200, {}, b"<html>Sign in to the guest network</html>"), "expected a JSON object with data, got 41 bytes of"),
        ((200, {}, b"[1]"), "expected a JSON object with data, got 3 bytes of application/json"),
        ((200, {}, b'{"data": {}}'), "expected a JSON object with data"),
        ((200, {}, b'{"data": [1]}'), "data: expected objects, got 1"),
        ((200, {}, b'{"data": [{"starting_at": "now"}]}'), "starting_at: expected a time such as"),
        (
            (200, {}, b'{"data":[{"starting_at":"2026-11-19T01:00:00Z","ending_at":"2026-11-20T01:00:00Z"}]}'),
            "expected buckets of UTC days from 2026-11-16 to 2026-11-20, got 1795050000.0",
        ),
        (
            (200, {}, b'{"data":[{"starting_at":"2026-11-19T00:00:00Z","ending_at":"2026-11-20T00:00:00Z"}]}'),
            "2026-11-19: results: expected a list of objects, got None",
        ),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "expected status 200, got 302"),
        ((529, {}, b'{"type":"error","error":{"type":"overloaded_error"}}'), "got 529 (overloaded_error)"),
    ],
)
def test_odd_answers_are_told_in_words(tmp_path: Path, books: Anthropic, answer: Any, why: str) -> None:
    books.odd = {0: answer}
    assert why in collected(bill(tmp_path, books)())[1]


def test_a_missing_right_is_named(tmp_path: Path, books: Anthropic) -> None:
    source = bill(tmp_path, books)
    (tmp_path / "admin.key").write_text("sk-ant-api03-an-ordinary-one")
    samples, told = collected(source())
    assert told.startswith(f"admin_api_key is missing: GET {COSTS} was answered with 401 (authentication_error). ")
    assert "ordinary" not in told
    requests = {one.labels[3:]: one.value for one in samples if one.metric is exporter.API_REQUESTS}
    assert requests == {("cost_report", "credentials"): 1, ("usage_report/messages", "credentials"): 1}


def test_nobody_there_is_told_and_the_last_bill_stays(tmp_path: Path, books: Anthropic) -> None:
    clock = Clock()
    source = bill(tmp_path, books, clock)
    collected(source())
    clock.now += 3600
    books.shutdown()
    books.server_close()
    samples, told = collected(source())
    assert told == f"GET {COSTS}: cannot be reached; GET {USAGE}: cannot be reached"
    assert [one.value for one in samples if one.metric is bills.LINE_USD] == [1.5]
