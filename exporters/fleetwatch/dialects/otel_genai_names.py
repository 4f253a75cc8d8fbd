"""The words of the OpenTelemetry GenAI conventions, 1.27 to the newest draft, and what they mean here.

Three generations differ in names, not in meaning. An attribute has one newest name; older names count only where the
newest is missing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fleetwatch.dialects.parts.resource import TEAM_KEYS, Resource
from fleetwatch.dialects.parts.text import UNKNOWN, clean

CHAT = "chat"
COUNTED = frozenset({CHAT, "text_completion", "generate_content", "embeddings"})
"""Operations that ask a model."""
_OLD_OPERATIONS = {"completion": "text_completion", "embedding": "embeddings"}
_WRAPPER = re.compile(
    r"create_agent|fetch_response|plan|retrieval|workflow|.*memory.*"
    # Frameworks have more of a kind: invoke_swarm, execute_event_loop_cycle.
    r"|(?:invoke|execute|run)_(?!.*(?:model|llm|inference|completion|embedding)).*"
)
"""Operations that repeat the tokens of the calls inside them, or of an earlier call."""

PROVIDERS = {
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "vertex_ai": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "xai": "x_ai",
    # "some other provider" in the conventions; here `_other` is the word for values past a label's bound.
    "_other": UNKNOWN,
} | dict.fromkeys(("microsoft.agent_framework", "strands-agents"), UNKNOWN)
"""Old names of providers, lower case -> newest. The last are frameworks, which some senders tell as provider."""

_REFUSALS = frozenset(
    {
        "blocklist",
        "content_filter",
        "content_filtered",
        "content_policy_violation",
        "contentfilterfinishreasonerror",
        "guardrail_intervened",
        "prohibited_content",
        "refusal",
        "responsibleaipolicyviolation",
        "safety",
        "spii",
    }
)
"""Finish reasons and error types of a model or its filter that declined to answer, lower case."""
_TIMEOUT = re.compile(r"time_?d?_?out|deadline|^(408|504)$", re.IGNORECASE)
_CANCELLED = re.compile(r"cancel|abort|generatorexit|keyboardinterrupt|^499$", re.IGNORECASE)
_OTHER_ERROR = "_OTHER"
"""The conventions' error.type for "no type known"."""

STATUS_OK, STATUS_ERROR = 1, 2

_CLOUDS = ("aws.", "azure.", "gcp.")
# bedrock-runtime.us-east-1.amazonaws.com, us-central1-aiplatform.googleapis.com, eastus.api.cognitive.microsoft.com
_REGION_IN_HOST = re.compile(
    r"(?:^|[/.])(?:bedrock[a-z-]*\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:amazonaws|api\.aws)"
    r"|([a-z]+-[a-z]+\d)-aiplatform\.googleapis\.com"
    r"|([a-z]+\d?)\.api\.cognitive\.microsoft\.com)",
    re.IGNORECASE,
)


class Words(NamedTuple):
    """Texts of a call as sent, in the order of the span reader's row; empty where missing. status: OTLP status code."""

    resource: int
    status: int
    operation: str
    provider: str
    response_model: str
    request_model: str
    agent: str
    team: str
    error_type: str
    finish_reason: str
    response_tier: str
    request_tier: str
    region: str
    address: str


class Labels(NamedTuple):
    """What a span's texts say.

    counted: may be a call of a model. needs_usage: is one only with tokens, for the operation is missing or unknown.
    """

    counted: bool
    needs_usage: bool
    agent: str
    team: str
    provider: str
    model: str
    operation: str
    outcome: str
    error_type: str
    service_tier: str
    region: str
    batch: bool
    asked: str


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    # field of Words: names of the attribute, newest first
    "operation": ("gen_ai.operation.name",),
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "response_model": ("gen_ai.response.model",),
    "request_model": ("gen_ai.request.model",),
    "agent": ("gen_ai.agent.name",),
    "team": TEAM_KEYS,
    "error_type": ("error.type",),
    "response_tier": (
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "gen_ai.response.service_tier",
    ),
    "request_tier": (
        "openai.request.service_tier",
        "gen_ai.openai.request.service_tier",
        "gen_ai.request.service_tier",
    ),
    "region": ("aws.region", "cloud.region"),
    "address": ("server.address",),
}


def labels_of(words: Words, resource: Resource) -> Labels:
    """Labels of a span with at least an operation or a model."""
    operation, counted = _operation(clean(words.operation).lower())
    provider = provider_of(words.provider)
    outcome, error_type = outcome_of(words.status, words.error_type, words.finish_reason)
    tier = clean(words.response_tier).lower() or clean(words.request_tier).lower()
    answered, asked = clean(words.response_model), clean(words.request_model)
    return Labels(
        counted=counted,
        needs_usage=not words.operation or operation == "other",
        agent=clean(words.agent) or resource.agent,
        team=clean(words.team) or resource.team,
        provider=provider,
        model=answered or asked or UNKNOWN,
        operation=operation,
        outcome=outcome,
        error_type=error_type,
        # "auto" asks the provider to choose: what it chose is not known.
        service_tier="" if tier == "auto" else tier,
        region=_region(words, provider, resource),
        batch=tier == "batch",
        asked=asked if answered and answered != asked else "",
    )


def provider_of(sent: str) -> str:
    """The provider by its newest name."""
    provider = clean(sent).lower()
    return PROVIDERS.get(provider, provider) or UNKNOWN


def is_wrapper(operation: str) -> bool:
    """Whether a span of this operation, as sent, is never a call of a model."""
    return not _operation(clean(operation).lower())[1]


def _operation(name: str) -> tuple[str, bool]:
    """(operation, whether it asks a model). A call without an operation is a chat: the commonest by far."""
    name = _OLD_OPERATIONS.get(name, name)
    if not name:
        return CHAT, True
    if name in COUNTED:
        return name, True
    return "other", not _WRAPPER.fullmatch(name)


def outcome_of(status: int, error_type: str, finish_reason: str) -> tuple[str, str]:
    """(outcome, error type) by the span's status, `error.type` and the model's finish reason.

    refused: the model or a content filter declined, by finish reason or error type, whatever the status says.
    timeout, cancelled: by the error type's name or HTTP status (408, 504; 499). error: every other failure, also rate
    limits and missing rights. A span whose status is Ok succeeded even with an error type: it was handled.
    """
    error, finish = clean(error_type), clean(finish_reason).lower()
    if finish in _REFUSALS:
        return "refused", error or finish
    if status != STATUS_ERROR and (not error or status == STATUS_OK):
        return "ok", ""
    error = error or _OTHER_ERROR
    if error.rsplit(".", 1)[-1].lower() in _REFUSALS:
        return "refused", error
    if _TIMEOUT.search(error):
        return "timeout", error
    return ("cancelled" if _CANCELLED.search(error) else "error"), error


def _region(words: Words, provider: str, resource: Resource) -> str:
    """Where the model ran: the host name knows best, then the call's own region.

    The region of the sender's machine says something only where machine and model are of one cloud.
    """
    match = _REGION_IN_HOST.search(clean(words.address))
    if match:
        return next(group for group in match.groups() if group).lower()
    return clean(words.region) or (resource.region if provider.startswith(_CLOUDS) else "")
