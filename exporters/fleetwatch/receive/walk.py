"""Places of fields in protobuf's bytes: what is cut or counted needs no messages."""

from __future__ import annotations

from collections.abc import Iterator

from fleetwatch.receive.errors import BadRequest

_SIZES = {1: 8, 5: 4}  # wire types of fixed size


def fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Of each field its tag, its start, the start of its content, its end. Raises BadRequest."""
    while at < end:
        field_start = at
        tag = body[at]
        at += 1
        if tag & 0x80:
            tag, at = read_varint(body, field_start, end)
        wire = tag & 7
        if wire == 2:
            size = body[at] if at < end else 0x80
            if size & 0x80:
                size, at = read_varint(body, at, end)
            else:
                at += 1
        elif wire == 0:
            size = read_varint(body, at, end)[1] - at
        elif wire in _SIZES:
            size = _SIZES[wire]
        else:
            raise bad()
        if at + size > end:
            raise bad()
        yield tag, field_start, at, at + size
        at += size


def read_varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """A variable-length integer and the position after it. Raises BadRequest."""
    value = shift = 0
    while at < end and shift < 70:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise bad()


def bad() -> BadRequest:
    return BadRequest("the body is not a protobuf message of this signal")
