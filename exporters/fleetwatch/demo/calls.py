"""What the trace does not tell: who called which model, and how it went. Spread over the calls by a seeded generator.

Token counts of chat calls are the trace's. Shares are those of mixed production traffic: most calls stream, a third of
the input comes from a cache, reasoning models think before they write, one call in fifty fails.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fleetwatch.demo.trace import Row


class Agent(NamedTuple):
    name: str
    team: str
    share: int


class Model(NamedTuple):
    """One model as its provider's SDK tells it. first: seconds to the first token; speed: output tokens a second."""

    provider: str
    requested: str
    answered: str
    share: int
    first: float
    speed: float
    operation: str = "chat"
    reasons: bool = False
    writes_cache: bool = False
    address: str = ""
    region: str = ""


AGENTS = (
    Agent("code-review", "platform", 30),
    Agent("completion", "platform", 24),
    Agent("triage", "support", 16),
    Agent("answers", "support", 10),
    Agent("contract-reader", "legal", 6),
    Agent("release-notes", "docs", 6),
    Agent("search-index", "docs", 5),
    Agent("forecast", "finance", 3),
)
BEDROCK_SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
BEDROCK_HOST = "bedrock-runtime.us-east-1.amazonaws.com"
GEMINI_HOST = "generativelanguage.googleapis.com"
MODELS = (
    Model("openai", "gpt-4o", "gpt-4o-2024-08-06", 20, 0.45, 80, address="api.openai.com"),
    Model("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", 18, 0.35, 110, address="api.openai.com"),
    Model("openai", "gpt-5", "gpt-5-2025-08-07", 8, 2.5, 70, reasons=True, address="api.openai.com"),
    Model(
        "anthropic",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
        16,
        0.9,
        65,
        writes_cache=True,
        address="api.anthropic.com",
    ),
    Model(
        "anthropic",
        "claude-haiku-4-5",
        "claude-haiku-4-5-20251001",
        8,
        0.5,
        120,
        writes_cache=True,
        address="api.anthropic.com",
    ),
    Model("gcp.gemini", "gemini-2.5-pro", "gemini-2.5-pro", 8, 1.8, 90, reasons=True, address=GEMINI_HOST),
    Model("gcp.gemini", "gemini-2.5-flash", "gemini-2.5-flash", 6, 0.4, 180, address=GEMINI_HOST),
    Model(
        "aws.bedrock",
        BEDROCK_SONNET,
        BEDROCK_SONNET,
        6,
        1.1,
        60,
        writes_cache=True,
        address=BEDROCK_HOST,
        region="us-east-1",
    ),
    # A model of the house: no price list knows it, so its calls show up as unpriced.
    Model("openai", "acme-coder-7b", "acme-coder-7b", 2, 0.2, 150, address="llm.internal.example"),
    Model(
        "openai", "text-embedding-3-small", "text-embedding-3-small", 8, 0.05, 0, "embeddings", address="api.openai.com"
    ),
)  # fmt: skip - one model a line reads as the table that it is
ERRORS = (("429", "error"), ("500", "error"), ("timeout", "timeout"), ("RateLimitError", "error"))


class Call(NamedTuple):
    """One call. Token counts as the conventions have them: input includes the cache's, output the reasoning.

    at: seconds after the first; duration and first_token: seconds. seed: 64 bits of its own for ids.
    """

    at: float
    seed: int
    agent: Agent
    model: Model
    outcome: str
    error_type: str
    finish_reason: str
    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int
    duration: float
    first_token: float | None
    service_tier: str


def spread(rows: Iterable[Row], seed: int, run_id: str) -> Iterator[Call]:
    """A call for each row. `seed` decides who and how; `run_id` only the ids."""
    choose = random.Random(seed)  # noqa: S311 - a demo must repeat, not surprise
    agents = [agent.share for agent in AGENTS]
    models = [model.share for model in MODELS]
    for number, row in enumerate(rows):
        agent = choose.choices(AGENTS, agents)[0]
        model = choose.choices(MODELS, models)[0]
        digest = hashlib.blake2b(f"{run_id}/{number}".encode(), digest_size=8).digest()
        yield _call(row, int.from_bytes(digest), agent, model, choose)


def _call(row: Row, seed: int, agent: Agent, model: Model, choose: random.Random) -> Call:
    embeds = model.operation == "embeddings"
    error_type, outcome, finish = "", "ok", "" if embeds else "stop"
    if choose.random() < 0.02:
        error_type, outcome = choose.choice(ERRORS)
        finish = ""
    elif not embeds and choose.random() < 0.003:
        outcome, finish = "refused", "content_filter"
    failed = bool(error_type)
    output = 0 if embeds or failed else row.generated_tokens
    reasoning = 0
    if model.reasons and output:
        reasoning = int(output * choose.uniform(0.5, 4))
        output += reasoning
    context = 0 if failed else row.context_tokens
    caches = context > 1024 and not embeds
    cache_read = int(context * choose.uniform(0.5, 0.95)) if caches and choose.random() < 0.45 else 0
    cache_write = int((context - cache_read) * 0.8) if model.writes_cache and caches and choose.random() < 0.3 else 0
    first: float | None = model.first * choose.lognormvariate(0, 0.35)
    duration = (first or 0) + (output / model.speed if model.speed else 0) * choose.uniform(0.8, 1.3)
    if error_type == "timeout":
        duration = 60.0
    if embeds or failed or choose.random() > 0.7:
        first = None
    tier = ""
    if model.provider == "openai" and not embeds and not failed:
        tier = choose.choices(("default", "flex", "priority"), (90, 7, 3))[0]
    return Call(
        row.at,
        seed,
        agent,
        model,
        outcome,
        error_type,
        finish,
        context,
        cache_read,
        cache_write,
        output,
        reasoning,
        duration,
        first,
        tier,
    )  # fmt: skip - in the order of the record


def truth(calls: Iterable[Call], run_id: str) -> dict[str, object]:
    """What a receiver must have counted: calls by label set, tokens by label set and kind (kinds do not overlap).

    A failed call goes under the model that answers to its name, which a receiver knows from earlier calls.
    """
    requests: dict[tuple[str, ...], int] = {}
    tokens: dict[tuple[str, ...], int] = {}
    for call in calls:
        who = (call.agent.name, call.agent.team, call.model.provider, call.model.answered)
        key = (*who, call.model.operation, call.outcome)
        requests[key] = requests.get(key, 0) + 1
        kinds = {
            "input": call.input - call.cache_read - call.cache_write,
            "cache_read": call.cache_read,
            "cache_write": call.cache_write,
            "output": call.output - call.reasoning,
            "reasoning": call.reasoning,
        }
        for kind, count in kinds.items():
            if count:
                tokens[*who, kind] = tokens.get((*who, kind), 0) + count
    who_names = ("agent", "team", "provider", "model")
    return {
        "run_id": run_id,
        "calls": sum(requests.values()),
        "requests": [
            dict(zip((*who_names, "operation", "outcome"), key, strict=True)) | {"value": value}
            for key, value in sorted(requests.items())
        ],
        "tokens": [
            dict(zip((*who_names, "kind"), key, strict=True)) | {"value": value}
            for key, value in sorted(tokens.items())
        ],
    }
