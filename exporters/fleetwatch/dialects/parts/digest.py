"""Arguments and results of tools as digests: whether two are equal is told, and nothing else of them is kept.

A JSON text counts by what it says: order of keys and spaces do not matter, and a structured value is the same as its
JSON text. A text that is no JSON counts as it stands; so does what our Collector puts in its place, the hexadecimal
SHA-256 of it. A sender may tell the digest itself, as `fleetwatch.instrument` does: 16 hexadecimal digits.

Digests are 8 bytes of BLAKE2b without a key, so that they are the same after a restart. They go to the ledger and the
loop watcher; no label, page or log line shows one.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

SIZE: Final = 8
LARGEST: Final = 1 << 16
"""Characters of a JSON text worth reading; a longer one counts as it stands. Real arguments have some hundred."""

# `call_1`, `functions.search:0`, `12`: such senders count from the start in every conversation, and one trace may hold
# several. `<not specified>`: no id at all.
_NO_ID = re.compile(r"[A-Za-z]*[_:.-]*\d{0,6}|[^:]*:\d{0,6}|<.*>|\W*", re.DOTALL)
_TOLD = re.compile("[0-9a-f]{16}")


def digest_of(value: AnyValue | str) -> bytes:
    """Digest of arguments or a result; empty where there are none."""
    text = canonical(value)
    return _digest(text) if text else b""


def told_digest(text: str) -> bytes:
    """A digest that the sender has made; empty for what is none."""
    return bytes.fromhex(text) if _TOLD.fullmatch(text) else b""


def with_tool(tool: str, arguments: bytes) -> bytes:
    """Digest of a tool and the digest of its arguments; empty where there are no arguments."""
    return _digest(tool.encode() + b"\0" + arguments) if arguments else b""


def call_id_digest(call_id: str) -> bytes:
    """Digest of a provider's tool call id; empty for one that says too little to tell two calls apart."""
    return b"" if _NO_ID.fullmatch(call_id) else _digest(call_id.encode())


def canonical(value: AnyValue | str) -> bytes:
    """The value in the one form that all its spellings share; empty for an empty one."""
    if isinstance(value, AnyValue):
        kind = value.WhichOneof("value")
        if kind is None:
            return b""
        if kind != "string_value":
            return _json(_plain(value))
        value = value.string_value
    if value.lstrip()[:1] in _BEGINNINGS and len(value) <= LARGEST:
        try:
            return _json(json.loads(value))
        except (ValueError, RecursionError):  # no JSON, or too deep
            pass
    return _json(value) if value else b""


_BEGINNINGS: Final = frozenset('{["-0123456789tfnNI')
"""Characters with which what Python takes for JSON begins; to find out by trying takes twenty times as long."""
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _json(value: Any) -> bytes:
    return _encode(value).encode()


def _plain(value: AnyValue) -> Any:
    """A structured value as Python has it. The decoder allows some 50 levels."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "bytes_value":
        return value.bytes_value.hex()
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _plain(item.value) for item in value.kvlist_value.values}
    return getattr(value, kind)


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=SIZE).digest()
