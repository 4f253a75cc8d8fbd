"""LiteLLM's own telemetry (callback `otel`, and its second generation): of the SDK in an application, and of the proxy.

What the proxy sees of a call, its caller sees as well: its spans have the point `proxy`. It names a failed call's id
itself. Its metrics have every request in their attributes; the ledger leaves them out, because the spans come too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects import otel_genai
from fleetwatch.dialects.parts import vocabulary as words
from fleetwatch.dialects.parts.dialect import Batch, Dialect
from fleetwatch.dialects.parts.provider_usage import from_python, put_parts
from fleetwatch.dialects.parts.resource import Resource
from fleetwatch.dialects.parts.versions import count_outside
from fleetwatch.records.llm import LlmCall

OLDEST, NEWEST = (1, 0), (1, 0)
"""Versions that were tried; only the second generation tells one."""

_OPERATIONS: Final = dict.fromkeys(
    ("completion", "acompletion", "responses", "aresponses", "anthropic_messages", "aanthropic_messages"), "chat"
) | {
    "atext_completion": "text_completion",
    "aembedding": "embeddings",
    "agenerate_content": "generate_content",
    "agenerate_content_stream": "generate_content",
    "generate_content_stream": "generate_content",
}
_COST: Final = ("gen_ai.cost.total_cost", "litellm.cost.total")
_USAGE: Final = "metadata.usage_object"
_TEAM: Final = ("metadata.user_api_key_team_alias", "litellm.team.alias")
_APPLICATION: Final = ("metadata.user_api_key_alias", "litellm.metadata.user_api_key_alias")
_OF_PROXY: Final = ("metadata.user_api_key_hash", "metadata.user_api_key_request_route", "litellm.api_key.hash")
READ: Final = (*_COST, _USAGE, *_TEAM, *_APPLICATION, *_OF_PROXY)
"""Attributes that are read beside those of the conventions."""


def to_conventions(resource: Resource, spans: Iterable[Span], batch: Batch) -> Iterable[Span]:
    """Calls that the proxy saw into the batch; the other spans, for the next reader."""
    if batch.scope.name != "litellm":
        return spans
    rest: list[Span] = []
    for span in spans:
        count_outside(batch, DIALECT.name, OLDEST, NEWEST)
        found = words.attributes_of(span)
        if words.OPERATION in found:
            _translate(span, found)
            if words.text(found, *_OF_PROXY):
                rest += _seen_by_proxy(resource, span, found, batch)
                continue
        elif span.kind == Span.SPAN_KIND_SERVER:
            # Between the caller's span and the proxy's call.
            words.put(span, words.OPERATION, words.STEP)
        rest.append(span)
    return rest


def _translate(span: Span, found: dict[str, AnyValue]) -> None:
    operation = words.text(found, words.OPERATION)
    words.put(span, words.OPERATION, _OPERATIONS.get(operation, operation))
    cost = next((found[name] for name in _COST if name in found), None)
    if cost is not None:
        words.put_value(span, words.COST, cost)
    put_parts(span, from_python(words.text(found, _USAGE)))


def _seen_by_proxy(resource: Resource, span: Span, found: dict[str, AnyValue], batch: Batch) -> Iterable[Span]:
    """The call into the batch; who called is known by the key that it came with. Returns the span if it is no call."""
    if team := words.text(found, *_TEAM):
        words.put(span, "team", team)
    if application := words.text(found, *_APPLICATION):
        words.put(span, words.AGENT, application)
    before = len(batch.records)
    rest = otel_genai.DIALECT.spans(resource, [span], batch)
    for place in range(before, len(batch.records)):
        record = batch.records[place]
        if isinstance(record, LlmCall):
            batch.records[place] = record._replace(point="proxy")
    return rest


DIALECT = Dialect("litellm", 90, to_conventions)
