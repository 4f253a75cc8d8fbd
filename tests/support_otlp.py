"""OTLP requests for tests: made from attributes, or read from files of real senders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.receive.body import from_json

M = TypeVar("M", bound=Message)

NOW = 1_800_000_000 * 10**9
SECOND = 10**9
FIXTURES = Path(__file__).parent / "fixtures" / "otlp"

RESOURCE = {"service.name": "triage", "service.namespace": "support", "service.instance.id": "pod-1"}


def any_value(value: Any) -> AnyValue:
    """A Python value as OTLP has it; None is the empty value."""
    if value is None:
        return AnyValue()
    if isinstance(value, list):
        made = AnyValue()
        made.array_value.values.extend(any_value(item) for item in value)
        return made
    name = {bool: "bool_value", int: "int_value", float: "double_value", bytes: "bytes_value", str: "string_value"}
    return AnyValue(**{name[type(value)]: value})


def key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span(attributes: Mapping[str, Any], **fields: Any) -> Span:
    """A span of two seconds that ended just now; `fields` replace its own."""
    values: dict[str, Any] = {
        "trace_id": b"t" * 16,
        "span_id": b"s" * 8,
        "start_time_unix_nano": NOW - 2 * SECOND,
        "end_time_unix_nano": NOW,
    }
    return Span(**(values | fields), attributes=key_values(attributes))


def traces_of(spans: Iterable[Span], resource: Mapping[str, Any] = RESOURCE) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(key_values(resource))
    group.scope_spans.add().spans.extend(spans)
    return request


def metrics_of(metrics: Iterable[Metric], resource: Mapping[str, Any] = RESOURCE) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.extend(key_values(resource))
    group.scope_metrics.add().metrics.extend(metrics)
    return request


def fixture(name: str, kind: type[M]) -> M:
    """The request in tests/fixtures/otlp/NAME.json, through the receiver's own reader."""
    return from_json((FIXTURES / f"{name}.json").read_bytes(), kind)
