"""One call is billed once: which of its sightings counts, and what the others are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.catalogue import agents
from fleetwatch.ledger import Ledger, LedgerError, trees
from fleetwatch.ledger.firewall import Rules
from fleetwatch.ledger.traces import AGAIN, KEPT
from fleetwatch.reckon.span_tree import CALL, WAITING
from fleetwatch.records.llm import LlmCall, Tokens
from support_ledger import BOOK
from support_tasks import Clock, Tally, llm, run, span_id, step, tool, trace_id

GATEWAY = "ops\x1fgateway\x1f1"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def opened(path: Path, clock: Clock) -> Iterator[Callable[..., Ledger]]:
    """Opens the ledger, also after a crash: the file is all that is left of the one before."""
    ledgers: list[Ledger] = []

    def make(rules: Rules = Rules()) -> Ledger:  # noqa: B008 - a tuple cannot change
        for ledger in ledgers:
            ledger.close()
        ledgers.append(Ledger(path, BOOK, rules=rules, clock=clock))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(opened: Callable[..., Ledger]) -> Ledger:
    return opened()


def sized(
    name: str, parent: str = "", start: float = 1, end: float = 2, *, tokens: int = 110, **fields: Any
) -> LlmCall:
    """A call with so many tokens."""
    return llm(name, parent, start, end, tokens=Tokens(input=tokens), **fields)


def proxied(name: str, parent: str = "", start: float = 1, end: float = 2, **fields: Any) -> LlmCall:
    """The same as a gateway tells it."""
    return sized(name, parent, start, end, point="proxy", agent="gateway", service=GATEWAY, **fields)


def billed(ledger: Ledger) -> dict[str, int]:
    """Tokens by agent."""
    ledger.take()
    sums: dict[str, int] = {}
    for labels, total in ledger.totals():
        sums[labels.agent] = sums.get(labels.agent, 0) + sum(total.sums[2:])
    return sums


def kinds(ledger: Ledger) -> dict[str, str]:
    """What each span of the trace is taken for."""
    return {row.span.rstrip(b".").decode(): row.kind for row in ledger._traces.of(trace_id("t"))}


class TestStructure:
    def test_a_wrapper_is_the_call_that_it_encloses(self, ledger: Ledger) -> None:
        committed = ledger.commit([sized("inner", "outer"), sized("outer", tokens=999)])
        assert (committed.calls, committed.duplicates) == (1, {"enclosing": 1})
        assert billed(ledger) == {"triage": 110}

    def test_it_is_the_same_when_they_come_one_after_the_other(self, ledger: Ledger) -> None:
        ledger.commit([sized("inner", "step")])
        ledger.commit([step("step", "outer")])
        assert ledger.commit([sized("outer", tokens=999)]).duplicates == {"enclosing": 1}
        assert billed(ledger) == {"triage": 110}

    def test_of_a_sender_whose_spans_all_have_one_id_no_response_is_lost(self, ledger: Ledger) -> None:
        for number in range(3):
            ledger.commit([sized("same", "", number, number + 1, key=b"response-id-%04d" % number)])
        assert billed(ledger) == {"triage": 330}

    def test_where_the_outer_one_came_first_it_stays(self, ledger: Ledger) -> None:
        ledger.commit([sized("outer", tokens=999)])
        assert ledger.commit([sized("inner", "outer")]).duplicates == {"enclosing": 1}
        assert billed(ledger) == {"triage": 999}

    def test_each_attempt_of_a_retry_is_billed_and_the_wrapper_is_not(self, ledger: Ledger) -> None:
        first = sized("first", "wrapper", 1, 2, tokens=5, outcome="error", error_type="timeout")
        ledger.commit([first])
        ledger.commit([sized("second", "wrapper", 3, 4, tokens=110), sized("wrapper", "", 1, 4, tokens=110)])
        ledger.commit([sized("third", "wrapper", 5, 6, tokens=7)])
        assert billed(ledger) == {"triage": 122}
        assert ledger.duplicates() == {"enclosing": 1}

    def test_a_retry_s_wrapper_that_tells_of_the_last_response_hides_no_attempt(self, ledger: Ledger) -> None:
        """It has the key of its second attempt; the first may come after it from another process."""
        key = b"response-id-hash"
        ledger.commit([sized("second", "wrapper", 3, 4, key=key), sized("wrapper", "", 1, 4, key=key)])
        ledger.commit([sized("first", "wrapper", 1, 2, tokens=5)])
        assert billed(ledger) == {"triage": 115}
        assert ledger.duplicates() == {"other_instrumentation": 1}

    def test_parallel_calls_under_one_parent_are_calls_of_their_own(self, ledger: Ledger) -> None:
        """Though each lies within another's time, and their parent has not come yet."""
        for number in range(4):
            ledger.commit([sized(f"call{number}", "agent", number, 10 - number)])
        assert billed(ledger) == {"triage": 440}
        ledger.commit([run("agent")])
        assert ledger.duplicates() == {}

    def test_a_call_inside_a_tool_inside_a_call_is_another_call(self, ledger: Ledger) -> None:
        """A model that runs tools by itself: its own tokens are not those of the tool's calls."""
        ledger.commit([sized("inner", "tool", tokens=7), tool("tool", "outer"), sized("outer", tokens=110)])
        assert billed(ledger) == {"triage": 117}
        assert ledger.duplicates() == {}

    def test_a_call_inside_an_agent_inside_a_call_is_another_call(self, ledger: Ledger) -> None:
        ledger.commit([sized("outer", tokens=110)])
        ledger.commit([run("agent", "outer"), sized("inner", "agent", tokens=7)])
        assert billed(ledger) == {"triage": 117}

    def test_steps_in_between_join_the_two_however_many(self, ledger: Ledger) -> None:
        ledger.commit([sized("inner", "s0"), *(step(f"s{number}", f"s{number + 1}") for number in range(150))])
        assert ledger.commit([sized("outer", tokens=999), step("s150", "outer")]).duplicates == {"enclosing": 1}

    def test_other_traces_are_other_calls(self, ledger: Ledger) -> None:
        ledger.commit([sized("inner", "outer"), sized("outer", trace="another")])
        assert billed(ledger) == {"triage": 220}

    def test_ids_in_a_circle_end(self, ledger: Ledger, clock: Clock) -> None:
        ledger.commit(
            [step("a", "b"), step("b", "a"), sized("c", "b"), sized("d", "d"), step("e", "e"), sized("f", "e")]
        )
        clock.now = 16
        ledger.settle()
        assert billed(ledger) == {"triage": 330}

    def test_an_event_told_in_the_span_of_another_call_is_a_call_of_its_own(self, ledger: Ledger) -> None:
        """Events of one turn of an agent all name the turn's span."""
        events = [sized("turn", key=number.to_bytes(16, "big")) for number in range(3)]
        ledger.commit(events[:2])
        ledger.commit(events[2:])
        assert ledger.commit(events).duplicates == {"resent": 3}
        assert billed(ledger) == {"triage": 330}

    def test_calls_without_a_trace_are_told_apart_by_their_keys_alone(self, ledger: Ledger) -> None:
        calls = [sized("x", "x", span=bytes(24), key=number.to_bytes(16, "big")) for number in range(3)]
        assert ledger.commit([*calls, calls[0]]).duplicates == {"resent": 1}
        assert billed(ledger) == {"triage": 330}

    def test_long_traces_stay_in_memory_and_give_the_same(
        self, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(trees, "LARGE", 10)
        monkeypatch.setattr(trees, "MOST_REMEMBERED", 300)
        ledger = Ledger(path, BOOK, clock=clock)
        for number in range(200):
            start = 2.0 * number
            for trace in ("t", "u"):
                ledger.commit([sized(f"i{number}", f"s{number}", start, start + 1, trace=trace)])
                ledger.commit([step(f"s{number}", f"o{number}", start, start + 1, trace=trace)])
                ledger.commit([sized(f"o{number}", "root", start, start + 1, trace=trace)])
        assert billed(ledger) == {"triage": 200 * 2 * 110}
        assert ledger.duplicates() == {"enclosing": 400}
        assert sum(map(len, ledger._firewall._trees._large.values())) <= 1000
        ledger.close()


class TestDoubt:
    """A span between two sightings may come last, from another process."""

    def test_a_sighting_waits_while_it_may_be_part_of_another(self, ledger: Ledger) -> None:
        ledger.commit([sized("inner", "step", 2, 3)])
        assert ledger.commit([sized("outer", "", 1, 4, tokens=999)]).calls == 0
        assert kinds(ledger) == {"inner": CALL, "outer": WAITING}
        assert ledger.commit([step("step", "outer", 1, 4)]).duplicates == {"enclosing": 1}
        assert kinds(ledger) == {"inner": CALL, "outer": AGAIN, "step": "step"}
        assert billed(ledger) == {"triage": 110}

    def test_the_other_way_round(self, ledger: Ledger) -> None:
        ledger.commit([sized("outer", "", 1, 4, tokens=999)])
        assert ledger.commit([sized("inner", "step", 2, 3)]).calls == 0
        ledger.commit([step("step", "outer", 1, 4)])
        assert billed(ledger) == {"triage": 999}
        assert ledger.duplicates() == {"enclosing": 1}

    def test_it_counts_as_soon_as_the_doubt_is_gone(self, ledger: Ledger) -> None:
        ledger.commit([sized("one", "agent1", 1, 4), sized("two", "agent2", 2, 3)])
        assert billed(ledger) == {"triage": 110}
        committed = ledger.commit([run("agent1", "root", 1, 4)])
        assert [call.span[16:] for call in committed.fresh_calls] == []
        committed = ledger.commit([run("agent2", "root", 1, 4)])
        assert [call.span[16:] for call in committed.fresh_calls] == [span_id("two")]
        assert billed(ledger) == {"triage": 220}

    def test_it_counts_when_nobody_tells(self, ledger: Ledger, clock: Clock) -> None:
        ledger.commit([sized("one", "unread1", 1, 4), sized("two", "unread2", 2, 3)])
        assert billed(ledger) == {"triage": 110}
        clock.now = 14
        assert ledger.settle().calls == 0
        clock.now = 16
        assert ledger.settle().calls == 1
        assert billed(ledger) == {"triage": 220}

    def test_one_after_the_other_there_is_no_doubt(self, ledger: Ledger) -> None:
        ledger.commit([sized("one", "unread1", 1, 2), sized("two", "unread2", 3, 4)])
        assert billed(ledger) == {"triage": 220}


class TestEcho:
    """Events of calls that may come as spans, too."""

    def test_the_span_counts_whoever_comes_first(self, ledger: Ledger) -> None:
        echo = sized("echo", "span", key=b"response-id-hash", point="echo")
        assert ledger.commit([echo]).calls == 0
        assert ledger.commit([sized("span", tokens=7)]).calls == 1
        ledger.commit([echo, sized("echo2", "span", key=b"another-response", point="echo")])
        assert billed(ledger) == {"triage": 7}
        assert ledger.duplicates() == {"enclosing": 2, "resent": 1}

    def test_without_a_span_it_counts(self, ledger: Ledger, clock: Clock) -> None:
        """Several of one turn, told in the span of an agent."""
        echoes = [sized(f"echo{number}", "agent", key=bytes([number]) * 16, point="echo") for number in range(3)]
        ledger.commit([*echoes, run("agent")])
        clock.now = 16
        assert ledger.settle().calls == 3
        assert ledger.commit([sized("late", "agent", key=bytes(16))]).duplicates == {"other_instrumentation": 1}
        assert billed(ledger) == {"triage": 330}


class TestProxy:
    def test_the_caller_s_sighting_counts_whoever_comes_first(self, ledger: Ledger, clock: Clock) -> None:
        key, other = b"response-id-hash", b"another-response"
        ledger.commit([proxied("proxy", trace="p", key=key)])
        ledger.commit([sized("client", key=key), sized("client2", "", 3, 4, key=other)])
        assert ledger.commit([proxied("proxy2", trace="p2", key=other)]).duplicates == {"proxy": 1}
        clock.now = 16
        assert ledger.settle().duplicates == {"proxy": 1}
        assert billed(ledger) == {"triage": 220}

    def test_without_the_caller_s_the_gateway_s_counts(self, ledger: Ledger, clock: Clock) -> None:
        assert ledger.commit([proxied("proxy")]).calls == 0
        clock.now = 16
        committed = ledger.settle()
        assert (committed.calls, committed.fresh_calls) == (1, [proxied("proxy")])
        assert billed(ledger) == {"gateway": 110}
        assert kinds(ledger) == {"proxy": CALL}

    def test_a_caller_that_comes_too_late_is_the_duplicate(self, ledger: Ledger, clock: Clock) -> None:
        ledger.commit([proxied("proxy", trace="p", key=b"response-id-hash"), proxied("inner", "outer")])
        clock.now = 16
        ledger.settle()
        ledger.commit([sized("client", key=b"response-id-hash"), sized("outer")])
        assert billed(ledger) == {"gateway": 220}
        assert ledger.duplicates() == {"other_instrumentation": 1, "enclosing": 1}

    def test_inside_the_caller_s_span_no_id_is_needed(self, ledger: Ledger) -> None:
        """Streams and failures have none."""
        ledger.commit([proxied("proxy", "http", 1.1, 1.9, tokens=100)])
        ledger.commit([step("http", "client", 1, 2)])
        ledger.commit([sized("client")])
        assert ledger.commit([proxied("late", "http")]).duplicates == {"proxy": 2}
        assert billed(ledger) == {"triage": 110}
        assert kinds(ledger) == {"proxy": AGAIN, "http": "step", "client": CALL, "late": AGAIN}

    def test_spans_between_that_nobody_reads_do_not_matter(self, ledger: Ledger, clock: Clock) -> None:
        """Same trace, same time, same tokens; an attempt that failed has none."""
        failed = proxied("attempt", "unread", 1.1, 1.2, tokens=0, outcome="error")
        ledger.commit([failed, proxied("proxy", "unread", 1.3, 1.9), proxied("other", "unread", 1.3, 1.9, tokens=5)])
        ledger.commit([sized("client")])
        clock.now = 16
        ledger.settle()
        assert billed(ledger) == {"triage": 110, "gateway": 5}
        assert ledger.duplicates() == {"proxy": 2}

    def test_the_attempts_of_a_gateway_that_retries_are_billed(self, ledger: Ledger, clock: Clock) -> None:
        """It tells of each, and of the whole; there is no caller's sighting."""
        ledger.commit([proxied("first", "whole", 1, 2, tokens=5), proxied("second", "whole", 3, 4)])
        ledger.commit([proxied("whole", "", 1, 4)])
        clock.now = 16
        ledger.settle()
        assert billed(ledger) == {"gateway": 115}
        assert ledger.duplicates() == {"proxy": 1}

    def test_a_gateway_may_be_known_by_its_service(self, opened: Callable[..., Ledger], clock: Clock) -> None:
        ledger = opened(Rules(proxies=frozenset({"gateway"})))
        plain = sized("proxy", agent="gateway", service=GATEWAY, key=b"response-id-hash", trace="p")
        ledger.commit([plain, sized("client", key=b"response-id-hash", service="ops\x1fgateway-client\x1f1")])
        clock.now = 16
        assert ledger.settle().duplicates == {"proxy": 1}
        assert billed(ledger) == {"triage": 110}

    def test_the_gateway_s_sighting_counts_where_that_is_wanted(
        self, opened: Callable[..., Ledger], clock: Clock
    ) -> None:
        ledger = opened(Rules("proxy"))
        ledger.commit([sized("client", key=b"response-id-hash"), sized("direct", "", 5, 6)])
        assert ledger.commit([proxied("proxy", "client", key=b"response-id-hash")]).calls == 1
        clock.now = 16
        assert ledger.settle().calls == 1
        assert billed(ledger) == {"gateway": 110, "triage": 110}
        assert ledger.duplicates() == {"other_instrumentation": 1}

    def test_what_waits_outlives_the_process(self, opened: Callable[..., Ledger], clock: Clock) -> None:
        sent = [proxied("proxy", key=b"response-id-hash", temperature=0.5, region="eu", reported_cost=3)]
        opened().commit(sent)
        clock.now = 600
        ledger = opened()
        assert ledger.settle().calls == 0, "its caller may have waited for us, too"
        assert ledger.commit(sent).duplicates == {"resent": 1}
        clock.now = 616
        assert ledger.settle().fresh_calls == sent
        assert billed(ledger) == {"gateway": 110}
        assert ledger.commit(sent).duplicates == {"resent": 1}

    def test_a_waiting_call_without_a_trace_is_recognised_too(self, ledger: Ledger, clock: Clock) -> None:
        sent = proxied("proxy", span=bytes(24), key=b"response-id-hash")
        ledger.commit([sent])
        assert ledger.commit([sent, sent._replace(span=b"x" * 24)]).duplicates == {"resent": 1, "proxy": 1}
        clock.now = 16
        ledger.settle()
        assert billed(ledger) == {"gateway": 110}

    def test_what_waits_shows_that_its_service_sends_spans(self, ledger: Ledger, clock: Clock) -> None:
        """Its token metrics are of the same calls."""
        ledger.commit([proxied("proxy")])
        assert ledger.query("SELECT service FROM span_services") == [(GATEWAY,)]


def test_a_task_s_cost_is_told_when_all_its_calls_are_decided(ledger: Ledger, clock: Clock) -> None:
    """Its only sightings of calls are the gateway's."""
    ledger.commit([proxied("proxy", "agent"), run("agent")])
    for clock.now in (11, 12, 13):
        ledger.settle()
    assert Tally().take(ledger).of(agents.TASK_COST) == {}
    clock.now = 16
    ledger.settle()
    clock.now = 30
    ledger.settle()
    [cost] = Tally().take(ledger).of(agents.TASK_COST).values()
    assert cost == 110 * 2_500


def test_a_failed_commit_leaves_nothing_waiting(ledger: Ledger, clock: Clock) -> None:
    with pytest.raises(OverflowError):
        ledger.commit([proxied("proxy"), sized("inner", "outer"), sized("outer", "", 1, 4, duration=1 << 70)])
    assert kinds(ledger) == {}
    clock.now = 16
    assert ledger.settle().calls == 0
    ledger.commit([sized("outer", tokens=7)])
    assert billed(ledger) == {"triage": 7}


def test_a_trace_sent_again_long_after_it_was_forgotten_is_billed_once(ledger: Ledger, clock: Clock) -> None:
    """Its rows are kept for a day, the keys of counted calls for as long as the calls."""
    trace = [sized("inner", "outer"), sized("outer", tokens=999)]
    ledger.commit(trace)
    clock.now = KEPT / 10**9 + 1
    ledger.prune()
    assert kinds(ledger) == {}
    ledger.commit(trace[:1])
    ledger.commit(trace[1:])
    assert billed(ledger) == {"triage": 110}
    assert ledger.duplicates() == {"enclosing": 2, "resent": 1}


def test_trouble_with_the_disk_is_told_as_such(ledger: Ledger) -> None:
    ledger._db.close()
    with pytest.raises(LedgerError):
        ledger.settle()
