"""Names as providers and instrumentations write them."""

from __future__ import annotations

import pytest

from fleetwatch.reckon.model_names import candidates, find, plain_name, split_provider


@pytest.mark.parametrize(
    ("provider", "model", "entry"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("OpenAI", "GPT-4o", "openai/gpt-4o"),
        ("openai", "openai/gpt-4o", "openai/gpt-4o"),
        ("openai", "gpt-5.4-2026-03-05", "openai/gpt-5.4"),
        ("anthropic", "claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5"),
        ("azure.ai.openai", "gpt-4o", "azure/gpt-4o"),
        ("az.ai.inference", "phi-4", "azure/phi-4"),
        ("gcp.gemini", "models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.vertex_ai", "projects/p/locations/l/publishers/google/models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("vertex_ai", "publishers/anthropic/models/claude-opus-4-5@20251101", "google/claude-opus-4-5"),
        ("aws.bedrock", "amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
        (
            "aws.bedrock",
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0",
            "aws/regional.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        (
            "aws.bedrock",
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
            "aws/regional.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        (
            "aws.bedrock",
            "arn:aws:bedrock:eu-west-1:1:inference-profile/global.anthropic.claude-haiku-4-5-20251001-v1:0",
            "aws/global.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        ("mistral_ai", "mistral-large-2512", "mistral/mistral-large-2512"),
        ("moonshot_ai", "kimi-k2", "moonshotai/kimi-k2"),
        ("openrouter", "openai/gpt-4o", "openrouter/openai/gpt-4o"),
    ],
)
def test_a_name_that_says_which_model_it_is_finds_that_entry(provider: str, model: str, entry: str) -> None:
    match = find(provider, model)
    assert match is not None
    assert (f"{match.provider.id}/{match.model.id}", match.exact) == (entry, True)


@pytest.mark.parametrize(
    ("provider", "model", "entry"),
    [
        ("cohere", "embed-v4.0-2026-01-31", "cohere/embed-v4.0"),
        ("cohere", "embed-v4.0-latest", "cohere/embed-v4.0"),
        ("gcp.gemini", "gemini-2.5-flash-preview-2026-01-01", "google/gemini-2.5-flash-preview"),
        ("gcp.gemini", "models/gemini-2.5-flash-preview-04-2027", "google/gemini-2.5-flash"),
        ("aws.bedrock", "global.moonshotai.kimi-k3-preview@20260101", "aws/global.moonshotai.kimi-k3"),
        ("unknown", "gpt-4o", "openai/gpt-4o"),
        ("", "claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("azure.ai.inference", "DeepSeek-R1", "azure/deepseek-reasoner"),
        ("my-gateway", "anthropic/claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
    ],
)
def test_a_near_model_or_a_guessed_provider_is_not_exact(provider: str, model: str, entry: str) -> None:
    match = find(provider, model)
    assert match is not None
    assert (f"{match.provider.id}/{match.model.id}", match.exact) == (entry, False)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gtp-4o"),
        ("openai", "-latest"),
        ("openai", "latest"),
        ("openai", "gpt4o"),
        ("groq", "gpt-4o"),
        ("ibm.watsonx.ai", "mistral-large-2512"),
        ("ollama", "mistral-large-2512"),
        ("unknown", "llama-3.3-70b"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:provisioned-model/a1b2c3d4e5f6"),
        ("openai", "gpt-4o" + "-latest" * 1000),
    ],
)
def test_nothing_fuzzier_is_found(provider: str, model: str) -> None:
    assert find(provider, model) is None


def test_paths_that_name_no_model_stay_as_they_are() -> None:
    for name in ("gpt-4o", "a/b", "models/", "arn:aws:bedrock:r:1:custom-model/x", "/", ""):
        assert plain_name(name) == name


def test_only_a_known_provider_is_split_off() -> None:
    assert split_provider("azure.ai.openai/gpt-4o") == ("azure.ai.openai", "gpt-4o")
    assert split_provider("meta-llama/Llama-3.3-70B") == ("", "meta-llama/Llama-3.3-70B")
    assert split_provider("openai/") == ("", "openai/")


def test_names_that_look_alike_are_offered_to_people() -> None:
    assert candidates("openai", "gtp-4o-mini")[0] == "openai/gpt-4o-mini"
    assert candidates("", "claude-sonet-4-5")[0] == "anthropic/claude-sonnet-4-5"
    assert candidates("openai", "\x00" * 10_000) == []
