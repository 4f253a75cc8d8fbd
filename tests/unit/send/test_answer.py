"""What answers mean: how long to wait, what was rejected, and which words of the sink may be told."""

from __future__ import annotations

import email.utils
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from fleetwatch.send.answer import LONGEST_WISH, MISSET, Answer, judge
from support_sink import SECRET, Sink, answer, post

PROTOBUF = "application/x-protobuf"


def partial(rejected: int, message: str = "") -> bytes:
    part = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=part).SerializeToString()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("0", 0),
        ("-3", 0),
        ("86400", LONGEST_WISH),
        ("inf", LONGEST_WISH),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WISH),
        ("Fri, 99 Dec 2026 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_heard_within_bounds(text: str, seconds: float | None) -> None:
    with Sink(answer(503, retry_after=text)) as sink:
        assert post(sink).retry_after == seconds


def test_retry_after_may_be_a_date() -> None:
    found = judge(429, {"retry-after": email.utils.formatdate(time.time() + 60, usegmt=True)}, b"")
    assert found.retry_after is not None
    assert 55 < found.retry_after <= 60


class TestPartialSuccess:
    def test_rejected_items_are_counted(self) -> None:
        with Sink(answer(200, partial(3, "too\nold"), content_type=PROTOBUF)) as sink:
            assert post(sink) == Answer("accepted", 3, why="rejected 3 items: too old")

    def test_a_warning_is_told(self) -> None:
        assert judge(200, {"content-type": PROTOBUF}, partial(0, "slow")).why == "rejected 0 items: slow"

    def test_json_is_taken_for_accepted(self) -> None:
        body = b'{"partialSuccess":{"rejectedSpans":"3"}}'
        assert judge(200, {"content-type": "application/json"}, body) == Answer("accepted")

    def test_a_web_page_is_no_receiver(self) -> None:
        with Sink(answer(200, b"<html>", content_type="text/html; charset=utf-8")) as sink:
            found = post(sink)
        assert (found.outcome, found.retry_after) == ("again", MISSET)

    @given(
        st.binary(max_size=60),
        st.integers(200, 599),
        st.sampled_from([PROTOBUF, "application/json", "text/plain", "text/html", ""]),
    )
    def test_no_answer_is_too_odd(self, body: bytes, status: int, kind: str) -> None:
        found = judge(status, {"content-type": kind}, body, (SECRET,))
        assert found.rejected >= 0
        assert found.why.isprintable()

    @given(st.integers(0, 2**63 - 1), st.text(st.characters(codec="utf-8"), max_size=30))
    def test_what_the_official_message_says_is_read(self, rejected: int, message: str) -> None:
        assert judge(200, {"content-type": PROTOBUF}, partial(rejected, message)).rejected == rejected


@pytest.mark.parametrize("kept", [SECRET, "canary-0123456789", "is ry-012345 known"])
def test_a_sink_that_repeats_a_secret_is_not_quoted(kept: str) -> None:
    with Sink(answer(400, f"bad header {kept}".encode(), content_type="text/plain")) as sink:
        assert post(sink).why == "answered 400"


def test_a_refusal_s_reason_is_told() -> None:
    with Sink(answer(400, b"\x12\x07too old", content_type=PROTOBUF)) as sink:
        assert post(sink).why == "answered 400: too old"
    assert judge(400, {"content-type": "text/plain"}, b"x" * 10**6).why == "answered 400: " + "x" * 200
