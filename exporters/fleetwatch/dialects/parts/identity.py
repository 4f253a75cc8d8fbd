"""Which call, which span: the identities by which two sightings of one thing are known."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

UNIQUE_ID: Final = 16
"""Characters from which a response id is unique by itself. Small local servers count up: `chatcmpl-1`."""
NO_TRACE: Final = bytes(16)
NO_SPAN: Final = bytes(8)


def response_key(response_id: str, trace: bytes, model: str, whole_in: int, whole_out: int) -> bytes:
    """16 bytes that all sightings of one response share, whatever vocabulary they come in.

    A short id is unique only inside its trace, where the sightings of several instrumentations meet. whole_in,
    whole_out: all tokens of the request and of the answer, cached and reasoning ones included.
    """
    raw = response_id.encode()
    if len(response_id) < UNIQUE_ID:
        raw = b"\0".join((raw, trace, model.encode(), b"%d %d" % (whole_in, whole_out)))
    return blake2b(raw, digest_size=16).digest()


def span_ids(trace: bytes, span: bytes) -> bytes:
    """Trace id and span id, 24 bytes; empty where either is missing, zero or of another length."""
    ids = trace + span
    return b"" if len(trace) != 16 or len(span) != 8 or trace == NO_TRACE or span == NO_SPAN else ids


def parent_of(span: Span) -> bytes:
    """Span id of the parent, 8 bytes; empty for a root, and for what cannot be a parent."""
    parent = span.parent_span_id
    return b"" if len(parent) != 8 or parent in {NO_SPAN, span.span_id} else parent


def digest(size: int, *parts: str | bytes) -> bytes:
    """`size` bytes that tell these parts from others."""
    made = blake2b(digest_size=size)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        # Lengths first: ("a", "bc") and ("ab", "c") differ.
        made.update(b"%d " % len(raw) + raw)
    return made.digest()
