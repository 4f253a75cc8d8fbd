"""One HTTP/1 connection: its requests are answered one after the other, with bounds on all that a peer can do."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

from fleetwatch.receive.exchange import Exchange, plain
from fleetwatch.receive.limits import Limits
from fleetwatch.receive.reader import Reader, Refused

_SLICE = 4096
"""Bytes read at once: of a thousand small requests in one packet, few are taken apart before the first is answered."""
_BACKLOG = 1 << 16
"""Bytes of a body that may wait for the application before the client must."""


class State:
    """What the connections of one server share."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        """Requests under way."""
        self.idle: dict[Connection, None] = {}
        """Connections without a request, the longest idle first."""
        self.left = asyncio.Event()
        """Set when a connection ends."""


class Connection(asyncio.Protocol):
    """app, busy: ASGI applications; `busy` answers where no connection can be spared.

    `_due` is when the peer must have done what we wait for, in loop time; None while it is our turn. One timer looks
    at it now and then, which costs less than a timer for each request.
    """

    _transport: asyncio.Transport
    _scope: dict[str, Any]  # what is the same in all requests

    def __init__(self, app: Any, busy: Any, limits: Limits, state: State, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._busy = busy
        self._limits = limits
        self._state = state
        self._loop = loop
        self._reader = Reader(self, limits.max_head_bytes)
        self._in_head = True  # a new connection owes us one
        self._arriving: Exchange | None = None  # its body
        self._answering: Exchange | None = None
        self._queue: deque[Exchange] = deque()  # requests that wait until those before are answered
        self._late = b""  # what came after those, not looked at yet
        self._refusal = 0  # status of the last answer, when all others are given
        self._deaf = False  # nothing more is taken
        self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._due: float | None = None
        self._watch: asyncio.TimerHandle | None = None

    # The transport speaks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._scope = {
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
            "server": (transport.get_extra_info("sockname") or ("", 0))[:2],
            "client": (transport.get_extra_info("peername") or ("", 0))[:2],
        }
        self._state.connections.add(self)
        if len(self._state.connections) > self._limits.max_connections:
            self._make_room()
        self._turn()
        self._look()

    def _make_room(self) -> None:
        """Close the longest idle connection: its client opens another when it has something to say.

        Where all are busy, this connection's first request is answered with 503.
        """
        oldest = next(iter(self._state.idle), None)
        if oldest is None:
            self._app = self._busy
            return
        del self._state.idle[oldest]
        self._state.connections.discard(oldest)
        oldest.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._deaf = True
        self._state.connections.discard(self)
        self._state.idle.pop(self, None)
        self._state.left.set()
        if self._watch is not None:
            self._watch.cancel()
        self._writable.set()
        self._queue.clear()
        if self._answering is not None:
            self._answering.leave()
        self._arriving = self._answering = None  # they know us, as the reader does: nothing waits for the collector
        self._reader.close()

    def data_received(self, data: bytes) -> None:
        self._late += data
        self._read()

    def pause_writing(self) -> None:
        self._writable.clear()
        self._turn()

    def resume_writing(self) -> None:
        self._writable.set()
        self._turn()

    # The reader speaks.

    def _read(self) -> None:
        """What has come, until a request must wait for the one before it."""
        data, at = self._late, 0
        try:
            while at < len(data) and not self._queue and not self._deaf:
                part = data[at : at + _SLICE]
                at += len(part)
                self._reader.feed(part)
        except Refused as refused:
            self._refuse(refused.status)
        self._late = b"" if self._deaf else data[at:]
        self._steer()

    def begin(self) -> None:
        self._in_head = True
        self._turn()

    def request(self, scope: dict[str, Any], keep_alive: bool, waits: bool) -> None:
        scope |= self._scope
        self._in_head = False
        self._arriving = exchange = Exchange(self, scope, keep_alive=keep_alive, waits=waits)
        self._state.idle.pop(self, None)
        if self._answering is None:
            self._answer(exchange)
        else:
            self._queue.append(exchange)
        self._turn()

    def part(self, body: bytes) -> None:
        if self._arriving is not None:
            self._arriving.arrive(body)

    def end(self) -> None:
        if self._arriving is not None:
            self._arriving.complete()
            if not self._arriving.keep_alive:
                self._deaf = True
            self._arriving = None
            self._turn()

    def _refuse(self, status: int) -> None:
        """What comes makes no sense: say so when all before is answered, and close."""
        self._deaf = True
        broken, self._arriving = self._arriving, None
        if self._answering is None:
            self._end(status)
        elif broken is self._answering:
            broken.fail(status)
        else:
            if broken is not None:
                self._queue.pop()
            self._refusal = status

    # Exchanges speak.

    def _answer(self, exchange: Exchange) -> None:
        self._answering = exchange
        task = self._loop.create_task(exchange.run(self._app))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def write(self, *parts: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.writelines([part for part in parts if part])

    async def drain(self) -> None:
        if not self._writable.is_set():
            await self._writable.wait()

    def taken(self) -> None:
        self._steer()

    def answered(self) -> None:
        """Begin with the next one, if it is here already."""
        ended, self._answering = self._answering, None
        if ended is not None and not ended.keep_alive:
            self.close()
        elif self._queue:
            self._answer(self._queue.popleft())
            self._read()
        elif self._refusal:
            self._end(self._refusal)
        self._turn()

    def _end(self, status: int) -> None:
        self.write(plain(status))
        self.close()

    # The server speaks.

    def close(self) -> None:
        """Close when the peer has taken what was written."""
        self._deaf = True
        self._due = self._loop.time() + self._limits.timeout
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def shutdown(self) -> None:
        """Close after the requests that have begun to arrive."""
        last = self._queue[-1] if self._queue else self._answering
        if last is None:
            self.close()
        else:
            last.keep_alive = False
            self._deaf = self._arriving is None

    # Whose turn it is.

    def _steer(self) -> None:
        """Read, or let the peer wait."""
        paused = bool(self._queue) or (self._arriving is not None and self._arriving.size > _BACKLOG)
        if paused != self._paused and not self._transport.is_closing():
            self._paused = paused
            if paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _turn(self) -> None:
        """Something has changed: by when must the peer have done what we wait for now?"""
        if self._transport.is_closing():
            return
        wait: float | None = self._limits.keep_alive
        if not self._writable.is_set() or self._in_head:
            wait = self._limits.timeout
        elif self._arriving is not None:
            # The application answers a body that is late. This is for those that do not want the body at all.
            wait = 2 * self._limits.timeout
        elif self._answering is not None:
            wait = None
        self._due = None if wait is None else self._loop.time() + wait
        if self._arriving is None and self._answering is None:
            self._state.idle.setdefault(self)

    def _look(self) -> None:
        now = self._loop.time()
        if self._due is not None and now >= self._due:
            if not self._paused or not self._writable.is_set() or self._transport.is_closing():
                self._transport.abort()
                return
            self._turn()  # it is we who do not read
        # Whatever becomes due from now on is not due before this.
        soon = now + min(self._limits.timeout, self._limits.keep_alive)
        self._watch = self._loop.call_at(soon if self._due is None else min(self._due, soon), self._look)
