"""Pydantic AI, and Logfire's instrumentations of SDKs: the conventions' words of all generations, and their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_genai_names import STATUS_ERROR
from fleetwatch.dialects.parts import vocabulary as words
from fleetwatch.dialects.parts.dialect import Batch, Dialect
from fleetwatch.dialects.parts.provider_usage import put_parts
from fleetwatch.dialects.parts.resource import Resource
from fleetwatch.dialects.parts.tool_texts import read_json
from fleetwatch.dialects.parts.versions import count_outside

OLDEST, NEWEST = (0, 4), (2, 0)
LOGFIRE_OLDEST, LOGFIRE_NEWEST = (5, 0), (5, 0)
"""Versions that were tried."""

_USAGE: Final = "gen_ai.usage.details."
_RENAMED: Final = {
    _USAGE + "reasoning_tokens": words.REASONING,
    _USAGE + "cached_tokens": words.CACHE_READ,
    _USAGE + "cache_read_tokens": words.CACHE_READ,
    _USAGE + "cache_read_input_tokens": words.CACHE_READ,
    _USAGE + "cache_write_tokens": words.CACHE_WRITE,
    _USAGE + "cache_creation_input_tokens": words.CACHE_WRITE,
    "operation.cost": words.COST,
    "gen_ai.client.operation.time_to_first_chunk": words.FIRST_CHUNK,
    "tool_arguments": words.ARGUMENTS,
    "tool_response": words.RESULT,
}
_OLD_AGENT: Final = "agent_name"
_RAW: Final = "gen_ai.usage.raw"
_KIND: Final = "logfire.span_type"
_DURATION: Final = "duration"
READ: Final = (*_RENAMED, _OLD_AGENT, _RAW, _KIND, _DURATION, "tools")
"""Attributes that are read beside those of the conventions."""


def to_conventions(resource: Resource, spans: Iterable[Span], batch: Batch) -> Iterable[Span]:  # noqa: ARG001 - a Dialect's shape
    """The spans, for the next reader, without those that announce a span which comes itself."""
    name = batch.scope.name
    if name == "pydantic-ai":
        oldest, newest = OLDEST, NEWEST
    elif name.startswith("logfire"):
        oldest, newest = LOGFIRE_OLDEST, LOGFIRE_NEWEST
    else:
        return spans
    rest = []
    for span in spans:
        count_outside(batch, DIALECT.name, oldest, newest)
        if _translate(span, of_logfire=name != "pydantic-ai"):
            rest.append(span)
    return rest


def _translate(span: Span, *, of_logfire: bool) -> bool:
    """Whether the span says something."""
    words.rename(span, _RENAMED)
    found = words.attributes_of(span)
    kind = words.text(found, _KIND)
    if kind == "pending_span":
        return False
    if words.text(found, words.OPERATION):
        if _RAW in found:
            put_parts(span, read_json(words.text(found, _RAW)))
        if kind == "log":
            _lengthen(span, found)
        elif of_logfire and _is_opening(span, found):
            words.put(span, words.OPERATION, words.STEP)
    elif words.TOOL in found:
        words.put(span, words.OPERATION, "execute_tool")
    elif agent := words.text(found, words.AGENT, _OLD_AGENT):
        words.put(span, words.OPERATION, "invoke_agent")
        words.put(span, words.AGENT, agent)
    elif "tools" in found:
        words.put(span, words.OPERATION, words.STEP)
    return True


def _is_opening(span: Span, found: dict[str, AnyValue]) -> bool:
    """Whether this is the opening of a stream: Logfire tells the stream in a second span, which has its tokens."""
    return (
        span.status.code != STATUS_ERROR
        and words.ANSWERED in found
        and not {words.INPUT, words.OUTPUT, words.RESPONSE_ID} & found.keys()
    )


def _lengthen(span: Span, found: dict[str, AnyValue]) -> None:
    """Gives the record of a stream's end the duration that it tells. It is sent as a span without one."""
    seconds = found[_DURATION].double_value if _DURATION in found else 0.0
    end = span.end_time_unix_nano
    if 0 < seconds < 1e6 and span.start_time_unix_nano == end > seconds * 1e9:
        span.start_time_unix_nano = end - round(seconds * 1e9)


DIALECT = Dialect("pydantic_ai", 85, to_conventions)
