"""What real senders send becomes the same records behind the shipped Collector: it drops nothing that is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.dialects import Translation, translate_logs, translate_metrics, translate_traces
from fleetwatch.dialects.otel_agents import ARGUMENTS
from fleetwatch.receive.body import from_json
from fleetwatch.records.agents import ToolCall
from support import wait_for
from support_collector import Gateway
from support_genai import DIALECTS, lines
from support_otlp import NOW, span, traces_of
from support_stack import OtlpSink, otlp_sink

pytestmark = pytest.mark.stack

Request = ExportTraceServiceRequest | ExportMetricsServiceRequest | ExportLogsServiceRequest
SIGNALS: dict[str, tuple[str, type[Request]]] = {
    "resourceSpans": ("traces", ExportTraceServiceRequest),
    "resourceMetrics": ("metrics", ExportMetricsServiceRequest),
    "resourceLogs": ("logs", ExportLogsServiceRequest),
}
FILES = sorted(
    str(file.relative_to(DIALECTS))
    for kind in ("*.json", "*.jsonl")
    for file in DIALECTS.rglob(kind)
    if file.stem != "truth"
)


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, OtlpSink]]:
    with otlp_sink() as sink:
        gateway = Gateway(Path(tmp_path_factory.mktemp("gateway")), f"127.0.0.1:{sink.port}")
        with gateway.up():
            yield gateway, sink


def requests(name: str) -> Iterator[tuple[str, Request]]:
    """The requests of a fixture and their signals: a file has one, or one in each line."""
    text = (DIALECTS / name).read_text(encoding="utf-8")
    for part in text.splitlines() if name.endswith(".jsonl") else [text]:
        found = json.loads(part)
        for key, (signal, kind) in SIGNALS.items():
            if key in found:
                yield signal, from_json(part.encode(), kind)


def translated(request: Request) -> Translation:
    if isinstance(request, ExportLogsServiceRequest):
        return translate_logs(request, NOW)
    if isinstance(request, ExportMetricsServiceRequest):
        return translate_metrics(request, NOW)
    return translate_traces(request, NOW)


@pytest.mark.parametrize("name", FILES)
def test_records_are_the_same_behind_the_collector(way: tuple[Gateway, OtlpSink], name: str) -> None:
    """Digests are others there, but equal where they are equal here."""
    gateway, sink = way
    for signal, sent in requests(name):
        seen = len(sink.requests)
        assert gateway.send(signal, sent.SerializeToString()) == 200
        wait_for(lambda: len(sink.requests) > seen, 10, f"{name} behind the Collector")  # noqa: B023 - called at once
        came = sink.requests[seen]
        assert isinstance(came, Request)
        assert "sunny" not in str(came)
        assert "Paris" not in str(came)
        assert "a-person" not in str(came)
        assert "git.example.com" not in str(came)
        assert lines(translated(came)) == lines(translated(sent))


def test_equal_arguments_are_equal_behind_the_collector_however_they_are_written(
    way: tuple[Gateway, OtlpSink],
) -> None:
    gateway, sink = way
    names = [f"key{number}" for number in range(9)]
    turned = [names[turn:] + names[:turn] for turn in range(9)]
    same = [json.dumps({name: {"b": 1, "a": name} for name in order}, indent=len(order[0])) for order in turned]
    others = ['{"key0": 4}', '{"key0": 5}', '{"key0": ', "key0", "[4]"]
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup"}
    spans = [span(tool | {ARGUMENTS: text}, span_id=bytes([*b"1234567", n])) for n, text in enumerate(same + others)]
    seen = len(sink.requests)
    assert gateway.send("traces", traces_of(spans).SerializeToString()) == 200
    wait_for(lambda: len(sink.requests) > seen, 10, "the spans behind the Collector")
    came = sink.requests[seen]
    assert isinstance(came, ExportTraceServiceRequest)
    assert "key0" not in str(came)
    digests = [record.arguments for record in translate_traces(came, NOW).records if isinstance(record, ToolCall)]
    assert len(set(digests[: len(same)])) == 1
    assert len(set(digests)) == 1 + len(others)
