"""What pipelines say while they run, as `fleetwatch.instrument` says it, and anybody else may.

Gauges are the heartbeat: each point names its pipeline and run, those of phases also the execution. The points of one
run or execution and one time become one report; a Collector that cuts an export in two makes two of it, each with what
it was told. Events tell that a run or phase began, with the span that it is; the end is told by that span. Where
gauges have no room, an event is the heartbeat, and of a phase it says what its span would say if it ended now.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint, ScopeMetrics

from fleetwatch.dialects.parts import pipeline_facts as facts
from fleetwatch.dialects.parts.dialect import EARLIEST, Batch, Dialect
from fleetwatch.dialects.parts.log_events import Event, events_of
from fleetwatch.dialects.parts.metric_points import NO_VALUE
from fleetwatch.dialects.parts.pipeline_facts import text
from fleetwatch.dialects.parts.resource import Resource
from fleetwatch.dialects.parts.text import clean
from fleetwatch.records.pipelines import STATES, PhaseReport, RunReport, Tally, Usage

RUN_STARTED: Final = "fleetwatch.pipeline.run.started"
PHASE_STARTED: Final = "fleetwatch.pipeline.phase.started"
RUN_BEAT: Final = "fleetwatch.pipeline.run.heartbeat"
PHASE_BEAT: Final = "fleetwatch.pipeline.phase.heartbeat"
BEAT_INTERVAL: Final = "fleetwatch.pipeline.heartbeat.interval"
DIRECTION: Final = "fleetwatch.phase.direction"
SIGNAL: Final = "fleetwatch.phase.signal"

READ: Final = (
    facts.WHO
    | facts.TALLY
    | facts.USAGE
    | {facts.RUN_STATE, facts.VERSION, facts.CORES, facts.ERROR_TYPE, DIRECTION, SIGNAL, BEAT_INTERVAL}
)  # fmt: skip - a line for each kind
"""Attributes of points and events that are read; a Collector with an allow-list must let them through."""

_SECOND: Final = 10**9
_LATEST: Final = 1e11
"""Unix seconds, about the year 5100."""
_LONGEST_INTERVAL: Final = 86_400.0
"""Seconds. A heart that beats less than once a day is none."""
_SOURCE: Final = "instrument"


class _Point(NamedTuple):
    """at: Unix ns, at most now. latest: the latest time that can be. found: attributes that are read."""

    value: float
    at: int
    latest: int
    found: dict[str, AnyValue]


class _Parts:
    """What the points of one run or execution tell: fields of its report, of its usage, of its tally."""

    def __init__(self) -> None:
        self.report: dict[str, Any] = {}
        self.usage: dict[str, int] = {}
        self.tally: dict[str, int] = {}
        self.errors: dict[str, int] = {}
        self.signals: dict[str, float] = {}

    def of_report(self) -> dict[str, Any]:
        """The fields, with usage and tally where something was told of them."""
        fields = dict(self.report)
        if self.usage:
            fields["usage"] = Usage(**self.usage)
        if self.tally or self.errors or self.signals:
            errors, signals = tuple(sorted(self.errors.items())), tuple(sorted(self.signals.items()))
            fields["tally"] = Tally(**self.tally, errors=errors, signals=signals)
        return fields


Take = Callable[[_Point, _Parts], bool]
"""Puts what a point tells to the rest; false for a value that cannot be."""


def _heartbeat(_point: _Point, _parts: _Parts) -> bool:
    return True


def _interval(point: _Point, parts: _Parts) -> bool:
    interval = _nanoseconds(point.value)
    if interval is None:
        return False
    parts.report["interval"] = interval
    return True


def _nanoseconds(seconds: float | None) -> int | None:
    """Of an interval; None for what is none."""
    return max(1, int(seconds * _SECOND)) if seconds is not None and 0 < seconds <= _LONGEST_INTERVAL else None


def _start(point: _Point, parts: _Parts) -> bool:
    if not EARLIEST / _SECOND <= point.value <= _LATEST:
        return False
    # A start in the future would make durations negative. One after the point is told by a sender whose clock was set
    # back since: the start is right.
    parts.report["started"] = min(round(point.value * _SECOND), point.latest)
    return True


def _run_start(point: _Point, parts: _Parts) -> bool:
    parts.report["version"] = text(point.found, facts.VERSION)
    parts.report["cores"] = facts.count(point.found.get(facts.CORES), facts.MOST_CORES) or None
    return _start(point, parts)


def _items(point: _Point, parts: _Parts) -> bool:
    return _count("items_in" if text(point.found, DIRECTION) == "in" else "items_out")(point, parts)


def _count(field: str) -> Take:
    def take(point: _Point, parts: _Parts) -> bool:
        if not 0 <= point.value <= facts.MOST_COUNTED:
            return False
        parts.tally[field] = int(point.value)
        return True

    return take


def _errors(point: _Point, parts: _Parts) -> bool:
    kind = text(point.found, facts.ERROR_TYPE)
    if not kind or not 0 <= point.value <= facts.MOST_COUNTED:
        return False
    if point.value >= 1 and len(parts.errors) < facts.MOST_ENTRIES:
        parts.errors.setdefault(kind, int(point.value))
    return True


def _signal(point: _Point, parts: _Parts) -> bool:
    name = text(point.found, SIGNAL)
    if not name or not facts.is_signal(point.value):
        return False
    if len(parts.signals) < facts.MOST_ENTRIES:
        parts.signals.setdefault(name, point.value)
    return True


def _cpu(point: _Point, parts: _Parts) -> bool:
    if not 0 <= point.value <= facts.LONGEST:
        return False
    parts.usage["cpu"] = round(point.value * _SECOND)
    return True


def _memory(point: _Point, parts: _Parts) -> bool:
    if not 0 <= point.value <= facts.MOST_COUNTED:
        return False
    parts.usage["memory_peak"] = int(point.value)
    return True


OF_RUNS: Final[dict[str, Take]] = {
    "pipeline.run.last_heartbeat.timestamp": _heartbeat,
    "pipeline.run.heartbeat.interval": _interval,
    "pipeline.run.start.timestamp": _run_start,
}
OF_PHASES: Final[dict[str, Take]] = {
    "pipeline.phase.start.timestamp": _start,
    "pipeline.phase.items.so_far": _items,
    "pipeline.phase.items.expected": _count("expected"),
    "pipeline.phase.warnings.so_far": _count("warnings"),
    "pipeline.phase.artifacts.so_far": _count("artifacts"),
    "pipeline.phase.artifact.size.so_far": _count("artifact_bytes"),
    "pipeline.phase.errors.so_far": _errors,
    "pipeline.phase.cpu.so_far": _cpu,
    "pipeline.phase.memory.so_far": _memory,
    "pipeline.phase.signal.so_far": _signal,
}
"""Gauges, and what their points tell."""


class _Run(NamedTuple):
    """Whose report it is; so is _Phase."""

    pipeline: str
    run: str
    host: str
    instance: str
    at: int

    def report(self, parts: _Parts) -> RunReport:
        fields = {"state": "executing", **parts.of_report()}
        return RunReport(**self._asdict(), source=_SOURCE, **fields)


class _Phase(NamedTuple):
    pipeline: str
    run: str
    execution: str
    phase: str
    subphase: str
    attempt: int
    host: str
    at: int

    def report(self, parts: _Parts) -> PhaseReport:
        fields = {"state": "executing", **parts.of_report()}
        return PhaseReport(**self._asdict(), source=_SOURCE, **fields)


_Who = _Run | _Phase


def read_gauges(resource: Resource, scope: ScopeMetrics, batch: Batch) -> bool:
    """The reports of one scope into the batch. The scope is nobody else's when it tells nothing but these gauges."""
    reports: dict[_Who, _Parts] = {}
    known = 0
    for metric in scope.metrics:
        take = OF_RUNS.get(metric.name) or OF_PHASES.get(metric.name)
        if take is None:
            continue
        known += 1
        if metric.WhichOneof("data") != "gauge":
            batch.reject("bad_point")
            continue
        whose = _run_of if metric.name in OF_RUNS else _phase_of
        for sent in metric.gauge.data_points:
            _add(resource, sent, whose, take, reports, batch)
    batch.records.extend(who.report(parts) for who, parts in reports.items())
    return known > 0 and known == len(scope.metrics)


def _add(  # noqa: PLR0917 - one point, and all that it may belong to
    resource: Resource,
    sent: NumberDataPoint,
    whose: Callable[[Resource, dict[str, AnyValue], int], _Who | None],
    take: Take,
    reports: dict[_Who, _Parts],
    batch: Batch,
) -> None:
    """What one point tells, to the report that it belongs to."""
    found = {item.key: item.value for item in sent.attributes if item.key in READ}
    at = min(sent.time_unix_nano, batch.now)
    who = whose(resource, found, at)
    if who is None or sent.flags & NO_VALUE:
        return
    batch.newest = max(batch.newest, sent.time_unix_nano)
    if at < EARLIEST:
        batch.reject("bad_time")
        return
    value = float(sent.as_int) if sent.WhichOneof("value") == "as_int" else sent.as_double
    parts = reports.get(who) or _Parts()
    if not math.isfinite(value) or not take(_Point(value, at, batch.now, found), parts):
        batch.reject("bad_point")
        return
    reports[who] = parts


def _run_of(resource: Resource, found: dict[str, AnyValue], at: int) -> _Run | None:
    """None for a point that names no run: it is another program's."""
    pipeline, run = text(found, facts.PIPELINE), text(found, facts.RUN)
    if not pipeline or not run:
        return None
    return _Run(pipeline, run, _host(resource, found), resource.instance or text(found, facts.PROCESS), at)


def _phase_of(resource: Resource, found: dict[str, AnyValue], at: int) -> _Phase | None:
    pipeline, run = text(found, facts.PIPELINE), text(found, facts.RUN)
    task = facts.task_of(found, text(found, facts.TASK))
    if not (pipeline and run and task.phase and task.execution):
        return None
    host = _host(resource, found)
    return _Phase(pipeline, run, task.execution, task.phase, task.subphase, task.attempt, host, at)


def _host(resource: Resource, found: dict[str, AnyValue]) -> str:
    return resource.host or text(found, facts.HOST)


def read_events(resource: Resource, scope: ScopeLogs, batch: Batch) -> bool:
    """What the events of one scope tell, into the batch. The scope is nobody else's when it has no other events."""
    read = 0
    for event in events_of(scope, _EVENTS, READ, batch):
        read += 1
        batch.records.extend(_EVENTS[event.name](resource, event, min(event.at, batch.now)))
    return read > 0 and read == len(scope.log_records)


def _run_started(resource: Resource, event: Event, at: int) -> Iterator[RunReport]:
    who = _run_of(resource, event.found, at)
    if who is not None:
        yield RunReport(**who._asdict(), **_of_run(event), started=at)


def _run_beat(resource: Resource, event: Event, at: int) -> Iterator[RunReport]:
    who = _run_of(resource, event.found, at)
    if who is not None:
        interval = _nanoseconds(facts.amount(event.found.get(BEAT_INTERVAL)))
        yield RunReport(**who._asdict(), **_of_run(event), interval=interval)


def _phase_started(resource: Resource, event: Event, at: int) -> Iterator[PhaseReport]:
    who = _phase_of(resource, event.found, at)
    if who is not None:
        yield PhaseReport(**who._asdict(), **_of_both(event), started=at)


def _phase_beat(resource: Resource, event: Event, at: int) -> Iterator[PhaseReport]:
    who = _phase_of(resource, event.found, at)
    if who is not None:
        usage, tally = facts.usage_of(event.found), facts.tally_of(event.found)
        yield PhaseReport(**who._asdict(), **_of_both(event), usage=usage, tally=tally)


def _of_run(event: Event) -> dict[str, Any]:
    cores = facts.count(event.found.get(facts.CORES), facts.MOST_CORES) or None
    return {**_of_both(event), "version": event.text(facts.VERSION), "cores": cores}


def _of_both(event: Event) -> dict[str, Any]:
    """Of events of runs and of phases."""
    state = clean(event.text(facts.RUN_STATE))
    return {
        # An end is told by the span: of an event it would lack the result.
        "state": state if state in STATES and state != "ended" else "executing",
        "source": _SOURCE,
        "trace": event.ids[:16],
        "span": event.ids[16:],
    }


_EVENTS: Final[dict[str, Callable[[Resource, Event, int], Iterator[RunReport | PhaseReport]]]] = {
    RUN_STARTED: _run_started,
    PHASE_STARTED: _phase_started,
    RUN_BEAT: _run_beat,
    PHASE_BEAT: _phase_beat,
}

DIALECT = Dialect("pipeline_report", 70, metrics=read_gauges, logs=read_events)
