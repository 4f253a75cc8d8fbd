"""The HTTP server under way: who waits for whom, who is told of an end, what a stop leaves standing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Any

import pytest

from fleetwatch.receive import HttpServer, Limits
from support import wait_for
from support_http import END, OK, answer, part, plain, port_of, request, undated
from support_receive import in_loop

MIB = 1 << 20


def test_a_body_is_not_read_faster_than_it_is_taken() -> None:
    """The sender stops when the buffers of the kernel and 64 KiB of ours are full, and goes on with the application."""
    gate = asyncio.Event()
    sizes: list[int] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        more = True
        while more:
            event = await receive()
            sizes.append(len(event["body"]))
            more = event["more_body"]
        await answer(send, b"%d" % sum(sizes))

    server = HttpServer(slow, "127.0.0.1:0", Limits(timeout=30))
    in_loop(server.start())
    try:
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as peer:
            peer.sendall(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (64 * MIB))
            peer.settimeout(0.5)
            sent, block = 0, bytes(MIB)
            with contextlib.suppress(TimeoutError):
                while sent < 64 * MIB:
                    sent += peer.send(block)
            assert sent < 32 * MIB
            peer.settimeout(10)
            in_loop(_set(gate))
            while sent < 64 * MIB:
                sent += peer.send(block[: 64 * MIB - sent])
            assert peer.recv(1000).endswith(b"\r\n\r\n%d" % (64 * MIB))
            assert max(sizes) < MIB
    finally:
        in_loop(server.stop(0.1))


def test_an_answer_is_not_written_faster_than_it_is_taken() -> None:
    written: list[int] = []

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send(OK)
        for number in range(64):
            await send(part(bytes(MIB)))
            written.append(number)
        await send(END)

    server = HttpServer(large, "127.0.0.1:0", Limits(timeout=30))
    in_loop(server.start())
    try:
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as peer:
            peer.sendall(request())
            seen = -1
            while seen != len(written):  # until it stands still
                seen = len(written)
                with contextlib.suppress(AssertionError):
                    wait_for(lambda: len(written) > seen, 0.5)  # noqa: B023 - it is asked before the next round
            assert 0 < len(written) < 32
            said = 0
            while taken := peer.recv(MIB):
                said += len(taken)
            assert said > 64 * MIB
            assert len(written) == 64
    finally:
        in_loop(server.stop(0.1))


def test_an_application_hears_that_its_client_has_left() -> None:
    heard: list[str] = []

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        while not heard or heard[-1] != "http.disconnect":
            heard.append((await receive())["type"])
        await answer(send, b"to nobody")

    server = HttpServer(waiting, "127.0.0.1:0", Limits())
    in_loop(server.start())
    try:
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as peer:
            peer.sendall(request(close=False))
            wait_for(lambda: heard == ["http.request"], what="the request")
        wait_for(lambda: heard == ["http.request", "http.disconnect"], what="the end")
        wait_for(lambda: not server.connections)
    finally:
        in_loop(server.stop(0.1))


@pytest.mark.parametrize("grace", [5.0, 0.05])
def test_a_stop_waits_for_requests_under_way_as_long_as_agreed(grace: float) -> None:
    gate = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await answer(send, b"done")

    server = HttpServer(slow, "127.0.0.1:0", Limits())
    in_loop(server.start())
    with (
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as busy,
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as idle,
    ):
        busy.sendall(request(close=False) + request(close=False))
        wait_for(lambda: server.connections == 2 and len(server._state.idle) == 1, what="both connections")

        async def stop() -> None:
            stopping = asyncio.ensure_future(server.stop(grace))
            if grace > 1:
                await asyncio.sleep(0.05)
                gate.set()
            await stopping

        begun = time.monotonic()
        in_loop(stop())
        assert time.monotonic() - begun < 2
        assert idle.recv(10) == b""
        said = b""
        while part := busy.recv(1000):
            said += part
        if grace > 1:
            assert said.count(b"done") == 2
            assert said.count(b"connection: close") == 1
        else:
            assert undated(said) == plain("503 Service Unavailable")


async def _set(event: asyncio.Event) -> None:
    event.set()
