"""A loopback target for Prometheus that shows every catalogue metric, moving, as the exporter would."""

from __future__ import annotations

import itertools
import math
import time
import wsgiref.simple_server
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from fleetwatch.catalogue import all_metrics, exporter, llm
from fleetwatch.catalogue.metric import Metric

# agent, team, provider, model, calls per minute, seconds per call, USD per call (None: no price), share of failures
TRAFFIC = [
    ("triage", "support", "openai", "gpt-4o-mini", 90, 0.9, 0.0009, 0.004),
    ("triage", "support", "anthropic", "claude-haiku-4-5", 40, 1.4, 0.0041, 0.01),
    ("answer-writer", "support", "anthropic", "claude-sonnet-4-5", 24, 6.5, 0.031, 0.012),
    ("code-reviewer", "platform", "openai", "gpt-5", 14, 18.0, 0.062, 0.02),
    ("code-reviewer", "platform", "anthropic", "claude-opus-4-5", 5, 31.0, 0.19, 0.0),
    ("document-search", "research", "openai", "text-embedding-3-small", 200, 0.08, 0.00002, 0.0),
    ("summariser", "research", "gcp.gemini", "gemini-2.5-flash", 60, 2.1, 0.0013, 0.15),
    ("summariser", "research", "local", "house-llama-70b", 12, 9.0, None, 0.05),
]
BUDGETS = [("everything", 1800.0, 1240.0, 1730.0), ("support", 600.0, 512.0, 701.0), ("research", 100.0, 103.2, 140.0)]
TOKENS = {"input": 900, "cache_read": 300, "cache_write": 60, "output": 380, "reasoning": 90}

CONFIDENCE = {"openai": "priced", "anthropic": "priced", "gcp.gemini": "estimated", "local": "unpriced"}

Values = dict[tuple[str, ...], float]


class World(Collector):
    """Counters grow with the time since it was made; the shape is that of a day in which traffic swells and ebbs."""

    def __init__(self) -> None:
        self.start = time.time()

    def collect(self) -> Iterator[Family]:
        for _, metric in all_metrics():
            yield self._family(metric)

    def _family(self, metric: Metric) -> Family:
        if metric.kind == "histogram":
            family = HistogramMetricFamily(metric.prometheus, metric.help, labels=metric.label_names)
            for labels, (count, middle) in self._observed().get(metric, {(): (200 * self.minutes, 0.004)}).items():
                family.add_metric(labels, *_histogram(metric.buckets, count, middle))
            return family
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        made = kind(metric.prometheus, metric.help, labels=metric.label_names)
        values = (self._counters() | self._gauges()).get(metric) or self._any(metric)
        for labels, value in values.items():
            made.add_metric(labels, value)
        return made

    @property
    def minutes(self) -> float:
        elapsed = (time.time() - self.start) / 60
        return elapsed + 0.2 * math.sin(elapsed * 3)

    def _any(self, metric: Metric) -> Values:
        """One series per value of closed labels; other labels have the value x."""
        series = list(itertools.product(*(label.one_of or ("x",) for label in metric.labels)))
        if metric.kind == "counter":
            return {labels: 2 * (number + 1) * self.minutes for number, labels in enumerate(series)}
        return dict.fromkeys(series, time.time() - 60 if metric.prometheus.endswith("timestamp_seconds") else 7.0)

    def _counters(self) -> dict[Metric, Values]:
        calls = [(row, row[4] * self.minutes) for row in TRAFFIC]
        return {
            llm.REQUESTS: {
                (*row[:4], "embeddings" if "embedding" in row[3] else "chat", outcome): count * share
                for row, count in calls
                for outcome, share in (("ok", 1 - row[7]), ("error", row[7] * 0.7), ("timeout", row[7] * 0.3))
            },
            llm.TOKENS: {
                (*row[:4], kind): count * each * (1 + len(row[3]) % 5 if kind == "cache_read" else 1)
                for row, count in calls
                for kind, each in TOKENS.items()
            },
            llm.COST: {(*row[:4], CONFIDENCE[row[2]]): count * (row[6] or 0) for row, count in calls},
            llm.ERRORS: {
                (row[2], row[3], kind): count * row[7] / 2 for row, count in calls for kind in ("rate_limit", "timeout")
            },
            llm.UNPRICED_REQUESTS: {(row[2], row[3]): count for row, count in calls if row[6] is None},
            llm.BUDGET_CHARGED: {(name,): 1000 + limit / 700 * self.minutes for name, limit, *_ in BUDGETS},
            exporter.RECEIVER_REQUESTS: {
                ("traces", "http", status): 30 * share * self.minutes
                for status, share in (("ok", 1.0), ("bad_request", 0.01), ("throttled", 0.02))
            },
            exporter.LABEL_OVERFLOW: {("llm_requests_total", "agent"): 3 * self.minutes},
        }

    def _observed(self) -> dict[Metric, dict[tuple[str, ...], tuple[float, float]]]:
        """Count and middle of the histograms."""
        calls = [(row, row[4] * self.minutes) for row in TRAFFIC]
        return {
            llm.REQUEST_DURATION: {(row[2], row[3], "chat"): (count, row[5]) for row, count in calls},
            llm.TIME_TO_FIRST_TOKEN: {(row[2], row[3]): (count, row[5] / 5) for row, count in calls if row[5] > 0.5},
        }

    def _gauges(self) -> dict[Metric, Values]:
        now = time.time()
        day = 86400
        return {
            llm.BUDGET_LIMIT: {(name,): limit for name, limit, _, _ in BUDGETS},
            llm.BUDGET_SPENT: {(name,): spent for name, _, spent, _ in BUDGETS},
            llm.BUDGET_REMAINING: {(name,): limit - spent for name, limit, spent, _ in BUDGETS},
            llm.BUDGET_FORECAST: {(name,): forecast for name, _, _, forecast in BUDGETS},
            llm.BUDGET_EXHAUSTION: {("support",): 4.5 * day, ("research",): 0},
            llm.BUDGET_PERIOD_START: {(name,): now - 21 * day for name, *_ in BUDGETS},
            llm.BUDGET_PERIOD_END: {(name,): now + 9 * day for name, *_ in BUDGETS},
            llm.PRICES_CHECKED: {(): now - 12 * day},
            llm.PRICES_INFO: {("genai-prices", "0.2.3"): 1},
            exporter.BUILD_INFO: {("0.1.0",): 1},
            exporter.COLLECTOR_SUCCESS: {("host_load",): 1, ("spot_prices",): int(now) // 20 % 3 > 0},
            exporter.COLLECTOR_LAST_SUCCESS: {("host_load",): now - 4, ("spot_prices",): now - 190},
            exporter.COLLECTOR_DURATION: {("host_load",): 0.02, ("spot_prices",): 1.7},
            exporter.COLLECTOR_SERIES: {("host_load",): 3, ("spot_prices",): 80},
            exporter.SERIES: {(): 1840 + 40 * self.minutes},
            exporter.LEDGER_SIZE: {(): 81_000_000},
            exporter.RECEIVER_CLOCK_SKEW: {(): 0.4},
        }


def _histogram(bounds: tuple[float, ...], count: float, middle: float) -> tuple[list[tuple[str, float]], float]:
    """Cumulative buckets and sum of `count` values around `middle`, long on the right."""
    buckets = [(f"{bound:g}", count / (1 + (middle / bound) ** 3)) for bound in bounds]
    return [*buckets, ("+Inf", count)], count * middle * 1.2


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def serve_exposition() -> Iterator[str]:
    """HOST:PORT of a target whose /metrics moves, until the block ends."""
    registry = CollectorRegistry()
    registry.register(World())
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, make_wsgi_app(registry), handler_class=_Quiet)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
