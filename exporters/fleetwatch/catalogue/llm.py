"""LLM calls: requests, tokens, money, latency, budgets."""

from __future__ import annotations

from fleetwatch.catalogue.metric import NANO, counter, gauge, histogram, label

AGENT = label("agent", "Agent: `gen_ai.agent.name` or `gen_ai.workflow.name`, else the service's name.", at_most=500)
TEAM = label("team", "Team that owns the agent: resource attribute `team`, else the service's namespace.", at_most=100)
PROVIDER = label("provider", "Who answered, in OpenTelemetry's words (`openai`, `aws.bedrock` …).", at_most=40)
MODEL = label("model", "Model that answered, as the provider named it.", at_most=120)
OPERATION = label(
    "operation",
    "Kind of call.",
    one_of=("chat", "text_completion", "generate_content", "embeddings", "other"),
)
OUTCOME = label("outcome", "How the call ended.", one_of=("ok", "error", "timeout", "refused", "cancelled"))
KIND = label(
    "kind",
    "Kind of token; kinds do not overlap, so their sum is the total.",
    one_of=("input", "cache_read", "cache_write", "output", "reasoning", "audio_in", "audio_out", "image"),
)
CONFIDENCE = label(
    "confidence",
    "How sure the cost is: list or contract price; told by the sender; from aggregates or a near model; unknown.",
    one_of=("priced", "reported", "estimated", "unpriced"),
)
DUPLICATE_REASON = label(
    "reason",
    "Why a sighting was not counted: the same span again, the same response seen by another instrumentation, a span "
    "around or inside one that was counted, a gateway on the way, or token metrics of calls whose spans came too.",
    one_of=("resent", "other_instrumentation", "enclosing", "proxy", "metrics_of_spans"),
)
ERROR_TYPE = label("error_type", "`error.type` of failed calls.", at_most=30)
BUDGET = label("budget", "Name of the budget in the settings.", at_most=200)
CONTEXT_WINDOW = label("context_window", "Tokens that the model takes at most; empty where unknown.", at_most=60)
PRICE_SOURCE = label("source", "Where list prices come from.", at_most=4)
PRICE_VERSION = label("version", "Version of the price table.", at_most=4)

REQUESTS = counter(
    "llm.requests",
    unit="{request}",
    help="LLM calls, each counted once however many instrumentations saw it.",
    labels=(AGENT, TEAM, PROVIDER, MODEL, OPERATION, OUTCOME),
    durable=True,
)
TOKENS = counter(
    "llm.tokens",
    unit="{token}",
    help="Tokens of LLM calls by kind. The kinds do not overlap: their sum is the total.",
    labels=(AGENT, TEAM, PROVIDER, MODEL, KIND),
    durable=True,
)
COST = counter(
    "llm.cost.usd",
    unit="{USD}",
    help="Cost of LLM calls in US dollars. With confidence unpriced it stays 0: see llm_unpriced_requests_total.",
    labels=(AGENT, TEAM, PROVIDER, MODEL, CONFIDENCE),
    scale=NANO,
    durable=True,
)
ERRORS = counter(
    "llm.errors",
    unit="{error}",
    help="LLM calls that failed, by error type.",
    labels=(PROVIDER, MODEL, ERROR_TYPE),
    durable=True,
)
REQUEST_DURATION = histogram(
    "llm.request.duration",
    unit="s",
    help="Duration of LLM calls from sending the request to the last byte of the answer.",
    labels=(PROVIDER, MODEL, OPERATION),
    # Embeddings answer in 50 ms, chats in seconds; long reasoning and agentic answers run for minutes.
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600),
    durable=True,
)
TIME_TO_FIRST_TOKEN = histogram(
    "llm.time_to_first_token",
    unit="s",
    help="From sending the request to the first output token, streaming calls only.",
    labels=(PROVIDER, MODEL),
    # A person notices 0.2 s and leaves after 10 s; reasoning models think for up to a minute.
    buckets=(0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 20, 40, 60),
    durable=True,
)
DUPLICATE_CALLS = counter(
    "llm.duplicate_calls",
    unit="{call}",
    help="Sightings of calls that were counted already. They change no other figure.",
    labels=(DUPLICATE_REASON,),
    durable=True,
)
UNPRICED_REQUESTS = counter(
    "llm.unpriced_requests",
    unit="{request}",
    help="Calls whose price is unknown: their cost is missing from every sum.",
    labels=(PROVIDER, MODEL),
    durable=True,
)

MODEL_INFO = gauge(
    "llm.model.info",
    unit="",
    help="Models in use; always 1.",
    labels=(PROVIDER, MODEL, CONTEXT_WINDOW),
)
MODEL_TEMPERATURE = gauge(
    "llm.model.temperature",
    unit="{temperature}",
    help="Temperature that was last asked for; absent where no call told one.",
    labels=(PROVIDER, MODEL),
)

BUDGET_LIMIT = gauge("llm.budget.usd", unit="{USD}", help="Limit of the budget for its period.", labels=(BUDGET,))
BUDGET_SPENT = gauge("llm.budget.spent.usd", unit="{USD}", help="Spent in the current period.", labels=(BUDGET,))
BUDGET_REMAINING = gauge(
    "llm.budget.remaining.usd",
    unit="{USD}",
    help="Left in the current period; negative when overspent.",
    labels=(BUDGET,),
)
BUDGET_FORECAST = gauge(
    "llm.budget.forecast.usd",
    unit="{USD}",
    help="Expected spend at the end of the period, from the pace of the same weekdays before.",
    labels=(BUDGET,),
)
BUDGET_EXHAUSTION = gauge(
    "llm.budget.time_to_exhaustion",
    unit="s",
    help="Time until the budget is used up at the expected pace; absent when it lasts past the end of the period.",
    labels=(BUDGET,),
)
BUDGET_PERIOD_START = gauge(
    "llm.budget.period_start.timestamp", unit="s", help="Start of the current period, Unix time.", labels=(BUDGET,)
)
BUDGET_PERIOD_END = gauge(
    "llm.budget.period_end.timestamp", unit="s", help="End of the current period, Unix time.", labels=(BUDGET,)
)
BUDGET_CHARGED = counter(
    "llm.budget.charged.usd",
    unit="{USD}",
    help="Cost charged to the budget since the ledger began; basis of the burn rate.",
    labels=(BUDGET,),
    scale=NANO,
    durable=True,
)

PRICES_INFO = gauge(
    "llm.prices.info", unit="", help="The price table in use; always 1.", labels=(PRICE_SOURCE, PRICE_VERSION)
)
PRICES_CHECKED = gauge(
    "llm.prices.checked.timestamp",
    unit="s",
    help="When the price table in use was released, Unix time.",
)
