"""Whatever comes in whatever order, grouping and number, and whenever the process dies: every number is exact."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwatch.catalogue import agents
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.store import Record
from fleetwatch.records.agents import AgentRun, Step, ToolCall
from fleetwatch.records.llm import LlmCall
from support_deaths import Deaths, groups
from support_ledger import BOOK, COST
from support_tasks import SECOND, Clock, Tally, llm, run, step, tool


class Truth:
    """What is counted of a forest, told by whoever planted it."""

    def __init__(self) -> None:
        self.tasks: Counter[tuple[str, ...]] = Counter()
        self.tools: Counter[tuple[str, ...]] = Counter()
        self.edges: Counter[tuple[str, ...]] = Counter()
        self.cost: Counter[tuple[str, ...]] = Counter()
        self.calls: Counter[tuple[str, ...]] = Counter()
        self.tool_calls: Counter[tuple[str, ...]] = Counter()
        self.spent: Counter[tuple[str, ...]] = Counter()
        self.model_tasks = 0

    def check(self, tally: Tally) -> None:
        """Compare all of it; costs in nano-USD, numbers of calls in billionths as histograms have them."""
        assert tally.of(agents.TASKS) == self.tasks
        assert tally.of(agents.TOOL_CALLS) == self.tools
        assert tally.of(agents.EDGE_REQUESTS) == self.edges
        assert tally.of(agents.TASK_COST) == self.cost
        assert tally.of(agents.TASK_LLM_CALLS) == {agent: calls * SECOND for agent, calls in self.calls.items()}
        assert tally.of(agents.TASK_TOOL_CALLS) == {agent: calls * SECOND for agent, calls in self.tool_calls.items()}
        assert tally.of(agents.TASK_SPENT) == self.spent
        assert sum(tally.of(agents.MODEL_TASK_SPENT).values()) == sum(self.spent.values())
        assert sum(tally.of(agents.MODEL_TASKS).values()) == self.model_tasks


class Planter:
    """Makes a random forest: children before their parents, as one process sends them, and the truth of it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0
        self.records: list[AgentRun | ToolCall | Step | LlmCall] = []
        self.truth = Truth()
        for number in range(self._random.randint(1, 3)):
            self._trace = f"trace{number}"
            sums = self._run("", 0, 1000, caller="", depth=0)
            self.truth.model_tasks += sums["calls"] > 0

    def _name(self) -> str:
        self._number += 1
        return f"s{self._number}"

    def _times(self, start: float, end: float) -> tuple[float, float]:
        return start + 0.1, start + 0.1 + (end - start - 0.2) * self._random.uniform(0.3, 1)

    def _run(self, parent: str, start: float, end: float, *, caller: str, depth: int) -> Counter[str]:
        # A run directly inside one of the same agent would be the same task.
        agent = self._random.choice([name for name in ("planner", "writer", "critic") if name != caller])
        fields: dict[str, Any] = {"agent": agent, "outcome": self._random.choice(["ok", "error"]), "trace": self._trace}
        name = self._name()
        inside = name
        if self._random.random() < 0.3:
            inside = self._name()
        sums = self._children(inside, start, end, agent, depth)
        if inside != name:
            self.records.append(run(inside, name, start, end, **fields))
        self.records.append(run(name, parent, start, end, **fields))
        truth = self.truth
        truth.tasks[agent, fields["outcome"], "completed"] += 1
        if caller:
            truth.edges[caller, agent, "agent", fields["outcome"]] += 1
        for sum_of, counts in (("cost", truth.cost), ("calls", truth.calls), ("tools", truth.tool_calls)):
            if sums[sum_of]:
                counts[agent,] += sums[sum_of]
        if not depth and sums["cost"]:
            truth.spent[agent, "support", fields["outcome"]] += sums["cost"]
        return sums

    def _children(self, parent: str, start: float, end: float, agent: str, depth: int) -> Counter[str]:
        sums: Counter[str] = Counter()
        for _ in range(self._random.randint(0, 3 if depth < 4 else 0)):
            begin, stop = self._times(start, end)
            kind = self._random.choice(["run", "tool", "step", "llm", "llm"])
            if kind == "llm":
                self.records.append(llm(self._name(), parent, begin, stop, agent=agent, trace=self._trace))
                sums.update(calls=1, cost=COST)
                self.truth.edges[agent, "openai", "model", "ok"] += 1
            elif kind == "run":
                sums += self._run(parent, begin, stop, caller=agent, depth=depth + 1)
            elif kind == "step":
                name = self._name()
                sums += self._children(name, begin, stop, agent, depth + 1)
                self.records.append(step(name, parent, begin, stop, trace=self._trace))
            else:
                sums += self._tool(parent, begin, stop, agent, depth)
        return sums

    def _tool(self, parent: str, start: float, end: float, agent: str, depth: int) -> Counter[str]:
        name = self._name()
        fields: dict[str, Any] = {"agent": agent, "tool": name, "trace": self._trace}
        sums = self._children(name, start, end, agent, depth + 1)
        sums["tools"] += 1
        self.records.append(tool(name, parent, start, end, **fields))
        second = self._random.random()
        if second < 0.2:
            self.records[-1] = tool(name, parent, start, end, call_id=name.encode().ljust(8), **fields)
            self.records.append(tool(self._name(), parent, start, end, call_id=name.encode().ljust(8), **fields))
        elif second < 0.4:
            self.records.append(tool(self._name(), name, start, end, **fields))
        self.truth.tools[agent, name, "ok"] += 1
        self.truth.edges[agent, name, "tool", "ok"] += 1
        return sums


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_any_order_grouping_and_resending_gives_the_same_counts(
    seed: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    planter = Planter(seed)
    records: list[Record] = list(planter.records)
    if data.draw(st.booleans(), label="shuffled"):
        random.Random(seed).shuffle(records)
    records += data.draw(st.lists(st.sampled_from(records), max_size=5), label="resent")
    path = tmp_path_factory.mktemp("exact") / "ledger.db"
    clock = Clock()
    with contextlib.ExitStack() as opened:
        ledger = _open(opened, path, clock)
        for group in groups(data, records):
            ledger.commit(group)
            if data.draw(st.booleans(), label="restart"):
                opened.close()
                ledger = _open(opened, path, clock)
        for clock.now in (100, 1000):
            ledger.settle()
        # All is in the file.
        opened.close()
        planter.truth.check(Tally().take(_open(opened, path, clock)))


def _open(opened: contextlib.ExitStack, path: Path, clock: Clock) -> Ledger:
    return opened.enter_context(contextlib.closing(Ledger(path, BOOK, clock=clock)))


def test_the_forests_are_worth_their_name() -> None:
    """The property above is about something: all kinds, nested, seen twice."""
    planted = [Planter(seed) for seed in range(200)]
    kinds = Counter(type(record) for planter in planted for record in planter.records)
    assert min(kinds[kind] for kind in (AgentRun, ToolCall, Step, LlmCall)) > 100
    assert sum(sum(planter.truth.tasks.values()) for planter in planted) < kinds[AgentRun] - 50
    assert sum(sum(planter.truth.tools.values()) for planter in planted) < kinds[ToolCall] - 50
    assert any("tool" in edge for planter in planted for edge in planter.truth.edges)


@pytest.mark.parametrize("seed", range(3))
def test_a_process_that_dies_between_any_two_steps_and_a_sender_that_comes_again_leave_exact_numbers(
    seed: int, tmp_path: Path
) -> None:
    """The steps: every write of counts in every transaction, before and after it, and every commit."""
    planter = Planter(seed)
    path = tmp_path / "ledger.db"
    deaths = Deaths(path)
    clock = Clock()
    steps = 5
    with deaths.around_counts(), contextlib.closing(Ledger(path, BOOK, clock=clock)) as ledger:
        for number in range(steps):
            ledger.commit(planter.records[number::steps])
            deaths.copy()
        for seconds in (10, 40):
            clock.now = seconds
            ledger.settle()
            deaths.copy()
        planter.truth.check(Tally().take(ledger))
    assert len(deaths.copies) > 2 * steps
    for copy in deaths.copies:
        again = Ledger(copy, BOOK, clock=clock)
        clock.now += 5
        again.commit(planter.records)
        for _ in range(2):
            clock.now += 100
            again.settle()
        planter.truth.check(Tally().take(again))
        again.close()
