"""Spans of agents' work for tests. Spans and traces go by short names, times are seconds after T0."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fleetwatch.catalogue.metric import Metric
from fleetwatch.ledger import Ledger
from fleetwatch.reckon.span_tree import AGENT, CALL, STEP, TOOL, Span
from fleetwatch.records.agents import AgentRun, Step, ToolCall
from fleetwatch.records.llm import LlmCall, Tokens

SECOND = 10**9
T0 = 1_790_000_000 * SECOND


def at(seconds: float) -> int:
    """Unix nanoseconds."""
    return T0 + round(seconds * SECOND)


def span_id(name: str) -> bytes:
    """8 bytes; empty for no name."""
    return name.encode().ljust(8, b".") if name else b""


def trace_id(name: str) -> bytes:
    return name.encode().ljust(16, b"-")


def run(name: str, parent: str = "", start: float = 0, end: float = 10, *, trace: str = "t", **fields: Any) -> AgentRun:
    values: dict[str, Any] = {"agent": "triage", "team": "support", "outcome": "ok", "exit_reason": "completed"}
    identity = trace_id(trace) + span_id(name)
    return AgentRun(identity, span_id(parent), at(start), at(end), **(values | fields))


def tool(name: str, parent: str = "", start: float = 1, end: float = 2, *, trace: str = "t", **fields: Any) -> ToolCall:
    values: dict[str, Any] = {
        "agent": "triage",
        "team": "support",
        "tool": "search",
        "outcome": "ok",
        "error_type": "",
    }
    identity = trace_id(trace) + span_id(name)
    return ToolCall(identity, span_id(parent), at(start), at(end), **(values | fields))


def step(name: str, parent: str = "", start: float = 0, end: float = 10, *, trace: str = "t") -> Step:
    return Step(trace_id(trace) + span_id(name), span_id(parent), at(start), at(end))


def llm(name: str, parent: str = "", start: float = 1, end: float = 2, *, trace: str = "t", **fields: Any) -> LlmCall:
    """A chat of gpt-4o with 100 input and 10 output tokens."""
    identity = trace_id(trace) + span_id(name)
    values: dict[str, Any] = {
        "key": identity,
        "span": identity,
        "at": at(end),
        "agent": "triage",
        "team": "support",
        "provider": "openai",
        "model": "gpt-4o",
        "operation": "chat",
        "outcome": "ok",
        "error_type": "",
        "tokens": Tokens(input=100, output=10),
        "duration": at(end) - at(start),
        "first_token": None,
        "parent": span_id(parent),
    }
    return LlmCall(**(values | fields))


def node(item: AgentRun | ToolCall | Step | LlmCall, seen: float = 0, **fields: Any) -> Span:
    """The record as reckon sees it. A call costs 1,000 nano-USD."""
    name, parent = item.span[16:], item.parent
    if isinstance(item, LlmCall):
        start = item.at - (item.duration or 0)
        span = Span(name, parent, CALL, start, item.at, at(seen), item.agent, "", "", "", 0)
        span = span._replace(requests=1, cost=1000, provider=item.provider, model=item.model)
    elif isinstance(item, AgentRun):
        span = Span(name, parent, AGENT, item.start, item.at, at(seen), item.agent, item.team, "", item.outcome, 0)
    elif isinstance(item, ToolCall):
        call_id = int.from_bytes(item.call_id, "big", signed=True)
        words = (item.agent, item.team, item.tool, item.outcome)
        span = Span(name, parent, TOOL, item.start, item.at, at(seen), *words, 0, call_id)
    else:
        span = Span(name, parent, STEP, item.start, item.at, at(seen), "", "", "", "", 0)
    return span._replace(**fields)


_names = st.sampled_from(["", "a", "b", "c", "d", "e", "f", "x", "y"])
_times = st.integers(0, 12)


@st.composite
def soups(draw: st.DrawFn) -> list[Span]:
    """Spans with any parents: rings, gaps, parallel work."""
    spans = []
    for name in ("a", "b", "c", "d", "e", "f"):
        start, length = draw(_times), draw(_times)
        make = draw(st.sampled_from([run, tool, step, llm]))
        agent = {} if make is step else {"agent": draw(st.sampled_from(["triage", "writer"]))}
        spans.append(node(make(name, draw(_names), start, start + length, **agent)))  # type: ignore[operator]
    return spans


class Clock:
    """Stands still unless it is moved; seconds after T0."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> int:
        return at(self.now)


class Tally:
    """What a ledger counted, as a meter would sum it up: (Prometheus name, labels) -> amount, or (amount, buckets)."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, ...], int | tuple[int, list[int]]] = {}

    def take(self, ledger: Ledger) -> Tally:
        """Add what is new."""
        for metric, labels, amount, buckets in ledger.counts():
            key = (metric.prometheus, *labels)
            before = self.counts.get(key)
            if buckets is None:
                assert not isinstance(before, tuple)
                self.counts[key] = (before or 0) + amount
            else:
                total, counts = before if isinstance(before, tuple) else (0, [0] * len(buckets))
                self.counts[key] = (total + amount, [old + new for old, new in zip(counts, buckets, strict=True)])
        return self

    def of(self, metric: Metric) -> dict[tuple[str, ...], int]:
        """Labels -> amount, of a histogram its sum; without series that are 0."""
        found = {}
        for (name, *labels), value in self.counts.items():
            amount = value[0] if isinstance(value, tuple) else value
            if name == metric.prometheus and amount:
                found[tuple(labels)] = amount
        return found

    def number(self, metric: Metric, *labels: str) -> int:
        """How many values a histogram's series holds."""
        value = self.counts.get((metric.prometheus, *labels), (0, [0]))
        assert isinstance(value, tuple)
        return sum(value[1])
