"""Records of agents in, series out; the same after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.app.books import Books
from fleetwatch.app.prices import price_book
from fleetwatch.meter.text import exposition
from fleetwatch.records.agents import AgentRun, Evaluation, ToolCall
from fleetwatch.settings import Settings, from_dict
from support_ledger import COST
from support_llm import call
from support_tasks import SECOND, span_id, trace_id

PRICES = price_book(Settings())

Open = Callable[..., Books]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """`opened(**settings)`: books of the same ledger; those from before are left as a crash leaves them."""
    made: list[Books] = []

    def crash() -> None:
        for books in made:
            books.writer.close()

    def start(**settings: Any) -> Books:
        crash()
        agents = {"trace_grace": 0.001, "trace_quiet": 0.002, **settings.pop("agents", {})}
        given = {"data_dir": tmp_path, "web": {"scrape_interval": 0.000001}, "agents": agents, **settings}
        made.append(Books(from_dict(given), PRICES))
        made[-1].writer.open()
        return made[-1]

    yield start
    crash()


def work(trace: str = "t", agent: str = "triage", outcome: str = "ok") -> list[Any]:
    """A task with one LLM call, one tool call and one evaluation, that ended just now."""
    end = time.time_ns()
    identity, task = trace_id(trace), span_id("task")
    return [
        call(span=identity + span_id("call"), at=end, parent=task, agent=agent, duration=2 * SECOND),
        ToolCall(identity + span_id("tool"), task, end - SECOND, end, agent, "support", "search", "error", "timeout"),
        AgentRun(identity + task, b"", end - 4 * SECOND, end, agent, "support", outcome, "completed"),
        Evaluation(
            identity + span_id("eval"), end, agent, "support", "openai", "gpt-4o", "relevance", 0.75, "pass"
        ),
    ]  # fmt: skip


def commit(books: Books, records: list[Any]) -> None:
    assert books.writer.ledger is not None
    books.writer.ledger.commit(records)


def settle(books: Books) -> None:
    """Tick until nothing is open any more."""
    ledger = books.writer.ledger
    assert ledger is not None
    deadline = time.monotonic() + 10
    while ledger.query("SELECT 1 FROM traces_open WHERE due > 0"):
        assert time.monotonic() < deadline
        books.tick()


def shown(books: Books) -> dict[str, str]:
    """Durable series of agents and of who calls whom, without empty buckets."""
    books.refresh()
    books.checkpoint()
    text = exposition(books.meter, openmetrics=False)
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(("agent_", "topology_"))]
    own = ("agent_last", "agent_loop", "agent_running", "agent_info", "agent_presence", "agent_beats")
    return {name: value for name, value in lines if not name.startswith(own) and "_created" not in name}


def test_what_agents_did_shows(opened: Open) -> None:
    books = opened()
    commit(books, work())
    settle(books)
    found = shown(books)
    assert {name: value for name, value in found.items() if "_bucket" not in name} == {
        'agent_tasks_total{agent="triage",outcome="ok",exit_reason="completed"}': "1",
        'agent_task_duration_seconds_count{agent="triage"}': "1",
        'agent_task_duration_seconds_sum{agent="triage"}': "4",
        'agent_task_cost_usd_count{agent="triage"}': "1",
        'agent_task_cost_usd_sum{agent="triage"}': f"{COST / 1e9:.6g}",
        'agent_task_llm_calls_count{agent="triage"}': "1",
        'agent_task_llm_calls_sum{agent="triage"}': "1",
        'agent_task_tool_calls_count{agent="triage"}': "1",
        'agent_task_tool_calls_sum{agent="triage"}': "1",
        'agent_task_spent_usd_total{agent="triage",team="support",outcome="ok"}': f"{COST / 1e9:.6g}",
        'agent_tool_calls_total{agent="triage",tool="search",outcome="error"}': "1",
        'agent_tool_duration_seconds_count{tool="search"}': "1",
        'agent_tool_duration_seconds_sum{tool="search"}': "1",
        'agent_evaluations_total{agent="triage",model="gpt-4o",evaluation="relevance",verdict="pass"}': "1",
        'agent_evaluation_score_count{agent="triage",model="gpt-4o",evaluation="relevance"}': "1",
        'agent_evaluation_score_sum{agent="triage",model="gpt-4o",evaluation="relevance"}': "0.75",
        'agent_model_tasks_total{provider="openai",model="gpt-4o",outcome="ok"}': "1",
        'agent_model_task_spent_usd_total{provider="openai",model="gpt-4o",outcome="ok"}': f"{COST / 1e9:.6g}",
        'agent_model_tool_calls_total{provider="openai",model="gpt-4o",outcome="ok"}': "1",
        'topology_requests_total{source="triage",target="openai",kind="model",outcome="ok"}': "1",
        'topology_requests_total{source="triage",target="search",kind="tool",outcome="error"}': "1",
        'topology_request_time_seconds_total{source="triage",target="openai",kind="model"}': "2",
        'topology_request_time_seconds_total{source="triage",target="search",kind="tool"}': "1",
    }
    assert found['agent_task_llm_calls_bucket{agent="triage",le="0.0"}'] == "0"
    assert found['agent_task_llm_calls_bucket{agent="triage",le="1.0"}'] == "1"


def test_a_crash_changes_nothing_that_is_shown(opened: Open) -> None:
    books = opened()
    records = [*work("one"), *work("two", "writer", "error")]
    commit(books, records)
    settle(books)
    truth = shown(books)
    books = opened()
    assert shown(books) == truth
    commit(books, records)
    settle(books)
    assert shown(books) == truth


def test_agents_past_the_bound_are_shown_together_and_the_overflow_is_told(opened: Open) -> None:
    books = opened(labels={"limits": {"agent": 2, "source": 2}})
    for number in range(5):
        commit(books, work(f"t{number}", f"agent{number}"))
    settle(books)
    found = shown(books)
    tasks = {name: value for name, value in found.items() if name.startswith("agent_tasks_total")}
    assert tasks == {
        'agent_tasks_total{agent="agent0",outcome="ok",exit_reason="completed"}': "1",
        'agent_tasks_total{agent="agent1",outcome="ok",exit_reason="completed"}': "1",
        'agent_tasks_total{agent="_other",outcome="ok",exit_reason="completed"}': "3",
    }
    text = exposition(books.meter, openmetrics=False)
    assert 'fleetwatch_label_overflow_total{metric="agent_tasks_total",label="agent"} 3' in text
    assert shown(opened(labels={"limits": {"agent": 2, "source": 2}})) == found
