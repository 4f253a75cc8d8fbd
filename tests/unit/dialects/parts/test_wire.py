from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from fleetwatch.dialects import decode, translate_metrics, translate_traces
from fleetwatch.dialects.parts import wire
from fleetwatch.records.llm import LlmCall
from support_otlp import NOW, fixture, span, traces_of

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "MODEL", "gen_ai.usage.input_tokens": 5}
GOOD = traces_of([span(CHAT), span(CHAT | {"gen_ai.request.model": "gpt-4o"}, span_id=b"12345678")])
BODY = GOOD.SerializeToString()


def models(body: bytes) -> list[str]:
    found = translate_traces(decode(ExportTraceServiceRequest, body), NOW)
    assert found.rejected == {}
    return [record.model for record in found.records if isinstance(record, LlmCall)]


@pytest.mark.parametrize(
    ("bad", "seen"),
    [(b"MO\xffEL", "MO\ufffdEL"), (b"MO\xed\xa0\x80", "MO\ufffd\ufffd\ufffd"), (b"MODE\xe2", "MODE\ufffd")],
)
def test_one_text_that_is_no_utf8_costs_neither_its_span_nor_the_others(bad: bytes, seen: str) -> None:
    body = BODY.replace(b"MODEL", bad)
    with pytest.raises(DecodeError):
        ExportTraceServiceRequest.FromString(body)
    assert models(body) == [seen, "gpt-4o"]


def test_a_bad_key_costs_only_its_attribute() -> None:
    assert models(BODY.replace(b"gen_ai.request.model", b"gen_ai.request.m\xffdel", 1)) == ["unknown", "gpt-4o"]


def test_fields_of_a_newer_protocol_survive_the_mending() -> None:
    # Field 1000 as bytes, field 1001 as 64 bits, field 1002 as 32 bits, field 1003 as a number.
    newer = b"\xc2\x3e\x02\xff\xff" + b"\xc9\x3e" + bytes(8) + b"\xd5\x3e" + bytes(4) + b"\xd8\x3e\x96\x01"
    mended = decode(ExportTraceServiceRequest, BODY.replace(b"MODEL", b"MO\xffEL") + newer)
    assert mended.SerializeToString().endswith(newer)


@pytest.mark.parametrize("body", [b"\xff", BODY[:-3], b"\x0a\xff\xff\xff\xff\x0f", b"\x0b", b"{}", b"\x0f", bytes(10)])
def test_what_is_no_protobuf_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(ExportTraceServiceRequest, body)


@pytest.mark.parametrize(("depth", "refused"), [(20, False), (60, True), (5000, True)])
def test_a_nest_without_end_is_refused(depth: int, refused: bool) -> None:
    value = b"\x0a\x01\xff"  # AnyValue of a text that is no UTF-8
    for _ in range(depth):  # AnyValue of a list of one value
        values = b"\x0a" + varint(len(value)) + value
        value = b"\x2a" + varint(len(values)) + values
    if refused:
        with pytest.raises(DecodeError):
            decode(AnyValue, value)
    else:
        assert "\ufffd" in str(decode(AnyValue, value).SerializeToString(), "utf-8")


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 0x7F | 0x80]) + varint(number >> 7)


def test_a_huge_body_is_not_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold up every other request."""
    monkeypatch.setattr(wire, "_MOST_MENDED", len(BODY) - 1)
    with pytest.raises(DecodeError):
        decode(ExportTraceServiceRequest, BODY.replace(b"MODEL", b"MO\xffEL"))


@given(st.binary(max_size=200))
@example(BODY)
def test_random_bytes_are_read_or_refused_and_never_anything_else(body: bytes) -> None:
    for kind in (ExportTraceServiceRequest, ExportMetricsServiceRequest):
        try:
            request = decode(kind, body)
        except DecodeError:
            continue
        if isinstance(request, ExportTraceServiceRequest):
            translate_traces(request, NOW)
        elif isinstance(request, ExportMetricsServiceRequest):
            translate_metrics(request, NOW)


METRICS = fixture("openai-v2-2.1b0-metrics-delta-1", ExportMetricsServiceRequest).SerializeToString()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5))
def test_a_damaged_body_is_read_or_refused_and_never_anything_else(damage: list[tuple[int, int]]) -> None:
    for good, kind in ((BODY, ExportTraceServiceRequest), (METRICS, ExportMetricsServiceRequest)):
        body = bytearray(good)
        for place, value in damage:
            body[place % len(body)] = value
        try:
            request = decode(kind, bytes(body))
        except DecodeError:
            continue
        if isinstance(request, ExportTraceServiceRequest):
            translate_traces(request, NOW)
        elif isinstance(request, ExportMetricsServiceRequest):
            translate_metrics(request, NOW)
