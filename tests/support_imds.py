"""EC2's instance metadata service, version 2, on loopback.

Protocol and shapes: the EC2 user guide ("Use the Instance Metadata Service", "Spot Instance interruption notices",
"EC2 instance rebalance recommendations") and the answers of AWS' own amazon-ec2-metadata-mock: its docs/usage.md for
paths and notices, test/e2e/golden/401_response.golden for the page that a missing token gets.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

UNAUTHORIZED = b"""<?xml version="1.0" encoding="UTF-8"?>
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>401 - Unauthorized</title></head></html>
"""
ROOT = "/latest/meta-data/"
ACTION = "spot/instance-action"
REBALANCE = "events/recommendations/rebalance"


class Imds(ThreadingHTTPServer):
    """Tokens are required and end `ttl` seconds after they were made, by `now`, which a test moves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.now = 1.8e9
        self.ttl = 21600
        self.tokens: dict[str, float] = {}
        self.values = {
            "instance-type": "p5.48xlarge",
            "placement/availability-zone-id": "use1-az4",
            "placement/region": "us-east-1",
            "instance-life-cycle": "spot",
        }
        self.asked: list[str] = []
        self.connections = 0
        self.dumb: set[str] = set()
        """Methods and paths that get no answer: PUT, where the answer's hop limit ends before a container."""
        self.odd: dict[str, tuple[int, bytes]] = {}
        """Path -> status and body that come instead of the real ones."""
        self.end_connections = False
        """Whether each connection is ended, without a word, after its answer."""
        self.released = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def clock(self) -> float:
        return self.now

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, bytes, dict[str, str]]:
        if path in self.odd:
            return *self.odd[path], {}
        if path == "/latest/api/token":
            ttl = headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if method != "PUT" or "X-Forwarded-For" in headers:
                return 405 if method != "PUT" else 403, b"", {}
            if not ttl.isdigit() or not 1 <= int(ttl) <= 21600:
                return 400, b"", {}
            granted = min(self.ttl, int(ttl))
            token = f"AQAEAF{len(self.tokens):04d}tokenOfALoopbackService=="
            self.tokens[token] = self.now + granted
            return 200, token.encode(), {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": str(granted)}
        if self.tokens.get(headers.get("X-aws-ec2-metadata-token", ""), 0) <= self.now:
            return 401, UNAUTHORIZED, {}
        value = self.values.get(path.removeprefix(ROOT))
        return (404, b"Not Found", {}) if value is None else (200, value.encode(), {})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else head and body of an answer come 40 ms apart
    server: Imds

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _respond(self) -> None:
        imds = self.server
        imds.asked.append(f"{self.command} {self.path}")
        if {self.command, self.path} & imds.dumb:
            imds.released.wait(30)
            self.close_connection = True
            return
        status, body, headers = imds.answer(self.command, self.path, self.headers)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        if 300 <= status < 400:
            self.send_header("Location", f"{imds.address}/elsewhere")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = imds.end_connections

    do_GET = do_PUT = _respond  # noqa: N815 - names of http.server

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def imds() -> Iterator[Imds]:
    with Imds() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join(5)
