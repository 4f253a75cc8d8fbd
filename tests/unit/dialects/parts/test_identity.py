from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.parts.identity import parent_of, response_key, span_ids

TRACE, SPAN = b"t" * 16, b"s" * 8


def test_a_long_response_id_is_all_that_matters() -> None:
    key = response_key("chatcmpl-0123456789", TRACE, "gpt-4o", 100, 10)
    assert key == response_key("chatcmpl-0123456789", b"x" * 16, "other", 0, 0)
    assert len(key) == 16


@pytest.mark.parametrize(
    "other",
    [(b"x" * 16, "gpt-4o", 100, 10), (TRACE, "other", 100, 10), (TRACE, "gpt-4o", 101, 10), (TRACE, "gpt-4o", 100, 11)],
)
def test_a_short_one_needs_trace_model_and_tokens(other: tuple[bytes, str, int, int]) -> None:
    assert response_key("chatcmpl-1", *other) != response_key("chatcmpl-1", TRACE, "gpt-4o", 100, 10)


@pytest.mark.parametrize(
    ("trace", "span"), [(b"", SPAN), (TRACE, b""), (bytes(16), SPAN), (TRACE, bytes(8)), (TRACE[:15], SPAN + b"s")]
)
def test_ids_that_are_none(trace: bytes, span: bytes) -> None:
    assert span_ids(TRACE, SPAN) == TRACE + SPAN
    assert span_ids(trace, span) == b""


@pytest.mark.parametrize("parent", [b"", bytes(8), b"short", b"x" * 9, SPAN])
def test_parents_that_are_none(parent: bytes) -> None:
    assert parent_of(Span(span_id=SPAN, parent_span_id=b"p" * 8)) == b"p" * 8
    assert parent_of(Span(span_id=SPAN, parent_span_id=parent)) == b""
