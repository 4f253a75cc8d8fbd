"""Codex: its events, its turns and its metrics, tried with 0.169.

The event `codex.sse_event` of kind `response.completed` counts a call where it has tokens: it comes twice a call, the
other time without. Attempts that fail are told by `codex.api_request` (HTTP) and `codex.websocket_request`, a stream
that breaks by `codex.sse_event` with an error. None of them names a response, a request or, mostly, a span: a call is
known by its conversation, time and tokens, and the events of a conversation are put in one trace, made of its id.

The span `run_turn` is the task. Other spans repeat the tokens without saying of which model; nobody reads them. Token
metrics count for senders without events. Durations of events are those between two pieces of the stream, so a call has
none.
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
    team_in,
    timely,
    told_arguments,
    tool_call,
)
from fleetwatch.dialects.parts.dialect import Batch, Dialect
from fleetwatch.dialects.parts.digest import call_id_digest, digest_of
from fleetwatch.dialects.parts.identity import digest, span_ids
from fleetwatch.dialects.parts.log_events import TIMESTAMP, Event
from fleetwatch.dialects.parts.own_tokens import Kind, TokenMetric, blank_call, call_points, token_points
from fleetwatch.dialects.parts.resource import TEAM_KEYS, Resource
from fleetwatch.dialects.parts.text import UNKNOWN, plain
from fleetwatch.dialects.parts.versions import count_untried
from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall

PROGRAM: Final = "codex"
TRIED: Final = ((0, 169),)
READ: Final = frozenset(
    {
        *TEAM_KEYS,
        TIMESTAMP,
        "app.version",
        "arguments",
        "attempt",
        "cache_write_token_count",
        "cached_token_count",
        "call_id",
        "conversation.id",
        "duration_ms",
        "endpoint",
        "error.message",
        "event.kind",
        "http.response.status_code",
        "input_token_count",
        "model",
        "output",
        "output_token_count",
        "reasoning_token_count",
        "success",
        "tool_name",
        "ttft_ms",
        "turn.id",
    }
)
"""Attributes of events and spans that are read. Arguments and output are hashed, the error's text is looked through."""

_SCOPE: Final = re.compile(r"codex([_.:-].*)?")
_OWN_NAMES: Final = re.compile(r"codex([_-].*)?")
_TURN: Final = "run_turn"
_KINDS: Final = {
    "input": Kind(("input",)),
    "cached_input": Kind(("cache_read",), inside="input"),
    "cache_write_input": Kind(("cache_write",), inside="input"),
    "output": Kind(("output",)),
    "reasoning_output": Kind(("reasoning",), inside="output"),
}
_TOKENS: Final = TokenMetric("codex.turn.token_usage", "token_type", _KINDS)
_CALLS: Final = "codex.api_request"
"""A counter of attempts; the event of one has the same name."""


def read_logs(resource: Resource, scope: ScopeLogs, batch: Batch) -> bool:
    """Calls and tools of the events of one scope."""
    if not _SCOPE.fullmatch(scope.scope.name):
        return False
    read = read_events(scope, _EVENTS, READ, lambda event: _sender(event, resource), batch)
    version = next((version for event in read if (version := event.text("app.version"))), resource.version)
    count_untried(batch, DIALECT.name, version, TRIED, len(read))
    return True


def _sender(event: Event, resource: Resource) -> Sender:
    # The session is in events, but not in metrics, so it cannot tell whose metrics they repeat.
    return sender_of(resource, PROGRAM, _OWN_NAMES, "", team_in(event.text))


def _stream_event(event: Event, sender: Sender) -> LlmCall | None:
    if error := event.text("error.message").lower():
        timeout = "timeout" in error or "timed out" in error
        return _failure(event, sender, "timeout" if timeout else "stream_error")
    if event.text("event.kind") != "response.completed" or "input_token_count" not in event.found:
        return None
    parts = Parts(
        input=event.count("input_token_count"),
        output=event.count("output_token_count"),
        cache_read=event.count("cached_token_count"),
        cache_write=event.count("cache_write_token_count"),
        reasoning=event.count("reasoning_token_count"),
    )
    return _call(event, sender, str(parts))._replace(
        tokens=tokens_of(parts), first_token=event.nanoseconds("ttft_ms") or None
    )


def _request(event: Event, sender: Sender) -> LlmCall | None:
    """An attempt that failed. One that went well is told by the end of its stream, others ask no model."""
    status, endpoint = event.text("http.response.status_code"), event.text("endpoint")
    if endpoint and not endpoint.endswith(("/responses", "/chat/completions")):
        return None
    if status.startswith("2") or (not status and not event.text("error.message")):
        return None
    return _failure(event, sender, status[:3] or "connection_error")


def _websocket_request(event: Event, sender: Sender) -> LlmCall | None:
    return _failure(event, sender, "connection_error") if event.text("success") == "false" else None


def _failure(event: Event, sender: Sender, error_type: str) -> LlmCall:
    outcome, error = outcome_of(STATUS_ERROR, error_type, "")
    call = _call(event, sender, error, event.text("attempt"))
    return call._replace(outcome=outcome, error_type=error, duration=event.nanoseconds("duration_ms"))


def _call(event: Event, sender: Sender, *said: str) -> LlmCall:
    """A call without tokens that went well. said: what tells it from others of the same time."""
    conversation, model = event.text("conversation.id"), event.text("model") or UNKNOWN
    key = digest(16, event.name, conversation, event.text(TIMESTAMP) or str(event.at), model, *said)
    call = blank_call(sender.agent, sender.team, "openai", model, sender.service)
    trace = _trace(conversation)
    return call._replace(key=key, span=trace + key[:8], parent=nowhere(trace), at=event.at)


def _tool(event: Event, sender: Sender) -> ToolCall:
    tool, call_id = event.text("tool_name") or UNKNOWN, event.text("call_id")
    conversation, result = event.text("conversation.id"), event.found.get("output")
    trace = _trace(conversation)
    ids = trace + digest(8, "tool", conversation, call_id, event.text(TIMESTAMP))
    ended = ("ok", "") if event.is_true("success") else outcome_of(STATUS_ERROR, "tool_error", "")
    call = tool_call(event, sender, ids, nowhere(trace), tool, ended, told_arguments(event, tool, "arguments"))
    return call._replace(result=digest_of(result) if result is not None else b"", call_id=call_id_digest(call_id))


_EVENTS: Final[Handlers] = {
    "codex.sse_event": _stream_event,
    _CALLS: _request,
    "codex.websocket_request": _websocket_request,
    "codex.tool_result": _tool,
}


def _trace(conversation: str) -> bytes:
    return digest(16, "codex", conversation)


def read_spans(resource: Resource, spans: Iterable[Span], batch: Batch) -> Iterable[Span]:
    """Turns; the other spans are details of the program."""
    if not _SCOPE.fullmatch(batch.scope.name):
        return spans
    turns = [span for span in spans if span.name == _TURN]
    for span in turns:
        found = {item.key: plain(item.value) for item in span.attributes if item.key in READ}
        conversation = found.get("conversation.id", "")
        # Its events are known by the conversation only: without it no call would be found.
        if not conversation or not span_ids(span.trace_id, span.span_id) or not timely(span, batch):
            continue
        sender = sender_of(resource, PROGRAM, _OWN_NAMES, "", team_in(found.get))
        failed = span.status.code == STATUS_ERROR
        batch.records.append(
            AgentRun(
                _trace(conversation) + span.span_id,
                b"",
                span.start_time_unix_nano,
                span.end_time_unix_nano,
                sender.agent,
                sender.team,
                "error" if failed else "ok",
                "error" if failed else "completed",
                resource.host,
            )
        )
    count_untried(batch, DIALECT.name, resource.version, TRIED, len(turns))
    return ()


def read_metrics(resource: Resource, scope: ScopeMetrics, batch: Batch) -> bool:
    """Token usage and attempts; all others are details of the program."""
    if not _SCOPE.fullmatch(scope.scope.name):
        return False
    batch.family = PROGRAM

    def describe(found: Mapping[str, str]) -> LlmCall:
        sender = sender_of(resource, PROGRAM, _OWN_NAMES, "", team_in(found.get))
        return blank_call(sender.agent, sender.team, "openai", found.get("model", UNKNOWN), sender.service)

    def attempt(found: Mapping[str, str]) -> LlmCall:
        status = found.get("status", "")
        if found.get("success") == "true":
            return describe(found)
        outcome, error = outcome_of(STATUS_ERROR, status if status.isdigit() else "connection_error", "")
        return describe(found)._replace(outcome=outcome, error_type=error)

    read = 0
    for metric in scope.metrics:
        if metric.name == _TOKENS.name:
            read += token_points(metric, _TOKENS, resource, describe, batch)
        elif metric.name == _CALLS:
            read += call_points(metric, resource, attempt, batch)
    count_untried(batch, DIALECT.name, resource.version, TRIED, read)
    return True


DIALECT = Dialect("codex", 31, read_spans, read_metrics, read_logs)
