"""Reports keep their pace whatever the sink says to them."""

from __future__ import annotations

import pytest

from fleetwatch.app.sidecar.forward import Sink
from fleetwatch.app.sidecar.report import Reporter
from fleetwatch.send.client import Client
from support import wait_for
from support_sidecar import running_sink


def test_a_sink_that_refuses_reports_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with running_sink() as sink:
        sink.refuses = b"report"
        reporter = Reporter(lambda: b"report", lambda _: Client(f"http://{sink.address}"), Sink("the sink"), 0.01)
        reporter.start()
        wait_for(lambda: sink.seen > 4, 5, "reports")
        reporter.stop()
    assert [record.message for record in caplog.records] == ["the sink refuses reports: answered 400"]
