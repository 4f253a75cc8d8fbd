"""Protobuf's bytes as its library writes and reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from fleetwatch.wire import field, fields, text, varint


@given(st.integers(0, 2**64 - 1))
def test_numbers(number: int) -> None:
    signed = number - 2**64 if number >= 2**63 else number
    assert AnyValue(int_value=signed).SerializeToString() == varint(3 << 3) + varint(number)


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(1, 2**29 - 1))
def test_texts(value: str, number: int) -> None:
    assert KeyValue.FromString(text(1, value)).key == value
    assert list(fields(text(number, value))) == [(number, value.encode())]


def test_what_is_no_unicode_becomes_a_question_mark() -> None:
    assert text(1, "a\ud800") == field(1, b"a?")


def test_all_kinds_of_fields_are_read() -> None:
    message = AnyValue(double_value=1.5)
    assert [number for number, _ in fields(message.SerializeToString())] == [4]
    assert list(fields(AnyValue(int_value=-1).SerializeToString())) == [(3, 2**64 - 1)]
    assert list(fields(b"\x0d\x01\x02\x03\x04")) == [(1, b"\x01\x02\x03\x04")]


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\x05abc", b"\x0b", b"\x80", b"\x80" * 20, b"\x09\x00"])
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"truncated|wire type"):
        list(fields(body))


@given(st.binary(max_size=40))
def test_nothing_else_is_raised(body: bytes) -> None:
    try:
        list(fields(body))
    except ValueError:
        return
