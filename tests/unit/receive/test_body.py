"""Bytes to messages."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.receive.body import from_json, from_protobuf
from fleetwatch.receive.errors import BadRequest, Refusal, TooLarge
from fleetwatch.receive.unpack import compression_of, decompress
from support_receive import traces

KINDS = [ExportTraceServiceRequest, ExportMetricsServiceRequest, ExportLogsServiceRequest]
GOOD = traces("a", "b", "ü\n\x00").SerializeToString()
ID, SPAN = "5B8EFFF798038103D269B633813FC60C", "eee19b7ec3c1b174"


@given(st.binary(max_size=400), st.sampled_from(KINDS))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_a_message_or_refused(body: bytes, kind: Any) -> None:
    for read in (from_protobuf, from_json):
        with contextlib.suppress(BadRequest):
            read(body, kind)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_good_body_with_a_changed_byte_is_a_message_or_refused(data: st.DataObject) -> None:
    body = bytearray(GOOD)
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    for packed in (cut, gzip.compress(cut)):
        with contextlib.suppress(BadRequest):
            from_protobuf(packed, ExportTraceServiceRequest)


NAMES = ["resourceSpans", "scopeSpans", "spans", "traceId", "name", "attributes", "key", "value", "x"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_any_json_is_a_message_or_refused(value: Any) -> None:
    with contextlib.suppress(BadRequest):
        from_json(json.dumps(value).encode(), ExportTraceServiceRequest)


def test_json_says_the_same_as_protobuf() -> None:
    """All that differs from protobuf's own JSON: ids in hexadecimal, numbers as text, plain enumerations."""
    text = f"""
    {{"resourceSpans": [{{"resource": {{"attributes": [{{"key": "service.name", "value": {{"stringValue": "s"}}}}]}},
      "futureField": {{"a": [1, null]}},
      "scopeSpans": [{{"scope": {{"name": "x"}}, "spans": [{{
        "traceId": "{ID}", "spanId": "{SPAN}", "parentSpanId": "{SPAN.upper()}", "name": "chat", "kind": 3,
        "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000,
        "attributes": [
          {{"key": "traceId", "value": {{"stringValue": "not an id"}}}},
          {{"key": "int", "value": {{"intValue": "9007199254740993"}}}},
          {{"key": "double", "value": {{"doubleValue": 0.5}}}},
          {{"key": "bool", "value": {{"boolValue": true}}}},
          {{"key": "bytes", "value": {{"bytesValue": "AQI="}}}},
          {{"key": "list", "value": {{"arrayValue": {{"values": [{{"stringValue": "stop"}}]}}}}}}],
        "links": [{{"traceId": "{ID.lower()}", "spanId": "{SPAN}"}}],
        "status": {{"code": 2, "message": "broken"}}}}]}}]}}]}}
    """
    wanted = ExportTraceServiceRequest()
    group = wanted.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "s"
    scope = group.scope_spans.add()
    scope.scope.name = "x"
    span = scope.spans.add(name="chat", kind=3, trace_id=bytes.fromhex(ID), span_id=bytes.fromhex(SPAN))
    span.parent_span_id = bytes.fromhex(SPAN)
    span.start_time_unix_nano, span.end_time_unix_nano = 1544712660 * 10**9, 1544712661 * 10**9
    span.attributes.add(key="traceId").value.string_value = "not an id"
    span.attributes.add(key="int").value.int_value = 9007199254740993
    span.attributes.add(key="double").value.double_value = 0.5
    span.attributes.add(key="bool").value.bool_value = True
    span.attributes.add(key="bytes").value.bytes_value = b"\x01\x02"
    span.attributes.add(key="list").value.array_value.values.add().string_value = "stop"
    span.links.add(trace_id=bytes.fromhex(ID), span_id=bytes.fromhex(SPAN))
    span.status.code, span.status.message = 2, "broken"  # type: ignore[assignment] # enumerations are numbers
    assert from_json(text.encode(), ExportTraceServiceRequest) == wanted


def test_ids_of_exemplars_and_log_records_are_hexadecimal_too() -> None:
    point = f'{{"exemplars": [{{"traceId": "{ID}", "spanId": "{SPAN}", "asInt": "4"}}], "asInt": "7"}}'
    metric = f'{{"name": "m", "sum": {{"dataPoints": [{point}]}}}}'
    body = f'{{"resourceMetrics": [{{"scopeMetrics": [{{"metrics": [{metric}]}}]}}]}}'
    metrics = from_json(body.encode(), ExportMetricsServiceRequest)
    exemplar = metrics.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].exemplars[0]
    assert (exemplar.trace_id.hex(), exemplar.as_int) == (ID.lower(), 4)
    logs = from_json(
        f'{{"resourceLogs": [{{"scopeLogs": [{{"logRecords": [{{"traceId": "{ID}"}}]}}]}}]}}'.encode(),
        ExportLogsServiceRequest,
    )
    assert logs.resource_logs[0].scope_logs[0].log_records[0].trace_id.hex() == ID.lower()


def test_hostile_text_does_not_take_good_data_with_it() -> None:
    raw = traces("good", "abcd").SerializeToString().replace(b"abcd", b"a\xff\xfed")
    spans = from_protobuf(raw, ExportTraceServiceRequest).resource_spans[0].scope_spans[0].spans
    assert [span.name for span in spans] == ["good", "a��d"]
    for text in (b'"a\\ud800d"', b'"a\xffd"'):
        body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":%s},{"name":"good"}]}]}]}' % text
        spans = from_json(body, ExportTraceServiceRequest).resource_spans[0].scope_spans[0].spans
        assert spans[1].name == "good"
        assert spans[0].name in ("a?d", "a�d")


@pytest.mark.parametrize("body", [b"[" * 300_000, b'{"a":' * 300_000, b'{"a":"' + b"x" * (9 << 20) + b'"}'])
def test_json_that_would_take_much_memory_is_refused(body: bytes) -> None:
    with pytest.raises(TooLarge):
        from_json(body, ExportTraceServiceRequest)


@given(st.binary(max_size=3000), st.sampled_from([b"gzip", b"deflate", b"identity", b""]))
@settings(deadline=None)
def test_what_was_compressed_comes_back(body: bytes, encoding: bytes) -> None:
    packers: dict[bytes, Callable[[bytes], bytes]] = {b"gzip": gzip.compress, b"deflate": zlib.compress}
    pack = packers.get(encoding, bytes)
    assert decompress(pack(body), encoding, 3000) == body
    if body:
        with pytest.raises(TooLarge):
            decompress(pack(body), encoding, len(body) - 1)


@given(st.binary(max_size=3000), st.sampled_from([b"gzip", b"deflate"]))
@settings(deadline=None)
def test_what_was_not_compressed_is_refused(body: bytes, encoding: bytes) -> None:
    with pytest.raises(Refusal):
        decompress(body, encoding, 100)


def test_the_compression_of_a_grpc_message_shows_in_its_first_bytes() -> None:
    assert compression_of(gzip.compress(GOOD)) == b"gzip"
    for level in range(10):
        assert compression_of(zlib.compress(GOOD, level)) == b"deflate"
    assert compression_of(GOOD) == compression_of(b"") == compression_of(b"x") == b"identity"
