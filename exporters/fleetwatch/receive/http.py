"""OTLP and OpenLineage over HTTP: plain ASGI, because a framework's routing would cost more than the work itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, NamedTuple

from fleetwatch.receive.answers import retry_after, status_json, status_of
from fleetwatch.receive.door import Door, SignalName
from fleetwatch.receive.errors import (
    BadRequest,
    Refusal,
    TooLarge,
    TooSlow,
    Unavailable,
    UnsupportedMethod,
    UnsupportedType,
)

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

PROTOBUF = b"application/x-protobuf"
JSON = b"application/json"
_BY_PATH: dict[str, SignalName | Literal["lineage"]] = {
    "/v1/traces": "traces",
    "/v1/metrics": "metrics",
    "/v1/logs": "logs",
    "/api/v1/lineage": "lineage",
    "/api/v1/lineage/batch": "lineage",
}
_EXPECTED = b"expected /v1/traces, /v1/metrics, /v1/logs or /api/v1/lineage\n"
_CLOSE = (b"connection", b"close")


class _Gone(Exception):  # noqa: N818 - says what happened: the sender left before its request was complete
    pass


class _Head(NamedTuple):
    """The header fields that matter here."""

    authorization: bytes | None
    content_type: bytes
    encoding: bytes
    length: int


class OtlpHttp:
    """ASGI application with /v1/traces, /v1/metrics and /v1/logs, and with /api/v1/lineage for OpenLineage's events."""

    def __init__(self, intake: Door) -> None:
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        signal = _BY_PATH.get(scope["path"])
        if signal is None:
            await _send(send, 404, b"text/plain; charset=utf-8", _EXPECTED)
            return
        json = True  # of a sender whose language is not known yet: people can read it
        try:
            self._check_method(scope)
            head = _head(scope)
            json = _is_json(head.content_type)
            if signal == "lineage" and not json:
                json = True
                raise UnsupportedType("unsupported content type; expected application/json")
            self._intake.admit(head.authorization)
            with self._intake.holding() as hold:
                body = await self._body(head, receive, hold)
                if signal == "lineage":
                    response = await self._intake.take_lineage(body, head.encoding)
                else:
                    response = await self._intake.take(signal, body, head.encoding, json=json)
        except _Gone:
            return
        except asyncio.CancelledError:
            # The server stops and waits no longer. Nobody knows whether this was committed: a repetition is harmless.
            await self._refused(send, signal, Unavailable(1.0, "the receiver is stopping"), json)
        except Refusal as refusal:
            await self._refused(send, signal, refusal, json)
        else:
            self._intake.observer.request(signal, "http", "ok")
            await _send(send, 200, JSON if json else PROTOBUF, response)

    async def _refused(self, send: Send, signal: str, refusal: Refusal, json: bool) -> None:
        self._intake.observer.request(signal, "http", refusal.status)
        await _refuse(send, refusal, json)

    async def busy(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the body is not wanted
        """Answer of a server that has no connection to spare."""
        refusal = Unavailable(1.0, "too many connections")
        signal = _BY_PATH.get(scope["path"])
        if signal is not None:
            self._intake.observer.request(signal, "http", refusal.status)
        await _refuse(send, refusal, json=True, close=True)

    def _check_method(self, scope: Scope) -> None:
        if scope["method"] != "POST":
            raise UnsupportedMethod("expected POST")

    async def _body(self, head: _Head, receive: Receive, hold: Callable[[int], None]) -> bytes:
        limits = self._intake.limits
        if head.length > limits.max_body_bytes:
            raise TooLarge(f"the body is larger than {limits.max_body_bytes} bytes")
        parts = []
        try:
            async with asyncio.timeout(limits.timeout):
                more = True
                while more:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        raise _Gone
                    part = event["body"]
                    hold(len(part))
                    parts.append(part)
                    more = event["more_body"]
        except TimeoutError:
            raise TooSlow(f"the body did not arrive within {limits.timeout:g} s") from None
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _head(scope: Scope) -> _Head:
    """Raises BadRequest for a header field that has no sense."""
    authorization, content_type, encoding, length = None, b"", b"", 0
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"authorization":
            authorization = value
        elif name == b"content-encoding":
            encoding = value
        elif name == b"content-length":
            if not value.isdigit() or len(value) > 18:
                raise BadRequest("expected a number of bytes in Content-Length")
            length = int(value)
    return _Head(authorization, content_type, encoding, length)


def _is_json(content_type: bytes) -> bool:
    """Whether the sender speaks JSON; UnsupportedType when neither that nor protobuf. Parameters are ignored."""
    if content_type == PROTOBUF:
        return False
    kind = content_type.partition(b";")[0].strip().lower()
    if kind not in (PROTOBUF, JSON):
        raise UnsupportedType("unsupported content type; expected application/x-protobuf or application/json")
    return kind == JSON


async def _refuse(send: Send, refusal: Refusal, json: bool, close: bool = False) -> None:
    extra: list[tuple[bytes, bytes]] = []
    if refusal.retry_after_s is not None and refusal.http in (429, 503):
        extra.append((b"retry-after", retry_after(refusal.retry_after_s)))
    if refusal.http == 401:
        extra.append((b"www-authenticate", b"Bearer"))
    if refusal.http == 405:
        extra.append((b"allow", b"POST"))
    # After other refusals the rest of the body is read and thrown away: a connection that closes under a sender's
    # hands looks like a broken network, and it would send the same again.
    if close or isinstance(refusal, TooSlow):
        extra.append(_CLOSE)
    body = status_json(refusal) if json else status_of(refusal)
    await _send(send, refusal.http, JSON if json else PROTOBUF, body, extra)


async def _send(
    send: Send, status: int, content_type: bytes, body: bytes, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *(extra or ())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
