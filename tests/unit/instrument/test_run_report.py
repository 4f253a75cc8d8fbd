"""Gauges of open runs and phases: what an export says while they last, and nothing after."""

from __future__ import annotations

import io
import time

import pytest
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader

from fleetwatch.instrument import names, run_report
from support import wait_for
from support_instrument import Application


def test_one_export_tells_all_that_is_open() -> None:
    app = Application()
    before = time.time()
    with app.pipeline(version="1.4") as run, run.phase("P03", expect=1000) as p:
        p.items(100)
        p.items(7, "in")
        p.error("Late", 2)
        p.warning(3)
        p.artifact(size=50)
        p.signal("pressure", 2.5)
        with p.part("load") as part:
            part.items(5)
            points = app.points()
    assert app.points() == {}
    of_run = {names.PIPELINE: "nightly", names.RUN_ID: run.id}
    place = {names.HOST: points[names.RUN_HEARTBEAT][0][0][names.HOST], names.PROCESS: app.told("P03")[names.PROCESS]}
    of_phase = {
        **of_run, **place, names.PHASE: "P03", names.PHASE_RUN_ID: p.execution, names.ATTEMPT: 1,
    }  # fmt: skip
    of_part = {**of_phase, names.PHASE: "load", names.PHASE_RUN_ID: part.execution, names.PHASE_OF: "P03"}
    [(attributes, beat)] = points.pop(names.RUN_HEARTBEAT)
    assert attributes == {**of_run, **place}
    assert before <= beat <= time.time()
    [(_, started)] = points[names.RUN_START]
    assert before <= started <= beat
    for gauge in (names.PHASE_START, names.PHASE_CPU, names.PHASE_MEMORY):
        assert [attributes for attributes, value in points.pop(gauge) if value > 0] == [of_phase, of_part]
    assert points == {
        names.RUN_INTERVAL: [({**of_run, **place}, 60.0)],
        names.RUN_START: [({**of_run, **place, **run.facts()}, started)],
        names.PHASE_ITEMS: [
            ({**of_phase, names.DIRECTION: "in"}, 7),
            ({**of_phase, names.DIRECTION: "out"}, 105),
            ({**of_part, names.DIRECTION: "out"}, 5),
        ],
        names.PHASE_EXPECTED: [(of_phase, 1000)],
        names.PHASE_WARNINGS: [(of_phase, 3)],
        names.PHASE_ARTIFACTS: [(of_phase, 1)],
        names.PHASE_ARTIFACT_SIZE: [(of_phase, 50)],
        names.PHASE_ERRORS: [({**of_phase, names.ERROR_TYPE: "Late"}, 2)],
        names.PHASE_SIGNAL: [({**of_phase, names.SIGNAL: "pressure"}, 2.5)],
    }


def test_a_run_that_stands_still_beats() -> None:
    app = Application()
    with app.pipeline():
        first, second = (app.points()[names.RUN_HEARTBEAT][0][1] for _ in range(2))
    assert second > first


def test_who_is_not_sampled_has_no_heartbeat_for_nobody_would_hear_of_its_end() -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    app = Application()
    app.tracers = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with app.pipeline() as run, run.phase("P01"):
        assert app.points() == {}
        assert app.events == []


def test_a_process_of_thousands_of_runs_has_gauges_of_some_and_then_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of a few by halves: a heartbeat that stops is a run that died."""
    monkeypatch.setattr(run_report, "MOST_TOLD", 20)
    app = Application()
    told = []
    for _ in range(30):
        with app.pipeline() as run, run.phase("P01") as p:
            for number in range(3):
                p.error(f"E{number}")
            told.append([len(app.points().get(name, ())) for name in (names.RUN_HEARTBEAT, names.PHASE_ERRORS)])
            again = [len(app.points().get(name, ())) for name in (names.RUN_HEARTBEAT, names.PHASE_ERRORS)]
        assert told[-1] == again
    assert [runs for runs, _ in told] == [1] * 20 + [0] * 10
    assert sum(errors for _, errors in told) == 20
    assert len(app.spans) == 60


def test_what_has_no_room_in_gauges_is_told_by_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_report, "MOST_TOLD", 1)
    app = Application()
    with app.pipeline() as first, first.phase("P01"):
        app.points()
        assert [name for name, _ in app.events] == [names.RUN_STARTED, names.PHASE_STARTED]
    with app.pipeline(version="1.4") as run, run.phase("P02", expect=10) as p:
        p.items(7)
        p.error("Late", 2)
        p.signal("pressure", 2.5)
        assert app.points() == {}
        p.items(2)
        app.points()
    beats = [(name, told) for name, told in app.events if name in {names.RUN_BEAT, names.PHASE_BEAT}]
    assert [name for name, _ in beats] == [names.RUN_BEAT, names.PHASE_BEAT] * 2
    [begun] = [told for name, told in app.events if name == names.RUN_STARTED and told[names.RUN_ID] == run.id]
    assert 0 < beats[0][1].pop(names.BEAT_INTERVAL) <= 60
    assert beats[0][1] == begun
    assert [told[names.ITEMS_OUT] for name, told in beats if name == names.PHASE_BEAT] == [7, 9]
    ended = app.told("P02")
    assert beats[-1][1].keys() | {names.PHASE_RESULT, names.REASON} == ended.keys()
    alike = (names.ITEMS_OUT, names.ITEMS_EXPECTED, names.ERRORS, names.SIGNALS, names.PHASE_RUN_ID, names.PHASE)
    assert [beats[-1][1][key] for key in alike] == [ended[key] for key in alike]


def test_a_phase_whose_signals_have_no_room_is_told_by_events_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_report, "MOST_TOLD", 3)
    app = Application()
    with app.pipeline() as run, run.phase("P01") as p:
        for number in range(5):
            p.signal(f"s{number}", number)
        assert len(app.points()[names.PHASE_SIGNAL]) == 3
        assert len(app.points()[names.PHASE_SIGNAL]) == 3
    [beat] = [told for name, told in app.events if name == names.PHASE_BEAT]
    assert len(beat[names.SIGNALS]) == 5
    assert names.RUN_BEAT not in {name for name, _ in app.events}


def test_readers_on_their_own_threads_and_a_log_that_counts_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK holds locks while it collects; and what comes after its end is no trouble either."""
    monkeypatch.setattr(run_report, "MOST_TOLD", 0)
    app = Application()
    readers = [PeriodicExportingMetricReader(ConsoleMetricExporter(io.StringIO()), 20) for _ in range(2)]
    app.meters = MeterProvider(readers, shutdown_on_exit=False)
    count = app.meters.get_meter("of the application").create_counter("records")

    class Counts(LogRecordProcessor):
        def on_emit(self, log_record: ReadWriteLogRecord) -> None:
            count.add(1, {"name": log_record.log_record.event_name or ""})

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 30000) -> bool:
            return True

    app.loggers.add_log_record_processor(Counts())
    app.loggers.add_log_record_processor(BatchLogRecordProcessor(InMemoryLogRecordExporter()))  # type: ignore[no-untyped-call]  # the SDK's own
    with app.pipeline() as run, run.phase("P01"):
        wait_for(lambda: [name for name, _ in app.events].count(names.PHASE_BEAT) >= 10)
        app.loggers.shutdown()
        assert app.meters.force_flush()
        app.meters.shutdown()
    assert len(app.spans) == 2


def test_runs_between_two_exports_are_in_none() -> None:
    app = Application()
    app.points()
    with app.pipeline() as run, run.phase("P01"):
        pass
    assert app.points() == {}
    assert len(app.spans) == 2
