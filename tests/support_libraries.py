"""The scripted calls of tests/fixtures/dialects/README.md: what they were, and what each library tells otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.dialects import Translation, translate_logs, translate_traces
from fleetwatch.records.llm import LlmCall, Tokens
from support_genai import DIALECTS, captured
from support_otlp import NOW

LIBRARIES = ("litellm", "openinference", "openlit", "openllmetry", "pydantic_ai")
FILES = sorted(
    f"{library}/{file.stem}"
    for library in LIBRARIES
    for file in (DIALECTS / library).glob("*.json")
    if file.stem != "metrics"
)


def translated(name: str) -> Translation:
    """What the request in tests/fixtures/dialects/NAME.json becomes."""
    if name.endswith("logs"):
        return translate_logs(captured(name, ExportLogsServiceRequest), NOW)
    return translate_traces(captured(name, ExportTraceServiceRequest), NOW)


class Asked(NamedTuple):
    """One scripted call, as it was."""

    model: str
    asked: str
    tokens: Tokens
    outcome: str = "ok"
    error_type: str = ""
    temperature: float | None = None
    service_tier: str = "default"
    has_first_token: bool = False


REFUSED = "gpt-4o-mini"
CALLS = {
    "plain": Asked("gpt-4o-2024-08-06", "gpt-4o", Tokens(input=86, cache_read=1920, output=300), temperature=0.2),
    "streamed": Asked(
        "o4-mini-2025-04-16",
        "o4-mini",
        Tokens(input=476, cache_read=1024, output=188, reasoning=512),
        has_first_token=True,
    ),
    "refused": Asked(REFUSED, "", Tokens(), "error", "RateLimitError", service_tier=""),
    "again": Asked("gpt-4o-mini-2024-07-18", "gpt-4o-mini", Tokens(input=100, output=20)),
}
TURNS = {
    "first": Asked("gpt-4.1-2025-04-14", "gpt-4.1", Tokens(input=400, output=40)),
    "second": Asked("gpt-4.1-2025-04-14", "gpt-4.1", Tokens(input=76, cache_read=384, output=60)),
}

NO_REASONING = {"tokens": Tokens(input=476, cache_read=1024, output=700)}
"""Output that was not told apart."""
Different = Mapping[str, Mapping[str, Any]]
ALL_CALLS, ALL_TURNS = tuple(CALLS), tuple(TURNS)


def every(names: tuple[str, ...], **told: Any) -> Different:
    """The same difference in several calls."""
    return dict.fromkeys(names, told)


def differences(*parts: Different) -> Different:
    """Call -> what is told of it in another way."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for name, told in part.items():
            found.setdefault(name, {}).update(told)
    return found


TOLD_OTHERWISE: dict[str, Different] = {
    # file: what it does not tell of the four calls, or tells in another way
    "openllmetry/spans": differences({"streamed": {**NO_REASONING, "service_tier": ""}}),
    "openllmetry/0.40-spans": differences(
        every(ALL_CALLS, service_tier=""),
        {"streamed": {"tokens": Tokens()}, "refused": {"error_type": "_OTHER"}},
    ),
    "openinference/spans": {"refused": {"error_type": "openai.RateLimitError"}},
    # A temperature that nobody asked for is told as 1.
    "openlit/spans": differences(every(("streamed", "again"), temperature=1.0), {"streamed": NO_REASONING}),
    "pydantic_ai/spans": differences(
        every(ALL_CALLS, service_tier=""), {"refused": {"error_type": "pydantic_ai.exceptions.ModelRateLimitError"}}
    ),
    "pydantic_ai/logfire-openai-spans": differences(
        every(ALL_CALLS, service_tier=""),
        {
            "streamed": {"model": "o4-mini", "asked": "", "has_first_token": False},
            "refused": {"error_type": "openai.RateLimitError"},
        },
    ),
    "litellm/spans": {"streamed": {"model": "o4-mini", "asked": "", "has_first_token": False}},
    # The proxy names the model as its settings do.
    "litellm/proxy-spans": differences(
        {"plain": {"model": "gpt-4o"}, "streamed": {"model": "o4-mini"}, "again": {"model": "gpt-4o-mini"}},
        every(ALL_CALLS, asked="", has_first_token=False),
    ),
    "litellm/proxy-2-spans": differences(
        {"plain": {"model": "gpt-4o"}, "streamed": {"model": "o4-mini"}, "again": {"model": "gpt-4o-mini"}},
        every(ALL_CALLS, asked="", service_tier=""),
        {"streamed": NO_REASONING},
    ),
}
TURNS_TOLD_OTHERWISE: dict[str, Different] = {
    # file: the same of the agent's two calls
    "openllmetry/spans": {},
    "openllmetry/langchain-spans": every(ALL_TURNS, service_tier=""),
    "openllmetry/openai-agents-spans": every(ALL_TURNS, service_tier="", asked="", temperature=1.0),
    "openinference/openai-agents-spans": every(ALL_TURNS, asked="", temperature=1.0),
    "openinference/langchain-spans": {},
    "openlit/openai-agents-spans": every(ALL_TURNS, temperature=1.0),
    "pydantic_ai/spans": every(ALL_TURNS, service_tier=""),
    "pydantic_ai/0.4-spans": every(ALL_TURNS, service_tier=""),
}
KEYS_NOT_TOLD = {
    # (file, call): no response id, so that only the place in the trace tells two sightings of it apart
    ("pydantic_ai/logfire-openai-spans", "streamed"),
}


def told(call: LlmCall) -> Asked:
    return Asked(
        call.model,
        call.asked,
        call.tokens,
        call.outcome,
        call.error_type,
        call.temperature,
        call.service_tier,
        call.first_token is not None,
    )


def expected(calls: Mapping[str, Asked], other: Different) -> Iterator[Asked]:
    """The scripted calls as a library tells them."""
    assert other.keys() <= calls.keys()
    for name, call in calls.items():
        yield call._replace(**other.get(name, {}))
