"""Applications that are instrumented, with the real SDK: in this process, or as scripts of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fleetwatch.instrument import Agent, agent, names
from fleetwatch.places import PROJECT
from support_program import environment

Labels = frozenset[tuple[str, Any]]


class Application:
    """An application with providers of its own, so that tests do not meet in the global ones."""

    def __init__(self, *processors: Any) -> None:
        resource = Resource({"service.name": "app", "service.instance.id": "one", "team": "support"})
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], resource=resource, shutdown_on_exit=False)
        self.tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._spans = InMemorySpanExporter()
        for processor in processors:
            self.tracers.add_span_processor(processor)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))

    def agent(self, name: str = "researcher", **facts: Any) -> Agent:
        return agent(name, tracer_provider=self.tracers, meter_provider=self.meters, **facts)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Finished spans, in the order in which they ended."""
        return list(self._spans.get_finished_spans())

    def traces(self) -> ExportTraceServiceRequest:
        """The finished spans as the SDK's exporter sends them."""
        request: ExportTraceServiceRequest = encode_spans(self.spans)
        return request

    def beat(self) -> ExportMetricsServiceRequest:
        """One collection as the SDK's exporter sends it."""
        data = self.reader.get_metrics_data()
        assert data is not None
        request: ExportMetricsServiceRequest = encode_metrics(data)
        return request

    def gauges(self, agent_name: str = "researcher") -> dict[str, list[tuple[Mapping[str, Any], float]]]:
        """One collection: gauge -> points of the agent."""
        data = self.reader.get_metrics_data()
        found: dict[str, list[tuple[Mapping[str, Any], float]]] = {}
        for group in data.resource_metrics if data else ():
            for metric in (item for scope in group.scope_metrics for item in scope.metrics):
                for point in metric.data.data_points:
                    attributes = dict(point.attributes or {})
                    if attributes[names.AGENT] == agent_name:
                        found.setdefault(metric.name, []).append((attributes, getattr(point, "value")))  # noqa: B009 - a gauge's point; histograms have none
        return found

    def value(self, gauge: str, agent_name: str = "researcher") -> float | None:
        points = self.gauges(agent_name).get(gauge)
        return points[0][1] if points else None

    def state(self, agent_name: str = "researcher") -> str | None:
        """The one state that is told to be true."""
        points = self.gauges(agent_name).get(names.STATE)
        if points is None:
            return None
        [state] = [attributes[names.STATE_VALUE] for attributes, value in points if value == 1]
        return str(state)


class Done(NamedTuple):
    code: int
    out: str
    err: str


PYTHON_PATH = os.pathsep.join([str(PROJECT / "exporters"), str(Path(__file__).parent)])


def run(script: str, **env: str) -> Done:
    """The text as a program, to its end."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**environment(), "PYTHONPATH": PYTHON_PATH, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(script: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """The text as a program that goes on; its output can be read."""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**environment(), "PYTHONPATH": PYTHON_PATH, **env},
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
