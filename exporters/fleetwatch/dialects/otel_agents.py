"""OpenTelemetry GenAI and MCP conventions: spans of agents, workflows and tools, and the evaluations in them.

Reads the spans that are no calls of a model.

    invoke_agent, invoke_workflow …   a task of that agent (AgentRun)
    execute_tool, MCP's tools/call    ToolCall
    other operations, other MCP       Step, so that the tree stays whole
    create_agent                      nothing: nobody works

A remote agent is seen twice: by the caller (kind CLIENT) and by itself. Both are told as runs of the same agent, one
inside the other, which is one task to the ledger; so an agent that sends nothing itself (a vendor's) counts as well.

A tool behind MCP is seen up to three times: by the agent, by the MCP client, by the MCP server. The first two are tool
calls, one inside the other, which is one call to the ledger. The server's span is a step where somebody called it, for
its service is not the agent; without a parent it is all that is known of the call, and counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_events import read_logs
from fleetwatch.dialects.otel_genai import exception_type
from fleetwatch.dialects.otel_genai_names import STATUS_ERROR, outcome_of, provider_of
from fleetwatch.dialects.parts.dialect import EARLIEST, MAX_LEAD, Batch, Dialect
from fleetwatch.dialects.parts.digest import call_id_digest, digest_of, told_digest, with_tool
from fleetwatch.dialects.parts.evaluation import EVALUATION, evaluated_by_span
from fleetwatch.dialects.parts.exit_reason import exit_reason_of, word
from fleetwatch.dialects.parts.identity import parent_of, span_ids
from fleetwatch.dialects.parts.resource import TEAM_KEYS, Resource
from fleetwatch.dialects.parts.text import UNKNOWN, clean, first_text
from fleetwatch.dialects.parts.versions import count_unknown
from fleetwatch.records.agents import AgentRun, Step, ToolCall

OPERATION: Final = "gen_ai.operation.name"
MCP_METHOD: Final = "mcp.method.name"
ARGUMENTS: Final = "gen_ai.tool.call.arguments"
RESULT: Final = "gen_ai.tool.call.result"
ARGUMENTS_DIGEST: Final = "fleetwatch.tool.arguments.digest"
RESULT_DIGEST: Final = "fleetwatch.tool.result.digest"
"""16 hexadecimal digits, of senders that keep the texts to themselves."""
EXIT_REASON: Final = "fleetwatch.task.exit_reason"
TOOL_STATUS: Final = "gen_ai.tool.status"
"""In no convention: `error` for a tool that failed."""

UNNAMED_WORKFLOWS: Final = frozenset({"Agent workflow", "LangGraph", "RunnableSequence"})
"""Names that frameworks give to every workflow that the application has not named. Such a span says nothing that the
agents inside do not say better, and may end well when they fail: a step."""

_AGENT, _WORKFLOW = "gen_ai.agent.name", "gen_ai.workflow.name"
_TOOL, _CALL_ID = "gen_ai.tool.name", "gen_ai.tool.call.id"
_PROVIDER, _ANSWERED, _ASKED = "gen_ai.provider.name", "gen_ai.response.model", "gen_ai.request.model"
_TEXTS: Final = frozenset(
    {OPERATION, MCP_METHOD, _AGENT, _WORKFLOW, _TOOL, _CALL_ID, _PROVIDER, _ANSWERED, _ASKED, "error.type"}
    | {ARGUMENTS_DIGEST, RESULT_DIGEST, EXIT_REASON, TOOL_STATUS, *TEAM_KEYS}
)
_FINISH: Final = "gen_ai.response.finish_reasons"
READ: Final = _TEXTS | {ARGUMENTS, RESULT, _FINISH, "exception.type"}
"""Attributes that are read, of spans and their events."""
_OURS: Final = ("gen_ai.", "mcp.")
"""How the attributes of a span begin that belongs to the tree."""

_RUN = re.compile(r"invoke_.*|workflow")
_TOOLS_CALL: Final = "tools/call"
_SERVER, _CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT


def read_spans(resource: Resource, spans: Iterable[Span], batch: Batch) -> list[Span]:
    """Agents' work of the spans into the batch; returns the spans that are none of these conventions."""
    before = len(batch.records)
    rest = [span for span in spans if not _read_span(span, resource, batch)]
    count_unknown(batch, DIALECT.name, len(batch.records) - before)
    return rest


def _read_span(span: Span, resource: Resource, batch: Batch) -> bool:
    found = _Found(span, resource)
    if span.events and any(event.name == EVALUATION for event in span.events):
        found.known = True
        evaluated_by_span(span, found.agent, found.team, found.provider, found.model, batch)
    if not found.known:
        return False
    record = found.record()
    if record is None:
        return True
    batch.newest = max(batch.newest, record.at)
    if not EARLIEST <= record.start <= record.at <= batch.now + MAX_LEAD:
        batch.reject("bad_time")
    elif not record.span:
        batch.reject("no_id")
    else:
        batch.records.append(record)
    return True


class _Found:
    """What a span tells of an agent's work. known: whether it is of these conventions."""

    def __init__(self, span: Span, resource: Resource) -> None:
        self.span, self.resource = span, resource
        self.known = False
        self._texts: dict[str, str] = {}
        self._values: dict[str, AnyValue] = {}
        self._finish = ""
        for item in span.attributes:
            key = item.key
            if key in _TEXTS:
                self._texts[key] = clean(item.value.string_value)
            elif key in {ARGUMENTS, RESULT}:
                self._values[key] = item.value
            elif key == _FINISH:
                self._finish = clean(first_text(item.value))
            if not self.known and key.startswith(_OURS):
                self.known = True

    def _text(self, key: str) -> str:
        return self._texts.get(key, "")

    @property
    def agent(self) -> str:
        return self._text(_AGENT) or self._text(_WORKFLOW) or self.resource.agent

    @property
    def team(self) -> str:
        return next((text for key in TEAM_KEYS if (text := self._text(key))), self.resource.team)

    @property
    def provider(self) -> str:
        return provider_of(self._text(_PROVIDER))

    @property
    def model(self) -> str:
        return self._text(_ANSWERED) or self._text(_ASKED) or UNKNOWN

    def record(self) -> AgentRun | ToolCall | Step | None:
        """The record, not yet checked; its span is empty where the ids are no good."""
        operation, mcp = self._text(OPERATION).lower(), self._text(MCP_METHOD)
        if operation == "create_agent":
            return None
        span = self.span
        if mcp:
            # Who answers: the caller's own span has the agent's name.
            answers = span.kind == _SERVER and parent_of(span) != b""
            return self._tool_call() if mcp == _TOOLS_CALL and not answers else self._step()
        if operation == "execute_tool":
            return self._tool_call()
        if _RUN.fullmatch(operation) and not (not self._text(_AGENT) and self._text(_WORKFLOW) in UNNAMED_WORKFLOWS):
            return self._run()
        return self._step()

    def _run(self) -> AgentRun:
        outcome, error_type = self._outcome()
        told = word(self._text(EXIT_REASON))
        return AgentRun(
            *self._place(),
            agent=self.agent,
            team=self.team,
            outcome=outcome,
            exit_reason=told or exit_reason_of(outcome, error_type, self._finish, self.span.status.message),
            host=self.resource.host,
        )

    def _tool_call(self) -> ToolCall:
        outcome, error_type = self._outcome()
        tool = self._text(_TOOL) or _named(self.span.name)
        return ToolCall(
            *self._place(),
            agent=self._text(_AGENT) or self.resource.agent,
            team=self.team,
            tool=tool,
            outcome=outcome,
            error_type=error_type,
            arguments=with_tool(tool, self._digest(ARGUMENTS, ARGUMENTS_DIGEST)),
            result=self._digest(RESULT, RESULT_DIGEST),
            call_id=call_id_digest(self._text(_CALL_ID)),
        )

    def _step(self) -> Step:
        return Step(*self._place())

    def _place(self) -> tuple[bytes, bytes, int, int]:
        span = self.span
        ids = span_ids(span.trace_id, span.span_id)
        return ids, parent_of(span), span.start_time_unix_nano, span.end_time_unix_nano

    def _outcome(self) -> tuple[str, str]:
        error, status = self._text("error.type"), int(self.span.status.code)
        if self._text(TOOL_STATUS).lower() == "error":
            status = STATUS_ERROR
        if status == STATUS_ERROR and not error:
            error = exception_type(self.span)
        return outcome_of(status, error, self._finish)

    def _digest(self, text: str, told: str) -> bytes:
        return told_digest(self._text(told)) or (digest_of(self._values[text]) if text in self._values else b"")


def _named(name: str) -> str:
    """The tool in a span's name: `execute_tool lookup`, `tools/call lookup`, `MCP send tools/call lookup`."""
    return clean(name).rpartition(" ")[2].removeprefix(_TOOLS_CALL).removeprefix("execute_tool") or UNKNOWN


DIALECT = Dialect("otel_agents", 110, read_spans, logs=read_logs)
