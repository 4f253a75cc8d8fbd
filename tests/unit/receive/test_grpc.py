"""What a sender is told over gRPC."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped] # it has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # it has no stubs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from fleetwatch.receive import Limits, Throttled, TokenFile, Unavailable
from fleetwatch.receive.grpc import GrpcServer
from support import wait_for
from support_receive import Receiver, in_loop, traces

EXPORT = "/opentelemetry.proto.collector.{}.v1.{}Service/Export"
TRACES = EXPORT.format("trace", "Trace")
GOOD = traces("a", "b").SerializeToString()


def call(
    receiver: Receiver,
    body: bytes,
    method: str = TRACES,
    metadata: Iterable[tuple[str, str]] = (),
    compression: grpc.Compression = grpc.Compression.NoCompression,
) -> bytes:
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(receiver.grpc.address, options=options, compression=compression) as channel:
        answer: bytes = channel.unary_unary(method, bytes, bytes)(body, metadata=tuple(metadata), timeout=20)
        return answer


def refused(receiver: Receiver, body: bytes, method: str = TRACES) -> tuple[str, dict[str, bytes]]:
    with pytest.raises(grpc.RpcError) as caught:
        call(receiver, body, method)
    return code_of(caught.value), trailers_of(caught.value)


def trailers_of(error: BaseException) -> dict[str, bytes]:
    assert isinstance(error, grpc.Call)
    return {name: value for name, value in error.trailing_metadata() if isinstance(value, bytes)}


def code_of(error: BaseException) -> str:
    assert isinstance(error, grpc.Call)
    return str(error.code().name)


@pytest.mark.parametrize("compression", list(grpc.Compression))
def test_spans_arrive_in_each_compression(receiver: Receiver, compression: grpc.Compression) -> None:
    big = traces(*["a"] * 500)
    assert call(receiver, big.SerializeToString(), compression=compression) == b""
    assert receiver.records == ["a"] * 500
    assert receiver.requests == [("traces", "grpc", "ok")]


@pytest.mark.parametrize(
    ("signal", "package", "service"), [("metrics", "metrics", "Metrics"), ("logs", "logs", "Logs")]
)
def test_the_other_signals_have_their_services(receiver: Receiver, signal: str, package: str, service: str) -> None:
    assert call(receiver, b"", EXPORT.format(package, service)) == b""
    assert receiver.requests == [(signal, "grpc", "ok")]


def test_bad_items_are_named_and_the_good_ones_beside_them_are_kept(receiver: Receiver) -> None:
    answer = ExportTraceServiceResponse.FromString(call(receiver, traces("a", "bad").SerializeToString()))
    assert (answer.partial_success.rejected_spans, answer.partial_success.error_message) == (1, "not accepted: 1 no_id")
    assert receiver.records == ["a"]


@pytest.mark.parametrize(
    "body",
    [b"\x0a\xff", GOOD[:-1], gzip.compress(GOOD)[:-9], b"\x1f\x8bno", random.Random(1).randbytes(99) + b"\xff"],
    ids=["a length without its text", "cut", "cut gzip", "no gzip", "noise"],
)
def test_what_cannot_be_decoded_is_refused_for_good(receiver: Receiver, body: bytes) -> None:
    code, trailers = refused(receiver, body)
    assert code == "INVALID_ARGUMENT"
    assert "google.rpc.retryinfo-bin" not in trailers
    assert receiver.requests == [("traces", "grpc", "bad_request")]


@pytest.mark.parametrize(
    ("failure", "code", "seconds"), [(Throttled(0.25), "RESOURCE_EXHAUSTED", 0.25), (Unavailable(3), "UNAVAILABLE", 3)]
)
def test_a_sink_that_cannot_take_it_now_says_when_to_come_again(
    receiver: Receiver, failure: Exception, code: str, seconds: float
) -> None:
    """The Collector repeats RESOURCE_EXHAUSTED only when the status details carry RetryInfo."""
    receiver.failures.append(failure)
    got, trailers = refused(receiver, GOOD)
    assert got == code
    status = Status.FromString(trailers["grpc-status-details-bin"])
    info = RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.retry_delay.seconds + info.retry_delay.nanos / 1e9 == seconds
    assert (status.code, status.message) == (getattr(grpc.StatusCode, code).value[0], str(failure))
    assert receiver.records == []


def test_an_unknown_method_is_unimplemented(receiver: Receiver) -> None:
    assert refused(receiver, b"", EXPORT.format("profiles", "Profiles"))[0] == "UNIMPLEMENTED"


def test_a_call_without_a_message_is_refused(receiver: Receiver) -> None:
    with grpc.insecure_channel(receiver.grpc.address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(TRACES, bytes, bytes)(iter(()), timeout=5)
    assert code_of(caught.value) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("shown", ["Bearer wrong", "secret", None])
def test_a_sender_without_the_token_is_refused(tmp_path: Path, shown: str | None) -> None:
    (tmp_path / "token").write_text("secret")
    with Receiver(token=TokenFile(tmp_path / "token")) as receiver:
        with pytest.raises(grpc.RpcError) as caught:
            call(receiver, GOOD, metadata=[("authorization", shown)] if shown else [])
        assert code_of(caught.value) == "UNAUTHENTICATED"
        assert call(receiver, GOOD, metadata=[("authorization", "Bearer secret")]) == b""
        assert [status for _, _, status in receiver.requests] == ["unauthorized", "ok"]


def test_a_message_that_does_not_arrive_in_time_may_be_sent_again() -> None:
    with Receiver(Limits(timeout=0.3)) as receiver, grpc.insecure_channel(receiver.grpc.address) as channel:

        def slowly() -> Iterator[bytes]:
            time.sleep(1.5)  # the slow sender itself
            yield GOOD

        with pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(TRACES, bytes, bytes)(slowly(), timeout=10)
        assert code_of(caught.value) == "DEADLINE_EXCEEDED"
        assert receiver.requests == [("traces", "grpc", "timeout")]


def test_too_many_calls_at_once_are_asked_to_come_again() -> None:
    with Receiver(Limits(max_connections=2)) as receiver:

        async def close_gate() -> asyncio.Event:
            return asyncio.Event()

        gate = in_loop(close_gate())
        receiver.gate = gate
        with grpc.insecure_channel(receiver.grpc.address) as channel:
            export = channel.unary_unary(TRACES, bytes, bytes)
            waiting = [export.future(GOOD, timeout=20) for _ in range(2)]
            wait_for(lambda: receiver.seen == 2, what="two calls at the sink")
            with pytest.raises(grpc.RpcError) as caught:
                export(GOOD, timeout=20)
            assert code_of(caught.value) == "UNAVAILABLE"

            async def open_gate() -> None:
                gate.set()

            in_loop(open_gate())
            assert [future.result(10) for future in waiting] == [b"", b""]


def test_a_connection_that_says_nothing_is_closed() -> None:
    with Receiver(Limits(timeout=0.5)) as receiver:
        host, _, port = receiver.grpc.address.rpartition(":")
        for sent in (b"", b"PRI * HT", b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection((host, int(port))) as peer:
                peer.sendall(sent)
                peer.settimeout(5)
                try:
                    while peer.recv(1000):
                        pass
                except ConnectionResetError:
                    pass


def test_a_port_in_use_is_an_error_that_names_it(receiver: Receiver) -> None:
    with pytest.raises(OSError, match=receiver.grpc.address):
        in_loop(GrpcServer(receiver.intake, receiver.grpc.address).start())


def test_calls_under_way_are_finished_when_it_stops() -> None:
    receiver = Receiver()
    receiver.__enter__()

    async def open_later() -> None:
        receiver.gate = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, receiver.gate.set)

    in_loop(open_later())
    with grpc.insecure_channel(receiver.grpc.address) as channel:
        future = channel.unary_unary(TRACES, bytes, bytes).future(GOOD, timeout=10)
        wait_for(lambda: receiver.seen, what="the call at the sink")
        in_loop(receiver.stop())
        assert future.result(5) == b""
    assert receiver.records == ["a", "b"]
