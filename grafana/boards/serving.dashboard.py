"""Own model servers and gateways, as they tell of themselves."""

from __future__ import annotations

from collections.abc import Sequence

from grafana.house import (
    BAD,
    GOOD,
    OUTCOMES,
    RANGE,
    RATE,
    WARN,
    Column,
    Expr,
    Limits,
    Not,
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

from fleetwatch.catalogue import serving
from fleetwatch.catalogue.metric import Label

asked = Scope(serving.SERVER, serving.MODEL)
EACH = (serving.SERVER, serving.MODEL)
DEPLOYMENT = (serving.PROVIDER, serving.MODEL)

NOBODY_ASKED = "No server is asked: scrape.vllm, scrape.litellm"
NO_SERVERS = "No vLLM server is asked"
NO_GATEWAY = "No LiteLLM gateway is asked, or nobody called"
NO_REQUESTS = "No requests"
LOST = ("error", "timeout", "rejected")  # a cancelled request was the caller's wish, an invalid one its fault
LOSSES = Limits(warn=0.02, bad=0.2)
FULL = Limits(warn=0.8, bad=0.95)
AT_ALL = Limits(warn=0.5, bad=0.5)
WAITING = Limits(warn=1, bad=20)
MINUTES = "The past 5 minutes, interpolated inside the server's own buckets."
STATES = {"0": ("Healthy", GOOD), "1": ("Degraded", WARN), "2": ("Down", BAD)}

By = Sequence[Label]


def of_servers(expr: Expr) -> Expr:
    """Only of servers that keep a queue of their own: a gateway's requests are its servers' requests again."""
    return expr.where(asked.last(serving.WAITING, by=serving.SERVER))


def of_gateways(expr: Expr) -> Expr:
    return expr.where(asked.last(serving.DEPLOYMENTS, by=serving.SERVER))


def requests(by: By = (), window: str = RANGE) -> Expr:
    return asked.increase(serving.REQUESTS, by=by, window=window)


def lost_share(by: By = (), window: str = RANGE) -> Expr:
    lost = asked.increase(serving.REQUESTS, by=by, window=window, outcome=LOST)
    return lost.share_of(requests(by, window))


def cache_share(by: By = (), window: str = RANGE) -> Expr:
    queried = asked.increase(serving.CACHE_QUERIES, by=by, window=window)
    return asked.increase(serving.CACHE_HITS, by=by, window=window) / (queried > 0)


def attempts(by: By = ()) -> Expr:
    return asked.increase(serving.DEPLOYMENT_REQUESTS, by=by)


def failed_attempts(by: By = ()) -> Expr:
    failed = asked.increase(serving.DEPLOYMENT_REQUESTS, by=by, outcome=Not(("ok",)))
    return failed.share_of(attempts(by))


def in_state(name: str) -> Expr:
    return asked.last(serving.DEPLOYMENTS, by=DEPLOYMENT, how="sum", state=name)


# --- the answer

silent = stat(
    "Silent",
    total(asked.last(serving.UP, by=serving.SERVER) < 1, how="count").otherwise(asked.last(serving.UP) * 0),
    unit=units.COUNT,
    meaning=AT_ALL,
    help="Servers of the settings that did not tell their metrics when they were last asked.",
    no_data=NOBODY_ASKED,
    runbook="ServingDown",
)
waiting = stat(
    "Waiting",
    asked.last(serving.WAITING, how="sum"),
    unit=units.COUNT,
    meaning=WAITING,
    help="Requests that wait for a place now, at all chosen servers.",
    no_data=NO_SERVERS,
    runbook="ServingQueueing",
)
fullest = stat(
    "Fullest cache",
    asked.last(serving.KV_CACHE),
    unit=units.SHARE,
    meaning=FULL,
    help="Share of the key-value cache in use, where it is fullest. Near 100 % requests wait or are begun again.",
    no_data=NO_SERVERS,
    runbook="ServingQueueing",
)
first_token = stat(
    "First token p95",
    asked.last(serving.TIME_TO_FIRST_TOKEN, quantile="0.95"),
    unit=units.SECONDS,
    help=f"95 of 100 requests see their first token within this time, at the slowest server and model. {MINUTES}",
    no_data=NO_REQUESTS,
    runbook="ServingSlow",
)
lost = stat(
    "Lost requests",
    lost_share(),
    unit=units.SHARE,
    meaning=LOSSES,
    help="Share of the requests in the time range that failed, ran out of time or were turned away.",
    no_data=NO_REQUESTS,
    runbook="ServingFailing",
)
zero_cost = stat(
    "Booked at no cost",
    asked.increase(serving.ZERO_COST).otherwise(asked.last(serving.UP) * 0),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=100),
    help="Requests in the time range that a gateway booked at 0 dollars although their model has a price: its budgets "
    "do not see them.",
    no_data=NOBODY_ASKED,
    runbook="GatewaySpendUntracked",
)

# --- the servers

servers = table(
    "Servers",
    ["server", "model"],
    [
        Column("Waiting", asked.last(serving.WAITING, by=EACH), units.COUNT, meaning=WAITING),
        Column("Cache", asked.last(serving.KV_CACHE, by=EACH), units.SHARE, meaning=FULL),
        Column(
            "First token", of_servers(asked.last(serving.TIME_TO_FIRST_TOKEN, by=EACH, quantile="0.95")), units.SECONDS
        ),
        Column("Next token", asked.last(serving.INTER_TOKEN, by=EACH, quantile="0.95"), units.SECONDS),
        Column("Generated", asked.rate(serving.GENERATED_TOKENS, by=EACH, window=RANGE), units.TOKENS_PER_SECOND),
        Column("Cached", cache_share(EACH), units.SHARE),
        Column("Requests", of_servers(requests(EACH)), units.COUNT),
        Column("Lost", of_servers(lost_share(EACH)), units.SHARE, meaning=LOSSES),
    ],
    sort="Waiting",
    help=f"One row per vLLM server and model. Times: p95. {MINUTES} Generated: tokens per second in the time range. "
    "Cache: how full it is. Cached: share of the prompts' tokens that were found in it.",
    no_data=NO_SERVERS,
    link="serving",
    runbook="ServingQueueing",
    height=6,
)
up = state_timeline(
    "Who answers",
    asked.last(serving.UP, by=serving.SERVER),
    help="Servers and gateways of the settings that told their metrics when they were asked.",
    no_data=NOBODY_ASKED,
    runbook="ServingDown",
    width=6,
)
running_now = timeseries(
    "Running and waiting",
    of_servers(asked.last(serving.RUNNING, by=serving.SERVER, how="sum")).named("running"),
    asked.last(serving.WAITING, by=serving.SERVER, how="sum").named("waiting"),
    unit=units.COUNT,
    help="Requests that are answered and requests that wait for a place, by server.",
    no_data=NO_SERVERS,
    runbook="ServingQueueing",
)
cache_now = timeseries(
    "Key-value cache in use",
    asked.last(serving.KV_CACHE, by=EACH),
    unit=units.SHARE,
    limits=FULL,
    help="Share of the cache that is taken; of several engines that of the fullest.",
    no_data=NO_SERVERS,
    runbook="ServingQueueing",
)
first_now = timeseries(
    "First token p95 by server",
    of_servers(asked.last(serving.TIME_TO_FIRST_TOKEN, by=EACH, quantile="0.95")),
    unit=units.SECONDS,
    help=f"Time to the first token that 95 of 100 requests stay within. {MINUTES}",
    no_data=NO_REQUESTS,
    runbook="ServingSlow",
)
queue_now = timeseries(
    "Time in the queue p95",
    of_servers(asked.last(serving.QUEUE_TIME, by=EACH, quantile="0.95")),
    unit=units.SECONDS,
    help=f"Time that 95 of 100 requests waited at most for a place. {MINUTES}",
    no_data=NO_REQUESTS,
    runbook="ServingQueueing",
)
tokens = timeseries(
    "Tokens",
    asked.rate(serving.PROMPT_TOKENS, by=serving.MODEL).named("read"),
    asked.rate(serving.GENERATED_TOKENS, by=serving.MODEL).named("generated"),
    unit=units.TOKENS_PER_SECOND,
    help="Tokens of prompts that were taken in, and tokens that were generated, per second by model.",
    no_data=NO_SERVERS,
)
cached_now = timeseries(
    "Prompts from the prefix cache",
    cache_share(EACH, RATE),
    unit=units.SHARE,
    help="Share of the prompts' tokens that need not be reckoned again. A fall means prompts that begin differently.",
    no_data=NO_SERVERS,
    runbook="ServingQueueing",
)
begun_again = timeseries(
    "Begun again",
    asked.rate(serving.PREEMPTIONS, by=EACH),
    unit=units.PER_SECOND,
    help="Requests that lost their place in the cache to others, per second: work that is done twice.",
    no_data=NO_SERVERS,
    runbook="ServingPreempting",
)

# --- how requests end

endings = timeseries(
    "How requests end",
    asked.rate(serving.REQUESTS, by=serving.OUTCOME),
    unit=units.PER_SECOND,
    stacked=True,
    colours={**OUTCOMES, "rejected": "purple", "invalid": "yellow"},
    help="Requests per second by outcome. A gateway's are its servers' requests again: choose one server. "
    "rejected: turned away, for there were too many. invalid: the request was at fault. cancelled: the caller hung up; "
    "vLLM tells hardly any of these.",
    no_data=NO_REQUESTS,
    runbook="ServingFailing",
)
lost_now = timeseries(
    "Lost requests by server",
    lost_share(EACH, RATE),
    unit=units.SHARE,
    limits=LOSSES,
    help="Share of the requests that failed, ran out of time or were turned away, by server and model.",
    no_data=NO_REQUESTS,
    runbook="ServingFailing",
)

# --- the gateways

deployments = table(
    "Deployments behind gateways",
    ["provider", "model"],
    [
        Column("Healthy", in_state("healthy"), units.COUNT),
        Column(
            "Degraded",
            in_state("degraded"),
            units.COUNT,
            meaning=Limits(warn=0.5, bad=1000),
        ),
        Column("Down", in_state("down"), units.COUNT, meaning=AT_ALL),
        Column("Calls", attempts(DEPLOYMENT), units.COUNT),
        Column("Failed", failed_attempts(DEPLOYMENT), units.SHARE, meaning=LOSSES),
    ],
    sort="Calls",
    help="By provider and model. Healthy, degraded, down: what the gateway thinks of them. Calls: retries and "
    "fallbacks count again. Failed: share of them.",
    no_data=NO_GATEWAY,
    runbook="GatewayDeploymentDown",
)
states = state_timeline(
    "Worst deployment",
    ((in_state("down") > 0) * 0 + 2).otherwise((in_state("degraded") > 0) * 0 + 1).otherwise(in_state("healthy") * 0),
    mappings=STATES,
    help="The worst state among the deployments of each provider and model, in the gateway's own opinion.",
    no_data=NO_GATEWAY,
    runbook="GatewayDeploymentDown",
)
overhead = timeseries(
    "Time the gateway takes",
    asked.last(serving.GATEWAY_OVERHEAD, by=EACH, quantile="0.95").named("itself"),
    of_gateways(asked.last(serving.DURATION, by=EACH, quantile="0.95")).named("whole request"),
    unit=units.SECONDS,
    help=f"p95 of what the gateway itself adds to a call, beside whole requests. {MINUTES}",
    no_data=NO_GATEWAY,
    runbook="ServingSlow",
)
attempts_now = timeseries(
    "Calls to deployments",
    asked.rate(serving.DEPLOYMENT_REQUESTS, by=(*DEPLOYMENT, serving.OUTCOME)),
    unit=units.PER_SECOND,
    help="Calls of the gateways per second by provider, model and outcome; retries and fallbacks count again.",
    no_data=NO_GATEWAY,
    runbook="GatewayDeploymentDown",
)
uncosted = bars(
    "Booked at no cost, by reason",
    top(12, asked.increase(serving.ZERO_COST, by=(serving.MODEL, serving.REASON)) > 0),
    unit=units.COUNT,
    meaning=BAD,
    help="Requests in the time range that a gateway booked at 0 dollars although their model has a price, by reason.",
    no_data="All booked at their price",
    runbook="GatewaySpendUntracked",
)

dashboard = board(
    "serving",
    "Model servers",
    question="Do our own model servers keep up, and do the gateways lose calls or money?",
    variables=[Variable(serving.SERVER, serving.UP), Variable(serving.MODEL, serving.REQUESTS)],
    leads_to=[("models", "LLM models"), ("llm", "LLM cost"), ("hosts", "Hosts"), ("exporter", "Is the watcher well?")],
    alerts="serving",
    since="now-3h",
    rows=[
        answer(silent, waiting, fullest, first_token, lost, zero_cost),
        row("Who keeps up", servers),
        row("Is there room", up, running_now, cache_now),
        row("How fast", first_now, queue_now),
        row("How much, and how much of it twice", tokens, cached_now, begun_again),
        row("What is lost", endings, lost_now),
        row("What the gateways do", deployments, states),
        row("", attempts_now, overhead, uncosted),
    ],
)
