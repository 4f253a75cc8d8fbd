"""Reports of hosts as a sidecar sends them, through the product's own encoder and client.

host = FakeHost("node-1", "127.0.0.1:4318")
host.report(hosts.LOAD_1M(0.5))
host.goodbye()
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.dialects import decode, translate_metrics
from fleetwatch.meter import Meter
from fleetwatch.meter.otlp import export_request
from fleetwatch.records.hosts import HostReport
from fleetwatch.send.client import Client

SECOND = 10**9


def report_of(host: str, samples: Iterable[Sample], at: int | None = None) -> bytes:
    """A serialized report. at: Unix nanoseconds by the host's clock."""
    meter = Meter(implied={hosts.HOST.name: host})
    meter.replace("everything", samples)
    resource = {"service.name": "fleetwatch-sidecar", "service.instance.id": host, "host.name": host}
    return export_request(meter, resource, time.time_ns() if at is None else at, "0")


def read(body: bytes, now: int | None = None) -> HostReport:
    """The one report that the receiver finds in a body."""
    [record] = translate_metrics(decode(ExportMetricsServiceRequest, body), now).records
    assert isinstance(record, HostReport)
    return record


def named(report: HostReport) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Its points by name and labels."""
    return {(form.name, form.labels): value for form, value in zip(report.forms, report.values, strict=True)}


class FakeHost:
    """What a sidecar says to `sink` (HOST:PORT), on a connection of its own."""

    def __init__(self, name: str, sink: str, interval: float = 1.0) -> None:
        self.name, self.interval = name, interval
        self._client = Client(f"http://{sink}")

    def report(self, *samples: Sample, at: int | None = None) -> None:
        """Send one; the sink must take it."""
        body = report_of(self.name, [*samples, hosts.REPORT_INTERVAL(self.interval)], at)
        answer = self._client.post("metrics", body)
        assert (answer.outcome, answer.rejected) == ("accepted", 0), answer

    def goodbye(self, *samples: Sample, at: int | None = None) -> None:
        self.report(*samples, hosts.GOODBYE(time.time()), at=at)

    def close(self) -> None:
        self._client.close()
