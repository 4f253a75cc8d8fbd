"""Runs of pipelines, as an application speaks of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from opentelemetry import context, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from fleetwatch.instrument import names, outcome
from fleetwatch.instrument.block import short
from fleetwatch.instrument.phase import Phase
from fleetwatch.instrument.run import OPEN, TRACE_CONTEXT, Providers, Run
from fleetwatch.instrument.wrap import named, wrap

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider

F = TypeVar("F", bound=Callable[..., Any])


class Joined(Run):
    """In a child process: the run that its parent process is in. Its phases are that run's; its end is its parent's."""

    def __init__(self, environ: Mapping[str, str], providers: Providers) -> None:
        super().__init__("unknown", "", "", providers)
        self._environ = environ
        self._phase = ""

    def __call__(self, function: F) -> F:
        """As a decorator: every call joins."""
        return wrap(function, lambda _: Joined(self._environ, self._providers))

    def part(self, name: str) -> Phase:
        """A part of the phase that this process was begun in; a phase where it was begun in none."""
        return Phase(self, name, of_name=self._phase)

    def environ_of(self, of: context.Context | None, phase: str) -> dict[str, str]:
        return super().environ_of(of, phase or self._phase) if self.has_begun else {}

    def _begin(self) -> None:
        try:
            told = json.loads(self._environ.get(names.JOIN, ""))
            self.name, self.id = short(told["pipeline"]), short(told["run"])
            self.version, self._phase = short(told.get("version", "")), short(told.get("phase", ""))
        except (ValueError, TypeError, KeyError, AttributeError):  # it was begun by hand, outside of a run
            return
        carrier = {name.lower(): self._environ.get(name, "") for name in (names.TRACEPARENT, names.TRACESTATE)}
        here = trace.set_span_in_context(trace.INVALID_SPAN, context.get_current())
        self._span = trace.get_current_span(TRACE_CONTEXT.extract(carrier, here))
        self._context = self.inside(here)
        OPEN[self] = None

    def _end(self, error: BaseException | None) -> None:
        self.outcome = outcome.of(error)
        self.open.end_run(self)


class Pipelines:
    """`pipeline("nightly")` begins a run, `pipeline.joined()` joins one."""

    @overload
    def __call__(self, name: F) -> F: ...
    @overload
    def __call__(
        self,
        name: str,
        *,
        run_id: str = "",
        version: str = "",
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> Run: ...
    def __call__(
        self,
        name: str | F,
        *,
        run_id: str = "",
        version: str = "",
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> Run | F:
        """A run of this pipeline: `with`, `async with`, or a decorator, with a name or without.

        run_id: unique among its runs, as that of a scheduler; one is made where there is none. Providers: of those
        applications that do not use OpenTelemetry's global ones.
        """
        if callable(name):
            return Run(named(name), "", "", Providers())(name)
        return Run(name, run_id, version, Providers(tracer_provider, meter_provider, logger_provider))

    def joined(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> Joined:
        """In a child process, the run that it is a part of: `with pipeline.joined() as run:`.

        environ: what `environ()` of the parent's run or phase gave, where it came another way than as the environment.
        Without any, as when the program is begun by hand, its phases do nothing.
        """
        given = os.environ if environ is None else environ
        return Joined(given, Providers(tracer_provider, meter_provider, logger_provider))


pipeline: Final = Pipelines()


@overload
def phase(name: F) -> F: ...
@overload
def phase(name: str, *, optional: bool = False, expect: int | None = None) -> Phase: ...
def phase(name: str | F, *, optional: bool = False, expect: int | None = None) -> Phase | F:
    """A phase of the run that is current when it begins, by a name or as a decorator."""
    if callable(name):
        return Phase(None, named(name))(name)
    return Phase(None, name, optional=optional, expect=expect)
