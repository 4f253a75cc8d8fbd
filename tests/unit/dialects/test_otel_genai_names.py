from __future__ import annotations

import pytest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

from fleetwatch.dialects.otel_genai_names import ATTRIBUTES, Labels, Words, labels_of
from fleetwatch.dialects.parts.resource import resource_of
from support_otlp import key_values


def labels(resource: dict[str, str] | None = None, **sent: str | int) -> Labels:
    words = Words(*[0, 0], *[""] * (len(Words._fields) - 2))._replace(**sent)  # type: ignore[arg-type]  # texts or numbers
    return labels_of(words, resource_of(ResourceMessage(attributes=key_values(resource or {}))))


@pytest.mark.parametrize(
    ("sent", "provider"),
    [
        ("openai", "openai"),
        ("OpenAI", "openai"),
        ("az.ai.inference", "azure.ai.inference"),
        ("az.ai.openai", "azure.ai.openai"),
        ("azure.ai.openai", "azure.ai.openai"),
        ("vertex_ai", "gcp.vertex_ai"),
        ("gemini", "gcp.gemini"),
        ("gcp.gemini", "gcp.gemini"),
        ("xai", "x_ai"),
        ("aws.bedrock", "aws.bedrock"),
        ("our-gateway", "our-gateway"),
        ("_OTHER", "unknown"),
        ("", "unknown"),
    ],
)
def test_providers_have_their_newest_name(sent: str, provider: str) -> None:
    assert labels(provider=sent).provider == provider


@pytest.mark.parametrize(
    ("resource", "sent", "agent", "team"),
    [
        ({}, {}, "unknown", "unknown"),
        ({"service.name": "api"}, {}, "api", "unknown"),
        ({"service.name": "api", "service.namespace": "shop"}, {}, "api", "shop"),
        ({"service.name": "api", "gen_ai.agent.name": "helper"}, {}, "helper", "unknown"),
        ({"service.name": "api", "gen_ai.agent.name": "helper"}, {"agent": "planner"}, "planner", "unknown"),
        ({"service.namespace": "shop", "team": "ops"}, {}, "unknown", "ops"),
        ({"team.id": "t1", "team.name": "ops"}, {}, "unknown", "t1"),
        ({"team.name": "ops"}, {"team": "ml"}, "unknown", "ml"),
        ({"team": "\x00 \n"}, {}, "unknown", "\ufffd"),
    ],
)
def test_who_made_the_call(resource: dict[str, str], sent: dict[str, str], agent: str, team: str) -> None:
    found = labels(resource, **sent)
    assert (found.agent, found.team) == (agent, team)


@pytest.mark.parametrize(
    ("resource_region", "sent", "region"),
    [
        ("", {"address": "bedrock-runtime.us-east-1.amazonaws.com"}, "us-east-1"),
        ("", {"address": "https://bedrock-runtime.us-gov-west-1.amazonaws.com/model/x"}, "us-gov-west-1"),
        ("", {"address": "us-central1-aiplatform.googleapis.com"}, "us-central1"),
        ("", {"address": "eastus2.api.cognitive.microsoft.com"}, "eastus2"),
        ("", {"address": "our.openai.azure.com"}, ""),
        ("", {"address": "api.openai.com"}, ""),
        ("", {"region": "eu-west-1"}, "eu-west-1"),
        ("eu-west-1", {"address": "bedrock-runtime.us-east-1.amazonaws.com", "region": "eu-west-2"}, "us-east-1"),
        ("eu-west-1", {"provider": "aws.bedrock"}, "eu-west-1"),
        # Where the sender runs says nothing of where OpenAI does.
        ("eu-west-1", {"provider": "openai"}, ""),
    ],
)
def test_where_the_model_ran(resource_region: str, sent: dict[str, str], region: str) -> None:
    assert labels({"cloud.region": resource_region}, **sent).region == region


@pytest.mark.parametrize(
    "model",
    [
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1:1:inference-profile/x",
        "our-gpt4-deployment",
    ],
)
def test_models_and_deployments_stay_as_sent(model: str) -> None:
    assert labels(request_model=model).model == model


def test_the_model_that_answered_wins() -> None:
    assert labels(request_model="gpt-4o", response_model="gpt-4o-2024-08-06").model == "gpt-4o-2024-08-06"


@pytest.mark.parametrize(
    ("sent", "operation"), [("Chat", "chat"), ("embedding", "embeddings"), ("completion", "text_completion")]
)
def test_spellings_of_operations(sent: str, operation: str) -> None:
    found = labels(operation=sent)
    assert (found.operation, found.counted, found.needs_usage) == (operation, True, False)


def test_every_word_has_an_attribute_or_comes_from_the_span_itself() -> None:
    assert set(Words._fields) - set(ATTRIBUTES) == {"resource", "status", "finish_reason"}
