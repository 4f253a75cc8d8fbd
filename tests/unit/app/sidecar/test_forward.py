"""Spool -> sink, over real HTTP: joined, in order, tried until taken, refused ones found out and counted."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from fleetwatch.app.sidecar.forward import Forwarder
from fleetwatch.app.sidecar.forward import Sink as SinkState
from fleetwatch.send.client import PROTOBUF, Answer, Client
from fleetwatch.spool import Spool
from support import wait_for
from support_receive import traces
from support_sidecar import Sink, running_sink

MIB = 1 << 20


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool", 16 * MIB)
    yield opened
    opened.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    with running_sink() as running:
        yield running


def names(body: bytes) -> list[str]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span.name for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]


def forward(spool: Spool, sink: Sink, timeout: float = 20, most: int = 20 * MIB) -> SinkState:
    """Until the spool is empty."""
    state = SinkState("the sink")
    forwarder = Forwarder(spool, Client(f"http://{sink.address}"), state, most)
    forwarder.start()
    try:
        wait_for(lambda: spool.stats().size == 0, timeout, "the spool to be empty")
    finally:
        forwarder.stop(5)
    return state


def lost(spool: Spool) -> dict[tuple[str, str], int]:
    return {key: items for key, items in spool.stats().dropped.items() if items}


def test_requests_of_a_signal_are_joined(spool: Spool, sink: Sink) -> None:
    for number in range(30):
        plain = traces(f"span {number}").SerializeToString()
        encoding, body = [("gzip", gzip.compress(plain)), ("deflate", zlib.compress(plain)), ("identity", plain)][
            number % 3
        ]
        spool.append("traces", encoding, body, 1)
    state = forward(spool, sink)
    (request,) = sink.requests
    assert names(request.body) == [f"span {number}" for number in range(30)]
    assert (request.path, request.encoding, request.kind) == ("/v1/traces", "gzip", "application/x-protobuf")
    assert spool.stats().forwarded["traces"] == 30
    assert state.up


def test_a_joined_request_is_bounded(spool: Spool, sink: Sink) -> None:
    big = traces("x" * 400_000).SerializeToString()
    for _ in range(5):
        spool.append("traces", "gzip", gzip.compress(big), 1)
    forward(spool, sink)
    assert [len(names(request.body)) for request in sink.requests] == [2, 2, 1]


def test_a_signal_that_the_sink_has_no_place_for_does_not_hold_up_the_others(
    spool: Spool, sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A Collector without a pipeline for logs answers 404 to them, for ever."""
    monkeypatch.setattr("fleetwatch.send.answer.MISSET", 0.05)
    sink.absent = {"/v1/logs"}
    for number in range(3):
        spool.append("logs", "identity", b"", 7)
        spool.append("traces", "identity", traces(f"span {number}").SerializeToString(), 1)
    forward(spool, sink)
    assert [name for body in sink.bodies() for name in names(body)] == ["span 0", "span 1", "span 2"]
    assert lost(spool) == {("logs", "refused"): 21}
    assert "the sink refused 7 items (logs), which are lost: answered 404" in caplog.text


def test_an_address_that_takes_nothing_loses_nothing(spool: Spool, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong path in the settings, or a proxy whose servers are being exchanged: people mend that."""
    monkeypatch.setattr("fleetwatch.send.answer.MISSET", 0.01)
    sink.absent = {"/v1/logs", "/v1/traces", "/v1/metrics"}
    spool.append("logs", "identity", b"", 7)
    spool.append("traces", "identity", traces("span").SerializeToString(), 1)
    forwarder = Forwarder(spool, Client(f"http://{sink.address}"), SinkState("the sink"), MIB)
    forwarder.start()
    wait_for(lambda: sink.seen > 8, 20, "some tries")
    sink.absent = set()
    wait_for(lambda: spool.stats().size == 0, 40, "the spool to be empty")
    forwarder.stop(5)
    assert lost(spool) == {}
    assert spool.stats().forwarded == {"traces": 1, "metrics": 0, "logs": 7}


def test_json_stays_json(spool: Spool, sink: Sink) -> None:
    body = json.dumps({"resourceSpans": []}).encode()
    spool.append("traces", "json", body, 1)
    spool.append("traces", "json+gzip", gzip.compress(body), 1)
    spool.append("logs", "json+deflate", zlib.compress(body * 100), 1)
    forward(spool, sink)
    assert [(request.kind, request.body) for request in sink.requests] == [
        ("application/json", body),
        ("application/json", body),
        ("application/json", body * 100),
    ]


def test_what_the_sink_cannot_take_now_comes_again_in_order(spool: Spool, sink: Sink) -> None:
    for number in range(3):
        spool.append(("traces", "logs")[number % 2], "identity", traces(str(number)).SerializeToString(), 1)
    sink.answers = [(503, {}, b""), (429, {"retry-after": "1"}, b"")]
    forward(spool, sink)
    assert [request.path for request in sink.requests] == ["/v1/traces", "/v1/logs", "/v1/traces"]
    assert sink.seen == 5
    assert lost(spool) == {}


def test_the_sink_is_given_the_time_it_asks_for(spool: Spool, sink: Sink) -> None:
    spool.append("traces", "identity", b"", 1)
    sink.answers = [(429, {"retry-after": "2"}, b"")]
    waited: list[float] = []
    answer = sink.answer

    def timed(request):  # type: ignore[no-untyped-def] # as the one that it stands before
        waited.append(request.time)
        return answer(request)

    sink.answer = timed  # type: ignore[method-assign] # times what comes
    forward(spool, sink)
    assert waited[1] - waited[0] >= 2


def test_a_refused_request_costs_only_what_is_bad(spool: Spool, sink: Sink) -> None:
    for number in range(10):
        spool.append("traces", "identity", traces(f"{number}", "bad" if number == 4 else "good").SerializeToString(), 2)
    sink.refuses = b"bad"
    forward(spool, sink)
    taken = [name for body in sink.bodies() for name in names(body) if name != "good"]
    assert taken == ["0", "1", "2", "3", "5", "6", "7", "8", "9"]
    assert lost(spool) == {("traces", "refused"): 2}
    assert spool.stats().forwarded["traces"] == 18


def test_items_refused_inside_an_accepted_request_are_counted(spool: Spool, sink: Sink) -> None:
    spool.append("traces", "identity", traces("a", "b", "c").SerializeToString(), 3)
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 2
    sink.answers = [(200, {"content-type": "application/x-protobuf"}, partial.SerializeToString())]
    forward(spool, sink)
    assert lost(spool) == {("traces", "refused"): 2}
    assert spool.stats().forwarded["traces"] == 1


def test_what_the_settings_no_longer_allow_is_refused_and_holds_nothing_up(spool: Spool, sink: Sink) -> None:
    for size in (10, 50_000, 10):
        spool.append("traces", "gzip", gzip.compress(traces("x" * size).SerializeToString()), 1)
        spool.append("traces", "deflate", zlib.compress(traces("x" * size).SerializeToString()), 1)
    forward(spool, sink, most=1000)
    assert lost(spool) == {("traces", "refused"): 1}
    assert sum(len(names(body)) for body in sink.bodies()) == 5


def test_a_sink_that_is_away_is_waited_for(spool: Spool) -> None:
    with running_sink() as sink:
        pass
    spool.append("traces", "identity", traces("a").SerializeToString(), 1)
    state = SinkState("the sink")
    forwarder = Forwarder(spool, Client(f"http://{sink.address}"), state, MIB)
    forwarder.start()
    wait_for(lambda: state.up is False, 10, "a failed try")
    forwarder.stop(5)
    assert spool.stats().size > 0
    assert lost(spool) == {}


class Watched(Client):
    """Notes what it is given to post."""

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self.posted: list[tuple[bytes, bool]] = []

    def post(self, signal: str, body: bytes, *, gzip: bool = False, content_type: str = PROTOBUF) -> Answer:
        self.posted.append((body, gzip))
        return super().post(signal, body, gzip=gzip, content_type=content_type)


def test_what_fills_a_request_is_not_unpacked(spool: Spool, sink: Sink) -> None:
    """Twenty megabytes of nothing take a few kilobytes, and should take no more here."""
    packed = gzip.compress(traces(*["x" * 10_000] * 200).SerializeToString())
    small = gzip.compress(traces("a").SerializeToString())
    for body in (packed, packed, small):
        spool.append("traces", "gzip", body, 1)
    client = Watched(f"http://{sink.address}")
    forwarder = Forwarder(spool, client, SinkState("the sink"), 20 * MIB)
    forwarder.start()
    wait_for(lambda: spool.stats().size == 0, 20, "the spool to be empty")
    forwarder.stop(5)
    assert client.posted == [(packed, True), (packed, True), (small, True)]


def test_an_outage_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink = SinkState("http://gateway", lambda: 12)
    away = Answer("again", why="Connection refused")
    for sender in ("data", "reports") * 3:
        sink.saw(sender, away)
    assert sink.up is False
    for sender in ("data", "reports") * 3:
        sink.saw(sender, Answer("accepted"))
    assert sink.up is True
    assert [record.message for record in caplog.records] == [
        "http://gateway does not take data; it is kept and tried again: Connection refused",
        "http://gateway takes everything again after 0 s; 12 items wait",
    ]


def test_a_sink_that_takes_reports_alone_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    sink = SinkState("http://gateway")
    for _ in range(5):
        sink.saw("reports", Answer("accepted"))
        sink.saw("data", Answer("again", why="answered 404"))
        assert sink.up is False
    assert len(caplog.records) == 1
