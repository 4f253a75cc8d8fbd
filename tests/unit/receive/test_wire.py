"""What stands on the wire: raw requests in, raw answers out. uvicorn is the oracle where both mean the same."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from fleetwatch.receive import HttpServer, Limits
from support_http import END, OK, answer, part, plain, port_of, request, self_signed, undated
from support_receive import in_loop

ODD: dict[str, list[dict[str, Any]]] = {
    "/none": [],
    "/half": [{**OK, "headers": [(b"content-length", b"10")]}, part(b"12345")],
    "/short": [{**OK, "headers": [(b"content-length", b"9")]}, {**END, "body": b"12345"}],
    "/long": [{**OK, "headers": [(b"content-length", b"3")]}, {**END, "body": b"12345"}],
    "/split": [{**OK, "headers": [(b"x-said", b"a\r\nset-cookie: b")]}, END],
    "/stream": [OK, part(b"one"), part(b""), part(b"three"), END],
    "/empty": [{**OK, "status": 204}, END],
    "/last": [{**OK, "headers": [(b"content-length", b"4"), (b"Connection", b"close")]}, {**END, "body": b"last"}],
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """An answer that tells what it was asked; some paths answer in odd ways."""
    path = scope["path"]
    if path == "/early":  # without a look at the body
        await answer(send, b"early")
        return
    body, more = b"", True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        body += event["body"]
        more = event["more_body"]
    if path == "/broken":
        raise RuntimeError("broken")
    if path in ODD:
        for event in ODD[path]:
            await send(event)
        return
    told = [scope[key] for key in ("method", "path", "raw_path", "query_string", "http_version", "scheme")]
    await answer(send, repr((*told, body)).encode())


@pytest.fixture(scope="module")
def ours() -> Iterator[int]:
    """Port of our server."""
    # Small, so that what is too large arrives in one piece: nothing unread is left to cut the answer off.
    server = HttpServer(application, "127.0.0.1:0", Limits(timeout=5, max_head_bytes=8192))
    in_loop(server.start())
    yield port_of(server)
    in_loop(server.stop(0.1))


@pytest.fixture(scope="module")
def theirs() -> Iterator[int]:
    """Port of uvicorn with the same application."""

    async def start() -> asyncio.Server:
        config = Config(application, ws="none", lifespan="off", log_config=None, log_level="critical")
        config.load()
        made = functools.partial(HttpToolsProtocol, config, ServerState(), {}, asyncio.get_running_loop())
        return await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)

    async def stop() -> None:
        server.close()

    server = in_loop(start())
    yield server.sockets[0].getsockname()[1]
    in_loop(stop())


def talk(port: int, parts: Sequence[bytes], *, waits: float = 0.0) -> bytes:
    """Send each part in a packet of its own; all that comes back until the server closes."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for part in parts:
                peer.sendall(part)
                if waits:
                    peer.settimeout(waits)
                    with contextlib.suppress(TimeoutError):
                        said += peer.recv(1 << 16)
                    peer.settimeout(10)
            while part := peer.recv(1 << 16):
                said += part
    return said


CHUNKED = "transfer-encoding: chunked"
CHUNKS = b"4\r\nabcd\r\n3;name=value\r\nefg\r\n0\r\ntrailer: x\r\n\r\n"

SAME = {
    "plain": request(),
    "lower case fields": request("GET /", "Accept: A", "ACCEPT: b"),
    "query": request("GET /a/b?c=d&e=%20"),
    "escapes": request("GET /a%20b%2fc%C3%A4"),
    "fragment": request("GET /a?b#c"),
    "whole address": request("GET http://example.org/a?b"),
    "asterisk": request("OPTIONS *"),
    "body": request("POST /", "content-length: 5", body=b"hello"),
    "empty body": request("POST /", "content-length: 0"),
    "chunked": request("POST /", CHUNKED, body=CHUNKS),
    "empty chunked": request("POST /", CHUNKED, body=b"0\r\n\r\n"),
    "chunked in capitals": request("POST /", "Transfer-Encoding: Chunked", body=CHUNKS),
    "stream": request("GET /stream"),
    "no body": request("GET /empty"),
    "HEAD": request("HEAD /"),
    "HEAD of a stream": request("HEAD /stream"),
    "HEAD of a failure": request("HEAD /none"),
    "pipelined": request(close=False) + request("POST /b", "content-length: 2", body=b"xy", close=False) + request(),
    "the application closes": request("GET /last", close=False) + request(),
    "after the last request": request() + b"GET /never HTTP/1.1\r\n\r\n",
    "HTTP/1.0": request(version="HTTP/1.0", close=False),
    "line ends before the request": b"\r\n\r\n" + request(),
    "the application fails": request("GET /broken"),
    "the application says nothing": request("GET /none"),
    "the application stops half way": request("GET /half"),
    "an unknown method": request("BREW /"),
    "both lengths": request("POST /", "content-length: 3", CHUNKED, body=CHUNKS),
    "both lengths, turned": request("POST /", CHUNKED, "content-length: 3", body=CHUNKS),
    "two lengths": request("POST /", "content-length: 1", "content-length: 2", body=b"xy"),
    "the same length twice": request("POST /", "content-length: 1", "content-length: 1", body=b"x"),
    "a list of lengths": request("POST /", "content-length: 1, 1", body=b"x"),
    "a signed length": request("POST /", "content-length: +1", body=b"x"),
    "a negative length": request("POST /", "content-length: -1", body=b"x"),
    "a length in hexadecimal": request("POST /", "content-length: 0x1", body=b"x"),
    "a huge length": request("POST /", f"content-length: {2**64}", body=b"x"),
    "space before the colon": request("POST /", "content-length : 1", body=b"x"),
    "a folded field": request("GET /", "a: b", " c"),
    "bare line feeds": request().replace(b"\r\n", b"\n"),
    "a bare carriage return": request("GET /", "a: b\rc"),
    "a zero byte": request("GET /", "a: b\0c"),
    "no colon": request("GET /", "abc"),
    "chunked is not last": request("POST /", "transfer-encoding: chunked, identity", body=CHUNKS),
    "space in the path": request("GET /a b"),
}


@pytest.mark.parametrize("raw", SAME.values(), ids=SAME)
def test_the_answer_is_uvicorns(ours: int, theirs: int, raw: bytes) -> None:
    """Header fields may stand in another order; the text of a refusal is each server's own."""

    def shown(said: bytes) -> list[list[bytes] | bytes]:
        head, _, body = undated(said).partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        if line.startswith(b"HTTP/1.1 400"):
            return [line]
        return [line, sorted(fields), body]

    assert shown(talk(ours, [raw])) == shown(talk(theirs, [raw]))


GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly"
LAST = GOOD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
EARLY = request("GET /early", close=False)

OURS = {
    "a transfer coding that is unknown": (
        request("POST /", "transfer-encoding: gzip, chunked", body=CHUNKS),
        plain("501 Not Implemented"),
    ),
    "a tunnel": (request("CONNECT example.org:443"), plain("501 Not Implemented")),
    "HTTP/0.9": (b"GET /early\r\n\r\n", plain("505 HTTP Version Not Supported")),
    "HTTP/2.0": (request("GET /early", version="HTTP/2.0"), plain("505 HTTP Version Not Supported")),
    "too many fields": (
        request("GET /early", *("a:" for _ in range(200))),
        plain("431 Request Header Fields Too Large"),
    ),
    "a large head": (
        request("GET /early", f"a: {'x' * 13_000}"),
        plain("431 Request Header Fields Too Large"),
    ),
    "endless trailers": (
        request("POST /", CHUNKED, body=b"0\r\na: " + b"x" * 13_000),
        plain("431 Request Header Fields Too Large"),
    ),
    "endless line ends": (b"\r\n" * 5000, plain("431 Request Header Fields Too Large")),
    "nonsense after good requests": (EARLY + EARLY + b"nonsense\r\n\r\n", GOOD + GOOD + plain("400 Bad Request")),
    "nonsense in the body that is waited for": (
        request("POST /", CHUNKED, body=b"3\r\nabc\r\nx"),
        plain("400 Bad Request"),
    ),
    "nonsense in the body of a pipelined request": (
        EARLY + request("POST /", CHUNKED, body=b"3\r\nabc\r\nx"),
        GOOD + plain("400 Bad Request"),
    ),
    "a stream for HTTP/1.0": (
        request("GET /stream", version="HTTP/1.0"),
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nonethree",
    ),
    "a field of the answer with a line end": (request("GET /split"), plain("500 Internal Server Error")),
    "an answer shorter than it says": (request("GET /short"), plain("500 Internal Server Error")),
    "an answer longer than it says": (request("GET /long"), plain("500 Internal Server Error")),
    "HEAD of a failure": (request("HEAD /broken"), plain("500 Internal Server Error", body=False)),
    "a body that does not wait for 100": (
        request("POST /early", "expect: 100-continue", "content-length: 5", body=b"hello", close=False)
        + request("GET /early"),
        GOOD + LAST,
    ),
    # The client may send its body or not: the next bytes could be anything.
    "an answer before 100": (
        request("POST /early", "expect: 100-continue", "content-length: 5", close=False),
        LAST,
    ),
    "a second protocol is offered": (
        request("POST /up", "connection: upgrade, http2-settings", "upgrade: h2c", "content-length: 3", close=False)
        + b"abc"
        + request("GET /early"),
        b"HTTP/1.1 200 OK\r\ncontent-length: 51\r\n\r\n"
        + repr(("POST", "/up", b"/up", b"", "1.1", "http", b"abc")).encode()
        + LAST,
    ),
}


@pytest.mark.parametrize(("raw", "expected"), OURS.values(), ids=OURS)
def test_the_answer_is_as_written(ours: int, raw: bytes, expected: bytes) -> None:
    assert undated(talk(ours, [raw])) == expected


STORY = (
    request("POST /a?b", "content-length: 6", "content-type: x", body=b"abcdef", close=False)
    + request("HEAD /h", close=False)
    + request("POST /c%20d", CHUNKED, body=CHUNKS, close=False)
    + request("POST /early", "content-length: 3", body=b"xyz", close=False)
    + request("GET /stream", close=False)
    + request("POST /up", "connection: upgrade", "upgrade: h2c", "content-length: 3", body=b"abc", close=False)
    + request("GET /last")
)


PLACES = st.integers(1, len(STORY) - 1)


def pieces(cuts: list[int]) -> list[bytes]:
    return [STORY[start:end] for start, end in itertools.pairwise([0, *sorted(cuts), len(STORY)])]


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(PLACES, max_size=12, unique=True))
def test_wherever_requests_are_cut_the_answers_are_the_same(ours: int, cuts: list[int]) -> None:
    assert undated(talk(ours, pieces(cuts))) == whole_story(ours)


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(PLACES, max_size=4, unique=True))
def test_slow_pieces_make_the_same_answers(ours: int, cuts: list[int]) -> None:
    assert undated(talk(ours, pieces(cuts), waits=0.01)) == whole_story(ours)


def test_byte_after_byte_makes_the_same_answers(ours: int) -> None:
    assert undated(talk(ours, [bytes([byte]) for byte in STORY])) == whole_story(ours)


@functools.cache
def whole_story(port: int) -> bytes:
    said = undated(talk(port, [STORY]))
    assert said.count(b"HTTP/1.1 200 OK") == 7
    return said


def test_thousands_of_pipelined_requests_are_answered_in_their_order(ours: int) -> None:
    asked = b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(5000)) + request("GET /last")
    said = talk(ours, [asked])
    assert re.findall(rb"'/(\d+)', b'/", said) == [b"%d" % number for number in range(5000)]
    assert said.endswith(b"last")


def test_a_client_that_waits_is_told_to_continue(ours: int) -> None:
    with socket.create_connection(("127.0.0.1", ours), timeout=10) as peer:
        peer.sendall(request("POST /", "Expect: 100-Continue", "content-length: 2"))
        assert peer.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(b"ok")
        assert peer.recv(1000).endswith(b"b'ok')")


def test_on_the_standard_librarys_event_loop_the_answers_are_the_same(ours: int) -> None:
    async def heard() -> bytes:
        server = HttpServer(application, "127.0.0.1:0", Limits(timeout=5))
        await server.start()
        try:
            return await asyncio.to_thread(talk, port_of(server), pieces([10, 300, 301, 600]))
        finally:
            await server.stop(0.1)

    assert undated(asyncio.run(heard())) == whole_story(ours)


def test_behind_tls_the_answers_are_the_same(ours: int, tmp_path: Path) -> None:
    tls = self_signed(tmp_path)
    server = HttpServer(application, "127.0.0.1:0", Limits(timeout=5), tls)
    in_loop(server.start())
    try:
        context = ssl.create_default_context(cafile=tls.cert_file)
        with (
            socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as plain_peer,
            context.wrap_socket(plain_peer, server_hostname="127.0.0.1") as peer,
        ):
            for piece in pieces([10, 300, 301, 600]):
                peer.sendall(piece)
            said = b""
            while taken := peer.recv(1 << 16):
                said += taken
    finally:
        in_loop(server.stop(0.1))
    # The application shows the scheme, which makes its answers one byte longer.
    shown = re.sub(rb"content-length: \d+", b"", undated(said))
    assert shown.replace(b"https", b"http") == re.sub(rb"content-length: \d+", b"", whole_story(ours))
