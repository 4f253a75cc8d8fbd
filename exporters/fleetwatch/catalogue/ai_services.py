"""AI services of AWS, as CloudWatch tells of them: calls, tokens, cost, latency, health.

All counters are the exporter's own. CloudWatch gives sums per minute; each minute is added once, so `rate()` and
`increase()` work as usual. They count from the exporter's first look on and go on after a restart.

Calls that were also seen as spans are in the `llm` domain, too: never add `ai_service_*` to `llm_*`.
"""

from __future__ import annotations

from fleetwatch.catalogue.aws import ACCOUNT, REGION
from fleetwatch.catalogue.metric import counter, gauge, label

SERVICE = label(
    "service",
    "What of AWS answered.",
    one_of=(
        "bedrock",
        "bedrock_mantle",
        "bedrock_agents",
        "bedrock_guardrails",
        "agentcore",
        "q_business",
        "q_apps",
        "textract",
        "comprehend",
    ),
)
RESOURCE = label(
    "resource",
    "What was called: model id, agent alias, guardrail and version, runtime, application, endpoint; `all` where the "
    "service tells none.",
    at_most=300,
)
OPERATION = label("operation", "Operation of the service's API; empty where it tells none.", at_most=100)
OUTCOME = label(
    "outcome",
    "How the calls ended; error: the service does not say whose fault it was.",
    one_of=("ok", "client_error", "server_error", "error", "throttled"),
)
KIND = label(
    "kind",
    "Kind of token; kinds do not overlap, so their sum is the total.",
    one_of=("input", "cache_read", "cache_write", "output"),
)
STAGE = label(
    "stage",
    "Which time: of the whole call; to the first token; of the model within an agent's call; of a chat; of a session.",
    one_of=("whole", "first_token", "model", "chat", "session"),
)
ITEM = label(
    "item",
    "What was counted besides calls and tokens.",
    one_of=(
        "image",
        "text_unit",
        "intervention",
        "finding",
        "model_call",
        "session",
        "chat_message",
        "chat_without_answer",
        "chat_blocked",
        "chat_hallucinated",
        "action",
        "action_error",
        "document_indexed",
        "document_failed",
        "app_run",
        "unit_requested",
        "unit_consumed",
        "legacy_model_call",
        "log_delivered",
        "log_lost",
    ),
)
LEVEL = label(
    "level",
    "What stands there: documents, open sessions, inference units provisioned, share of them in use (1 is all), tokens "
    "a minute that count for the quota, as AWS estimates them.",
    one_of=("documents", "sessions", "units_provisioned", "units_used_ratio", "quota_tokens_per_minute"),
)
CONFIDENCE = label("confidence", "How sure the cost is: always from aggregates.", one_of=("estimated",))
STATE = label(
    "state",
    "Worst of the service's resources, by the share of calls that failed or were turned away; no_data: no calls.",
    one_of=("ok", "degraded", "throttled", "failing", "no_data"),
)
READ = label(
    "read", "Whether its figures are read; no: the exporter does not know its dimensions.", one_of=("yes", "no")
)

WHERE = (ACCOUNT, REGION)

REQUESTS = counter(
    "ai_service.requests",
    unit="{request}",
    help="Calls to the service by outcome; the outcomes do not overlap.",
    labels=(SERVICE, RESOURCE, OPERATION, *WHERE, OUTCOME),
)
TOKENS = counter(
    "ai_service.tokens",
    unit="{token}",
    help="Tokens of these calls by kind. An agent's tokens may be among its model's, too: do not add services.",
    labels=(SERVICE, RESOURCE, OPERATION, *WHERE, KIND),
)
COST = counter(
    "ai_service.cost.usd",
    unit="{USD}",
    help="Cost of the tokens at list or contract price; models without a known price are missing, never 0.",
    labels=(SERVICE, RESOURCE, *WHERE, CONFIDENCE),
)
UNPRICED = counter(
    "ai_service.unpriced_tokens",
    unit="{token}",
    help="Tokens of models whose price is unknown: their cost is missing from every sum.",
    labels=(SERVICE, RESOURCE, *WHERE),
)
DURATION = counter(
    "ai_service.duration",
    unit="s",
    help="Sum of the durations of calls; over ai_service_duration_samples_total it is their mean.",
    labels=(SERVICE, RESOURCE, OPERATION, *WHERE, STAGE),
)
DURATION_SAMPLES = counter(
    "ai_service.duration_samples",
    unit="{call}",
    help="Calls whose duration was measured.",
    labels=(SERVICE, RESOURCE, OPERATION, *WHERE, STAGE),
)
LATENCY_P95 = gauge(
    "ai_service.latency.p95",
    unit="s",
    help="95th percentile of the newest five minutes with calls, as CloudWatch computes it; do not average it.",
    labels=(SERVICE, RESOURCE, OPERATION, *WHERE, STAGE),
)
ITEMS = counter(
    "ai_service.items",
    unit="{item}",
    help="What the service counts besides calls and tokens.",
    labels=(SERVICE, RESOURCE, OPERATION, *WHERE, ITEM),
)
LEVELS = gauge(
    "ai_service.level",
    unit="",
    help="Newest value of what goes up and down.",
    labels=(SERVICE, RESOURCE, OPERATION, *WHERE, LEVEL),
)
HEALTH = gauge(
    "ai_service.health",
    unit="",
    help="State of the service over the past 15 minutes that CloudWatch has told of: 1 for the one it is in.",
    labels=(SERVICE, *WHERE, STATE),
)
WINDOW_REQUESTS = gauge(
    "ai_service.window.requests",
    unit="{request}",
    help="Calls in those 15 minutes, all outcomes; inference units where the service counts no calls.",
    labels=(SERVICE, RESOURCE, *WHERE),
)
WINDOW_ERRORS = gauge(
    "ai_service.window.error",
    unit="1",
    help="Share of these calls that failed.",
    labels=(SERVICE, RESOURCE, *WHERE),
)
WINDOW_THROTTLED = gauge(
    "ai_service.window.throttled",
    unit="1",
    help="Share of these calls that were turned away as too many.",
    labels=(SERVICE, RESOURCE, *WHERE),
)
READ_UNTIL = gauge(
    "ai_service.read_until.timestamp",
    unit="s",
    help="Up to when all of the service's figures were read from CloudWatch, Unix time.",
    labels=(SERVICE, *WHERE),
)
SERIES = gauge(
    "ai_service.cloudwatch.series",
    unit="{series}",
    help="Series of CloudWatch with values in the past three hours.",
    labels=(SERVICE, *WHERE, READ),
)
