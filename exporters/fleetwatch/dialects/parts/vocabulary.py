"""Other vocabularies in the conventions' words.

A dialect of this kind counts nothing itself: it writes OpenTelemetry's words onto the spans of its sender, and the
readers of the conventions do the rest. So a call has one identity, and the same tokens and outcome, whoever tells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

OPERATION: Final = "gen_ai.operation.name"
AGENT: Final = "gen_ai.agent.name"
WORKFLOW: Final = "gen_ai.workflow.name"
PROVIDER: Final = "gen_ai.provider.name"
ASKED: Final = "gen_ai.request.model"
ANSWERED: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
TEMPERATURE: Final = "gen_ai.request.temperature"
TIER: Final = "openai.response.service_tier"
FINISH: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
COST: Final = "gen_ai.usage.cost"
INPUT: Final = "gen_ai.usage.input_tokens"
OUTPUT: Final = "gen_ai.usage.output_tokens"
CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
AUDIO_IN: Final = "gen_ai.usage.audio.input_tokens"
AUDIO_OUT: Final = "gen_ai.usage.audio.output_tokens"
TOOL: Final = "gen_ai.tool.name"
CALL_ID: Final = "gen_ai.tool.call.id"
ARGUMENTS: Final = "gen_ai.tool.call.arguments"
RESULT: Final = "gen_ai.tool.call.result"
TOOL_STATUS: Final = "gen_ai.tool.status"
FIRST_EVENT: Final = "gen_ai.first_token"
STEP: Final = "execute_step"
"""An operation that is none of the conventions', for what keeps the tree whole and is neither agent, tool nor call."""

PROVIDERS: Final = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gen_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertexai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
}
"""Providers as these senders name them, lower case -> as the conventions do."""


def attributes_of(span: Span) -> dict[str, AnyValue]:
    """The span's attributes by name; the last of equal ones, as the readers of the conventions have it."""
    return {item.key: item.value for item in span.attributes}


def text(found: Mapping[str, AnyValue], *names: str) -> str:
    """The first of the attributes that is a text and not empty."""
    return next((value for name in names if name in found and (value := found[name].string_value)), "")


def put(span: Span, name: str, value: str | int | float) -> None:
    """One more attribute; it replaces an earlier one of that name."""
    made = span.attributes.add(key=name).value
    if isinstance(value, str):
        # JSON may hold half a character.
        made.string_value = value.encode("utf-8", "replace").decode()
    elif isinstance(value, int):
        made.int_value = value
    else:
        made.double_value = value


def put_value(span: Span, name: str, value: AnyValue) -> None:
    """The same for a value as it was sent."""
    span.attributes.add(key=name).value.CopyFrom(value)


def rename(span: Span, names: Mapping[str, str]) -> None:
    """Gives attributes the conventions' names. names: sent -> convention's."""
    for item in span.attributes:
        name = names.get(item.key)
        if name is not None:
            item.key = name


def put_provider(span: Span, sent: str) -> None:
    """The provider, where the conventions have another name for it."""
    name = PROVIDERS.get(sent.strip().lower())
    if name is not None:
        put(span, PROVIDER, name)
