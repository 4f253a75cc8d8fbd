"""OTLP of real senders in, exposition out: what users see, whole. `pytest --update-golden` rewrites the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.app.books import Books
from fleetwatch.app.prices import price_book
from fleetwatch.dialects import Record, translate_metrics, translate_traces
from fleetwatch.meter.text import exposition
from fleetwatch.records.agents import AgentBeat
from fleetwatch.records.hosts import HostReport
from support_app import settings
from support_otlp import fixture

Golden = Callable[[str, str], None]

SENDERS = {
    # golden: requests of one sender, in the order in which they came
    "openai-genai-spans": ["openai-genai-1.3b0-spans"],
    "openai-genai-metrics-cumulative": [
        "openai-genai-1.3b0-metrics-cumulative-1",
        "openai-genai-1.3b0-metrics-cumulative-2",
    ],
    "openai-genai-metrics-delta": ["openai-genai-1.3b0-metrics-delta-1", "openai-genai-1.3b0-metrics-delta-2"],
    "openai-v2-spans": ["openai-v2-2.1b0-spans"],
    "openai-v2-metrics-cumulative": ["openai-v2-2.1b0-metrics-cumulative-1", "openai-v2-2.1b0-metrics-cumulative-2"],
    "openai-v2-metrics-delta": ["openai-v2-2.1b0-metrics-delta-1", "openai-v2-2.1b0-metrics-delta-2"],
}


@pytest.mark.parametrize("name", SENDERS)
def test_what_a_real_sender_s_requests_become(name: str, tmp_path: Path, golden: Golden) -> None:
    chosen = settings(tmp_path, receive={"usage_metrics": "always"})
    books = Books(chosen, price_book(chosen))
    books.writer.open()
    ledger = books.writer.ledger
    assert ledger is not None
    for request in SENDERS[name]:
        ledger.commit([record for record in _records(request) if not isinstance(record, HostReport | AgentBeat)])
        ledger.settle()
    books.tick()
    shown = [line for line in exposition(books.meter, openmetrics=False).splitlines() if _of_calls(line)]
    books.writer.close()
    golden(f"senders/{name}.prom", "\n".join(shown) + "\n")


def _records(request: str) -> list[Record]:
    if "metrics" in request:
        return translate_metrics(fixture(request, ExportMetricsServiceRequest)).records
    return translate_traces(fixture(request, ExportTraceServiceRequest)).records


def _of_calls(line: str) -> bool:
    """Lines about calls that say something: buckets repeat what the counts say."""
    return line.startswith("llm_") and "_bucket{" not in line and not line.startswith("llm_prices")
