"""Plain spans and a mapping in, runs and phases out."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from fleetwatch.dialects import Mappings, Record, SpanMapping, Translation, translate_traces
from fleetwatch.dialects.parts.pipeline_facts import PIPELINE, SCOPE, TASK
from fleetwatch.records.agents import AgentRun, Step
from fleetwatch.records.llm import LlmCall
from fleetwatch.records.pipelines import RESULTS, PhaseReport, RunReport, Tally
from fleetwatch.settings.pipelines import PipelineSpans
from support_genai import CHAT, USED, VALUES
from support_otlp import NOW, RESOURCE, SECOND, span, traces_of

NIGHTLY = SpanMapping(run="nightly*")
ROOT = b"r" * 8


def read(*spans: Span, by: Iterable[SpanMapping] = (NIGHTLY,), scope: str = "", service: str = "etl") -> Translation:
    request = traces_of(spans, RESOURCE | {"service.name": service, "host.name": "node-1"})
    request.resource_spans[0].scope_spans[0].scope.name = scope
    return translate_traces(request, NOW, mappings=Mappings(list(by)))


def root(attributes: dict[str, Any] | None = None, **fields: Any) -> Span:
    return span(attributes or {}, **({"name": "nightly load", "span_id": ROOT} | fields))


def child(name: str = "load", attributes: dict[str, Any] | None = None, **fields: Any) -> Span:
    return span(attributes or {}, **({"name": name, "parent_span_id": ROOT} | fields))


def phases(records: Iterable[Record]) -> list[PhaseReport]:
    return [record for record in records if isinstance(record, PhaseReport)]


def runs(records: Iterable[Record]) -> list[RunReport]:
    return [record for record in records if isinstance(record, RunReport)]


def test_the_mapping_has_the_settings_fields() -> None:
    told = PipelineSpans(run="nightly*")
    assert SpanMapping(**structs.asdict(told)) == NIGHTLY


def test_a_root_is_a_run_and_its_child_a_phase() -> None:
    run, phase, *steps = read(root(), child(status=Status(code=Status.STATUS_CODE_ERROR))).records
    assert isinstance(run, RunReport)
    assert isinstance(phase, PhaseReport)
    assert (run.pipeline, run.run, run.result, run.source) == ("nightly load", (b"t" * 16).hex(), "success", "spans")
    assert (run.trace, run.span, run.host, run.instance) == (b"t" * 16, ROOT, "node-1", "pod-1")
    assert (run.started, run.ended, run.at, run.state) == (NOW - 2 * SECOND, NOW, NOW, "ended")
    assert (phase.pipeline, phase.run, phase.phase, phase.result) == ("", "", "load", "failure")
    assert (phase.trace, phase.parent, phase.child_of_run) == (b"t" * 16, ROOT, True)
    assert (phase.execution, phase.tally) == ((b"s" * 8).hex(), None)
    assert [step.span[16:] for step in steps if isinstance(step, Step)] == [ROOT, b"s" * 8]


def test_names_and_counts_come_from_attributes() -> None:
    mapping = NIGHTLY._replace(
        phase="step *",
        pipeline="job.name",
        run_id="job.id",
        phase_name="step.name",
        items="rows.out",
        items_in="rows.in",
        artifacts="files",
    )
    run, phase = read(
        root({"job.name": "prices", "job.id": 7}),
        child("step 1", {"step.name": "load", "rows.in": 10, "rows.out": "9", "files": 1.0}),
        by=[mapping],
    ).records[:2]
    assert isinstance(run, RunReport)
    assert isinstance(phase, PhaseReport)
    assert (run.pipeline, run.run) == ("prices", "7")
    assert (phase.phase, phase.tally) == ("load", Tally(items_in=10, items_out=9, artifacts=1))
    assert not phase.child_of_run


@pytest.mark.parametrize("value", ["many", -1, 1e300, float("nan"), True, [1], b"1", None])
def test_what_is_no_count_is_not_counted(value: Any) -> None:
    [phase] = phases(read(child("load", {"rows": value}), by=[NIGHTLY._replace(items="rows")]).records)
    assert phase.tally is None


def test_where_any_name_fits_calls_of_other_services_are_no_phases() -> None:
    calls = [child(kind=kind) for kind in (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER)]
    assert read(*calls).records == []
    assert len(phases(read(*calls, by=[NIGHTLY._replace(phase="lo?d")]).records)) == 2


def test_another_service_s_spans_are_none_of_it() -> None:
    assert read(root(), child(), by=[NIGHTLY._replace(service="etl-*")]).records == []
    assert len(runs(read(root(), by=[NIGHTLY._replace(service="etl-*")], service="etl-eu").records)) == 1


def test_a_run_inside_something_else_is_no_run() -> None:
    assert runs(read(root(parent_span_id=b"p" * 8)).records) == []


def test_the_first_mapping_that_fits_counts() -> None:
    named = NIGHTLY._replace(pipeline="job.name")
    [run] = runs(read(root({"job.name": "prices"}), by=[SpanMapping(run="weekly"), named, NIGHTLY]).records)
    assert run.pipeline == "prices"


def test_patterns_are_whole_names_and_mind_capitals() -> None:
    assert runs(read(root(name="the nightly")).records) == []
    assert runs(read(root(name="Nightly")).records) == []


def test_an_agent_s_run_and_a_call_are_told_as_both() -> None:
    agent = child("invoke_agent", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer"})
    found = read(agent, child("chat", CHAT | USED, span_id=b"c" * 8)).records
    assert [type(record) for record in found] == [PhaseReport, PhaseReport, LlmCall, AgentRun]


def test_spans_that_say_themselves_what_they_are_are_told_once() -> None:
    found = read(root({PIPELINE: "ci", "cicd.pipeline.result": "success"}), child("load", {TASK: "load"})).records
    assert [type(record) for record in found] == [Step, RunReport, Step, PhaseReport]
    assert runs(found)[0].pipeline == "ci"
    assert read(root(), child(), scope=SCOPE).records == []


def test_without_a_mapping_plain_spans_leave_nothing() -> None:
    assert translate_traces(traces_of([root(), child()]), NOW) == Translation([], {}, 0)
    assert read(root(), child(), by=[]) == Translation([], {}, 0)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"start_time_unix_nano": 0}, "bad_time"),
        ({"end_time_unix_nano": 2**63}, "bad_time"),
        ({"trace_id": b""}, "no_id"),
    ],
)  # fmt: skip - one table
@pytest.mark.parametrize("attributes", [{}, CHAT | USED])
def test_what_cannot_be_is_refused_once(fields: dict[str, Any], reason: str, attributes: dict[str, Any]) -> None:
    found = read(root(attributes, **fields), child("x", attributes, **fields))
    assert (found.records, found.rejected) == ([], {reason: 2})


PATTERNS = st.text(st.sampled_from("ab*?[]!x"), max_size=12)


@given(PATTERNS, PATTERNS, st.text(st.sampled_from("abx[]"), max_size=300))
def test_patterns_mean_what_they_mean_in_a_shell(run: str, service: str, name: str) -> None:
    fits = name and fnmatch.fnmatchcase(name[:200], run) and fnmatch.fnmatchcase("etl", service)
    assert bool(runs(read(root(name=name), by=[SpanMapping(run=run, service=service)]).records)) == bool(fits)


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(["a", "b", "error.type", PIPELINE]), VALUES),
            st.text(st.characters(codec="utf-8"), max_size=300),
            st.sampled_from([b"", ROOT, b"x"]),
            st.sampled_from([0, NOW, 2**64 - 1]),
        ),
        max_size=6,
    )
)
def test_whatever_comes_makes_reports_that_can_be(spans: list[tuple[dict[str, Any], str, bytes, int]]) -> None:
    mapping = SpanMapping(run="*", pipeline="a", run_id="b", phase_name="a", items="a", items_in="b", artifacts="b")
    made = [span(a, name=name, parent_span_id=up, end_time_unix_nano=end) for a, name, up, end in spans]
    for report in read(*made, by=[mapping]).records:
        if isinstance(report, RunReport | PhaseReport):
            assert report.result in RESULTS
            assert report.at <= NOW
            assert report.trace
            assert not isinstance(report, RunReport) or report.pipeline
            assert max(map(len, (report.pipeline, report.run, report.error_type))) <= 200
