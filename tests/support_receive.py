"""A running receiver on loopback and the bodies to send to it.

with Receiver() as receiver:
    answer = receiver.post("/v1/traces", traces("a", "b").SerializeToString())
    assert receiver.records == ["a", "b"]
"""

from __future__ import annotations

import asyncio
import functools
import http.client
import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.dialects import Record, Translation
from fleetwatch.receive import HttpServer, Limits, Tls, TokenFile, serve_http
from fleetwatch.receive.grpc import GrpcServer, serve_grpc
from fleetwatch.receive.otlp import Intake

T = TypeVar("T")
PROTOBUF = "application/x-protobuf"
JSON = "application/json"


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """One event loop in one thread for all tests: gRPC's asyncio part wants no more than that."""
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True, name="receiver").start()
    return loop


def in_loop(work: Coroutine[Any, Any, T], timeout: float = 30.0) -> T:
    return asyncio.run_coroutine_threadsafe(work, _loop()).result(timeout)


def traces(*names: str, trace_id: bytes = b"t" * 16) -> ExportTraceServiceRequest:
    """A request with one span for each name. A name that starts with "bad" has no id."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number, name in enumerate(names, 1):
        span = spans.add(name=name, start_time_unix_nano=1_700_000_000 * 10**9, kind=3)
        if not name.startswith("bad"):
            span.trace_id = trace_id
            span.span_id = number.to_bytes(8, "big")
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = number
    return request


def span_names(request: Any) -> Translation:
    """Translates a span to its name: these tests are about the way of a request, not about its meaning."""
    names: list[Any] = []
    rejected: dict[str, int] = {}
    for group in getattr(request, "resource_spans", ()):
        for scope in group.scope_spans:
            for span in scope.spans:
                if span.trace_id:
                    names.append(span.name)
                else:
                    rejected["no_id"] = rejected.get("no_id", 0) + 1
    return Translation(names, rejected, 0)


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """Both servers with a sink that keeps the records, or raises what `failures` says, one for each request.

    `requests` lists (signal, transport, status); `seen` counts the requests that reached the sink.
    """

    def __init__(
        self,
        limits: Limits = Limits(),  # noqa: B008 - a tuple cannot change
        token: TokenFile | None = None,
        tls: Tls | None = None,
        translate: Any = span_names,
    ) -> None:
        self.records: list[Any] = []
        self.failures: list[Exception] = []
        self.seen = 0
        self.requests: list[tuple[str, str, str]] = []
        self.rejections: list[tuple[str, str, int]] = []
        self.skews: list[int] = []
        self.unknown_versions: list[tuple[str, int]] = []
        self.gate: asyncio.Event | None = None
        self._tls = tls
        self.intake = Intake(self._sink, self, limits, token, dict.fromkeys(("traces", "metrics", "logs"), translate))
        self.http: HttpServer
        self.grpc: GrpcServer

    def request(self, signal: str, transport: str, status: str) -> None:
        self.requests.append((signal, transport, status))

    def rejected(self, signal: str, reason: str, n: int) -> None:
        self.rejections.append((signal, reason, n))

    def skew(self, ns: int) -> None:
        self.skews.append(ns)

    def unknown_version(self, dialect: str, n: int) -> None:
        self.unknown_versions.append((dialect, n))

    async def _sink(self, records: list[Record]) -> None:
        self.seen += 1
        if self.failures:
            raise self.failures.pop(0)
        if self.gate is not None:
            await self.gate.wait()
        self.records += records

    async def _start(self) -> None:
        self.http = await serve_http(self.intake, "127.0.0.1:0", self._tls)
        self.grpc = await serve_grpc(self.intake, "127.0.0.1:0", self._tls)

    async def stop(self, grace: float = 2.0) -> None:
        await asyncio.gather(self.http.stop(grace), self.grpc.stop(grace))

    def __enter__(self) -> Self:
        in_loop(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        in_loop(self.stop(0.1))

    @property
    def port(self) -> int:
        return int(self.http.address.rpartition(":")[2])

    def connect(self, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        if context is not None:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def post(
        self,
        path: str,
        body: bytes,
        kind: str = PROTOBUF,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
    ) -> Answer:
        connection = self.connect()
        try:
            return ask(connection, path, body, kind, headers, method=method)
        finally:
            connection.close()


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    body: bytes,
    kind: str = PROTOBUF,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
) -> Answer:
    connection.request(method, path, body, {"content-type": kind, **(headers or {})})
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


class ReceiverProcess:
    """The same in a process of its own, for what is measured of a process."""

    def __init__(self) -> None:
        path = os.pathsep.join(sys.path)
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.http, self.grpc = (address.rpartition(":")[0::2] for address in self._process.stdout.readline().split())

    def peak_mib(self) -> int:
        """Largest resident size since the start, MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) >> 10

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


def _serve() -> None:
    """Serve until the standard input ends."""
    with Receiver() as receiver:
        print(receiver.http.address, receiver.grpc.address, flush=True)  # noqa: T201 - the parent reads it
        sys.stdin.read()


if __name__ == "__main__":
    _serve()
