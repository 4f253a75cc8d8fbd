"""What the boards of all pipelines, of one run, of two runs and of the recent runs share."""

from __future__ import annotations

from dataclasses import replace

from grafana.house import (
    BAD,
    GOOD,
    NEUTRAL,
    QUIET,
    STEP,
    WARN,
    Choice,
    Expr,
    Limits,
    Not,
    Recorded,
    Scale,
    Scope,
    Variable,
    total,
)

from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import Label, Metric

PIPELINE, PHASE, SUBPHASE, SLOT = pipelines.PIPELINE, pipelines.PHASE, pipelines.SUBPHASE, pipelines.SLOT
RUN_ID, RESULT, MEASURE, KIND = pipelines.RUN_ID, pipelines.RESULT, pipelines.MEASURE, pipelines.COST_KIND
FAILED = ("failure", "error", "timeout")
A_PHASE = Not(("",))
WHOLE_RUN = "(whole run)"

# What rules keep of the past seven days: a nightly pipeline has seven runs in them.
RUNS = Recorded("pipelines:runs:increase7d", (PIPELINE, RESULT))
WENT_WELL = Recorded("pipelines:success:ratio7d", (PIPELINE,))
WENT_WELL_LOW = Recorded("pipelines:success:ratio7d_low", (PIPELINE,))
RUN_MEAN = Recorded("pipelines:run_duration_seconds:mean7d", (PIPELINE,))
SPENT = Recorded("pipelines:run_spent_usd:increase7d", (PIPELINE, KIND))
UNPRICED = Recorded("pipelines:runs_unpriced:increase7d", (PIPELINE, KIND))
PER_RUN = Recorded("pipelines:cost_per_run_usd:mean7d", (PIPELINE,))
PER_ITEM = Recorded("pipelines:cost_per_item_usd:mean7d", (PIPELINE,))
ITEM_RATE = Recorded("pipelines:items_per_second:mean7d", (PIPELINE,))
PHASES = Recorded("pipelines:phases:increase7d", (PIPELINE, PHASE, RESULT))
PHASE_MEAN = Recorded("pipelines:phase_duration_seconds:mean7d", (PIPELINE, PHASE))
PHASE_HALF = Recorded("pipelines:phase_duration_seconds:mean7d_half", (PIPELINE, PHASE))
PHASE_SPREAD = Recorded("pipelines:phase_duration_seconds:stddev7d", (PIPELINE, PHASE))
PHASE_ITEM_RATE = Recorded("pipelines:phase_items_per_second:mean7d", (PIPELINE, PHASE))
PHASE_SPENT = Recorded("pipelines:phase_spent_usd:increase7d", (PIPELINE, PHASE, KIND))
PHASE_PER_ITEM = Recorded("pipelines:phase_cost_per_item_usd:mean7d", (PIPELINE, PHASE))

# Totals of counters, recorded as often as it says: what charts over weeks can read in time.
RECORDED_EVERY = "1m"
_NEW = f"and on ({PIPELINE.name}) (pipelines:totals:known offset {STEP} or pipelines:totals:new)"


def _counted(what: str, *labels: Label, buckets: bool = False, durable: bool = True) -> Recorded:
    name = f"pipelines:{what}:total"
    return Recorded(name, (PIPELINE, *labels), "counter", durable=durable, buckets=buckets, born_at_zero=_NEW)


RUNS_ENDED = _counted("runs", RESULT)
RUNS_SPENT = _counted("run_spent_usd")
RUN_DURATIONS = _counted("run_durations", buckets=True)
PHASES_ENDED = _counted("phases_ended", PHASE)
PHASES_BADLY = _counted("phases_badly", PHASE)
PHASES_WELL = _counted("phases_well", PHASE)
PHASE_SECONDS = _counted("phase_seconds_well", PHASE)
PHASE_DURATIONS = _counted("phase_durations", PHASE, buckets=True)
SUBPHASES = _counted("subphases", PHASE, SUBPHASE)
SUBPHASE_SECONDS = _counted("subphase_seconds", PHASE, SUBPHASE)
ARTIFACTS = _counted("phase_artifacts", PHASE)
ARTIFACT_BYTES = _counted("phase_artifact_bytes", PHASE)
ERRORS = _counted("phase_errors", PHASE, pipelines.ERROR_TYPE)
WARNINGS = _counted("phase_warnings", PHASE)
RETRIES = _counted("phase_retries", PHASE)
SIGNALS = _counted("signal_counts", PHASE, pipelines.SIGNAL)
ETA_ERRORS = _counted("eta_errors", buckets=True, durable=False)
ETA_SCORED = _counted("eta_scored", pipelines.WITHIN, durable=False)

NO_RUNS = "No pipeline has run yet"
NO_RUNS_WEEK = "No run ended in 7 days"
NOTHING_RUNS = "Nothing runs now"
NO_SUCH_RUN = "No run has this place now"
NO_USUAL = "Too few runs to say"

# A map of ratios: what is less than usual, usual, more.
RATIOS = Scale("light-blue", ((0.75, GOOD), (1.25, "yellow"), (1.5, WARN), (2, BAD)))
AT_ALL = Limits(warn=0.5, bad=0.5)
SLOWER = Limits(warn=1.25, bad=1.5)
FEWER = Limits(warn=0.8, bad=0.5, falling=True)
MISSED = Limits(warn=1.2, bad=2)
FAILURES = Limits(warn=0.05, bad=0.2)
SUCCESSES = Limits(warn=0.95, bad=0.8, falling=True)

NOT_BEGUN = "#c7c9cc"
# As the catalogue numbers them.
STATES = {
    "0": ("Not begun", NOT_BEGUN),
    "1": ("Waits", "light-blue"),
    "2": ("Runs", NEUTRAL),
    "3": ("Finishes", "dark-blue"),
    "4": ("Success", GOOD),
    "5": ("Failed", BAD),
    "6": ("Broke off", "dark-red"),
    "7": ("Timeout", WARN),
    "8": ("Cancelled", "purple"),
    "9": ("Skipped", QUIET),
}
SHORT = {
    number: (word, STATES[number][1])
    for number, word in zip(
        STATES, ("", "wait", "run", "run", "ok", "fail", "err", "time", "stop", "skip"), strict=True
    )
}
ENDED = 3.5
"""States above it are ends."""
NOT_THROUGHPUT = tuple(measure for measure in MEASURE.one_of if measure != "throughput")
RESULTS = {
    "success": GOOD,
    "failure": BAD,
    "error": "dark-red",
    "timeout": WARN,
    "cancellation": "purple",
    "skip": QUIET,
}
TITLES = {
    PIPELINE.name: "Pipeline",
    PHASE.name: "Phase",
    SLOT.name: "Slot",
    RUN_ID.name: "Run",
    MEASURE.name: "Measure",
    pipelines.ERROR_TYPE.name: "Error",
}
WHICH_PIPELINE = Variable(PIPELINE, pipelines.FIRST_SEEN, one=True)
BOARDS = {"pipelines": "All pipelines", "run": "One run", "compare": "Two runs", "heatmap": "Recent runs"}
BEGAN, UNTIL = "Began", "Until"


def which_run(title: str, name: str = "", other_than: str = "", ended: bool = False) -> Variable:
    """A choice among the recent runs, newest first, by their ids. ended: only among those that are."""
    return Variable(
        SLOT,
        pipelines.SLOT_INFO,
        title,
        one=True,
        name=name,
        shown=RUN_ID,
        newest=pipelines.SLOT_RUN_START,
        other_than=other_than,
        above=(pipelines.SLOT_RUN_STATE, ENDED) if ended else None,
    )


def leads_to(stem: str) -> list[tuple[str, str]]:
    return [(other, title) for other, title in BOARDS.items() if other != stem]


def worse(scope: Scope, *by: Label) -> Expr:
    """How many comparisons with the past say that it got worse."""
    keys = (PIPELINE, PHASE, MEASURE)
    more = scope.last(pipelines.REGRESSION, by=keys, measure=NOT_THROUGHPUT) > 1
    less = scope.last(pipelines.REGRESSION, by=keys, measure="throughput") < 1
    return total(more.otherwise(less), by=by, how="count")


def whole(expr: Expr) -> Expr:
    """With a name for the empty phase, which stands for the whole run."""
    return filled(expr, PHASE, WHOLE_RUN)


def filled(expr: Expr, label: Label, words: str) -> Expr:
    """With words where a label is empty."""
    text = f'label_replace({expr.text}, "{label.name}", "{words}", "{label.name}", "")'
    return replace(expr, text=text, infix=False)


def usual_run(scope: Scope, *by: Label) -> Expr:
    """Duration of a run: the median of the runs before the last ones, else the mean of a week."""
    return scope.last(pipelines.REGRESSION_BASELINE, by=by, measure="duration", phase="").otherwise(
        scope.last(RUN_MEAN, by=by)
    )


def usual_phase(scope: Scope, *by: Label) -> Expr:
    """Duration of phases, likewise."""
    before = scope.last(pipelines.REGRESSION_BASELINE, by=by, measure="duration", phase=A_PHASE)
    return before.otherwise(scope.last(PHASE_MEAN, by=by))


def clock(seconds: Expr) -> Expr:
    """A Unix time as Grafana shows times; whole seconds, as its addresses want them."""
    return seconds.rounded() * 1000


class OneRun:
    """The run that has a slot at the end of the time range: its own, and only while it has the slot."""

    def __init__(self, variable: str = "slot") -> None:
        self.scope = Scope(PIPELINE, one=True)
        self.slot = Choice(variable)

    def now(self, metric: Metric, *by: Label, **match: str) -> Expr:
        return self.scope.last(metric, by=by, how="max", slot=self.slot, **match)

    def over_time(self, metric: Metric, *by: Label) -> Expr:
        return self.only(self.now(metric, *by))

    def only(self, expr: Expr) -> Expr:
        """While the run has the slot: as long as the slot's run began when the last one of the range did."""
        start = self.scope.last(pipelines.SLOT_RUN_START, slot=self.slot)
        return expr.where(start.same_as(start.at_end()))

    def phases(self, metric: Metric) -> Expr:
        """Of phases, without their parts."""
        if SUBPHASE in metric.labels:
            return self.now(metric, PHASE, subphase="")
        return self.now(metric, PHASE)

    def rate(self) -> Expr:
        """Items per second of each phase."""
        return self.phases(pipelines.SLOT_PHASE_ITEMS) / (self.phases(pipelines.SLOT_PHASE_DURATION) > 0)
