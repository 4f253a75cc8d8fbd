"""OTLP request of 10,000 series: processor time against the SDK's objects and its exporter's encoder, same meter."""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from fleetwatch.catalogue import hosts, llm
from fleetwatch.meter import Meter
from fleetwatch.meter.otlp import export_request

sys.path.insert(0, str(Path(__file__).parents[1]))
from support_otlp_sdk import sdk_request

SERIES = 10_000
HISTOGRAMS = 1_000
RESOURCE = {"service.name": "fleetwatch"}


def counters() -> tuple[Meter, int]:
    meter = Meter(limits={"agent": SERIES})
    for number in range(SERIES):
        meter.add(llm.TOKENS, (f"agent-{number}", "platform", "openai", f"model-{number % 80}", "input"), number)
    return meter, SERIES


def gauges() -> tuple[Meter, int]:
    meter = Meter(limits={"host_name": SERIES})
    meter.replace("bench", [hosts.LOAD_1M(number / 7, host_name=f"host-{number}") for number in range(SERIES)])
    return meter, SERIES


def histograms() -> tuple[Meter, int]:
    meter = Meter(limits={"agent": SERIES, "model": SERIES})
    for number in range(HISTOGRAMS):
        meter.observe(llm.REQUEST_DURATION, ("openai", f"model-{number}", "chat"), number * 10**7)
    return meter, HISTOGRAMS


def cpu(work: Callable[[], object]) -> float:
    """Microseconds of processor time."""
    gc.collect()
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"OTLP request of {SERIES:,} series; peer: the SDK's MetricsData and the official exporter's encoder")
    for make in (counters, gauges, histograms):
        meter, count = make()
        first = cpu(lambda: export_request(meter, RESOURCE, 1, "1"))  # noqa: B023 - called at once
        if ExportMetricsServiceRequest.FromString(export_request(meter, RESOURCE, 1, "1")) != sdk_request(
            meter, RESOURCE, 1, "1"
        ):
            raise SystemExit("the two say different things: a comparison would say nothing")
        pairs = [
            (
                cpu(lambda: export_request(meter, RESOURCE, 1, "1")),  # noqa: B023 - called at once
                cpu(lambda: sdk_request(meter, RESOURCE, 1, "1").SerializeToString()),  # noqa: B023 - called at once
            )
            for _ in range(rounds)
        ]
        ratios = [mine / other for mine, other in pairs]
        print(
            f"{make.__name__:10}: fleetwatch {statistics.median(p[0] for p in pairs) / count:6.2f} us a series "
            f"({first / count:.2f} the first time), peer {statistics.median(p[1] for p in pairs) / count:6.2f}; "
            f"ratio 1/{1 / statistics.median(ratios):.0f} (1/{1 / max(ratios):.0f} to 1/{1 / min(ratios):.0f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
