"""The pusher keeps its pace, says once what is wrong, and ends soon."""

from __future__ import annotations

import logging
import time

import pytest

from fleetwatch.send.client import Client
from fleetwatch.send.pusher import Pusher
from support import wait_for
from support_sink import Sink, answer


def test_a_failure_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fleetwatch")
    with Sink(*[answer(503)] * 3, answer(200)) as sink:
        pusher = Pusher(lambda: b"x", Client(sink.url), 0.02)
        pusher.start()
        wait_for(lambda: len(sink.requests) > 5, what="pushes")
        pusher.stop()
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "OTLP export was not accepted; the next one carries the same totals",
        "OTLP export is accepted again",
    ]


def test_a_snapshot_that_fails_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        if len(made) < 3:
            raise ValueError("odd")
        return b"x"

    with Sink() as sink:
        pusher = Pusher(make, Client(sink.url), 0.02)
        pusher.start()
        wait_for(lambda: sink.requests, what="a push")
        pusher.stop()
    assert "OTLP export failed" in caplog.text


def test_what_a_sink_asks_for_is_kept() -> None:
    with Sink(answer(503, retry_after="60")) as sink:
        pusher = Pusher(lambda: b"x", Client(sink.url), 0.02)
        pusher.start()
        wait_for(lambda: sink.requests, what="a push")
        with pytest.raises(AssertionError):
            wait_for(lambda: len(sink.requests) > 1, 0.3)
        started = time.monotonic()
        pusher.stop()
        assert time.monotonic() - started < 0.4, "a pause is no reason to wait"


def test_a_sink_that_hangs_does_not_hold_up_the_end() -> None:
    with Sink(lambda one: None) as sink:
        pusher = Pusher(lambda: b"x", Client(sink.url), 0.02)
        pusher.start()
        wait_for(lambda: sink.requests, what="a push")
        started = time.monotonic()
        pusher.stop()
        assert time.monotonic() - started < 1
