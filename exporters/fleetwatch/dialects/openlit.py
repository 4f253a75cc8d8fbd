"""OpenLIT: the conventions' words, with a few of its own.

Its events of calls repeat its spans, some without saying which: they are left out. Its metrics are the conventions'.
Its scopes have no version, so that unknown ones cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_events import DETAILS
from fleetwatch.dialects.parts import vocabulary as words
from fleetwatch.dialects.parts.dialect import Batch, Dialect
from fleetwatch.dialects.parts.resource import Resource

READ: Final = ("gen_ai.usage.reasoning_tokens", "gen_ai.request.stream", "gen_ai.request.is_stream")
"""Attributes that are read beside those of the conventions."""

_SCOPE: Final = "openlit"
_RENAMED: Final = {"gen_ai.usage.reasoning_tokens": words.REASONING}
_FIRST: Final = "gen_ai.server.time_to_first_token"
_STREAM: Final = ("gen_ai.request.stream", "gen_ai.request.is_stream")


def to_conventions(resource: Resource, spans: Iterable[Span], batch: Batch) -> Iterable[Span]:  # noqa: ARG001 - a Dialect's shape
    """The spans, for the next reader."""
    if not batch.scope.name.startswith(_SCOPE):
        return spans
    spans = list(spans)
    for span in spans:
        _translate(span)
    return spans


def _translate(span: Span) -> None:
    words.rename(span, _RENAMED)
    found = words.attributes_of(span)
    cost = found.get(words.COST)
    if cost is not None and not cost.double_value and not cost.int_value:
        # It writes 0 for a model whose price it does not know.
        cost.Clear()
    if _FIRST in found and not any(name in found and found[name].bool_value for name in _STREAM):
        # Of an answer in one piece it tells the whole duration.
        found[_FIRST].Clear()
    operation = words.text(found, words.OPERATION)
    if operation == "invoke_agent" and not words.text(found, words.AGENT, words.WORKFLOW):
        # A turn of an agent, or the trace of the OpenAI Agents SDK.
        words.put(span, words.OPERATION, words.STEP)


def leave_out_echoes(resource: Resource, scope: ScopeLogs, batch: Batch) -> bool:  # noqa: ARG001 - a Dialect's shape
    """Takes the events of calls out of the scope; the others are for the next reader."""
    if scope.scope.name.startswith(_SCOPE):
        for record in scope.log_records:
            if record.event_name == DETAILS:
                # Nobody reads an empty one. To delete them one by one takes the square of the time.
                record.Clear()
    return False


DIALECT = Dialect("openlit", 80, to_conventions, logs=leave_out_echoes)
