"""Claude Code: its events, its spans (beta) and its metrics, tried with 2.1.

The event `api_request` counts a call: it alone tells how long the cache is kept, and the cost by the program's own
price list. The span of the same call has the same request id and counts where no event comes; the metrics count where
neither does. `claude_code.interaction`, a turn, is the task; it is told by spans only. A sub-agent's run is told by an
event. Tools are told by `tool_result` events: spans do not say how a tool ended.

What the program calls `gen_ai.response.id` is the id of the request. Attempts that fail and are repeated leave nothing,
so a call fails once, when the program gives up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_genai_names import STATUS_ERROR, outcome_of
from fleetwatch.dialects.parts.coding_agent import (
    Handlers,
    Sender,
    read_events,
    sender_of,
    step_of,
    sub_agent,
    team_in,
    told_arguments,
    tool_call,
)
from fleetwatch.dialects.parts.dialect import Batch, Dialect
from fleetwatch.dialects.parts.digest import call_id_digest
from fleetwatch.dialects.parts.identity import digest, response_key
from fleetwatch.dialects.parts.log_events import Event
from fleetwatch.dialects.parts.own_tokens import NO_TOKENS, Kind, TokenMetric, blank_call, token_points
from fleetwatch.dialects.parts.resource import TEAM_KEYS, Resource
from fleetwatch.dialects.parts.text import UNKNOWN, BadCountError, nano_usd
from fleetwatch.dialects.parts.versions import count_untried
from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import ECHO, LlmCall, Tokens

SCOPE: Final = "com.anthropic.claude_code"
"""Metrics come under this scope, events and spans under two below it."""
PROGRAM: Final = "claude-code"
TRIED: Final = ((2, 1),)
READ: Final = frozenset(
    {
        *TEAM_KEYS,
        "agent.name",
        "agent_id",
        "agent_type",
        "anthropic.provider",
        "cache_creation_1h_tokens",
        "cache_creation_tokens",
        "cache_read_tokens",
        "cost_usd",
        "duration_ms",
        "error",
        "error_type",
        "event.sequence",
        "input_tokens",
        "model",
        "output_tokens",
        "prompt.id",
        "request_id",
        "session.id",
        "speed",
        "status_code",
        "stop_reason",
        "success",
        "tool_input",
        "tool_name",
        "tool_parameters",
        "tool_use_id",
        "ttft_ms",
    }
)
"""Attributes of events and spans that are read."""

_OWN_NAMES: Final = re.compile(r"claude[-_]code")
_PROVIDERS: Final = {"bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai", "foundry": "azure.ai.inference"}
# claude-sonnet-4-5[1m]: the program's own mark of the long context window.
_WINDOW: Final = re.compile(r"\[\d+[km]\]$", re.IGNORECASE)
_TOKENS: Final = TokenMetric(
    "claude_code.token.usage",
    "type",
    {
        "input": Kind(("input",)),
        "output": Kind(("output",)),
        "cacheRead": Kind(("input", "cache_read")),
        "cacheCreation": Kind(("input", "cache_write")),
    },
)
_LEAF: Final = "claude_code.tool.blocked_on_user"
"""A span that has no others below it."""


def read_logs(resource: Resource, scope: ScopeLogs, batch: Batch) -> bool:
    """Calls, tools and sub-agents of the events of one scope."""
    if not scope.scope.name.startswith(SCOPE):
        return False
    read = read_events(scope, _EVENTS, READ, lambda event: _sender(event, resource), batch)
    count_untried(batch, DIALECT.name, scope.scope.version, TRIED, len(read))
    return True


def _sender(event: Event, resource: Resource) -> Sender:
    return sender_of(resource, PROGRAM, _OWN_NAMES, event.text("session.id"), team_in(event.text))


def _request(event: Event, sender: Sender) -> LlmCall:
    tokens = _tokens(event)
    cost = event.found.get("cost_usd")
    return _call(event, sender, _key(event, tokens))._replace(
        tokens=tokens,
        first_token=event.nanoseconds("ttft_ms") or None,
        service_tier="fast" if event.text("speed") == "fast" else "",
        reported_cost=nano_usd(cost) if cost is not None else None,
    )


def _failure(event: Event, sender: Sender) -> LlmCall:
    outcome, error = _failed(event.text("status_code"), event.text("error"))
    return _call(event, sender, _key(event, NO_TOKENS))._replace(outcome=outcome, error_type=error)


def _tool(event: Event, sender: Sender) -> ToolCall:
    tool, call_id = event.text("tool_name") or UNKNOWN, event.text("tool_use_id")
    ended = ("ok", "") if event.is_true("success") else outcome_of(STATUS_ERROR, event.text("error_type"), "")
    # Both are told only where the user asked for details; tool_input has the arguments as the model gave them.
    arguments = told_arguments(event, tool, "tool_input", "tool_parameters")
    ids = _place(event, "tool", call_id or event.text("event.sequence"))
    call = tool_call(event, sender, ids, _parent(event), tool, ended, arguments)
    return call._replace(call_id=call_id_digest(call_id))


def _run_of_sub_agent(event: Event, sender: Sender) -> AgentRun:
    start = event.at - (event.nanoseconds("duration_ms") or 0)
    ids = _trace(event) + _sub_agent_span(event.text("agent_id") or event.text("event.sequence"))
    name = sub_agent(sender.agent, event.text("agent_type"))
    return AgentRun(ids, event.ids[16:], start, event.at, name, sender.team, "ok", "completed")


_EVENTS: Final[Handlers] = {
    "api_request": _request,
    "api_error": _failure,
    "tool_result": _tool,
    "subagent_completed": _run_of_sub_agent,
}


def _call(event: Event, sender: Sender, key: bytes) -> LlmCall:
    """A call without tokens that went well."""
    call = blank_call(
        sender.agent, sender.team, _provider(event.text("anthropic.provider")), _model(event), sender.service
    )
    ids = _trace(event) + key[:8]
    return call._replace(
        key=key, span=ids, parent=_parent(event), at=event.at, duration=event.nanoseconds("duration_ms")
    )


def _trace(event: Event) -> bytes:
    """The event's own trace; without spans one for each prompt."""
    return event.ids[:16] or digest(16, event.text("session.id"), event.text("prompt.id"))


def _place(event: Event, *parts: str) -> bytes:
    return _trace(event) + digest(8, event.text("session.id"), *parts)


def _parent(event: Event) -> bytes:
    """A sub-agent's events lie below its run, whose end is an event of its own; others in the span that logged them."""
    agent = event.text("agent_id")
    return _sub_agent_span(agent) if agent else event.ids[16:]


def _sub_agent_span(agent_id: str) -> bytes:
    return digest(8, "sub-agent", agent_id)


def _tokens(event: Event) -> Tokens:
    written = event.count("cache_creation_tokens")
    return Tokens(
        input=event.count("input_tokens"),
        cache_read=event.count("cache_read_tokens"),
        cache_write=written,
        output=event.count("output_tokens"),
        cache_write_long=min(written, event.count("cache_creation_1h_tokens")),
    )


def _failed(status: str, error: str) -> tuple[str, str]:
    """(outcome, error type). The error's text may hold anything, so it is only looked through."""
    if status.isdigit():
        return outcome_of(STATUS_ERROR, status[:3], "")
    error = error.lower()
    if "timed out" in error or "timeout" in error:
        return "timeout", "timeout"
    return ("cancelled", "aborted") if "abort" in error else ("error", "connection_error")


def _key(event: Event, tokens: Tokens) -> bytes:
    """By the request's id, which event and span share; a call that never reached the provider has none."""
    request, session = event.text("request_id"), event.text("session.id")
    if not request:
        return digest(16, event.name, session, event.text("event.sequence"), str(event.at))
    whole_in = tokens.input + tokens.cache_read + tokens.cache_write
    return response_key(request, digest(16, session), _model(event), whole_in, tokens.output)


def _provider(told: str) -> str:
    return _PROVIDERS.get(told, "anthropic")


def _model(event: Event) -> str:
    return _WINDOW.sub("", event.text("model")) or UNKNOWN


def read_spans(resource: Resource, spans: Iterable[Span], batch: Batch) -> Iterable[Span]:
    """Turns, calls and the steps between them."""
    if not batch.scope.name.startswith(SCOPE):
        return spans
    for span in spans:
        try:
            _read_span(span, resource, batch)
        except BadCountError:
            batch.reject("bad_tokens")
    return ()


def _read_span(span: Span, resource: Resource, batch: Batch) -> None:
    if span.name == _LEAF or not (step := step_of(span, batch)):
        return
    event = Event(span.name, step.at, step.span, {item.key: item.value for item in span.attributes if item.key in READ})
    sender = _sender(event, resource)
    if span.name == "claude_code.interaction":
        failed = span.status.code == STATUS_ERROR
        outcome, reason = ("error", "error") if failed else ("ok", "completed")
        batch.records.append(
            AgentRun(
                step.span, step.parent, step.start, step.at, sender.agent, sender.team, outcome, reason, resource.host
            )
        )
    elif span.name == "claude_code.llm_request" and event.text("request_id"):
        batch.records.append(_call_of_span(event, step.parent, step.at - step.start, sender))
    else:
        batch.records.append(step)


def _call_of_span(event: Event, parent: bytes, duration: int, sender: Sender) -> LlmCall:
    """A span's call. It lacks what the event tells better, so it gives way to it."""
    call = _failure(event, sender) if event.text("success") == "false" else _request(event, sender)
    outcome, error = (
        (call.outcome, call.error_type) if call.outcome != "ok" else outcome_of(0, "", event.text("stop_reason"))
    )
    return call._replace(
        span=event.ids,
        parent=parent,
        outcome=outcome,
        error_type=error,
        duration=call.duration or duration,
        point=ECHO,
    )


def read_metrics(resource: Resource, scope: ScopeMetrics, batch: Batch) -> bool:
    """Token usage."""
    if not scope.scope.name.startswith(SCOPE):
        return False

    def describe(found: Mapping[str, str]) -> LlmCall:
        sender = sender_of(resource, PROGRAM, _OWN_NAMES, found.get("session.id", ""), team_in(found.get))
        model = _WINDOW.sub("", found.get("model", "")) or UNKNOWN
        return blank_call(
            sender.agent, sender.team, _provider(found.get("anthropic.provider", "")), model, sender.service
        )

    read = sum(
        token_points(metric, _TOKENS, resource, describe, batch)
        for metric in scope.metrics
        if metric.name == _TOKENS.name
    )
    count_untried(batch, DIALECT.name, scope.scope.version, TRIED, read)
    return True


DIALECT = Dialect("claude_code", 30, read_spans, read_metrics, read_logs)
