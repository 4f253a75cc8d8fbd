"""Token counts as providers answer them, passed on whole by some senders: the parts that their attributes leave out."""

from __future__ import annotations

import ast
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.parts import vocabulary as words

LARGEST: Final = 4096
"""Characters of a text worth reading; real ones have about 500."""
_MOST: Final = 2**62
"""More than any call has, and an integer that an attribute can hold: whoever reads it refuses it."""

_PARTS: Final = {
    # the convention's attribute: where the count stands, by provider and API
    words.CACHE_READ: (
        ("prompt_tokens_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        ("cache_read_input_tokens",),
    ),
    words.CACHE_WRITE: (
        ("cache_creation_input_tokens",),
        ("prompt_tokens_details", "cache_write_tokens"),
        ("prompt_tokens_details", "cache_creation_tokens"),
        ("input_tokens_details", "cache_write_tokens"),
    ),
    words.REASONING: (("completion_tokens_details", "reasoning_tokens"), ("output_tokens_details", "reasoning_tokens")),
    words.AUDIO_IN: (("prompt_tokens_details", "audio_tokens"),),
    words.AUDIO_OUT: (("completion_tokens_details", "audio_tokens"),),
}


def put_parts(span: Span, usage: Any) -> None:
    """Writes the counts of `usage` that are there and not 0 onto the span."""
    if not isinstance(usage, dict):
        return
    for name, places in _PARTS.items():
        for place in places:
            count: Any = usage
            for key in place:
                count = count.get(key) if isinstance(count, dict) else None
            if isinstance(count, int) and not isinstance(count, bool) and count:
                words.put(span, name, max(-_MOST, min(count, _MOST)))
                break


def from_python(text: str) -> Any:
    """What a text says in which Python has printed a dictionary; None for what is none."""
    if not 0 < len(text) <= LARGEST:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
