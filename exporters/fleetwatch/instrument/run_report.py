"""What open runs and phases say of themselves, as observable gauges: that they live, and what they counted so far.
What the gauges have no room for is told by events, whenever the gauges are collected.

Their end is told by their spans alone, so a run that begins and ends between two exports is in no gauge. A run whose
span is not recorded, for want of an SDK or by a sampler, is not told here either: nobody would hear of its end.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from opentelemetry import metrics
from opentelemetry.metrics import Meter, MeterProvider, Observation

from fleetwatch import __version__
from fleetwatch.instrument import names
from fleetwatch.instrument.beat import PerProvider, Spacing, quiet
from fleetwatch.instrument.counting import fit

if TYPE_CHECKING:
    from fleetwatch.instrument.phase import Phase
    from fleetwatch.instrument.run import Run

log = logging.getLogger("fleetwatch.instrument")

MOST_TOLD: Final = 900
"""Runs and phases that one process ever tells of through gauges, each.

OpenTelemetry's SDK keeps every set of attributes of an observable gauge until the process ends, and by its default
makes one without attributes of those past 2,000. So a process that lives for thousands of runs tells of the later ones
by events. Without a logger provider they have no heartbeat, and nobody takes them for dead when it is missing.
"""
_MOST_BEATS: Final = 900
"""Runs and phases that one collection tells of through events, each, the oldest first: the SDK's queue takes 2,048."""

Attributes = Mapping[str, str | int]
T = TypeVar("T")


class Room:
    """So much may be told in the life of a process; who is let in stays in."""

    def __init__(self) -> None:
        self._left = MOST_TOLD
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            self._left -= 1
            if self._left == -1:
                log.info("no gauges of further runs and phases, events instead: there were %d by now", MOST_TOLD)
            return self._left >= 0

    def of(self, open_: dict[T, Told]) -> Iterator[tuple[T, Told]]:
        """All that is open; who was not asked before is let in, or not."""
        for each, told in list(open_.items()):
            if told.let_in is None:
                told.let_in = self.take()
            yield each, told

    def after_fork(self) -> None:
        self._lock = threading.Lock()


class Told:
    """An open run or phase here. let_in: None until the first export asks."""

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes
        self.let_in: bool | None = None
        self.names: set[str] = set()
        """Types of errors and names of signals that were let in."""
        self.is_whole = True
        """Whether all of these were."""


class OpenRuns:
    """The open runs and phases of this process that report through one meter provider."""

    def __init__(self, provider: MeterProvider | None) -> None:
        self.host = socket.gethostname()
        self._runs: dict[Run, Told] = {}
        self._phases: dict[Phase, Told] = {}
        self._spacing = Spacing()
        self._room_of_runs, self._room_of_phases, self._room_of_names = Room(), Room(), Room()
        try:
            self._observe(metrics.get_meter(names.SCOPE, __version__, provider))
        except Exception:  # the environment names a provider that cannot be loaded
            log.warning("open runs are not reported: there is no meter", exc_info=True)

    def _observe(self, meter: Meter) -> None:
        for name, unit, help_, observe in (
            (names.RUN_HEARTBEAT, "s", "When the run was last known to be alive, Unix time.", self._heartbeat),
            (names.RUN_INTERVAL, "s", "Time between two heartbeats.", self._interval),
            (names.RUN_START, "s", "When the run began, Unix time.", self._run_start),
            (names.PHASE_START, "s", "When the phase began, Unix time.", self._phase_start),
            (names.PHASE_ITEMS, "{item}", "Items so far.", self._items),
            (names.PHASE_EXPECTED, "{item}", "Items that it will have put out.", self._expected),
            (names.PHASE_WARNINGS, "{warning}", "Warnings so far.", self._warnings),
            (names.PHASE_ARTIFACTS, "{artifact}", "Artifacts so far.", self._artifacts),
            (names.PHASE_ARTIFACT_SIZE, "By", "Size of the artifacts so far.", self._artifact_size),
            (names.PHASE_ERRORS, "{error}", "Errors so far.", self._errors),
            (names.PHASE_SIGNAL, "", "Signals of the domain: sums so far, or last values.", self._signals),
            (names.PHASE_CPU, "s", "Processor time so far.", self._cpu),
            (names.PHASE_MEMORY, "By", "Most memory so far.", self._memory),
        ):
            meter.create_observable_gauge(name, callbacks=[quiet(observe)], unit=unit, description=help_)

    def begin_run(self, run: Run, attributes: Attributes) -> None:
        self._runs[run] = Told(attributes)

    def end_run(self, run: Run) -> None:
        self._runs.pop(run, None)
        for phase in list(self._phases):
            if phase.run_ is run:
                self._phases.pop(phase, None)
                phase.left_open()

    def begin_phase(self, phase: Phase, attributes: Attributes) -> None:
        self._phases[phase] = Told(attributes)

    def end_phase(self, phase: Phase) -> None:
        self._phases.pop(phase, None)

    def forget(self) -> None:
        """In a forked child: what is open is open in the parent. The SDK's memory, and so the room in it, is a copy."""
        self._runs, self._phases, self._spacing = {}, {}, Spacing()
        for room in (self._room_of_runs, self._room_of_phases, self._room_of_names):
            room.after_fork()

    def _open_runs(self) -> Iterator[tuple[Run, Attributes]]:
        return ((run, told.attributes) for run, told in self._room_of_runs.of(self._runs) if told.let_in)

    def _open_phases(self) -> Iterator[tuple[Phase, Told]]:
        return ((phase, told) for phase, told in self._room_of_phases.of(self._phases) if told.let_in)

    def _heartbeat(self) -> Iterator[Observation]:
        now = time.time()
        for _, attributes in self._open_runs():
            yield Observation(now, attributes)

    def _interval(self) -> Iterator[Observation]:
        interval = self._spacing.collected(threading.get_ident(), time.monotonic())
        for _, attributes in self._open_runs():
            yield Observation(interval, attributes)
        self._tell_rest(interval)

    def _tell_rest(self, interval: float) -> None:
        """By events. interval: seconds.

        The SDK holds a lock of its own while it collects, which to emit does not take.
        """
        now = time.time_ns()
        runs = ((run, told) for run, told in self._room_of_runs.of(self._runs) if not told.let_in)
        for run, told in islice(runs, _MOST_BEATS):
            run.tell(names.RUN_BEAT, now, {**told.attributes, **run.facts(), names.BEAT_INTERVAL: interval})
        phases = (
            (phase, told)
            for phase, told in self._room_of_phases.of(self._phases)
            if not told.let_in or not told.is_whole
        )
        for phase, told in islice(phases, _MOST_BEATS):
            phase.tell(names.PHASE_BEAT, now, {**told.attributes, **phase.told_so_far()})

    def _run_start(self) -> Iterator[Observation]:
        for run, attributes in self._open_runs():
            yield Observation(run.started / 1e9, {**attributes, **run.facts()})

    def _phase_start(self) -> Iterator[Observation]:
        for phase, told in self._open_phases():
            yield Observation(phase.started / 1e9, told.attributes)

    def _items(self) -> Iterator[Observation]:
        for phase, told in self._open_phases():
            for direction, value in (("in", phase.items_in), ("out", phase.items_out)):
                if value:
                    yield Observation(fit(value), {**told.attributes, names.DIRECTION: direction})

    def _expected(self) -> Iterator[Observation]:
        for phase, told in self._open_phases():
            if phase.expected is not None:
                yield Observation(phase.expected, told.attributes)

    def _warnings(self) -> Iterator[Observation]:
        for phase, told in self._open_phases():
            if phase.warnings:
                yield Observation(fit(phase.warnings), told.attributes)

    def _artifacts(self) -> Iterator[Observation]:
        for phase, told in self._open_phases():
            if phase.artifacts:
                yield Observation(fit(phase.artifacts), told.attributes)

    def _artifact_size(self) -> Iterator[Observation]:
        for phase, told in self._open_phases():
            if phase.artifact_bytes:
                yield Observation(fit(phase.artifact_bytes), told.attributes)

    def _errors(self) -> Iterator[Observation]:
        for phase, told in self._open_phases():
            for kind, value in list(phase.errors.items()):
                if self._named(told, kind):
                    yield Observation(fit(value), {**told.attributes, names.ERROR_TYPE: kind})

    def _signals(self) -> Iterator[Observation]:
        for phase, told in self._open_phases():
            for name, value in list(phase.signals.items()):
                if self._named(told, f"={name}"):
                    yield Observation(value, {**told.attributes, names.SIGNAL: name})

    def _cpu(self) -> Iterator[Observation]:
        for phase, told in self._open_phases():
            usage = phase.usage_so_far()
            if usage is not None and usage.cpu is not None:
                yield Observation(usage.cpu / 1e9, told.attributes)

    def _memory(self) -> Iterator[Observation]:
        for phase, told in self._open_phases():
            peak = phase.memory_so_far()
            if peak is not None:
                yield Observation(peak, told.attributes)

    def _named(self, told: Told, name: str) -> bool:
        if name not in told.names and told.is_whole:
            told.is_whole = self._room_of_names.take()
            if told.is_whole:
                told.names.add(name)
        return name in told.names


OPEN: Final = PerProvider(OpenRuns)


def after_fork() -> None:
    for runs in OPEN.after_fork():
        runs.forget()
