"""What the sidecar shows: /metrics, /healthz, /readyz. A plain ASGI application: a framework takes 10 MB."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = dict[str, str]
Render = Callable[[Headers], tuple[bytes, Headers]]

_TEXT = {"content-type": "text/plain; charset=utf-8"}
_LIST = b"fleetwatch sidecar: /metrics for Prometheus, /healthz is the process alive, /readyz does it accept data\n"


class Pages:
    """render: header fields of a scrape -> its body and header fields; trouble: why data is not accepted, or empty."""

    def __init__(self, render: Render, trouble: Callable[[], str]) -> None:
        self._render = render
        self._trouble = trouble

    async def __call__(self, scope: Scope, receive: object, send: Send) -> None:  # noqa: ARG002 - an ASGI application's arguments
        status, body, headers = self._page(scope)
        fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        fields.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _page(self, scope: Scope) -> tuple[int, bytes, Headers]:
        if scope["method"] not in ("GET", "HEAD"):
            return 405, b"expected GET\n", {**_TEXT, "allow": "GET, HEAD"}
        path = scope["path"]
        if path == "/metrics":
            asked = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            return 200, *self._render(asked)
        if path == "/healthz":
            return 200, b"ok\n", _TEXT
        if path == "/readyz":
            why = self._trouble()
            return (503, f"{why}\n".encode(), _TEXT) if why else (200, b"ready\n", _TEXT)
        return (200, _LIST, _TEXT) if path == "/" else (404, _LIST, _TEXT)
