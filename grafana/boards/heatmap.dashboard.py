"""The recent runs of a pipeline, phase by phase: what was slow or failed, when, and how good the predictions were."""

from __future__ import annotations

from grafana.boards import _pipeline_parts as parts
from grafana.boards._pipeline_parts import MEASURE, NO_RUNS_WEEK, NO_USUAL, PHASE, SLOT, SUBPHASE
from grafana.house import (
    RANGE,
    Column,
    Expr,
    Facts,
    Limits,
    Panel,
    RowLink,
    Scope,
    Variable,
    answer,
    bars,
    board,
    first,
    heatmap,
    matrix,
    row,
    stat,
    status_history,
    table,
    timeseries,
    top,
    total,
    units,
)

from fleetwatch.catalogue import pipelines

pipeline = Scope(parts.PIPELINE, one=True)
phase = Scope(parts.PIPELINE, PHASE, one=True)
CELL = (SLOT, PHASE)
YEAR = 365 * 86400
NO_PHASES = "No phase of this pipeline is known"
NO_SCORES = "No run with a prediction has ended in this time range"

# --- the answer

runs = pipeline.last(parts.RUNS, how="sum")
changed = pipeline.last(pipelines.REGRESSION, by=(PHASE, MEASURE))
slowest = first(pipeline.last(pipelines.REGRESSION, by=PHASE, measure="duration", phase=parts.A_PHASE) > 1, by=())
scored = pipeline.increase(parts.ETA_SCORED)
coverage = pipeline.increase(parts.ETA_SCORED, within="yes").share_of(scored)

answers = [
    stat("Runs, 7 d", runs, unit=units.COUNT, help="Runs that ended in the past 7 days.", no_data=NO_RUNS_WEEK),
    stat(
        "Went well, 7 d",
        pipeline.last(parts.WENT_WELL),
        unit=units.SHARE,
        meaning=parts.SUCCESSES,
        help="Share of the runs of the past 7 days that ended in success; those that were cancelled or skipped do not "
        "count.",
        no_data=NO_RUNS_WEEK,
        runbook="PhaseFailed",
    ),
    stat(
        "Usually takes",
        parts.usual_run(pipeline),
        unit=units.SECONDS,
        help="Median duration of past runs, or the mean of a week while they are few.",
        no_data=NO_RUNS_WEEK,
    ),
    stat(
        "Slowed most",
        slowest,
        unit=units.TIMES_EXACT,
        meaning=parts.SLOWER,
        show="value_and_name",
        help="The phase whose last runs took longer than those before them by the largest factor, where it is more "
        "than noise.",
        no_data="No phase became slower",
        empty="green",
        runbook="PhaseSlower",
    ),
    stat(
        "Prediction off by",
        pipeline.quantile(0.5, parts.ETA_ERRORS, window=RANGE),
        unit=units.SHARE,
        meaning=Limits(warn=0.2, bad=0.5),
        help="Half of the predictions (p50, told at a quarter, half and three quarters of a run) were off by no more "
        "than this share of the run's duration. In the time range.",
        no_data=NO_SCORES,
        runbook="EtaUnreliable",
    ),
    stat(
        "Ended before p90",
        coverage,
        unit=units.SHARE,
        meaning=Limits(warn=0.8, bad=0.6, falling=True),
        help="Share of the predictions whose run ended before the p90: nine of ten should. In the time range.",
        no_data=NO_SCORES,
        runbook="EtaUnreliable",
    ),
]

# --- phase by run

states = pipeline.last(pipelines.SLOT_PHASE_STATE, by=CELL, subphase="")
run_start = pipeline.last(pipelines.SLOT_RUN_START, by=SLOT)
# What has not begun comes last.
began = pipeline.last(pipelines.SLOT_PHASE_START, by=CELL, subphase="").otherwise((states * 0).plus(run_start + YEAR))
took = pipeline.last(pipelines.SLOT_PHASE_DURATION, by=CELL, subphase="")
OPEN = RowLink("run", "Show this run", {}, keep=(parts.PIPELINE.name,), column=SLOT.name)

durations = matrix(
    "Duration against the usual",
    took.over(parts.usual_phase(pipeline, PHASE) > 0),
    began,
    row=PHASE.name,
    column=SLOT.name,
    row_title="Phase",
    unit=units.TIMES_EXACT,
    meaning=parts.RATIOS,
    help="Each phase of each recent run over the phase's usual duration; one column per slot, oldest run first. A "
    "click opens the run.",
    no_data=NO_PHASES,
    link=OPEN,
    runbook="PhaseSlower",
    height=12,
)
results = matrix(
    "How the phases ended",
    states,
    began,
    row=PHASE.name,
    column=SLOT.name,
    row_title="Phase",
    unit=units.PLAIN,
    mappings=parts.SHORT,
    help="State of each phase of each recent run; one column per slot, oldest run first. err: it could not be done; "
    "fail: it was done and is bad. A click opens the run.",
    no_data=NO_PHASES,
    link=OPEN,
    runbook="PhaseFailed",
    height=12,
)

run_took = pipeline.last(pipelines.SLOT_RUN_DURATION, by=SLOT)
recent = table(
    "Which runs these are",
    [SLOT.name],
    [
        Column("State", pipeline.last(pipelines.SLOT_RUN_STATE, by=SLOT), units.PLAIN, mappings=parts.STATES),
        Column(parts.BEGAN, parts.clock(run_start), units.CLOCK),
        Column("Took", run_took, units.SECONDS),
        Column("To usual", run_took.over(parts.usual_run(pipeline) > 0), units.TIMES_EXACT, meaning=parts.SLOWER),
        Column(
            "Errors",
            total(pipeline.last(pipelines.SLOT_PHASE_ERRORS, by=CELL), by=SLOT),
            units.COUNT,
            meaning=Limits(warn=1, bad=10),
        ),
        Column("Cost", total(pipeline.last(pipelines.SLOT_RUN_SPENT, by=(SLOT, parts.KIND)), by=SLOT), units.USD_ANY),
        Column(parts.UNTIL, parts.clock(run_start + run_took + 60), units.CLOCK, hidden=True),
    ],
    facts=[
        Facts(
            pipeline.last(pipelines.SLOT_INFO, by=(SLOT, parts.RUN_ID, pipelines.VERSION, pipelines.HOST)),
            {parts.RUN_ID.name: "Run", pipelines.VERSION.name: "Version", pipelines.HOST.name: "Host"},
        )
    ],
    titles=parts.TITLES,
    sort=parts.BEGAN,
    help="The runs that have the slots above, newest first. A click opens the run, with its own time on the screen.",
    no_data="No run has a slot",
    row_links=[
        RowLink(
            "run",
            "Show this run",
            {SLOT.name: "Slot"},
            since=parts.BEGAN,
            until=parts.UNTIL,
            keep=[parts.PIPELINE.name],
        )
    ],
    narrow=True,
    runbook="PhaseFailed",
    height=12,
)

# --- phase by time


over_time = status_history(
    "Mean duration against the usual, over time",
    pipeline.counted(parts.PHASE_SECONDS, by=PHASE)
    / (pipeline.counted(parts.PHASES_WELL, by=PHASE) > 0)
    / (parts.usual_phase(pipeline, PHASE) > 0),
    unit=units.TIMES_EXACT,
    meaning=parts.RATIOS,
    help="Mean duration of the phases that ended well in each step, over the usual one. No cell: none ended.",
    no_data=NO_PHASES,
    least=parts.RECORDED_EVERY,
    runbook="PhaseSlower",
)
failures = status_history(
    "Share that did not end well, over time",
    pipeline.counted(parts.PHASES_BADLY, by=PHASE) / (pipeline.counted(parts.PHASES_ENDED, by=PHASE) > 0),
    unit=units.SHARE,
    meaning=Limits(warn=0.01, bad=0.34),
    help="Share of the phases that ended in a failure, an error or a timeout in each step. No cell: none ended.",
    no_data=NO_PHASES,
    least=parts.RECORDED_EVERY,
    runbook="PhaseFailed",
)

# --- spread


def spread_of(title: str, counted: Expr, *, help: str, no_data: str) -> Panel:
    """How many took how long, in each step."""
    return heatmap(
        title,
        counted,
        unit=units.SECONDS,
        help=help,
        no_data=no_data,
        columns=60,
        least=parts.RECORDED_EVERY,
        width=8,
    )


spread = spread_of(
    "Durations of the phase",
    phase.counted(parts.PHASE_DURATIONS),
    help="How long the phase chosen above took when it ended well.",
    no_data="This phase did not end well in this time range",
)
run_spread = spread_of(
    "Durations of runs",
    pipeline.counted(parts.RUN_DURATIONS),
    help="How long runs took that ended well.",
    no_data="No run ended well in this time range",
)
sub = table(
    "Parts of the phase",
    [SUBPHASE.name],
    [
        Column(
            "Mean",
            phase.increase(parts.SUBPHASE_SECONDS, by=SUBPHASE) / (phase.increase(parts.SUBPHASES, by=SUBPHASE) > 0),
            units.SECONDS,
        ),
        Column("Ended", phase.increase(parts.SUBPHASES, by=SUBPHASE), units.COUNT),
    ],
    titles={SUBPHASE.name: "Part"},
    sort="Mean",
    help="Mean duration of the parts of the phase chosen above, in the time range.",
    no_data="The phase has no parts",
    runbook="PhaseSlower",
    width=8,
)
usual = table(
    "Usual phases",
    [PHASE.name],
    [
        Column("Mean", pipeline.last(parts.PHASE_MEAN, by=PHASE), units.SECONDS),
        Column("± 95 %", pipeline.last(parts.PHASE_HALF, by=PHASE), units.SECONDS),
        Column("Spread", pipeline.last(parts.PHASE_SPREAD, by=PHASE), units.SECONDS),
        Column("Ended", pipeline.last(parts.PHASES, by=PHASE, how="sum"), units.COUNT),
        Column(
            "Went well",
            pipeline.last(parts.PHASES, by=PHASE, how="sum", result="success").share_of(
                pipeline.last(parts.PHASES, by=PHASE, how="sum")
            ),
            units.SHARE,
            meaning=parts.SUCCESSES,
        ),
        Column("Last ok", pipeline.age(pipelines.PHASE_LAST_SUCCESS, by=PHASE), units.SECONDS),
        Column("Pace", pipeline.last(parts.PHASE_ITEM_RATE, by=PHASE), units.PER_SECOND),
        Column("Cost", pipeline.last(parts.PHASE_SPENT, by=PHASE, how="sum"), units.USD_ANY),
        Column("Per 1,000", pipeline.last(parts.PHASE_PER_ITEM, by=PHASE) * 1000, units.USD_ANY),
        Column("Memory, last", pipeline.last(pipelines.PHASE_MEMORY_PEAK, by=PHASE), units.BYTES),
        Column("Artifacts", pipeline.increase(parts.ARTIFACTS, by=PHASE), units.COUNT),
        Column("Artifacts, size", pipeline.increase(parts.ARTIFACT_BYTES, by=PHASE), units.BYTES),
    ],
    titles=parts.TITLES,
    sort="Mean",
    help="The past 7 days of each phase; artifacts of the time range. Mean and spread (standard deviation) are of "
    "phases that ended well; ± 95 %: half the width of the mean's confidence interval, from five on. Per 1,000 "
    "(items) is empty where the cost or the items are not known.",
    no_data=NO_RUNS_WEEK,
    link="heatmap",
    runbook="ArtifactsMissing",
    height=12,
)

# --- changes and predictions

changes = matrix(
    "What the last runs changed",
    parts.whole(changed),
    parts.whole(changed) * 0,
    row=PHASE.name,
    column=MEASURE.name,
    row_title="Phase",
    unit=units.TIMES_EXACT,
    meaning=parts.RATIOS,
    help="Median of the last runs over that of the runs before them; 1 where the difference is no more than noise. "
    "More is worse of all but throughput.",
    no_data=NO_USUAL,
    runbook="PhaseSlower",
    height=13,
    width=11,
)
trend = timeseries(
    "Duration, the last runs against those before",
    parts.whole(pipeline.last(pipelines.REGRESSION, by=PHASE, measure="duration")),
    unit=units.TIMES_EXACT,
    limits=Limits(warn=1.25, bad=1.5),
    help="The change of the duration as it was known at each time; 1 where it is no more than noise.",
    no_data=NO_USUAL,
    runbook="PhaseSlower",
    width=7,
)
scores = pipeline.buckets(parts.ETA_ERRORS, window=RANGE)
# The widest bucket holds them all.
off_by = scores.over(total(scores, how="max") > 0)
within = bars(
    "Predictions off by at most",
    top(len(pipelines.ETA_ERROR.buckets) + 1, off_by),
    unit=units.SHARE,
    help="Share of the predictions in the time range that were off by at most this share of the run's duration.",
    no_data=NO_SCORES,
    runbook="EtaUnreliable",
    width=6,
)

dashboard = board(
    "heatmap",
    "Recent runs",
    question="Which phases of the recent runs were slow or failed, since when, and can I trust the predictions?",
    variables=[parts.WHICH_PIPELINE, Variable(PHASE, pipelines.PHASE_LAST_COMPLETION, one=True)],
    leads_to=parts.leads_to("heatmap"),
    alerts="pipelines",
    # Those of all phases would hide the lines.
    alerts_where='pipeline="$pipeline",phase="$phase"',
    since="now-24h",
    rows=[
        answer(*answers),
        row("Run by run", durations, results),
        row("", recent),
        row("Over time", over_time, failures),
        row("One phase", run_spread, spread, sub),
        row("All phases", usual),
        row("What changed, and how good predictions are", changes, trend, within),
    ],
)
