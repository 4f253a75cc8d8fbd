"""Agents' work as OTLP for tests of exactness, and its truth: traces of agents, tools, steps, calls, evaluations."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.catalogue import agents, llm
from support_house import House, nano
from support_otlp import key_values, span, traces_of
from support_program import Series, labels

COST = 350_000
"""Of one call, nano-USD: 100 input and 10 output tokens of gpt-4o."""
_USED = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
_MODEL = "gpt-4o-2024-08-06"
_SECOND = 10**9

COUNTED = {
    metric.prometheus
    for metric in (agents.TASKS, agents.TOOL_CALLS, agents.EDGE_REQUESTS, agents.EVALUATIONS, agents.MODEL_TASKS)
} | {llm.REQUESTS.prometheus}
MONEY = {metric.prometheus for metric in (agents.TASK_SPENT, agents.MODEL_TASK_SPENT, llm.COST)}
PER_TASK = {metric.prometheus for metric in (agents.TASK_COST, agents.TASK_LLM_CALLS, agents.TASK_TOOL_CALLS)}
"""Histograms; the truth is of their sums."""


class Work:
    """Random traces that ended just now, and what is to be counted of all of them. Money is nano-USD."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._spans: list[Span] = []
        self._trace = b""
        self.truth: Counter[tuple[str, Series]] = Counter()

    def bodies(self, traces: int) -> Iterator[bytes]:
        """The spans of so many traces as requests: children first, traces mixed, cut anywhere."""
        queues = [self._make() for _ in range(traces)]
        mixed: list[Span] = []
        while queues:
            queue = self._random.choice(queues)
            mixed.append(queue.pop(0))
            queues = [queue for queue in queues if queue]
        while mixed:
            size = self._random.randint(1, 40)
            yield traces_of(mixed[:size], {"service.name": "planner", "team": "support"}).SerializeToString()
            del mixed[:size]

    def _make(self) -> list[Span]:
        self._trace = self._random.randbytes(16)
        self._spans = []
        end = time.time_ns()
        calls, _ = self._run("planner", b"", end - 60 * _SECOND, end, caller="", depth=0)
        if calls:
            cost = calls * COST
            share = {"provider": "openai", "model": _MODEL, "outcome": "ok"}
            self._add(agents.MODEL_TASKS.prometheus, 1, **share)
            self._add(agents.MODEL_TASK_SPENT.prometheus, cost, **share)
            self._add(agents.TASK_SPENT.prometheus, cost, agent="planner", team="support", outcome="ok")
        return self._spans

    def _run(self, agent: str, parent: bytes, start: int, end: int, *, caller: str, depth: int) -> tuple[int, int]:
        """LLM and tool calls of one run, with all inside it."""
        own = self._random.randbytes(8)
        calls = tools = 0
        items = self._random.randint(1, 4)
        width = (end - start) // (items + 1)
        for number in range(items):
            begin = start + number * width + width // 8
            stop = begin + width // 2
            kind = self._random.choice(["llm", "llm", "tool", "step", "agent"] if depth < 3 else ["llm"])
            if kind == "llm":
                calls += self._llm(agent, own, begin, stop)
            elif kind == "step":
                step = self._random.randbytes(8)
                calls += self._llm(agent, step, begin, stop)
                self._span("plan", {"gen_ai.operation.name": "plan"}, step, own, begin, stop)
            elif kind == "tool":
                tools += 1
                self._tool(agent, own, begin, stop)
            else:
                other = self._random.choice([name for name in ("planner", "writer", "critic") if name != agent])
                inner = self._run(other, own, begin, stop, caller=agent, depth=depth + 1)
                calls, tools = calls + inner[0], tools + inner[1]
        self._agent(agent, own, parent, start, end, caller=caller)
        self._add(agents.TASK_COST.prometheus, calls * COST, agent=agent)
        self._add(agents.TASK_LLM_CALLS.prometheus, calls, agent=agent)
        self._add(agents.TASK_TOOL_CALLS.prometheus, tools, agent=agent)
        return calls, tools

    def _agent(self, agent: str, own: bytes, parent: bytes, start: int, end: int, *, caller: str) -> None:
        self._span(f"invoke_agent {agent}", {"gen_ai.operation.name": "invoke_agent"}, own, parent, start, end, agent)
        self._add(agents.TASKS.prometheus, 1, agent=agent, outcome="ok", exit_reason="completed")
        if caller:
            self._edge(caller, agent, "agent")

    def _llm(self, agent: str, parent: bytes, start: int, end: int) -> int:
        """A call; some are seen by two instrumentations, some are evaluated."""
        own = self._random.randbytes(8)
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", **_USED}
        attributes |= {"gen_ai.response.model": _MODEL}
        if self._random.random() < 0.5:
            attributes["gen_ai.response.id"] = f"response-{self._random.getrandbits(64)}"
        made = self._span("chat gpt-4o", attributes, own, parent, start, end, agent)
        if self._random.random() < 0.3:
            result = {"gen_ai.evaluation.name": "quality", "gen_ai.evaluation.score.label": "pass"}
            made.events.add(name="gen_ai.evaluation.result", time_unix_nano=end, attributes=key_values(result))
            told = {"agent": agent, "model": _MODEL, "evaluation": "quality", "verdict": "pass"}
            self._add(agents.EVALUATIONS.prometheus, 1, **told)
        if self._random.random() < 0.2:
            outer = self._random.randbytes(8)
            made.parent_span_id = outer
            self._span("chat gpt-4o", attributes, outer, parent, start, end, agent)
        who = {"agent": agent, "team": "support", "provider": "openai", "model": _MODEL}
        self._add(llm.REQUESTS.prometheus, 1, **who, operation="chat", outcome="ok")
        self._add(llm.COST.prometheus, COST, **who, confidence="priced")
        self._edge(agent, "openai", "model")
        return 1

    def _tool(self, agent: str, parent: bytes, start: int, end: int) -> None:
        own, tool = self._random.randbytes(8), self._random.choice(["search", "read"])
        attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
        self._span(f"execute_tool {tool}", attributes, own, parent, start, end, agent)
        self._add(agents.TOOL_CALLS.prometheus, 1, agent=agent, tool=tool, outcome="ok")
        self._edge(agent, tool, "tool")

    def _edge(self, source: str, target: str, kind: str) -> None:
        self._add(agents.EDGE_REQUESTS.prometheus, 1, source=source, target=target, kind=kind, outcome="ok")

    def _add(self, name: str, amount: int, **told: str) -> None:
        self.truth[name, labels(**told)] += amount

    def _span(  # noqa: PLR0917 - what is inside comes in the order of a span's own fields
        self,
        name: str,
        attributes: Mapping[str, Any],
        own: bytes,
        parent: bytes,
        start: int,
        end: int,
        agent: str = "",
    ) -> Span:
        times = {"start_time_unix_nano": start, "end_time_unix_nano": end}
        told = {**attributes, **({"gen_ai.agent.name": agent} if agent else {})}
        self._spans.append(span(told, name=name, trace_id=self._trace, span_id=own, parent_span_id=parent, **times))
        return self._spans[-1]


def shown(house: House) -> Counter[tuple[str, Series]]:
    """The same figures as /metrics has them."""
    found: Counter[tuple[str, Series]] = Counter()
    for name in COUNTED | MONEY:
        for series, value in house.metrics(name).items():
            found[name, series] += nano(value) if name in MONEY else round(value)
    for name in PER_TASK:
        for series, value in house.metrics(f"{name}_sum").items():
            found[name, series] += nano(value) if name == agents.TASK_COST.prometheus else round(value)
    return +found
