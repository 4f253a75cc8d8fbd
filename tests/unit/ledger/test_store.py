"""The ledger counts every record once, whatever happens to it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwatch.ledger import Ledger, LedgerError
from fleetwatch.ledger.query import Reader
from fleetwatch.ledger.usage import Mode, Usage
from fleetwatch.reckon.price import PriceBook
from fleetwatch.records.llm import LlmCall, Tokens
from support_llm import call, point

BOOK = PriceBook()
# 100 input tokens at 2.50 and 10 output tokens at 10.00 US dollars per million (list price of gpt-4o), in nano-USD.
COST = 100 * 2_500 + 10 * 10_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = Ledger(path, BOOK)
    yield opened
    opened.close()


def requests_and_cost(ledger: Ledger) -> tuple[int, int]:
    ledger.take()
    totals = [total for _, total in ledger.totals()]
    return sum(total.requests for total in totals), sum(total.cost for total in totals)


def test_a_call_is_counted_with_its_price(ledger: Ledger) -> None:
    committed = ledger.commit([call()])
    assert (committed.calls, committed.duplicates) == (1, {})
    assert requests_and_cost(ledger) == (1, COST)


def test_a_resent_span_is_not_counted_again(ledger: Ledger) -> None:
    first = call()
    ledger.commit([first])
    assert ledger.commit([first, call()]).duplicates == {"resent": 1}
    assert requests_and_cost(ledger) == (2, 2 * COST)


def test_two_sightings_in_one_group_are_one_call(ledger: Ledger) -> None:
    first = call()
    assert ledger.commit([first, first]).duplicates == {"resent": 1}
    assert requests_and_cost(ledger) == (1, COST)


def test_the_same_response_seen_by_another_instrumentation_is_told_apart_from_a_resent_span(ledger: Ledger) -> None:
    ledger.commit([call(key=b"response-id-hash", span=b"a" * 24)])
    assert ledger.commit([call(key=b"response-id-hash", span=b"b" * 24)]).duplicates == {"other_instrumentation": 1}
    ledger.commit([call(key=b"response-id-hash", span=b"b" * 24)])
    assert ledger.duplicates() == {"other_instrumentation": 2}


def test_rows_after_the_checkpoint_are_folded_in_again_at_start(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.commit([call(), call()])
    ledger.take()
    ledger.checkpoint()
    ledger.commit([call(model="gpt-4o-mini")])
    ledger.close()
    again = Ledger(path, BOOK)
    taken = again.take()
    assert [labels.model for labels, _ in taken] == ["gpt-4o-mini"]
    assert requests_and_cost(again)[0] == 3
    again.close()


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.sampled_from(["commit", "resend", "take", "checkpoint", "restart"]), max_size=12))
def test_totals_equal_the_truth_after_any_order_of_steps(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    ledger = Ledger(path, BOOK)
    sent: list[LlmCall] = []
    for step in steps:
        if step == "commit":
            sent.append(call(agent=f"a{len(sent) % 3}"))
            ledger.commit(sent[-1:])
        elif step == "resend":
            ledger.commit(sent)
        elif step == "take":
            ledger.take()
        elif step == "checkpoint":
            ledger.take()
            ledger.checkpoint()
        else:
            ledger.close()
            ledger = Ledger(path, BOOK)
    assert requests_and_cost(ledger) == (len(sent), len(sent) * COST)
    with Reader(path) as reader:
        assert sum(item.cost for item in reader.spending(["model"])) == len(sent) * COST
        assert reader.verify() == []
    ledger.close()


def test_a_failed_commit_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path, BOOK)
    with pytest.raises(OverflowError):
        ledger.commit([call(agent="new"), call(duration=1 << 70)])
    assert requests_and_cost(ledger) == (0, 0)
    ledger.commit([call(agent="new")])
    assert [labels.agent for labels, _ in ledger.take()] == ["new"]
    ledger.close()


def test_a_full_disk_is_named_and_passes(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    # SQLite's own bound gives the same error code as a disk without space; tests/stack fills a real file system.
    ledger._db.execute("PRAGMA max_page_count = 40")
    many = [call(agent=f"{number:0200}") for number in range(2000)]
    with pytest.raises(LedgerError) as failure:
        ledger.commit(many)
    assert failure.value.reason == "disk_full"
    assert "free space" in str(failure.value)
    counted = requests_and_cost(ledger)[0]
    ledger._db.execute("PRAGMA max_page_count = 1000000")
    ledger.commit([call()])
    assert requests_and_cost(ledger)[0] == counted + 1
    ledger.close()


def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(b"this is no database, but it is long enough to look like one" * 100)
    with pytest.raises(LedgerError) as failure:
        Ledger(path, BOOK)
    assert failure.value.reason == "damaged"
    assert str(path) in str(failure.value)
    assert "backup" in str(failure.value)


def test_damage_inside_a_good_file_is_found_at_start(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.commit([call() for _ in range(2000)])
    ledger.close()
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(os.urandom(20 * 4096))
    with pytest.raises(LedgerError) as failure:
        Ledger(path, BOOK)
    assert failure.value.reason == "damaged"


def test_a_second_writer_is_turned_away_with_the_first_ones_process_id(ledger: Ledger, path: Path) -> None:
    with pytest.raises(LedgerError, match=f"in use by process {os.getpid()}"):
        Ledger(path, BOOK)


def test_old_calls_are_forgotten_and_their_sums_stay(path: Path) -> None:
    now = 1_800_000_000 * 10**9
    ledger = Ledger(path, BOOK, keep_days=10, clock=lambda: now)
    day = 86400 * 10**9
    ledger.commit([call(at=now - 20 * day), call(at=now - 500 * day), call(at=now)])
    ledger.take()
    ledger.checkpoint()
    assert ledger.prune() == 2
    assert requests_and_cost(ledger) == (3, 3 * COST)
    with Reader(path) as reader:
        assert sum(item.cost for item in reader.spending(["day"])) == 3 * COST
        assert reader.verify() == []
    ledger.close()


def test_calls_that_the_checkpoint_does_not_know_yet_are_never_forgotten(path: Path) -> None:
    now = 1_800_000_000 * 10**9
    ledger = Ledger(path, BOOK, keep_days=1, clock=lambda: now)
    ledger.commit([call(at=now - 5 * 86400 * 10**9)])
    assert ledger.prune() == 0
    ledger.close()


def test_released_series_are_remembered(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.checkpoint([("llm_requests_total", ("a", 'odd "\n name'))])
    ledger.close()
    again = Ledger(path, BOOK)
    assert again.released() == {("llm_requests_total", ("a", 'odd "\n name'))}
    again.close()


def test_a_backup_made_while_the_writer_goes_on_is_a_whole_ledger(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    ledger.commit([call()])
    copy = tmp_path / "copy.db"
    with Reader(path) as reader:
        reader.backup(copy)
    ledger.commit([call()])
    restored = Ledger(copy, BOOK)
    assert requests_and_cost(restored) == (1, COST)
    restored.close()


def test_verify_names_a_label_set_whose_sums_disagree(ledger: Ledger, path: Path) -> None:
    ledger.commit([call()])
    ledger.take()
    ledger.checkpoint()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE totals SET cost = cost + 1")
    other.close()
    with Reader(path) as reader:
        assert "totals say" in reader.verify()[0]


class TestUsageMetrics:
    """Token metrics count when nothing better is known."""

    def ledger(self, path: Path, clock: list[int], mode: Mode = "auto") -> Ledger:
        return Ledger(path, BOOK, usage=Usage(mode, grace=15), clock=lambda: clock[0])

    def test_a_metrics_only_sender_is_priced_as_estimated_after_the_grace(self, path: Path) -> None:
        clock = [10**18]
        ledger = self.ledger(path, clock)
        assert ledger.commit([point(requests=2, tokens=Tokens(input=200, output=20))]).points == 1
        assert requests_and_cost(ledger) == (0, 0)
        clock[0] += 16 * 10**9
        ledger.settle()
        assert [labels.confidence for labels, _ in ledger.take()] == ["estimated"]
        assert requests_and_cost(ledger) == (2, 2 * COST)
        ledger.close()

    def test_a_cumulative_stream_counts_by_its_differences_over_a_restart(self, path: Path) -> None:
        clock = [10**18]
        ledger = self.ledger(path, clock)
        ledger.commit([point(at=100, requests=1, tokens=Tokens(input=100, output=10))])
        clock[0] += 16 * 10**9
        ledger.settle()
        ledger.close()
        ledger = self.ledger(path, clock)
        ledger.commit([point(at=200, requests=3, tokens=Tokens(input=300, output=30))])
        ledger.commit([point(at=150, requests=2, tokens=Tokens(input=200, output=20))])
        clock[0] += 16 * 10**9
        ledger.settle()
        assert requests_and_cost(ledger) == (3, 3 * COST)
        ledger.close()

    def test_a_stream_sent_in_halves_counts_its_last_value(self, path: Path) -> None:
        """A Collector may cut an export between a whole and its parts: what is taken apart may then shrink."""
        clock = [10**18]
        ledger = self.ledger(path, clock)
        for at, tokens in ((1, (100, 900)), (2, (1500, 0)), (2, (0, 1400)), (3, (200, 1800)), (3, (200, 1800))):
            ledger.commit([point(at=at, start=1, requests=at, tokens=Tokens(input=tokens[0], cache_read=tokens[1]))])
            clock[0] += 16 * 10**9
            ledger.settle()
        ledger.take()
        [total] = [total for _, total in ledger.totals()]
        assert (total.requests, total.sums[2], total.sums[3]) == (3, 1500, 1800)
        ledger.close()

    def test_without_a_start_time_a_step_back_is_a_new_beginning(self, path: Path) -> None:
        clock = [10**18]
        ledger = self.ledger(path, clock)
        for at, requests in ((1, 5), (2, 2)):
            ledger.commit([point(at=at, start=0, requests=requests, tokens=Tokens(input=100 * requests))])
            clock[0] += 16 * 10**9
            ledger.settle()
        assert requests_and_cost(ledger)[0] == 7
        ledger.close()

    def test_a_delta_point_sent_twice_counts_once(self, path: Path) -> None:
        clock = [10**18]
        ledger = self.ledger(path, clock)
        same = point(cumulative=False, requests=1)
        ledger.commit([same])
        assert ledger.commit([same]).duplicates == {"resent": 1}
        clock[0] += 16 * 10**9
        ledger.settle()
        assert ledger.commit([same]).duplicates == {"resent": 1}
        assert requests_and_cost(ledger) == (1, COST)
        ledger.close()

    def test_metrics_of_a_service_that_sends_spans_are_not_billed_again(self, path: Path) -> None:
        clock = [10**18]
        ledger = self.ledger(path, clock)
        ledger.commit([point(requests=1)])
        ledger.commit([call(service="shop\x1fbot\x1f1")])
        clock[0] += 16 * 10**9
        assert ledger.settle().duplicates == {"metrics_of_spans": 1}
        assert requests_and_cost(ledger) == (1, COST)
        ledger.close()

    def test_never_leaves_metrics_out(self, path: Path) -> None:
        clock = [10**18]
        ledger = self.ledger(path, clock, "never")
        assert ledger.commit([point(requests=1)]).points == 0
        ledger.close()
