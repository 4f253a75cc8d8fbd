"""OpenAI's bill, asked for as its own SDK asks, read from answers of its SDK's types."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from fleetwatch.catalogue import bills, exporter
from fleetwatch.collect import Here, NoData, Runner, Source
from fleetwatch.collect.bills import _shelf
from fleetwatch.collect.bills.openai import Openai as Bill
from fleetwatch.collect.here import AiServices
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from support_bills import (
    ADMIN_KEY,
    DAY,
    NOON,
    TODAY,
    Clock,
    Openai,
    here,
    openai_cost,
    openai_embedded,
    openai_tokens,
    serving,
    utc,
)
from support_machines import collected

COSTS = "/v1/organization/costs"
CHATS = "/v1/organization/usage/completions"
EMBEDDINGS = "/v1/organization/usage/embeddings"
YESTERDAY = TODAY - 1
SETTLED = TODAY - 2
"""The last settled day at noon, 24 h after the end of a day."""


@pytest.fixture
def books() -> Iterator[Openai]:
    with serving(Openai()) as server:
        assert isinstance(server, Openai)
        server.books = {COSTS: {SETTLED: [openai_cost(1.5)], YESTERDAY: [openai_cost(0.25)]}}
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


def bill(tmp_path: Path, books: Openai, clock: Clock, **fields: Any) -> Bill:
    return Bill(here(tmp_path, "openai", books.address, clock, **fields))


def kept(tmp_path: Path) -> dict[int, int]:
    """Nano-USD of each day on the shelf that is not 0."""
    days = _shelf.read(tmp_path / "bills" / "openai.json").days
    return {number: day.nano for number, day in days.items() if day.nano}


def kept_days(tmp_path: Path) -> set[int]:
    return set(_shelf.read(tmp_path / "bills" / "openai.json").days)


def line_usd(samples: list[Any]) -> dict[tuple[str, str], float]:
    return {sample.labels[1:]: sample.value for sample in samples if sample.metric is bills.LINE_USD}


def outcomes(samples: list[Any]) -> dict[tuple[str, str], float]:
    return {sample.labels[3:]: sample.value for sample in samples if sample.metric is exporter.API_REQUESTS}


def test_where_no_bill_is_named_there_is_nothing_to_report() -> None:
    with pytest.raises(NoData):
        list(Bill(Here())())


def test_requests_are_what_openai_s_own_sdk_sends(tmp_path: Path, books: Openai, clock: Clock) -> None:
    collected(bill(tmp_path, books, clock)())
    ours = list(books.asked)
    books.asked.clear()
    span: Any = {"start_time": (TODAY - 5) * DAY, "end_time": TODAY * DAY, "bucket_width": "1d", "limit": 5}
    with openai.OpenAI(admin_api_key=ADMIN_KEY, base_url=f"{books.address}/v1", max_retries=0) as sdk:
        usage = sdk.admin.organization.usage
        page = usage.costs(**span, group_by=["project_id", "line_item"])
        usage.completions(**span)
        usage.embeddings(**span)
    assert [(one.path, sorted(one.query)) for one in ours] == [(one.path, sorted(one.query)) for one in books.asked]
    for own, theirs in zip(ours, books.asked, strict=True):
        assert own.headers["authorization"] == theirs.headers["authorization"]
    # And the SDK reads the server's answer as what it is.
    type(page).model_validate_json(page.to_json())
    assert page.data[3].results[0].amount.value == 1.5  # type: ignore[union-attr]  # a union of all reports


def test_a_bill_is_shown_by_project_and_line(
    tmp_path: Path, books: Openai, clock: Clock, golden: Callable[[str, str], None]
) -> None:
    books.books = {
        COSTS: {
            SETTLED - 1: [openai_cost(2), openai_cost(0.125, "web search tool calls"), openai_cost(-0.5, "credit")],
            SETTLED: [openai_cost(1.5), openai_cost("0.000000001", "gpt-4o, output"), openai_cost(3, None, None)],
            YESTERDAY: [openai_cost(99)],
        },
        CHATS: {SETTLED: [openai_tokens(input_tokens=100, output_tokens=10)]},
    }
    golden("sources/openai.prom", shown(bill(tmp_path, books, clock), clock))


def shown(source: Bill, clock: Clock) -> str:
    """One cycle by the runner, as a scrape shows it; without what the machine's speed makes of it."""
    meter = Meter(implied={"host_name": "here"})
    item = Source(source.provider, 300, 30, source)
    asyncio.run(Runner([item], meter, clock=clock).cycle(item))
    return "".join(
        f"{line}\n" for line in exposition(meter, openmetrics=False).splitlines() if "collector_duration" not in line
    )


@pytest.mark.parametrize(
    ("value", "nano"),
    [
        (0.06, 60_000_000),
        (0.1 + 0.2, 300_000_000),
        ("0.06", 60_000_000),
        (12, 12_000_000_000),
        (1e-9, 1),
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        (-3.25, -3_250_000_000),
        ("123456789.123456789", 123456789_123456789),
    ],
)
def test_amounts_are_exact_decimals(tmp_path: Path, books: Openai, clock: Clock, value: object, nano: int) -> None:
    books.books = {COSTS: {SETTLED: [openai_cost(value)]}}
    assert collected(bill(tmp_path, books, clock)())[1] == ""
    assert kept(tmp_path).get(SETTLED, 0) == nano


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (openai_cost(None), "expected an amount of money, got 'None'"),
        (openai_cost("NaN"), "expected an amount of money, got 'NaN'"),
        (openai_cost("1e400"), "expected an amount of money, got '1e400'"),
        ({**openai_cost(1), "amount": None}, "amount: expected a value and a currency, got None"),
        ({**openai_cost(1), "amount": {"value": 1, "currency": "eur"}}, "currency: expected USD, got 'eur'"),
        ({**openai_cost(1), "project_id": 7}, "project_id: expected a text or null, got 7"),
    ],
)
def test_a_day_that_cannot_be_understood_is_refused_alone(
    tmp_path: Path, books: Openai, clock: Clock, row: Any, why: str
) -> None:
    source = bill(tmp_path, books, clock)
    collected(source())
    books.books[COSTS] = {SETTLED: [openai_cost(7), row], YESTERDAY: [openai_cost(8)]}
    clock.now += 3600
    told = collected(source())[1]
    assert f"{COSTS}: 2026-11-19: " in told
    assert why in told
    assert kept(tmp_path) == {SETTLED: 1_500_000_000, YESTERDAY: 8_000_000_000}


def test_all_pages_are_read_and_a_bucket_that_comes_twice_counts_once(
    tmp_path: Path, books: Openai, clock: Clock
) -> None:
    books.page_size, books.repeat_pages = 2, True
    books.books = {COSTS: {day: [openai_cost(day - TODAY + 10)] for day in range(TODAY - 5, TODAY)}}
    assert collected(bill(tmp_path, books, clock)())[1] == ""
    assert [dict(one.query).get("page") for one in books.asked if one.path == COSTS] == [None, "page_2", "page_4"]
    assert kept(tmp_path) == {day: (day - TODAY + 10) * 10**9 for day in range(TODAY - 5, TODAY)}


def test_a_page_that_fails_in_the_middle_keeps_what_came_and_what_was_known(
    tmp_path: Path, books: Openai, clock: Clock
) -> None:
    books.page_size = 3
    books.books = {COSTS: {day: [openai_cost(1)] for day in range(TODAY - 5, TODAY)}}
    source = bill(tmp_path, books, clock)
    collected(source())
    books.books = {COSTS: {day: [openai_cost(2)] for day in range(TODAY - 5, TODAY)}}
    clock.now += 3600
    books.odd = {len(books.asked) + 1: (500, {}, b"oops")}
    samples, told = collected(source())
    assert told == f"GET {COSTS}: expected status 200, got 500"
    assert kept(tmp_path) == {TODAY - 5: 2e9, TODAY - 4: 2e9, TODAY - 3: 2e9, TODAY - 2: 1e9, TODAY - 1: 1e9}
    assert [sample.value for sample in samples if sample.metric is bills.READ] == [NOON]


def test_it_asks_once_an_hour_also_after_a_restart(tmp_path: Path, books: Openai, clock: Clock) -> None:
    source = bill(tmp_path, books, clock)
    first = line_usd(collected(source())[0])
    assert len(books.asked) == 3
    clock.now += 3599
    assert line_usd(collected(source())[0]) == first
    assert line_usd(collected(bill(tmp_path, books, clock)())[0]) == first
    assert len(books.asked) == 3
    clock.now += 1
    collected(source())
    assert len(books.asked) == 6
    clock.now -= 86400
    collected(source())
    assert len(books.asked) == 9, "a clock that was set back asks again"


def test_a_day_that_changes_later_is_shown_as_it_is_now(tmp_path: Path, books: Openai, clock: Clock) -> None:
    source = bill(tmp_path, books, clock)
    collected(source())
    books.books[COSTS] = {SETTLED: [openai_cost(1.75)], YESTERDAY: [openai_cost(0.5)]}
    clock.now += 3600
    samples = collected(bill(tmp_path, books, clock)())[0]
    assert line_usd(samples) == {("proj_a", "gpt-4o, input"): 1.75}
    # Yesterday was not settled, so its change is none.
    assert [sample.value for sample in samples if sample.metric is bills.REVISED_USD] == [0.25]


def test_a_day_counts_as_settled_when_it_was_read_after_the_lag(tmp_path: Path, books: Openai, clock: Clock) -> None:
    clock.now = utc(TODAY) - 1
    source = bill(tmp_path, books, clock)
    settled = [sample.value for sample in collected(source())[0] if sample.metric is bills.SETTLED]
    assert settled == [(TODAY - 2) * DAY]
    clock.now = utc(TODAY)  # not read again yet: the clock alone settles nothing
    settled = [sample.value for sample in collected(source())[0] if sample.metric is bills.SETTLED]
    assert settled == [(TODAY - 2) * DAY]
    clock.now = utc(TODAY) + 3599
    settled = [sample.value for sample in collected(source())[0] if sample.metric is bills.SETTLED]
    assert settled == [(TODAY - 1) * DAY]


def test_days_that_a_clock_ahead_has_read_do_not_stay(tmp_path: Path, books: Openai, clock: Clock) -> None:
    source = bill(tmp_path, books, clock)
    clock.now += 9 * DAY
    collected(source())
    assert max(kept_days(tmp_path)) == TODAY + 8
    clock.now -= 9 * DAY
    collected(source())
    assert max(kept_days(tmp_path)) == YESTERDAY
    books.odd = {number: (503, {}, b"") for number in range(99)}
    clock.now -= 3 * DAY
    assert "503" in collected(source())[1]
    assert max(kept_days(tmp_path)) == YESTERDAY  # a clock that is behind and reads nothing forgets nothing


def test_only_closed_days_are_asked_for(tmp_path: Path, books: Openai) -> None:
    for now, today in ((utc(TODAY) - 0.001, TODAY - 1), (utc(TODAY), TODAY)):
        books.asked.clear()
        (tmp_path / str(today)).mkdir()
        collected(bill(tmp_path / str(today), books, Clock(now))())
        query = dict(books.asked[0].query)
        assert (int(query["start_time"]), int(query["end_time"])) == ((today - 5) * DAY, today * DAY)


def test_a_throttled_reader_stays_away_as_long_as_it_is_told(tmp_path: Path, books: Openai, clock: Clock) -> None:
    source = bill(tmp_path, books, clock)
    busy = (429, {"Retry-After": "900"}, json.dumps({"error": {"code": "rate_limit_exceeded"}}).encode())
    books.odd = dict.fromkeys(range(2), busy)
    samples, told = collected(source())
    assert told == (
        f"GET {COSTS}: expected status 200, got 429 (rate_limit_exceeded); "
        f"GET {CHATS}: expected status 200, got 429 (rate_limit_exceeded)"
    )
    assert outcomes(samples) == {("costs", "throttled"): 1, ("usage/completions", "throttled"): 1}
    clock.now += 899
    assert collected(source())[1] == told
    assert len(books.asked) == 2
    clock.now += 1
    assert collected(source())[1] == ""


def test_failures_are_tried_again_ever_more_rarely(tmp_path: Path, books: Openai, clock: Clock) -> None:
    source = bill(tmp_path, books, clock)
    books.odd = {number: (503, {}, b"") for number in range(1000)}
    tries = []
    for minute in range(180):
        before = len(books.asked)
        collected(source())
        if len(books.asked) > before:
            tries.append(minute)
        clock.now += 60
    assert tries == [0, 5, 15, 35, 75, 135]


@pytest.mark.parametrize(("status", "outcome"), [(401, "credentials"), (403, "denied")])
def test_a_missing_permission_is_named_with_its_fix_and_without_the_key(
    tmp_path: Path, books: Openai, clock: Clock, status: int, outcome: str
) -> None:
    error = {"error": {"message": f"Incorrect API key provided: {ADMIN_KEY}", "code": "insufficient_permissions"}}
    books.odd = {number: (status, {}, json.dumps(error).encode()) for number in range(9)}
    meter = Meter(implied={"host_name": "here"})
    source = bill(tmp_path, books, clock)
    item = Source("openai", 300, 30, source)
    asyncio.run(Runner([item], meter, clock=clock).cycle(item))
    text = exposition(meter, openmetrics=False)
    assert 'fleetwatch_collector_denied{host_name="here",collector="openai",permission="api.usage.read"} 1' in text
    assert f'operation="costs",outcome="{outcome}"}} 1' in text
    samples, told = collected(source())
    assert told.startswith(
        f"api.usage.read is missing: GET {COSTS} was answered with {status} (insufficient_permissions). "
    )
    assert f"put it into {tmp_path}/admin.key." in told
    assert ADMIN_KEY not in told + text
    assert outcomes(samples) == {("costs", outcome): 1, ("usage/completions", outcome): 1}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "expected one line with an admin key, got nothing"),
        (b"sk-one\nsk-two\n", "expected one line with an admin key, got 13 bytes that are no key"),
        (b"sk-\xc3\xa9", "expected one line with an admin key, got 5 bytes that are no key"),
    ],
)
def test_a_wrong_key_file_is_told_and_nothing_is_sent(
    tmp_path: Path, books: Openai, clock: Clock, content: bytes | None, why: str
) -> None:
    source = bill(tmp_path, books, clock)
    key = tmp_path / "admin.key"
    key.unlink() if content is None else key.write_bytes(content)
    assert collected(source())[1] == f"bills.openai.key_file: {key}{': ' if content is not None else ' '}{why}"
    assert books.asked == []


def test_a_new_key_is_used_without_a_restart(tmp_path: Path, books: Openai, clock: Clock) -> None:
    source = bill(tmp_path, books, clock)
    (tmp_path / "admin.key").write_text("sk-proj-an-ordinary-one")
    assert "api.usage.read is missing" in collected(source())[1]
    (tmp_path / "admin.key").write_text(ADMIN_KEY)
    clock.now += 300
    assert collected(source())[1] == ""


def test_an_account_without_any_use_is_no_failure(tmp_path: Path, books: Openai, clock: Clock) -> None:
    books.books = {}
    samples, told = collected(bill(tmp_path, books, clock)())
    assert told == ""
    assert line_usd(samples) == {}
    assert [sample.value for sample in samples if sample.metric is bills.SETTLED] == [(SETTLED + 1) * DAY]


def test_a_bound_of_the_settings_keeps_the_sum(tmp_path: Path, books: Openai, clock: Clock) -> None:
    books.books = {COSTS: {SETTLED: [openai_cost(number, f"line {number}") for number in range(1, 10)]}}
    place = here(tmp_path, "openai", books.address, clock)
    limits = {"line": 3}
    source = Bill(replace(place, ai_services=AiServices(limits=limits)))
    meter = Meter(limits=limits)
    meter.replace("openai", collected(source())[0])
    lines = [line for line in exposition(meter, openmetrics=False).splitlines() if line.startswith("bill_line_usd{")]
    assert len(lines) == 3
    assert sum(float(line.split()[-1]) for line in lines) == 45


def test_names_of_others_are_bounded_and_harmless(tmp_path: Path, books: Openai, clock: Clock) -> None:
    rows = [openai_cost(1, f"line {number}") for number in range(100)]
    rows += [openai_cost(1000, 'a"b\\c\nd\u202e'), openai_cost(2000, "x" * 500), openai_cost(1, "x" * 501)]
    books.books = {COSTS: {SETTLED: rows}}
    lines = line_usd(collected(bill(tmp_path, books, clock)())[0])
    assert len(lines) == bills.LINE.at_most
    assert lines["proj_a", 'a"b\\c\ufffdd\ufffd'] == 1000
    assert lines["proj_a", "x" * 120] == 2001
    assert sum(lines.values()) == 3101


def test_tokens_are_split_into_kinds_that_do_not_overlap(tmp_path: Path, books: Openai, clock: Clock) -> None:
    chat = openai_tokens(
        input_tokens=1000,
        input_cached_tokens=300,
        input_cache_write_tokens=150,
        input_cache_write_30m_tokens=100,
        input_cache_write_12h_tokens=50,
        input_uncached_tokens=550,
        input_audio_tokens=50,
        input_image_tokens=100,
        output_tokens=90,
        output_audio_tokens=40,
    )
    older = openai_tokens(input_tokens=100, input_cached_tokens=80, input_cache_write_30m_tokens=5, output_tokens=5)
    books.books |= {CHATS: {SETTLED: [chat, older]}, EMBEDDINGS: {SETTLED: [openai_embedded(7)]}}
    collected(bill(tmp_path, books, clock)())
    kinds = _shelf.read(tmp_path / "bills" / "openai.json").tokens[SETTLED].kinds
    assert kinds == {
        "input": 400 + 15 + 7,
        "cache_read": 380,
        "cache_write": 150 + 5,
        "output": 50 + 5,
        "audio_in": 50,
        "audio_out": 40,
        "image": 100,
    }
    assert sum(kinds.values()) == 1000 + 90 + 100 + 5 + 7


def test_tokens_of_chats_alone_are_not_taken_for_all(tmp_path: Path, books: Openai, clock: Clock) -> None:
    books.books |= {CHATS: {SETTLED: [openai_tokens(input_tokens=5)]}}
    books.odd = {2: (500, {}, b"")}
    assert collected(bill(tmp_path, books, clock)())[1] == f"GET {EMBEDDINGS}: expected status 200, got 500"
    assert _shelf.read(tmp_path / "bills" / "openai.json").tokens == {}
    assert kept(tmp_path)[SETTLED] == 1_500_000_000


def test_a_full_disk_is_told_and_the_bill_is_shown_all_the_same(
    tmp_path: Path, books: Openai, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, bill: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_shelf, "write", full)
    samples, told = collected(bill(tmp_path, books, clock)())
    assert told == f"{tmp_path}/bills/openai.json cannot be written: No space left on device"
    assert line_usd(samples) == {("proj_a", "gpt-4o, input"): 1.5}
