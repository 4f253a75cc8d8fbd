"""The shipped gateway.yaml in the real Collector: what passes, and what survives."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, NumberDataPoint

from support import free_port, wait_for
from support_collector import GATEWAY, Gateway
from support_stack import OtlpSink, get, otlp_sink, program

pytestmark = pytest.mark.stack

CANARY = "canary-7f3a prompt of jane.doe@example.com"


def text(key: str, value: str = CANARY) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def number(key: str, value: int) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(int_value=value))


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with otlp_sink() as server:
        yield server


QUOTED = (
    f'{{"id": {{"note": "{CANARY}"}}, "service_tier": ["{CANARY}"], "note": "{CANARY}", '
    f'"content": "{CANARY}", "tool_call_id": {{"note": "{CANARY}"}}, "model": ["{CANARY}"]}}'
)
TEXTS_OF_OTHERS = {
    # scope: attributes whose texts the dialects of other vocabularies look into, as text and as JSON
    "openinference.instrumentation.langchain": [
        *((key, QUOTED) for key in ("input.value", "output.value", "metadata", "llm.invocation_parameters")),
        ("embedding.invocation_parameters", CANARY),
        ("traceloop.entity.output", QUOTED),
        ("traceloop.entity.input", CANARY),
        ("traceloop.span.kind", "tool"),
    ],
    "openinference.instrumentation.openai": [("metadata", f'{{"lc_agent_name": {{"note": "{CANARY}"}}}}')],
    "pydantic-ai": [
        ("tool_arguments", QUOTED),
        ("tool_response", CANARY),
        ("gen_ai.usage.raw", QUOTED),
        ("final_result", CANARY),
        ("all_messages_json", QUOTED),
    ],
    "litellm": [
        ("metadata.usage_object", f"{{'note': '{CANARY}'}}"),
        ("metadata.user_api_key_hash", CANARY),
        ("litellm.api_key.hash", CANARY),
        ("metadata.requester_metadata", CANARY),
    ],
    "com.anthropic.claude_code.tracing": [
        *(
            (key, CANARY)
            for key in ("user_prompt", "prompt", "error", "error.message", "session.id", "user.id", "agent_id")
        ),
        *((key, QUOTED) for key in ("tool_input", "tool_parameters")),
    ],
    "codex_otel": [
        (key, CANARY) for key in ("arguments", "output", "prompt", "user.email", "conversation.id", "turn.id")
    ],
    "gemini-cli": [(key, CANARY) for key in ("function_args", "prompt", "prompt_id", "request_text", "response_text")],
}
"""Known senders keep words without a dot, so each has canaries of its own."""


def trace_with_canaries() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.extend(
        [text("service.name", "triage"), text("team", "support"), text("process.command_args"), text("user.name")]
    )
    resource.resource.attributes.extend(text(key) for _, pairs in sorted(TEXTS_OF_OTHERS.items()) for key, _ in pairs)
    scope = resource.scope_spans.add()
    scope.scope.attributes.append(text("scope.note"))
    span = scope.spans.add(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        name=CANARY,
        trace_state="note=canary-7f3a",
        start_time_unix_nano=1,
        end_time_unix_nano=2,
    )
    span.status.message = CANARY
    span.attributes.extend(
        [
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.provider.name", "openai"),
            text("gen_ai.request.model", "gpt-4o"),
            text("gen_ai.response.id", "chatcmpl-1"),
            text("openai.response.service_tier", "flex"),
            text("error.type", "timeout"),
            number("gen_ai.usage.input_tokens", 2006),
            number("gen_ai.usage.cache_read.input_tokens", 1920),
            text("gen_ai.input.messages"),
            text("gen_ai.output.messages"),
            text("gen_ai.system_instructions"),
            text("gen_ai.tool.call.arguments"),
            text("gen_ai.prompt.0.content"),
            text("enduser.id"),
            text("user.email"),
            text("url.full", f"https://example.com/?q={CANARY}"),
        ]
    )
    event = span.events.add(time_unix_nano=1, name="exception")
    event.attributes.extend(
        [text("exception.message"), text("exception.stacktrace"), text("exception.type", "Timeout")]
    )
    event = span.events.add(time_unix_nano=1, name="gen_ai.user.message")
    event.attributes.append(text("content"))
    event = span.events.add(time_unix_nano=1, name="gen_ai.evaluation.result")
    event.attributes.extend([text("gen_ai.evaluation.name", "Relevance"), text("gen_ai.evaluation.explanation")])
    for scope_name, attributes in TEXTS_OF_OTHERS.items():
        other = resource.scope_spans.add()
        other.scope.name = scope_name
        for number_, kind in enumerate(("TOOL", "LLM", "CHAIN"), 1):
            other.spans.add(
                trace_id=b"t" * 16,
                span_id=bytes(7) + bytes([number_]),
                name="span",
                attributes=[*(text(key, value) for key, value in attributes), text("openinference.span.kind", kind)],
            )
    return request


def metrics_with_canaries() -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.extend([text("service.name", "triage"), text("user.email")])
    metric = resource.scope_metrics.add().metrics.add(name="gen_ai.client.token.usage", unit="{token}")
    metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    metric.sum.is_monotonic = True
    for user, kind, count in (("a", "input", 5), ("a", "output", 6), ("b", "input", 700), ("b", "output", 800)):
        point = NumberDataPoint(as_int=count, start_time_unix_nano=1, time_unix_nano=2)
        point.attributes.extend([text("gen_ai.token.type", kind), text("user.id", f"{user} {CANARY}")])
        metric.sum.data_points.append(point)
    other = resource.scope_metrics.add()
    other.scope.name = "com.anthropic.claude_code"
    metric = other.metrics.add(name="claude_code.token.usage")
    metric.sum.CopyFrom(resource.scope_metrics[0].metrics[0].sum)
    for point in metric.sum.data_points:
        point.attributes.extend([text("session.id"), text("user_prompt"), text("model", "claude-opus-5-5")])
    return request


def logs_with_canaries() -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.append(text("service.name", "triage"))
    record = resource.scope_logs.add().log_records.add(time_unix_nano=1)
    record.body.string_value = CANARY
    record.attributes.extend([text("gen_ai.response.id", "chatcmpl-1"), text("prompt"), text("user.email")])
    record = resource.scope_logs[0].log_records.add(time_unix_nano=1)
    record.body.kvlist_value.values.append(text("content"))
    for scope_name, attributes in TEXTS_OF_OTHERS.items():
        other = resource.scope_logs.add()
        other.scope.name = scope_name
        other.log_records.add(time_unix_nano=1, attributes=[text(key, value) for key, value in attributes])
    return request


def test_no_prompt_and_no_personal_data_passes(tmp_path: Path, sink: OtlpSink) -> None:
    """A canary in every place where senders put texts; none arrives, in any signal."""
    gateway = Gateway(tmp_path, f"127.0.0.1:{sink.port}")
    with gateway.up():
        assert gateway.send("traces", trace_with_canaries().SerializeToString()) == 200
        assert gateway.send("metrics", metrics_with_canaries().SerializeToString()) == 200
        assert gateway.send("logs", logs_with_canaries().SerializeToString()) == 200
        wait_for(lambda: len(sink.requests) == 3, 10, "one request of each signal")
    arrived = "\n".join(str(request) for request in sink.requests)
    assert "canary-7f3a" not in arrived
    assert "jane.doe" not in arrived


def test_what_the_bill_needs_passes(tmp_path: Path, sink: OtlpSink) -> None:
    gateway = Gateway(tmp_path, f"127.0.0.1:{sink.port}")
    with gateway.up():
        gateway.send("traces", trace_with_canaries().SerializeToString())
        wait_for(lambda: sink.spans, 10, "the span")
    request = sink.requests[0]
    assert isinstance(request, ExportTraceServiceRequest)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    values = {item.key: item.value.string_value or item.value.int_value for item in span.attributes}
    assert re.fullmatch("[0-9a-f]{64}", str(values.pop("gen_ai.tool.call.arguments")))
    assert values == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.id": "chatcmpl-1",
        "openai.response.service_tier": "flex",
        "error.type": "timeout",
        "gen_ai.usage.input_tokens": 2006,
        "gen_ai.usage.cache_read.input_tokens": 1920,
    }
    assert span.span_id == b"s" * 8
    resource = {item.key: item.value.string_value for item in request.resource_spans[0].resource.attributes}
    assert resource == {"service.name": "triage", "team": "support"}


def test_streams_that_differ_only_in_a_dropped_attribute_stay_apart(tmp_path: Path, sink: OtlpSink) -> None:
    """5 tokens of one user and 700 of another must not become one counter that jumps between 5 and 700."""
    gateway = Gateway(tmp_path, f"127.0.0.1:{sink.port}")
    with gateway.up():
        gateway.send("metrics", metrics_with_canaries().SerializeToString())
        wait_for(lambda: sink.requests, 10, "the metric")
    request = sink.requests[0]
    assert isinstance(request, ExportMetricsServiceRequest)
    points = request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points
    streams: dict[str, set[int]] = {}
    for point in points:
        values = {item.key: item.value.string_value for item in point.attributes}
        assert set(values) == {"gen_ai.token.type", "fleetwatch.stream"}
        streams.setdefault(values["fleetwatch.stream"], set()).add(point.as_int)
    assert sorted(map(sorted, streams.values())) == [[5, 6], [700, 800]]


@pytest.mark.parametrize("ending", ["kill -9", "terminate"])
def test_no_acknowledged_span_is_lost_when_the_collector_dies_while_the_exporter_is_away(
    tmp_path: Path, ending: str
) -> None:
    port = free_port()
    gateway = Gateway(tmp_path, f"127.0.0.1:{port}")
    acknowledged: set[str] = set()
    with gateway.up() as process:
        for _ in range(100):
            request = ExportTraceServiceRequest()
            spans = request.resource_spans.add().scope_spans.add().spans
            for _ in range(5):
                spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="chat", end_time_unix_nano=1)
            if gateway.send("traces", request.SerializeToString()) == 200:
                acknowledged |= {span.span_id.hex() for span in spans}
        if ending == "kill -9":
            process.kill()
        else:
            process.terminate()
        process.wait(15)
    assert len(acknowledged) == 500
    with otlp_sink(port) as sink, gateway.up():
        wait_for(lambda: acknowledged <= set(sink.spans), 60, "all acknowledged spans")


def test_the_collector_shows_its_own_metrics(tmp_path: Path, sink: OtlpSink) -> None:
    gateway = Gateway(tmp_path, f"127.0.0.1:{sink.port}")
    with gateway.up():
        status, page = get(f"http://127.0.0.1:{gateway.metrics_port}/metrics")
    assert status == 200
    assert "otelcol_exporter_queue_capacity" in page


def test_the_gateway_has_no_batch_processor() -> None:
    """It would answer senders before their data is on disk."""
    printed = subprocess.run(
        [program("otelcol-contrib"), "validate", "--config", str(GATEWAY)], capture_output=True, text=True, check=False
    )
    assert printed.returncode == 0, printed.stderr
    lines = [line.split("#")[0] for line in GATEWAY.read_text().splitlines()]
    assert not [line for line in lines if "batch" in line]
