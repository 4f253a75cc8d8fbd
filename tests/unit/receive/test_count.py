"""Counting a request on its bytes says what decoding it says."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from fleetwatch.receive.count import count_json, count_protobuf
from fleetwatch.receive.errors import BadRequest, TooLarge
from fleetwatch.receive.split import MOST_ITEMS
from support_receive import traces

SIZES = st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=3)
POINTS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def metrics(shape: list[list[int]]) -> ExportMetricsServiceRequest:
    """A request with metrics of each kind, that have so many points."""
    request = ExportMetricsServiceRequest()
    number = 0
    for scopes in shape:
        group = request.resource_metrics.add()
        group.resource.attributes.add(key="k").value.string_value = "v"
        for points in scopes:
            metric = group.scope_metrics.add(schema_url="x").metrics.add(name="m", unit="s", description="d" * 200)
            data = getattr(metric, POINTS[number % len(POINTS)])
            data.SetInParent()
            for _ in range(points):
                data.data_points.add(time_unix_nano=5).attributes.add(key="a").value.int_value = 300
            number += 1
    return request


def logs(shape: list[list[int]]) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    for scopes in shape:
        group = request.resource_logs.add()
        for records in scopes:
            scope = group.scope_logs.add()
            for _ in range(records):
                scope.log_records.add(severity_number=9).body.string_value = "text"
    return request


@given(SIZES)
@settings(max_examples=80, deadline=None)
def test_metrics_and_logs_of_any_shape(shape: list[list[int]]) -> None:
    items = sum(map(sum, shape))
    requests: list[tuple[Any, Any]] = [("metrics", metrics(shape)), ("logs", logs(shape))]
    for signal, request in requests:
        assert count_protobuf(signal, request.SerializeToString()) == items
        assert count_json(signal, MessageToJson(request).encode()) == items
        assert count_json(signal, MessageToJson(request, preserving_proto_field_name=True).encode()) == items


def test_spans() -> None:
    request = traces(*(f"span {number}" for number in range(300)))
    assert count_protobuf("traces", request.SerializeToString()) == 300
    assert count_json("traces", MessageToJson(request).encode()) == 300


def test_joined_requests_are_one() -> None:
    body = traces("a", "b").SerializeToString() + traces("c").SerializeToString()
    assert count_protobuf("traces", body) == 3


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_counted_or_refused(body: bytes) -> None:
    for signal in ("traces", "metrics", "logs"):
        with contextlib.suppress(BadRequest):
            assert count_protobuf(signal, body) >= 0
        with contextlib.suppress(BadRequest):
            assert count_json(signal, body) >= 0


@pytest.mark.parametrize(
    "body",
    [
        b"text that is no protobuf",
        b"\x0a\x7f",
        b"\x08\x05",
        traces("a").SerializeToString()[:-1],
        b"\x0a\x02\x10\x05",
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        count_protobuf("traces", body)


@pytest.mark.parametrize(
    "body",
    ["[]", "{", '{"resourceSpans": 5}', '{"resourceSpans": [5]}', '{"resourceSpans": [{"scopeSpans": {}}]}', "NaN"],
)
def test_what_is_no_request_in_json_is_refused(body: str) -> None:
    with pytest.raises(BadRequest):
        count_json("traces", body.encode())


def test_items_without_end_are_refused() -> None:
    """Two bytes make an empty span: what is cheap to send must not be dear to count."""
    spans = b"\x12\x00" * (MOST_ITEMS + 1)
    with pytest.raises(TooLarge):
        count_protobuf("traces", _field(0x0A, _field(0x12, spans)))
    with pytest.raises(TooLarge):
        count_json("traces", json.dumps({"resourceSpans": [{}] * 300_000}).encode())


def _field(tag: int, content: bytes) -> bytes:
    size, out = len(content), bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes((tag,)) + bytes(out) + content
