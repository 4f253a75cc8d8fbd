"""Pipelines and processes: children that join, forks, spawned workers, and ends of all kinds; real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.instrument import current_run, names, pipeline
from support import wait_for
from support_instrument import Application, run, started
from support_stack import OtlpSink, otlp_sink

SDK = """
import os, sys, time
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

def configure(interval=60_000):
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=interval)
    metrics.set_meter_provider(MeterProvider([reader]))
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

from fleetwatch.instrument import current_run, phase, pipeline
"""


def spans_of(sink: OtlpSink) -> list[tuple[Span, dict[str, Any]]]:
    """In the order of arrival."""
    found = []
    for request in list(sink.requests):
        if isinstance(request, ExportTraceServiceRequest):
            spans = [s for group in request.resource_spans for scope in group.scope_spans for s in scope.spans]
            for span in spans:
                values = {item.key: item.value for item in span.attributes}
                told = {key: getattr(value, value.WhichOneof("value") or "") for key, value in values.items()}
                found.append((span, told))
    return found


def beats_of(sink: OtlpSink) -> list[tuple[str, str]]:
    """(gauge, phase) of all points of pipelines."""
    found = []
    for request in list(sink.requests):
        if isinstance(request, ExportMetricsServiceRequest):
            scopes = [scope for group in request.resource_metrics for scope in group.scope_metrics]
            for metric in (metric for scope in scopes for metric in scope.metrics):
                for point in metric.gauge.data_points:
                    told = {item.key: item.value.string_value for item in point.attributes}
                    if names.PIPELINE in told:
                        found.append((metric.name, told.get(names.PHASE, "")))
    return found


def sent(script: str, code: int = 0) -> tuple[dict[str, tuple[Span, dict[str, Any]]], list[tuple[str, str]]]:
    """Spans by name, and beats, of a program that ran to its end."""
    with otlp_sink() as sink:
        done = run(SDK + textwrap.dedent(script), OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, SDK=SDK)
        assert done.code == code, done.err
        found = spans_of(sink)
        assert len({span.name for span, _ in found}) == len(found)
        return {span.name: (span, told) for span, told in found}, beats_of(sink)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["sh", "-c", "exit 3"], ("failure", "exit", "exit 3")),
        (["sh", "-c", "kill -9 $$"], ("error", "killed", "SIGKILL")),
        (["sh", "-c", "kill -15 $$"], ("error", "killed", "SIGTERM")),
        (["/none/such"], ("failure", "exception", "FileNotFoundError")),
    ],
    ids=["exit", "SIGKILL", "SIGTERM", "no such program"],
)
def test_how_a_child_process_ends_is_how_its_phase_ends(command: list[str], expected: tuple[str, str, str]) -> None:
    app = Application()
    with pytest.raises((subprocess.CalledProcessError, FileNotFoundError)), app.pipeline() as run, run.phase("P") as p:
        p.run(command)
    for name, result in (("P", names.PHASE_RESULT), ("RUN nightly", names.RUN_RESULT)):
        told = app.told(name)
        assert (told[result], told[names.REASON], told[names.ERROR_TYPE]) == expected


def test_a_child_process_is_run_as_subprocess_runs_it() -> None:
    app = Application()
    with app.pipeline() as run, run.phase("P") as p:
        assert p.run(["cat"], input="tides", capture_output=True, text=True).stdout == "tides"
        assert p.run("exit 4", shell=True, check=False).returncode == 4
        done = p.run([sys.executable, "-c", "import os; print(len(os.environ))"], env={}, stdout=subprocess.PIPE)
        assert int(done.stdout) >= 2
        with pytest.raises(subprocess.TimeoutExpired):
            p.run(["sleep", "60"], timeout=0.05)
    assert app.told("P")[names.PHASE_RESULT] == "success"


def test_a_child_that_joins_has_phases_of_the_run_and_parts_of_the_phase() -> None:
    found, beats = sent("""
        CHILD = '''
        with pipeline.joined() as run:
            with run.phase("P02") as p:
                p.items(3)
            with run.part("load") as part:
                metrics.get_meter_provider().force_flush()
        '''
        import textwrap
        configure()
        with pipeline("nightly", version="2") as run, run.phase("P01") as p:
            p.run([sys.executable, "-c", os.environ["SDK"] + "configure()" + textwrap.dedent(CHILD)])
    """)
    assert found.keys() == {"RUN nightly", "P01", "P02", "load"}
    root, p01 = found["RUN nightly"][0], found["P01"][0]
    for name, parent in (("P01", root), ("P02", p01), ("load", p01)):
        assert (found[name][0].parent_span_id, found[name][0].trace_id) == (parent.span_id, root.trace_id)
    assert {told[names.RUN_ID] for _, told in found.values()} == {found["P01"][1][names.RUN_ID]}
    assert found["P02"][1][names.ITEMS_OUT] == 3
    assert found["load"][1][names.PHASE_OF] == "P01"
    assert found["P02"][1][names.PROCESS] != found["P01"][1][names.PROCESS]
    # The run lives as long as the process that began it: another one has no heartbeat for it.
    assert {name for name, phase in beats if phase == ""} <= {names.RUN_HEARTBEAT, names.RUN_INTERVAL, names.RUN_START}
    assert (names.PHASE_START, "load") in beats


def test_a_program_that_joins_nothing_does_nothing() -> None:
    for environ in ({}, {names.JOIN: "["}, {names.JOIN: "{}"}, {names.JOIN: "[1]"}, {names.JOIN: '{"pipeline": 1}'}):
        app = Application()
        with pipeline.joined(environ, **app.providers) as run:
            assert current_run() is None
            with run.phase("P01") as p, run.part("x"):
                p.items(1)
            assert run.environ() == {}
        assert app.spans == []


def test_a_worker_gets_what_it_needs_by_hand() -> None:
    app, worker = Application(), Application()
    with app.pipeline() as run, run.phase("P01"):
        environ = json.loads(json.dumps(run.environ()))
    with pipeline.joined(environ, **worker.providers) as joined, joined.part("load"):
        pass
    span = worker.span("load")
    assert span.parent is not None
    assert span.parent.span_id == getattr(app.span("P01").get_span_context(), "span_id", None)
    assert worker.told("load")[names.PHASE_OF] == "P01"


def test_a_fork_inside_a_phase_ends_nothing_of_the_parent_s_and_counts_for_it() -> None:
    found, _ = sent("""
        configure()
        with pipeline("nightly") as run:
            with run.phase("P01") as p:
                p.items(1)
                child = os.fork()
                if child == 0:
                    p.items(100)
                    while time.process_time() < 0.3:
                        sum(range(500))
                    with run.phase("of the child") as own, p.part("part in the child"):
                        own.items(2)
                else:
                    os.waitpid(child, 0)
        if child == 0:
            assert current_run() is None
            trace.get_tracer_provider().force_flush()
            os._exit(0)
    """)
    assert found.keys() == {"RUN nightly", "P01", "of the child", "part in the child"}
    assert found["P01"][1][names.ITEMS_OUT] == 1
    assert found["P01"][1][names.CPU_TIME] > 0.3
    assert found["of the child"][1][names.ITEMS_OUT] == 2
    assert found["of the child"][1][names.CPU_TIME] < 0.2
    assert found["of the child"][0].parent_span_id == found["P01"][0].span_id
    assert found["part in the child"][1][names.PHASE_OF] == "P01"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing(method: str) -> None:
    """Their processor time is their phase's once they have been waited for; what they count they give back."""
    found, _ = sent(f"""
        import multiprocessing
        from support_work_of_pipelines import square
        if __name__ == "__main__":
            configure()
            with pipeline("nightly") as run, run.phase("P01") as p:
                with multiprocessing.get_context("{method}").Pool(2) as pool:
                    p.items(sum(pool.map(square, [1, 2, 3])))
                    pool.close()
                    pool.join()
    """)
    assert found.keys() == {"RUN nightly", "P01"}
    assert found["P01"][1][names.ITEMS_OUT] == 14
    assert found["P01"][1][names.CPU_TIME] > 0.3


def test_an_exception_that_nobody_catches_and_sys_exit_are_ends() -> None:
    for what, code, result in (("1 / 0", 1, "failure"), ("sys.exit(3)", 3, "failure"), ("sys.exit()", 0, "success")):
        found, _ = sent(f"configure()\nwith pipeline('nightly') as run, run.phase('P01'): {what}", code)
        assert found["RUN nightly"][1][names.RUN_RESULT] == result


def test_kill_9_leaves_beats_and_no_end() -> None:
    script = SDK + textwrap.dedent("""
        configure(100)
        with pipeline("nightly") as run:
            with run.phase("P01"):
                pass
            with run.phase("P02"):
                time.sleep(60)
    """)
    with otlp_sink() as sink, started(script, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url) as process:
        wait_for(lambda: beats_of(sink).count((names.PHASE_START, "P02")) > 3, 20, "some beats")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert {told.get(names.PHASE, "run") for _, told in spans_of(sink)} <= {"P01"}


USE = """
import asyncio
from fleetwatch.instrument import current_phase, current_run, phase, pipeline

@phase("P02")
async def work():
    current_phase().items(1)

with pipeline("nightly", version="1") as run:
    with run.phase("P01", expect=3) as p, p.part("load"):
        p.items(1); p.error("E"); p.warning(); p.artifact(size=1); p.signal("x", 1); p.count("y")
        p.run(["true"])
    for attempt in run.attempts("P03"):
        with attempt as p:
            if p.attempt == 1: raise ValueError
    asyncio.run(work())
    with pipeline.joined(run.environ()) as joined, joined.part("x"): pass
import sys, threading
ours = [name for name in sys.modules if name.startswith("fleetwatch.")]
others = [name for name in ours if not name.startswith("fleetwatch.instrument")]
print("opentelemetry.sdk" in sys.modules, threading.active_count(), others)
"""


def test_an_sdk_that_nobody_configured_is_no_hindrance() -> None:
    done = run(USE)
    assert (done.code, done.out.strip(), done.err) == (0, "False 1 []", "")


def test_providers_that_cannot_be_loaded_are_no_hindrance() -> None:
    missing = {f"OTEL_PYTHON_{kind}_PROVIDER": "none_such" for kind in ("METER", "TRACER", "LOGGER")}
    done = run(USE, **missing)
    assert (done.code, done.out.strip()) == (0, "False 1 []")
    assert "there is no tracer" in done.err


def test_an_api_without_logs_is_no_hindrance() -> None:
    done = run("import sys\nsys.modules['opentelemetry._logs'] = None\n" + USE)
    assert (done.code, done.out.strip(), done.err) == (0, "False 1 []", "")


def test_a_tool_of_the_project_can_be_run_inside_a_phase() -> None:
    """Its settings come from the environment, where the run's context is too."""
    app = Application()
    with app.pipeline() as run, run.phase("P01") as p:
        program = "from fleetwatch.settings import load; print(load().web.listen)"
        done = p.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ":" in done.stdout
