"""Provider bills: billed against metered, what it is for, and how sure either side is."""

from __future__ import annotations

from grafana.house import (
    BAD,
    CONFIDENCES,
    GOOD,
    WARN,
    Column,
    Facts,
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

from fleetwatch.catalogue import bills, exporter, llm

ours = Scope(bills.PROVIDER)

NO_BILLS = "No bill is read"
NONE_SETTLED = "No settled day"
SETTLED = "A day is settled when its provider has had its time to bill it; newer days are not here."
READERS = ("openai", "anthropic", "aws_cost")
"""Sources that read bills."""

VERDICTS = {
    "ok": ("agrees", GOOD),
    "drift": ("drifts", BAD),
    "unmetered_provider": ("not metered", BAD),
    "unbilled": ("on no bill", BAD),
    "incomplete": ("part left out", WARN),
}

# --- the answer

billed = stat(
    "Billed in 7 days",
    total(ours.last(bills.USD, by=bills.PROVIDER, window="7d")),
    unit=units.USD,
    help=f"What the providers billed for the last seven settled days. {SETTLED}",
    no_data=NONE_SETTLED,
)
metered = stat(
    "Metered, same days",
    total(ours.last(bills.METERED_USD, by=(bills.PROVIDER, llm.CONFIDENCE), window="7d")),
    unit=units.USD,
    help="What was metered from the calls themselves for the same days of the same providers.",
    no_data=NONE_SETTLED,
)
difference = stat(
    "Billed less metered",
    total(ours.last(bills.UNMETERED_USD, by=bills.PROVIDER, window="7d")),
    unit=units.USD_SIGNED,
    help="Positive: more was billed than metered. Differences of several providers may cancel out here; "
    "the table below has each.",
    no_data=NONE_SETTLED,
    runbook="BillDrift",
)
disagreeing = stat(
    "Bills in doubt",
    total(ours.last(bills.VERDICT_STATE, by=(bills.PROVIDER, bills.VERDICT), window="7d", verdict=Not(("ok",)))),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=0.5),
    help="Providers whose bill of the last seven settled days is not what was metered, by the tolerance of the "
    "settings (bills.tolerance).",
    no_data=NONE_SETTLED,
    runbook="BillDrift",
)
unpriced = stat(
    "Calls without a price",
    total(ours.last(bills.UNPRICED_REQUESTS, by=bills.PROVIDER, window="7d")),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=0.5),
    help="Metered calls of these days whose price is unknown: they are billed, and missing from the metered side.",
    no_data=NONE_SETTLED,
    runbook="LlmUnpricedCalls",
)
read = stat(
    "Oldest bill read",
    total(ours.age(bills.READ, by=bills.PROVIDER), how="max"),
    unit=units.DAYS,
    meaning=Limits(warn=12 * 3600, bad=86400),
    help="Time since the bill that was read longest ago was last read to its end. What it said then stays here.",
    no_data=NO_BILLS,
    runbook="BillStale",
)

# --- do we pay what we metered

BY = (bills.WINDOW, bills.PROVIDER)
side_by_side = table(
    "Billed and metered",
    ["window", "provider"],
    [
        Column("Billed", ours.last(bills.USD, by=BY), units.USD),
        Column("Metered", total(ours.last(bills.METERED_USD, by=(*BY, llm.CONFIDENCE)), by=BY), units.USD),
        Column("Difference", ours.last(bills.UNMETERED_USD, by=BY), units.USD_SIGNED),
        Column("Drift", ours.last(bills.DRIFT, by=BY), units.SHARE),
        Column("Days", ours.last(bills.WINDOW_DAYS, by=BY), units.COUNT),
        Column("Estimate", ours.last(bills.ESTIMATED_USD, by=BY), units.USD),
        Column("Tokens on no bill", ours.last(bills.UNCOSTED_TOKENS, by=BY), units.COUNT),
    ],
    facts=[
        Facts(ours.last(bills.VERDICT_STATE, by=(*BY, bills.VERDICT)) > 0, {"verdict": "Verdict"}, VERDICTS),
    ],
    sort="Days",
    help="Per provider, for the last one, seven and thirty settled days. Drift: billed over metered, less 1; "
    "a dash where nothing was metered. Days: fewer where metering began later. Estimate: the part that the provider "
    "may still change. Tokens on no bill: Anthropic's Priority Tier is on no cost report.",
    no_data=NONE_SETTLED,
    runbook="BillDrift",
    width=24,
)
by_day = timeseries(
    "Last settled day",
    ours.last(bills.USD, by=bills.PROVIDER, window="1d").named("billed"),
    total(ours.last(bills.METERED_USD, by=(bills.PROVIDER, llm.CONFIDENCE), window="1d"), by=bills.PROVIDER).named(
        "metered"
    ),
    unit=units.USD_ANY,
    help="US dollars of the day that had settled last at each moment: a new step each day, late by the provider's lag.",
    no_data=NONE_SETTLED,
)
drift = timeseries(
    "Drift of the last seven settled days",
    ours.last(bills.DRIFT, by=bills.PROVIDER, window="7d"),
    unit=units.SHARE,
    help="Billed over metered, less 1, as it was at each moment. Absent where nothing was metered.",
    no_data="Nothing was metered",
    runbook="BillDrift",
)

# --- what is it for

by_line = bars(
    "By line",
    top(15, ours.last(bills.LINE_USD, by=(bills.PROVIDER, bills.LINE), how="sum")),
    unit=units.USD_ANY,
    help="The last seven settled days by what is billed: OpenAI's line item, Anthropic's description, AWS' service. "
    "Small lines together are _other.",
    no_data=NONE_SETTLED,
    runbook="BillUnmetered",
    width=8,
)
by_account = bars(
    "By account",
    top(15, ours.last(bills.LINE_USD, by=(bills.PROVIDER, bills.ACCOUNT), how="sum")),
    unit=units.USD_ANY,
    help="The same by OpenAI project, Anthropic workspace or AWS account.",
    no_data=NONE_SETTLED,
    runbook="BillUnmetered",
    width=6,
)
KIND = (bills.PROVIDER, bills.KIND)
tokens_billed = ours.last(bills.TOKENS, by=KIND, window="7d")
tokens_metered = ours.last(bills.METERED_TOKENS, by=KIND, window="7d")
tokens = table(
    "Tokens",
    ["provider", "kind"],
    [
        Column("Billed", tokens_billed, units.COUNT),
        Column("Metered", tokens_metered, units.COUNT),
        Column("Difference", tokens_billed - tokens_metered, units.COUNT),
    ],
    sort="Billed",
    help="Tokens of the last seven settled days as the provider counted and as they were metered. They agree and the "
    "dollars do not: it is the price. AWS tells no tokens with its bill.",
    no_data="No tokens told",
    runbook="BillDrift",
    width=10,
)

# --- can I trust it

confidence = bars(
    "How sure the metered side is",
    top(3, total(ours.last(bills.METERED_USD, by=(bills.PROVIDER, llm.CONFIDENCE), window="7d"), by=llm.CONFIDENCE)),
    unit=units.USD,
    colours=CONFIDENCES,
    help="Metered cost of the last seven settled days. priced: list or contract price per call. reported: the sender "
    "told it. estimated: from aggregates or a near model.",
    no_data=NONE_SETTLED,
)
settled = bars(
    "Since the last settled day",
    top(5, ours.age(bills.SETTLED, by=bills.PROVIDER)),
    unit=units.DAYS,
    help="Time since the end of the last settled day: the provider's lag, and up to a day more.",
    no_data=NONE_SETTLED,
    runbook="BillStale",
)
revised = bars(
    "Changed after it was settled",
    top(5, ours.last(bills.REVISED_USD, by=bills.PROVIDER)),
    unit=units.USD,
    help="What the providers changed on days that had counted as settled. Much of it: the lag in the settings is too "
    "short.",
    no_data=NONE_SETTLED,
    runbook="BillRevised",
)
requests = timeseries(
    "Requests for the bills",
    ours.rate(exporter.API_REQUESTS, by=(exporter.COLLECTOR, exporter.API_OUTCOME), collector=READERS) * 3600,
    unit=units.PER_HOUR,
    help="Requests to the interfaces that tell the bills, per hour and by answer.",
    no_data=NO_BILLS,
    runbook="BillNeverRead",
)
api_cost = stat(
    "Cost of asking",
    ours.increase(exporter.API_COST, collector=READERS).otherwise(0),
    unit=units.USD,
    help="What the requests cost themselves in the time range: 0.01 US dollars each at AWS Cost Explorer, nothing at "
    "the others.",
    width=4,
)

dashboard = board(
    "bills",
    "Provider bills",
    question="Do we pay what we metered, what is the rest, and how sure is either side?",
    variables=[Variable(bills.PROVIDER, bills.LAG)],
    leads_to=[("llm", "LLM cost"), ("exporter", "Is the watcher well?")],
    alerts="bills",
    rows=[
        answer(billed, metered, difference, disagreeing, unpriced, read),
        row("Do we pay what we metered", side_by_side),
        row("Day by day", by_day, drift),
        row("What is it for", by_line, by_account, tokens),
        row("Can I trust it", confidence, settled, revised, requests, api_cost),
    ],
)
