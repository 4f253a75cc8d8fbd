"""Gauges and events of pipelines in, reports out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from fleetwatch.dialects import Translation, translate_logs, translate_metrics, translate_traces
from fleetwatch.dialects import pipeline_report as receiver
from fleetwatch.dialects.otel_cicd import READ as OF_SPANS
from fleetwatch.dialects.parts import pipeline_facts as facts
from fleetwatch.dialects.parts.resource import READ as OF_RESOURCES
from fleetwatch.instrument import names
from fleetwatch.records.pipelines import PhaseReport, RunReport, Tally, Usage
from support_genai import captured, lines, read_events
from support_instrument import Application
from support_otlp import NOW, RESOURCE, SECOND, key_values, metrics_of

LATER = NOW + SECOND
RUN = {facts.PIPELINE: "nightly", facts.RUN: "run-0001"}
PHASE = {**RUN, facts.TASK: "load", facts.TASK_RUN: "a1"}


def gauge(name: str, value: float, attributes: dict[str, Any], at: int = NOW) -> Metric:
    metric = Metric(name=name)
    point = metric.gauge.data_points.add(time_unix_nano=at, as_double=value)
    point.attributes.extend(key_values(attributes))
    return metric


def read(*metrics: Metric, resource: dict[str, Any] = RESOURCE) -> Translation:
    return translate_metrics(metrics_of(metrics, resource), LATER)


def event(name: str, attributes: dict[str, Any], **fields: Any) -> LogRecord:
    values: dict[str, Any] = {"time_unix_nano": NOW, "trace_id": b"t" * 16, "span_id": b"s" * 8, "event_name": name}
    return LogRecord(**(values | fields), attributes=key_values(attributes))


def test_an_application_s_events_gauges_and_spans_are_of_one_run_and_one_phase() -> None:
    app = Application()
    with app.pipeline(version="1.4") as run, run.phase("load", expect=10) as phase:
        phase.items(3)
        phase.items(4, "in")
        phase.error("ValueError")
        phase.warning()
        phase.artifact(size=7)
        phase.signal("irrigation.pressure", 2.5)
        [began, phase_began] = translate_logs(app.logs()).records
        beat = translate_metrics(app.beat()).records
    _, phase_ended, _, ended = translate_traces(app.traces()).records
    [lives] = [record for record in beat if isinstance(record, RunReport)]
    [counted] = [record for record in beat if isinstance(record, PhaseReport)]
    for told in (began, lives, ended):
        assert isinstance(told, RunReport)
        assert (told.pipeline, told.run, told.version, told.source) == ("nightly", run.id, "1.4", "instrument")
        assert (told.host, told.instance, told.cores) == (ended.host, "one", ended.cores)  # type: ignore[union-attr]
    for phase_told in (phase_began, counted, phase_ended):
        assert isinstance(phase_told, PhaseReport)
        assert (phase_told.pipeline, phase_told.run, phase_told.phase) == ("nightly", run.id, "load")
        assert phase_told.execution == phase.execution
    assert isinstance(began, RunReport)
    assert isinstance(ended, RunReport)
    assert isinstance(phase_began, PhaseReport)
    assert isinstance(phase_ended, PhaseReport)
    assert (began.state, lives.state, ended.state) == ("executing", "executing", "ended")
    assert (began.trace, began.span) == (ended.trace, ended.span)
    assert (phase_began.trace, phase_began.span) == (phase_ended.trace, phase_ended.span)
    assert (began.started, phase_began.started) == (ended.started, phase_ended.started)
    assert lives.interval == 60 * SECOND
    expected = Tally(4, 3, 10, 1, 1, 7, (("ValueError", 1),), (("irrigation.pressure", 2.5),))
    assert counted.tally == expected == phase_ended.tally
    assert phase_ended.usage is not None
    assert phase_ended.usage.cpu is not None
    assert ended.result == phase_ended.result == "success"


def test_gauges_and_events_have_the_names_that_are_sent() -> None:
    sent = {name for key, name in vars(names).items() if key.isupper() and str(name).startswith("pipeline.")}
    assert sent == {*receiver.OF_RUNS, *receiver.OF_PHASES}
    events = {names.RUN_STARTED, names.PHASE_STARTED, names.RUN_BEAT, names.PHASE_BEAT}
    assert events == receiver._EVENTS.keys()


def test_every_attribute_of_pipelines_that_is_sent_is_read() -> None:
    ours = ("cicd.", "fleetwatch.pipeline.", "fleetwatch.phase.", "fleetwatch.usage.")
    sent = {str(name) for key, name in vars(names).items() if key.isupper() and str(name).startswith(ours)}
    sent -= {*receiver._EVENTS, names.ACTION}
    assert sent <= OF_SPANS | OF_RESOURCES | receiver.READ


def test_points_of_one_execution_and_time_are_one_report() -> None:
    items, errors = "pipeline.phase.items.so_far", "pipeline.phase.errors.so_far"
    found = read(
        gauge("pipeline.phase.start.timestamp", NOW / 1e9 - 5, PHASE),
        gauge(items, 3, PHASE | {receiver.DIRECTION: "in"}),
        gauge(items, 2, PHASE | {receiver.DIRECTION: "out"}),
        gauge("pipeline.phase.items.expected", 9, PHASE),
        gauge("pipeline.phase.warnings.so_far", 1, PHASE),
        gauge(errors, 4, PHASE | {facts.ERROR_TYPE: "ValueError"}),
        gauge(errors, 5, PHASE | {facts.ERROR_TYPE: "KeyError"}),
        gauge("pipeline.phase.cpu.so_far", 1.5, PHASE),
        gauge("pipeline.phase.memory.so_far", 4096, PHASE),
        gauge("pipeline.phase.signal.so_far", -2.5, PHASE | {receiver.SIGNAL: "pressure"}),
        gauge(items, 1, PHASE | {facts.TASK: "part", facts.TASK_RUN: "b2", facts.PHASE_OF: "load", facts.ATTEMPT: 2}),
        gauge(items, 7, PHASE, NOW + 1),
    )
    one, part, later = found.records
    assert one == PhaseReport(
        pipeline="nightly",
        run="run-0001",
        execution="a1",
        phase="load",
        at=NOW,
        state="executing",
        started=NOW - 5 * SECOND,
        source="instrument",
        usage=Usage(cpu=1_500_000_000, memory_peak=4096),
        tally=Tally(3, 2, 9, 1, errors=(("KeyError", 5), ("ValueError", 4)), signals=(("pressure", -2.5),)),
    )
    assert isinstance(part, PhaseReport)
    assert (part.phase, part.subphase, part.attempt, part.execution) == ("load", "part", 2, "b2")
    assert isinstance(later, PhaseReport)
    assert (later.at, later.tally) == (NOW + 1, Tally(items_out=7))


def test_points_of_one_run_and_time_are_one_report() -> None:
    [run] = read(
        gauge("pipeline.run.last_heartbeat.timestamp", NOW / 1e9, RUN),
        gauge("pipeline.run.heartbeat.interval", 15, RUN),
        gauge("pipeline.run.start.timestamp", NOW / 1e9 - 60, RUN | {facts.VERSION: "1.4", facts.CORES: 8}),
        resource={"host.name": "node-1", "service.instance.id": "one"},
    ).records
    assert run == RunReport(
        pipeline="nightly",
        run="run-0001",
        at=NOW,
        state="executing",
        started=NOW - 60 * SECOND,
        source="instrument",
        host="node-1",
        instance="one",
        version="1.4",
        interval=15 * SECOND,
        cores=8,
    )


def test_a_process_is_known_by_its_points_where_the_resource_does_not_say() -> None:
    told = gauge("pipeline.run.last_heartbeat.timestamp", 1, RUN | {facts.HOST: "pod", facts.PROCESS: 42})
    [run] = read(told, resource={}).records
    assert isinstance(run, RunReport)
    assert (run.host, run.instance) == ("pod", "42")


@pytest.mark.parametrize(
    "attributes",
    [{}, {facts.PIPELINE: "nightly"}, {facts.RUN: "1"}, RUN | {facts.TASK: "load"}, RUN | {facts.TASK_RUN: "a1"}],
)
def test_points_that_do_not_say_whose_they_are_leave_nothing(attributes: dict[str, Any]) -> None:
    assert read(gauge("pipeline.phase.warnings.so_far", 1, attributes)) == Translation([], {}, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pipeline.run.heartbeat.interval", 0),
        ("pipeline.run.heartbeat.interval", 86_401),
        ("pipeline.run.heartbeat.interval", math.nan),
        ("pipeline.run.start.timestamp", 5),
        ("pipeline.phase.start.timestamp", 1e308),
        ("pipeline.phase.items.so_far", -1),
        ("pipeline.phase.items.so_far", 1e300),
        ("pipeline.phase.items.expected", math.inf),
        ("pipeline.phase.errors.so_far", 1),  # of no type
        ("pipeline.phase.signal.so_far", 1),  # of no name
        ("pipeline.phase.cpu.so_far", 1e300),
        ("pipeline.phase.memory.so_far", -0.1),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: float) -> None:
    found = read(gauge(name, value, PHASE))
    assert (found.records, found.rejected) == ([], {"bad_point": 1})


def test_times_that_cannot_be_are_refused_and_a_clock_that_leads_is_held_back() -> None:
    beat = "pipeline.run.last_heartbeat.timestamp"
    assert read(gauge(beat, 1, RUN, 1_800_000_000)).rejected == {"bad_time": 1}
    [run] = read(gauge("pipeline.run.start.timestamp", NOW / 1e9 + 3600, RUN, NOW + 3600 * SECOND)).records
    assert isinstance(run, RunReport)
    assert (run.at, run.started) == (LATER, LATER)


def test_a_clock_that_was_set_back_since_moves_no_start() -> None:
    hour = 3600 * SECOND
    [run] = read(gauge("pipeline.run.start.timestamp", NOW / 1e9 - 5, RUN, NOW - hour)).records
    assert isinstance(run, RunReport)
    assert (run.at, run.started) == (NOW - hour, NOW - 5 * SECOND)


def test_a_sum_is_no_gauge() -> None:
    metric = Metric(name="pipeline.phase.items.so_far")
    metric.sum.data_points.add(as_int=1, time_unix_nano=NOW)
    assert read(metric).rejected == {"bad_point": 1}


def test_types_of_errors_and_signals_are_bounded() -> None:
    errors = [gauge("pipeline.phase.errors.so_far", 1, PHASE | {facts.ERROR_TYPE: f"E{n:03}"}) for n in range(200)]
    signals = [gauge("pipeline.phase.signal.so_far", 1, PHASE | {receiver.SIGNAL: f"s{n:03}"}) for n in range(200)]
    [phase] = read(*errors, *signals).records
    assert isinstance(phase, PhaseReport)
    assert phase.tally is not None
    assert (len(phase.tally.errors), len(phase.tally.signals)) == (facts.MOST_ENTRIES, facts.MOST_ENTRIES)


def test_an_event_s_name_may_be_a_field_or_an_attribute() -> None:
    [by_field] = read_events(event(receiver.RUN_STARTED, RUN)).records
    [by_attribute] = read_events(event("", RUN | {"event.name": receiver.RUN_STARTED})).records
    assert by_field == by_attribute
    assert isinstance(by_field, RunReport)
    assert (by_field.trace, by_field.span, by_field.started) == (b"t" * 16, b"s" * 8, NOW)


@pytest.mark.parametrize("signal", ["logs", "heartbeats", "metrics"])
def test_what_the_instrumentation_sent(signal: str, golden: Callable[[str, str], None]) -> None:
    if signal != "metrics":
        found = translate_logs(captured(f"cicd/instrument-{signal}", ExportLogsServiceRequest), NOW)
    else:
        found = translate_metrics(captured("cicd/instrument-metrics", ExportMetricsServiceRequest), NOW)
    golden(f"dialects/cicd/instrument-{signal}.txt", lines(found))


def test_an_event_tells_no_end() -> None:
    [ended] = read_events(event(receiver.PHASE_STARTED, PHASE | {facts.RUN_STATE: "ended"})).records
    [pending] = read_events(event(receiver.PHASE_STARTED, PHASE | {facts.RUN_STATE: "pending"})).records
    assert isinstance(ended, PhaseReport)
    assert isinstance(pending, PhaseReport)
    assert (ended.state, pending.state) == ("executing", "pending")


def test_events_of_others_and_of_impossible_times_leave_nothing() -> None:
    assert read_events(event("started", RUN), event(receiver.RUN_STARTED, {})).records == []
    assert read_events(event(receiver.RUN_STARTED, RUN, time_unix_nano=5)).rejected == {"bad_time": 1}


NAMES = [*receiver.OF_RUNS, *receiver.OF_PHASES, "pipeline.other"]
VALUES = st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1))
TEXTS: st.SearchStrategy[Any] = st.sampled_from(["", "x", "in", "a\n" * 300, 5, -1, 1.5, True, ["x"], None])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            VALUES,
            st.sampled_from([0, NOW, LATER, 2**64 - 1]),
            st.dictionaries(st.sampled_from(sorted(receiver.READ)), TEXTS),
        ),
        max_size=10,
    )
)
def test_whatever_comes_makes_reports_that_can_be(points: list[tuple[str, float, int, dict[str, Any]]]) -> None:
    metrics = []
    for name, value, at, attributes in points:
        metric = gauge(name, 0, PHASE | attributes, at)
        if isinstance(value, int):
            metric.gauge.data_points[0].as_int = value
        else:
            metric.gauge.data_points[0].as_double = value
        metrics.append(metric)
    check(read(*metrics).records)
    check(read_events(*(event(receiver.PHASE_STARTED, a, time_unix_nano=at) for _, _, at, a in points)).records)


def check(reports: Iterable[Any]) -> None:
    for report in reports:
        assert report.pipeline
        assert report.run
        assert report.at <= LATER
        assert report.started is None or report.started <= LATER
        assert report.state in {"executing", "pending", "finalizing"}
        assert max(map(len, (report.pipeline, report.run, report.host))) <= 200
        if isinstance(report, RunReport):
            assert report.interval is None or 0 < report.interval <= 86_400 * SECOND
            continue
        assert report.execution
        assert report.attempt >= 1
        if report.tally is not None:
            counts = (report.tally.items_in, report.tally.items_out, report.tally.warnings, report.tally.artifacts)
            assert all(0 <= count <= facts.MOST_COUNTED for count in counts)
            assert all(math.isfinite(value) for _, value in report.tally.signals)
