"""AI services of AWS, as CloudWatch tells of them."""

from __future__ import annotations

from collections.abc import Sequence

from grafana.house import (
    BAD,
    GOOD,
    QUIET,
    WARN,
    Column,
    Expr,
    Limits,
    Recorded,
    Scope,
    Variable,
    answer,
    bars,
    board,
    row,
    stat,
    state_timeline,
    table,
    timeseries,
    top,
    total,
    units,
)

from fleetwatch.catalogue import ai_services as ai
from fleetwatch.catalogue import aws, exporter
from fleetwatch.catalogue.metric import Label

used = Scope(ai.SERVICE, aws.ACCOUNT, aws.REGION)
asking = Scope()
PLACE = (ai.SERVICE, *ai.WHERE)
RESOURCE = (ai.SERVICE, ai.RESOURCE)

NOT_ASKED = "AWS is not asked, or nothing of it is used"
NO_CALLS = "No calls"
NO_PRICE = "No priced tokens"
FAILED = ("client_error", "server_error", "error")
ERRORS = Limits(warn=0.05, bad=0.5)
THROTTLES = Limits(warn=0.05, bad=0.2)
# From the best to the worst; the largest of a service's regions is shown.
STATES = {
    "0": ("Idle", QUIET),
    "1": ("Ok", GOOD),
    "2": ("Degraded", WARN),
    "3": ("Throttled", "purple"),
    "4": ("Failing", BAD),
}
LATE = "CloudWatch is read every five minutes and tells of a call some minutes later."

By = Sequence[Label]


def calls(by: By = ()) -> Expr:
    return used.increase(ai.REQUESTS, by=by)


def share(outcomes: str | tuple[str, ...], by: By = ()) -> Expr:
    return used.increase(ai.REQUESTS, by=by, outcome=outcomes).share_of(calls(by))


def health(by: By) -> Expr:
    """0 idle, 1 ok, 2 degraded, 3 throttled, 4 failing, for places that are in one state each."""
    found = used.last(ai.HEALTH, by=by, state="ok")
    for level, name in ((2, "degraded"), (3, "throttled"), (4, "failing")):
        found = found + used.last(ai.HEALTH, by=by, state=name) * level
    return found


def in_state(*names: str) -> Expr:
    """Services, each region by itself, in one of these states."""
    return total(used.last(ai.HEALTH, by=PLACE, state=names) > 0, how="count")


# --- the answer

failing = stat(
    "Failing",
    in_state("failing").otherwise(used.last(ai.HEALTH) * 0),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=0.5),
    help=f"Services, each region and account by itself, where half of the calls to a resource fail. {LATE}",
    no_data=NOT_ASKED,
    runbook="AiServiceUnhealthy",
)
impaired = stat(
    "Degraded or throttled",
    in_state("degraded", "throttled").otherwise(used.last(ai.HEALTH) * 0),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=1000),
    help="Services, each region and account by itself, where some calls to a resource fail or are turned away.",
    no_data=NOT_ASKED,
    runbook="AiServiceDegraded",
)
failed_share = stat(
    "Failed calls",
    share(FAILED),
    unit=units.SHARE,
    meaning=ERRORS,
    help="Share of the calls in the time range that failed, whosever fault it was. Throttled calls are not among them.",
    no_data=NO_CALLS,
    runbook="AiServiceUnhealthy",
)
cost = stat(
    "Cost",
    used.increase(ai.COST),
    unit=units.USD,
    help="Of Bedrock's tokens in the time range, at list or contract price: estimated, for CloudWatch hides the size "
    "of single calls. Calls that were also seen as spans are in LLM cost, too: do not add the two.",
    no_data=NO_PRICE,
    runbook="AiServiceUnpriced",
)
unpriced = stat(
    "Unpriced tokens",
    used.increase(ai.UNPRICED).otherwise(calls() * 0),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=1e6),
    help="Tokens in the time range of models whose price is unknown: their cost is missing.",
    no_data=NO_CALLS,
    runbook="AiServiceUnpriced",
)
age = stat(
    "Oldest figures",
    total(used.age(ai.READ_UNTIL, by=PLACE), how="max"),
    unit=units.SECONDS,
    meaning=Limits(warn=900, bad=1800),
    help="Time since CloudWatch was last read completely, for the service and region where it is longest.",
    no_data=NOT_ASKED,
    runbook="AiServiceDataStale",
)

# --- where

lanes = state_timeline(
    "Health of each service",
    total(health(PLACE), by=(ai.SERVICE, aws.REGION), how="max"),
    mappings=STATES,
    help=f"Each lane is a service in a region; of several accounts the worst. {LATE}",
    no_data=NOT_ASKED,
    runbook="AiServiceUnhealthy",
    height=9,
)
resources = table(
    "Models, agents, guardrails, endpoints",
    ["service", "resource"],
    [
        Column("Calls", calls(RESOURCE), units.COUNT),
        Column("Failed", share(FAILED, RESOURCE), units.SHARE, meaning=ERRORS),
        Column("Throttled", share("throttled", RESOURCE), units.SHARE, meaning=THROTTLES),
        Column(
            "Mean time",
            used.increase(ai.DURATION, by=RESOURCE, stage="whole")
            / (used.increase(ai.DURATION_SAMPLES, by=RESOURCE, stage="whole") > 0),
            units.SECONDS,
        ),
        Column("p95", used.last(ai.LATENCY_P95, by=RESOURCE, stage="whole"), units.SECONDS),
        Column("Tokens", used.increase(ai.TOKENS, by=RESOURCE), units.COUNT),
        Column("Cost", used.increase(ai.COST, by=RESOURCE), units.USD_ANY),
        Column("No price", used.increase(ai.UNPRICED, by=RESOURCE), units.COUNT, meaning=Limits(warn=0.5, bad=1e6)),
    ],
    sort="Calls",
    help="The time range, all chosen regions and accounts. p95: of the newest five minutes with calls, the worst "
    "region. An agent's tokens may be among its model's, too: do not add rows of different services.",
    no_data=NO_CALLS,
    runbook="AiServiceThrottled",
    height=10,
)

# --- when

endings = timeseries(
    "How calls end",
    total(
        used.last(Recorded("ai_services:requests:rate15m", (*PLACE, ai.OUTCOME)), by=(*PLACE, ai.OUTCOME)),
        by=(ai.OUTCOME,),
    ),
    unit=units.PER_SECOND,
    stacked=True,
    colours={"ok": GOOD, "client_error": WARN, "server_error": BAD, "error": "light-red", "throttled": "purple"},
    help="Calls per second by outcome, over a quarter of an hour. client_error: the caller's fault, as AWS says.",
    no_data=NO_CALLS,
    runbook="AiServiceUnhealthy",
)
error_lines = timeseries(
    "Failed calls by service",
    total(used.last(Recorded("ai_services:errors:ratio15m", PLACE), by=PLACE), by=(ai.SERVICE, aws.REGION), how="max"),
    unit=units.SHARE,
    limits=ERRORS,
    help="Share of calls that failed, over a quarter of an hour; of several accounts the worst.",
    no_data=NO_CALLS,
    runbook="AiServiceDegraded",
)
times = timeseries(
    "Mean time of a call",
    total(
        used.last(Recorded("ai_services:duration_seconds:mean30m", (*RESOURCE, *ai.WHERE)), by=(*RESOURCE, *ai.WHERE)),
        by=RESOURCE,
        how="max",
    ),
    unit=units.SECONDS,
    help="Mean duration of whole calls over half an hour; of several regions the slowest.",
    no_data="No durations told",
    runbook="AiServiceSlow",
)
spending = timeseries(
    "Spending by model",
    total(
        used.last(Recorded("ai_services:cost_usd:per_hour", (*RESOURCE, *ai.WHERE)), by=(*RESOURCE, *ai.WHERE)),
        by=(ai.RESOURCE,),
    ),
    unit=units.USD_PER_HOUR,
    stacked=True,
    help="Estimated cost an hour at the pace of the past quarter of an hour.",
    no_data=NO_PRICE,
    runbook="AiServiceUnpriced",
)
tokens = timeseries(
    "Tokens by kind",
    total(used.last(Recorded("ai_services:tokens:rate15m", (*PLACE, ai.KIND)), by=(*PLACE, ai.KIND)), by=(ai.KIND,)),
    unit=units.TOKENS_PER_SECOND,
    stacked=True,
    help="Tokens per second, over a quarter of an hour. Choose one service: an agent's tokens may be its model's, too.",
    no_data="No tokens",
)
throttled = timeseries(
    "Throttled calls",
    total(
        used.last(Recorded("ai_services:throttled:rate15m", (*RESOURCE, *ai.WHERE)), by=(*RESOURCE, *ai.WHERE)),
        by=RESOURCE,
    ),
    unit=units.PER_SECOND,
    help="Calls that were turned away as too many, per second over a quarter of an hour; repeated ones count again.",
    no_data=NO_CALLS,
    runbook="AiServiceThrottled",
)
items = bars(
    "What else is counted",
    top(12, used.increase(ai.ITEMS, by=(ai.SERVICE, ai.ITEM)) > 0),
    unit=units.COUNT,
    help="In the time range: guardrails that stepped in, chats without an answer, documents indexed, inference units …",
    no_data="Nothing counted",
)
levels = table(
    "Capacity and stock",
    ["service", "resource", "level"],
    [Column("Now", used.last(ai.LEVELS, by=(*RESOURCE, ai.LEVEL)), units.PLAIN)],
    sort="Now",
    help="Newest values: inference units, share of them in use (1 is all), tokens a minute that count for the quota, "
    "documents, sessions.",
    no_data="Nothing told",
)

# --- what asking costs

asking_cost = stat(
    "Asking costs a day",
    total(asking.last(Recorded("ai_services:polling_usd:per_day", (exporter.COLLECTOR,)), by=(exporter.COLLECTOR,))),
    unit=units.USD_ANY,
    meaning=Limits(warn=5, bad=50),
    help="What the exporter's own requests to vendors cost at list price, at the pace of the past hour.",
    no_data="Nothing asked that costs",
    runbook="AiServicePollingCostly",
    width=6,
)
asked = table(
    "Requests of the exporter",
    ["collector", "api", "operation"],
    [
        Column(
            "Requests",
            asking.increase(exporter.API_REQUESTS, by=(exporter.COLLECTOR, exporter.API, exporter.API_OPERATION)),
            units.COUNT,
        ),
        Column(
            "Billed items",
            asking.increase(exporter.API_ITEMS, by=(exporter.COLLECTOR, exporter.API, exporter.API_OPERATION)),
            units.COUNT,
        ),
        Column(
            "Cost",
            asking.increase(exporter.API_COST, by=(exporter.COLLECTOR, exporter.API, exporter.API_OPERATION)),
            units.USD_ANY,
        ),
    ],
    titles={"api": "API"},
    sort="Requests",
    help="In the time range. CloudWatch bills each metric asked for by GetMetricData.",
    no_data="Nothing asked",
    runbook="AiServicePollingCostly",
    width=12,
)
trouble = bars(
    "Requests that failed",
    top(
        12,
        asking.increase(
            exporter.API_REQUESTS,
            by=(exporter.API_OPERATION, exporter.API_OUTCOME),
            outcome=("throttled", "denied", "credentials", "region", "unreachable", "error"),
        )
        > 0,
    ),
    unit=units.COUNT,
    meaning=WARN,
    help="Attempts in the time range that were not answered as asked, by what was wrong.",
    no_data="No request failed",
    runbook="AiServiceDataStale",
    width=6,
)

dashboard = board(
    "ai-services",
    "AI services",
    question="Are our AI services on AWS healthy, and what do they cost?",
    variables=[
        Variable(ai.SERVICE, ai.READ_UNTIL),
        Variable(aws.ACCOUNT, ai.READ_UNTIL),
        Variable(aws.REGION, ai.READ_UNTIL),
    ],
    leads_to=[("llm", "LLM cost"), ("models", "LLM models"), ("exporter", "Is the watcher well?")],
    alerts="ai_services",
    rows=[
        answer(failing, impaired, failed_share, cost, unpriced, age),
        row("Where", lanes),
        row("", resources),
        row("When", endings, error_lines),
        row("", times, throttled),
        row("What for, how much", tokens, spending),
        row("", items, levels),
        row("What asking costs", asking_cost, asked, trouble),
    ],
)
