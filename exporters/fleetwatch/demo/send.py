"""Sends spans through the SDK's OTLP exporters until they are acknowledged, at the trace's pace."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import grpc
import requests
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from fleetwatch.demo.calls import Call
from fleetwatch.demo.spans import SpanMaker

Protocol_ = Literal["http", "grpc"]
DEFAULT_ENDPOINTS: dict[str, str] = {"http": "http://127.0.0.1:4318", "grpc": "http://127.0.0.1:4317"}
MOST_SPANS = 500
"""Spans of one request, about 300 kB: what busy SDKs send, and far below every receiver's limit."""
_LONGEST_PAUSE = 5.0
_RETRYABLE_HTTP = frozenset({408, 429, 500, 502, 503, 504})
_HOPELESS_GRPC = frozenset(
    {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)  # fmt: skip - one list


class RefusedError(Exception):
    """The receiver says that trying again is no use; the text is its answer."""


class Counts(NamedTuple):
    """Spans. acknowledged: accepted by the receiver; rejected: that it took but did not want (partial success)."""

    sent: int
    acknowledged: int
    rejected: int
    retries: int


class Watcher(Protocol):
    """Gets told how it goes."""

    def acknowledged(self, spans: int) -> None: ...
    def waiting(self, reason: str) -> None: ...


class Sender:
    """One exporter of the SDK, with what it keeps to itself: the answer's status and partial success."""

    def __init__(self, protocol: Protocol_, endpoint: str, headers: dict[str, str]) -> None:
        self.rejected = 0
        self.retries = 0
        self._problem = ""
        self._hopeless = False
        self._wake = threading.Event()
        self._exporter = self._make(protocol, endpoint, headers)
        self._log = logging.getLogger("opentelemetry.exporter.otlp.proto")
        self._log.propagate = False  # the watcher says it once; the SDK says it at every try
        self._handler = _Ears(self)
        self._log.addHandler(self._handler)

    def _make(self, protocol: Protocol_, endpoint: str, headers: dict[str, str]) -> SpanExporter:
        if protocol == "grpc":
            return GrpcExporter(endpoint=endpoint, insecure=not endpoint.startswith("https:"), headers=headers)
        session = requests.Session()
        session.hooks["response"].append(self._answered)
        return HttpExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", headers=headers, session=session)

    def send(self, spans: Sequence[ReadableSpan], watcher: Watcher) -> None:
        """Returns when the spans are acknowledged. Raises RefusedError."""
        pause = 0.25
        while True:
            self._problem, self._hopeless = "", False
            if self._exporter.export(spans) is SpanExportResult.SUCCESS:
                watcher.acknowledged(len(spans))
                return
            if self._hopeless:
                raise RefusedError(self._problem)
            self.retries += 1
            watcher.waiting(self._problem or "the receiver does not answer")
            self._wake.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def heard(self, record: logging.LogRecord) -> None:
        """A message of the SDK's exporter: the only place where it tells why it failed."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        self._hopeless |= any(
            argument in _HOPELESS_GRPC for argument in arguments if isinstance(argument, grpc.StatusCode)
        )
        self._problem = record.getMessage()

    def _answered(self, response: requests.Response, **_: object) -> None:
        if response.ok:
            answer = ExportTraceServiceResponse()
            answer.ParseFromString(response.content)
            self.rejected += answer.partial_success.rejected_spans
        elif response.status_code not in _RETRYABLE_HTTP:
            self._hopeless = True

    def close(self) -> None:
        self._log.removeHandler(self._handler)
        self._log.propagate = True
        self._exporter.shutdown()


class _Ears(logging.Handler):
    def __init__(self, sender: Sender) -> None:
        super().__init__(logging.WARNING)
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        self._sender.heard(record)


def replay(
    calls: Sequence[Call],
    *,
    maker: SpanMaker,
    sender: Sender,
    watcher: Watcher,
    speed: float,
    pause: Callable[[float], None] = time.sleep,
) -> Counts:
    """Send every call when the trace's time, divided by `speed`, has come. Raises RefusedError."""
    start = time.monotonic()
    for due in _batches(calls, lambda: (time.monotonic() - start) * speed, lambda seconds: pause(seconds / speed)):
        sender.send(maker.spans(due), watcher)
    return Counts(len(calls), len(calls) - sender.rejected, sender.rejected, sender.retries)


def _batches(
    calls: Sequence[Call], trace_time: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[Sequence[Call]]:
    """Calls that are due, at most MOST_SPANS at a time. Trace seconds throughout."""
    place = 0
    while place < len(calls):
        now = trace_time()
        if calls[place].at > now:
            sleep(calls[place].at - now)
            continue
        end = place + 1
        while end < len(calls) and end - place < MOST_SPANS and calls[end].at <= now:
            end += 1
        yield calls[place:end]
        place = end
