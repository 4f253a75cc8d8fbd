"""What pipelines send, read by the receiver: spans, gauges and events speak of the same runs and executions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from fleetwatch.dialects import translate_logs, translate_metrics, translate_traces
from fleetwatch.instrument import run_report
from fleetwatch.records.pipelines import PhaseReport, RunReport
from support_instrument import Application


def runs(records: Iterable[object]) -> list[RunReport]:
    return [record for record in records if isinstance(record, RunReport)]


def phases(records: Iterable[object]) -> dict[str, PhaseReport]:
    """By their own name."""
    found = [record for record in records if isinstance(record, PhaseReport)]
    return {record.subphase or record.phase: record for record in found}


def nearly(one: int | None, two: int | None) -> bool:
    """A gauge has its time as a floating point number of seconds, which is good for a microsecond."""
    return one is not None and two is not None and abs(one - two) < 1000


def test_spans_gauges_and_events_tell_of_the_same() -> None:
    app = Application()
    with app.pipeline(version="1.4") as run, run.phase("P03", expect=10) as p:
        p.items(7)
        p.items(8, "in")
        p.error("Late", 2)
        p.warning(3)
        p.artifact(size=50)
        p.signal("pressure", 2.5)
        with p.part("load"), run.phase("inner"):
            beats = translate_metrics(app.beat()).records
            begun = translate_logs(app.logs()).records
    ended = translate_traces(app.traces()).records

    [of_beats], [of_events], [of_spans] = runs(beats), runs(begun), runs(ended)
    for report in (of_beats, of_events, of_spans):
        assert (report.pipeline, report.run, report.version) == ("nightly", run.id, "1.4")
        assert nearly(report.started, of_spans.started)
        assert report.cores == of_spans.cores
        assert report.host
        assert report.host == of_spans.host
        assert report.instance == of_spans.instance == "one"
    assert of_beats.interval == 60 * 10**9
    assert (of_beats.state, of_spans.state, of_spans.result, of_spans.reason) == (
        "executing", "ended", "success", "completed",
    )  # fmt: skip
    assert (of_events.trace, of_events.span) == (of_spans.trace, of_spans.span)
    assert of_spans.usage is not None
    assert None not in of_spans.usage

    told = [phases(records) for records in (beats, begun, ended)]
    for each in told:
        assert each.keys() == {"P03", "load", "inner"}
        assert (each["load"].phase, each["load"].subphase) == ("P03", "load")
        assert (each["inner"].phase, each["inner"].subphase) == ("inner", "")
        for name, phase in each.items():
            same = told[-1][name]
            assert (phase.pipeline, phase.run, phase.execution) == ("nightly", run.id, same.execution)
            assert nearly(phase.started, same.started)
    assert told[0]["P03"].tally == told[-1]["P03"].tally
    assert told[-1]["P03"].tally is not None
    assert told[-1]["P03"].tally._asdict() == {
        "items_in": 8, "items_out": 7, "expected": 10, "warnings": 3, "artifacts": 1, "artifact_bytes": 50,
        "errors": (("Late", 2),), "signals": (("pressure", 2.5),),
    }  # fmt: skip


def test_heartbeats_by_events_say_what_gauges_say(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    for room in (900, 0):
        monkeypatch.setattr(run_report, "MOST_TOLD", room)
        app = Application()
        with app.pipeline(version="1.4", run_id="7") as run, run.phase("P03", expect=10) as p:
            p.items(7)
            p.items(8, "in")
            p.error("Late", 2)
            p.warning(3)
            p.artifact(size=50)
            p.signal("pressure", 2.5)
            with p.part("load"):
                by_gauges = translate_metrics(app.beat()).records if room else app.points()
        beats = by_gauges if room else translate_logs(app.logs()).records
        [of_run] = {report for report in runs(beats) if report.interval}
        told.append((of_run, phases(beats)))
    [(gauge_run, gauge_phases), (event_run, event_phases)] = told
    unlike: Any = {"at": 0, "started": None, "trace": b"", "span": b"", "interval": 1}
    assert event_run._replace(**unlike) == gauge_run._replace(**unlike)
    assert len(event_run.trace) == 16
    assert event_phases.keys() == gauge_phases.keys() == {"P03", "load"}
    for name, phase in event_phases.items():
        by_gauge = gauge_phases[name]
        assert (phase.phase, phase.subphase, phase.attempt) == (by_gauge.phase, by_gauge.subphase, by_gauge.attempt)
        assert phase.tally == by_gauge.tally
        assert phase.usage is not None
        assert by_gauge.usage is not None
        assert None not in (phase.usage.cpu, phase.usage.memory_peak)
