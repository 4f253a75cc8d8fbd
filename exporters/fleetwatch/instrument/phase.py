"""Phases of a run, and their parts: spans by OpenTelemetry's conventions for CI/CD, with what they counted and took.

Texts of exceptions, arguments and paths do not go into spans.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from fleetwatch.instrument import child, names, outcome
from fleetwatch.instrument.block import Entered, short, trouble
from fleetwatch.instrument.counting import Counting, fit, whole
from fleetwatch.instrument.outcome import Outcome
from fleetwatch.instrument.usage import Account, Peak, Share, Usage
from fleetwatch.instrument.work import Process
from fleetwatch.instrument.wrap import named, wrap

if TYPE_CHECKING:
    from fleetwatch.instrument.run import Run

F = TypeVar("F", bound=Callable[..., Any])

RUN_KEY: Final = context.create_key("fleetwatch.run")
PHASE_KEY: Final = context.create_key("fleetwatch.phase")
"""Open runs and phases travel in OpenTelemetry's own context, like tasks of agents."""
PHASES: Final = Account()


def current_phase(of: context.Context | None = None) -> Phase | None:
    """The innermost open phase or part of a context (the current one)."""
    return context.get_value(PHASE_KEY, of)  # type: ignore[return-value]  # set by this file alone


class Phase(Counting, Entered):
    """One execution of a phase, from beginning to end: `with run.phase("load") as phase:`, or a decorator.

    optional: the run may end well though this did not. expect: items that it will have when it is done.
    """

    def __init__(
        self,
        run: Run | None,
        name: str,
        *,
        attempt: int = 1,
        optional: bool = False,
        expect: int | None = None,
        of: Phase | None = None,
        of_name: str = "",
    ) -> None:
        Counting.__init__(self, of, expect)
        Entered.__init__(self)
        self.name = short(name) or "unknown"
        self.run_ = run
        self._given = run
        self.attempt = max(1, whole(attempt, "attempt"))
        self.optional = optional
        self.of = of
        self.of_name = short(of_name)
        self.execution = ""
        self.started = 0
        """Unix ns, by the run's clock."""
        self.outcome: Outcome | None = None
        """How it ended; None while it is under way."""
        self._said: Outcome | None = None
        self._share: Share | None = None
        self._peak: Peak | None = None
        self._before: Usage | None = None
        self.group: object = None
        """Attempts of the same thing have the same."""

    def __call__(self, function: F) -> F:
        """As a decorator: every call is an execution of its own, of the run that is current then."""
        return wrap(function, lambda _: self._again(self.name))

    @overload
    def part(self, name: F) -> F: ...
    @overload
    def part(self, name: str) -> Phase: ...
    def part(self, name: str | F) -> Phase | F:
        """A part of it: `with phase.part("parse") as part:`, or a decorator. What it counts, its phase counts."""
        if callable(name):
            return Phase(self.run_, named(name), of=self.of or self)(name)
        return Phase(self.run_, name, of=self.of or self)

    def fail(
        self, kind: str = "error", *, result: Literal["failure", "error", "timeout", "cancellation"] = "failure"
    ) -> None:
        """It did not end well, and no exception says so. kind: a short word; texts do not belong here.

        failure: the work was done and is not good. error: it could not be done.
        """
        self._said = outcome.reported(kind, result)

    def skip(self) -> None:
        """There was nothing to do."""
        self._said = Outcome("skip")

    def run(self, args: Any, **options: Any) -> subprocess.CompletedProcess[Any]:
        """A child process to its end, as `subprocess.run` does it, with `check=True` unless told otherwise.

        It gets this phase's context in its environment, what it took counts for this phase, and where it fails,
        `subprocess.CalledProcessError` leaves the phase, which then ends as failure for its exit status (reason exit)
        or as error for a signal that killed it (reason killed).
        """
        return child.run(self, args, options)

    def environ(self) -> dict[str, str]:
        """Variables for a child process that belongs to this phase: see `pipeline.joined`."""
        run = self.run_
        return {} if run is None else run.environ_of(self._context, self.phase_name)

    # --- for this package

    @property
    def phase_name(self) -> str:
        """Of a part the name of its phase."""
        return self.of.name if self.of is not None else self.of_name or self.name

    def begin(self) -> None:
        try:
            if self.execution:  # entered once more: another execution
                Counting.__init__(self, self.of, self.expected)
                self.outcome = self._said = None
            self._generation = self._began_in = Process.generation
            run = self.run_ = self._given or _run_around()
            if run is None or not run.has_begun:
                trouble("phases outside of a run that has begun", quoting=False)
                return
            self._begin(run)
        except Exception:
            trouble("begin of phases")

    def end(self, error: BaseException | None) -> None:
        # A child that was forked inside the block holds a copy; the span is its parent's to end.
        if self._generation != Process.generation or self.outcome is not None or self.run_ is None:
            return
        try:
            self._end(self.run_, error)
        except Exception:
            trouble("end of phases")

    def left_open(self) -> None:
        """Its run has ended: what is taken from here on is not its, and it is shown no more until it ends too."""
        if self._share is not None:
            PHASES.end(self._share)

    def judged(self, error: BaseException | None = None) -> Outcome:
        """How it ends; an exception has the last word."""
        left = outcome.of(error)
        return left if left.result != "success" or self._said is None else self._said

    def usage_so_far(self) -> Usage | None:
        """What it took; None where that is not exact while others run beside it."""
        if self._share is not None:
            return PHASES.so_far(self._share)
        now = self.of.usage_so_far() if self.of is not None else None
        return None if now is None or self._before is None else _since(self._before, now)

    def memory_so_far(self) -> int | None:
        return None if self._peak is None else self._peak.look()

    def told_so_far(self) -> dict[str, AttributeValue]:
        usage = (self.usage_so_far() or Usage())._replace(memory_peak=self.memory_so_far())
        return {**usage_attributes(usage), **self._counted()}

    def tell(self, event: str, at: int, attributes: Mapping[str, AttributeValue]) -> None:
        """at: Unix ns."""
        if self.run_ is not None:
            self.run_.events.tell(event, at, attributes, self._context)

    def child_began(self, pid: int) -> None:
        if self._peak is not None:
            self._peak.running[pid] = None

    def child_ended(self, pid: int, cpu: int | None) -> None:
        """cpu: ns; None where it is not known of this child alone."""
        top = self if self._share is not None else self.of
        if self._peak is not None:
            self._peak.running.pop(pid, None)
        if top is not None and top._share is not None and cpu is not None:
            PHASES.ran(top._share, cpu)

    def _again(self, name: str) -> Phase:
        return Phase(
            self._given, name, attempt=self.attempt, optional=self.optional, expect=self.expected, of=self.of,
            of_name=self.of_name,
        )  # fmt: skip

    def _begin(self, run: Run) -> None:
        self.execution = os.urandom(8).hex()
        self.started = run.now()
        around = self._around(run)
        attributes = self._attributes(run)
        self._span = run.tracer.start_span(
            self.name, around, SpanKind.INTERNAL, {**attributes, **run.place}, start_time=self.started
        )
        outer = current_phase(around) or run.outer
        self._context = context.set_value(PHASE_KEY, self, trace.set_span_in_context(self._span, around))
        if not self._span.is_recording():
            return
        self._peak = Peak()
        if self.of is None or self.of._began_in != Process.generation:
            self._share = PHASES.begin(_share_of(outer))
        else:
            self._before = self.of.usage_so_far()
        run.open.begin_phase(self, {**attributes, **run.place})
        self.tell(names.PHASE_STARTED, self.started, {**attributes, **run.place})

    def _around(self, run: Run) -> context.Context:
        """The context it begins in: here, if that is inside what it belongs to; else, as in a new thread, there."""
        here = context.get_current()
        if self.of is not None:
            inner = current_phase(here)
            inside = inner is not None and self.of in {inner, inner.of}
            return here if inside or self.of._context is None else self.of._context
        return here if context.get_value(RUN_KEY, here) is run else run.inside(here)

    def _attributes(self, run: Run) -> dict[str, str | int]:
        found: dict[str, str | int] = {
            names.PIPELINE: run.name,
            names.RUN_ID: run.id,
            names.PHASE: self.name,
            names.PHASE_RUN_ID: self.execution,
            names.ATTEMPT: self.attempt,
        }
        of = self.of.name if self.of is not None else self.of_name
        return {**found, names.PHASE_OF: of} if of else found

    def _end(self, run: Run, error: BaseException | None) -> None:
        self.outcome = ended = self.judged(error)
        if ended.error_type and ended.result != "cancellation":
            self._end_as_error(error, ended.error_type)
        run.ended_phase(self, ended)
        run.open.end_phase(self)
        if not self._span.is_recording():
            return
        usage = self._usage()
        told = {**end_attributes(ended, names.PHASE_RESULT), **usage_attributes(usage), **self._counted()}
        self._span.set_attributes(told)
        if ended.result not in outcome.GOOD:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(run.now())

    def _end_as_error(self, error: BaseException | None, kind: str) -> None:
        """What ends it is one of its errors, unless it was counted when it happened."""
        if error is None or self._first_time(error):
            self._add_error(kind[:100], 1)

    def _usage(self) -> Usage:
        usage = PHASES.end(self._share) if self._share is not None else self.usage_so_far() or Usage()
        return usage._replace(memory_peak=self.memory_so_far())

    def _counted(self) -> dict[str, AttributeValue]:
        numbers = (
            (names.ITEMS_IN, self.items_in), (names.ITEMS_OUT, self.items_out), (names.WARNINGS, self.warnings),
            (names.ARTIFACTS, self.artifacts), (names.ARTIFACT_SIZE, self.artifact_bytes),
        )  # fmt: skip
        found: dict[str, AttributeValue] = {name: fit(value) for name, value in numbers if value}
        if self.expected is not None:
            found[names.ITEMS_EXPECTED] = self.expected
        if self.errors:
            found[names.ERRORS] = [f"{kind}={fit(value)}" for kind, value in self.errors.items()]
        if self.signals:
            found[names.SIGNALS] = [f"{name}={value!r}" for name, value in self.signals.items()]
        return found


def _run_around() -> Run | None:
    from fleetwatch.instrument.run import current_run  # noqa: PLC0415 - runs know phases; phases seldom ask back

    return current_run()


def _share_of(outer: Phase | None) -> Share | None:
    """Of the phase around, if it is one of this process that is under way."""
    if outer is None or outer._began_in != Process.generation:
        return None
    top = outer.of or outer
    return None if top.outcome is not None else top._share


def _since(before: Usage, now: Usage) -> Usage:
    def less(one: int | None, two: int | None) -> int | None:
        return None if one is None or two is None else max(0, two - one)

    return Usage(less(before.cpu, now.cpu), None, less(before.read, now.read), less(before.written, now.written))


def end_attributes(ended: Outcome, result: str) -> dict[str, AttributeValue]:
    """result: the attribute's name, which is another for runs than for phases."""
    found: dict[str, AttributeValue] = {result: ended.result, names.REASON: ended.reason}
    return {**found, names.ERROR_TYPE: ended.error_type} if ended.error_type else found


def usage_attributes(usage: Usage) -> dict[str, AttributeValue]:
    told = (
        (names.CPU_TIME, None if usage.cpu is None else usage.cpu / 1e9), (names.MEMORY_PEAK, usage.memory_peak),
        (names.IO_READ, usage.read), (names.IO_WRITTEN, usage.written),
    )  # fmt: skip
    return {name: value for name, value in told if value is not None}
