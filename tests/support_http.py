"""Raw HTTP: requests to write, answers to expect, and the answers of a small ASGI application."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from fleetwatch.receive import HttpServer, Tls

OK = {"type": "http.response.start", "status": 200, "headers": []}
END = {"type": "http.response.body", "body": b""}


def part(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def answer(send: Any, body: bytes) -> None:
    await send({**OK, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({**END, "body": body})


def port_of(server: HttpServer) -> int:
    return int(server.address.rpartition(":")[2])


def undated(said: bytes) -> bytes:
    """Without what differs from second to second."""
    return re.sub(rb"date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", b"", said)


def request(
    line: str = "GET /", *fields: str, body: bytes = b"", close: bool = True, version: str = "HTTP/1.1"
) -> bytes:
    more = ["connection: close"] if close else []
    return "\r\n".join([f"{line} {version}", "host: x", *fields, *more, "", ""]).encode() + body


def plain(status: str, *, body: bool = True) -> bytes:
    said = status.partition(" ")[2]
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {len(said)}\r\n"
        f"connection: close\r\n\r\n{said if body else ''}"
    ).encode()


def self_signed(folder: Path) -> Tls:
    """A certificate for 127.0.0.1 that signs itself."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return Tls(folder / "cert.pem", folder / "key.pem")
