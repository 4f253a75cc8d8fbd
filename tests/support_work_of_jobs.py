"""What jobs of tests do, inside their process: see support_jobs.py. Little is imported, for many are started."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from fleetwatch.catalogue import pipelines
from fleetwatch.instrument import Run, names, pipeline

BEAT = 0.5
"""Seconds between two heartbeats."""
RETRY = 60.0
"""Seconds that the SDK tries to send one batch of spans."""
QUEUE = 20_000
"""Spans that wait while the exporter is away."""
Key = tuple[str, ...]
"""Name of a metric in Prometheus, and the values of its labels."""


class Truth(SpanProcessor):
    """What this process has told, as the exporter must count it. Durations are those of the spans."""

    def __init__(self, name: str) -> None:
        self.pipeline = name
        self.counts: Counter[Key] = Counter()

    def count(self, metric: Any, labels: Sequence[str], number: float = 1, suffix: str = "") -> None:
        if number:
            self.counts[metric.prometheus + suffix, self.pipeline, *labels] += number  # type: ignore[assignment]  # floats

    def on_end(self, span: ReadableSpan) -> None:
        told = span.attributes or {}
        assert span.start_time is not None
        assert span.end_time is not None
        took = span.end_time - span.start_time
        if names.RUN_RESULT in told:
            result, reason = str(told[names.RUN_RESULT]), str(told[names.REASON])
            self.count(pipelines.RUNS, [result, reason])
            self._lasted(pipelines.RUN_DURATION, [result], took)
        elif names.PHASE_RESULT in told:
            phase, result = str(told[names.PHASE]), str(told[names.PHASE_RESULT])
            if names.PHASE_OF in told:
                self._lasted(pipelines.SUBPHASE_DURATION, [str(told[names.PHASE_OF]), phase, result], took)
                return
            self._lasted(pipelines.PHASE_DURATION, [phase, result], took)
            self.count(pipelines.PHASE_RETRIES, [phase], int(str(told[names.ATTEMPT])) > 1)
            if result == "success" and not told.get(names.ARTIFACTS):
                self.count(pipelines.PHASE_WITHOUT_ARTIFACTS, [phase])

    def _lasted(self, metric: Any, labels: Sequence[str], took: int) -> None:
        self.count(metric, labels, suffix="_count")
        self.count(metric, labels, took, "_sum")


def works(name: str, seed: int, truth: Truth, enough: threading.Event, **providers: Any) -> int:
    """Runs one after the other until it is enough, of random phases; how many. What it counts it notes by itself."""
    dice, runs = random.Random(seed), 0
    while not enough.is_set():
        try:
            with pipeline(name, run_id=f"{name}-{seed}-{runs}", **providers) as run:
                for _ in range(dice.randint(1, 4)):
                    _phase(run, dice, truth)
                if dice.random() < 0.2:
                    raise LookupError
        except (LookupError, ConnectionError):
            pass  # the run has told it
        runs += 1
    return runs


def _phase(run: Run, dice: random.Random, truth: Truth) -> None:
    phase = f"P{dice.randint(0, 3):02d}"
    for attempt in run.attempts(phase, most=2, on=ConnectionError, optional=True):
        with attempt as p:
            for _ in range(dice.randint(1, 4)):
                made, taken, size = dice.randint(0, 9), dice.randint(0, 9), dice.randint(1, 999)
                p.items(made)
                p.items(taken, "in")
                truth.count(pipelines.PHASE_ITEMS, [phase, "out"], made)
                truth.count(pipelines.PHASE_ITEMS, [phase, "in"], taken)
                if dice.random() < 0.5:
                    p.warning()
                    truth.count(pipelines.PHASE_WARNINGS, [phase])
                if dice.random() < 0.3:
                    p.error("BadRow")
                    truth.count(pipelines.PHASE_ERRORS, [phase, "BadRow"])
                if dice.random() < 0.3:
                    p.artifact(size=size)
                    truth.count(pipelines.PHASE_ARTIFACTS, [phase])
                    truth.count(pipelines.PHASE_ARTIFACT_SIZE, [phase], size)
                p.count("water.events", made)
                truth.count(pipelines.SIGNAL_COUNT, [phase, "water.events"], made)
                with p.part("load"):
                    threading.Event().wait(0.02)
            if dice.random() < 0.2:
                truth.count(pipelines.PHASE_ERRORS, [phase, "ConnectionError"])
                raise ConnectionError


class Obedient:
    """Does what it is told, line by line."""

    def __init__(self, name: str, lines: Iterator[str]) -> None:
        with pipeline(name) as self._run, ExitStack() as self._stack:
            self._phase: Any = None
            for line in lines:
                order, *words = line.split()
                if order == "end":
                    break
                answer = ORDERS[order](self, *words)
                sys.stdout.write(f"{answer}\n")
                sys.stdout.flush()
            self._stack.close()

    def _id(self) -> str:
        return self._run.id

    def _begin(self, name: str) -> None:
        self._stack.close()
        self._phase = self._stack.enter_context(self._run.phase(name))

    def _items(self, number: str) -> None:
        self._phase.items(int(number))

    def _eat(self) -> None:
        """Take memory until the kernel ends it."""
        taken = []
        while True:
            taken.append(b"x" * (1 << 20))


ORDERS: dict[str, Callable[..., object]] = {
    "id": Obedient._id,
    "phase": Obedient._begin,
    "items": Obedient._items,
    "eat": Obedient._eat,
}
"""Beside `end`."""


def configure(otlp: str, host: str, *processors: SpanProcessor) -> TracerProvider:
    """Set the global providers up, as an application does."""
    resource = Resource({"service.name": "job", **({"host.name": host} if host else {})})
    tracers = TracerProvider(resource=resource)
    for processor in processors:
        tracers.add_span_processor(processor)
    exporter = OTLPSpanExporter(f"{otlp}/v1/traces", timeout=RETRY)
    tracers.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE, schedule_delay_millis=100))
    trace.set_tracer_provider(tracers)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{otlp}/v1/metrics"), export_interval_millis=BEAT * 1000)
    metrics.set_meter_provider(MeterProvider([reader], resource=resource))
    loggers = LoggerProvider(resource=resource)
    logs = OTLPLogExporter(f"{otlp}/v1/logs")
    loggers.add_log_record_processor(BatchLogRecordProcessor(logs, schedule_delay_millis=100))
    _logs.set_logger_provider(loggers)
    return tracers


def main(told: str) -> int:
    order = json.loads(told)
    name, play = order["name"], order["play"]
    truth = Truth(name)
    tracers = configure(order["otlp"], order["host"], truth)
    if play == "obeys":
        Obedient(name, iter(sys.stdin.readline, ""))
    elif play == "works":
        enough = threading.Event()

        def wait() -> None:
            sys.stdin.readline()
            enough.set()

        threading.Thread(target=wait, daemon=True).start()
        runs = works(name, order["seed"], truth, enough)
        assert tracers.force_flush(round(RETRY * 1000))
        sys.stdout.write(json.dumps([runs, [[key, value] for key, value in truth.counts.items()]]) + "\n")
    else:
        SHOTS[play](name)
    return 0


def _raises(name: str) -> None:
    with pipeline(name) as run:
        with run.phase("P00") as p:
            p.items(10)
        with run.phase("P01"):
            raise ValueError("this text is nobody's business")


def _raises_outside(name: str) -> None:
    with pipeline(name) as run:
        with run.phase("P00"):
            pass
        raise ValueError


def _child_is_killed(name: str) -> None:
    with pipeline(name) as run, run.phase("P01") as p:
        p.run(["sh", "-c", "kill -9 $$"])


def _goes_well(name: str) -> None:
    with pipeline(name) as run, run.phase("P00") as p:
        p.artifact(size=1)


SHOTS = {
    "raises": _raises,
    "raises outside": _raises_outside,
    "child is killed": _child_is_killed,
    "goes well": _goes_well,
}
"""One-shot jobs, by what comes of them."""
PLAYS = ("obeys", "works", *SHOTS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
