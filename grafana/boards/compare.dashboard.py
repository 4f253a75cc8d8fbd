"""Two runs of a pipeline side by side, with what usually varies, so that noise is told from change."""

from __future__ import annotations

from grafana.boards import _pipeline_parts as parts
from grafana.boards._pipeline_parts import NO_SUCH_RUN, NO_USUAL, PHASE, SLOT
from grafana.house import (
    NEUTRAL,
    QUIET,
    Column,
    Expr,
    Facts,
    Limits,
    Panel,
    RowLink,
    answer,
    board,
    row,
    side_by_side,
    stat,
    table,
    total,
    units,
)
from grafana.house.colours import Meaning

from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import Metric

one, other = parts.OneRun("a"), parts.OneRun("b")
pipeline = one.scope
COLOURS = {"Run": NEUTRAL, "Against": QUIET}
MORE = Limits(warn=0.1, bad=0.5)
LESS = Limits(warn=-0.1, bad=-0.33, falling=True)
NOISE = Limits(warn=2, bad=3)

spread = pipeline.last(parts.PHASE_SPREAD, by=PHASE)


def change(now: Expr, before: Expr) -> Expr:
    """By which share it is more."""
    return now / (before > 0) - 1


def both(title: str, metric: Metric, unit: units.Unit, worse: Meaning | None = MORE) -> list[Column]:
    """A measure of the phases of the one run, of the other, and the change."""
    now, before = one.phases(metric), other.phases(metric)
    return [
        Column(title, now, unit),
        Column(f"{title}, against", before, unit),
        Column(f"{title}, change", change(now, before), units.SHARE, meaning=worse),
    ]


def run_change(title: str, now: Expr, before: Expr, help: str, no_data: str) -> Panel:
    return stat(
        title,
        change(now, before),
        unit=units.SHARE,
        meaning=MORE,
        help=help,
        no_data=no_data,
        runbook="PhaseSlower",
    )


took, took_before = one.now(pipelines.SLOT_RUN_DURATION), other.now(pipelines.SLOT_RUN_DURATION)
apart = (one.phases(pipelines.SLOT_PHASE_DURATION) - other.phases(pipelines.SLOT_PHASE_DURATION)).size()
# The difference of two runs varies by the square root of two more than one run does.
noise = apart / ((spread * 2**0.5) > 0)

answers = [
    stat("Took", took, unit=units.SECONDS, help="How long the run took, or has been under way.", no_data=NO_SUCH_RUN),
    stat(
        "Took, against",
        took_before,
        unit=units.SECONDS,
        help="How long the run took that it is compared with.",
        no_data=NO_SUCH_RUN,
    ),
    run_change("Longer by", took, took_before, "Change of the run's duration.", NO_SUCH_RUN),
    stat(
        "Beyond noise",
        total(noise > 2, how="count").otherwise(total(noise, how="count") * 0),
        unit=units.COUNT,
        meaning=Limits(warn=0.5, bad=3),
        help="Phases whose durations differ by more than twice what two runs usually differ by (standard deviation of "
        "7 days, times the square root of two). Of twenty phases one does so by chance.",
        no_data=NO_USUAL,
        runbook="PhaseSlower",
    ),
    run_change(
        "Dearer by",
        total(one.now(pipelines.SLOT_RUN_SPENT, parts.KIND)),
        total(other.now(pipelines.SLOT_RUN_SPENT, parts.KIND)),
        "Change of the known cost.",
        "The cost is not known",
    ),
    stat(
        "More errors",
        total(one.phases(pipelines.SLOT_PHASE_ERRORS)) - total(other.phases(pipelines.SLOT_PHASE_ERRORS)),
        unit=units.COUNT,
        meaning=Limits(warn=1, bad=10),
        help="Errors of all phases, less those of the other run.",
        no_data=NO_SUCH_RUN,
        runbook="ErrorRateUp",
    ),
]

INFO = (SLOT, parts.RUN_ID, pipelines.VERSION, pipelines.HOST)


def which(title: str, run: parts.OneRun) -> Panel:
    """What the run is: the first place to look for a reason."""
    return table(
        title,
        [SLOT.name],
        [
            Column("State", run.now(pipelines.SLOT_RUN_STATE, SLOT), units.PLAIN, mappings=parts.STATES),
            Column("Began", parts.clock(run.now(pipelines.SLOT_RUN_START, SLOT)), units.CLOCK),
            Column("Cost", total(run.now(pipelines.SLOT_RUN_SPENT, SLOT, parts.KIND), by=SLOT), units.USD_ANY),
        ],
        facts=[
            Facts(
                run.now(pipelines.SLOT_INFO, *INFO),
                {parts.RUN_ID.name: "Run", pipelines.VERSION.name: "Version", pipelines.HOST.name: "Host"},
            )
        ],
        titles=parts.TITLES,
        sort="Began",
        help="Version and machine: where they differ from the other run's, they may be the reason.",
        no_data=NO_SUCH_RUN,
        row_links=[RowLink("run", "Show this run", {SLOT.name: "Slot"}, keep=[parts.PIPELINE.name])],
        narrow=True,
        height=4,
    )


bars = side_by_side(
    "Phases, both runs",
    {"Run": one.phases(pipelines.SLOT_PHASE_DURATION), "Against": other.phases(pipelines.SLOT_PHASE_DURATION)},
    unit=units.SECONDS,
    colours=COLOURS,
    help="Duration of each phase in both runs.",
    no_data=NO_SUCH_RUN,
    runbook="PhaseSlower",
    height=13,
    width=9,
)
durations = table(
    "Durations, and what is noise",
    [PHASE.name],
    [
        *both("Took", pipelines.SLOT_PHASE_DURATION, units.SECONDS, None),
        Column("Usually", parts.usual_phase(pipeline, PHASE), units.SECONDS),
        Column("Spread", spread, units.SECONDS),
        Column("Times the noise", noise, units.TIMES, meaning=NOISE),
    ],
    titles=parts.TITLES,
    sort="Times the noise",
    help="Usually: median of past runs, of the runs of a week while they are few. Spread: standard deviation of 7 "
    "days. Times the noise: the difference over what two runs usually differ by; below 2 it says nothing.",
    no_data=NO_SUCH_RUN,
    runbook="PhaseSlower",
    height=13,
    width=15,
)
made = table(
    "What they made",
    [PHASE.name],
    [
        *both("Items", pipelines.SLOT_PHASE_ITEMS, units.COUNT, None),
        Column("Pace", one.rate(), units.PER_SECOND),
        Column("Pace, against", other.rate(), units.PER_SECOND),
        Column("Pace, change", change(one.rate(), other.rate()), units.SHARE, meaning=LESS),
        Column("Errors", one.phases(pipelines.SLOT_PHASE_ERRORS), units.COUNT),
        Column("Errors, against", other.phases(pipelines.SLOT_PHASE_ERRORS), units.COUNT),
        Column("Warned", one.phases(pipelines.SLOT_PHASE_WARNINGS), units.COUNT),
        Column("Warned, against", other.phases(pipelines.SLOT_PHASE_WARNINGS), units.COUNT),
    ],
    titles=parts.TITLES,
    sort="Items",
    help="Items of each phase, put out, else taken in; Pace: of the phase's own time.",
    no_data="Neither run counted items",
    runbook="ThroughputDown",
    height=12,
)
used = table(
    "What they used",
    [PHASE.name],
    [
        *both("CPU time", pipelines.SLOT_PHASE_CPU, units.SECONDS),
        *both("Memory", pipelines.SLOT_PHASE_MEMORY_PEAK, units.BYTES),
        *both("Cost", pipelines.SLOT_PHASE_SPENT, units.USD_ANY),
    ],
    titles=parts.TITLES,
    sort="CPU time",
    help="Processor time, child processes included, most memory at a time, and the known cost.",
    no_data="Neither run told what it used",
    runbook="PhaseSlower",
    height=12,
)

dashboard = board(
    "compare",
    "Two runs",
    question="What is different between two runs, and is it more than noise?",
    variables=[
        parts.WHICH_PIPELINE,
        parts.which_run("Run", name="a", ended=True),
        parts.which_run("Against", name="b", other_than="a", ended=True),
    ],
    leads_to=parts.leads_to("compare"),
    since="now-24h",
    rows=[
        answer(*answers),
        row("", which("The run", one), which("Against which run", other)),
        row("Where the time went", bars, durations),
        row("", made),
        row("", used),
    ],
)
