"""Qwen Code, a fork of Gemini CLI with names of its own: its spans, events and metrics, tried with 0.24.

The span `qwen-code.llm_request` counts a call. The event of the same call has the same response id, or for a failed
call lies in the same span, and counts where no span comes: it does not say who the provider is. The token metrics count
for senders with neither. `qwen-code.interaction`, a turn, and `qwen-code.subagent` are the tasks; tools are told by
events, which have the arguments.

Cached tokens are inside the input and thought tokens, unlike in Gemini CLI, inside the output; only calls of Google's
own interface keep them outside. The spans and metrics of its HTTP client have a scope of their own that nobody reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_genai_names import STATUS_ERROR, outcome_of, provider_of
from fleetwatch.dialects.otel_genai_tokens import Parts, tokens_of
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
from fleetwatch.dialects.parts.exit_reason import exit_reason_of
from fleetwatch.dialects.parts.identity import digest, response_key
from fleetwatch.dialects.parts.log_events import Event
from fleetwatch.dialects.parts.own_tokens import Kind, TokenMetric, blank_call, call_points, token_points
from fleetwatch.dialects.parts.resource import TEAM_KEYS, Resource
from fleetwatch.dialects.parts.text import UNKNOWN, BadCountError, first_text
from fleetwatch.dialects.parts.versions import count_untried
from fleetwatch.records.agents import AgentRun, Step, ToolCall
from fleetwatch.records.llm import ECHO, LlmCall, Tokens

PROGRAM: Final = "qwen-code"
TRIED: Final = ((0, 24),)
READ: Final = frozenset(
    {
        *TEAM_KEYS,
        "auth_type",
        "cached_content_token_count",
        "call_id",
        "duration_ms",
        "error.type",
        "error_status_code",
        "error_type",
        "execution_status",
        "function_args",
        "function_name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.finish_reasons",
        "gen_ai.response.id",
        "gen_ai.response.model",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "input_token_count",
        "model",
        "output_token_count",
        "prompt_id",
        "qwen-code.subagent.name",
        "qwen-code.subagent.status",
        "qwen-code.subagent.terminate_reason",
        "qwen-code.turn_status",
        "response_id",
        "session.id",
        "status",
        "status_code",
        "success",
        "thoughts_token_count",
        "ttft_ms",
    }
)
"""Attributes of events and spans that are read."""

_OWN_NAMES: Final = re.compile(r"qwen[-_]code.*")
_LEAVES: Final = frozenset({"qwen-code.hook", "qwen-code.tool.blocked_on_user"})
"""Spans that have no others below them."""
_PROVIDERS: Final = {
    "anthropic": "anthropic",
    "gemini": "gcp.gemini",
    "vertex-ai": "gcp.vertex_ai",
    "qwen-oauth": "dashscope",
}
"""By the event's auth_type; `openai` is any provider with an interface like OpenAI's."""
_TOKENS: Final = TokenMetric(
    "qwen-code.token.usage",
    "type",
    {
        "input": Kind(("input",)),
        "cache": Kind(("cache_read",), inside="input"),
        "output": Kind(("output",)),
        "thought": Kind(("reasoning",), inside="output"),
    },
)
_CALLS: Final = "qwen-code.api.request.count"


def read_logs(resource: Resource, scope: ScopeLogs, batch: Batch) -> bool:
    """Calls and tools of the events of one scope."""
    if scope.scope.name != PROGRAM:
        return False
    read = read_events(scope, _EVENTS, READ, lambda event: _sender(event, resource), batch)
    count_untried(batch, DIALECT.name, resource.version, TRIED, len(read))
    return True


def _sender(event: Event, resource: Resource) -> Sender:
    # The session is in events, but not in metrics, so it cannot tell whose metrics they repeat.
    return sender_of(resource, PROGRAM, _OWN_NAMES, "", team_in(event.text))


def _response(event: Event, sender: Sender) -> LlmCall:
    names = ("input_token_count", "output_token_count", "cached_content_token_count", "")
    return _counted(event, sender, event.text("response_id"), names, _provider(event))


def _failure(event: Event, sender: Sender) -> LlmCall:
    told = event.text("error_type") or event.text("error.type") or event.text("status_code")
    return _failed(event, sender, told, _provider(event))


def _counted(event: Event, sender: Sender, response: str, names: tuple[str, str, str, str], provider: str) -> LlmCall:
    """A call that went well. names: of the counts of input, output, cached input and input written to the cache."""
    whole_in, whole_out, cached, written = (event.count(name) for name in names)
    thought = event.count("thoughts_token_count")
    if provider.startswith("gcp."):
        whole_out += thought
    parts = Parts(input=whole_in, output=whole_out, cache_read=cached, cache_write=written, reasoning=thought)
    if response:
        key = response_key(response, digest(16, event.text("session.id")), _model(event), whole_in, whole_out)
    else:
        key = _key_without_response(event, str(parts))
    finish = event.found.get("gen_ai.response.finish_reasons")
    outcome, error = outcome_of(0, "", first_text(finish) if finish is not None else "")
    call = _call(event, sender, key, provider, tokens_of(parts))
    return call._replace(outcome=outcome, error_type=error, first_token=event.nanoseconds("ttft_ms") or None)


def _failed(event: Event, sender: Sender, told: str, provider: str) -> LlmCall:
    outcome, error = outcome_of(STATUS_ERROR, told, "")
    call = _call(event, sender, _key_without_response(event, ""), provider, Tokens())
    return call._replace(outcome=outcome, error_type=error)


def _key_without_response(event: Event, said: str) -> bytes:
    """The span, which its event lies in; outside a trace the event itself."""
    duration = event.text("duration_ms")
    return event.ids or digest(
        16, event.name, event.text("session.id"), event.text("prompt_id"), str(event.at), duration, _model(event), said
    )


def _call(event: Event, sender: Sender, key: bytes, provider: str, tokens: Tokens) -> LlmCall:
    """The call as an event tells it: one that gives way to the span's."""
    call = blank_call(sender.agent, sender.team, provider, _model(event), sender.service)
    return call._replace(
        key=key,
        span=_trace(event) + digest(8, "call", key.hex()),
        parent=event.ids[16:],
        at=event.at,
        duration=event.nanoseconds("duration_ms"),
        operation="generate_content" if provider.startswith("gcp.") else "chat",
        tokens=tokens,
        point=ECHO,
    )


def _tool(event: Event, sender: Sender) -> ToolCall:
    tool, ended = event.text("function_name") or UNKNOWN, ("ok", "")
    if not event.is_true("success"):
        cancelled = event.text("status") == "cancelled"
        ended = outcome_of(STATUS_ERROR, "cancelled" if cancelled else event.text("error_type"), "")
    call_id = event.text("call_id")
    own = digest(8, "tool", event.text("session.id"), event.text("prompt_id"), call_id, str(event.at))
    arguments = told_arguments(event, tool, "function_args")
    call = tool_call(event, sender, _trace(event) + own, event.ids[16:], tool, ended, arguments)
    return call._replace(call_id=call_id_digest(call_id))


_EVENTS: Final[Handlers] = {
    "qwen-code.api_response": _response,
    "qwen-code.api_error": _failure,
    "qwen-code.tool_call": _tool,
}


def _trace(event: Event) -> bytes:
    """The event's own trace; without spans one for each session."""
    return event.ids[:16] or digest(16, PROGRAM, event.text("session.id"))


def _provider(event: Event) -> str:
    return _PROVIDERS.get(event.text("auth_type"), UNKNOWN)


def _model(event: Event) -> str:
    names = ("gen_ai.response.model", "gen_ai.request.model", "model")
    return next((model for name in names if (model := event.text(name))), UNKNOWN)


def read_spans(resource: Resource, spans: Iterable[Span], batch: Batch) -> Iterable[Span]:
    """Turns, sub-agents, calls and the steps between them."""
    if batch.scope.name != PROGRAM:
        return spans
    read = 0
    for span in spans:
        if span.name in _LEAVES or not (step := step_of(span, batch)):
            continue
        read += 1
        found = {item.key: item.value for item in span.attributes if item.key in READ}
        event = Event(span.name, step.at, step.span, found)
        try:
            batch.records.append(_record(event, step, resource, failed=span.status.code == STATUS_ERROR))
        except BadCountError:
            batch.reject("bad_tokens")
    count_untried(batch, DIALECT.name, resource.version, TRIED, read)
    return ()


def _record(event: Event, step: Step, resource: Resource, *, failed: bool) -> LlmCall | AgentRun | Step:
    sender = _sender(event, resource)
    if event.name == "qwen-code.llm_request":
        return _call_of_span(event, step, sender, failed=failed)
    if event.name == "qwen-code.interaction":
        return _run(event, step, sender, event.text("qwen-code.turn_status"), resource)
    if event.name == "qwen-code.subagent":
        named = sender._replace(agent=sub_agent(sender.agent, event.text("qwen-code.subagent.name")))
        return _run(event, step, named, event.text("qwen-code.subagent.status"), resource)
    return step


def _call_of_span(event: Event, step: Step, sender: Sender, *, failed: bool) -> LlmCall:
    provider = provider_of(event.text("gen_ai.provider.name"))
    if failed or event.text("success") == "false":
        call = _failed(event, sender, event.text("error.type") or event.text("error_status_code"), provider)
    else:
        usage = "gen_ai.usage."
        names = (
            f"{usage}input_tokens",
            f"{usage}output_tokens",
            f"{usage}cache_read.input_tokens",
            f"{usage}cache_creation.input_tokens",
        )
        call = _counted(event, sender, event.text("gen_ai.response.id"), names, provider)
    return call._replace(span=step.span, parent=step.parent, duration=step.at - step.start, point="")


def _run(event: Event, step: Step, sender: Sender, status: str, resource: Resource) -> AgentRun:
    why = event.text("error.type") or event.text("qwen-code.subagent.terminate_reason").lower()
    outcome = "ok"
    if status in {"cancelled", "aborted"}:
        outcome = "cancelled"
    elif status not in {"", "ok", "completed"}:
        outcome, _ = outcome_of(STATUS_ERROR, why, "")
    reason = exit_reason_of(outcome, why, "", "")
    return AgentRun(
        step.span, step.parent, step.start, step.at, sender.agent, sender.team, outcome, reason, resource.host
    )


def read_metrics(resource: Resource, scope: ScopeMetrics, batch: Batch) -> bool:
    """Token usage and calls."""
    if scope.scope.name != PROGRAM:
        return False

    def describe(found: Mapping[str, str]) -> LlmCall:
        sender = sender_of(resource, PROGRAM, _OWN_NAMES, "", team_in(found.get))
        return blank_call(sender.agent, sender.team, UNKNOWN, found.get("model", UNKNOWN), sender.service)

    def counted(found: Mapping[str, str]) -> LlmCall:
        status = found.get("status_code", "")
        told = found.get("error_type", "") or ("" if status.startswith("2") else status)
        outcome, error = outcome_of(0, told, "")
        return describe(found)._replace(outcome=outcome, error_type=error)

    read = 0
    for metric in scope.metrics:
        if metric.name == _TOKENS.name:
            read += token_points(metric, _TOKENS, resource, describe, batch)
        elif metric.name == _CALLS:
            read += call_points(metric, resource, counted, batch)
    count_untried(batch, DIALECT.name, resource.version, TRIED, read)
    return True


DIALECT = Dialect("qwen_code", 33, read_spans, read_metrics, read_logs)
