"""The client against sinks that answer, hang, cut, drip, lie and restart."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fleetwatch.send.answer import MISSET
from fleetwatch.send.client import ANSWER_BYTES, Answer, Client
from support import free_port, wait_for
from support_sink import SECRET, Sink, answer, post

PROTOBUF = "application/x-protobuf"
QUICK = 0.3
"""Seconds of time-out where a sink is meant to use it up."""


MADE: list[Client] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()


def connect(
    base: str,
    headers: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
    timeout: float = 5.0,
    *,
    whole: bool = False,
) -> Client:
    """A client that is closed at the end of the test."""
    MADE.append(Client(base, headers or {}, ca_file, timeout, whole=whole))
    return MADE[-1]


def test_a_request_is_what_otlp_asks_for() -> None:
    with Sink() as sink:
        assert post(sink) == Answer("accepted")
    [(head, body)] = sink.requests
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /v1/traces http/1.1"
    assert {f"host: 127.0.0.1:{sink.port}", f"content-type: {PROTOBUF}", f"authorization: {SECRET.lower()}"} <= set(
        lines
    )
    assert body == b"body"


@pytest.mark.parametrize(
    ("base", "whole", "path"),
    [
        ("", False, "/v1/logs"),
        ("/", False, "/v1/logs"),
        ("/otlp/", False, "/otlp/v1/logs"),
        ("/api/v1/otlp/v1/metrics?tenant=a", True, "/api/v1/otlp/v1/metrics?tenant=a"),
        ("", True, "/"),
    ],
)
def test_the_address_is_a_base_or_the_whole(base: str, whole: bool, path: str) -> None:
    with Sink() as sink:
        assert connect(sink.url + base, whole=whole).post("logs", b"").outcome == "accepted"
    assert sink.requests[0][0].startswith(f"POST {path} HTTP/1.1\r\n".encode())


def test_a_larger_body_is_packed_and_a_packed_one_is_left_alone() -> None:
    large, packed = b"a" * 5000, gzip.compress(b"b" * 5000)
    with Sink() as sink:
        client = connect(sink.url)
        client.post("traces", large)
        client.post("traces", packed, gzip=True)
        client.post("traces", b"{}", content_type="application/json")
    assert [b"content-encoding: gzip" in head for head, _ in sink.requests] == [True, True, False]
    assert gzip.decompress(sink.requests[0][1]) == large
    assert sink.requests[1][1] == packed
    assert b"content-type: application/json" in sink.requests[2][0]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_connection_is_kept(chunked: bool) -> None:
    said = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" if chunked else answer(200, b"ok")
    )
    with Sink(said) as sink:
        client = connect(sink.url)
        assert {client.post("traces", b"x").outcome for _ in range(20)} == {"accepted"}
        assert (len(sink.requests), sink.connections) == (20, 1)


@pytest.mark.parametrize("polite", [False, True])
def test_a_connection_that_the_sink_closed_is_made_anew_silently(polite: bool) -> None:
    def hang_up(one: socket.socket) -> None:
        one.shutdown(socket.SHUT_RDWR)

    with Sink(answer(), answer() if polite else hang_up, answer()) as sink:
        client = connect(sink.url)
        assert client.post("traces", b"x").outcome == "accepted"
        if polite:
            sink.drop()
        assert client.post("traces", b"x") == Answer("accepted")
        assert sink.connections == 2


def test_a_first_connection_that_is_cut_is_not_tried_twice() -> None:
    with Sink(lambda one: one.shutdown(socket.SHUT_RDWR)) as sink:
        assert post(sink) == Answer("again", why="the connection was closed before an answer")
        assert len(sink.requests) == 1


def test_a_sink_that_is_not_there_or_has_no_name() -> None:
    found = connect(f"http://127.0.0.1:{free_port()}").post("traces", b"x")
    assert (found.outcome, found.why) == ("again", "Connection refused")
    assert connect("http://no-such-host.invalid").post("traces", b"x").outcome == "again"


@pytest.mark.parametrize(
    ("status", "outcome", "wish"),
    [
        (200, "accepted", None),
        (202, "accepted", None),
        (204, "accepted", None),
        *[(status, "again", None) for status in (408, 429, 502, 503, 504)],
        *[(status, "again", MISSET) for status in (301, 302, 307, 308, 401, 403, 404, 405, 501, 507, 530)],
        *[(status, "refused", None) for status in (400, 413, 415, 422, 431, 500)],
    ],
)
def test_a_status_says_what_becomes_of_the_data(status: int, outcome: str, wish: float | None) -> None:
    with Sink(answer(status)) as sink:
        found = post(sink)
    assert (found.outcome, found.retry_after) == (outcome, wish)
    assert (str(status) in found.why) == (outcome != "accepted")


def test_a_redirect_is_not_followed() -> None:
    with Sink() as other, Sink(answer(307, location=f"{other.url}/v1/traces")) as sink:
        assert post(sink).outcome == "again"
        assert other.connections == 0


def test_the_environment_s_proxy_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink() as proxy, Sink() as sink:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert post(sink).outcome == "accepted"
        assert proxy.connections == 0


class TestSinksThatMisbehave:
    def test_one_that_hangs(self) -> None:
        with Sink(lambda one: None) as sink:
            assert post(sink, QUICK) == Answer("again", why="no answer within 0.3 s")

    def test_one_that_does_not_read(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = connect(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=QUICK)
            started = time.monotonic()
            assert client.post("traces", bytes(64 << 20), gzip=True).outcome == "again"
            assert time.monotonic() - started < 2

    @pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 503 No\r\ncontent-length: 999\r\n\r\n"])
    def test_one_that_drips(self, start: bytes) -> None:
        with Sink() as sink:

            def drip(one: socket.socket) -> None:
                one.sendall(start)
                while not sink.stopping.wait(0.02):
                    one.sendall(b"x")

            sink._answers = [drip]
            assert post(sink, QUICK).outcome == "again"

    @pytest.mark.parametrize("length", ["", "content-length: 99999999\r\n", "transfer-encoding: chunked\r\n"])
    def test_one_that_never_ends(self, length: str) -> None:
        """It has said that it has the data; its connection is not used again."""
        with Sink() as sink:

            def flood(one: socket.socket) -> None:
                one.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode())
                while not sink.stopping.is_set():
                    one.sendall(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n")

            sink._answers = [flood]
            client = connect(sink.url, timeout=5)
            assert [client.post("traces", b"x").outcome for _ in range(2)] == ["accepted"] * 2
            assert sink.connections == 2

    def test_one_whose_head_never_ends(self) -> None:
        endless = b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 1000) for n in range(99)) + b"\r\n"
        assert len(endless) > ANSWER_BYTES
        with Sink(endless) as sink:
            assert post(sink).outcome in {"again", "accepted"}

    @pytest.mark.parametrize(
        "garbage", [b"\x00\xff\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/9.9 abc\r\n\r\n", b"x" * 100_000, b"HTTP/1.1 200"]
    )
    def test_one_that_speaks_no_http(self, garbage: bytes) -> None:
        def say(one: socket.socket) -> None:
            one.sendall(garbage)
            one.shutdown(socket.SHUT_WR)

        with Sink(say) as sink:
            assert post(sink).outcome == "again" or garbage == b"HTTP/1.1 200"

    def test_one_that_cuts_its_answer(self) -> None:
        def cut(one: socket.socket) -> None:
            one.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\ncontent-type: application/x-protobuf\r\n\r\n\x0a")
            one.shutdown(socket.SHUT_RDWR)

        with Sink(cut) as sink:
            found = post(sink)
        assert (found.outcome, found.rejected) == ("accepted", 0)
        assert found.why

    def test_one_that_refuses_before_it_has_read(self) -> None:
        """The reason is heard, though the body could not be sent."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def refuse() -> None:
                one, _ = listener.accept()
                one.recv(1000)
                one.sendall(answer(413, connection="close"))
                one.shutdown(socket.SHUT_WR)
                while one.recv(1 << 20):
                    pass
                one.close()

            threading.Thread(target=refuse, daemon=True).start()
            client = connect(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=5)
            assert client.post("traces", bytes(8 << 20), gzip=True).outcome == "refused"

    def test_one_that_says_more_than_it_was_asked(self) -> None:
        """What came unasked is not taken for the next answer."""
        with Sink(answer(200) + answer(400), answer(200)) as sink:
            client = connect(sink.url)
            wait_for(lambda: client.post("traces", b"x").outcome == "accepted", what="an answer")
            assert client.post("traces", b"x").outcome == "accepted"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signs itself, and a server with it."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=sink"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


class TestTls:
    def test_a_sink_that_the_ca_file_knows(self, certificate: tuple[Path, ssl.SSLContext]) -> None:
        file, context = certificate
        with Sink(tls=context) as sink:
            client = connect(sink.url, ca_file=file)
            assert [client.post("traces", b"x" * size).outcome for size in (10, 10**6)] == ["accepted"] * 2
            assert sink.connections == 1

    def test_one_that_nobody_knows_gets_nothing(self, certificate: tuple[Path, ssl.SSLContext]) -> None:
        with Sink(tls=certificate[1]) as sink:
            found = post(sink)
            assert (found.outcome, found.retry_after) == ("again", MISSET)
            assert "certificate is not believed" in found.why
            assert sink.requests == []

    def test_one_with_the_certificate_of_another_gets_nothing(self, certificate: tuple[Path, ssl.SSLContext]) -> None:
        file, context = certificate
        with Sink(tls=context) as sink:
            found = connect(sink.url.replace("127.0.0.1", "localhost"), ca_file=file).post("traces", b"x")
            assert (found.outcome, found.retry_after) == ("again", MISSET)
            assert sink.requests == []

    def test_old_tls_is_not_spoken(self, certificate: tuple[Path, ssl.SSLContext]) -> None:
        client = connect("https://127.0.0.1:1", ca_file=certificate[0])
        trust = client._trust()
        assert trust is not None
        assert trust.minimum_version == ssl.TLSVersion.TLSv1_2
        assert trust.check_hostname

    def test_a_sink_without_tls(self, certificate: tuple[Path, ssl.SSLContext]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def talk() -> None:
                one, _ = listener.accept()
                one.recv(1000)
                one.sendall(answer(400))
                one.close()

            threading.Thread(target=talk, daemon=True).start()
            client = connect(f"https://127.0.0.1:{listener.getsockname()[1]}", ca_file=certificate[0], timeout=5)
            found = client.post("traces", b"x")
        assert found.outcome == "again"

    def test_a_handshake_that_hangs(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = connect(f"https://127.0.0.1:{listener.getsockname()[1]}", timeout=QUICK)
            assert client.post("traces", b"x").why == "no answer within 0.3 s"

    def test_a_ca_file_that_is_mended_is_read_again(
        self, certificate: tuple[Path, ssl.SSLContext], tmp_path: Path
    ) -> None:
        file, context = certificate
        mine = tmp_path / "ca.pem"
        with Sink(tls=context) as sink:
            client = connect(sink.url, ca_file=mine)
            assert str(mine) in client.post("traces", b"x").why
            mine.write_bytes(file.read_bytes())
            assert client.post("traces", b"x").outcome == "accepted"


@pytest.mark.parametrize(
    ("base", "headers"),
    [
        ("gateway:4318", {}),
        ("ftp://gateway", {}),
        ("http://", {}),
        ("http://user:canary@gateway", {}),
        ("http://gateway/a b", {}),
        ("http://gateway/\r\nx: y", {}),
        ("http://gateway:99999", {}),
        ("http://gateway/?token=canary", {}),
        ("http://gateway/#canary", {}),
        ("http://gateway", {"x": "canary\r\nhost: other"}),
        ("http://gateway", {"x y": "canary"}),
        ("http://gateway", {"Host": "canary"}),
        ("http://gateway", {"x": "canary \u20ac"}),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once(base: str, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\S") as told:
        connect(base, headers)
    assert "canary" not in str(told.value)


def test_an_address_that_swallows_everything_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with an IPv6 address that leads nowhere, and an IPv4 one that works: the usual half-made network."""
    with socket.create_server(("127.0.0.2", 0), backlog=0) as deaf, Sink() as sink:
        # Its queue is full: the kernel no longer answers those who come.
        fillers = [socket.socket() for _ in range(4)]
        for one in fillers:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", deaf.getsockname()),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", sink.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        assert post(sink, timeout=2.0) == Answer("accepted")
        for one in fillers:
            one.close()
