"""Whatever a tree of calls is made of and however its spans come: its tokens are billed once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwatch.ledger import Ledger, waiting
from fleetwatch.ledger.store import Record
from fleetwatch.records.llm import LlmCall, Tokens
from support_ledger import BOOK
from support_tasks import T0, Clock, llm, run, step, tool


class Grove:
    """A random tree in one trace. Calls may enclose calls; `told` is what a wrapper says of its own tokens.

    records: children before parents, as one process sends them. true: tokens of the innermost calls.
    """

    def __init__(self, seed: int, *, honest: bool) -> None:
        self._random = random.Random(seed)
        self._honest = honest
        self._number = 0
        self.records: list[Record] = []
        self.true = 0
        self.doubled = 0
        """Sightings that do not count."""
        for start in range(0, 90, 30):
            self._plant("", start, start + 30, depth=0)

    def _plant(self, parent: str, start: float, end: float, *, depth: int) -> int:
        """Adds one span with all inside it; returns the tokens inside that whoever is around may claim as its own."""
        self._number += 1
        name = f"s{self._number}"
        kind = self._random.choice(["llm", "llm", "llm", "step", "step", "agent", "tool"])
        inside, sightings = 0, len(self._calls())
        for _ in range(self._random.randint(0, 3) if depth < 5 else 0):
            begin = self._random.uniform(start, end)
            inside += self._plant(name, begin, self._random.uniform(begin, end), depth=depth + 1)
        if kind == "llm":
            return self._call(name, parent, start, end, inside=inside, holds=len(self._calls()) > sightings)
        if kind == "step":
            self.records.append(step(name, parent, start, end))
            return inside
        make = run if kind == "agent" else tool
        self.records.append(make(name, parent, start, end))
        return 0

    def _calls(self) -> list[LlmCall]:
        return [record for record in self.records if isinstance(record, LlmCall)]

    def _call(self, name: str, parent: str, start: float, end: float, *, inside: int, holds: bool) -> int:
        if holds and inside:
            told = inside if self._honest else self._random.randint(0, inside)
            self.records.append(llm(name, parent, start, end, tokens=Tokens(input=told)))
            self.doubled += 1
            return inside
        tokens = self._random.randint(1, 1000)
        self.true += tokens
        self.records.append(llm(name, parent, start, end, tokens=Tokens(input=tokens)))
        if self._random.random() < 0.3:
            # Another instrumentation around it, which tells of the same response.
            twin = self.records[-1]
            assert isinstance(twin, LlmCall)
            outer = llm(f"{name}o", parent, start, end, tokens=Tokens(input=tokens), key=b"response" + twin.span[-8:])
            self.records[-1] = twin._replace(key=outer.key, parent=outer.span[16:])
            self.records.append(outer)
            self.doubled += 1
        return tokens


def billed(ledger: Ledger) -> tuple[int, int]:
    """Requests and tokens."""
    ledger.take()
    sums = [total.sums for _, total in ledger.totals()]
    return sum(item[0] for item in sums), sum(item[2] for item in sums)


def sent(path: Path, records: Sequence[Record], cuts: Sequence[int], reopened: frozenset[int]) -> Ledger:
    """A ledger that got the records in groups, with restarts after some, and some time after."""
    clock = Clock()
    ledger = Ledger(path, BOOK, clock=clock)
    for number, (start, end) in enumerate(pairwise([0, *sorted(cuts), len(records)])):
        ledger.commit(records[start:end])
        if number in reopened:
            ledger.close()
            ledger = Ledger(path, BOOK, clock=clock)
    clock.now = 60
    ledger.settle()
    return ledger


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    reopened=st.frozensets(st.integers(0, 8), max_size=2),
)
def test_where_children_come_first_the_innermost_calls_are_billed(
    seed: int, cuts: list[int], reopened: frozenset[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also where a wrapper sums up only part of what went on inside it, and in any grouping."""
    grove = Grove(seed, honest=False)
    path = tmp_path_factory.mktemp("grove") / "ledger.db"
    ledger = sent(path, grove.records, [min(cut, len(grove.records)) for cut in cuts], reopened)
    calls = sum(isinstance(record, LlmCall) for record in grove.records)
    assert billed(ledger) == (calls - grove.doubled, grove.true)
    assert sum(ledger.duplicates().values()) == grove.doubled
    ledger.close()


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    reopened=st.frozensets(st.integers(0, 8), max_size=2),
    honest=st.booleans(),
)
def test_in_any_order_no_token_is_billed_twice(
    seed: int, cuts: list[int], reopened: frozenset[int], honest: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Where wrappers sum up all that went on inside them, none is lost either."""
    grove = Grove(seed, honest=honest)
    random.Random(seed + 1).shuffle(grove.records)
    path = tmp_path_factory.mktemp("grove") / "ledger.db"
    ledger = sent(path, grove.records, [min(cut, len(grove.records)) for cut in cuts], reopened)
    requests, tokens = billed(ledger)
    calls = sum(isinstance(record, LlmCall) for record in grove.records)
    assert requests + sum(ledger.duplicates().values()) == calls
    assert tokens <= grove.true
    if honest:
        assert tokens == grove.true
    ledger.close()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 60), max_size=8), data=st.data())
def test_what_is_sent_again_is_billed_once(
    seed: int, cuts: list[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    grove = Grove(seed, honest=False)
    records = list(grove.records)
    for _ in range(data.draw(st.integers(1, 4), label="times")):
        start = data.draw(st.integers(0, len(records)), label="from")
        records += grove.records[start : start + 10]
    path = tmp_path_factory.mktemp("grove") / "ledger.db"
    ledger = sent(path, records, [min(cut, len(records)) for cut in cuts], frozenset())
    assert billed(ledger)[1] == grove.true
    ledger.close()


def test_the_groves_are_worth_their_name() -> None:
    """The properties above are about something: calls in calls, twins, and all kinds between."""
    groves = [Grove(seed, honest=False) for seed in range(100)]
    assert sum(grove.doubled for grove in groves) > 200
    kinds = {type(record).__name__ for grove in groves for record in grove.records}
    assert kinds == {"LlmCall", "Step", "AgentRun", "ToolCall"}
    assert max(len(grove.records) for grove in groves) > 40
    assert all(record.at >= T0 for grove in groves for record in grove.records if isinstance(record, LlmCall))


def test_of_very_many_that_wait_in_one_trace_each_is_billed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first few are looked at again before their time is over."""
    monkeypatch.setattr(waiting, "MOST_EARLY", 3)
    calls: list[Record] = [llm(f"c{number}", f"s{number}", 1, 2, tokens=Tokens(input=1)) for number in range(50)]
    steps = [step(f"s{number}", "outer", 1, 2) for number in range(50)]
    outer = llm("outer", "", 0, 3, tokens=Tokens(input=50))
    clock = Clock()
    ledger = Ledger(tmp_path / "ledger.db", BOOK, clock=clock)
    assert ledger.commit([*calls, outer]).calls == 1
    for each in steps:
        ledger.commit([each])
    clock.now = 16
    ledger.settle()
    assert billed(ledger) == (50, 50)
    assert ledger.duplicates() == {"enclosing": 1}
    assert ledger.query("SELECT count(*) FROM calls_waiting") == [(0,)]
    ledger.close()
