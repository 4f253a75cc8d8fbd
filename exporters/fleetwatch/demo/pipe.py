"""The way out of the demo's agents and pipeline: OpenTelemetry's SDK as an application sets it up."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from fleetwatch.instrument.agent_names import AgentNames


class Pipe:
    """Tracer, meter and logger provider that send to one address. beat: seconds between two exports of the metrics."""

    def __init__(
        self, endpoint: str, headers: dict[str, str], run_id: str, beat: float = 10.0, service: str = "demo-agents"
    ) -> None:
        resource = Resource({"service.name": service, "service.instance.id": f"demo-{run_id}"})
        base = endpoint.rstrip("/")
        self.tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.tracers.add_span_processor(AgentNames())
        exporter = OTLPSpanExporter(f"{base}/v1/traces", headers=headers)
        self.tracers.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(f"{base}/v1/metrics", headers=headers), export_interval_millis=beat * 1000
        )
        self.meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self.loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
        logs = OTLPLogExporter(f"{base}/v1/logs", headers=headers)
        self.loggers.add_log_record_processor(BatchLogRecordProcessor(logs, schedule_delay_millis=1000))

    def close(self) -> None:
        """Send what is left, the goodbyes among it."""
        self.tracers.shutdown()
        self.meters.shutdown()
        self.loggers.shutdown()
