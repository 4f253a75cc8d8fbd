"""Applications that are instrumented, with the real SDK: in this process, or as scripts of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fleetwatch.instrument import Agent, Run, agent, names, pipeline
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
        self.loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self._events: Any = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # the SDK's own
        self.loggers.add_log_record_processor(SimpleLogRecordProcessor(self._events))

    def agent(self, name: str = "researcher", **facts: Any) -> Agent:
        return agent(name, tracer_provider=self.tracers, meter_provider=self.meters, **facts)

    def pipeline(self, name: str = "nightly", **facts: Any) -> Run:
        return pipeline(name, **self.providers, **facts)

    @property
    def providers(self) -> dict[str, Any]:
        return {"tracer_provider": self.tracers, "meter_provider": self.meters, "logger_provider": self.loggers}

    @property
    def spans(self) -> list[ReadableSpan]:
        """Finished spans, in the order in which they ended."""
        return list(self._spans.get_finished_spans())

    def traces(self) -> ExportTraceServiceRequest:
        """The finished spans as the SDK's exporter sends them."""
        request: ExportTraceServiceRequest = encode_spans(self.spans)
        return request

    def span(self, name: str) -> ReadableSpan:
        """The one finished span of this name."""
        [found] = [span for span in self.spans if span.name == name]
        return found

    def told(self, name: str) -> dict[str, Any]:
        """Attributes of the one finished span of this name."""
        return dict(self.span(name).attributes or {})

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """(name, attributes), in the order in which they were told."""
        records = [item.log_record for item in self._events.get_finished_logs()]
        return [(record.event_name or "", dict(record.attributes or {})) for record in records]

    def logs(self) -> ExportLogsServiceRequest:
        """The events as the SDK's exporter sends them."""
        request: ExportLogsServiceRequest = encode_logs(self._events.get_finished_logs())
        return request

    def points(self) -> dict[str, list[tuple[dict[str, Any], float]]]:
        """One collection: gauge -> points."""
        data = self.reader.get_metrics_data()
        scopes = [scope for group in (data.resource_metrics if data else ()) for scope in group.scope_metrics]
        return {
            metric.name: [
                (dict(point.attributes or {}), getattr(point, "value"))  # noqa: B009 - a gauge's point; histograms have none
                for point in metric.data.data_points
            ]
            for scope in scopes
            for metric in scope.metrics
        }

    def beat(self) -> ExportMetricsServiceRequest:
        """One collection as the SDK's exporter sends it."""
        data = self.reader.get_metrics_data()
        assert data is not None
        request: ExportMetricsServiceRequest = encode_metrics(data)
        return request

    def gauges(self, agent_name: str = "researcher") -> dict[str, list[tuple[dict[str, Any], float]]]:
        """One collection: gauge -> points of the agent."""
        return {
            name: of_agent
            for name, points in self.points().items()
            if (of_agent := [point for point in points if point[0].get(names.AGENT) == agent_name])
        }

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
