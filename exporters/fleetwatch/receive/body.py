"""Plain bytes of a request -> its message, whatever the sender made of them."""

from __future__ import annotations

import binascii
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message

from fleetwatch.dialects import decode
from fleetwatch.receive.errors import BadRequest, TooLarge
from fleetwatch.receive.unpack import json_object

M = TypeVar("M", bound=Message)

_ID_FIELDS = frozenset({"traceId", "spanId", "parentSpanId"})
# The JSON reader of the standard library nests without end; OTLP itself nests about ten deep.
_MAX_NESTING = 100


def from_protobuf(body: bytes, kind: type[M]) -> M:
    """Raises BadRequest when the bytes are no such message. Text that is no UTF-8 is mended, not refused."""
    try:
        return decode(kind, body)
    except DecodeError:
        raise BadRequest("the body is not a protobuf message of this signal") from None


def from_json(body: bytes, kind: type[M]) -> M:
    """OTLP's JSON: as protobuf's, but ids are hexadecimal. Raises BadRequest and TooLarge."""
    try:
        data = json_object(body)
        return ParseDict(_plain(data), kind(), ignore_unknown_fields=True, max_recursion_depth=_MAX_NESTING)
    except TooLarge:
        raise
    # Hostile JSON makes the protobuf reader fail in many ways; each of them says the same of the body.
    except Exception:
        raise BadRequest("the body is not a JSON message of this signal") from None


def _plain(value: Any) -> Any:
    """Hexadecimal ids as the bytes that protobuf's reader expects (base64), and text without lone surrogates."""
    if isinstance(value, dict):
        return {
            _text(name): _base64_of_hex(inner) if name in _ID_FIELDS else _plain(inner) for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _base64_of_hex(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return binascii.b2a_base64(binascii.unhexlify(value), newline=False).decode()
