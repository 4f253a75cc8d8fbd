"""Protobuf's bytes without its library, which would be most of a small process: numbers, fields, and reading them.

Format: protobuf.dev, "Encoding". A tag is the field's number times 8, plus the wire type.
"""

from __future__ import annotations

from collections.abc import Iterator

BYTES = 2
"""Wire type of texts, messages and packed numbers."""

_FIXED = {1: 8, 5: 4}


def varint(number: int) -> bytes:
    """A number of zero or more, seven bits a byte."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """A message or packed numbers in a field."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def text(number: int, value: str) -> bytes:
    """A text in a field. What is no Unicode (lone surrogates) becomes a question mark."""
    return field(number, value.encode("utf-8", "replace"))


def fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number of the field, its value) of a message; fixed-size values as bytes. Raises ValueError."""
    at = 0
    while at < len(body):
        tag, at = read_varint(body, at)
        wire = tag & 7
        if wire == 0:
            value, at = read_varint(body, at)
            yield tag >> 3, value
            continue
        if wire == BYTES:
            size, at = read_varint(body, at)
        elif wire in _FIXED:
            size = _FIXED[wire]
        else:
            raise ValueError(f"wire type {wire}: expected 0, 1, 2 or 5")
        if at + size > len(body):
            raise ValueError("truncated")
        yield tag >> 3, body[at : at + size]
        at += size


def read_varint(body: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number and the position after it. Raises ValueError."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(body):
            break
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("truncated")
