"""An application that uses OpenAI's SDK under public instrumentations, as a process of its own.

    python support_application.py URL-OF-OTLP URL-OF-THE-API ROUNDS SIGNALS INSTRUMENTATION …

Instrumentations wrap the SDK in the order in which they are named, so the last one lies outermost.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Sequence

import openai
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

OPENTELEMETRY = "opentelemetry.instrumentation.genai.openai"
OPENLLMETRY = "opentelemetry.instrumentation.openai"
OPENINFERENCE = "openinference.instrumentation.openai"

RESOURCE = {"service.name": "triage", "service.instance.id": "pod-1", "team": "support"}


def run_application(
    otlp: str, api: str, rounds: int, instrumentations: Sequence[str], signals: str = "traces,metrics"
) -> None:
    """Run it to its end, which must be a good one; everything it has to tell is sent by then."""
    command = [sys.executable, __file__, f"http://{otlp}", api, str(rounds), signals, *instrumentations]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def _application(otlp: str, api: str, rounds: int, signals: Sequence[str], instrumentations: Sequence[str]) -> None:
    resource = Resource(RESOURCE)
    traces = TracerProvider(resource=resource)
    if "traces" in signals:
        traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{otlp}/v1/traces")))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{otlp}/v1/metrics"), export_interval_millis=3_600_000)
    metrics = MeterProvider([reader], resource=resource)
    for name in instrumentations:
        instrumentor = importlib.import_module(name).OpenAIInstrumentor()
        instrumentor.instrument(tracer_provider=traces, meter_provider=metrics)
    with openai.OpenAI(base_url=api, api_key="none", max_retries=0) as client:
        for _ in range(rounds):
            _use(client)
    traces.shutdown()
    metrics.shutdown()


def _use(client: openai.OpenAI) -> None:
    """A plain chat, a streamed one, one that is refused, and an embedding."""
    hello: openai.types.chat.ChatCompletionUserMessageParam = {"role": "user", "content": "Good morning!"}
    client.chat.completions.create(model="gpt-4o", messages=[hello])
    stream = client.chat.completions.create(
        model="gpt-4o", messages=[hello], stream=True, stream_options={"include_usage": True}
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Good morning."
    try:
        client.chat.completions.create(model="busy", messages=[hello])
    except openai.RateLimitError:
        pass
    else:
        raise AssertionError("the call was not refused")
    client.embeddings.create(model="text-embedding-3-small", input="Good morning!")


if __name__ == "__main__":
    _application(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4].split(","), sys.argv[5:])
