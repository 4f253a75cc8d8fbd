"""What a sender is told over HTTP, for each thing it can do."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import socket
import time
import zlib
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import BadRequest as BadRequestDetail  # type: ignore[import-untyped] # it has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # it has no stubs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from fleetwatch.dialects import Translation
from fleetwatch.receive import Limits, Throttled, TokenFile, Unavailable
from support import wait_for
from support_receive import JSON, Receiver, ask, in_loop, traces

GOOD = traces("a", "b").SerializeToString()
MB = 1 << 20


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
@pytest.mark.parametrize(("kind", "empty"), [("application/x-protobuf", b""), ("application/json", b"{}")])
def test_each_signal_is_answered_in_the_language_of_the_request(
    receiver: Receiver, signal: str, kind: str, empty: bytes
) -> None:
    answer = receiver.post(f"/v1/{signal}", empty, kind)
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, kind, empty)
    assert receiver.requests == [(signal, "http", "ok")]


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(GOOD)),
        ("gzip", gzip.compress(GOOD[:10]) + gzip.compress(GOOD[10:])),
        ("deflate", zlib.compress(GOOD)),
        ("identity", GOOD),
        ("GZIP", gzip.compress(GOOD)),
    ],
)
def test_compressed_bodies_are_read(receiver: Receiver, encoding: str, packed: bytes) -> None:
    answer = receiver.post("/v1/traces", packed, headers={"content-encoding": encoding})
    assert answer.status == 200
    assert receiver.records == ["a", "b"]


def test_the_answer_waits_for_the_commit(receiver: Receiver) -> None:
    receiver.failures.append(Unavailable(1))
    assert receiver.post("/v1/traces", GOOD).status == 503
    assert receiver.records == []


def test_bad_items_are_named_and_the_good_ones_beside_them_are_kept(receiver: Receiver) -> None:
    request = traces("a", "bad one", "b", "bad two")
    answer = receiver.post("/v1/traces", request.SerializeToString())
    partial = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, partial.rejected_spans, partial.error_message) == (200, 2, "not accepted: 2 no_id")
    assert receiver.records == ["a", "b"]
    assert receiver.rejections == [("traces", "no_id", 2)]

    answer = receiver.post("/v1/traces", otlp_json(request), JSON)
    assert json.loads(answer.body) == {
        "partialSuccess": {"rejectedSpans": "2", "errorMessage": "not accepted: 2 no_id"}
    }


def otlp_json(request: object) -> bytes:
    """The request as OTLP writes JSON: ids in hexadecimal, enumerations as numbers."""
    data = MessageToDict(request, use_integers_for_enums=True)  # type: ignore[arg-type] # any message
    for group in data["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for number, span in enumerate(scope["spans"], 1):
                if "traceId" in span:
                    span["traceId"], span["spanId"] = (b"t" * 16).hex().upper(), number.to_bytes(8, "big").hex()
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    "body",
    [b"\x0a\xff", GOOD[:-1], b"{", random.Random(1).randbytes(300) + b"\x0a\xff", b"\x00", b"no protobuf"],
    ids=["a length without its text", "cut", "JSON", "noise", "zero", "text"],
)
def test_what_cannot_be_decoded_is_refused_for_good(receiver: Receiver, body: bytes) -> None:
    answer = receiver.post("/v1/traces", body)
    status = Status.FromString(answer.body)
    detail = BadRequestDetail()
    assert (answer.status, answer.headers["content-type"]) == (400, "application/x-protobuf")
    assert "retry-after" not in answer.headers
    assert (status.code, status.message) == (3, "the body is not a protobuf message of this signal")
    assert status.details[0].Unpack(detail)
    assert detail.field_violations[0].description == status.message
    assert receiver.requests == [("traces", "http", "bad_request")]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"resourceSpans":7}', b"[" * 100_000, b'{"a":' * 10_000])
def test_bad_json_is_refused_in_json(receiver: Receiver, body: bytes) -> None:
    answer = receiver.post("/v1/traces", body, JSON)
    assert (answer.status, answer.headers["content-type"]) == (400, JSON)
    assert json.loads(answer.body)["code"] == 3


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [b"", b"no such thing", gzip.compress(GOOD)[:-9], zlib.compress(GOOD)[:-5]])
def test_a_damaged_compressed_body_is_refused_for_good(receiver: Receiver, encoding: str, body: bytes) -> None:
    assert receiver.post("/v1/traces", body, headers={"content-encoding": encoding}).status == 400


def test_other_paths_methods_types_and_encodings_are_named(receiver: Receiver) -> None:
    assert receiver.post("/v1/profiles", GOOD).status == 404
    answer = receiver.post("/v1/traces", b"", method="GET")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = receiver.post("/v1/traces", GOOD, "text/plain")
    assert answer.status == 415
    assert "expected application/x-protobuf" in json.loads(answer.body)["message"]
    assert receiver.post("/v1/traces", GOOD, headers={"content-encoding": "br"}).status == 415
    assert receiver.post("/v1/traces", otlp_json(traces("a")), "application/json; charset=utf-8").status == 200
    assert receiver.requests == [*[("traces", "http", "unsupported")] * 3, ("traces", "http", "ok")]


def test_a_sink_that_cannot_take_it_now_asks_for_a_repetition(receiver: Receiver) -> None:
    receiver.failures += [Throttled(0.2), Unavailable(7.1), RuntimeError("a mistake of ours")]
    answers = [receiver.post("/v1/traces", GOOD) for _ in range(4)]
    assert [answer.status for answer in answers] == [429, 503, 503, 200]
    assert [answer.headers.get("retry-after") for answer in answers] == ["1", "8", "5", None]
    assert [status for _, _, status in receiver.requests] == ["throttled", "unavailable", "unavailable", "ok"]
    assert receiver.records == ["a", "b"]


def test_a_translation_that_fails_is_not_repeated() -> None:
    def broken(request: object) -> None:
        raise KeyError("a mistake of ours")

    with Receiver(translate=broken) as receiver:
        answer = receiver.post("/v1/traces", GOOD)
    assert answer.status == 500
    assert b"KeyError" not in answer.body


def test_a_body_without_a_length_is_refused_when_it_has_grown_too_large() -> None:
    with (
        Receiver(Limits(max_body_bytes=100_000)) as receiver,
        socket.create_connection(("127.0.0.1", receiver.port)) as peer,
    ):
        peer.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for _ in range(20):
            peer.sendall(b"2710\r\n" + bytes(10_000) + b"\r\n")
        peer.settimeout(5)
        assert peer.recv(12) == b"HTTP/1.1 413"


def test_bodies_of_many_senders_together_are_bounded() -> None:
    limits = Limits(max_held_bytes=150_000)
    head = (
        b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 100001\r\n\r\n"
    )
    with Receiver(limits) as receiver:
        peers = [socket.create_connection(("127.0.0.1", receiver.port)) for _ in range(3)]
        for peer in peers:
            peer.sendall(head + bytes(100_000))
        wait_for(lambda: ("traces", "http", "unavailable") in receiver.requests, what="a refusal")
        for peer in peers:
            peer.close()
        wait_for(lambda: receiver.post("/v1/traces", GOOD).status == 200, what="room after they left")


@pytest.mark.parametrize("shown", [None, "Bearer wrong", "Bearer", "Basic secret", "secret", "Bearer secret2", ""])
def test_a_sender_without_the_token_is_refused(tmp_path: Path, shown: str | None) -> None:
    (tmp_path / "token").write_text("secret\n")
    with Receiver(token=TokenFile(tmp_path / "token")) as receiver:
        answer = receiver.post("/v1/traces", GOOD, headers={} if shown is None else {"authorization": shown})
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert b"secret" not in answer.body
        assert receiver.requests == [("traces", "http", "unauthorized")]
        for good in ("Bearer secret", "bearer  secret "):
            assert receiver.post("/v1/traces", GOOD, headers={"authorization": good}).status == 200


def test_a_body_that_does_not_arrive_in_time_may_be_sent_again() -> None:
    with Receiver(Limits(timeout=0.3)) as receiver, socket.create_connection(("127.0.0.1", receiver.port)) as peer:
        peer.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n"
            b"content-type: application/x-protobuf\r\ncontent-length: 50\r\n\r\nab"
        )
        peer.settimeout(5)
        begun = time.monotonic()
        answer = b"".join(iter(lambda: peer.recv(4096), b""))
        assert time.monotonic() - begun < 3
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer
        assert receiver.requests == [("traces", "http", "timeout")]


def test_a_sender_that_leaves_in_the_middle_is_no_request(receiver: Receiver) -> None:
    with socket.create_connection(("127.0.0.1", receiver.port)) as peer:
        peer.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"
        )
    assert receiver.post("/v1/traces", GOOD).status == 200
    assert receiver.requests == [("traces", "http", "ok")]


def test_a_refused_request_leaves_the_connection_usable(receiver: Receiver) -> None:
    connection = receiver.connect()
    assert ask(connection, "/v1/traces", b"\xff").status == 400
    assert ask(connection, "/v1/traces", bytes(9 * MB)).status == 413
    assert ask(connection, "/v1/traces", GOOD).status == 200
    connection.close()


def test_hostile_header_values_are_refused_or_ignored(receiver: Receiver) -> None:
    for header in (
        b"content-length: 99999999999999999999",
        b"content-length: -1",
        b"content-length: 1\r\ncontent-length: 2",
    ):
        with socket.create_connection(("127.0.0.1", receiver.port)) as peer:
            peer.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n" + header + b"\r\n\r\n")
            peer.settimeout(5)
            assert peer.recv(12) == b"HTTP/1.1 400"
    assert receiver.post("/v1/traces", GOOD).status == 200


def test_a_large_request_is_one_commit_and_one_answer(receiver: Receiver) -> None:
    """It is decoded and translated in parts, which nobody can see."""
    names = [("bad" if number % 100 == 7 else "good") + "x" * 1000 for number in range(2000)]
    answer = receiver.post("/v1/traces", traces(*names).SerializeToString())
    assert ExportTraceServiceResponse.FromString(answer.body).partial_success.rejected_spans == 20
    assert len(receiver.records) == 1980
    assert receiver.seen == 1
    assert receiver.rejections == [("traces", "no_id", 20)]


def test_a_large_request_with_a_bad_part_is_refused_whole(receiver: Receiver) -> None:
    body = traces(*["x" * 1000] * 2000).SerializeToString()
    assert receiver.post("/v1/traces", body[:-1]).status == 400
    assert receiver.seen == 0


def test_a_clock_that_leads_is_reported() -> None:
    with Receiver(translate=lambda request: Translation([], {}, 5)) as receiver:
        assert receiver.post("/v1/traces", GOOD).status == 200
        assert receiver.skews == [5]


def gate(receiver: Receiver, opens_after: float | None) -> None:
    """Let commits wait."""

    async def close() -> None:
        receiver.gate = asyncio.Event()
        if opens_after is not None:
            asyncio.get_running_loop().call_later(opens_after, receiver.gate.set)

    in_loop(close())


@pytest.mark.parametrize(("opens_after", "status"), [(0.3, 200), (None, 503)])
def test_a_stop_finishes_requests_and_asks_those_it_cannot_finish_to_come_again(
    opens_after: float | None, status: int
) -> None:
    receiver = Receiver()
    receiver.__enter__()
    connection = receiver.connect()
    gate(receiver, opens_after)
    connection.request("POST", "/v1/traces", GOOD, {"content-type": "application/x-protobuf"})
    wait_for(lambda: receiver.seen, what="the request at the sink")
    port = receiver.port
    in_loop(receiver.stop(grace=1))
    assert connection.getresponse().status == status
    assert receiver.records == (["a", "b"] if status == 200 else [])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
