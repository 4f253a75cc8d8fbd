"""The real sidecar as a process of its own, and sinks that behave as a test wants.

with Sidecar(tmp_path, forward=house.http) as sidecar:
    post(f"http://{sidecar.http}/v1/traces", body)
    sidecar.wait_empty()
"""

from __future__ import annotations

import gzip
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from support import free_port, wait_for
from support_program import Program


class Sidecar(Program):
    """One sidecar: its addresses and its data stay the same over restarts.

    forward: HOST:PORT of the sink; settings, receive: more of the sections `sidecar` and `receive`; options: of the
    interpreter; http: where it listens for applications.
    """

    def __init__(
        self,
        folder: Path,
        forward: str,
        settings: Mapping[str, Any] | None = None,
        *,
        options: tuple[str, ...] = (),
        http: str = "",
        receive: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__("sidecar", folder, options)
        self.data = folder / "data"
        self.http = http or f"127.0.0.1:{free_port()}"
        ours = {
            "data_dir": str(self.data),
            "host": {"name": "box"},
            "web": {"listen": self.web},
            "receive": {"http": {"listen": self.http}, **(receive or {})},
            "sidecar": {"forward": f"http://{forward}" if forward else "", "interval": 1, **(settings or {})},
        }
        self.configure(ours)

    def stop(self) -> float:
        """End it as a service manager does; the seconds that it took."""
        started = time.monotonic()
        assert self._end(signal.SIGTERM) == 0, self.log.read_text()[-3000:]
        return time.monotonic() - started

    def account(self, signal_name: str) -> tuple[float, float, float]:
        """Items of a signal: accepted, forwarded, dropped."""
        accepted, forwarded, dropped = (
            self.value(f"fleetwatch_spool_{what}_total", signal=signal_name)
            for what in ("accepted", "forwarded", "dropped")
        )
        return accepted, forwarded, dropped

    def wait_empty(self, timeout: float = 60) -> None:
        """Until the sink has all that was accepted."""
        wait_for(
            lambda: self.value("fleetwatch_spool_size_bytes") == 0, timeout, f"the spool to be empty; {self.log}", 0.1
        )


class Request(NamedTuple):
    """body: decompressed."""

    path: str
    kind: str
    encoding: str
    body: bytes
    time: float


class Sink:
    """Keeps what it accepts in `requests`.

    answers: (status, header fields, body) of the next requests, in turn; then all are accepted. When `refuses`
    is found in a body, it is answered with 400. Nothing takes the paths in `absent`.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.refuses = b""
        self.absent: set[str] = set()
        self.seen = 0
        self.address = ""

    def bodies(self, path: str = "/v1/traces") -> list[bytes]:
        return [request.body for request in self.requests if request.path == path]

    def answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        self.seen += 1
        if self.answers:
            return self.answers.pop(0)
        if request.path in self.absent:
            return 404, {}, b"404 page not found"
        if self.refuses and self.refuses in request.body:
            return 400, {}, b"not this"
        self.requests.append(request)
        return 200, {"content-type": "application/x-protobuf"}, b""


@contextmanager
def running_sink() -> Iterator[Sink]:
    """A sink on loopback until the block ends."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            encoding = self.headers.get("content-encoding", "")
            plain = gzip.decompress(body) if encoding == "gzip" else body
            request = Request(self.path, self.headers["content-type"], encoding, plain, time.monotonic())
            status, fields, answer = sink.answer(request)
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        sink.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def hanging_sink(port: int = 0) -> Iterator[str]:
    """HOST:PORT of a sink that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", port)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"
