"""What frameworks write around a tool's arguments and result: messages with ids that differ from call to call."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.parts import vocabulary as words
from fleetwatch.dialects.parts.digest import LARGEST


def read_json(text: str) -> Any:
    """What a JSON text says; None for what is none."""
    if not 0 < len(text) <= LARGEST:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def shortest(value: Any) -> str:
    """A value as a text: a text as it is, anything else as JSON; empty where it lies too deep."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except RecursionError:
        return ""


def put_result(span: Span, told: Any) -> None:
    """The result of a tool: of a framework's message about it, what the tool itself said, its call and its failure."""
    if isinstance(told, dict) and "content" in told and "tool_call_id" in told:
        call_id, status = told["tool_call_id"], told.get("status")
        if isinstance(call_id, str):
            words.put(span, words.CALL_ID, call_id)
        if isinstance(status, str):
            words.put(span, words.TOOL_STATUS, status)
        told = told["content"]
    words.put(span, words.RESULT, shortest(told))
