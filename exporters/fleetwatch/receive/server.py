"""An HTTP server with bounds, for any ASGI application, inside a running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any

from fleetwatch.receive.limits import Limits, Tls
from fleetwatch.receive.protocol import Connection, State

_BACKLOG = 4096  # a fleet that restarts connects at once; the kernel cuts this down to its own bound


async def _busy(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 - an ASGI application's arguments
    headers = [(b"content-length", b"0"), (b"retry-after", b"1"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class HttpServer:
    """Serves `app` between start() and stop().

    app, busy: ASGI applications; `busy` answers where no connection is to spare. Lifespan events are not sent.
    A server like uvicorn bounds less of what a client can do, and is a fifth of the sidecar's start.
    """

    def __init__(
        self,
        app: Any,
        listen: str,
        limits: Limits = Limits(),  # noqa: B008 - a tuple cannot change
        tls: Tls | None = None,
        busy: Any = _busy,
    ) -> None:
        self._app = app
        self._listen = split_address(listen)
        self._limits = limits
        self._busy = busy
        self._tls = tls
        self._state = State()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """HOST:PORT on which it really listens; IPv6 hosts in brackets."""
        if self._server is None:
            raise RuntimeError("the server is not started")
        return join_address(*self._server.sockets[0].getsockname()[:2])

    @property
    def connections(self) -> int:
        return len(self._state.connections)

    async def start(self) -> None:
        """Raises OSError when the address cannot be had or a PEM file is missing or bad (ssl.SSLError is one)."""
        loop = asyncio.get_running_loop()

        def connection() -> Connection:
            return Connection(self._app, self._busy, self._limits, self._state, loop)

        secure: dict[str, Any] = {}
        if self._tls is not None:
            secure = {
                "ssl": _context(self._tls),
                "ssl_handshake_timeout": self._limits.timeout,
                "ssl_shutdown_timeout": self._limits.timeout,
            }
        host, port = self._listen
        # asyncio takes as many connections in one go as its `backlog`, before any is looked at. One by one, the longest
        # idle makes room in time, and a process without files to spare logs a line a second, not thousands.
        self._server = await loop.create_server(connection, host, port, backlog=1, **secure)
        for listener in self._server.sockets:
            with listener.dup() as raw:
                raw.listen(_BACKLOG)

    async def stop(self, grace: float = 5.0) -> None:
        """Take no new connection, finish the requests under way within `grace` seconds, close."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self._state.tasks:
                    await asyncio.wait(list(self._state.tasks))
        for task in list(self._state.tasks):
            task.cancel()
        with contextlib.suppress(TimeoutError):  # answers are on their way out
            async with asyncio.timeout(0.5):
                while self._state.connections:
                    self._state.left.clear()
                    await self._state.left.wait()
        for connection in list(self._state.connections):
            connection.abort()
        self._server = None


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.cert_file, tls.key_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def split_address(listen: str) -> tuple[str, int]:
    """HOST:PORT -> host, port. Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(f"expected HOST:PORT, got {listen!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
