"""Vocabularies: decoded OTLP requests in, records out.

One file per vocabulary. A module of this package that names a `DIALECT` is registered by being in the folder. What they
are made of lies in `parts/`, beside them only what is OpenTelemetry's own vocabulary in several files.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Iterable

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.mapped_spans import Mappings, SpanMapping
from fleetwatch.dialects.parts.dialect import Batch, Dialect, Record, Translation
from fleetwatch.dialects.parts.resource import resource_of
from fleetwatch.dialects.parts.wire import decode

__all__ = [
    "Mappings",
    "Record",
    "SpanMapping",
    "Translation",
    "decode",
    "dialects",
    "translate_logs",
    "translate_metrics",
    "translate_traces",
]


def translate_traces(
    request: ExportTraceServiceRequest, now: int | None = None, *, mappings: Mappings | None = None
) -> Translation:
    """Records of the spans that a dialect knows; other spans are accepted and leave nothing. now: Unix ns.

    mappings: what else is a run or phase of a pipeline, whether or not a dialect knows it.
    """
    batch = Batch(time.time_ns() if now is None else now)
    for group in request.resource_spans:
        resource = resource_of(group.resource)
        for scope in group.scope_spans:
            batch.enter(scope.scope, scope.schema_url)
            mapped = mappings.read(resource, scope.spans, batch) if mappings is not None else frozenset()
            rest: Iterable[Span] = scope.spans
            for read in _SPANS:
                rest = read(resource, rest, batch)
            if mapped:
                Mappings.keep_whole(rest, mapped, batch)
    for finish in _FINISH:
        finish(batch)
    return batch.translation()


def translate_metrics(request: ExportMetricsServiceRequest, now: int | None = None) -> Translation:
    """Records of the data points that a dialect knows; others are accepted and leave nothing. now: Unix ns."""
    batch = Batch(time.time_ns() if now is None else now)
    for group in request.resource_metrics:
        resource = resource_of(group.resource)
        for scope in group.scope_metrics:
            batch.enter(scope.scope, scope.schema_url)
            for read in _METRICS:
                if read(resource, scope, batch):
                    break
    return batch.translation()


def translate_logs(request: ExportLogsServiceRequest, now: int | None = None) -> Translation:
    """Records of the events that a dialect knows; others are accepted and leave nothing. now: Unix ns."""
    batch = Batch(time.time_ns() if now is None else now)
    for group in request.resource_logs:
        resource = resource_of(group.resource)
        for scope in group.scope_logs:
            batch.enter(scope.scope, scope.schema_url)
            for read in _LOGS:
                if read(resource, scope, batch):
                    break
    return batch.translation()


def dialects() -> tuple[Dialect, ...]:
    """The registered dialects, in the order in which they are asked."""
    return _DIALECTS


def _registered() -> tuple[Dialect, ...]:
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    found = [dialect for module in modules if isinstance(dialect := getattr(module, "DIALECT", None), Dialect)]
    return tuple(sorted(found, key=lambda dialect: (dialect.order, dialect.name)))


_DIALECTS = _registered()
_SPANS = tuple(dialect.spans for dialect in _DIALECTS)
_METRICS = tuple(dialect.metrics for dialect in _DIALECTS)
_LOGS = tuple(dialect.logs for dialect in _DIALECTS)
_FINISH = tuple(dialect.finish for dialect in _DIALECTS)
