"""Large requests in parts."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.receive.errors import BadRequest, TooLarge
from fleetwatch.receive.split import LARGEST_HEAD, LARGEST_ITEM, MOST_ITEMS, WHOLE, split
from support_receive import traces


def large() -> ExportTraceServiceRequest:
    """Three resources with two scopes each, 6,000 spans, some large."""
    request = ExportTraceServiceRequest()
    for name in "abc":
        group = request.resource_spans.add(schema_url=f"schema {name}")
        group.resource.attributes.add(key="service.name").value.string_value = name
        for scope_name in "xy":
            scope = group.scope_spans.add(schema_url=scope_name)
            scope.scope.name = scope_name
            for number in range(1000):
                span = scope.spans.add(name=f"{name}{scope_name}{number}", trace_id=bytes(16), kind=number % 6)
                span.attributes.add(key="k").value.string_value = "v" * (number * number % 1999)
    return request


def facts(requests: list[ExportTraceServiceRequest]) -> list[Any]:
    """Every span with the resource and scope it came with, in order."""
    return [
        (group.resource, group.schema_url, scope.scope, scope.schema_url, span)
        for request in requests
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def test_the_parts_say_what_the_whole_said() -> None:
    whole = large()
    parts = list(split(whole.SerializeToString()))
    assert len(parts) > 6
    assert max(map(len, parts)) < 1.3 * WHOLE
    assert facts([ExportTraceServiceRequest.FromString(part) for part in parts]) == facts([whole])


def test_the_order_of_fields_does_not_matter() -> None:
    """Protobuf lets a sender write the resource after its spans."""
    whole = large()
    spans_first, resource_last = ExportTraceServiceRequest(), ExportTraceServiceRequest()
    group = spans_first.resource_spans.add()
    group.scope_spans.extend(whole.resource_spans[0].scope_spans)
    resource_last.resource_spans.add().resource.CopyFrom(whole.resource_spans[0].resource)
    content = group.SerializeToString() + resource_last.resource_spans[0].SerializeToString()
    size = len(content)
    body = b"\x0a" + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + content
    parts = [ExportTraceServiceRequest.FromString(part) for part in split(body)]
    assert len(parts) > 1
    assert {part.resource_spans[0].resource.attributes[0].value.string_value for part in parts} == {"a"}


def test_a_small_request_stays_whole() -> None:
    body = traces("a").SerializeToString()
    assert list(split(body)) == [body]


def test_a_large_resource_with_many_small_scopes_is_not_repeated_for_each() -> None:
    request = ExportTraceServiceRequest()
    for _ in range(8):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="large").value.string_value = "x" * (LARGEST_HEAD - 100)
        for _ in range(500):
            group.scope_spans.add().spans.add(name="s")
    body = request.SerializeToString()
    parts = list(split(body))
    assert len(facts([ExportTraceServiceRequest.FromString(part) for part in parts])) == 4000
    assert sum(map(len, parts)) < 2 * len(body)


def test_metrics_have_the_same_shape() -> None:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for number in range(2000):
        metrics.add(name=f"m{number}", description="d" * 500).sum.data_points.add(as_int=number)
    parts = [ExportMetricsServiceRequest.FromString(part) for part in split(request.SerializeToString())]
    found = [metric for part in parts for metric in part.resource_metrics[0].scope_metrics[0].metrics]
    assert len(parts) > 1
    assert found == list(metrics)


@pytest.mark.parametrize("cut", [1, 2, 1000, 300_000])
def test_a_cut_off_request_is_refused(cut: int) -> None:
    with pytest.raises(BadRequest):
        list(split(large().SerializeToString()[:-cut]))


@pytest.mark.parametrize("byte", [b"\xff", b"\x0b", b"\x07", b"\x0a"])
def test_what_is_no_protobuf_is_refused(byte: bytes) -> None:
    with pytest.raises(BadRequest):
        list(split(byte * (WHOLE + 1)))


def test_too_many_or_too_large_items_are_refused() -> None:
    many = traces(*["x"] * 10)
    spans = many.resource_spans[0].scope_spans[0].spans
    spans.extend([spans[0]] * (MOST_ITEMS + 1))
    with pytest.raises(TooLarge, match="more than 100000 items"):
        list(split(many.SerializeToString()))
    with pytest.raises(TooLarge, match="one item"):
        list(split(traces("a" * LARGEST_ITEM).SerializeToString()))
    wide = traces(*["x" * 1000] * 600)
    wide.resource_spans[0].resource.attributes.add(key="large").value.string_value = "x" * LARGEST_HEAD
    with pytest.raises(TooLarge, match="a resource or scope"):
        list(split(wide.SerializeToString()))
