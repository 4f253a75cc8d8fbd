"""Real programs of the stack for tests: where they are, how they start, and an OTLP receiver that remembers."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.stack.programs import locate

OtlpRequest = ExportTraceServiceRequest | ExportMetricsServiceRequest | ExportLogsServiceRequest
MESSAGES: dict[str, type[OtlpRequest]] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


def program(name: str) -> str:
    """Path of a real program in FLEETWATCH_TOOLS or on PATH; skips the test by name without it."""
    path = locate(name, os.environ)
    if path is None:
        pytest.skip(f"{name} is not on this machine")
    return path


def releases(*names: str) -> Iterator[tuple[str, Path]]:
    """(version, path) of every release here of a program with one of these names, the first found of each version.

    Looks in FLEETWATCH_TOOLS, on PATH and among the Debian packages that scripts/test unpacked.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleetwatch" / "debian" / "usr" / "bin"
    tools = os.environ.get("FLEETWATCH_TOOLS")
    folders = [f"{tools}/bin"] if tools else []
    seen = set()
    for folder in [*folders, *os.environ.get("PATH", os.defpath).split(os.pathsep), str(cache)]:
        path = next(filter(None, (shutil.which(name, path=folder) for name in names)), None)
        if path is None:
            continue
        printed = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
        version = re.search(r"version (\S+)", printed.stdout + printed.stderr)
        if version and version[1] not in seen:
            seen.add(version[1])
            yield version[1], Path(path)


def get(url: str, timeout: float = 2.0) -> tuple[int, str]:
    """Status and body of a GET on loopback."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def post(url: str, body: bytes, timeout: float = 10.0) -> int:
    """Status of a POST of protobuf."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/x-protobuf"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


class OtlpSink:
    """An OTLP/HTTP receiver on a given port that keeps what comes.

    The first `refuse` requests are answered 503; `answer` is the status of the others.
    """

    def __init__(self, port: int = 0, refuse: int = 0) -> None:
        self.requests: list[OtlpRequest] = []
        self.refuse = refuse
        self.refused = 0
        self.answer = 200
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if sink.refused < sink.refuse:
                    sink.refused += 1
                    self._answer(503)
                    return
                if sink.answer != 200:
                    self._answer(sink.answer)
                    return
                message = MESSAGES[self.path]()
                message.ParseFromString(body)
                sink.requests.append(message)
                self._answer(200)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[str]:
        """Span ids in the order of arrival."""
        return [
            span.span_id.hex()
            for request in self.requests
            if isinstance(request, ExportTraceServiceRequest)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def otlp_sink(port: int = 0, refuse: int = 0) -> Iterator[OtlpSink]:
    sink = OtlpSink(port, refuse)
    try:
        yield sink
    finally:
        sink.close()


@contextmanager
def running(command: list[str], log: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The program until the block ends; its output goes to `log`."""
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(env or {})})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
