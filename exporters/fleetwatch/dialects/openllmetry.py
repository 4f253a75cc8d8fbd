"""OpenLLMetry (Traceloop): its instrumentations of vendors' SDKs and frameworks, and the decorators of its own SDK.

The newest generation speaks the conventions with a few words of its own; older ones (to 0.4x) had `llm.*` beside them.
Its metrics are the conventions' but for their units, which say nothing new.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_agents import UNNAMED_WORKFLOWS
from fleetwatch.dialects.parts import vocabulary as words
from fleetwatch.dialects.parts.dialect import Batch, Dialect
from fleetwatch.dialects.parts.resource import Resource
from fleetwatch.dialects.parts.tool_texts import put_result, read_json, shortest
from fleetwatch.dialects.parts.versions import count_outside

OLDEST, NEWEST = (0, 40), (0, 62)
"""Versions that were tried."""

_PREFIX: Final = "opentelemetry.instrumentation."
_LIBRARIES: Final = frozenset(
    {
        "agno",
        "alephalpha",
        "anthropic",
        "bedrock",
        "cohere",
        "crewai",
        "google_generativeai",
        "groq",
        "haystack",
        "langchain",
        "litellm",
        "llamaindex",
        "mcp",
        "mistralai",
        "ollama",
        "openai",
        "openai_agents",
        "replicate",
        "sagemaker",
        "together",
        "transformers",
        "vertexai",
        "voyageai",
        "watsonx",
        "writer",
    }
)
"""OpenTelemetry's own instrumentations have other names, but for vertexai, which has none of the words below."""

_RENAMED: Final = {
    "gen_ai.usage.reasoning_tokens": words.REASONING,
    "llm.usage.reasoning_tokens": words.REASONING,
    "gen_ai.usage.cache_read_input_tokens": words.CACHE_READ,
    "gen_ai.usage.cache_creation_input_tokens": words.CACHE_WRITE,
    "gen_ai.response.finish_reason": words.FINISH,
    "llm.response.finish_reason": words.FINISH,
    "gen_ai.completion.0.finish_reason": words.FINISH,
}
_OLD_OPERATION: Final = "llm.request.type"
_CHUNK: Final = "llm.content.completion.chunk"
_KIND, _ENTITY, _WORKFLOW = "traceloop.span.kind", "traceloop.entity.name", "traceloop.workflow.name"
_GRAPH_AGENT: Final = "traceloop.association.properties.lc_agent_name"
_ENTITY_INPUT, _ENTITY_OUTPUT = "traceloop.entity.input", "traceloop.entity.output"
READ: Final = (*_RENAMED, _OLD_OPERATION, _KIND, _ENTITY, _WORKFLOW, _GRAPH_AGENT, _ENTITY_INPUT, _ENTITY_OUTPUT)
"""Attributes that are read beside those of the conventions. The last two hold texts."""

_UNNAMED: Final = {name.lower(): name for name in UNNAMED_WORKFLOWS}


def to_conventions(resource: Resource, spans: Iterable[Span], batch: Batch) -> Iterable[Span]:  # noqa: ARG001 - a Dialect's shape
    """The spans, for the next reader."""
    if not _is_ours(batch.scope.name):
        return spans
    spans = list(spans)
    for span in spans:
        count_outside(batch, DIALECT.name, OLDEST, NEWEST)
        _translate(span)
    return spans


def name_family(resource: Resource, scope: ScopeMetrics, batch: Batch) -> bool:  # noqa: ARG001 - a Dialect's shape
    """Makes its instrumentations one: that of a framework keeps those of the SDKs below it silent."""
    if _is_ours(scope.scope.name):
        batch.family = DIALECT.name
    return False


def _is_ours(scope: str) -> bool:
    if scope.startswith(_PREFIX):
        return scope[len(_PREFIX) :].partition(".")[0] in _LIBRARIES
    return scope.startswith(("traceloop.", "@traceloop/"))


def _translate(span: Span) -> None:
    words.rename(span, _RENAMED)
    for event in span.events:
        if event.name == _CHUNK:
            event.name = words.FIRST_EVENT
            break
    found = words.attributes_of(span)
    words.put_provider(span, words.text(found, words.PROVIDER, "gen_ai.system"))
    if words.AGENT not in found and (agent := words.text(found, _GRAPH_AGENT)):
        words.put(span, words.AGENT, agent)
    operation = words.text(found, words.OPERATION)
    kind = words.text(found, _KIND)
    if not operation and (old := words.text(found, _OLD_OPERATION)):
        words.put(span, words.OPERATION, old)
    elif not operation and kind:
        _put_kind(span, kind, found)
    if operation == "execute_tool" or kind == "tool":
        _put_tool(span, found)


def _put_kind(span: Span, kind: str, found: dict[str, AnyValue]) -> None:
    """The operation of a span that a decorator made, or a framework's."""
    name = words.text(found, _ENTITY)
    if kind == "tool":
        words.put(span, words.OPERATION, "execute_tool")
        words.put(span, words.TOOL, words.text(found, words.TOOL) or name)
    elif kind == "agent":
        words.put(span, words.OPERATION, "invoke_agent")
        words.put(span, words.AGENT, name or words.text(found, words.AGENT))
    elif kind == "workflow":
        name = name or words.text(found, _WORKFLOW)
        words.put(span, words.OPERATION, "invoke_workflow")
        words.put(span, words.WORKFLOW, _UNNAMED.get(name.lower(), name))
    else:
        words.put(span, words.OPERATION, words.STEP)


def _put_tool(span: Span, found: dict[str, AnyValue]) -> None:
    """Arguments and result of a tool without what is around them, which differs from call to call."""
    text = words.text(found, words.ARGUMENTS, _ENTITY_INPUT)
    arguments = read_json(text)
    if isinstance(arguments, dict):
        words.put(span, words.ARGUMENTS, shortest(_arguments(arguments)))
    elif text:
        words.put(span, words.ARGUMENTS, text)
    text = words.text(found, words.RESULT, _ENTITY_OUTPUT)
    result = read_json(text)
    if isinstance(result, dict):
        # LangChain's message around the result.
        result = result.get("output", result)
        if isinstance(result, dict):
            result = result.get("kwargs", result)
        put_result(span, result)
    elif text:
        # A decorator writes texts as JSON.
        words.put(span, words.RESULT, result if isinstance(result, str) else text)


def _arguments(told: dict[str, Any]) -> Any:
    if "input_str" in told:
        return told.get("inputs") or told["input_str"]
    if told.keys() == {"args", "kwargs"} and not told["args"]:
        return told["kwargs"]
    return told


DIALECT = Dialect("openllmetry", 70, to_conventions, name_family)
