"""A sink on loopback that answers each request with the bytes that a test gives it, or misbehaves as told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from fleetwatch.send.client import Answer, Client

SECRET = "Bearer canary-0123456789"
Talk = Callable[[socket.socket], None]
"""What the sink does with a connection after it has read a request."""


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer; `content_type` in headers is `content-type`."""
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Whatever\r\ncontent-length: {len(body)}\r\n{fields}\r\n".encode() + body


class Sink:
    """`requests` are (head, body); `connections` counts those that were made.

    answers: sent one after the other, the last one again and again; a callable gets the connection instead.
    """

    def __init__(self, *answers: bytes | Talk, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self._answers = list(answers) or [answer()]
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Close all connections, as a sink that restarts."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._listener.accept()
                self.connections += 1
                self._open.append(one)
                threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        # Whoever hangs up on us, or is hung up on, is what the tests are about.
        with contextlib.suppress(OSError, ValueError):
            if self._tls is not None:
                one = self._tls.wrap_socket(one, server_side=True)
                self._open.append(one)
            while (request := _read(one)) is not None:
                self.requests.append(request)
                said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                if isinstance(said, bytes):
                    one.sendall(said)
                else:
                    said(one)


def _read(one: socket.socket) -> tuple[bytes, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = one.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    size = next(
        int(line.partition(b":")[2]) for line in head.splitlines() if line.lower().startswith(b"content-length")
    )
    while len(body) < size:
        more = one.recv(65536)
        if not more:
            return None
        body += more
    return head, body


def post(sink: Sink, timeout: float = 5.0, body: bytes = b"body") -> Answer:
    """A client's answer; it comes in time and repeats no secret."""
    client = Client(sink.url, {"authorization": SECRET}, timeout=timeout)
    started = time.monotonic()
    found = client.post("traces", body)
    client.close()
    assert time.monotonic() - started < timeout + 1
    assert "canary" not in found.why
    assert "\n" not in found.why
    return found
