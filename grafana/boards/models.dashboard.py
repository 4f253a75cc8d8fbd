"""Models side by side: what they cost, how fast and how reliable they are."""

from __future__ import annotations

from collections.abc import Sequence

from grafana.house import (
    OUTCOMES,
    RANGE,
    RATE,
    WARN,
    Column,
    Expr,
    Facts,
    Limits,
    Not,
    Recorded,
    Scope,
    Variable,
    answer,
    bars,
    board,
    heatmap,
    row,
    stat,
    table,
    timeseries,
    top,
    units,
)

from fleetwatch.catalogue import agents, llm
from fleetwatch.catalogue.metric import Label

# No team and no agent: durations do not carry them, and a ratio of narrowed tokens over all durations would be wrong.
calls = Scope(llm.PROVIDER, llm.MODEL)
EACH = (llm.PROVIDER, llm.MODEL)

NO_CALLS = "No LLM calls"
NO_STREAMS = "No streamed calls"
NO_DURATIONS = "No durations sent"
ERRORS = Limits(warn=0.02, bad=0.1)
FAILED = ("error", "timeout")  # a refusal is an answer, a cancelled call the caller's wish
INPUT = ("input", "cache_read", "cache_write", "audio_in", "image")
GENERATED = ("output", "reasoning", "audio_out")

By = Sequence[Label]


# Each ratio divides sums: an average of averages would weigh a model of ten calls like one of ten thousand.


def requests(by: By = (), window: str = RANGE) -> Expr:
    return calls.increase(llm.REQUESTS, by=by, window=window)


def known_cost(by: By = ()) -> Expr:
    """Without the series of calls that have no price: a model without a price shows none, and not 0."""
    return calls.increase(llm.COST, by=by, confidence=Not(("unpriced",)))


def unpriced(by: By = ()) -> Expr:
    return calls.increase(llm.UNPRICED_REQUESTS, by=by).otherwise(requests(by) * 0)


def per_call(by: By = ()) -> Expr:
    return known_cost(by) / ((requests(by) - unpriced(by)) > 0)


def per_thousand_tokens(by: By = ()) -> Expr:
    return known_cost(by) / (calls.increase(llm.TOKENS, by=by) > 0) * 1000


def error_share(by: By = (), window: str = RANGE) -> Expr:
    failed = calls.increase(llm.REQUESTS, by=by, window=window, outcome=FAILED)
    return failed.share_of(requests(by, window))


def cache_share(by: By = (), window: str = RANGE) -> Expr:
    read = calls.increase(llm.TOKENS, by=by, window=window, kind="cache_read")
    given = calls.increase(llm.TOKENS, by=by, window=window, kind=INPUT)
    return read.share_of(given)


def speed(by: By = (), window: str = RANGE) -> Expr:
    """Generated tokens per second of call time."""
    tokens = calls.increase(llm.TOKENS, by=by, window=window, kind=GENERATED)
    return tokens / (calls.increase(llm.REQUEST_DURATION, by=by, window=window, part="sum") > 0)


def latency(q: float, by: By = (), window: str = RANGE) -> Expr:
    return calls.quantile(q, llm.REQUEST_DURATION, by=by, window=window)


def first_token(q: float, by: By = (), window: str = RANGE) -> Expr:
    return calls.quantile(q, llm.TIME_TO_FIRST_TOKEN, by=by, window=window)


SPEED_HELP = (
    "Speed: generated tokens (output, reasoning, audio) over the time the calls took, waiting included. "
    "Too high where a sender reports tokens but no durations."
)
BUCKETS = "Interpolated inside the histogram's buckets."

# --- the answer

answers = [
    stat(
        "Cost per call",
        per_call(),
        unit=units.USD_SMALL,
        help="Known cost over the calls that have a price.",
        no_data="No priced calls",
        runbook="LlmUnpricedCalls",
    ),
    stat(
        "Cost per 1,000 tokens",
        per_thousand_tokens(),
        unit=units.USD_SMALL,
        help="Known cost over all tokens, input and output together. Tokens of calls without a price lower it.",
        no_data="No priced calls",
    ),
    stat(
        "Latency p95",
        latency(0.95),
        unit=units.SECONDS,
        help=f"95 of 100 calls are answered in full within this time. {BUCKETS}",
        no_data=NO_DURATIONS,
        runbook="LlmLatencyHigh",
    ),
    stat(
        "First token p95",
        first_token(0.95),
        unit=units.SECONDS,
        help=f"95 of 100 streamed calls show their first token within this time. {BUCKETS}",
        no_data=NO_STREAMS,
        runbook="LlmTimeToFirstTokenHigh",
    ),
    stat(
        "Failed calls",
        error_share(),
        unit=units.SHARE,
        meaning=ERRORS,
        help="Share of calls that ended in an error or a timeout. Refusals and cancelled calls are not failures.",
        no_data=NO_CALLS,
        runbook="LlmErrorRatioHigh",
    ),
    stat(
        "Input from cache",
        cache_share(),
        unit=units.SHARE,
        help="Share of the input tokens that the provider read from its prompt cache, at a fraction of the price.",
        no_data=NO_CALLS,
    ),
]

# --- side by side

side_by_side = table(
    "Models",
    ["provider", "model"],
    [
        Column("Calls", requests(EACH), units.COUNT),
        Column("Cost", known_cost(EACH), units.USD),
        Column("Cost per call", per_call(EACH), units.USD_SMALL),
        Column("Per 1k tokens", per_thousand_tokens(EACH), units.USD_SMALL),
        Column("p50", latency(0.5, EACH), units.SECONDS),
        Column("p95", latency(0.95, EACH), units.SECONDS),
        Column("First token", first_token(0.95, EACH), units.SECONDS),
        Column("Speed", speed(EACH), units.TOKENS_PER_SECOND),
        Column("Failed", error_share(EACH), units.SHARE, meaning=ERRORS),
        Column("From cache", cache_share(EACH), units.SHARE),
        Column("No price", unpriced(EACH), units.COUNT, meaning=Limits(warn=0.5, bad=0.5)),
    ],
    sort="Cost",
    help=f"One row per model. Empty money cells: no price is known, see No price. "
    f"p50, p95: duration of whole calls. First token: p95. {SPEED_HELP} "
    "A click on a model narrows the board to it.",
    no_data=NO_CALLS,
    link="models",
    runbook="LlmUnpricedCalls",
    height=10,
)

# --- in the tasks of agents

TASKS_DAY = Recorded("agents:model_tasks:increase1d", EACH)
TASK_COST_DAY = Recorded("agents:model_task_cost_usd:mean1d", EACH)
TASKS_OK = Recorded("agents:model_tasks_ok:ratio1d", EACH)
TASKS_OK_LOW = Recorded("agents:model_tasks_ok:ratio1d_low", EACH)
TASKS_OK_HIGH = Recorded("agents:model_tasks_ok:ratio1d_high", EACH)
TOOLS_DAY = Recorded("agents:model_tool_calls:increase1d", EACH)
TOOLS_FAILED = Recorded("agents:model_tool_failures:ratio1d", EACH)
QUALITY = Recorded("agents:model_quality:mean1d", (llm.MODEL, agents.EVALUATION))
QUALITY_N = Recorded("agents:model_quality:evaluations1d", (llm.MODEL, agents.EVALUATION))

in_tasks = table(
    "In tasks of agents",
    ["provider", "model"],
    [
        Column("Tasks", calls.last(TASKS_DAY, by=EACH), units.COUNT),
        Column("Cost per task", calls.last(TASK_COST_DAY, by=EACH), units.USD_SMALL),
        Column("Went well", calls.last(TASKS_OK, by=EACH), units.SHARE),
        Column("at least", calls.last(TASKS_OK_LOW, by=EACH), units.SHARE),
        Column("at most", calls.last(TASKS_OK_HIGH, by=EACH), units.SHARE),
        Column("Tool calls", calls.last(TOOLS_DAY, by=EACH), units.COUNT),
        Column("Tools fail", calls.last(TOOLS_FAILED, by=EACH), units.SHARE, meaning=Limits(warn=0.2, bad=0.5)),
        Column("Temperature", calls.last(llm.MODEL_TEMPERATURE, by=EACH), units.SCORE),
    ],
    facts=[Facts(calls.last(llm.MODEL_INFO, by=(*EACH, llm.CONTEXT_WINDOW)), {"context_window": "Context window"})],
    sort="Tasks",
    help="The past 24 hours. A task counts for the model that cost most in it, with all that it cost. At least, at "
    "most: 95 % interval (Wilson) of the share that went well; where the intervals of two models overlap, there is no "
    "evidence that one is better. Temperature: as last asked for. Cost per task is "
    "left out where calls of the model have no price.",
    no_data="No agent ended a task in a day",
    runbook="CostPerTaskUp",
    height=9,
)
quality = table(
    "Quality",
    ["model", "evaluation"],
    [
        Column("Mean score", calls.last(QUALITY, by=(llm.MODEL, agents.EVALUATION)), units.SCORE),
        Column("Evaluations", calls.last(QUALITY_N, by=(llm.MODEL, agents.EVALUATION)), units.COUNT),
    ],
    sort="Evaluations",
    help="Mean of the scores that evaluators gave in 24 hours. Few evaluations say little.",
    no_data="Nobody evaluated in a day",
    runbook="QualityDown",
    height=8,
    width=10,
)

# --- evidence

latency_now = timeseries(
    "Latency p95 by model",
    latency(0.95, [llm.MODEL], RATE).named(""),
    unit=units.SECONDS,
    help=f"Duration of whole calls that 95 of 100 stay within. {BUCKETS}",
    no_data=NO_DURATIONS,
    runbook="LlmLatencyHigh",
)
first_token_now = timeseries(
    "First token p95 by model",
    first_token(0.95, [llm.MODEL], RATE).named(""),
    unit=units.SECONDS,
    help=f"Time to the first token that 95 of 100 streamed calls stay within. {BUCKETS}",
    no_data=NO_STREAMS,
    runbook="LlmTimeToFirstTokenHigh",
)
durations = heatmap(
    "How long calls take",
    calls.buckets(llm.REQUEST_DURATION),
    unit=units.SECONDS,
    help="Calls per second by duration, over time. Two bands are two kinds of calls: a quantile would hide that.",
    no_data=NO_DURATIONS,
)
speeds = timeseries(
    "Speed by model",
    speed([llm.MODEL], RATE),
    unit=units.TOKENS_PER_SECOND,
    help=SPEED_HELP,
    no_data=NO_DURATIONS,
)
failed_now = timeseries(
    "Failed calls by model",
    error_share([llm.MODEL], RATE),
    unit=units.SHARE,
    limits=ERRORS,
    help="Share of calls that ended in an error or a timeout, by model.",
    no_data=NO_CALLS,
    runbook="LlmErrorRatioHigh",
)
outcomes = timeseries(
    "How calls end",
    calls.rate(llm.REQUESTS, by=llm.OUTCOME),
    unit=units.PER_SECOND,
    stacked=True,
    colours=OUTCOMES,
    help="Calls per second by outcome. refused: the model declined to answer. cancelled: the caller hung up.",
    no_data=NO_CALLS,
    runbook="LlmErrorRatioHigh",
)
error_types = bars(
    "Why calls fail",
    top(12, calls.increase(llm.ERRORS, by=(llm.MODEL, llm.ERROR_TYPE)) > 0),
    unit=units.COUNT,
    meaning=WARN,
    help="Failed calls in the time range by model and error type, most frequent first.",
    no_data="No call failed",
    runbook="LlmErrorRatioHigh",
)
cached = bars(
    "Input from cache by model",
    top(12, cache_share([llm.MODEL])),
    unit=units.SHARE,
    help="Share of the input tokens read from the provider's prompt cache, by model.",
    no_data=NO_CALLS,
)

dashboard = board(
    "models",
    "LLM models",
    question="Which model gives what we need for the least money, and is any of them slow or failing?",
    variables=[Variable(llm.PROVIDER, llm.REQUESTS), Variable(llm.MODEL, llm.REQUESTS)],
    leads_to=[
        ("llm", "LLM cost"),
        ("agents", "Agents"),
        ("serving", "Model servers"),
        ("exporter", "Is the watcher well?"),
    ],
    alerts="llm",
    rows=[
        answer(*answers),
        row("Side by side", side_by_side),
        row("For what result", in_tasks),
        row("How fast", latency_now, first_token_now),
        row("", speeds, durations),
        row("How reliable, how cached, how good", failed_now, outcomes),
        row("", error_types, cached, quality),
    ],
)
