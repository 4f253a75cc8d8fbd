"""OTLP over gRPC, on the event loop of everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import grpc

from fleetwatch.receive.answers import retry_info, status_of
from fleetwatch.receive.errors import BadRequest, Refusal, TooSlow, Unavailable
from fleetwatch.receive.limits import Limits, Tls
from fleetwatch.receive.otlp import SIGNALS, Intake, Signal
from fleetwatch.receive.server import join_address, split_address
from fleetwatch.receive.unpack import compression_of

Context = grpc.aio.ServicerContext[bytes, bytes]

_STREAMS_PER_CONNECTION = 256
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class GrpcServer:
    """Serves between start() and stop().

    Methods are registered as client-streaming: on the wire that is the same as unary, but it lets us check the token
    before the message is read, and bound the time that the message takes.
    """

    def __init__(self, intake: Intake, listen: str, tls: Tls | None = None) -> None:
        self._intake = intake
        self._listen = split_address(listen)
        self._tls = tls
        self._open = 0
        self._address = ""
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        """HOST:PORT on which it really listens."""
        if not self._address:
            raise RuntimeError("the server is not started")
        return self._address

    async def start(self) -> None:
        """Raises OSError when the address cannot be had or a PEM file cannot be read."""
        server = grpc.aio.server(options=_options(self._intake.limits))
        for signal in SIGNALS.values():
            method = grpc.stream_unary_rpc_method_handler(partial(self._export, signal))
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(signal.service, {"Export": method}),))
        listen = join_address(*self._listen)
        try:
            if self._tls is None:
                port = server.add_insecure_port(listen)
            else:
                pair = (self._tls.key_file.read_bytes(), self._tls.cert_file.read_bytes())
                port = server.add_secure_port(listen, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listen} for gRPC: {error}") from error
        await server.start()
        self._server = server
        self._address = join_address(self._listen[0], port)

    async def stop(self, grace: float = 5.0) -> None:
        """Take no new request, finish those under way within `grace` seconds, close."""
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None

    async def _export(self, signal: Signal, _stream: AsyncIterator[bytes], context: Context) -> bytes:
        self._open += 1
        try:
            answer = await self._answer(signal, context)
        except Refusal as error:
            # Without its traceback, which holds the body until the garbage collector comes.
            refusal = error.with_traceback(None)
        else:
            self._intake.observer.request(signal.name, "grpc", "ok")
            return answer
        finally:
            self._open -= 1
        self._intake.observer.request(signal.name, "grpc", refusal.status)
        await _refuse(context, refusal)
        return b""  # not reached: a refused call is aborted

    async def _answer(self, signal: Signal, context: Context) -> bytes:
        if self._open > self._intake.limits.max_connections:
            raise Unavailable(1.0, "too many requests at once")
        self._intake.admit(_authorization(context))
        with self._intake.holding() as hold:
            body = await self._message(context)
            hold(len(body))
            return await self._intake.take(signal.name, body, compression_of(body))

    async def _message(self, context: Context) -> bytes:
        timeout = self._intake.limits.timeout
        try:
            async with asyncio.timeout(timeout):
                body = await context.read()
        except TimeoutError:
            raise TooSlow(f"the message did not arrive within {timeout:g} s") from None
        if not isinstance(body, bytes):
            raise BadRequest("the call carries no message")
        return body


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        # Without this a second server could take the port over unnoticed.
        ("grpc.so_reuseport", 0),
        # Compressed messages come as they were sent and take the same bounded way as over HTTP.
        ("grpc.per_message_decompression", 0),
        ("grpc.max_receive_message_length", limits.max_body_bytes),
        ("grpc.max_metadata_size", limits.max_head_bytes),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
        ("grpc.server_handshake_timeout_ms", round(limits.timeout * 1000)),
    ]


def _authorization(context: Context) -> bytes | None:
    for name, value in context.invocation_metadata() or ():
        if name == "authorization":
            return value if isinstance(value, bytes) else value.encode()
    return None


async def _refuse(context: Context, refusal: Refusal) -> None:
    trailers = [("grpc-status-details-bin", status_of(refusal))]
    if refusal.retry_after_s is not None:
        # The Python SDK looks for it here.
        trailers.append(("google.rpc.retryinfo-bin", retry_info(refusal.retry_after_s)))
    await context.abort(_CODES[refusal.code], str(refusal), tuple(trailers))


async def serve_grpc(intake: Intake, listen: str, tls: Tls | None = None) -> GrpcServer:
    """A started server of OTLP over gRPC; see GrpcServer for its address and its stop(). Raises OSError."""
    server = GrpcServer(intake, listen, tls)
    await server.start()
    return server
