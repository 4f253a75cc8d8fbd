"""Real senders of OpenTelemetry's vocabulary in, exposition out. `pytest --update-golden` rewrites the files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.app.books import Books
from fleetwatch.app.prices import price_book
from fleetwatch.dialects import Record, translate_logs, translate_traces
from fleetwatch.meter.text import exposition
from fleetwatch.settings import from_dict
from support_genai import captured

SENDERS = {
    # golden: requests of one sender, in the order in which they come
    "openai-agents": ["openai-agents-logs", "openai-agents-spans"],
    "openai-unsampled": ["openai-unsampled-logs"],
    "langchain": ["langchain-spans"],
    "google-adk": ["google-adk-spans"],
    "strands": ["strands-spans"],
    "agent-framework": ["agent-framework-spans"],
    "mcp": ["mcp-spans"],
    "anthropic": ["anthropic-spans"],
    "bedrock-genai": ["bedrock-genai-spans"],
    "bedrock-botocore": ["bedrock-botocore-spans"],
}
SHOWN = (
    "llm_requests_total",
    "llm_tokens_total",
    "llm_cost_usd_total",
    "llm_duplicate_calls_total",
    "agent_",
    "topology_",
)


def records(name: str) -> list[Record]:
    if name.endswith("-logs"):
        return translate_logs(captured(f"otel/{name}", ExportLogsServiceRequest)).records
    return translate_traces(captured(f"otel/{name}", ExportTraceServiceRequest)).records


def shown(folder: Path, requests: list[str]) -> list[str]:
    """Lines that say something of calls and agents when all has been settled."""
    settings = from_dict(
        {
            "data_dir": folder,
            "web": {"scrape_interval": 0.000001},  # so that no series is held at 0 for the first scrapes
            "receive": {"proxy_grace": 1.5},  # seconds that an event waits for its span
            "agents": {"trace_grace": 0.001, "trace_quiet": 0.002},
        }
    )
    books = Books(settings, price_book(settings))
    books.writer.open()
    ledger = books.writer.ledger
    assert ledger is not None
    for request in requests:
        ledger.commit(records(request))  # type: ignore[arg-type]  # no heartbeats and reports of hosts among them
    deadline = time.monotonic() + 10
    while ledger.query("SELECT 1 FROM calls_waiting") or ledger.query("SELECT 1 FROM traces_open WHERE due > 0"):
        assert time.monotonic() < deadline
        ledger.settle()
    books.refresh()
    books.checkpoint()
    exposition(books.meter, openmetrics=False)
    lines = exposition(books.meter, openmetrics=False).splitlines()
    books.writer.close()
    # Sorted: a series comes when it is first settled.
    return sorted(
        line for line in lines if line.startswith(SHOWN) and "_bucket{" not in line and not line.endswith(" 0")
    )


@pytest.mark.parametrize("name", SENDERS)
def test_what_a_real_sender_s_requests_become(name: str, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    golden(f"senders/{name}.prom", "\n".join(shown(tmp_path, SENDERS[name])) + "\n")


def test_an_event_gives_way_to_its_span_whichever_comes_first(tmp_path: Path) -> None:
    """Ten answered calls, each told by an event and a span."""
    events_first = shown(tmp_path / "1", SENDERS["openai-agents"])
    assert shown(tmp_path / "2", SENDERS["openai-agents"][::-1]) == events_first
    assert 'llm_duplicate_calls_total{reason="other_instrumentation"} 10' in events_first


def test_the_same_requests_again_change_no_figure(tmp_path: Path) -> None:
    def figures(name: str, times: int) -> list[str]:
        lines = shown(tmp_path / f"{name}{times}", SENDERS[name] * times)
        return [line for line in lines if not line.startswith("llm_duplicate_calls_total")]

    for name in SENDERS:
        assert figures(name, 2) == figures(name, 1)
