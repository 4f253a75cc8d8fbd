"""Pipelines: runs and their phases, what they took, made and cost, when they will be done, and what became slower.

Sums and durations are of phases; what a sub-phase does is in its phase's sums already, so only its time is told apart.
"""

from __future__ import annotations

from fleetwatch.catalogue.metric import NANO, counter, gauge, histogram, label

PIPELINE = label("pipeline", "Name of the pipeline.", at_most=100)
PHASE = label(
    "phase",
    "Name of the phase; `pipelines.max_phases` bounds those of one pipeline, the others are `_other`.",
    at_most=2000,
)
SUBPHASE = label("subphase", "Name of the part of a phase; empty for the phase itself.", at_most=2000)
RESULT = label("result", "How it ended.", one_of=("success", "failure", "error", "timeout", "cancellation", "skip"))
REASON = label(
    "reason",
    "Why it ended: completed; phase: one of its phases did not end well; exception; reported: by its sender's word; "
    "exit, killed: its child process; oom_killed, host_gone, died, lost: it fell silent, and that is what is known.",
    one_of=(
        "completed", "phase", "exception", "reported", "exit", "killed", "died", "oom_killed", "host_gone", "lost",
    ),
)  # fmt: skip
STATE = label("state", "What it is doing.", one_of=("pending", "executing", "finalizing"))
ITEMS_DIRECTION = label("direction", "Whether items came in or went out.", one_of=("in", "out"))
IO_DIRECTION = label("direction", "Read from or written to storage.", one_of=("read", "write"))
ERROR_TYPE = label("error_type", "Class of the error.", at_most=60)
SIGNAL = label("signal", "Name of a signal that the settings declare.", at_most=200)
COST_KIND = label("kind", "What was paid for: LLM calls, or the share of the machine.", one_of=("llm", "machine"))
SLOT = label(
    "slot", "Place in the ring of a pipeline's recent runs, from 0; the next run takes the oldest one's.", at_most=100
)
RUN_ID = label("run_id", "Id of the run; as many as there are slots.", at_most=10_000)
VERSION = label("version", "Version of the pipeline.", at_most=200)
HOST = label("host_name", "Machine that the run is on; empty where not told.", at_most=2000)
QUANTILE = label("quantile", "Share of past runs that took no longer.", one_of=("0.5", "0.9"))
MEASURE = label(
    "measure", "What is compared.", one_of=("duration", "throughput", "error_rate", "cost", "cpu", "memory")
)
WITHIN = label("within", "Whether the end came before the p90.", one_of=("yes", "no"))
ALERT = label(
    "alert",
    "Name of an alert that the settings may give another threshold or severity.",
    one_of=(
        "PhaseFailed", "PhaseStuck", "PhaseSlower", "ThroughputDown", "ErrorRateUp", "ArtifactsMissing",
        "PipelineCostUp", "RunFailed", "RunLost", "RunOverdue", "NoSuccessSince",
    ),
)  # fmt: skip
SEVERITY = label("severity", "Severity that the settings give the alert.", one_of=("page", "ticket", "info"))
REJECTED_REASON = label(
    "reason",
    "Why a report was left out: too_many: runs at once, or phases in a run; bad_time: it has none, or an end before "
    "its start, which is taken as no duration; too_old; malformed; unplaced: no run came to the trace of a phase.",
    one_of=("too_many", "bad_time", "too_old", "malformed", "unplaced"),
)

# --- runs

RUNS = counter(
    "pipeline.runs",
    unit="{run}",
    help="Runs that ended, each once.",
    labels=(PIPELINE, RESULT, REASON),
    durable=True,
)
RUN_DURATION = histogram(
    "pipeline.run.duration",
    unit="s",
    help="Duration of runs.",
    labels=(PIPELINE, RESULT),
    # A one-shot job takes seconds, a nightly run hours.
    buckets=(1, 5, 15, 60, 180, 600, 1800, 3600, 10800, 28800, 86400),
    durable=True,
)
RUNS_CORRECTED = counter(
    "pipeline.runs_corrected",
    unit="{run}",
    help="Runs taken for lost, and counted so, whose real end came later; by that end.",
    labels=(PIPELINE, RESULT),
    durable=True,
)
RUN_SPENT = counter(
    "pipeline.run.spent.usd",
    unit="{USD}",
    help="Known cost of runs that ended.",
    labels=(PIPELINE, COST_KIND),
    scale=NANO,
    durable=True,
)
RUNS_UNPRICED = counter(
    "pipeline.runs_unpriced",
    unit="{run}",
    help="Runs whose cost of a kind is not known, or only in part.",
    labels=(PIPELINE, COST_KIND),
    durable=True,
)
RUN_ACTIVE = gauge("pipeline.run.active", unit="{run}", help="Runs under way, by state.", labels=(PIPELINE, STATE))
LAST_SUCCESS = gauge(
    "pipeline.last_success.timestamp", unit="s", help="When a run last ended well, Unix time.", labels=(PIPELINE,)
)
LAST_COMPLETION = gauge(
    "pipeline.last_completion.timestamp", unit="s", help="When a run last ended, Unix time.", labels=(PIPELINE,)
)
FIRST_SEEN = gauge(
    "pipeline.first_seen.timestamp",
    unit="s",
    help="When the pipeline was first heard of, or first expected by the settings, Unix time.",
    labels=(PIPELINE,),
)

# --- phases

PHASE_DURATION = histogram(
    "pipeline.phase.duration",
    unit="s",
    help="Duration of phases; one that is tried again counts each time.",
    labels=(PIPELINE, PHASE, RESULT),
    buckets=(0.1, 1, 5, 15, 60, 180, 600, 1800, 3600, 10800, 28800),
    durable=True,
)
PHASE_SQUARES = counter(
    "pipeline.phase.duration.squares",
    unit="{s2}",
    help="Squared durations of phases that ended well: with their number and sum they give variance and interval.",
    labels=(PIPELINE, PHASE),
    scale=NANO,
    durable=True,
)
SUBPHASE_DURATION = histogram(
    "pipeline.subphase.duration",
    unit="s",
    help="Duration of the parts of phases.",
    labels=(PIPELINE, PHASE, SUBPHASE, RESULT),
    buckets=(0.1, 1, 5, 15, 60, 180, 600, 1800, 3600, 10800),
    durable=True,
)
PHASE_ITEMS = counter(
    "pipeline.phase.items",
    unit="{item}",
    help="Items that phases took in and put out, as they go.",
    labels=(PIPELINE, PHASE, ITEMS_DIRECTION),
    durable=True,
)
PHASE_ERRORS = counter(
    "pipeline.phase.errors",
    unit="{error}",
    help="Errors that phases counted, those that they survived among them.",
    labels=(PIPELINE, PHASE, ERROR_TYPE),
    durable=True,
)
PHASE_WARNINGS = counter(
    "pipeline.phase.warnings", unit="{warning}", help="Warnings.", labels=(PIPELINE, PHASE), durable=True
)
PHASE_ARTIFACTS = counter(
    "pipeline.phase.artifacts", unit="{artifact}", help="Artifacts made.", labels=(PIPELINE, PHASE), durable=True
)
PHASE_WITHOUT_ARTIFACTS = counter(
    "pipeline.phase.without_artifacts",
    unit="{phase}",
    help="Phases that ended well and made no artifact.",
    labels=(PIPELINE, PHASE),
    durable=True,
)
PHASE_ARTIFACT_SIZE = counter(
    "pipeline.phase.artifact.size",
    unit="By",
    help="Size of the artifacts made.",
    labels=(PIPELINE, PHASE),
    durable=True,
)
PHASE_RETRIES = counter(
    "pipeline.phase.retries",
    unit="{attempt}",
    help="Phases that were tried again, each time.",
    labels=(PIPELINE, PHASE),
    durable=True,
)
PHASE_CPU = counter(
    "pipeline.phase.cpu",
    unit="s",
    help="Processor time of phases that ended, child processes included.",
    labels=(PIPELINE, PHASE),
    scale=NANO,
    durable=True,
)
PHASE_IO = counter(
    "pipeline.phase.io",
    unit="By",
    help="Bytes that phases which ended read from and wrote to storage.",
    labels=(PIPELINE, PHASE, IO_DIRECTION),
    durable=True,
)
PHASE_SPENT = counter(
    "pipeline.phase.spent.usd",
    unit="{USD}",
    help="Known cost of phases whose run ended.",
    labels=(PIPELINE, PHASE, COST_KIND),
    scale=NANO,
    durable=True,
)
PHASE_MEMORY_PEAK = gauge(
    "pipeline.phase.memory.peak",
    unit="By",
    help="Most memory of the phase that ended last.",
    labels=(PIPELINE, PHASE),
)
PHASE_ACTIVE = gauge(
    "pipeline.phase.active", unit="{phase}", help="Phases under way, by state.", labels=(PIPELINE, PHASE, STATE)
)
PHASE_LAST_SUCCESS = gauge(
    "pipeline.phase.last_success.timestamp",
    unit="s",
    help="When the phase last ended well, Unix time.",
    labels=(PIPELINE, PHASE),
)
PHASE_LAST_COMPLETION = gauge(
    "pipeline.phase.last_completion.timestamp",
    unit="s",
    help="When the phase last ended, Unix time.",
    labels=(PIPELINE, PHASE),
)
SIGNAL_COUNT = counter(
    "pipeline.signal",
    unit="{count}",
    help="Signals of the domain that the settings declare as counters.",
    labels=(PIPELINE, PHASE, SIGNAL),
    scale=NANO,
    durable=True,
)
SIGNAL_VALUE = gauge(
    "pipeline.signal.value",
    unit="",
    help="Signals of the domain that the settings declare as gauges, as last told.",
    labels=(PIPELINE, PHASE, SIGNAL),
)

# --- the ring of recent runs: a run adds one series, its info; all others belong to the slot

SLOT_INFO = gauge(
    "pipeline.slot.info",
    unit="",
    help="Which run has the slot; always 1.",
    labels=(PIPELINE, SLOT, RUN_ID, VERSION, HOST),
)
SLOT_RUN_STATE = gauge(
    "pipeline.slot.run.state",
    unit="",
    help="State of the slot's run: 1 pending, 2 executing, 3 finalizing, 4 success, 5 failure, 6 error, 7 timeout, "
    "8 cancellation, 9 skip.",
    labels=(PIPELINE, SLOT),
)
SLOT_RUN_START = gauge(
    "pipeline.slot.run.start.timestamp", unit="s", help="When the slot's run began, Unix time.", labels=(PIPELINE, SLOT)
)
SLOT_RUN_DURATION = gauge(
    "pipeline.slot.run.duration",
    unit="s",
    help="How long the slot's run took, or has been under way.",
    labels=(PIPELINE, SLOT),
)
SLOT_RUN_SPENT = gauge(
    "pipeline.slot.run.spent.usd",
    unit="{USD}",
    help="Known cost of the slot's run; none where it is not known.",
    labels=(PIPELINE, SLOT, COST_KIND),
)
SLOT_PHASE_STATE = gauge(
    "pipeline.slot.phase.state",
    unit="",
    help="State of a phase of the slot's run, numbered like the run's; 0: not begun. Of several executions that of the "
    "one under way, else of the last.",
    labels=(PIPELINE, SLOT, PHASE, SUBPHASE),
)
SLOT_PHASE_START = gauge(
    "pipeline.slot.phase.start.timestamp",
    unit="s",
    help="When a phase of the slot's run began, Unix time.",
    labels=(PIPELINE, SLOT, PHASE, SUBPHASE),
)
SLOT_PHASE_DURATION = gauge(
    "pipeline.slot.phase.duration",
    unit="s",
    help="Time from the first beginning of a phase of the slot's run to its end, or to now.",
    labels=(PIPELINE, SLOT, PHASE, SUBPHASE),
)
SLOT_PHASE_PROGRESS = gauge(
    "pipeline.slot.phase.progress",
    unit="1",
    help="Share of the expected items that a phase of the slot's run has; none where no number is expected.",
    labels=(PIPELINE, SLOT, PHASE),
)
SLOT_PHASE_ITEMS = gauge(
    "pipeline.slot.phase.items",
    unit="{item}",
    help="Items of a phase of the slot's run: those put out, else those taken in.",
    labels=(PIPELINE, SLOT, PHASE),
)
SLOT_PHASE_ERRORS = gauge(
    "pipeline.slot.phase.errors",
    unit="{error}",
    help="Errors of a phase of the slot's run.",
    labels=(PIPELINE, SLOT, PHASE),
)
SLOT_PHASE_WARNINGS = gauge(
    "pipeline.slot.phase.warnings",
    unit="{warning}",
    help="Warnings of a phase of the slot's run.",
    labels=(PIPELINE, SLOT, PHASE),
)
SLOT_PHASE_SPENT = gauge(
    "pipeline.slot.phase.spent.usd",
    unit="{USD}",
    help="Known cost of a phase of the slot's run, LLM calls and share of the machine; none where neither is known.",
    labels=(PIPELINE, SLOT, PHASE),
)
SLOT_PHASE_CPU = gauge(
    "pipeline.slot.phase.cpu",
    unit="s",
    help="Processor time of a phase of the slot's run.",
    labels=(PIPELINE, SLOT, PHASE),
)
SLOT_PHASE_MEMORY_PEAK = gauge(
    "pipeline.slot.phase.memory.peak",
    unit="By",
    help="Most memory of a phase of the slot's run.",
    labels=(PIPELINE, SLOT, PHASE),
)

# --- when it will be done

RUN_ETA = gauge(
    "pipeline.run.eta",
    unit="s",
    help="Time until a run under way is done, from the pipeline's past runs; 0 past the quantile.",
    labels=(PIPELINE, SLOT, QUANTILE),
)
PHASE_ETA = gauge(
    "pipeline.phase.eta",
    unit="s",
    help="Time until a phase under way is done, likewise, or from its items where it says how many it expects.",
    labels=(PIPELINE, SLOT, PHASE, QUANTILE),
)
RUN_OVERDUE = gauge(
    "pipeline.run.overdue",
    unit="s",
    help="How long a run under way is past its p90; 0 before.",
    labels=(PIPELINE, SLOT),
)
ETA_ERROR = histogram(
    "pipeline.eta.error",
    unit="1",
    help="How far the p50 told at a quarter, half and three quarters of a run was off, as a share of its duration.",
    labels=(PIPELINE,),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2),
)
ETA_SCORED = counter(
    "pipeline.eta.scored",
    unit="{prediction}",
    help="Predictions whose run has ended, by whether it ended before the p90: nine of ten should.",
    labels=(PIPELINE, WITHIN),
)

# --- the last runs against those before them

REGRESSION = gauge(
    "pipeline.regression.change",
    unit="1",
    help="Median of the last runs over that of the runs before them, where the difference is more than noise, enough "
    "runs are known and it is worth a word; 1 elsewhere. An empty phase is the whole run.",
    labels=(PIPELINE, PHASE, MEASURE),
)
REGRESSION_RECENT = gauge(
    "pipeline.regression.recent",
    unit="",
    help="Median of the last runs, in seconds, items per second, errors per item, US dollars or bytes.",
    labels=(PIPELINE, PHASE, MEASURE),
)
REGRESSION_BASELINE = gauge(
    "pipeline.regression.baseline",
    unit="",
    help="Median of the runs before them, likewise.",
    labels=(PIPELINE, PHASE, MEASURE),
)

# --- what the settings say

THRESHOLD = gauge(
    "pipeline.alert.threshold",
    unit="",
    help="Threshold that the settings give an alert for a pipeline or phase; none where the rules' own holds. An empty "
    "phase is the whole run.",
    labels=(PIPELINE, PHASE, ALERT),
)
ALERT_SEVERITY = gauge(
    "pipeline.alert.severity",
    unit="",
    help="Severity that the settings give an alert for a pipeline or phase, likewise; always 1.",
    labels=(PIPELINE, PHASE, ALERT, SEVERITY),
)
EXPECTED_PERIOD = gauge(
    "pipeline.expected.period",
    unit="s",
    help="How often the settings expect a run of the pipeline to end well.",
    labels=(PIPELINE,),
)

# --- the receiver's own account

REJECTED = counter(
    "pipeline.reports_rejected",
    unit="{report}",
    help="Reports of runs and phases that were left out.",
    labels=(REJECTED_REASON,),
)
SIGNALS_UNDECLARED = counter(
    "pipeline.signals_undeclared",
    unit="{signal}",
    help="Signals that the settings do not declare, in phases that ended: kept in the history only.",
    labels=(PIPELINE,),
)
