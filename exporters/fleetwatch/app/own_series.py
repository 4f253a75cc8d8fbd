"""The exporter's series about itself."""

from __future__ import annotations

import itertools
import time

from fleetwatch import __version__
from fleetwatch.app.writer import Writer
from fleetwatch.catalogue import exporter
from fleetwatch.ledger.store import Committed
from fleetwatch.meter import Meter

SKEW_REMEMBERED = 300.0
"""Seconds for which the largest lead of a sender's clock is shown."""


class OwnSeries:
    """Observer of the receiver and of the writer."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._started = time.time()
        self._skews: list[tuple[float, float]] = []
        for metric in (exporter.RECEIVER_REQUESTS, exporter.RECEIVER_REJECTED):
            for labels in itertools.product(*(label.one_of for label in metric.labels)):
                if not {"lineage", "grpc"} <= set(labels):  # OpenLineage knows HTTP alone
                    meter.add(metric, labels, 0)
        for kind in exporter.RECORD_KIND.one_of:
            meter.add(exporter.LEDGER_RECORDS, (kind,), 0)
        meter.merge(exporter.LEDGER_COMMIT, (), [0] * (len(exporter.LEDGER_COMMIT.buckets) + 1), 0)
        for reason in exporter.LEDGER_ERROR.one_of:
            meter.add(exporter.LEDGER_ERRORS, (reason,), 0)

    def request(self, signal: str, transport: str, status: str) -> None:
        self._meter.add(exporter.RECEIVER_REQUESTS, (signal, transport, status), 1)

    def rejected(self, signal: str, reason: str, n: int) -> None:
        self._meter.add(exporter.RECEIVER_REJECTED, (signal, reason), n)

    def skew(self, ns: int) -> None:
        self._skews.append((time.monotonic(), ns / 1e9))

    def unknown_version(self, dialect: str, n: int) -> None:
        self._meter.add(exporter.UNKNOWN_VERSIONS, (dialect,), n)

    def committed(self, committed: Committed, duration: float) -> None:
        for kind, records in committed.kinds().items():
            self._meter.add(exporter.LEDGER_RECORDS, (kind,), records)
        self._meter.observe(exporter.LEDGER_COMMIT, (), round(duration * 1e9))

    def failed(self, reason: str) -> None:
        self._meter.add(exporter.LEDGER_ERRORS, (reason,), 1)

    def refresh(self, writer: Writer) -> None:
        """Bring the gauges up to date; called before each scrape and export."""
        since = time.monotonic() - SKEW_REMEMBERED
        self._skews = [item for item in self._skews if item[0] >= since]
        samples = [
            exporter.BUILD_INFO(1, version=__version__),
            exporter.START_TIME(self._started),
            exporter.RECEIVER_CLOCK_SKEW(max((lead for _, lead in self._skews), default=0.0)),
            exporter.LEDGER_PENDING(writer.pending),
            exporter.SERIES(len(self._meter)),
        ]
        if writer.ledger is not None:
            samples.append(exporter.LEDGER_SIZE(writer.ledger.size()))
            if writer.ledger.checkpoint_at:
                samples.append(exporter.LEDGER_CHECKPOINT(writer.ledger.checkpoint_at / 1e9))
        self._meter.replace("exporter", samples)
