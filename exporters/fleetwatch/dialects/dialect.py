"""What a dialect is, and what it fills while it reads a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.resource import Resource
from fleetwatch.records.hosts import HostReport
from fleetwatch.records.llm import LlmCall, UsagePoint

Record = LlmCall | UsagePoint | HostReport

EARLIEST = 1_577_836_800_000_000_000
"""2020-01-01, Unix ns: before it no sender of this kind existed; such a time is a zero, seconds or milliseconds."""
MAX_LEAD = 600 * 10**9
"""Nanoseconds that a time may lead this machine's clock: NTP keeps hosts within seconds and laptops drift by minutes;
beyond that the money would be booked on the wrong day."""


class Translation(NamedTuple):
    """What a request held: its records, the items refused by reason, and the lead of the newest item in ns."""

    records: list[Record]
    rejected: dict[str, int]
    skew: int


class Batch:
    """What the dialects found in one request so far."""

    def __init__(self, now: int) -> None:
        self.records: list[Record] = []
        self.rejected: dict[str, int] = {}
        self.newest = now
        """Latest time of any item, also of those refused for it; Unix ns."""
        self.now = now

    def reject(self, reason: str, items: int = 1) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + items

    def translation(self) -> Translation:
        return Translation(self.records, self.rejected, self.newest - self.now)


class Dialect(NamedTuple):
    """One vocabulary. A module of this package that names one `DIALECT` is registered by being there.

    order: dialects are asked in ascending order; the more special a vocabulary, the lower.
    spans: reads the spans of one resource into the batch and returns those it does not know.
    metrics: reads the metrics of one scope of a resource into the batch; ignores those it does not know.
    """

    name: str
    order: int
    spans: Callable[[Resource, Iterable[Span], Batch], Iterable[Span]]
    metrics: Callable[[Resource, ScopeMetrics, Batch], None]
