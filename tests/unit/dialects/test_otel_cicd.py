"""Spans of CI/CD systems in, runs and phases out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from fleetwatch.dialects import Translation, translate_traces
from fleetwatch.dialects.otel_cicd import READ
from fleetwatch.dialects.parts import pipeline_facts as facts
from fleetwatch.dialects.parts.pipeline_results import RESULT_OF, result_of
from fleetwatch.records.agents import Step
from fleetwatch.records.llm import LlmCall
from fleetwatch.records.pipelines import REASONS, RESULTS, PhaseReport, RunReport, Tally, Usage
from support_genai import CHAT, DIALECTS, USED, VALUES, captured, lines, only
from support_otlp import NOW, SECOND, span, traces_of

FILES = sorted(file.stem for file in (DIALECTS / "cicd").glob("*-spans.json"))
RUN = {facts.PIPELINE: "nightly", facts.RUN: "run-0001", facts.RUN_RESULT: "success"}
PHASE = {facts.PIPELINE: "nightly", facts.RUN: "run-0001", facts.TASK: "load", facts.TASK_RUN: "load-0001"}
FAILED = Status(code=Status.STATUS_CODE_ERROR)


def read(*spans: Span, scope: str = "", **resource: Any) -> Translation:
    request = traces_of(spans, {key.replace("__", "."): value for key, value in resource.items()})
    request.resource_spans[0].scope_spans[0].scope.name = scope
    return translate_traces(request, NOW)


def the_run(*spans: Span, **where: Any) -> RunReport:
    return only(RunReport, [record for record in read(*spans, **where).records if isinstance(record, RunReport)])


def the_phase(*spans: Span, **where: Any) -> PhaseReport:
    return only(PhaseReport, [record for record in read(*spans, **where).records if isinstance(record, PhaseReport)])


def translated(name: str) -> Translation:
    return translate_traces(captured(f"cicd/{name}", ExportTraceServiceRequest), NOW)


@pytest.mark.parametrize("name", FILES)
def test_records(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"dialects/cicd/{name}.txt", lines(translated(name)))


@pytest.mark.parametrize("name", FILES)
def test_every_sender_tells_one_run_and_each_phase_under_one_name(name: str) -> None:
    found = translated(name)
    run = only(RunReport, [record for record in found.records if isinstance(record, RunReport)])
    phases = [record for record in found.records if isinstance(record, PhaseReport)]
    assert found.rejected == {}
    assert {(phase.pipeline, phase.run) for phase in phases} <= {("", ""), (run.pipeline, run.run)}
    assert {phase.trace for phase in phases} == {run.trace}
    assert len({phase.execution for phase in phases}) == len(phases)
    told = {record.span for record in found.records if isinstance(record, Step)}
    assert {run.trace + run.span, *(phase.trace + phase.span for phase in phases)} <= told


def test_a_run_and_its_phase_as_the_conventions_have_them() -> None:
    failed = PHASE | {facts.TASK_RESULT: "failure", "error.type": "ValueError"}
    found = read(
        span(RUN, kind=Span.SPAN_KIND_SERVER),
        span(failed, span_id=b"p" * 8, parent_span_id=b"s" * 8),
        host__name="node-1",
        service__instance__id="one",
    )
    step, run, second_step, phase = found.records
    assert isinstance(run, RunReport)
    assert isinstance(phase, PhaseReport)
    assert run == RunReport(
        pipeline="nightly",
        run="run-0001",
        at=NOW,
        state="ended",
        result="success",
        reason="completed",
        started=NOW - 2 * SECOND,
        ended=NOW,
        source="spans",
        trace=b"t" * 16,
        span=b"s" * 8,
        host="node-1",
        instance="one",
    )
    assert (phase.pipeline, phase.run, phase.execution, phase.phase) == ("nightly", "run-0001", "load-0001", "load")
    assert (phase.result, phase.reason, phase.error_type) == ("failure", "reported", "ValueError")
    assert (step, second_step) == (
        Step(b"t" * 16 + b"s" * 8, b"", NOW - 2 * SECOND, NOW),
        Step(b"t" * 16 + b"p" * 8, b"s" * 8, NOW - 2 * SECOND, NOW),
    )


def test_what_the_instrumentation_tells_of_a_phase() -> None:
    phase = the_phase(
        span(
            PHASE
            | {
                facts.TASK: "parse",
                facts.TASK_RUN: "7",
                facts.PHASE_OF: "load",
                facts.ATTEMPT: 2,
                facts.REASON: "killed",
                facts.TASK_RESULT: "error",
                facts.ITEMS_IN: 10,
                facts.ITEMS_OUT: 9,
                facts.ITEMS_EXPECTED: 100,
                facts.WARNINGS: 1,
                facts.ARTIFACTS: 2,
                facts.ARTIFACT_SIZE: 4096,
                facts.ERRORS: ["ValueError=3", "KeyError=1"],
                facts.SIGNALS: ["irrigation.pressure=2.5", "irrigation.events=12"],
                facts.CPU_TIME: 1.5,
                facts.MEMORY_PEAK: 1 << 20,
                facts.IO_READ: 5,
                facts.IO_WRITTEN: 6,
            }
        ),
        scope=facts.SCOPE,
    )
    assert (phase.phase, phase.subphase, phase.execution, phase.attempt) == ("load", "parse", "7", 2)
    assert (phase.result, phase.reason, phase.source) == ("error", "killed", "instrument")
    assert phase.usage == Usage(1_500_000_000, 1 << 20, 5, 6)
    assert phase.tally == Tally(
        items_in=10,
        items_out=9,
        expected=100,
        warnings=1,
        artifacts=2,
        artifact_bytes=4096,
        errors=(("KeyError", 1), ("ValueError", 3)),
        signals=(("irrigation.events", 12.0), ("irrigation.pressure", 2.5)),
    )


def test_what_the_instrumentation_tells_of_a_run() -> None:
    told = {facts.VERSION: "1.4", facts.CORES: 8, facts.REASON: "phase", facts.RUN_RESULT: "failure", facts.CPU_TIME: 3}
    run = the_run(span(RUN | told | {facts.PROCESS: 42, facts.HOST: "node-2"}), scope=facts.SCOPE)
    assert (run.version, run.cores, run.reason, run.source) == ("1.4", 8, "phase", "instrument")
    assert (run.host, run.instance, run.usage) == ("node-2", "42", Usage(cpu=3 * SECOND))


def test_phases_inside_phases_of_the_instrumentation_stay_phases() -> None:
    inner = span(PHASE | {facts.TASK: "inner"}, span_id=b"i" * 8, parent_span_id=b"s" * 8)
    found = read(inner, span(PHASE), scope=facts.SCOPE).records
    assert [(r.phase, r.subphase) for r in found if isinstance(r, PhaseReport)] == [("inner", ""), ("load", "")]


@pytest.mark.parametrize("reason", ["oom_killed", "host_gone", "died", "lost", "because", "x" * 500])
def test_a_sender_may_not_tell_what_is_found_out(reason: str) -> None:
    assert the_phase(span(PHASE | {facts.REASON: reason}, status=FAILED)).reason == "reported"


@pytest.mark.parametrize(
    ("told", "result"),
    [
        ("SUCCESS", "success"),
        ("skipped", "skip"),
        ("cancelled", "cancellation"),
        ("Timed Out", "timeout"),
        ("timed-out", "timeout"),
        ("startup_failure", "error"),
        ("UNSTABLE", "failure"),
        ("", ""),
        ("running", ""),
        ("x" * 10_000, ""),
    ],
)  # fmt: skip - one table
def test_words_of_systems_are_results(told: str, result: str) -> None:
    assert result_of(told.replace(" ", "_")) == result


def test_every_result_has_its_own_word() -> None:
    assert {result: RESULT_OF[result] for result in RESULTS} == dict(zip(RESULTS, RESULTS, strict=True))


@pytest.mark.parametrize(
    ("status", "error", "result"),
    [
        (None, "", "success"),
        (FAILED, "", "failure"),
        (FAILED, "TimeoutError", "timeout"),
        (FAILED, "asyncio.exceptions.CancelledError", "cancellation"),
        (FAILED, "ValueError", "failure"),
    ],
)  # fmt: skip - one table
def test_a_word_that_nobody_knows_counts_by_the_span_s_status(status: Any, error: str, result: str) -> None:
    attributes = PHASE | {facts.TASK_RESULT: "running"} | ({"error.type": error} if error else {})
    assert the_phase(span(attributes, status=status)).result == result


def test_an_exception_that_left_the_phase_is_the_reason() -> None:
    event = Span.Event(name="exception", attributes=span({"exception.type": "OSError"}).attributes)
    phase = the_phase(span(PHASE, status=FAILED, events=[event]))
    assert (phase.reason, phase.error_type) == ("exception", "OSError")


def test_a_phase_that_does_not_name_its_run_is_found_by_the_trace() -> None:
    phase = the_phase(span({facts.TASK: "load"}, parent_span_id=b"r" * 8))
    assert (phase.pipeline, phase.run, phase.trace, phase.span) == ("", "", b"t" * 16, b"s" * 8)
    assert (phase.parent, phase.child_of_run, phase.execution) == (b"r" * 8, False, (b"s" * 8).hex())
    assert the_phase(span(PHASE | {facts.RUN: ""})).pipeline == ""


def test_ids_that_count_up_in_each_job_are_not_believed() -> None:
    assert the_phase(span({facts.TASK: "load", facts.TASK_RUN: "3"})).execution == (b"s" * 8).hex()
    assert the_phase(span({facts.TASK: "load", facts.TASK_RUN: 40685651258})).execution == "40685651258"


def test_a_run_without_an_id_has_that_of_its_trace() -> None:
    run = the_run(span({facts.PIPELINE: "nightly", facts.RUN_RESULT: "success"}))
    assert run.run == (b"t" * 16).hex()


def test_attempts_of_one_run_are_runs_of_their_own() -> None:
    url = "cicd.pipeline.run.previous_attempt.url.full"
    resource = {facts.PIPELINE: "ci", facts.RUN: 12, "cicd.pipeline.run.status": "success"}
    assert the_run(span({}), **resource).run == "12"
    assert the_run(span({}), **resource, **{url: "https://git.example.com/attempts/2"}).run == "12-3"
    assert the_run(span(RUN | {"github.run_attempt": 2})).run == "run-0001-2"


def test_pipelines_of_one_name_in_two_repositories_are_two() -> None:
    resource = {facts.PIPELINE: "ci", facts.RUN: 12, "cicd.pipeline.run.status": "success"}
    assert the_run(span({}), **resource, **{"vcs.repository.name": "shop"}).pipeline == "shop/ci"
    named = {**resource, facts.PIPELINE: "shop-ci", "vcs.repository.name": "shop"}
    assert the_run(span({}), **named).pipeline == "shop-ci"


def test_a_repository_does_not_rename_what_the_instrumentation_names() -> None:
    """Its gauges and events have no repository, and must meet its spans."""
    run = the_run(span(RUN), scope=facts.SCOPE, **{"vcs.repository.name": "shop", facts.PIPELINE: "other"})
    assert run.pipeline == "nightly"


def test_spans_of_applications_that_run_inside_a_pipeline_are_none_of_its_own() -> None:
    """Tests in a CI system often have its name on their resource."""
    resource = {facts.PIPELINE: "ci", facts.RUN: "12"}
    web = span({"http.route": "/"}, kind=Span.SPAN_KIND_SERVER)
    assert read(web, **resource) == Translation([], {}, 0)
    inner = span({facts.PIPELINE: "ci", "http.route": "/"}, parent_span_id=b"r" * 8)
    assert [type(record) for record in read(inner, **resource).records] == [Step]


def test_spans_of_calls_are_calls_wherever_they_run() -> None:
    found = read(span(CHAT | USED), **{facts.PIPELINE: "ci", facts.RUN: "12"})
    assert [type(record) for record in found.records] == [LlmCall]


@pytest.mark.parametrize(
    "times",
    [{"start_time_unix_nano": 0}, {"end_time_unix_nano": NOW - 3 * SECOND}, {"end_time_unix_nano": NOW + 601 * SECOND}],
)
def test_times_that_cannot_be_are_refused(times: dict[str, int]) -> None:
    found = read(span(PHASE, **times))
    assert (found.records, found.rejected) == ([], {"bad_time": 1})


def test_a_clock_that_leads_a_little_is_believed_but_for_when_it_came() -> None:
    phase = the_phase(span(PHASE, end_time_unix_nano=NOW + SECOND))
    assert (phase.at, phase.ended) == (NOW, NOW + SECOND)


def test_a_span_without_ids_is_refused() -> None:
    assert read(span(PHASE, span_id=b"")).rejected == {"no_id": 1}


def test_a_newer_version_of_the_conventions_is_counted_once_a_span() -> None:
    request = traces_of([span(RUN), span({"http.route": "/"})])
    request.resource_spans[0].scope_spans[0].schema_url = "https://opentelemetry.io/schemas/1.99.0"
    assert translate_traces(request, NOW).unknown_versions == {"otel_cicd": 1}


def test_a_loop_of_parents_ends() -> None:
    one = span({facts.TASK: "one"}, span_id=b"1" * 8, parent_span_id=b"2" * 8)
    two = span({facts.TASK: "two"}, span_id=b"2" * 8, parent_span_id=b"1" * 8)
    found = [record for record in read(one, two).records if isinstance(record, PhaseReport)]
    assert {record.subphase or record.phase for record in found} == {"one", "two"}


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(sorted(READ)), VALUES, max_size=6),
            st.sampled_from([b"a" * 8, b"b" * 8, b"c" * 8, b"", b"x"]),
            st.sampled_from([b"a" * 8, b"b" * 8, b"c" * 8, b""]),
            st.sampled_from([0, NOW - 5 * SECOND, NOW, 2**64 - 1]),
        ),
        max_size=6,
    ),
    st.dictionaries(st.sampled_from([facts.PIPELINE, facts.RUN, facts.TASK_RUN, "cicd.pipeline.result"]), VALUES),
    st.sampled_from(["", facts.SCOPE]),
)  # fmt: skip - one table
def test_whatever_comes_makes_reports_that_can_be(
    spans: list[tuple[dict[str, Any], bytes, bytes, int]], resource: dict[str, Any], scope: str
) -> None:
    made = [span(a, span_id=own, parent_span_id=up, end_time_unix_nano=end) for a, own, up, end in spans]
    for report in read(*made, scope=scope, **resource).records:
        if not isinstance(report, RunReport | PhaseReport):
            continue
        assert report.started is not None
        assert report.ended is not None
        assert report.started <= report.ended
        assert report.at <= NOW
        assert report.result in RESULTS
        assert report.reason in REASONS
        assert len(report.span) == 8
        assert bool(report.pipeline) == bool(report.run)
        assert max(map(len, (report.pipeline, report.run, report.error_type, report.host))) <= 200
        if isinstance(report, PhaseReport):
            assert report.execution
            assert report.phase
            assert report.attempt >= 1
            assert max(map(len, (report.phase, report.subphase, report.execution))) <= 200
        else:
            assert report.pipeline
