"""One run: where it stands, when it will be done, and what each phase took, made and used."""

from __future__ import annotations

from grafana.boards import _pipeline_parts as parts
from grafana.boards._pipeline_parts import NO_SUCH_RUN, NO_USUAL, PHASE, SUBPHASE
from grafana.house import (
    BAD,
    NEUTRAL,
    RATE,
    Column,
    Facts,
    Limits,
    RowLink,
    answer,
    bars,
    board,
    gantt,
    joined,
    row,
    stat,
    state_timeline,
    table,
    timeseries,
    top,
    total,
    units,
)

from fleetwatch.catalogue import pipelines

run = parts.OneRun()
pipeline = run.scope
PART = "part"
ORDER = "Order"
FAR = 1e12
ERRORS = (PHASE, pipelines.ERROR_TYPE)
SIGNALS = (PHASE, pipelines.SIGNAL)

state = run.now(pipelines.SLOT_RUN_STATE)
took = run.now(pipelines.SLOT_RUN_DURATION)
phase_took = run.phases(pipelines.SLOT_PHASE_DURATION)
usual_phase = parts.usual_phase(pipeline, PHASE)

# --- the answer

answers = [
    stat(
        "State",
        state,
        unit=units.PLAIN,
        mappings=parts.STATES,
        help="What the run does, or how it ended.",
        no_data=NO_SUCH_RUN,
        runbook="RunFailed",
    ),
    stat(
        "Took",
        took,
        unit=units.SECONDS,
        help="How long it took, or has been under way.",
        no_data=NO_SUCH_RUN,
    ),
    stat(
        "To usual",
        took / (parts.usual_run(pipeline) > 0),
        unit=units.TIMES_EXACT,
        meaning=parts.SLOWER,
        help="Its duration over the median of the pipeline's past runs; of a run under way, so far.",
        no_data=NO_USUAL,
        runbook="PhaseSlower",
    ),
    stat(
        "Left, p50",
        run.now(pipelines.RUN_ETA, quantile="0.5"),
        unit=units.SECONDS,
        help="Time until it is done, as half of the past runs had it from here; 0 past it.",
        no_data="It has ended, or too few runs",
        runbook="RunOverdue",
    ),
    stat(
        "Left, p90",
        run.now(pipelines.RUN_ETA, quantile="0.9"),
        unit=units.SECONDS,
        help="Time until it is done, as nine of ten of the past runs had it from here; 0 past it.",
        no_data="It has ended, or too few runs",
        runbook="RunOverdue",
    ),
    stat(
        "Overdue",
        run.now(pipelines.RUN_OVERDUE),
        unit=units.SECONDS,
        meaning=Limits(warn=1, bad=600),
        help="How long it is past the p90.",
        no_data="It has ended, or too few runs",
        runbook="RunOverdue",
    ),
    stat(
        "Errors",
        total(run.phases(pipelines.SLOT_PHASE_ERRORS)),
        unit=units.COUNT,
        meaning=Limits(warn=1, bad=10),
        help="Errors that its phases counted, those that they survived among them.",
        no_data=NO_SUCH_RUN,
        runbook="ErrorRateUp",
    ),
    stat(
        "Cost",
        total(run.now(pipelines.SLOT_RUN_SPENT, parts.KIND)),
        unit=units.USD_ANY,
        help="Known cost: LLM calls and its share of the machine.",
        no_data="Not known (yet)",
    ),
]

# --- what it did when

lanes = state_timeline(
    "Phases over time",
    joined(run.over_time(pipelines.SLOT_PHASE_STATE, PHASE, SUBPHASE), PART, PHASE.name, SUBPHASE.name).named(""),
    mappings=parts.STATES,
    help="State of each phase and its parts, only while this run has its slot. Phases shorter than a step of the "
    "screen can be missing here: the bars beside are exact.",
    no_data="This run is not in the time range",
    runbook="PhaseStuck",
    height=12,
    width=13,
)
begun = run.now(pipelines.SLOT_PHASE_START, PHASE, SUBPHASE)
exact = gantt(
    "From beginning to end",
    joined(begun.since(run.now(pipelines.SLOT_RUN_START)), PART, PHASE.name, SUBPHASE.name),
    joined(run.now(pipelines.SLOT_PHASE_DURATION, PHASE, SUBPHASE), PART, PHASE.name, SUBPHASE.name),
    unit=units.SECONDS,
    help="When each phase and part began and ended, counted from the run's beginning. One that was tried again reaches "
    "from its first beginning to its last end.",
    no_data=NO_SUCH_RUN,
    runbook="PhaseStuck",
    height=12,
    width=11,
)

usual_rate = pipeline.last(parts.PHASE_ITEM_RATE, by=PHASE)
phase_began = run.phases(pipelines.SLOT_PHASE_START)
# Phases that have not begun come last, also those of which only the past knows.
phase_order = phase_began.otherwise(run.phases(pipelines.SLOT_PHASE_STATE) * 0 + FAR).otherwise(
    usual_phase * 0 + 2 * FAR
)
phases = table(
    "Phases",
    [PHASE.name],
    [
        Column("State", run.phases(pipelines.SLOT_PHASE_STATE), units.PLAIN, mappings=parts.STATES),
        Column("Began at", phase_began.since(run.now(pipelines.SLOT_RUN_START)), units.SECONDS),
        Column("Took", phase_took, units.SECONDS),
        Column("Usually", usual_phase, units.SECONDS),
        Column("To usual", phase_took / (usual_phase > 0), units.TIMES_EXACT, meaning=parts.SLOWER),
        Column("Left, p50", run.now(pipelines.PHASE_ETA, PHASE, quantile="0.5"), units.SECONDS),
        Column("Left, p90", run.now(pipelines.PHASE_ETA, PHASE, quantile="0.9"), units.SECONDS),
        Column("Progress", run.phases(pipelines.SLOT_PHASE_PROGRESS), units.SHARE, meaning=NEUTRAL),
        Column("Items", run.phases(pipelines.SLOT_PHASE_ITEMS), units.COUNT),
        Column("Pace", run.rate(), units.PER_SECOND),
        Column("Speed", run.rate() / (usual_rate > 0), units.TIMES_EXACT, meaning=parts.FEWER),
        Column("Errors", run.phases(pipelines.SLOT_PHASE_ERRORS), units.COUNT, meaning=Limits(warn=1, bad=10)),
        Column("Warnings", run.phases(pipelines.SLOT_PHASE_WARNINGS), units.COUNT),
        Column("CPU time", run.phases(pipelines.SLOT_PHASE_CPU), units.SECONDS),
        Column("Memory", run.phases(pipelines.SLOT_PHASE_MEMORY_PEAK), units.BYTES),
        Column("Cost", run.phases(pipelines.SLOT_PHASE_SPENT), units.USD_ANY),
        Column(ORDER, phase_order, units.SECONDS, hidden=True),
    ],
    titles=parts.TITLES,
    sort=ORDER,
    ascending=True,
    help="One row per phase. Usually: median of past runs, of the runs of a week while they are few. Items: those put "
    "out, else those taken in; Pace: of the phase's own time; Speed: over the mean pace of 7 days. Memory: most at a "
    "time. Cost: known when the run is settled. A click opens the recent runs of this phase.",
    no_data=NO_SUCH_RUN,
    row_links=[RowLink("heatmap", "Show this phase's recent runs", {PHASE.name: "Phase"}, keep=[parts.PIPELINE.name])],
    runbook="PhaseFailed",
    height=12,
)
began, ran = (run.now(metric, parts.SLOT) for metric in (pipelines.SLOT_RUN_START, pipelines.SLOT_RUN_DURATION))
which = table(
    "Which run",
    [parts.SLOT.name],
    [
        Column(parts.BEGAN, parts.clock(began), units.CLOCK),
        Column("Took", ran, units.SECONDS),
        # A minute more: that it ended is known with the next scrape.
        Column(parts.UNTIL, parts.clock(began + ran + 60), units.CLOCK, hidden=True),
    ],
    facts=[
        Facts(
            run.now(pipelines.SLOT_INFO, parts.SLOT, parts.RUN_ID, pipelines.VERSION, pipelines.HOST),
            {parts.RUN_ID.name: "Run", pipelines.VERSION.name: "Version", pipelines.HOST.name: "Host"},
        )
    ],
    titles=parts.TITLES,
    sort="Began",
    help="The run that has the slot at the end of the time range. All runs are in `fleetwatch runs list`.",
    no_data=NO_SUCH_RUN,
    row_links=[
        RowLink("run", "Show only its time", {}, since=parts.BEGAN, until=parts.UNTIL, keep=["pipeline", "slot"]),
        RowLink("compare", "Compare it with another", {"a": "Slot"}, keep=["pipeline"]),
        RowLink("host", "Show its host", {pipelines.HOST.name: "Host"}),
    ],
    narrow=True,
    height=4,
)

# --- what it used, made and said

items = timeseries(
    "Items so far",
    run.over_time(pipelines.SLOT_PHASE_ITEMS, PHASE),
    unit=units.COUNT,
    help="Items of each phase: those put out, else those taken in. A line that no longer climbs stands still.",
    no_data="No items are counted",
    runbook="ThroughputDown",
)
processors = timeseries(
    "Processors in use",
    run.only(pipeline.slope(pipelines.SLOT_PHASE_CPU, by=PHASE, window=RATE, slot=run.slot).at_least(0)),
    unit=units.CPUS,
    help="Processor time per second of each phase, child processes included. It is told at intervals and at the end of "
    "a phase.",
    no_data="No processor time is told",
)
memory = timeseries(
    "Memory, most so far",
    run.over_time(pipelines.SLOT_PHASE_MEMORY_PEAK, PHASE),
    unit=units.BYTES,
    help="Most memory of each phase so far.",
    no_data="No memory is told",
)
progress = timeseries(
    "Progress",
    run.over_time(pipelines.SLOT_PHASE_PROGRESS, PHASE),
    unit=units.SHARE,
    help="Share of the expected items that each phase has; only of phases that say how many they expect.",
    no_data="No phase says how many items it expects",
    runbook="PhaseStuck",
)
values = timeseries(
    "Signals",
    pipeline.last(pipelines.SIGNAL_VALUE, by=SIGNALS),
    unit=units.PLAIN,
    help="Signals of the domain that the settings declare as gauges, as last told by any run of the pipeline.",
    no_data="None told yet, or the settings declare none",
)
events = timeseries(
    "Signals counted",
    pipeline.counted(parts.SIGNALS, by=SIGNALS) > 0,
    unit=units.COUNT,
    counts=True,
    least=parts.RECORDED_EVERY,
    help="Signals of the domain that the settings declare as counters: in each step of the chart, by any run.",
    no_data="None in this time range, or the settings declare none",
)
errors = bars(
    "Errors by type",
    top(10, pipeline.grown(pipelines.PHASE_ERRORS, parts.ERRORS, by=ERRORS) > 0),
    unit=units.COUNT,
    meaning=BAD,
    help="Errors that the pipeline's phases counted in the time range, by phase and type.",
    no_data="No errors in this time range",
    runbook="ErrorRateUp",
)
warned = table(
    "Warnings and retries",
    [PHASE.name],
    [
        Column("Warnings", pipeline.grown(pipelines.PHASE_WARNINGS, parts.WARNINGS, by=PHASE), units.COUNT),
        Column("Retries", pipeline.grown(pipelines.PHASE_RETRIES, parts.RETRIES, by=PHASE), units.COUNT),
    ],
    titles=parts.TITLES,
    sort="Warnings",
    help="Warnings of the pipeline's phases in the time range, and how often phases were tried again.",
    no_data="None in this time range",
    runbook="PhaseFailed",
)

dashboard = board(
    "run",
    "One run",
    question="Where does the run stand, when will it be done, and what did each phase take?",
    variables=[parts.WHICH_PIPELINE, parts.which_run("Run")],
    leads_to=parts.leads_to("run"),
    alerts="pipelines",
    # Those of the pipeline's other runs would hide what this one did.
    alerts_where='pipeline="$pipeline",slot="$slot"',
    since="now-1h",
    rows=[
        answer(*answers),
        row("", which),
        row("What it did when", lanes, exact),
        row("Phase by phase", phases),
        row("What they made", items, progress, errors),
        row("What they used, and what they said", processors, memory, warned),
        row("Signals of the domain", values, events),
    ],
)
