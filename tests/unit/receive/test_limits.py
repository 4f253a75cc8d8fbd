"""What hostile senders cost: memory of a receiver in a process of its own, and the wait of a good sender."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
import zlib
from collections.abc import Iterator

import grpc
import pytest

from support import wait_for
from support_receive import PROTOBUF, Answer, ReceiverProcess, ask, traces

MIB = 1 << 20
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
GOOD = traces("a").SerializeToString()


@pytest.fixture
def receiver() -> Iterator[ReceiverProcess]:
    with ReceiverProcess() as process:
        assert post(process, GOOD).status == 200
        assert export(process, GOOD) is None
        yield process


def post(receiver: ReceiverProcess, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    host, port = receiver.http
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        return ask(connection, "/v1/traces", body, PROTOBUF, headers)
    finally:
        connection.close()


def export(receiver: ReceiverProcess, body: bytes) -> grpc.StatusCode | None:
    """The code of the refusal, None when the message was taken."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(":".join(receiver.grpc), options=options) as channel:
        call = channel.unary_unary(EXPORT, bytes, bytes).future(body, timeout=30)
        error = call.exception()
        assert error is None or isinstance(error, grpc.Call)
        return error.code() if error else None


def bomb() -> bytes:
    """1 GiB of zeros in 1 MiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(1024)) + packer.flush()


def test_a_gzip_bomb_costs_no_memory(receiver: ReceiverProcess) -> None:
    before = receiver.peak_mib()
    body = bomb()
    for _ in range(3):
        assert post(receiver, body, {"content-encoding": "gzip"}).status == 413
        assert export(receiver, body) is grpc.StatusCode.INVALID_ARGUMENT
    assert receiver.peak_mib() - before < 64


def test_a_body_of_30_mb_is_refused_and_not_kept(receiver: ReceiverProcess) -> None:
    before = receiver.peak_mib()
    for _ in range(3):
        assert post(receiver, bytes(30 * MIB)).status == 413
        assert export(receiver, bytes(30 * MIB)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert receiver.peak_mib() - before < 64
    assert export(receiver, GOOD) is None


def nested(tag: int, content: bytes) -> bytes:
    """A protobuf field with a message or text in it."""
    size, length = len(content), bytearray([tag])
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes(length) + content


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x00" * (4 * MIB - 1),
        nested(0x0A, b"\x12\x00" * (4 * MIB - 9)),
        nested(0x0A, nested(0x12, b"\x12\x00" * (4 * MIB - 99))),
        nested(0x0A, nested(0x12, b"\x12\x02\x38\x01" * (2 * MIB - 99))),
        nested(0x0A, nested(0x12, nested(0x12, b"\x4a\x00" * (4 * MIB - 99)))),
        nested(
            0x0A, nested(0x12, nested(0x12, nested(0x4A, nested(0x12, nested(0x2A, b"\x0a\x00" * (4 * MIB - 99))))))
        ),
    ],
    ids=["resources", "scopes", "spans", "small spans", "attributes", "array"],
)
def test_a_protobuf_bomb_costs_no_memory(receiver: ReceiverProcess, body: bytes) -> None:
    """Millions of empty messages, of which each is two bytes here and over a hundred in memory."""
    before = receiver.peak_mib()
    assert post(receiver, body).status == 413
    assert export(receiver, body) is grpc.StatusCode.INVALID_ARGUMENT
    assert receiver.peak_mib() - before < 64


def test_1000_idle_connections_do_not_hurt(receiver: ReceiverProcess) -> None:
    before = receiver.peak_mib()
    idle = [
        socket.create_connection((host, int(port)))
        for host, port in (receiver.http, receiver.grpc)
        for _ in range(1000)
    ]
    for peer in idle[::2]:
        peer.sendall(b"POST /v1/tra")
    begun = time.monotonic()
    assert post(receiver, GOOD).status == 200
    assert export(receiver, GOOD) is None
    assert time.monotonic() - begun < 1
    assert receiver.peak_mib() - before < 64
    for peer in idle:
        peer.close()
    wait_for(lambda: post(receiver, GOOD).status == 200, what="an answer after they left")


def test_a_flood_of_pipelined_requests_costs_no_memory(receiver: ReceiverProcess) -> None:
    """Ten thousand requests in each packet, and nobody takes the answers."""
    before = receiver.peak_mib()
    host, port = receiver.http
    peers = [socket.create_connection((host, int(port))) for _ in range(100)]
    for peer in peers:
        peer.setblocking(False)
    flood = b"GET / HTTP/1.1\r\n\r\n" * 50_000
    sent = 0
    for _ in range(3):
        for peer in peers:
            with contextlib.suppress(BlockingIOError):
                sent += peer.send(flood)
        assert post(receiver, GOOD).status == 200
    assert sent > 20 * MIB
    assert receiver.peak_mib() - before < 64
    for peer in peers:
        peer.close()
