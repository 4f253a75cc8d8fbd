"""The price table's own arithmetic as the oracle of ours, and calls to price."""

from __future__ import annotations

import datetime
from typing import Any

from genai_prices.types import Usage

from fleetwatch.records.llm import LlmCall, Tokens


def library_usage(tokens: Tokens) -> Usage:
    """The same tokens as genai-prices counts them: totals that contain their parts."""
    return Usage(
        input_tokens=tokens.input + tokens.cache_read + tokens.cache_write + tokens.audio_in + tokens.image,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
        cache_write_1h_tokens=tokens.cache_write_long,
        input_audio_tokens=tokens.audio_in,
        input_image_tokens=tokens.image,
        cache_audio_read_tokens=0,
        cache_image_read_tokens=0,
        output_tokens=tokens.output + tokens.reasoning + tokens.audio_out,
        output_reasoning_tokens=tokens.reasoning,
        output_audio_tokens=tokens.audio_out,
    )


def nanoseconds(text: str) -> int:
    """`2026-11-20T12:00` (UTC) as Unix nanoseconds."""
    time = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
    return int(time.timestamp()) * 10**9


def call(provider: str, model: str, tokens: Tokens, at: str | int = "2026-11-20T12:00", **more: Any) -> LlmCall:
    return LlmCall(
        key=b"",
        span=b"",
        at=nanoseconds(at) if isinstance(at, str) else at,
        agent="triage",
        team="support",
        provider=provider,
        model=model,
        operation="chat",
        outcome="ok",
        error_type="",
        tokens=tokens,
        duration=None,
        first_token=None,
        **more,
    )
