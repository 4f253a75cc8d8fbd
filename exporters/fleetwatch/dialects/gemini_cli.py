"""Gemini CLI: its events and its metrics, tried with 0.8 and 0.61.

Every call is told many times. The event `gemini_cli.api_response` counts it: it alone tells cached, thought and tool
tokens; `gemini_cli.api_error` counts a failed attempt. Left out are the events and metrics of the GenAI conventions
beside them, where thought tokens are missing, and all spans: one tree for each call and each tool, some with tokens,
but none for a turn. So there are no tasks of the program itself; those of its sub-agents are told by an event.

Cached tokens are inside the input, thought tokens outside the output, and tool tokens outside both. For senders without
events the metrics count: tokens by the program's own, calls by `gen_ai.client.operation.duration`, for the program's
own counter has two points for one failed attempt.

`service.version` is the version of Node, so a version that was not tried cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_genai_names import STATUS_ERROR, outcome_of
from fleetwatch.dialects.otel_genai_tokens import Parts, tokens_of
from fleetwatch.dialects.parts.coding_agent import (
    Handlers,
    Sender,
    nowhere,
    read_events,
    sender_of,
    sub_agent,
    team_in,
    told_arguments,
    tool_call,
)
from fleetwatch.dialects.parts.dialect import Batch, Dialect
from fleetwatch.dialects.parts.exit_reason import exit_reason_of
from fleetwatch.dialects.parts.identity import digest
from fleetwatch.dialects.parts.log_events import Event
from fleetwatch.dialects.parts.own_tokens import Kind, TokenMetric, blank_call, call_points, token_points
from fleetwatch.dialects.parts.resource import TEAM_KEYS, Resource
from fleetwatch.dialects.parts.text import UNKNOWN, first_text
from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall

PROGRAM: Final = "gemini-cli"
READ: Final = frozenset(
    {
        *TEAM_KEYS,
        "agent_id",
        "agent_name",
        "auth_type",
        "cached_content_token_count",
        "decision",
        "duration_ms",
        "error.type",
        "error_type",
        "finish_reasons",
        "function_args",
        "function_name",
        "input_token_count",
        "model",
        "output_token_count",
        "prompt_id",
        "session.id",
        "status_code",
        "success",
        "terminate_reason",
        "thoughts_token_count",
        "tool_token_count",
    }
)
"""Attributes of events that are read."""

_OWN_NAMES: Final = re.compile(r"gemini[-_]cli.*")
_TOKENS: Final = TokenMetric(
    "gemini_cli.token.usage",
    "type",
    {
        "input": Kind(("input",)),
        "cache": Kind(("cache_read",), inside="input"),
        "output": Kind(("output",)),
        "thought": Kind(("output", "reasoning")),
        "tool": Kind(("input",)),
    },
)
_CALLS: Final = "gen_ai.client.operation.duration"
_ENDED: Final = {"GOAL": "ok", "TIMEOUT": "timeout", "ABORTED": "cancelled"}
"""terminate_reason of a sub-agent -> outcome; others are errors."""


def read_logs(resource: Resource, scope: ScopeLogs, batch: Batch) -> bool:
    """Calls, tools and sub-agents of the events of one scope."""
    if scope.scope.name != PROGRAM:
        return False
    read_events(scope, _EVENTS, READ, lambda event: _sender(event, resource), batch)
    return True


def _sender(event: Event, resource: Resource) -> Sender:
    return sender_of(resource, PROGRAM, _OWN_NAMES, event.text("session.id"), team_in(event.text))


def _response(event: Event, sender: Sender) -> LlmCall:
    thought, tool = event.count("thoughts_token_count"), event.count("tool_token_count")
    parts = Parts(
        input=event.count("input_token_count") + tool,
        output=event.count("output_token_count") + thought,
        cache_read=event.count("cached_content_token_count"),
        reasoning=thought,
    )
    finish = event.found.get("finish_reasons")
    outcome, error = outcome_of(0, "", first_text(finish) if finish is not None else "")
    return _call(event, sender, str(parts))._replace(tokens=tokens_of(parts), outcome=outcome, error_type=error)


def _failure(event: Event, sender: Sender) -> LlmCall:
    """The status tells more than the type, which is `ApiError` for most."""
    told = event.text("status_code") or event.text("error.type") or event.text("error_type")
    outcome, error = outcome_of(STATUS_ERROR, told, "")
    return _call(event, sender, error)._replace(outcome=outcome, error_type=error)


def _call(event: Event, sender: Sender, said: str) -> LlmCall:
    """A call without tokens that went well. said: what tells it from others of the same time."""
    model, duration = event.text("model") or UNKNOWN, event.nanoseconds("duration_ms")
    key = _identity(16, event, model, said, str(duration))
    call = blank_call(sender.agent, sender.team, _provider(event.text("auth_type")), model, sender.service)
    return call._replace(
        key=key,
        span=_trace(event) + key[:8],
        parent=nowhere(_trace(event)),
        at=event.at,
        duration=duration,
        operation="generate_content",
    )


def _tool(event: Event, sender: Sender) -> ToolCall:
    tool, ended = event.text("function_name") or UNKNOWN, ("ok", "")
    if not event.is_true("success"):
        rejected = event.text("decision") == "reject"
        ended = outcome_of(STATUS_ERROR, "cancelled" if rejected else event.text("error_type"), "")
    arguments = told_arguments(event, tool, "function_args")
    duration = event.nanoseconds("duration_ms") or 0
    ids = _trace(event) + _identity(8, event, tool, str(duration), arguments.hex())
    return tool_call(event, sender, ids, nowhere(_trace(event)), tool, ended, arguments)


def _run_of_sub_agent(event: Event, sender: Sender) -> AgentRun:
    told = event.text("terminate_reason")
    outcome = _ENDED.get(told, "error")
    reason = exit_reason_of(outcome, told.lower(), "", "")
    name = sub_agent(sender.agent, event.text("agent_name"))
    start = event.at - (event.nanoseconds("duration_ms") or 0)
    ids = _trace(event) + _identity(8, event, event.text("agent_id"))
    return AgentRun(ids, b"", start, event.at, name, sender.team, outcome, reason)


_EVENTS: Final[Handlers] = {
    "gemini_cli.api_response": _response,
    "gemini_cli.api_error": _failure,
    "gemini_cli.tool_call": _tool,
    "gemini_cli.agent.finish": _run_of_sub_agent,
}


def _trace(event: Event) -> bytes:
    """One for each session: sub-agents have prompts of their own, and the events' own traces hold one call each."""
    return digest(16, PROGRAM, event.text("session.id"))


def _identity(size: int, event: Event, *said: str) -> bytes:
    return digest(size, event.name, event.text("session.id"), event.text("prompt_id"), str(event.at), *said)


def _provider(auth_type: str) -> str:
    return "gcp.vertex_ai" if "vertex" in auth_type else "gcp.gemini"


def read_spans(resource: Resource, spans: Iterable[Span], batch: Batch) -> Iterable[Span]:  # noqa: ARG001 - a Dialect's shape
    """Nothing: what the spans tell is in the events, and better."""
    return () if batch.scope.name == PROGRAM else spans


def read_metrics(resource: Resource, scope: ScopeMetrics, batch: Batch) -> bool:
    """Token usage and calls."""
    if scope.scope.name != PROGRAM:
        return False

    def describe(found: Mapping[str, str]) -> LlmCall:
        sender = sender_of(resource, PROGRAM, _OWN_NAMES, found.get("session.id", ""), team_in(found.get))
        model = found.get("model") or found.get("gen_ai.response.model") or found.get("gen_ai.request.model", UNKNOWN)
        call = blank_call(sender.agent, sender.team, _provider(found.get("auth_type", "")), model, sender.service)
        return call._replace(operation="generate_content")

    def counted(found: Mapping[str, str]) -> LlmCall:
        outcome, error = outcome_of(0, found.get("error.type", ""), "")
        return describe(found)._replace(outcome=outcome, error_type=error)

    for metric in scope.metrics:
        if metric.name == _TOKENS.name:
            token_points(metric, _TOKENS, resource, describe, batch)
        elif metric.name == _CALLS:
            call_points(metric, resource, counted, batch)
    return True


DIALECT = Dialect("gemini_cli", 32, read_spans, read_metrics, read_logs)
