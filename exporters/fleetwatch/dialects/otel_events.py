"""OpenTelemetry GenAI conventions: log records that tell an evaluation, or a call of a model."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_genai import read_span
from fleetwatch.dialects.parts.dialect import Batch
from fleetwatch.dialects.parts.evaluation import EVALUATION, evaluation_of_event
from fleetwatch.dialects.parts.identity import NO_TRACE
from fleetwatch.dialects.parts.resource import TEAM_KEYS, Resource
from fleetwatch.dialects.parts.text import BadCountError, texts
from fleetwatch.dialects.parts.versions import cache_outside_input, count_unknown
from fleetwatch.records.llm import ECHO, LlmCall, Tokens

DETAILS: Final = "gen_ai.client.inference.operation.details"
"""The event that tells a call of a model."""

READ: Final = frozenset({"event.name", *TEAM_KEYS})
"""Attributes that are read beside those of spans."""

_SAMPLED: Final = 1
"""Flag of a trace whose spans are sent."""
_HOUR: Final = 3600 * 10**9


def read_logs(resource: Resource, scope: ScopeLogs, batch: Batch) -> bool:
    """Evaluations and calls that a scope's log records tell into the batch."""
    before = len(batch.records)
    for record in scope.log_records:
        name = record.event_name or _attribute(record, "event.name")
        if name == EVALUATION:
            _evaluation(record, resource, batch)
        elif name == DETAILS:
            _call(record, resource, batch)
    count_unknown(batch, "otel_agents", len(batch.records) - before)
    return False


def _evaluation(record: LogRecord, resource: Resource, batch: Batch) -> None:
    own = texts(item for item in record.attributes if item.key in TEAM_KEYS)
    team = next((own[key] for key in TEAM_KEYS if key in own), resource.team)
    ids = record.trace_id + record.span_id
    evaluation_of_event(record.attributes, ids, _time(record), resource.agent, team, batch)


def _call(record: LogRecord, resource: Resource, batch: Batch) -> None:
    """The call that an event tells into the batch; nothing where it names no response or no tokens.

    Inside a sampled span the same call may come as a span, which knows its duration as well: such an event is an echo,
    which waits for the span. Two events may name one span around them both, so an echo is given a span id of its own.
    """
    at = _time(record)
    as_span = Span(
        trace_id=record.trace_id,
        span_id=record.span_id,
        # An event has one time. No first token takes an hour, so that is always inside.
        start_time_unix_nano=max(0, at - _HOUR),
        end_time_unix_nano=at,
        attributes=record.attributes,
    )
    alone = Batch(batch.now)
    try:
        read_span(as_span, resource, alone, cache_outside_input(batch.scope))
    except BadCountError:
        batch.reject("bad_tokens")
    batch.newest = max(batch.newest, alone.newest)
    for reason in alone.rejected.keys() - {"no_id"}:
        batch.reject(reason)
    for call in alone.records:
        if isinstance(call, LlmCall) and call.tokens != Tokens() and call.key != call.span:
            batch.records.append(_echo(call, record) if record.flags & _SAMPLED else call._replace(duration=None))


def _echo(call: LlmCall, record: LogRecord) -> LlmCall:
    """The call of an event in a sampled span."""
    if call.span[:16] == NO_TRACE:
        return call._replace(duration=None)
    made_up = blake2b(call.key, digest_size=8).digest()
    return call._replace(duration=None, span=call.span[:16] + made_up, parent=record.span_id, point=ECHO)


def _time(record: LogRecord) -> int:
    return record.time_unix_nano or record.observed_time_unix_nano


def _attribute(record: LogRecord, key: str) -> str:
    return next((item.value.string_value for item in record.attributes if item.key == key), "")
