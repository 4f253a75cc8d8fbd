"""What is known of pipelines: what senders say of runs and phases, and what the ledger makes of it.

A report is cumulative: it says how things stand at a time, not what changed. So reports that come twice, late or in
another order do no harm: an end beats everything before it, sums never shrink, and of two words the later one holds.
Times are Unix nanoseconds by the sender's clock unless told; money is nano-USD.
"""

from __future__ import annotations

from typing import NamedTuple

STATES = ("pending", "executing", "finalizing", "ended")
"""What a run or phase is doing, by OpenTelemetry's CI/CD conventions (`cicd.pipeline.run.state`), and its end."""

RESULTS = ("success", "failure", "error", "timeout", "cancellation", "skip")
"""How it ended (`cicd.pipeline.result`). failure: the work was done and is not good; error: it could not be done."""

REASONS = ("completed", "phase", "exception", "reported", "exit", "killed", "died", "oom_killed", "host_gone", "lost")
"""Why a run or phase ended.

completed: it was done. phase: one of its phases did not end well. exception: one left it. reported: its sender says no
more than the result. exit: its child process ended with another status than 0. killed: its child process ended by a
signal. What nobody told is found out by the exporter: oom_killed: it fell silent when its machine ran out of memory;
host_gone: with its machine; died: its machine reports on; lost: nothing is known of its machine.
"""

FOUND_OUT = ("died", "oom_killed", "host_gone", "lost")
"""Those of REASONS that nobody told."""


class Usage(NamedTuple):
    """What a phase or run took so far, child processes that have ended included. None: not told."""

    cpu: int | None = None
    """Nanoseconds of processor time."""
    memory_peak: int | None = None
    """Bytes, of the process that had most."""
    read: int | None = None
    written: int | None = None
    """Bytes from and to storage."""


class Tally(NamedTuple):
    """What a phase counted so far."""

    items_in: int = 0
    items_out: int = 0
    expected: int | None = None
    """Items that it will have when it is done; None where not told."""
    warnings: int = 0
    artifacts: int = 0
    artifact_bytes: int = 0
    errors: tuple[tuple[str, int], ...] = ()
    """(error type, number), sorted."""
    signals: tuple[tuple[str, float], ...] = ()
    """(name, value), sorted: of a counter the sum so far, of a gauge the last value; the settings say which it is."""


class RunReport(NamedTuple):
    """What was said of one run at one time; a piece of it where it came in pieces."""

    pipeline: str
    run: str
    """Id that the sender gave it; at most 200 characters, unique within the pipeline."""
    at: int
    """When it was so; at most when it arrived."""
    state: str = ""
    """One of STATES; empty where not told."""
    result: str = ""
    reason: str = ""
    """Of RESULTS and REASONS, where it ended."""
    error_type: str = ""
    started: int | None = None
    ended: int | None = None
    source: str = ""
    """Who says it: instrument, openlineage, spans, judged (the exporter itself)."""
    trace: bytes = b""
    span: bytes = b""
    """16 and 8 bytes, where it is a span: LLM calls of that trace are calls of this run."""
    host: str = ""
    instance: str = ""
    """Identity of the process that runs it: service.instance.id, else host and process id."""
    version: str = ""
    interval: int | None = None
    """Nanoseconds between two reports of a sender that reports at intervals; None: it does not."""
    cores: int | None = None
    """Processors of its machine."""
    usage: Usage | None = None


class PhaseReport(NamedTuple):
    """What was said of one execution of a phase at one time.

    A span of a sender that names pipeline and run only on the run's own span has both empty: they are those of the run
    of its trace, which may come hours later.
    """

    pipeline: str
    run: str
    execution: str
    """Id of this execution, unique within the run: a phase that is tried again, or runs several times at once, has
    several."""
    phase: str
    subphase: str = ""
    """Empty for the phase itself."""
    at: int = 0
    attempt: int = 1
    state: str = ""
    result: str = ""
    reason: str = ""
    error_type: str = ""
    started: int | None = None
    ended: int | None = None
    source: str = ""
    trace: bytes = b""
    span: bytes = b""
    parent: bytes = b""
    """Span id of what it lies under, 8 bytes, where it is a span that has a parent."""
    child_of_run: bool = False
    """Whether it is a phase only where its parent is the run's own span."""
    host: str = ""
    usage: Usage | None = None
    tally: Tally | None = None


class Run(NamedTuple):
    """One run, as the ledger knows it."""

    pipeline: str
    run: str
    state: str
    result: str
    reason: str
    error_type: str
    started: int
    """The first thing known of it where the start was not told."""
    ended: int | None
    seen: int
    """When anything of it came last, by this machine's clock."""
    sent: int
    """Time of the newest report, by the sender's clock."""
    first_seen: int
    interval: int | None
    source: str
    trace: bytes
    host: str
    instance: str
    version: str
    cores: int | None
    slot: int | None
    """Its place in the ring of recent runs; None once another run has it."""
    settled: bool
    """Whether its costs are booked."""
    llm_cost: int | None
    """Known cost of its LLM calls; None where it is not settled, or has no trace to join by."""
    llm_calls: int
    llm_unpriced: int
    """LLM calls without a known price: what it cost is at least `llm_cost`."""
    machine_cost: int | None
    """Its share of its machine; None where no price is known."""
    corrected: str
    """Result that it was given before its real end came; empty for nearly all."""
    span: bytes = b""
    usage: Usage = Usage()
    """Of the whole run, where its sender told it; else its phases have theirs."""
    is_start_told: bool = False
    end_told: int | None = None
    """The end as it was told; `ended` is the start where that is later."""
    end_at: int = 0
    """When its end was told, by the clock of whoever told it."""
    is_judged: bool = False
    """Whether nobody told its end: it was given up."""
    is_counted: bool = False
    """Whether its end has been counted."""
    told: tuple[int, ...] = ()
    """When each of reckon.runs.TOLD was told last."""


class Phase(NamedTuple):
    """One execution of a phase, as the ledger knows it."""

    pipeline: str
    run: str
    execution: str
    phase: str
    subphase: str
    attempt: int
    state: str
    result: str
    reason: str
    error_type: str
    started: int
    ended: int | None
    sent: int
    span: bytes
    usage: Usage
    tally: Tally
    llm_cost: int | None
    machine_cost: int | None
    is_start_told: bool = False
    end_told: int | None = None
    end_at: int = 0
    is_judged: bool = False
    is_counted: bool = False
    """As those of a run."""
    told: tuple[int, ...] = ()
    """When each of reckon.runs.TOLD_OF_PHASE was told last."""
    signals_at: tuple[int, ...] = ()
    """When each of its signals was told last."""


class RunWithPhases(NamedTuple):
    run: Run
    phases: tuple[Phase, ...]
    """By start."""
