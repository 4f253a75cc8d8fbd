"""What a dialect is, and what it fills while it reads a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.parts.resource import Resource
from fleetwatch.records.agents import AgentBeat, AgentRun, Evaluation, Step, ToolCall
from fleetwatch.records.hosts import HostReport
from fleetwatch.records.lineage import LineageEvent
from fleetwatch.records.llm import LlmCall, UsagePoint
from fleetwatch.records.pipelines import PhaseReport, RunReport

Record = (
    LlmCall
    | UsagePoint
    | AgentRun
    | ToolCall
    | Step
    | Evaluation
    | AgentBeat
    | HostReport
    | RunReport
    | PhaseReport
    | LineageEvent
)  # fmt: skip - a kind a line

EARLIEST = 1_577_836_800_000_000_000
"""2020-01-01, Unix ns: before it no sender of this kind existed; such a time is a zero, seconds or milliseconds."""
MAX_LEAD = 600 * 10**9
"""Nanoseconds that a time may lead this machine's clock: NTP keeps hosts within seconds and laptops drift by minutes;
beyond that the money would be booked on the wrong day."""


class Translation(NamedTuple):
    """What a request held: its records, the items refused by reason, and the lead of the newest item in ns.

    unknown_versions: dialect -> items of a version of the sender that the dialect was not tried with.
    """

    records: list[Record]
    rejected: dict[str, int]
    skew: int
    unknown_versions: dict[str, int] = {}  # noqa: RUF012 - nobody changes it


_NO_SCOPE = InstrumentationScope()


class Batch:
    """What the dialects found in one request so far."""

    def __init__(self, now: int) -> None:
        self.records: list[Record] = []
        self.rejected: dict[str, int] = {}
        self.unknown_versions: dict[str, int] = {}
        self.scope = _NO_SCOPE
        """The instrumentation scope that is being read."""
        self.schema_url = ""
        """Of that scope: which version of the conventions it follows; may be empty."""
        self.family = ""
        """Whose instrumentation that scope is: its name, or one for all scopes of a sender that has several."""
        self.tree: dict[bytes, tuple[bytes, int]] = {}
        """Spans of pipelines that do not say what they lie in: their ids -> (ids of the parent, place of their phase
        among the records; -1 for what is none)."""
        self.newest = now
        """Latest time of any item, also of those refused for it; Unix ns."""
        self.now = now

    def enter(self, scope: InstrumentationScope, schema_url: str) -> None:
        """The scope that is read from now on."""
        self.scope, self.schema_url, self.family = scope, schema_url, scope.name

    def reject(self, reason: str, items: int = 1) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + items

    def unknown_version(self, dialect: str, items: int = 1) -> None:
        """Items of a sender's version that the dialect was not tried with; they are read as well as it can."""
        self.unknown_versions[dialect] = self.unknown_versions.get(dialect, 0) + items

    def translation(self) -> Translation:
        return Translation(self.records, self.rejected, self.newest - self.now, self.unknown_versions)


def _no_spans(resource: Resource, spans: Iterable[Span], batch: Batch) -> Iterable[Span]:  # noqa: ARG001 - a Dialect's shape
    return spans


def _no_metrics(resource: Resource, scope: ScopeMetrics, batch: Batch) -> bool:  # noqa: ARG001 - a Dialect's shape
    return False


def _no_logs(resource: Resource, scope: ScopeLogs, batch: Batch) -> bool:  # noqa: ARG001 - a Dialect's shape
    return False


def _no_end(batch: Batch) -> None:
    pass


class Dialect(NamedTuple):
    """One vocabulary. A module of this package that names one `DIALECT` is registered by being there.

    order: dialects are asked in ascending order; the more special a vocabulary, the lower.
    spans: reads the spans of one resource and scope into the batch and returns those it does not know.
    metrics, logs: read one scope of a resource into the batch, and tell whether nobody else may read that scope: a
    sender that tells the same calls in two vocabularies is read in one.
    finish: what is left to do when all spans of a request are read.
    """

    name: str
    order: int
    spans: Callable[[Resource, Iterable[Span], Batch], Iterable[Span]] = _no_spans
    metrics: Callable[[Resource, ScopeMetrics, Batch], bool] = _no_metrics
    logs: Callable[[Resource, ScopeLogs, Batch], bool] = _no_logs
    finish: Callable[[Batch], None] = _no_end
