"""One request and its answer, as an ASGI application sees them: scope, receive, send.

The answer's head waits for the first part of its body: they leave in one write, and what fails before that is still
answered with 500.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Protocol

log = logging.getLogger(__name__)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Wire(Protocol):
    """What an exchange needs of its connection."""

    def write(self, *parts: bytes) -> None: ...
    async def drain(self) -> None: ...  # until the peer has taken enough of what was written
    def taken(self) -> None: ...  # the application has the body that was here
    def answered(self) -> None: ...
    def close(self) -> None: ...


class Exchange:
    """keep_alive: whether another request may follow; waits: whether the client wants to hear 100 before the body."""

    def __init__(self, wire: Wire, scope: dict[str, Any], *, keep_alive: bool, waits: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.size = 0
        """Bytes of the request's body that the application has not taken yet."""
        self._wire = wire
        self._waits = waits
        self._parts: list[bytes] = []
        self._more = True
        self._news = asyncio.Event()
        self._over = False  # answered, or given up
        self._started = False
        self._head = b""  # of the answer, while it is kept back
        self._begun = False  # a part of the answer has left
        self._silent = False  # the answer has no body, whatever the application says
        self._chunked = False
        self._promised: int | None = None  # bytes of the answer that its content-length still has to see

    async def run(self, app: Any) -> None:
        """Let the application answer. Its mistakes are logged, and answered with 500."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:  # the server stops
            self.fail(503)
        except Exception:
            log.exception("%s %s failed", self.scope["method"], self.scope["path"])
            self.fail(500)
        else:
            if not self._over:
                log.error("%s %s ended before its answer", self.scope["method"], self.scope["path"])
                self.fail(500)

    def fail(self, status: int) -> None:
        """End here: with a plain answer when nothing has left yet, else so that the client sees it is cut off."""
        if self._over:
            return
        self.leave()
        if not self._begun:
            self._wire.write(plain(status, self.scope["method"]))
        self._wire.close()

    def leave(self) -> None:
        """Nobody listens any more."""
        self._over = True
        self._drop()
        self._news.set()

    def arrive(self, part: bytes) -> None:
        """A part of the request's body. Nobody wants it once the answer is complete."""
        self._waits = False
        if not self._over:
            self._parts.append(part)
            self.size += len(part)
            self._news.set()

    def complete(self) -> None:
        """The request's body has arrived."""
        self._more = self._waits = False
        self._news.set()

    async def receive(self) -> dict[str, Any]:
        """The next part of the body; after the last one, wait until the client leaves or has its answer."""
        if self._waits and not self._over:
            self._waits = False
            self._wire.write(_CONTINUE)
        await self._news.wait()
        if self._over:
            return {"type": "http.disconnect"}
        self._news.clear()
        body = b"".join(self._parts)
        self._drop()
        return {"type": "http.request", "body": body, "more_body": self._more}

    def _drop(self) -> None:
        if self._parts:
            self._parts, self.size = [], 0
            self._wire.taken()

    async def send(self, event: Any) -> None:
        """Raises RuntimeError for what makes no answer. After the end, nothing leaves."""
        await self._wire.drain()
        if self._over:
            return
        kind = event["type"]
        if kind == "http.response.start" and not self._started:
            self._start(event["status"], event.get("headers", ()))
        elif kind == "http.response.body" and self._started:
            self._body(event.get("body", b""), event.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI event {kind!r}")

    def _start(self, status: int, fields: Iterable[tuple[bytes, bytes]]) -> None:
        lines = [_status_line(status), _date(int(time.time()))]
        for field, value in fields:
            name = field.lower()
            if name == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
                continue
            if name == b"transfer-encoding":
                continue  # ours to choose
            if name == b"content-length":
                self._promised = int(value)
            lines.append(b"%b: %b\r\n" % (name, value))
        if self._waits:
            # The client may send its body or not: whether the next bytes are a request, nobody could tell.
            self.keep_alive = False
        self._silent = self.scope["method"] == "HEAD" or status in (204, 304)
        # HTTP/1.0 knows no chunks: there the end of the connection ends the answer.
        self._chunked = self._promised is None and not self._silent and self.scope["http_version"] != "1.0"
        if self._chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if not head.count(b"\n") == head.count(b"\r") == len(lines):
            raise RuntimeError("a header field of the answer has a line end in it")
        self._head = head + b"\r\n"
        self._started = True

    def _body(self, body: bytes, more: bool) -> None:
        parts: tuple[bytes, ...] = (body,)
        if self._silent:
            parts = ()
        elif self._promised is not None:
            self._promised -= len(body)
            if self._promised < 0 or (self._promised and not more):
                raise RuntimeError("the answer's body has another length than its header field says")
        elif self._chunked:
            parts = (b"%x\r\n" % len(body), body, b"\r\n") if body else ()
            if not more:
                parts = (*parts, b"0\r\n\r\n")
        self._begun = True
        self._wire.write(self._head, *parts)
        self._head = b""
        if not more:
            self.leave()
            self._wire.answered()


def plain(status: int, method: str = "") -> bytes:
    """A whole answer that says no more than its status, the last one of its connection."""
    said = HTTPStatus(status).phrase.encode()
    return b"%b%bcontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
        _status_line(status),
        _date(int(time.time())),
        len(said),
        b"" if method == "HEAD" else said,
    )


@functools.cache
def _status_line(status: int) -> bytes:
    """Raises ValueError for a number that is no HTTP status."""
    return b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())


@functools.lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    """The header field that HTTP wants in each answer, made once a second. second: Unix time."""
    return b"date: %b\r\n" % formatdate(second, usegmt=True).encode()
