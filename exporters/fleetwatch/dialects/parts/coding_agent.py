"""What the dialects of coding agents share: who sent, in which session, and identities for what has no span.

A coding agent's event belongs to no trace, or to one that the sender may not send. Its records get identities made from
what the event says of itself: the same event gets the same ones whenever it is sent, and the events of one turn meet in
one trace, so that loops are seen and tasks find their calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b
from typing import NamedTuple

from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.parts.dialect import EARLIEST, MAX_LEAD, Batch, Record
from fleetwatch.dialects.parts.digest import digest_of, with_tool
from fleetwatch.dialects.parts.identity import digest, parent_of, span_ids
from fleetwatch.dialects.parts.log_events import Event, events_of
from fleetwatch.dialects.parts.resource import TEAM_KEYS, Resource
from fleetwatch.dialects.parts.text import UNKNOWN, BadCountError
from fleetwatch.records.agents import Step, ToolCall


class Sender(NamedTuple):
    """service: as LlmCall.service; with a digest of the session where that is told, for a session is one process."""

    agent: str
    team: str
    service: str


Handlers = Mapping[str, Callable[[Event, Sender], Record | None]]
"""Name of an event -> what it says; None for nothing."""


def read_events(
    scope: ScopeLogs, handlers: Handlers, keys: Collection[str], sender: Callable[[Event], Sender], batch: Batch
) -> list[Event]:
    """What the events of one scope say, into the batch; returns the events that said something."""
    read: list[Event] = []
    for event in events_of(scope, handlers, keys, batch):
        try:
            record = handlers[event.name](event, sender(event))
        except BadCountError:
            batch.reject("bad_tokens")
            continue
        if record is not None:
            batch.records.append(record)
            read.append(event)
    return read


def sender_of(resource: Resource, program: str, own_names: re.Pattern[str], session: str, team: str) -> Sender:
    """Who a record is about.

    program: the agent's label where the sender goes by one of its `own_names`; whoever gave it another service name or
    agent name wants to see that. session, team: as the record tells them, or empty.
    """
    agent = program if own_names.fullmatch(resource.agent) or resource.agent == UNKNOWN else resource.agent
    service = f"{resource.service}\x1f{digest(8, session).hex()}" if session else resource.service
    return Sender(agent, team or resource.team, service)


def team_in(told: Callable[[str], str | None]) -> str:
    """The team among the attributes of a point or event; empty where none is told."""
    return next((team for key in TEAM_KEYS if (team := told(key))), "")


def nowhere(trace: bytes) -> bytes:
    """Id of a span that nobody sends, to be the parent of a call or tool of such a trace.

    The run around it is then found by time. Without a parent it would be a root, around which there is none.
    """
    return blake2b(trace, digest_size=8).digest()


def told_arguments(event: Event, tool: str, *names: str) -> bytes:
    """Digest of a tool and its arguments, by the first of the attributes that is there; empty where none is."""
    value = next((event.found[name] for name in names if name in event.found), None)
    return with_tool(tool, digest_of(value)) if value is not None else b""


def tool_call(  # noqa: PLR0917 - the fields of a ToolCall that its event does not tell alike everywhere
    event: Event, sender: Sender, ids: bytes, parent: bytes, tool: str, ended: tuple[str, str], arguments: bytes
) -> ToolCall:
    """The tool call of an event that came at its end. ids: its place; ended: (outcome, error type)."""
    start = event.at - (event.nanoseconds("duration_ms") or 0)
    return ToolCall(ids, parent, start, event.at, sender.agent, sender.team, tool, *ended, arguments)


def sub_agent(agent: str, name: str) -> str:
    """Label of a sub-agent: `general-purpose` alone would be one agent for all programs."""
    return f"{agent}/{name}" if name else f"{agent}/sub-agent"


def step_of(span: Span, batch: Batch) -> Step | None:
    """A span that only keeps the tree whole; None where it has no identity or an impossible time."""
    ids = span_ids(span.trace_id, span.span_id)
    if not ids or not timely(span, batch):
        return None
    return Step(ids, parent_of(span), span.start_time_unix_nano, span.end_time_unix_nano)


def timely(span: Span, batch: Batch) -> bool:
    """Whether the span's times can be; one that cannot is refused."""
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    batch.newest = max(batch.newest, end)
    if EARLIEST <= start <= end <= batch.now + MAX_LEAD:
        return True
    batch.reject("bad_time")
    return False
