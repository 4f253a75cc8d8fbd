"""What instrumented agents cost their application: calls against the SDK's own span; one thread, no exporter."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from fleetwatch.instrument import agent


class Nowhere(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is open."""


def micros(work: Callable[[], object], times: int) -> float:
    """Processor time of this thread for one call, us."""
    start = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - start) / times * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    tracers, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    tracers.add_span_processor(BatchSpanProcessor(Nowhere()))
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

    seen: dict[str, list[float]] = {}
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
    for name, values in seen.items():
        print(f"{name}: {statistics.median(values):.2f} us ({min(values):.2f}-{max(values):.2f})")
    more = [one - two for one, two in zip(*list(seen.values())[-2:], strict=True)]
    print(f"tool call beyond the SDK's span: {statistics.median(more):.1f} us ({min(more):.1f}-{max(more):.1f})")


if __name__ == "__main__":
    main()
