"""Who sold it and what is it called in the price table.

Only rules that cannot mistake one model for another: table rows, the price table's own match clauses, wrappers that
name the model inside (ARNs, resource paths, provider prefixes), and for a near model the removal of a date, `-latest`
or `-preview` at the end.

Bedrock: cross-region inference profiles (`us.`, `eu.`, `apac.`, `global.` ...) are models of their own in the price
table, since regional ones cost 10 % more for newer models. ARNs of foundation models and of system inference profiles
end with the model's name. An ARN of an application inference profile, imported or provisioned model does not: map it
in `prices.models`. Vertex AI: the table has no regional prices; see PriceBook.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import NamedTuple

from genai_prices.data import providers as PROVIDERS  # noqa: N812 - the table is a constant
from genai_prices.types import ModelInfo, Provider

LONGEST_NAME = 256
"""Characters. Longer model names are not looked up: Bedrock's ARNs, the longest real ones, stay below."""

BY_ID = {provider.id: provider for provider in PROVIDERS}

# OpenTelemetry's gen_ai.provider.name, and the gen_ai.system of older versions, to the price table's provider.
PROVIDER_IDS = {
    "aws.bedrock": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "gemini": "google",
    "vertex_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "moonshot_ai": "moonshotai",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
}

# Whoever runs these sets the price: the maker's own price of the same model would be a wrong one.
WITHOUT_LIST_PRICES = frozenset({"ibm.watsonx.ai", "aws.sagemaker", "ollama", "vllm", "llama_cpp", "lm_studio"})

# Makers whose list prices resellers keep. The table looks models that a reseller lacks up at their makers.
SAME_PRICE_EVERYWHERE = ("openai", "anthropic")

_UNFINISHED = re.compile(r"[-@](?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d|latest|preview(?:-\d\d-(?:\d\d|20\d\d))?)$")


class Match(NamedTuple):
    """Where a call's price stands in the table."""

    provider: Provider
    model: ModelInfo
    exact: bool
    """False for a near model, a provider told by nothing but the model's name, or another reseller's price."""

    @property
    def own(self) -> bool:
        """The provider's own entry, not that of the maker whose models it resells."""
        return any(self.model is model for model in self.provider.models)


def provider_for(name: str) -> Provider | None:
    """The table's provider for OpenTelemetry's name or the table's own id; None when it has none."""
    name = name.strip().lower()
    return BY_ID.get(PROVIDER_IDS.get(name, name))


def maker_of(model: str) -> Provider | None:
    """The provider whose own models are named like this one, by the price table's clauses."""
    name = model.lower()
    return next((item for item in PROVIDERS if item.model_match is not None and item.model_match.is_match(name)), None)


def split_provider(model: str) -> tuple[str, str]:
    """`azure.ai.openai/gpt-4o` -> (`azure.ai.openai`, `gpt-4o`); ("", model) when the front is no known provider."""
    front, slash, rest = model.partition("/")
    return (front, rest) if slash and rest and provider_for(front) is not None else ("", model)


def find(provider_name: str, model: str) -> Match | None:
    """The price table's entry for what a call says of itself; None when the table has none."""
    if not model or len(model) > LONGEST_NAME or provider_name.strip().lower() in WITHOUT_LIST_PRICES:
        return None
    provider = provider_for(provider_name)
    known = provider is not None
    if provider is None:
        front, model = split_provider(model)
        provider = provider_for(front) if front else maker_of(plain_name(model))
    if provider is None:
        return None
    for name, exact in _spellings(provider, model):
        found = provider.find_model(name, all_providers=PROVIDERS)
        if found is not None:
            return Match(provider, found, exact and known and _at_this_price(provider, found))
    return None


def _at_this_price(provider: Provider, found: ModelInfo) -> bool:
    sellers = (provider, *(BY_ID[maker] for maker in SAME_PRICE_EVERYWHERE))
    return any(found is model for seller in sellers for model in seller.models)


def plain_name(model: str) -> str:
    """The model inside an ARN or resource path: `arn:aws:bedrock:...:foundation-model/NAME`, `models/NAME`,
    `projects/P/locations/L/publishers/google/models/NAME`; every other name as it is.
    """
    kind, _, name = model.rpartition("/")
    if name and (kind == "models" or kind.endswith("/models")):
        return name
    if name and model.startswith("arn:") and kind.endswith((":foundation-model", ":inference-profile")):
        return name
    return model


def _spellings(provider: Provider, model: str) -> Iterator[tuple[str, bool]]:
    """(name, whether it names the same model for sure), best first."""
    yield model, True
    name = plain_name(model)
    if name != model:
        yield name, True
    front, rest = split_provider(name)
    if front and provider_for(front) is provider:
        name = rest
        yield name, True
    while (shorter := _UNFINISHED.sub("", name)) != name and shorter:
        name = shorter
        yield name, False


def candidates(provider_name: str, model: str, at_most: int = 5) -> list[str]:
    """Names in the price table that look like `model`, as `provider/model`, nearest first: only for people."""
    provider = provider_for(provider_name) or maker_of(model)
    pool = [provider] if provider is not None else [item for item in PROVIDERS if item.model_match is not None]
    names = {entry.id.lower(): f"{item.id}/{entry.id}" for item in pool for entry in item.models}
    return [names[name] for name in difflib.get_close_matches(model.lower()[:LONGEST_NAME], names, at_most, 0.5)]
