"""OpenInference (Arize Phoenix): spans of calls, agents, tools and chains with `llm.*` names, in any scope.

Asked after the conventions' own calls, and before agents: a span that has both vocabularies is read in the
conventions'. Input and output counts include their parts, as in the conventions. It has no metrics.

Spans have no response id of their own: it is read from the answer where that is told and short enough; else two
sightings of a call are known by how they lie in each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_genai import read_span
from fleetwatch.dialects.parts import vocabulary as words
from fleetwatch.dialects.parts.dialect import Batch, Dialect
from fleetwatch.dialects.parts.resource import Resource
from fleetwatch.dialects.parts.text import BadCountError
from fleetwatch.dialects.parts.tool_texts import put_result, read_json
from fleetwatch.dialects.parts.versions import count_outside

T = TypeVar("T")

OLDEST: Final = (0, 1)
NEWEST: Final = {"openinference.instrumentation.openai_agents": (2, 0)}
"""Versions that were tried; of instrumentations that are not here, 0.1."""

KIND: Final = "openinference.span.kind"
_RENAMED: Final = {
    "llm.model_name": words.ANSWERED,
    "llm.response.model_name": words.ANSWERED,
    "llm.request.model_name": words.ASKED,
    "llm.token_count.prompt": words.INPUT,
    "llm.token_count.completion": words.OUTPUT,
    "llm.token_count.prompt_details.cache_read": words.CACHE_READ,
    "llm.token_count.prompt_details.cache_write": words.CACHE_WRITE,
    "llm.token_count.prompt_details.audio": words.AUDIO_IN,
    "llm.token_count.completion_details.reasoning": words.REASONING,
    "llm.token_count.completion_details.audio": words.AUDIO_OUT,
    "llm.finish_reason": words.FINISH,
    "llm.cost.total": words.COST,
    "embedding.model_name": words.ANSWERED,
    "decision.model_name": words.ANSWERED,
    "decision.response.model_name": words.ANSWERED,
    "decision.request.model_name": words.ASKED,
    "decision.token_count.input": words.INPUT,
    "decision.token_count.output": words.OUTPUT,
    "agent.name": words.AGENT,
    "tool.name": words.TOOL,
    "tool.id": words.CALL_ID,
    "tool_call.id": words.CALL_ID,
}
_PROVIDER: Final = ("llm.provider", "llm.system", "decision.provider", "decision.system")
_PARAMETERS: Final = ("llm.invocation_parameters", "embedding.invocation_parameters")
_IN, _OUT, _METADATA = "input.value", "output.value", "metadata"
_FIRST_EVENT: Final = "First Token Stream Event"
READ: Final = (KIND, *_RENAMED, *_PROVIDER, *_PARAMETERS, _METADATA, _IN, _OUT)
"""Attributes that are read. The last two hold texts; those before them, names and numbers in JSON."""

_CALLS: Final = {"LLM": "chat", "EMBEDDING": "embeddings", "DECISION": "decision"}
_LARGEST: Final = 1 << 18
"""Characters of a JSON text worth reading; the decoder passes over what is not asked for."""


class _Parameters(msgspec.Struct):
    model: str | None = None
    model_name: str | None = None
    temperature: float | None = None


class _Output(msgspec.Struct):
    id: str | None = None
    service_tier: str | None = None


class _Answer(_Output):
    """The answer of an API, or (llm_output) of LangChain."""

    llm_output: _Output | None = None


class _Metadata(msgspec.Struct):
    lc_agent_name: str | None = None


_parameters = msgspec.json.Decoder(_Parameters)
_answer = msgspec.json.Decoder(_Answer)
_metadata = msgspec.json.Decoder(_Metadata)


def read_spans(resource: Resource, spans: Iterable[Span], batch: Batch) -> list[Span]:
    """Calls of the spans into the batch; the others, for the next reader."""
    rest: list[Span] = []
    scope = batch.scope.name
    # The version of an application's own tracer says nothing of the vocabulary.
    has_version = scope.startswith(("openinference.", "@arizeai/"))
    for span in spans:
        if any(item.key == KIND for item in span.attributes):
            if has_version:
                count_outside(batch, DIALECT.name, OLDEST, NEWEST.get(scope, OLDEST))
            if _read_span(span, resource, batch):
                continue
        rest.append(span)
    return rest


def _read_span(span: Span, resource: Resource, batch: Batch) -> bool:
    """Whether the span was a call of a model; else it is ready for the reader of agents."""
    found = words.attributes_of(span)
    kind = words.text(found, KIND).upper()
    told = words.OPERATION in found
    words.rename(span, _RENAMED)
    agent = words.text(found, "agent.name") or _graph_agent(found)
    if agent:
        words.put(span, words.AGENT, agent)
    operation = _CALLS.get(kind)
    if operation is None:
        if not told:
            _put_kind(span, kind, agent, found)
        return False
    words.put(span, words.OPERATION, operation)
    _put_call(span, found)
    try:
        return read_span(span, resource, batch, cache_outside=False)
    except BadCountError:
        batch.reject("bad_tokens")
        return True


def _graph_agent(found: dict[str, AnyValue]) -> str:
    """The agent that LangChain names in its metadata."""
    told = _decode(_metadata.decode, words.text(found, _METADATA))
    return (told and told.lc_agent_name) or ""


def _put_call(span: Span, found: dict[str, AnyValue]) -> None:
    provider = words.text(found, *_PROVIDER)
    words.put(span, words.PROVIDER, provider)
    words.put_provider(span, provider)
    asked = _decode(_parameters.decode, words.text(found, *_PARAMETERS))
    if asked is not None:
        if model := asked.model or asked.model_name:
            words.put(span, words.ASKED, model)
        if asked.temperature is not None:
            words.put(span, words.TEMPERATURE, asked.temperature)
    answer = _decode(_answer.decode, words.text(found, _OUT))
    if answer is not None:
        output = answer if answer.id else answer.llm_output or answer
        if output.id:
            words.put(span, words.RESPONSE_ID, output.id)
        if output.service_tier:
            words.put(span, words.TIER, output.service_tier)
    for event in span.events:
        if event.name == _FIRST_EVENT:
            event.name = words.FIRST_EVENT


def _put_kind(span: Span, kind: str, agent: str, found: dict[str, AnyValue]) -> None:
    """The operation of a span that is no call."""
    if kind == "TOOL":
        words.put(span, words.OPERATION, "execute_tool")
        if _IN in found:
            words.put_value(span, words.ARGUMENTS, found[_IN])
        if text := words.text(found, _OUT):
            result = read_json(text)
            if isinstance(result, dict):
                # LangChain's message around the result.
                result = result.get("data", result)
            put_result(span, text if result is None else result)
    elif (kind == "AGENT" and words.text(found, "agent.name")) or (agent and span.name == agent):
        # LangChain's agents are chains of that name.
        words.put(span, words.OPERATION, "invoke_agent")
    elif kind == "AGENT":
        words.put(span, words.OPERATION, "invoke_workflow")
        words.put(span, words.WORKFLOW, span.name)
    else:
        words.put(span, words.OPERATION, words.STEP)


def _decode(decode: Callable[[str], T], text: str) -> T | None:
    """What a JSON text says; None for what is none, or has other types."""
    if not text.startswith("{") or len(text) > _LARGEST:
        return None
    try:
        return decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


DIALECT = Dialect("openinference", 105, read_spans)
