"""The page for applications: its examples run."""

from __future__ import annotations

import functools
import re
from types import SimpleNamespace

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.dialects import translate_traces
from fleetwatch.instrument import Agent, Phase, Task, Tool, agent, names, phase, pipeline
from fleetwatch.instrument.pipeline import Joined
from fleetwatch.places import PROJECT
from fleetwatch.records.agents import AgentRun, Evaluation, ToolCall
from support_instrument import Application, run
from support_stack import otlp_sink

PAGE = (PROJECT / "exporters" / "INSTRUMENT.md").read_text(encoding="utf-8")
EXAMPLE, SET_UP, PROCESSOR, OF_PIPELINES, JOINED = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_runs_and_arrives() -> None:
    app = Application()
    there = {"agent": app.agent}
    exec(EXAMPLE.replace("from fleetwatch.instrument import agent\n", ""), there)
    assert "from fleetwatch.instrument import agent\n" in EXAMPLE
    kinds = [type(record) for record in translate_traces(app.traces()).records]
    assert sorted(kind.__name__ for kind in kinds) == [kind.__name__ for kind in (AgentRun, Evaluation, ToolCall)]
    assert names.GOODBYE in app.gauges()


def test_an_application_that_is_set_up_as_the_page_says_sends_all_it_should() -> None:
    beat = "with pipeline('weekly') as run, run.phase('P01'): assert metrics.get_meter_provider().force_flush()\n"
    with otlp_sink() as sink:
        done = run(SET_UP + OF_PIPELINES + beat, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        assert done.code == 0, done.err
        kinds = {type(request) for request in sink.requests}
        assert kinds == {ExportTraceServiceRequest, ExportMetricsServiceRequest, ExportLogsServiceRequest}
        assert len(sink.spans) == 9


def test_the_processor_s_example_runs() -> None:
    app = Application()
    exec(PROCESSOR, {"tracer_provider": app.tracers})
    with app.agent("boss").task():
        app.tracers.get_tracer("x").start_span("chat").end()
    # The processor came after the exporter that was there, which keeps the span itself.
    assert (app.spans[0].attributes or {})[names.AGENT] == "boss"


def test_the_pipeline_s_example_runs_and_is_sent() -> None:
    app = Application()
    said = "from fleetwatch.instrument import phase, pipeline\n"
    assert said in OF_PIPELINES
    exec(OF_PIPELINES.replace(said, ""), {"pipeline": app.pipeline, "phase": phase})
    assert [span.name for span in app.spans] == ["parse", "P01", "P02", "P03", "P03", "P04", "RUN nightly"]
    assert app.told("RUN nightly")[names.RUN_RESULT] == "success"


def test_the_child_s_example_runs() -> None:
    app = Application()
    with app.pipeline() as run, run.phase("P01") as p:
        joined = functools.partial(pipeline.joined, p.environ(), **app.providers)
        exec(JOINED, {"pipeline": SimpleNamespace(joined=joined)})
    assert app.told("decode")[names.PHASE_OF] == "P01"


def test_the_page_names_all_gauges_and_states_that_are_to_be_said() -> None:
    ours = ("agent.", "pipeline.", "fleetwatch.pipeline.run.", "fleetwatch.pipeline.phase.")
    gauges = {value for key, value in vars(names).items() if key.isupper() and str(value).startswith(ours)}
    assert {name for name in gauges | set(names.STATES) if f"`{name}`" not in PAGE and f'"{name}"' not in PAGE} == set()


def test_the_page_s_words_exist() -> None:
    words = set(re.findall(r"[` ](?:with )?(me|task|tool|run|p|part|pipeline)\.(\w+)\(", PAGE))
    classes = {
        "me": Agent, "task": Task, "tool": Tool, "run": Joined, "p": Phase, "part": Phase, "pipeline": type(pipeline),
    }  # fmt: skip
    assert len(words) > 25
    assert {word for word in words if not hasattr(classes[word[0]], word[1])} == set()
    assert callable(agent)
