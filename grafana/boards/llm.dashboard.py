"""What LLM calls cost: the bill, who made it, whether the budgets hold, and how sure the figures are."""

from __future__ import annotations

from grafana.house import (
    BAD,
    CONFIDENCES,
    GOOD,
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
    table,
    timeseries,
    top,
    total,
    units,
)

from fleetwatch.catalogue import llm
from fleetwatch.catalogue.metric import Label

calls = Scope(llm.TEAM, llm.AGENT, llm.PROVIDER, llm.MODEL)
budgets = Scope(llm.BUDGET)

NO_CALLS = "No LLM calls"
NO_BUDGETS = "No budgets set"
BETWEEN_SCRAPES = (
    "It is what was added between the first and the last scrape in the range; "
    "`fleetwatch cost` has the bill to the call."
)
FILLED = Limits(warn=0.8, bad=1)
EXPECTED = Limits(warn=1, bad=1.05)  # 5 % are within the forecast's own error

# --- the answer

requests = calls.increase(llm.REQUESTS)
limit = budgets.last(llm.BUDGET_LIMIT, by=llm.BUDGET)
used = budgets.last(llm.BUDGET_SPENT, by=llm.BUDGET) / limit
expected = budgets.last(llm.BUDGET_FORECAST, by=llm.BUDGET) / limit

spent = stat(
    "Spent",
    calls.increase(llm.COST),
    unit=units.USD,
    help=f"Cost of all calls in the time range, without those that have no price. {BETWEEN_SCRAPES}",
    no_data=NO_CALLS,
)
counted = stat(
    "Calls",
    requests,
    unit=units.COUNT,
    help="LLM calls in the time range, each counted once however many instrumentations saw it.",
    no_data=NO_CALLS,
)
fullest = stat(
    "Fullest budget",
    total(used, how="max"),
    unit=units.SHARE,
    meaning=FILLED,
    help="Share already spent of the budget that is nearest to its limit, in its current period.",
    no_data=NO_BUDGETS,
    runbook="LlmBudgetExhausted",
)
forecast = stat(
    "Worst forecast",
    total(expected, how="max"),
    unit=units.SHARE,
    meaning=EXPECTED,
    help="Expected spend at the end of the period over the limit, of the budget where this is largest. "
    "The forecast follows the pace of the same weekdays before.",
    no_data=NO_BUDGETS,
    runbook="LlmBudgetForecastOver",
)
gone_in = stat(
    "First budget gone in",
    # -1 where there are budgets and none of them runs out.
    budgets.last(llm.BUDGET_EXHAUSTION, how="min").otherwise(budgets.last(llm.BUDGET_LIMIT) * 0 - 1),
    unit=units.DURATION,
    meaning=Limits(warn=7 * 86400, bad=86400, falling=True),
    mappings={"-1": ("None: all last", GOOD), "0": ("Now", BAD)},
    help="Time until the first budget is used up at the expected pace; none when each lasts to the end of its period.",
    no_data=NO_BUDGETS,
    runbook="LlmBudgetBurnsSlow",
)
without_price = stat(
    "Calls without a price",
    calls.increase(llm.UNPRICED_REQUESTS).otherwise(requests * 0),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=0.5),
    help="Calls whose model has no known price. Their cost is missing from every sum on this board.",
    no_data=NO_CALLS,
    runbook="LlmUnpricedCalls",
)

# --- is the budget safe

budget_table = table(
    "Budgets",
    ["budget"],
    [
        Column("Limit", limit, units.USD),
        Column("Spent", budgets.last(llm.BUDGET_SPENT, by=llm.BUDGET), units.USD),
        Column(
            "Left",
            budgets.last(llm.BUDGET_REMAINING, by=llm.BUDGET),
            units.USD_SIGNED,
            meaning=Limits(warn=0, bad=0, falling=True),
        ),
        Column("Used", used, units.SHARE, meaning=FILLED),
        Column("Forecast", budgets.last(llm.BUDGET_FORECAST, by=llm.BUDGET), units.USD),
        Column("Expected", expected, units.SHARE, meaning=EXPECTED),
        Column("Gone in", budgets.last(llm.BUDGET_EXHAUSTION, by=llm.BUDGET), units.DAYS),
        Column("Ends", budgets.last(llm.BUDGET_PERIOD_END, by=llm.BUDGET) * 1000, units.FROM_NOW),
    ],
    sort="Used",
    help="Every budget in its current period. Used: spent over limit. Expected: forecast over limit. "
    "Gone in: empty when the budget lasts to the end of its period.",
    no_data=NO_BUDGETS,
    runbook="LlmBudgetForecastOver",
    width=15,
)
period = budgets.last(llm.BUDGET_PERIOD_END, by=llm.BUDGET) - budgets.last(llm.BUDGET_PERIOD_START, by=llm.BUDGET)
burn = timeseries(
    "Burn rate",
    budgets.rate(llm.BUDGET_CHARGED, by=llm.BUDGET, window="1h") * period / limit,
    unit=units.TIMES,
    limits=Limits(warn=1, bad=14.4),
    help="Spending of the past hour as a multiple of the even pace that uses up the limit exactly "
    "at the end of the period. 1 lasts to the end; 14.4 eats 2 % of a month's budget in an hour.",
    no_data=NO_BUDGETS,
    runbook="LlmBudgetBurnsFast",
)

# --- who spent it


def known_cost(by: Label) -> Expr:
    """Without the series of calls that have no price: what costs an unknown amount is not shown as 0."""
    return calls.increase(llm.COST, by=by, confidence=Not(("unpriced",)))


by_team = bars(
    "By team",
    top(12, known_cost(llm.TEAM)),
    unit=units.USD_ANY,
    help="Cost in the time range by team that owns the agent, largest first. A click narrows the board to it.",
    no_data=NO_CALLS,
    link="llm",
)
by_agent = bars(
    "By agent",
    top(12, known_cost(llm.AGENT)),
    unit=units.USD_ANY,
    help="Cost in the time range by agent, largest first. A click narrows the board to it.",
    no_data=NO_CALLS,
    link="llm",
)
by_model = bars(
    "By model",
    top(12, known_cost(llm.MODEL)),
    unit=units.USD_ANY,
    help="Cost in the time range by model that answered, largest first; those without a price are listed below. "
    "A click leads to the model's speed and errors.",
    no_data=NO_CALLS,
    link="models",
)

# --- when and for what

PER_HOUR = 3600
pace = timeseries(
    "Spending pace by team",
    calls.rate(llm.COST, by=llm.TEAM) * PER_HOUR,
    unit=units.USD_PER_HOUR,
    stacked=True,
    help="Spending per hour at each moment, stacked by team: the area is the bill.",
    no_data=NO_CALLS,
    runbook="LlmSpendSpike",
)
tokens = timeseries(
    "Tokens by kind",
    calls.rate(llm.TOKENS, by=llm.KIND),
    unit=units.TOKENS_PER_SECOND,
    stacked=True,
    help="Tokens per second by kind. The kinds do not overlap: the stack is the total. "
    "Cache reads are cheap, output and reasoning are dear.",
    no_data=NO_CALLS,
)

# --- can I trust it

confidence = bars(
    "How sure the cost is",
    top(3, known_cost(llm.CONFIDENCE)),
    unit=units.USD,
    colours=CONFIDENCES,
    help="priced: list or contract price per call. reported: the sender told it. estimated: from aggregates "
    "or a near model. Calls without a price are in the table beside.",
    no_data=NO_CALLS,
)
no_price_models = table(
    "Models without a price",
    ["provider", "model"],
    [Column("Calls", calls.increase(llm.UNPRICED_REQUESTS, by=(llm.PROVIDER, llm.MODEL)) > 0, units.COUNT)],
    sort="Calls",
    help="Models whose calls cost an unknown amount. Name their price in prices.overrides, or the model "
    "they stand for in prices.models; earlier calls stay unpriced.",
    no_data="No call without a price",
    runbook="LlmUnpricedCalls",
)
duplicates = bars(
    "Duplicates left out",
    top(3, calls.increase(llm.DUPLICATE_CALLS, by=llm.DUPLICATE_REASON) > 0),
    unit=units.COUNT,
    help="Sightings of calls that were counted already: the same span again, the same response seen by another "
    "instrumentation, or token metrics of calls whose spans came too. They change no other figure.",
    no_data="No duplicates",
    runbook="LlmDuplicateCalls",
)
price_age = stat(
    "Price table age",
    calls.age(llm.PRICES_CHECKED),
    unit=units.DURATION,
    meaning=Limits(warn=90 * 86400, bad=120 * 86400),
    help="Time since the price table in use was released. List prices change every few months.",
    no_data="No price table loaded",
    runbook="LlmPriceTableOld",
    width=4,
)
price_table = stat(
    "Price table",
    calls.last(llm.PRICES_INFO, by=(llm.PRICE_SOURCE, llm.PRICE_VERSION)),
    unit=units.PLAIN,
    show="name",
    help="Source and version of the list prices in use. Contract prices of prices.overrides come before them.",
    no_data="No price table loaded",
    width=3,
)

dashboard = board(
    "llm",
    "LLM cost",
    question="What did it cost, who spent it, is the budget safe, and can I trust the number?",
    variables=[
        Variable(llm.TEAM, llm.REQUESTS),
        Variable(llm.AGENT, llm.REQUESTS),
        Variable(llm.PROVIDER, llm.REQUESTS),
        Variable(llm.MODEL, llm.REQUESTS),
        Variable(llm.BUDGET, llm.BUDGET_LIMIT),
    ],
    leads_to=[("models", "Models side by side"), ("bills", "Do we pay this?"), ("exporter", "Is the watcher well?")],
    alerts="llm",
    rows=[
        answer(spent, counted, fullest, forecast, gone_in, without_price),
        row("Who spent it", by_team, by_agent, by_model),
        row("Is the budget safe", budget_table, burn),
        row("When, and for what", pace, tokens),
        row("Can I trust it", confidence, no_price_models, duplicates, price_age, price_table),
    ],
)
