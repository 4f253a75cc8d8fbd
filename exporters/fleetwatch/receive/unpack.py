"""Bytes as they were sent -> bytes as they were meant, within bounds."""

from __future__ import annotations

import json
import zlib
from typing import Any

from fleetwatch.receive.errors import BadRequest, TooLarge, UnsupportedType

# zlib's window argument: 31 reads gzip, 15 the zlib format that HTTP calls deflate.
_WINDOW = {b"gzip": 31, b"deflate": 15}
# One byte of deflate becomes 1,032 at most: slices keep what is made before the limit is noticed small.
_SLICE = 4096
# Python's objects take ten to thirty times the space of their JSON.
_MAX_JSON = 8 << 20
_MAX_JSON_CONTAINERS = 250_000


def decompress(body: bytes, encoding: bytes, limit: int) -> bytes:
    """The body as it was before compression. Never makes more than `limit` + 1 bytes.

    Raises TooLarge, BadRequest for damaged data, UnsupportedType for another encoding than gzip, deflate or identity.
    """
    encoding = encoding.strip().lower()
    if encoding in (b"", b"identity"):
        if len(body) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        return body
    if encoding not in _WINDOW:
        raise UnsupportedType("unsupported content encoding; expected gzip, deflate or identity")
    inflate = zlib.decompressobj(_WINDOW[encoding])
    parts: list[bytes] = []
    size = 0
    for start in range(0, len(body), _SLICE):
        piece = body[start : start + _SLICE]
        while piece:
            if inflate.eof:  # gzip allows several members, one after the other
                inflate = zlib.decompressobj(_WINDOW[encoding])
            try:
                part = inflate.decompress(piece, limit + 1 - size)
            except zlib.error:
                raise BadRequest("the compressed body is damaged") from None
            size += len(part)
            if size > limit:
                raise TooLarge(f"the decompressed body is larger than {limit} bytes")
            parts.append(part)
            piece = inflate.unused_data
    if not inflate.eof:
        raise BadRequest("the compressed body is cut off")
    return b"".join(parts)


def compression_of(body: bytes) -> bytes:
    """The encoding of a gRPC message that arrives as it was sent: no OTLP request begins with these magic bytes."""
    if body.startswith(b"\x1f\x8b"):
        return b"gzip"
    if body[:1] == b"\x78" and len(body) > 1 and (body[0] << 8 | body[1]) % 31 == 0:
        return b"deflate"
    return b"identity"


def json_object(body: bytes) -> dict[str, Any]:
    """Raises TooLarge past the bounds, and whatever json raises for a body that is no JSON object."""
    value = json_value(body)
    if not isinstance(value, dict):
        raise TypeError("expected an object")
    return value


def json_value(body: bytes) -> Any:
    """Raises TooLarge past the bounds, and whatever json raises for a body that is no JSON."""
    if len(body) > _MAX_JSON or body.count(b"{") + body.count(b"[") > _MAX_JSON_CONTAINERS:
        raise TooLarge("the body is too large for JSON; send less at once, or protobuf")
    return json.loads(body.decode("utf-8", "replace"), parse_constant=_no_constant)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
