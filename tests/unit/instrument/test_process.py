"""What becomes of an agent when its process ends, is killed or forks: real processes, exporting over loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from fleetwatch.dialects import translate_metrics
from fleetwatch.records.agents import AgentBeat
from support import wait_for
from support_instrument import PYTHON_PATH, run, started
from support_stack import OtlpSink, otlp_sink

SDK = """
import os, sys, threading, time
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

def configure(interval=200):
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=interval)
    metrics.set_meter_provider(MeterProvider([reader]))
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

from fleetwatch.instrument import agent
"""


def beats(sink: OtlpSink) -> list[AgentBeat]:
    """In the order of arrival."""
    found = []
    for request in list(sink.requests):
        if isinstance(request, ExportMetricsServiceRequest):
            found += [record for record in translate_metrics(request).records if isinstance(record, AgentBeat)]
    return found


def ended(script: str, code: int = 0) -> list[AgentBeat]:
    """Beats of a program that ran to its end."""
    with otlp_sink() as sink:
        done = run(SDK + script, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        assert done.code == code, done.err
        return beats(sink)


@pytest.mark.parametrize(
    "script",
    [
        "configure(60_000)\nme = agent('a')\nme.progress()",
        "me = agent('a')\nme.progress()\nconfigure(60_000)",
        "configure(60_000)\nwith agent('a') as me: me.progress()",
        "configure(60_000)\nme = agent('a')\nme.progress()\nsys.exit(1)",
        "configure(60_000)\nwith agent('a') as me: sys.exit(1)",
    ],
    ids=["open", "open before the SDK", "block", "exit", "exit from the block"],
)
def test_a_process_that_ends_by_itself_says_goodbye(script: str) -> None:
    [beat] = ended(script, code=1 if "exit" in script else 0)
    assert (beat.agent, beat.goodbye) == ("a", True)


@pytest.mark.parametrize(
    "script",
    [
        "configure(60_000)\nme = agent('a')\nme.progress()\n1 / 0",
        "configure(60_000)\nwith agent('a') as me: 1 / 0",
    ],
    ids=["open", "block"],
)
def test_an_exception_that_kills_is_no_goodbye(script: str) -> None:
    [beat] = ended(script, code=1)
    assert (beat.agent, beat.goodbye) == ("a", False)


def test_threads_that_go_on_after_the_main_one_are_no_goodbye() -> None:
    script = """
configure(100)
me = agent("a")
def work():
    with me.task():
        time.sleep(1)
threading.Thread(target=work).start()
"""
    found = ended(script)
    assert len(found) > 4
    told = [beat.goodbye for beat in found]
    # The last regular export may come when all is done already, right before the one at the end.
    assert not any(told[:-2])
    assert told[-1]


def test_kill_9_leaves_no_goodbye() -> None:
    with (
        otlp_sink() as sink,
        started(
            SDK + "configure(100)\nwith agent('a') as me, me.task(): time.sleep(60)",
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
        ) as process,
    ):
        wait_for(lambda: len(beats(sink)) > 3, 20, "some beats")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        found = beats(sink)
    assert not any(beat.goodbye for beat in found)
    assert {beat.state for beat in found} == {"working"}
    assert found[-1].interval is not None
    assert 0.05e9 < found[-1].interval < 2e9


@pytest.mark.parametrize(
    ("handler", "goodbye"), [("", False), ("signal.signal(signal.SIGTERM, lambda *_: sys.exit())", True)]
)
def test_sigterm_is_a_goodbye_where_the_program_handles_it(handler: str, goodbye: bool) -> None:
    script = f"""
import signal
{handler}
configure(100)
me = agent("a")
me.progress()
time.sleep(60)
"""
    with otlp_sink() as sink, started(SDK + script, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url) as process:
        wait_for(lambda: beats(sink), 20, "a beat")
        process.terminate()
        process.wait(20)
        assert beats(sink)[-1].goodbye is goodbye


def test_a_process_that_hangs_beats_and_makes_no_progress() -> None:
    with (
        otlp_sink() as sink,
        started(
            SDK + "configure(100)\nwith agent('a') as me, me.task(): threading.Event().wait()",
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
        ),
    ):
        wait_for(lambda: len(beats(sink)) > 4, 20, "some beats")
        found = beats(sink)
    assert len({beat.at for beat in found}) == len(found)
    assert len({beat.progress for beat in found}) == 1


def test_a_forked_child_is_nobody_until_it_works_and_then_an_instance_of_its_own() -> None:
    script = """
configure(100)
me = agent("a")
with me.task("of the parent"):
    child = os.fork()
    if child == 0:
        time.sleep(0.5)  # the parent's agent is not beating in here
        with me.task("of the child"):
            time.sleep(0.5)
        metrics.get_meter_provider().force_flush()
        trace.get_tracer_provider().force_flush()
        os._exit(0)
    os.waitpid(child, 0)
"""
    with otlp_sink() as sink:
        done = run(SDK + script, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        assert done.code == 0, done.err
        found = beats(sink)
        spans = sink.spans
    parent, child = sorted({beat.instance for beat in found}, key=[beat.instance for beat in found].index)
    of_child = [beat for beat in found if beat.instance == child]
    assert [beat.goodbye for beat in found if beat.instance == parent][-1]
    assert not any(beat.goodbye for beat in of_child)
    assert {beat.open_tasks for beat in of_child} == {0, 1}
    # The block around the fork is one task, the parent's.
    assert len(spans) == len(set(spans)) == 2


def test_a_child_that_leaves_the_parent_s_block_ends_nothing_of_the_parent_s() -> None:
    script = """
configure(60_000)
me = agent("a")
with me, me.task():
    child = os.fork()
    if child:
        os.waitpid(child, 0)
if not child:
    trace.get_tracer_provider().force_flush()
    metrics.get_meter_provider().force_flush()
    os._exit(0)
"""
    with otlp_sink() as sink:
        done = run(SDK + script, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        assert done.code == 0, done.err
        assert len(sink.spans) == 1
        assert [beat.goodbye for beat in beats(sink)] == [True]


USE = """
import asyncio
from fleetwatch.instrument import agent

@agent("b").task
async def work():
    with agent("b").tool("search", {"a": 1}) as tool:
        tool.result(2)

with agent("a", version="1") as me, me.task("x") as task:
    with me.tool("search", arguments={"query": "tides"}) as tool, me.state("waiting_human"):
        tool.result("x")
    me.progress()
    me.queue(lambda: 3)
    task.evaluation("relevance", 0.5, "pass")
    me.evaluation("relevance", 0.5)
    task.done("enough")
    asyncio.run(work())
import sys, threading
ours = [name for name in sys.modules if name.startswith("fleetwatch.")]
others = [name for name in ours if not name.startswith("fleetwatch.instrument")]
print("opentelemetry.sdk" in sys.modules, threading.active_count(), others)
"""


def test_an_sdk_that_nobody_configured_is_no_hindrance() -> None:
    done = run(USE)
    assert (done.code, done.out.strip(), done.err) == (0, "False 1 []", "")


def test_a_provider_that_cannot_be_loaded_is_no_hindrance() -> None:
    done = run(USE, OTEL_PYTHON_METER_PROVIDER="none_such", OTEL_PYTHON_TRACER_PROVIDER="none_such")
    assert (done.code, done.out.strip()) == (0, "False 1 []")
    assert "there is no meter" in done.err
    assert "there is no tracer" in done.err


def test_it_works_where_only_the_api_is_installed(tmp_path: Path) -> None:
    """A Python of its own with opentelemetry-api and typing_extensions, as an application without an SDK has it."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    _install_api(site)
    env = {"PYTHONPATH": PYTHON_PATH.split(os.pathsep)[0], "PATH": os.environ.get("PATH", "")}
    done = subprocess.run([python, "-c", USE], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "False 1 []", "")
    run_of = "from fleetwatch.instrument import pipeline\nwith pipeline('n') as run, run.phase('p') as p: p.items(1)"
    done = subprocess.run([python, "-c", run_of], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    without = subprocess.run([python, "-c", "import opentelemetry.sdk"], env=env, capture_output=True, check=False)
    assert without.returncode == 1


def _install_api(site: Path) -> None:
    """What the API's distribution has, linked from where this Python has it."""
    from importlib.metadata import distribution

    for name in ("opentelemetry-api", "typing_extensions"):
        files = distribution(name).files
        assert files
        for file in files:
            source = Path(str(file.locate()))
            if ".." in file.parts or "__pycache__" in file.parts or not source.is_file():
                continue
            target = site / str(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)


def test_the_test_runs_the_code_of_this_tree() -> None:
    done = run("import fleetwatch; print(fleetwatch.__file__)")
    assert done.out.startswith(PYTHON_PATH.split(os.pathsep)[0]), sys.path
