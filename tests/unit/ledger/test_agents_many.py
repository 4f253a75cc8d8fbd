"""A fleet of agents: the series stay within their bounds, the sums stay exact, and settling keeps up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fleetwatch.catalogue import agents
from fleetwatch.catalogue.metric import OTHER, metrics_of
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.agents import LEAST_AT_ONCE
from fleetwatch.ledger.store import Record
from fleetwatch.meter import Meter
from fleetwatch.settings import Settings
from support_ledger import BOOK, COST
from support_tasks import SECOND, Clock, Tally, llm, run, tool

AGENTS = 5_000
TRACES = 25_000
"""Each of two tasks: one of an agent, one of its sub-agent."""


def fleet() -> Iterator[list[Record]]:
    """Requests of 500 traces. Agents come in an order in which all of them are seen within the first 5,000 traces."""
    for first in range(0, TRACES, 500):
        group: list[Record] = []
        for number in range(first, first + 500):
            trace, agent = f"t{number}", f"agent{number % AGENTS}"
            if number % 5 == 0:
                group.append(tool("tool", "inner", 1, 2, trace=trace, agent="helper", tool=f"tool{number % 1000}"))
            group.append(llm("call", "inner", 2, 3, trace=trace, agent="helper"))
            group.append(run("inner", "outer", 1, 3, trace=trace, agent="helper"))
            group.append(
                run("outer", "", 0, 4, trace=trace, agent=agent, outcome="error" if number % 10 == 0 else "ok")
            )
        yield group


def test_five_thousand_agents_and_fifty_thousand_tasks(tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger(tmp_path / "ledger.db", BOOK, clock=clock)
    for group in fleet():
        ledger.commit(group)
    clock.now = 20
    looks = 0
    while ledger.query("SELECT 1 FROM traces_open WHERE due > 0 LIMIT 1"):
        ledger.settle()
        looks += 1
    assert looks <= TRACES / LEAST_AT_ONCE
    tally = Tally().take(ledger)
    ledger.close()

    tasks = tally.of(agents.TASKS)
    assert sum(tasks.values()) == 2 * TRACES
    assert sum(count for (_, outcome, _), count in tasks.items() if outcome == "error") == TRACES / 10
    assert tasks["helper", "ok", "completed"] == TRACES
    assert sum(tally.of(agents.TASK_COST).values()) == 2 * TRACES * COST
    assert tally.of(agents.TASK_COST)["helper",] == TRACES * COST
    assert sum(tally.of(agents.TASK_SPENT).values()) == TRACES * COST
    assert sum(tally.of(agents.TASK_LLM_CALLS).values()) == 2 * TRACES * SECOND
    assert sum(tally.of(agents.TASK_TOOL_CALLS).values()) == 2 * (TRACES // 5) * SECOND
    assert sum(tally.of(agents.TOOL_CALLS).values()) == TRACES // 5
    edges = tally.of(agents.EDGE_REQUESTS)
    by_kind = {kind: sum(count for labels, count in edges.items() if labels[2] == kind) for kind in ("agent", "model")}
    assert by_kind == {"agent": TRACES, "model": TRACES}
    one = tally.of(agents.TASK_DURATION)
    assert one["agent0",] == TRACES // AGENTS * 4 * SECOND
    assert one[OTHER,] == (TRACES - TRACES // AGENTS * (agents.AGENT.at_most - 1)) * 4 * SECOND

    for metric in (metric for metric in metrics_of(agents) if metric.durable):
        series = [labels for name, *labels in tally.counts if name == metric.prometheus]
        for place, label in enumerate(metric.labels):
            assert len({labels[place] for labels in series}) <= label.at_most + 1
    meter = Meter()
    for metric in (metric for metric in metrics_of(agents) if metric.durable):
        for name, *given in tally.counts:
            if name == metric.prometheus and metric.kind == "histogram":
                meter.merge(metric, tuple(given), [0] * (len(metric.buckets) + 1), 0)
            elif name == metric.prometheus:
                meter.add(metric, tuple(given), 0)
    assert 10_000 < len(meter) < Settings().labels.max_series / 3
