"""Runs of pipelines: spans by OpenTelemetry's conventions for CI/CD, each a trace of its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar, overload

from opentelemetry import context, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from fleetwatch.instrument import names, outcome, run_report
from fleetwatch.instrument.attempts import Attempts
from fleetwatch.instrument.block import Entered, short, tracer_of, trouble
from fleetwatch.instrument.events import Events
from fleetwatch.instrument.outcome import Outcome
from fleetwatch.instrument.phase import (
    PHASE_KEY,
    PHASES,
    RUN_KEY,
    Phase,
    current_phase,
    end_attributes,
    usage_attributes,
)
from fleetwatch.instrument.usage import Account, Peak, Share
from fleetwatch.instrument.work import Process
from fleetwatch.instrument.wrap import named, wrap

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider

F = TypeVar("F", bound=Callable[..., Any])

RUNS: Final = Account()
TRACE_CONTEXT: Final = TraceContextTextMapPropagator()
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC) if hasattr(time, "CLOCK_MONOTONIC") else None
"""It goes on while a machine sleeps, and nobody sets it."""

_Execution = tuple[str, int, object, str]
"""Phase, attempt, what it is an attempt of, and its id."""
_MOST_BAD: Final = 1000
"""Executions that did not end well, remembered of one run: to know whether it ends well, a few are enough."""

OPEN: dict[Run, None] = {}
"""Runs under way in this process."""


class Providers(NamedTuple):
    """None: OpenTelemetry's global ones."""

    tracer: TracerProvider | None = None
    meter: MeterProvider | None = None
    logger: LoggerProvider | None = None


def current_run() -> Run | None:
    """The run of this context; in a thread that was begun without one, the process's only run, if there is only one."""
    found: Run | None = context.get_value(RUN_KEY)  # type: ignore[assignment]  # set by this file alone
    if found is None and len(OPEN) == 1:
        return next(iter(list(OPEN)), None)
    return found


class Run(Entered):
    """One run of a pipeline, from beginning to end; made by `pipeline`. It is a trace of its own.

    It ends well when nothing left its block, and the last attempt of each phase that is not optional ended well.
    """

    def __init__(self, name: str, run_id: str, version: str, providers: Providers) -> None:
        super().__init__()
        self.name = short(name) or "unknown"
        self.version = short(version)
        self.id = ""
        self.started = 0
        """Unix ns."""
        self.outcome: Outcome | None = None
        """How it ended; None while it is under way."""
        self.outer: Phase | None = None
        """The phase of another run that it began in."""
        self._run_id = short(run_id)
        self._providers = providers
        self._ticks = 0
        self._said: Outcome | None = None
        self._bad: dict[_Execution, Outcome] = {}
        """What did not end well; a later attempt takes the earlier one's away."""
        self._share: Share | None = None
        self._peak: Peak | None = None

    def __call__(self, function: F) -> F:
        """As a decorator: every call is a run of its own, named after the function where it has no other name."""
        return wrap(function, lambda _: Run(self.name, self._run_id, self.version, self._providers))

    # --- phases

    @overload
    def phase(self, name: F) -> F: ...
    @overload
    def phase(self, name: str, *, optional: bool = False, expect: int | None = None, attempt: int = 1) -> Phase: ...
    def phase(self, name: str | F, *, optional: bool = False, expect: int | None = None, attempt: int = 1) -> Phase | F:
        """One execution of a phase: `with`, `async with`, or a decorator, with a name or without.

        Several may run at once, also of the same name, in threads, tasks and processes. Names are those of steps, not
        ids: they become labels. attempt: which it is, where you try again yourself; see `attempts`.
        """
        if callable(name):
            return Phase(self, named(name))(name)
        return Phase(self, name, optional=optional, expect=expect, attempt=attempt)

    def attempts(
        self,
        name: str,
        most: int = 3,
        *,
        on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
        wait: float = 0.0,
        optional: bool = False,
    ) -> Attempts:
        """A phase that is tried at most so often, until it ends well.

            for attempt in run.attempts("load", most=3, wait=1.0):
                with attempt as phase:
                    ...

        on: what is tried again for; the last error passes. wait: seconds before the second attempt, twice as long
        before each further one. `async for` where you wait in asyncio.
        """
        kinds = on if isinstance(on, tuple) else (on,)
        return Attempts(self, name, most=most, on=kinds, wait=wait, optional=optional)

    # --- how it ends

    def fail(
        self, kind: str = "error", *, result: Literal["failure", "error", "timeout", "cancellation"] = "failure"
    ) -> None:
        """It did not end well, and neither an exception nor a phase says so. kind: a short word."""
        self._said = outcome.reported(kind, result)

    def skip(self) -> None:
        """There was nothing to do."""
        self._said = Outcome("skip")

    def environ(self) -> dict[str, str]:
        """Variables for a child process that speaks of its own phases: see `pipeline.joined`."""
        here = context.get_current()
        if context.get_value(RUN_KEY, here) is not self:
            return self.environ_of(self._context, "")
        inner = current_phase(here)
        return self.environ_of(here, inner.phase_name if inner is not None and inner.run_ is self else "")

    # --- for this package

    @property
    def has_begun(self) -> bool:
        return self._context is not None

    @property
    def place(self) -> dict[str, str | int]:
        return {names.HOST: self.open.host, names.PROCESS: os.getpid()}

    def now(self) -> int:
        """Unix ns as its first moment had it: a clock that is set meanwhile does not bend what it measures."""
        return self.started + _ticks() - self._ticks

    def begin(self) -> None:
        try:
            self._generation = Process.generation
            self._connect()
            self._begin()
        except Exception:
            trouble("begin of runs")

    def end(self, error: BaseException | None) -> None:
        # A child that was forked inside the block holds a copy; the span is its parent's to end.
        if self._generation != Process.generation or self.outcome is not None:
            return
        OPEN.pop(self, None)
        try:
            self._end(error)
        except Exception:
            trouble("end of runs")

    def ended_phase(self, phase: Phase, ended: Outcome) -> None:
        if phase.of is not None or phase.of_name:
            return
        if phase.attempt > 1:
            before = (phase.name, phase.attempt - 1, phase.group)
            for other in list(self._bad):
                if other[:3] == before:
                    self._bad.pop(other, None)
                    break
        if not phase.optional and ended.result not in outcome.GOOD and len(self._bad) < _MOST_BAD:
            self._bad[phase.name, phase.attempt, phase.group, phase.execution] = ended

    def facts(self) -> dict[str, str | int]:
        found: dict[str, str | int] = {names.CORES: os.cpu_count() or 1}
        return {**found, names.PIPELINE_VERSION: self.version} if self.version else found

    def tell(self, event: str, at: int, attributes: Mapping[str, AttributeValue]) -> None:
        """at: Unix ns."""
        self.events.tell(event, at, attributes, self._context)

    def inside(self, here: context.Context) -> context.Context:
        """`here`, but inside this run: of a thread that was begun without its context."""
        return context.set_value(
            PHASE_KEY, None, context.set_value(RUN_KEY, self, trace.set_span_in_context(self._span, here))
        )

    def environ_of(self, of: context.Context | None, phase: str) -> dict[str, str]:
        found: dict[str, str] = {}
        try:
            TRACE_CONTEXT.inject(found, of)
            found = {key.upper(): value for key, value in found.items()}
            told = {"pipeline": self.name, "run": self.id, "version": self.version, "phase": phase}
            found[names.JOIN] = json.dumps(told)
        except Exception:
            trouble("context of child processes")
        return found

    def _connect(self) -> None:
        self.tracer = tracer_of(self._providers.tracer)
        self.events = Events(self._providers.logger)
        self.open = run_report.OPEN.of(self._providers.meter)
        self.started, self._ticks = time.time_ns(), _ticks()

    def _begin(self) -> None:
        self.id = self._run_id or _new_id(self.started)
        self.outcome = self._said = None
        self._bad = {}
        here = context.get_current()
        self.outer = current_phase(here)
        around = trace.get_current_span(here).get_span_context()
        attributes = {names.PIPELINE: self.name, names.RUN_ID: self.id}
        more = {**self.place, **self.facts()}
        # A trace of its own: what it cost is what the calls of its trace cost.
        self._span = self.tracer.start_span(
            f"RUN {self.name}",
            trace.set_span_in_context(trace.INVALID_SPAN, here),
            SpanKind.SERVER,
            {names.ACTION: "RUN", **attributes, **more},
            [Link(around)] if around.is_valid else None,
            self.started,
        )
        self._context = self.inside(here)
        OPEN[self] = None
        if self._span.is_recording():
            self._share, self._peak = RUNS.begin(_share_around(here)), Peak()
            self.open.begin_run(self, {**attributes, **self.place})
            self.tell(names.RUN_STARTED, self.started, {**attributes, **more})

    def _end(self, error: BaseException | None) -> None:
        self.outcome = ended = self._judged(error)
        self.open.end_run(self)
        if not self._span.is_recording():
            return
        told = end_attributes(ended, names.RUN_RESULT)
        if self._share is not None and self._peak is not None:
            told.update(usage_attributes(RUNS.end(self._share)._replace(memory_peak=self._peak.look())))
        self._span.set_attributes(told)
        if ended.result not in outcome.GOOD:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(self.now())

    def _judged(self, error: BaseException | None) -> Outcome:
        left = outcome.of(error)
        if left.result != "success":
            return left
        if self._said is not None:
            return self._said
        bad = next(iter(list(self._bad.values())), None)
        return left if bad is None else bad._replace(reason="phase")


def _ticks() -> int:
    return time.clock_gettime_ns(_CLOCK) if _CLOCK is not None else time.monotonic_ns()


def _new_id(at: int) -> str:
    """20260131T030000-4f0c91d2: it sorts by time, and people can read it."""
    return f"{datetime.fromtimestamp(at / 1e9, UTC):%Y%m%dT%H%M%S}-{os.urandom(4).hex()}"


def _share_around(here: context.Context) -> Share | None:
    outer: Run | None = context.get_value(RUN_KEY, here)  # type: ignore[assignment]  # set by this file alone
    if outer is None or outer._generation != Process.generation or outer.outcome is not None:
        return None
    return outer._share


def _after_fork() -> None:
    OPEN.clear()
    for account in (PHASES, RUNS):
        account.forget()
    run_report.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
