"""Scrape of 10,000 series: processor time and memory against prometheus_client's own registry, same samples."""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from fleetwatch.catalogue import llm
from fleetwatch.meter import Meter
from fleetwatch.meter.text import render

SERIES = 10_000
LABELS = [(f"agent-{number}", "platform", "openai", f"model-{number % 80}", "input") for number in range(SERIES)]
# A histogram of this many label sets shows about SERIES lines.
HISTOGRAMS = SERIES // (len(llm.REQUEST_DURATION.buckets) + 3)


def ours(histograms: bool) -> Callable[[], bytes]:
    meter = Meter(limits={"agent": SERIES, "model": SERIES})
    for number, labels in enumerate(LABELS):
        if not histograms:
            meter.add(llm.TOKENS, labels, number)
        elif number < HISTOGRAMS:
            meter.observe(llm.REQUEST_DURATION, (labels[2], labels[0], "chat"), number * 10**7)
    return lambda: render(meter)[0]


def theirs(histograms: bool) -> Callable[[], bytes]:
    registry = CollectorRegistry()
    metric = llm.REQUEST_DURATION if histograms else llm.TOKENS
    if histograms:
        family = Histogram(
            metric.prometheus, metric.help, metric.label_names, buckets=metric.buckets, registry=registry
        )
        for number, labels in enumerate(LABELS[:HISTOGRAMS]):
            family.labels(labels[2], labels[0], "chat").observe(number / 100)
    else:
        counter = Counter(metric.prometheus, metric.help, metric.label_names, registry=registry)
        for number, labels in enumerate(LABELS):
            counter.labels(*labels).inc(number)
    return lambda: generate_latest(registry)


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = (sample for family in parse(text.decode()) for sample in family.samples)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for sample in found
        if not sample.name.endswith("_created")
    }


def cpu(scrape: Callable[[], bytes]) -> float:
    """Microseconds of one scrape."""
    gc.collect()
    started = time.process_time()
    scrape()
    return (time.process_time() - started) * 1e6


def memory(side: str, histograms: str) -> float:
    """KiB per series of a process of its own."""
    here = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {here!r}); import scrape; scrape.tell({side!r}, {histograms})"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def tell(side: str, histograms: bool) -> None:
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    kept = (ours if side == "ours" else theirs)(histograms)
    gc.collect()
    print((process.memory_info().rss - before) / 1024 / (HISTOGRAMS if histograms else SERIES))
    del kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"scrape, text format, {SERIES:,} lines; peer: prometheus_client's registry")
    for histograms in (False, True):
        a, b = ours(histograms), theirs(histograms)
        if samples(a()) != samples(b()):
            raise SystemExit("the two show different samples: a comparison would say nothing")
        pairs = [(cpu(a), cpu(b)) for _ in range(rounds)]
        ratios = [mine / other for mine, other in pairs]
        unit = "histogram" if histograms else "counter"
        count = HISTOGRAMS if histograms else SERIES
        print(
            f"{unit:9}: fleetwatch {statistics.median(p[0] for p in pairs) / count:7.2f} us a series, "
            f"peer {statistics.median(p[1] for p in pairs) / count:7.2f}; ratio 1/{1 / statistics.median(ratios):.0f} "
            f"(1/{1 / max(ratios):.0f} to 1/{1 / min(ratios):.0f}); "
            f"memory {memory('ours', str(histograms)):.1f} KiB a series, peer {memory('theirs', str(histograms)):.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
