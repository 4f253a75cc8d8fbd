"""The exporter's intake: bytes of a request -> records -> committed, with what was left out."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from fleetwatch.dialects import Record, Translation, translate_logs, translate_metrics, translate_traces
from fleetwatch.receive import openlineage
from fleetwatch.receive.body import from_json, from_protobuf
from fleetwatch.receive.door import Door, Observer, SignalName
from fleetwatch.receive.errors import Broken, Refusal, Throttled, Unavailable
from fleetwatch.receive.limits import Limits
from fleetwatch.receive.split import WHOLE, split
from fleetwatch.receive.token import TokenFile
from fleetwatch.receive.unpack import decompress

log = logging.getLogger(__name__)

Sink = Callable[[list[Record]], Awaitable[None]]
"""Resolves when the records are on disk. Raises Throttled or Unavailable, which ask the sender to come again."""
Translate = Callable[[Any], Translation]


class Signal(NamedTuple):
    name: SignalName
    service: str
    """Full name of the gRPC service; its method is Export."""
    request: type[Message]
    response: Callable[..., Message]
    rejected_field: str


SIGNALS: Mapping[SignalName, Signal] = {
    "traces": Signal(
        "traces",
        "opentelemetry.proto.collector.trace.v1.TraceService",
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
        "rejected_spans",
    ),
    "metrics": Signal(
        "metrics",
        "opentelemetry.proto.collector.metrics.v1.MetricsService",
        ExportMetricsServiceRequest,
        ExportMetricsServiceResponse,
        "rejected_data_points",
    ),
    "logs": Signal(
        "logs",
        "opentelemetry.proto.collector.logs.v1.LogsService",
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
        "rejected_log_records",
    ),
}

TRANSLATORS: Mapping[SignalName, Translate] = {
    "traces": translate_traces,
    "metrics": translate_metrics,
    "logs": translate_logs,
}


class Intake(Door):
    """Decodes requests, translates them into records and hands those to the sink."""

    def __init__(
        self,
        sink: Sink,
        observer: Observer,
        limits: Limits = Limits(),  # noqa: B008 - a tuple cannot change
        token: TokenFile | None = None,
        translators: Mapping[SignalName, Translate] = TRANSLATORS,
    ) -> None:
        super().__init__(observer, limits, token)
        self._sink = sink
        self._translators = translators

    async def take(self, signal: SignalName, body: bytes, encoding: bytes, *, json: bool = False) -> bytes:
        """The response to a request that is now on disk, as far as it was good. Raises Refusal."""
        response = await self._take(SIGNALS[signal], body, encoding, json)
        return MessageToJson(response, indent=None).encode() if json else response.SerializeToString()

    async def take_lineage(self, body: bytes, encoding: bytes) -> bytes:
        """The answer to events that are now on disk, as far as they were good. Raises Refusal."""
        found = openlineage.read(decompress(body, encoding, self.limits.max_decompressed_bytes))
        if found.translation.records:
            try:
                await self._commit(found.translation.records)
            except Throttled as error:
                # OpenLineage's clients come again after 503, and drop the event after 429.
                raise Unavailable(error.retry_after_s or 1.0, str(error)) from None
        self._observe(openlineage.SIGNAL, found.translation)
        return found.answer()

    async def _take(self, signal: Signal, body: bytes, encoding: bytes, json: bool) -> Message:
        plain = decompress(body, encoding, self.limits.max_decompressed_bytes)
        if json:
            found = self._translated(signal, from_json(plain, signal.request))
        elif len(plain) <= WHOLE:
            found = self._translated(signal, from_protobuf(plain, signal.request))
        else:
            found = await self._in_parts(signal, plain)
        del plain  # it may be large, and the commit may wait
        if found.records:
            await self._commit(found.records)
        self._observe(signal.name, found)
        return _partial(signal, found.rejected) if found.rejected else signal.response()

    def _observe(self, signal: str, found: Translation) -> None:
        if found.skew:
            self.observer.skew(found.skew)
        for dialect, items in found.unknown_versions.items():
            self.observer.unknown_version(dialect, items)
        for reason, number in found.rejected.items():
            self.observer.rejected(signal, reason, number)

    def _translated(self, signal: Signal, request: Message) -> Translation:
        try:
            return self._translators[signal.name](request)
        except Exception as error:
            log.exception("a request of %s could not be translated", signal.name)
            raise Broken("the request could not be translated") from error

    async def _in_parts(self, signal: Signal, body: bytes) -> Translation:
        records: list[Record] = []
        rejected: Counter[str] = Counter()
        unknown: Counter[str] = Counter()
        skew = 0
        for part in split(body):
            one = self._translated(signal, from_protobuf(part, signal.request))
            records += one.records
            rejected.update(one.rejected)
            unknown.update(one.unknown_versions)
            skew = max(skew, one.skew)
            await asyncio.sleep(0)  # the others' turn
        return Translation(records, rejected, skew, unknown)

    async def _commit(self, records: list[Record]) -> None:
        try:
            await self._sink(records)
        except Refusal:
            raise
        except Exception as error:
            log.exception("records could not be committed")
            raise Unavailable(5.0) from error


def _partial(signal: Signal, rejected: Mapping[str, int]) -> Message:
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(rejected.items()))
    return signal.response(
        partial_success={signal.rejected_field: sum(rejected.values()), "error_message": f"not accepted: {reasons}"}
    )
