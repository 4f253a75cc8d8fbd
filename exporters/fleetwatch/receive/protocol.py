"""uvicorn's HTTP connection with the bounds that it lacks.

uvicorn 0.54 lets a client that sends nothing, half a header, an endless header or half a body stay for ever, waits
for ever for a client that does not take its response, and answers 503 on all connections when one too many is open.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from fleetwatch.receive.limits import Limits


class State(ServerState):
    """What the connections of one server share."""

    def __init__(self) -> None:
        self._date_at = 0
        self._date_header: list[tuple[bytes, bytes]] = []
        super().__init__()
        self.idle: dict[GuardedProtocol, None] = {}
        """Connections without a request, the longest idle first."""
        self.left = asyncio.Event()
        """Set when a connection ends."""

    # HTTP wants a Date in each answer. uvicorn's own server wakes ten times a second for it.
    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        now = int(time.time())
        if now != self._date_at:
            self._date_at = now
            self._date_header = [(b"date", formatdate(now, usegmt=True).encode())]
        return self._date_header

    @default_headers.setter
    def default_headers(self, value: list[tuple[bytes, bytes]]) -> None:
        """The base class sets an empty list; there is nothing to keep."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    `_due` is when the peer must have done what we wait for, in loop time; None while it is our turn.
    One timer looks at it now and then, which costs less than a timer for each request.
    """

    def __init__(
        self,
        config: Config,
        state: State,
        limits: Limits,
        busy: Any,  # an ASGI application; its type is not the same in uvicorn's versions
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config=config, server_state=state, app_state={}, _loop=loop)
        self._state = state
        self._limits = limits
        self._busy = busy
        self._due: float | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head_bytes = 0
        self._chunk = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        if len(self._state.connections) > self._limits.max_connections:
            self._make_room()
        self._state.idle[self] = None
        self._await_peer(self._limits.timeout)
        self._look()

    def _make_room(self) -> None:
        """Close the longest idle connection: its client opens another when it has something to say.

        Where all are busy, this connection's first request is answered with 503.
        """
        oldest = next(iter(self._state.idle), None)
        if oldest is None:
            self.app = self._busy
            return
        del self._state.idle[oldest]
        self._state.connections.discard(oldest)
        oldest.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._state.idle.pop(self, None)
        self._state.left.set()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def data_received(self, data: bytes) -> None:
        self._chunk = len(data)
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.max_head_bytes:
                self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._await_peer(self._limits.timeout)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._state.idle.pop(self, None)
        # The application answers a body that is late. This is for those that do not want the body at all.
        self._await_peer(2 * self._limits.timeout)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        if self.cycle.response_complete:  # the application did not wait for the body
            self._rest()
        else:
            self._due = None
        self._head_bytes = -self._chunk  # the chunk in hand belongs to this message; data_received adds it again
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self._in_head and not self.pipeline:
            self._rest()

    def _rest(self) -> None:
        """Nothing is under way. uvicorn has its own timer for this, but any stray byte ends it."""
        self._state.idle[self] = None
        if not self.flow.write_paused:
            self._await_peer(self._limits.keep_alive)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_peer(self._limits.timeout)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self in self._state.idle:
            self._rest()
        else:
            self._due = None

    def _await_peer(self, seconds: float) -> None:
        self._due = self.loop.time() + seconds

    def _look(self) -> None:
        now = self.loop.time()
        if self._due is not None and now >= self._due:
            if not self.flow.read_paused or self.flow.write_paused:
                self._watch = None
                self.transport.abort()
                return
            # It is we who do not read: a pipelined request waits until the one before it is answered.
            self._await_peer(self._limits.timeout)
        # Whatever becomes due from now on is due in `timeout` seconds at the earliest.
        soon = now + self._limits.timeout
        self._watch = self.loop.call_at(soon if self._due is None else min(self._due, soon), self._look)
