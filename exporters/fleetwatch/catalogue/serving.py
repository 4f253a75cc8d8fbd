"""Servers and gateways of models, as they tell themselves: load, cache, latency, deployments."""

from __future__ import annotations

from fleetwatch.catalogue.metric import counter, gauge, label

SERVER = label("server", "Host and port of the server, from its address in the settings.", at_most=200)
MODEL = label("model", "Model as the server calls it; empty where it speaks of all of them.", at_most=120)
PROVIDER = label("provider", "Who answers behind a gateway, in its words.", at_most=40)
OUTCOME = label(
    "outcome",
    "How the request ended; rejected: turned away, for there are too many; invalid: the request was at fault.",
    one_of=("ok", "error", "timeout", "cancelled", "rejected", "invalid"),
)
QUANTILE = label("quantile", "Share of requests that took at most so long.", one_of=("0.5", "0.95", "0.99"))
STATE = label("state", "What a gateway thinks of a deployment.", one_of=("healthy", "degraded", "down"))
REASON = label("reason", "Why a gateway counted no cost, in its words.", at_most=20)

UP = gauge("serving.up", unit="", help="Whether the server answered when it was last asked: 1 or 0.", labels=(SERVER,))
RUNNING = gauge(
    "serving.requests_running",
    unit="{request}",
    help="Requests that are being answered.",
    labels=(SERVER, MODEL),
)
WAITING = gauge(
    "serving.requests_waiting",
    unit="{request}",
    help="Requests that wait for a place.",
    labels=(SERVER, MODEL),
)
KV_CACHE = gauge(
    "serving.kv_cache.utilization",
    unit="1",
    help="Share of the key-value cache in use; of several engines that of the fullest. At 1 requests wait.",
    labels=(SERVER, MODEL),
)
PROMPT_TOKENS = counter(
    "serving.prompt_tokens", unit="{token}", help="Tokens of prompts that were taken in.", labels=(SERVER, MODEL)
)
GENERATED_TOKENS = counter(
    "serving.generated_tokens", unit="{token}", help="Tokens that were generated.", labels=(SERVER, MODEL)
)
CACHE_QUERIES = counter(
    "serving.prefix_cache.queried_tokens",
    unit="{token}",
    help="Tokens that were looked up in the prefix cache.",
    labels=(SERVER, MODEL),
)
CACHE_HITS = counter(
    "serving.prefix_cache.hit_tokens",
    unit="{token}",
    help="Tokens that were found in the prefix cache and not reckoned again.",
    labels=(SERVER, MODEL),
)
PREEMPTIONS = counter(
    "serving.preemptions",
    unit="{preemption}",
    help="Requests that lost their place in the cache to others and began again.",
    labels=(SERVER, MODEL),
)
REQUESTS = counter(
    "serving.requests",
    unit="{request}",
    help="Requests that have ended, as the server counts them; the bill is reckoned from what callers send.",
    labels=(SERVER, MODEL, OUTCOME),
)

TIME_TO_FIRST_TOKEN = gauge(
    "serving.time_to_first_token",
    unit="s",
    help="Time to the first token over the last 5 minutes, from the server's buckets; absent while nobody asked.",
    labels=(SERVER, MODEL, QUANTILE),
)
INTER_TOKEN = gauge(
    "serving.inter_token_latency",
    unit="s",
    help="Time from token to token over the last 5 minutes.",
    labels=(SERVER, MODEL, QUANTILE),
)
DURATION = gauge(
    "serving.request.duration",
    unit="s",
    help="Duration of requests over the last 5 minutes.",
    labels=(SERVER, MODEL, QUANTILE),
)
QUEUE_TIME = gauge(
    "serving.request.queue_time",
    unit="s",
    help="Time that requests waited for a place, over the last 5 minutes.",
    labels=(SERVER, MODEL, QUANTILE),
)

DEPLOYMENTS = gauge(
    "serving.deployments",
    unit="{deployment}",
    help="Deployments behind a gateway by what it thinks of them.",
    labels=(SERVER, PROVIDER, MODEL, STATE),
)
DEPLOYMENT_REQUESTS = counter(
    "serving.deployment.requests",
    unit="{request}",
    help="Requests of a gateway to its deployments, retries and fallbacks included.",
    labels=(SERVER, PROVIDER, MODEL, OUTCOME),
)
GATEWAY_OVERHEAD = gauge(
    "serving.gateway_overhead",
    unit="s",
    help="Time that a gateway itself took, over the last 5 minutes.",
    labels=(SERVER, MODEL, QUANTILE),
)
ZERO_COST = counter(
    "serving.zero_cost_requests",
    unit="{request}",
    help="Requests that a gateway booked at 0 dollars although their model has a price.",
    labels=(SERVER, MODEL, REASON),
)
