"""Applications with agents, as processes of their own: `fleetwatch.instrument` and OpenTelemetry's SDK.

with started_agents("127.0.0.1:4318", "node-1", {"deployer": "hangs"}) as deployer:
    deployer.go()  # it works until then

What an agent does is one of PLAYS. Each has a thread; the main thread waits for the order to go.
"""

from __future__ import annotations

import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from fleetwatch.instrument import Agent, agent, names
from fleetwatch.places import PROJECT
from support_program import environment

BEAT = 0.5
"""Seconds between two beats."""
CALLS = 40
POLL = 10
"""Seconds between two polls."""
_SECOND = 10**9


class Agents:
    """One application."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def go(self) -> float:
        """Let its agents do what they are for; the time of it."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return time.time()

    def kill9(self) -> float:
        self._process.kill()
        self._process.wait(10)
        return time.time()

    def end(self) -> int:
        """As a service manager does; the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(10)


@contextmanager
def started_agents(sink: str, host: str, plays: Mapping[str, str], log: Path) -> Iterator[Agents]:
    """Until the block ends. sink: HOST:PORT of OTLP over HTTP; plays: agent -> what it does."""
    path = os.pathsep.join([str(PROJECT / "exporters"), str(Path(__file__).parent)])
    command = [sys.executable, __file__, f"http://{sink}", host, *(f"{name}={play}" for name, play in plays.items())]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, env={**environment(), "PYTHONPATH": path}, stdin=subprocess.PIPE, stderr=out, text=True
        )
    try:
        yield Agents(process)
    finally:
        process.kill()
        process.communicate()


# --- what agents do


def _works(me: Agent, go: threading.Event) -> None:
    """Small tasks without end."""
    _works_until(me, threading.Event())


def _works_until(me: Agent, go: threading.Event) -> None:
    while not go.is_set():
        with me.task("step"):
            go.wait(0.1)


def _rests(me: Agent, go: threading.Event) -> None:
    """There, and nothing to do."""
    me.state("idle")
    threading.Event().wait()


def _hangs(me: Agent, go: threading.Event) -> None:
    _works_until(me, go)
    with me.task("deploy"), me.tool("roll_out", {"release": 7}):
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()  # as a real deadlock


def _asks(me: Agent, go: threading.Event) -> None:
    _works_until(me, go)
    with me.task("escalate"), me.state("waiting_human"):
        threading.Event().wait()


def _circles(me: Agent, go: threading.Event) -> None:
    _works_until(me, go)
    with me.task("fix_test"):
        for _ in range(CALLS):
            with me.tool("run_tests", {"path": "tests/test_parser.py"}) as tool:
                tool.fail("AssertionError")
    _works(me, go)


def _fetches(me: Agent, go: threading.Event) -> None:
    """As many calls at once, each with arguments of its own."""
    _works_until(me, go)
    together = threading.Barrier(CALLS)

    def fetch(page: int) -> None:
        with me.tool("fetch", {"page": page}):
            together.wait()

    with me.task("crawl"), ThreadPoolExecutor(CALLS) as pool:
        for page in range(CALLS):
            pool.submit(contextvars.copy_context().run, fetch, page)
    _works(me, go)


def _polls(me: Agent, go: threading.Event) -> None:
    """The same call every POLL seconds, with the same result. It would take too long, so its spans are dated back."""
    _works_until(me, go)
    tracer = trace.get_tracer("an application's own")
    digest = "0123456789abcdef"
    told = {names.OPERATION: "execute_tool", names.TOOL: "get_status", names.AGENT: me.name}
    with me.task("deploy"):
        for place in range(CALLS, 0, -1):
            start = time.time_ns() - place * POLL * _SECOND
            attributes = {**told, names.ARGUMENTS_DIGEST: digest, names.RESULT_DIGEST: digest}
            span = tracer.start_span("execute_tool get_status", start_time=start, attributes=attributes)
            span.end(start + _SECOND)
    _works(me, go)


PLAYS = {
    "works": _works,
    "rests": _rests,
    "hangs": _hangs,
    "asks": _asks,
    "circles": _circles,
    "fetches": _fetches,
    "polls": _polls,
}


def _application(otlp: str, host: str, plays: list[str]) -> None:
    resource = Resource({"service.name": "app", "host.name": host})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{otlp}/v1/traces"), schedule_delay_millis=200))
    trace.set_tracer_provider(tracers)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{otlp}/v1/metrics"), export_interval_millis=BEAT * 1000)
    metrics.set_meter_provider(MeterProvider([reader], resource=resource))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    go = threading.Event()
    for name, play in (item.split("=") for item in plays):
        me = agent(name, version="1.0", framework="none", team="core")
        threading.Thread(target=PLAYS[play], args=(me, go), daemon=True).start()
    sys.stdin.readline()
    go.set()
    threading.Event().wait()


if __name__ == "__main__":
    _application(sys.argv[1], sys.argv[2], sys.argv[3:])
