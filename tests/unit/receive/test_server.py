"""The HTTP server's bounds, with a small application behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fleetwatch.receive import HttpServer, Limits
from support import wait_for
from support_receive import Receiver, ask, in_loop, traces

GOOD = traces("a").SerializeToString()
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once, without looking at the body; /large with 20 MB, /slow after half a second."""
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    body = bytes(20 << 20) if scope["path"] == "/large" else b"hello"
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def serving(limits: Limits) -> Iterator[HttpServer]:
    server = HttpServer(application, "127.0.0.1:0", limits)
    in_loop(server.start())
    try:
        yield server
    finally:
        in_loop(server.stop(0.1))


def peer_of(server: HttpServer) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2])))
    peer.settimeout(10)
    return peer


def closed_after(peer: socket.socket) -> float:
    """Seconds until the server closes; what it sends before is dropped."""
    begun = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        while peer.recv(1 << 16):
            pass
    return time.monotonic() - begun


@pytest.mark.parametrize(
    "sent",
    [b"", b"GE", b"GET / HTTP/1.1\r\nhost: x\r\n", b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc"],
    ids=["nothing", "half a method", "half a head", "half a body that nobody reads"],
)
def test_a_connection_that_stalls_is_closed(sent: bytes) -> None:
    with serving(Limits(timeout=0.3)) as server, peer_of(server) as peer:
        peer.sendall(sent)
        assert 0.2 < closed_after(peer) < 3


def test_a_head_that_trickles_in_is_closed_in_the_same_time() -> None:
    with serving(Limits(timeout=0.5)) as server, peer_of(server) as peer:
        peer.settimeout(0.05)
        peer.sendall(b"GET / HTTP/1.1\r\nx: ")
        begun = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - begun < 5:
                peer.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    assert peer.recv(10) == b"", "closed without an answer"
        assert 0.4 < time.monotonic() - begun < 2


def test_an_endless_head_is_refused() -> None:
    with serving(Limits()) as server, peer_of(server) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(1000):
                peer.sendall(b"x" * 10_000)
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(100).startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


def test_large_bodies_on_a_kept_connection_are_no_large_heads() -> None:
    with Receiver() as receiver:
        connection = receiver.connect()
        for _ in range(5):
            assert ask(connection, "/v1/traces", traces(*["x" * 1000] * 300).SerializeToString()).status == 200
        connection.close()


def test_a_client_that_does_not_take_its_answer_is_closed() -> None:
    with serving(Limits(timeout=0.5)) as server, peer_of(server) as peer:
        peer.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        wait_for(lambda: server.connections == 1, what="the connection")
        wait_for(lambda: server.connections == 0, timeout=5, what="the server to close")


def test_an_idle_connection_stays_as_long_as_agreed() -> None:
    with serving(Limits(timeout=0.2, keep_alive=1)) as server, peer_of(server) as peer:
        peer.sendall(GET)
        assert peer.recv(1000).endswith(b"hello")
        assert 0.7 < closed_after(peer) < 3


@pytest.mark.parametrize("after", [b"\r\n", b"GET / HT"], ids=["a stray line end", "half a head"])
def test_a_kept_connection_cannot_be_kept_for_ever(after: bytes) -> None:
    half_a_head = after != b"\r\n"
    with serving(Limits(timeout=0.3, keep_alive=60 if half_a_head else 1)) as server, peer_of(server) as peer:
        peer.sendall(GET)
        assert peer.recv(1000).endswith(b"hello")
        peer.sendall(after)
        assert closed_after(peer) < 3


def test_a_late_body_that_nobody_waits_for_ends_in_an_idle_connection() -> None:
    with serving(Limits(timeout=5, keep_alive=1)) as server, peer_of(server) as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nabc")
        assert peer.recv(1000).endswith(b"hello")
        peer.sendall(b"def" + GET)
        assert peer.recv(1000).endswith(b"hello")
        assert 0.7 < closed_after(peer) < 3


def test_a_slow_application_is_no_slow_client() -> None:
    with serving(Limits(timeout=0.2)) as server, peer_of(server) as peer:
        peer.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" + GET)
        answers = b""
        while answers.count(b"hello") < 2:
            part = peer.recv(1000)
            assert part, answers
            answers += part


def test_past_the_bound_the_longest_idle_connection_makes_room() -> None:
    with serving(Limits(max_connections=3)) as server:
        first, second, third = (peer_of(server) for _ in range(3))
        wait_for(lambda: server.connections == 3, what="three connections")
        first.sendall(GET)
        assert first.recv(1000).endswith(b"hello")
        with peer_of(server) as fourth:
            assert closed_after(second) < 2, "the first one spoke last"
            for peer in (first, third, fourth):
                peer.sendall(GET)
                assert peer.recv(1000).endswith(b"hello")
        first.close()
        third.close()
        second.close()


def test_past_the_bound_with_all_busy_a_new_one_is_asked_to_come_again() -> None:
    with serving(Limits(max_connections=2)) as server:
        busy = [peer_of(server) for _ in range(2)]
        for peer in busy:
            peer.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        wait_for(lambda: not server._state.idle, what="both to be busy")
        with peer_of(server) as late:
            late.sendall(GET)
            answer = late.recv(1000)
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 1" in answer
        for peer in busy:
            assert peer.recv(1000).endswith(b"hello")
            peer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET \xff HTTP/1.1\r\n\r\n",
    ],
    ids=["TLS", "HTTP/2", "no path", "no ASCII"],
)
def test_what_is_no_http_1_is_answered_and_closed(sent: bytes) -> None:
    with serving(Limits(timeout=1)) as server, peer_of(server) as peer:
        peer.sendall(sent)
        assert closed_after(peer) < 3
        with peer_of(server) as other:
            other.sendall(GET)
            assert other.recv(1000).endswith(b"hello")


def test_random_bytes_do_not_hurt() -> None:
    with serving(Limits(timeout=0.2)) as server:
        for size in range(0, 600, 7):
            with peer_of(server) as peer, contextlib.suppress(ConnectionResetError, BrokenPipeError):
                peer.sendall(b"GET / HTTP/1.1\r\n" + os.urandom(size))
        with peer_of(server) as peer:
            peer.sendall(GET)
            assert peer.recv(1000).endswith(b"hello")


def test_each_answer_has_a_date() -> None:
    with serving(Limits()) as server, peer_of(server) as peer:
        peer.sendall(GET)
        assert b"\r\ndate: " in peer.recv(1000)


def test_a_port_in_use_is_an_error_with_its_number() -> None:
    with serving(Limits()) as server, pytest.raises(OSError, match=server.address.rpartition(":")[2]):
        in_loop(HttpServer(application, server.address).start())


@pytest.mark.parametrize("listen", ["4318", "127.0.0.1", ":4318", "127.0.0.1:x"])
def test_an_address_needs_host_and_port(listen: str) -> None:
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        HttpServer(application, listen)


def test_ipv6_addresses_are_written_in_brackets() -> None:
    server = HttpServer(application, "[::1]:0")
    try:
        in_loop(server.start())
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert server.address.startswith("[::1]:")
    in_loop(server.stop(0))
