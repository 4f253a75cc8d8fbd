"""The real Collector as a sender: what it repeats and what it gives up, over both transports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from fleetwatch.receive import BadRequest, Throttled, TokenFile, TooLarge, Unavailable
from support import free_port, wait_for
from support_receive import Receiver, traces
from support_stack import post, program, running

pytestmark = pytest.mark.stack

RETRY = {"enabled": True, "initial_interval": "100ms", "max_interval": "1s", "max_elapsed_time": "30s"}


@contextmanager
def collector(receiver: Receiver, exporter: str, folder: Path, token: str = "") -> Iterator[str]:
    """The address of a Collector that passes traces on to the receiver with `exporter`, gzip and retries."""
    port = free_port()
    address = receiver.grpc.address if exporter == "otlp_grpc" else f"http://{receiver.http.address}"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    sender = {"endpoint": address, "tls": {"insecure": True}, "retry_on_failure": RETRY, "headers": headers}
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "exporters": {exporter: sender},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": [exporter]}},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [program("otelcol-contrib"), "--config", str(folder / "config.yaml")]
    url = f"http://127.0.0.1:{port}/v1/traces"
    with running(command, folder / "log"):
        wait_for(lambda: post(url, b"") == 200, timeout=30, what="the Collector")
        yield url


@pytest.fixture(params=["otlp_http", "otlp_grpc"])
def exporter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def send(url: str, name: str) -> None:
    assert post(url, traces(name, trace_id=name.encode().ljust(16)).SerializeToString()) == 200


def test_the_collector_repeats_what_can_be_taken_later(exporter: str, tmp_path: Path) -> None:
    with Receiver() as receiver, collector(receiver, exporter, tmp_path) as url:
        receiver.failures += [Throttled(0.2), Unavailable(0.2), Throttled(0.2)]
        send(url, "later")
        wait_for(lambda: receiver.records == ["later"], timeout=20, what="the span after three refusals")
        assert receiver.seen == 4


@pytest.mark.parametrize("failure", [BadRequest("no"), TooLarge("no")], ids=["bad", "too large"])
def test_the_collector_gives_up_what_can_never_be_taken(exporter: str, failure: Exception, tmp_path: Path) -> None:
    with Receiver() as receiver, collector(receiver, exporter, tmp_path) as url:
        receiver.failures.append(failure)
        send(url, "never")
        wait_for(lambda: "Exporting failed" in (tmp_path / "log").read_text(), what="the Collector's word on it")
        send(url, "next")
        wait_for(lambda: receiver.records == ["next"], what="the next span")
        assert receiver.seen == 2
        assert str(failure) in (tmp_path / "log").read_text()


def test_the_collector_is_told_what_was_left_out(exporter: str, tmp_path: Path) -> None:
    with Receiver() as receiver, collector(receiver, exporter, tmp_path) as url:
        assert post(url, traces("good", "bad").SerializeToString()) == 200
        wait_for(lambda: "not accepted: 1 no_id" in (tmp_path / "log").read_text(), what="partial success in its log")
        assert receiver.records == ["good"]


def test_the_collector_shows_the_token(exporter: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    receiver = Receiver(token=TokenFile(tmp_path / "token"))
    with receiver, collector(receiver, exporter, tmp_path, token="secret") as url:
        send(url, "known")
        wait_for(lambda: receiver.records == ["known"], what="the span")
