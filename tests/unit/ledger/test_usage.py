"""Token metrics count when nothing better is known."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.ledger import Ledger, LedgerError
from fleetwatch.ledger.families import FAMILY_REMEMBERED
from fleetwatch.ledger.usage import Mode, Usage
from fleetwatch.records.llm import Tokens, UsagePoint
from support_ledger import BOOK, COST, requests_and_cost
from support_llm import call, point


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def opened(path: Path, clock: list[int], mode: Mode = "auto") -> Ledger:
    return Ledger(path, BOOK, usage=Usage(mode, grace=15), clock=lambda: clock[0])


def test_a_metrics_only_sender_is_priced_as_estimated_after_the_grace(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock)
    assert ledger.commit([point(requests=2, tokens=Tokens(input=200, output=20))]).points == 1
    assert requests_and_cost(ledger) == (0, 0)
    clock[0] += 16 * 10**9
    ledger.settle()
    assert [labels.confidence for labels, _ in ledger.take()] == ["estimated"]
    assert requests_and_cost(ledger) == (2, 2 * COST)
    ledger.close()


def test_a_cumulative_stream_counts_by_its_differences_over_a_restart(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock)
    ledger.commit([point(at=100, requests=1, tokens=Tokens(input=100, output=10))])
    clock[0] += 16 * 10**9
    ledger.settle()
    ledger.close()
    ledger = opened(path, clock)
    ledger.commit([point(at=200, requests=3, tokens=Tokens(input=300, output=30))])
    ledger.commit([point(at=150, requests=2, tokens=Tokens(input=200, output=20))])
    clock[0] += 16 * 10**9
    ledger.settle()
    assert requests_and_cost(ledger) == (3, 3 * COST)
    ledger.close()


def test_a_stream_sent_in_halves_counts_its_last_value(path: Path) -> None:
    """A Collector may cut an export between a whole and its parts: what is taken apart may then shrink."""
    clock = [10**18]
    ledger = opened(path, clock)
    for at, tokens in ((1, (100, 900)), (2, (1500, 0)), (2, (0, 1400)), (3, (200, 1800)), (3, (200, 1800))):
        ledger.commit([point(at=at, start=1, requests=at, tokens=Tokens(input=tokens[0], cache_read=tokens[1]))])
        clock[0] += 16 * 10**9
        ledger.settle()
    ledger.take()
    [total] = [total for _, total in ledger.totals()]
    assert (total.requests, total.sums[2], total.sums[3]) == (3, 1500, 1800)
    ledger.close()


def test_without_a_start_time_a_step_back_is_a_new_beginning(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock)
    for at, requests in ((1, 5), (2, 2)):
        ledger.commit([point(at=at, start=0, requests=requests, tokens=Tokens(input=100 * requests))])
        clock[0] += 16 * 10**9
        ledger.settle()
    assert requests_and_cost(ledger)[0] == 7
    ledger.close()


def test_a_delta_point_sent_twice_counts_once(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock)
    same = point(cumulative=False, requests=1)
    ledger.commit([same])
    assert ledger.commit([same]).duplicates == {"resent": 1}
    clock[0] += 16 * 10**9
    ledger.settle()
    assert ledger.commit([same]).duplicates == {"resent": 1}
    assert requests_and_cost(ledger) == (1, COST)
    ledger.close()


def test_metrics_of_a_service_that_sends_spans_are_not_billed_again(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock)
    ledger.commit([point(requests=1)])
    ledger.commit([call(service="shop\x1fbot\x1f1")])
    clock[0] += 16 * 10**9
    assert ledger.settle().duplicates == {"metrics_of_spans": 1}
    assert requests_and_cost(ledger) == (1, COST)
    ledger.close()


def test_spans_that_come_when_the_metrics_time_is_over_are_still_in_time(path: Path) -> None:
    """After a downtime both come at once."""
    clock = [10**18]
    ledger = opened(path, clock)
    ledger.commit([point(requests=1)])
    clock[0] += 16 * 10**9
    assert ledger.commit([call(service="shop\x1fbot\x1f1")]).duplicates == {"metrics_of_spans": 1}
    assert requests_and_cost(ledger) == (1, COST)
    ledger.close()


def test_after_a_restart_metrics_wait_again_for_the_spans_that_could_not_be_delivered(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock)
    ledger.commit([point(requests=1)])
    ledger.close()
    clock[0] += 600 * 10**9
    ledger = opened(path, clock)
    ledger.settle()
    clock[0] += 5 * 10**9
    ledger.commit([call(service="shop\x1fbot\x1f1")])
    clock[0] += 11 * 10**9
    assert ledger.settle().duplicates == {"metrics_of_spans": 1}
    assert requests_and_cost(ledger) == (1, COST)
    ledger.close()


def test_what_waited_is_left_out_when_the_settings_now_say_never(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock)
    ledger.commit([point(requests=1)])
    ledger.close()
    ledger = opened(path, clock, "never")
    clock[0] += 60 * 10**9
    ledger.settle()
    assert requests_and_cost(ledger) == (0, 0)
    ledger.close()


def test_an_absurd_point_stops_no_other_record(path: Path) -> None:
    """10^15 output tokens cost more nano-dollars than the file can hold."""
    clock = [10**18]
    ledger = opened(path, clock)
    ledger.commit([point(requests=1, tokens=Tokens(output=10**15))])
    clock[0] += 16 * 10**9
    ledger.commit([call(service="another")])
    assert [labels.confidence for labels, _ in ledger.take()] == ["priced", "unpriced"]
    assert requests_and_cost(ledger) == (2, COST)
    ledger.checkpoint()
    ledger.close()


def test_never_leaves_metrics_out(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock, "never")
    assert ledger.commit([point(requests=1)]).points == 0
    ledger.close()


SECOND = 10**9
ONE, OTHER = "opentelemetry.instrumentation.genai.openai", "openllmetry"


def told(family: str, requests: int, at: int, **fields: Any) -> UsagePoint:
    """The running sums of one family's stream."""
    tokens = Tokens(input=100 * requests, output=10 * requests)
    stream = f"{family}-{fields.get('model', '')}".encode()[-16:]
    return point(stream=stream, family=family, requests=requests, tokens=tokens, at=at, **fields)


def test_of_two_instrumentations_that_tell_one_call_the_first_counts_and_stays_over_a_restart(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock)
    ledger.commit([told(OTHER, 2, 1), told(ONE, 2, 2)])
    clock[0] += 16 * SECOND
    assert ledger.settle().duplicates == {"other_instrumentation": 2}
    assert requests_and_cost(ledger) == (2, 2 * COST)
    ledger.close()
    ledger = opened(path, clock)
    ledger.commit([told(ONE, 5, 3), told(OTHER, 5, 4)])
    clock[0] += 16 * SECOND
    assert ledger.settle().duplicates == {"other_instrumentation": 3}
    ledger.take()
    assert [total.requests for _, total in ledger.totals()] == [5]
    ledger.close()


def test_the_streams_of_one_instrumentation_add_up(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock)
    ledger.commit([point(stream=bytes([n]) * 16, family=ONE, requests=1, agent=f"agent-{n}") for n in range(3)])
    clock[0] += 16 * SECOND
    assert not ledger.settle().duplicates
    assert requests_and_cost(ledger) == (3, 3 * COST)
    ledger.close()


def test_instrumentations_of_different_models_or_services_tell_different_calls(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock)
    ledger.commit(
        [told(ONE, 1, 1), told(OTHER, 1, 1, model="gpt-4o-mini"), told(OTHER + "2", 1, 1, service="shop\x1fbot\x1f2")]
    )
    clock[0] += 16 * SECOND
    assert not ledger.settle().duplicates
    assert requests_and_cost(ledger)[0] == 3
    ledger.close()


def test_an_instrumentation_that_is_gone_gives_way_and_one_that_only_idles_does_not(path: Path) -> None:
    clock = [10**18]
    ledger = opened(path, clock)

    def counted(*points: UsagePoint) -> int:
        ledger.commit(points)
        clock[0] += 16 * SECOND
        ledger.settle()
        return requests_and_cost(ledger)[0]

    assert counted(told(ONE, 1, 1)) == 1
    for minute in range(40):
        clock[0] += 60 * SECOND
        assert counted(told(ONE, 1, 2 + minute)) == 1
    assert counted(told(OTHER, 1, 100)) == 1
    clock[0] += FAMILY_REMEMBERED
    # What it told until then was counted as the first one's.
    assert counted(told(OTHER, 4, 101)) == 1 + 3
    ledger.close()


def test_a_transaction_that_was_undone_leaves_no_family_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [10**18]
    ledger = opened(path, clock)
    ledger.commit([told(ONE, 1, 1)])
    clock[0] += 16 * SECOND
    with monkeypatch.context() as broken:
        broken.setattr(Ledger, "_write_group", _then_fail(Ledger._write_group))
        with pytest.raises(LedgerError):
            ledger.settle()
    ledger.settle()
    assert ledger.query("SELECT family FROM usage_families") == [(ONE,)]
    assert requests_and_cost(ledger) == (1, COST)
    ledger.close()


def _then_fail(write: Callable[..., Any]) -> Callable[..., Any]:
    def failing(*arguments: Any) -> Any:
        write(*arguments)
        raise sqlite3.OperationalError("disk I/O error")

    return failing
