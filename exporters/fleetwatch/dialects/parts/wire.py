"""Protobuf bytes to messages, also when a text in them is not valid UTF-8.

The protobuf library refuses a whole request for one bad byte in one text. Some SDKs cut texts in the middle of a
character, so that one long name would lose a thousand good spans. Such requests are mended and read again.
"""

from __future__ import annotations

from typing import TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from fleetwatch.wire import read_varint, varint

M = TypeVar("M", bound=Message)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEEPEST = 100
"""Nested messages that the protobuf library itself allows."""
_MOST_MENDED = 4 << 20
"""Bytes worth mending: it takes about 0.2 s a MiB, fifty times a good request."""


def decode(message: type[M], body: bytes) -> M:
    """The message in `body`. Bytes that are not UTF-8 become U+FFFD. Raises DecodeError when it is no such message."""
    try:
        return message.FromString(body)
    except DecodeError:
        if len(body) > _MOST_MENDED:
            raise
        try:
            mended = _mend(memoryview(body), cast(Descriptor, message.DESCRIPTOR), 0)
        except ValueError as error:
            raise DecodeError(str(error)) from None
        if mended == body:  # not a matter of texts
            raise
        return message.FromString(mended)


def _mend(body: memoryview, kind: Descriptor, depth: int) -> bytes:
    """`body` with its texts made valid UTF-8. Raises ValueError for anything that is not protobuf."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    fields = kind.fields_by_number
    out = bytearray()
    at = 0
    while at < len(body):
        start = at
        tag, at = read_varint(body, at)
        wire = tag & 7
        if wire != _BYTES:
            at = _skip(body, at, wire)
            out += body[start:at]
            continue
        size, at = read_varint(body, at)
        value = body[at : at + size]
        if len(value) != size:
            raise ValueError("truncated")
        at += size
        content = _mended_value(value, fields.get(tag >> 3), depth)
        out += varint(tag) + varint(len(content)) + content
    return bytes(out)


def _mended_value(value: memoryview, field: FieldDescriptor | None, depth: int) -> bytes:
    if field is None:
        return bytes(value)
    if field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type is not None:
        return _mend(value, field.message_type, depth + 1)
    if field.type == FieldDescriptor.TYPE_STRING:
        return bytes(value).decode("utf-8", "replace").encode()
    return bytes(value)


def _skip(body: memoryview, at: int, wire: int) -> int:
    """Position after a value that is not length-delimited."""
    if wire == _VARINT:
        return read_varint(body, at)[1]
    if wire not in {_FIXED64, _FIXED32}:
        raise ValueError(f"wire type {wire}")
    at += 8 if wire == _FIXED64 else 4
    if at > len(body):
        raise ValueError("truncated")
    return at
