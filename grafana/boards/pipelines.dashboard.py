"""All pipelines: which run, are late, fail, became slower, and what they cost."""

from __future__ import annotations

from grafana.boards import _pipeline_parts as parts
from grafana.boards._alert_parts import alerts_now
from grafana.boards._pipeline_parts import AT_ALL, MEASURE, NO_RUNS, NO_RUNS_WEEK, NOTHING_RUNS, PHASE, PIPELINE, SLOT
from grafana.house import (
    NEUTRAL,
    Column,
    Expr,
    Facts,
    Limits,
    Panel,
    RowLink,
    Scope,
    Variable,
    answer,
    board,
    first,
    outside,
    row,
    stat,
    table,
    timeseries,
    total,
    units,
)

from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import Metric

fleet = Scope(PIPELINE)
OF_RUN = (SLOT, PIPELINE)
state = fleet.last(pipelines.SLOT_RUN_STATE, by=OF_RUN)
start = fleet.last(pipelines.SLOT_RUN_START, by=OF_RUN)
took = fleet.last(pipelines.SLOT_RUN_DURATION, by=OF_RUN)
open_runs = state < parts.ENDED
active = fleet.last(pipelines.RUN_ACTIVE, how="sum")
of_period = fleet.age(pipelines.LAST_SUCCESS, by=PIPELINE).otherwise(fleet.age(pipelines.FIRST_SEEN, by=PIPELINE)) / (
    fleet.last(pipelines.EXPECTED_PERIOD, by=PIPELINE) > 0
)
runs_week = fleet.last(parts.RUNS, how="sum")
failed_week = fleet.last(parts.RUNS, how="sum", result=parts.FAILED)


def of_open(metric: Metric, **match: str) -> Expr:
    """Of the runs under way."""
    return fleet.last(metric, by=OF_RUN, how="max", **match).where(open_runs)


def or_none(count: Expr) -> Expr:
    """0 where pipelines are known and nothing is to be counted."""
    return count.otherwise(total(fleet.last(pipelines.FIRST_SEEN, by=PIPELINE), how="count") * 0)


# --- the answer

answers = [
    stat(
        "Under way",
        active,
        unit=units.COUNT,
        help="Runs that wait or run now.",
        no_data=NO_RUNS,
    ),
    stat(
        "Overdue",
        or_none(total(fleet.last(pipelines.RUN_OVERDUE, by=OF_RUN) > 0, how="count")),
        unit=units.COUNT,
        meaning=AT_ALL,
        help="Runs under way for longer than nine of ten of their pipeline's past runs.",
        no_data=NO_RUNS,
        runbook="RunOverdue",
    ),
    stat(
        "Missed",
        or_none(total(of_period > 2, how="count")),
        unit=units.COUNT,
        meaning=AT_ALL,
        help="Expected pipelines without a success for two of their periods. The settings say which are expected.",
        no_data=NO_RUNS,
        runbook="NoSuccessSince",
    ),
    stat(
        "Failed, 7 d",
        failed_week.share_of(runs_week),
        unit=units.SHARE,
        meaning=parts.FAILURES,
        help="Share of the runs of the past 7 days that ended in a failure, an error or a timeout.",
        no_data=NO_RUNS_WEEK,
        runbook="RunFailed",
    ),
    stat(
        "Runs, 7 d",
        runs_week,
        unit=units.COUNT,
        help="Runs that ended in the past 7 days, of all pipelines chosen above.",
        no_data=NO_RUNS_WEEK,
    ),
    stat(
        "Spent, 7 d",
        fleet.last(parts.SPENT, how="sum"),
        unit=units.USD,
        help="Known cost of the runs of the past 7 days: LLM calls and the share of machines. What has no price is "
        "missing: see No price below.",
        no_data="No cost is known",
        runbook="PipelineCostUp",
    ),
    stat(
        "Got worse",
        or_none(parts.worse(fleet)),
        unit=units.COUNT,
        meaning=Limits(warn=0.5, bad=5),
        help="Durations, throughputs, error rates, costs, processor times and memories of phases and runs that got "
        "worse, by more than noise.",
        no_data=NO_RUNS,
        runbook="PhaseSlower",
    ),
    stat(
        "Alerts",
        outside("ALERTS", how="count", alertstate="firing", domain="pipelines").otherwise(0),
        unit=units.COUNT,
        meaning=AT_ALL,
        help="Alerts about pipelines that fire now, of all pipelines.",
    ),
]

# --- one by one

ALERT_KEYS = ("alertname", "severity", PIPELINE.name, PHASE.name)
newest = first(start, by=PIPELINE)


def eta(quantile: str) -> Expr:
    return fleet.last(pipelines.RUN_ETA, by=PIPELINE, quantile=quantile)


one_by_one = table(
    "Pipelines",
    [PIPELINE.name],
    [
        Column("Newest run", total(state.where(newest), by=PIPELINE, how="max"), units.PLAIN, mappings=parts.STATES),
        Column("Last ok", fleet.age(pipelines.LAST_SUCCESS, by=PIPELINE), units.SECONDS),
        Column("Periods", of_period, units.TIMES, meaning=parts.MISSED),
        Column("Went well", fleet.last(parts.WENT_WELL, by=PIPELINE), units.SHARE, meaning=parts.SUCCESSES),
        Column("at least", fleet.last(parts.WENT_WELL_LOW, by=PIPELINE), units.SHARE),
        Column("Runs", fleet.last(parts.RUNS, by=PIPELINE, how="sum"), units.COUNT),
        Column("Usually", parts.usual_run(fleet, PIPELINE), units.SECONDS),
        Column(
            "Lately",
            fleet.last(pipelines.REGRESSION_RECENT, by=PIPELINE, measure="duration", phase="")
            / (parts.usual_run(fleet, PIPELINE) > 0),
            units.TIMES_EXACT,
            meaning=parts.SLOWER,
        ),
        Column("Left, p50", eta("0.5"), units.SECONDS),
        Column("Left, p90", eta("0.9"), units.SECONDS),
        Column("Items", fleet.last(parts.ITEM_RATE, by=PIPELINE), units.PER_SECOND),
        Column("Per run", fleet.last(parts.PER_RUN, by=PIPELINE), units.USD_ANY),
        Column("Per 1,000", fleet.last(parts.PER_ITEM, by=PIPELINE) * 1000, units.USD_ANY),
        Column("Worse", parts.worse(fleet, PIPELINE), units.COUNT, meaning=AT_ALL),
    ],
    titles=parts.TITLES,
    sort="Runs",
    help="One row per pipeline, over 7 days. Last ok: time since the last success; Periods: over the expected period. "
    "At least: lower end of the 95 % interval of Went well. Usually: median of past runs; Lately: that of the last "
    "runs over it. Left: of the run under way that needs longest. Items: of the phase that has most, per second. Per "
    "run and Per 1,000 (items) are empty where the cost is not known. Worse: comparisons with the past that say so. "
    "A click opens the recent runs.",
    no_data=NO_RUNS,
    link="heatmap",
    runbook="NoSuccessSince",
    height=8,
)

under_way = table(
    "Runs under way",
    [SLOT.name, PIPELINE.name],
    [
        Column("State", open_runs, units.PLAIN, mappings=parts.STATES),
        Column("For", of_open(pipelines.SLOT_RUN_DURATION), units.SECONDS),
        Column(
            "Phases done",
            total(
                fleet.last(pipelines.SLOT_PHASE_STATE, by=(*OF_RUN, PHASE), subphase="") > parts.ENDED,
                by=OF_RUN,
                how="count",
            )
            .otherwise(open_runs * 0)
            .where(open_runs)
            / total(fleet.last(pipelines.SLOT_PHASE_STATE, by=(*OF_RUN, PHASE), subphase=""), by=OF_RUN, how="count"),
            units.SHARE,
            meaning=NEUTRAL,
        ),
        Column("Left, p50", of_open(pipelines.RUN_ETA, quantile="0.5"), units.SECONDS),
        Column("Left, p90", of_open(pipelines.RUN_ETA, quantile="0.9"), units.SECONDS),
        Column("Overdue", of_open(pipelines.RUN_OVERDUE), units.SECONDS, meaning=Limits(warn=1, bad=600)),
        Column(parts.BEGAN, parts.clock(start.where(open_runs)), units.FROM_NOW),
    ],
    facts=[
        Facts(
            fleet.last(pipelines.SLOT_INFO, by=(*OF_RUN, parts.RUN_ID, pipelines.HOST)).where(open_runs),
            {parts.RUN_ID.name: "Run", pipelines.HOST.name: "Host"},
        ),
    ],
    titles=parts.TITLES,
    sort="For",
    help="Runs that wait or run now. Phases done: of those that the pipeline is known to have. Left: from past runs. A "
    "click on the pipeline opens the run.",
    no_data=NOTHING_RUNS,
    row_links=[RowLink("run", "Show this run", {PIPELINE.name: "Pipeline", SLOT.name: "Slot"}, since=parts.BEGAN)],
    narrow=True,
    runbook="RunOverdue",
    height=7,
)


# --- alerts, results, money, trends

now_firing = outside("ALERTS", how="count", by=ALERT_KEYS, alertstate="firing", domain="pipelines")
firing = table(
    "Alerts by pipeline and phase",
    ALERT_KEYS,
    [Column("Firing", parts.filled(parts.whole(now_firing), PIPELINE, "–"), units.COUNT)],
    titles={"alertname": "Alert", "severity": "Severity"} | parts.TITLES,
    sort="Firing",
    help="Alerts about pipelines, of all pipelines.",
    no_data="No alert fires",
    runbook="PhaseFailed",
)
results = timeseries(
    "How runs end",
    fleet.counted(parts.RUNS_ENDED, by=parts.RESULT) > 0,
    unit=units.COUNT,
    stacked=True,
    counts=True,
    least=parts.RECORDED_EVERY,
    colours=parts.RESULTS,
    help="Runs that ended in each step of the chart, by result.",
    no_data="No run ended in this time range",
    runbook="RunFailed",
    width=9,
)
spending = timeseries(
    "What runs cost",
    fleet.counted(parts.RUNS_SPENT, by=PIPELINE) > 0,
    unit=units.USD_ANY,
    stacked=True,
    counts=True,
    least=parts.RECORDED_EVERY,
    help="Known cost of the runs that ended in each step of the chart, by pipeline.",
    no_data="No run with a known cost ended in this time range",
    runbook="PipelineCostUp",
    width=9,
)
unpriced = table(
    "No price, 7 d",
    [PIPELINE.name, parts.KIND.name],
    [Column("Runs", fleet.last(parts.UNPRICED, by=(PIPELINE, parts.KIND)) > 0, units.COUNT, meaning=AT_ALL)],
    titles={**parts.TITLES, parts.KIND.name: "Of what"},
    sort="Runs",
    help="Runs of the past 7 days whose cost is not known, or only in part. They have no cost here, not the cost 0.",
    no_data="The cost of all runs is known",
    width=6,
)


def compared(title: str, measure: str, unit: units.Unit, help: str, runbook: str) -> Panel:
    """Phases whose last runs differ from those before them in a measure, by more than noise."""
    keys = (PIPELINE, PHASE)
    change = fleet.last(pipelines.REGRESSION, by=keys, measure=measure)
    changed = (change > 1).otherwise(change < 1)

    def column(title: str, metric: Metric) -> Column:
        return Column(title, parts.whole(fleet.last(metric, by=keys, measure=measure).where(changed)), unit)

    # Less is worse only of what is made in a second.
    limits = Limits(warn=1, bad=0.75, falling=True) if measure == "throughput" else Limits(warn=1, bad=1.5)
    return table(
        title,
        [label.name for label in keys],
        [
            Column("Change", parts.whole(changed), units.TIMES_EXACT, meaning=limits),
            column("Lately", pipelines.REGRESSION_RECENT),
            column("Before", pipelines.REGRESSION_BASELINE),
        ],
        titles=parts.TITLES,
        sort="Change",
        ascending=measure == "throughput",
        help=help,
        no_data="Nothing differs by more than noise",
        link="heatmap",
        runbook=runbook,
        height=7,
    )


slower = compared(
    "What takes longer or shorter",
    "duration",
    units.SECONDS,
    "Median duration of the last runs over that of the runs before them, where the difference is more than noise and "
    "enough runs are known.",
    "PhaseSlower",
)
throughput = compared(
    "What makes more or fewer items",
    "throughput",
    units.PER_SECOND,
    "Median of items per second of the last runs over that of the runs before them, likewise.",
    "ThroughputDown",
)
elsewhere = fleet.last(
    pipelines.REGRESSION, by=(PIPELINE, PHASE, MEASURE), measure=("error_rate", "cost", "cpu", "memory")
)
changed_else = (elsewhere > 1).otherwise(elsewhere < 1)
other = table(
    "What else changed",
    [PIPELINE.name, PHASE.name, MEASURE.name],
    [Column("Change", parts.whole(changed_else), units.TIMES_EXACT, meaning=Limits(warn=1, bad=1.5))],
    titles=parts.TITLES,
    sort="Change",
    help="Error rate, cost, processor time and memory: the same comparison.",
    no_data="Nothing differs by more than noise",
    link="heatmap",
    runbook="ErrorRateUp",
    height=6,
)

dashboard = board(
    "pipelines",
    "Pipelines",
    question="Which pipelines run, are late, fail or became slower, and what do they cost?",
    variables=[Variable(PIPELINE, pipelines.FIRST_SEEN)],
    leads_to=parts.leads_to("pipelines"),
    alerts="pipelines",
    # A phase that failed is a mark in the table; in charts of all pipelines these would hide what they mark.
    alerts_where='severity="page"',
    since="now-24h",
    rows=[
        answer(*answers),
        row("One by one", one_by_one),
        row("Now", under_way),
        row("How they end, and what they cost", results, spending, unpriced),
        row("", firing, alerts_now("pipelines")),
        row("What changed", slower, throughput),
        row("", other),
    ],
)
