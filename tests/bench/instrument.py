"""What instrumented agents and pipelines cost their application; one thread, no exporter.

Calls beside the SDK's own span; a phase, all in; and a job with and without its phases, in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from fleetwatch.instrument import agent, pipeline

Seen = dict[str, list[float]]


class Nowhere(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is open."""


class NoLog(LogRecordExporter):
    def export(self, batch: object) -> LogRecordExportResult:
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True

    def shutdown(self) -> None:
        """Nothing is open."""


def micros(work: Callable[[], object], times: int) -> float:
    """Processor time of this thread for one call, us."""
    start = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - start) / times * 1e6


def show(seen: Seen) -> None:
    for name, values in seen.items():
        print(f"{name}: {statistics.median(values):.2f} us ({min(values):.2f}-{max(values):.2f})")


def agents(rounds: int, tracers: TracerProvider, meters: MeterProvider) -> None:
    me = agent("bench", tracer_provider=tracers, meter_provider=meters)
    alone = agent("bench without an SDK")
    tracer = tracers.get_tracer("bench")
    attributes = dict.fromkeys(("operation", "agent", "tool", "type", "arguments", "result"), "0123456789abcdef")

    def call(of: object) -> None:
        assert of in {me, alone}
        with (me if of is me else alone).tool("search", {"query": "tides of the north sea", "limit": 10}) as tool:
            tool.result("some text")

    def bare() -> None:
        with tracer.start_as_current_span("execute_tool search", attributes=attributes):
            pass

    seen: Seen = {}
    with me.task():
        for _ in range(rounds):
            for name, work, times in (
                ("state()", lambda: me.state("working"), 50_000),
                ("progress()", me.progress, 50_000),
                ("tool call without an SDK", lambda: call(alone), 10_000),
                ("tool call", lambda: call(me), 3_000),
                ("the SDK's span with as many attributes", bare, 3_000),
            ):
                seen.setdefault(name, []).append(micros(work, times))
    show(seen)
    more = [one - two for one, two in zip(*list(seen.values())[-2:], strict=True)]
    print(f"tool call beyond the SDK's span: {statistics.median(more):.1f} us ({min(more):.1f}-{max(more):.1f})")


def pipelines(rounds: int, tracers: TracerProvider, meters: MeterProvider) -> None:
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(BatchLogRecordProcessor(NoLog()))
    run = pipeline("bench", tracer_provider=tracers, meter_provider=meters, logger_provider=loggers)
    silent = pipeline("bench without an SDK")
    seen: Seen = {}

    def one(of: object) -> None:
        with (run if of is run else silent).phase("P03"):
            pass

    def parted() -> None:
        with run.phase("P03") as outer, outer.part("load"):
            pass

    with silent, run, run.phase("P01") as phase, phase.part("a") as part:
        for _ in range(rounds):
            for name, work, times in (
                ("items()", phase.items, 100_000),
                ("items() of a part", part.items, 100_000),
                ("error()", lambda: phase.error("ValueError"), 50_000),
                ("phase without an SDK", lambda: one(silent), 3_000),
                ("phase", lambda: one(run), 1_000),
                ("phase with a part", parted, 500),
            ):
                seen.setdefault(name, []).append(micros(work, times))
    show(seen)
    loggers.shutdown()


JOB = """
import hashlib, json, re, sys, time
from contextlib import nullcontext
WITH = sys.argv[1] == "with"
PHASES, ITEMS, SIZE, EXPORT = map(int, sys.argv[2:])
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
class Nowhere(SpanExporter):
    def export(self, spans): return SpanExportResult.SUCCESS
class NoMetrics(MetricExporter):
    def export(self, *args, **kwargs): return MetricExportResult.SUCCESS
    def force_flush(self, *args, **kwargs): return True
    def shutdown(self, *args, **kwargs): pass
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(NoMetrics(), export_interval_millis=EXPORT)]))
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(Nowhere()))
if WITH:
    from fleetwatch.instrument import pipeline
else:
    class Phase:
        items = staticmethod(lambda n=1: None)
    class Run:
        phase = staticmethod(lambda name: nullcontext(Phase))
    pipeline = lambda name: nullcontext(Run)
data = bytes(range(256)) * 6400 * SIZE
before = time.process_time()
with pipeline("job") as run:
    for number in range(PHASES):
        with run.phase(f"P{number:02}") as phase:
            for _ in range(ITEMS):
                hashlib.sha256(data).digest()
                phase.items(1)
spent = time.process_time() - before
status = open("/proc/self/status").read()  # ru_maxrss has the parent's memory in it
print(json.dumps([spent, int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) / 1024]))
"""
"""Phases in which 1.6 MB or a multiple of it are hashed for each item, which takes about a millisecond. Both jobs have
the SDK, and an export now and then whose receiver costs nothing."""

JOBS = {
    "hurried job (phases of 0.12 s, items of 1 ms, an export a second)": (10, 120, 1, 1000, 2),
    "usual job (phases of 2 s, items of 5 ms, an export in 10 s)": (5, 400, 5, 10_000, 1),
}
"""Name -> phases, items of each, millions and a half of bytes an item, milliseconds between exports, times as often."""


def jobs(rounds: int) -> None:
    """The same job with and without, in turns. What else a machine does only ever adds: the fastest are compared, and
    the quartiles of the pairs tell how far one can trust that.
    """
    for name, (*shape, often) in JOBS.items():
        seconds: Seen = {"without": [], "with": []}
        memory: Seen = {"without": [], "with": []}
        for number in range(rounds * often):
            for how in ("without", "with") if number % 2 else ("with", "without"):
                command = [sys.executable, "-c", JOB, how, *map(str, shape)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                for seen, value in zip((seconds, memory), json.loads(done.stdout), strict=True):
                    seen[how].append(value)
        best = (min(seconds["with"]) / min(seconds["without"]) - 1) * 100
        pairs = [(one / two - 1) * 100 for one, two in zip(seconds["with"], seconds["without"], strict=True)]
        low, middle, high = statistics.quantiles(pairs, n=4)
        told = f"pairs {middle:+.2f} % ({low:+.2f} to {high:+.2f})"
        print(f"{name}: {best:+.2f} % processor time, fastest of {len(pairs)}; {told}")
        more = [one - two for one, two in zip(memory["with"], memory["without"], strict=True)]
        print(f"{name}: {statistics.median(more):+.1f} MiB at its peak ({min(more):+.1f} to {max(more):+.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    tracers, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    tracers.add_span_processor(BatchSpanProcessor(Nowhere()))
    agents(rounds, tracers, meters)
    pipelines(rounds, tracers, meters)
    jobs(max(2, rounds))


if __name__ == "__main__":
    main()
