"""Behind the Collector, which lets no texts pass, the records of span-sending libraries are the same as without it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.dialects import Record, translate_traces
from fleetwatch.records.agents import ToolCall
from support import wait_for
from support_collector import Gateway
from support_genai import captured
from support_libraries import FILES
from support_otlp import NOW
from support_stack import OtlpSink, otlp_sink

pytestmark = pytest.mark.stack

SPANS = [name for name in FILES if not name.endswith("logs")]


def records(request: ExportTraceServiceRequest) -> list[Record]:
    """The request's records. A tool's texts are digested there and here, so only equality of digests is the same."""
    found = translate_traces(request, NOW)
    assert (found.rejected, found.unknown_versions) == ({}, {})
    return [
        record._replace(arguments=b"told" * bool(record.arguments), result=b"told" * bool(record.result))
        if isinstance(record, ToolCall)
        else record
        for record in found.records
    ]


def _has(sink: OtlpSink, requests: int) -> bool:
    return len(sink.requests) == requests


def test_records_are_the_same_behind_the_collector(tmp_path: Path) -> None:
    with otlp_sink() as sink:
        gateway = Gateway(tmp_path, f"127.0.0.1:{sink.port}")
        with gateway.up():
            for number, name in enumerate(SPANS, 1):
                sent = captured(name, ExportTraceServiceRequest)
                assert gateway.send("traces", sent.SerializeToString()) == 200
                wait_for(partial(_has, sink, number), 10, f"{name} behind the Collector")
    for name, request in zip(SPANS, sink.requests, strict=True):
        assert isinstance(request, ExportTraceServiceRequest)
        assert records(request) == records(captured(name, ExportTraceServiceRequest)), name


def test_equal_tool_calls_have_equal_digests_behind_the_collector(tmp_path: Path) -> None:
    """Two calls of one tool, told by LangChain under OpenLLMetry with what differs from call to call around them."""
    request = captured("openllmetry/langchain-spans", ExportTraceServiceRequest)
    spans = request.resource_spans[0].scope_spans[-1].spans
    first = next(span for span in spans if span.name.startswith("execute_tool"))
    again = spans.add()
    again.CopyFrom(first)
    again.span_id = b"again..."
    for item in again.attributes:
        if item.key in {"gen_ai.tool.call.arguments", "gen_ai.tool.call.result"}:
            text = item.value.string_value.replace('"langgraph_step": 2', '"langgraph_step": 4')
            item.value.string_value = text.replace("call_Weather0000000000000001", "call_Weather0000000000000002")
    with otlp_sink() as sink:
        gateway = Gateway(tmp_path, f"127.0.0.1:{sink.port}")
        with gateway.up():
            assert gateway.send("traces", request.SerializeToString()) == 200
            wait_for(lambda: sink.requests, 10, "the request behind the Collector")
    behind = sink.requests[0]
    assert isinstance(behind, ExportTraceServiceRequest)
    for told in (request, behind):
        one, two = (record for record in translate_traces(told, NOW).records if isinstance(record, ToolCall))
        assert one.arguments == two.arguments != b""
        assert one.result == two.result != b""
        assert one.call_id != two.call_id
