"""LLM calls for tests."""

from __future__ import annotations

import itertools
import time
from typing import Any

from fleetwatch.records.llm import LlmCall, Tokens, UsagePoint

_numbers = itertools.count(1)


def call(**fields: Any) -> LlmCall:
    """A chat of gpt-4o with 100 input and 10 output tokens, new each time; `fields` replace its own."""
    number = next(_numbers)
    values: dict[str, Any] = {
        "key": number.to_bytes(24, "big"),
        "span": number.to_bytes(24, "big"),
        "at": time.time_ns(),
        "agent": "triage",
        "team": "support",
        "provider": "openai",
        "model": "gpt-4o",
        "operation": "chat",
        "outcome": "ok",
        "error_type": "",
        "tokens": Tokens(input=100, output=10),
        "duration": 2_000_000_000,
        "first_token": None,
    }
    return LlmCall(**(values | fields))


def point(**fields: Any) -> UsagePoint:
    """A cumulative token-usage point of one stream; `requests` and `tokens` are the stream's running sums."""
    number = next(_numbers)
    at = fields.pop("at", time.time_ns())
    values = {"stream": b"stream-of-a-test", "cumulative": True, "start": at - 60 * 10**9, "at": at, "family": ""}
    own = {name: fields.pop(name) for name in list(fields) if name in values}
    fields = {"key": number.to_bytes(16, "big"), "duration": None, "service": "shop\x1fbot\x1f1", **fields}
    return UsagePoint(**(values | own), call=call(at=at, **fields))
