"""What OpenLineage's senders are told, and that the public client can talk to us."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from openlineage.client import OpenLineageClient
from openlineage.client.transport.http import HttpConfig, HttpTransport

from fleetwatch.app.sidecar.intake import SpoolIntake
from fleetwatch.receive import Limits, Throttled, TokenFile, Unavailable, serve_http
from fleetwatch.receive.openlineage import MOST_EVENTS
from fleetwatch.spool import Spool
from support import wait_for
from support_openlineage import Night, as_json
from support_receive import JSON, Receiver, in_loop

ONE, BATCH = "/api/v1/lineage", "/api/v1/lineage/batch"
NIGHT = [as_json(event) for event in Night().events()]
GOOD = json.dumps(NIGHT[0]).encode()
BAD: dict[str, Any] = {**NIGHT[0], "eventTime": "yesterday"}


def client(receiver: Receiver, **config: Any) -> OpenLineageClient:
    given = {"url": f"http://127.0.0.1:{receiver.port}", "retry": {"backoff_factor": 0.01}, **config}
    return OpenLineageClient(transport=HttpTransport(HttpConfig.from_dict(given)))


@pytest.mark.parametrize("path", [ONE, BATCH])
@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("identity", GOOD), ("gzip", gzip.compress(GOOD)), ("deflate", zlib.compress(GOOD))],
)
def test_an_event_is_taken(receiver: Receiver, path: str, encoding: str, packed: bytes) -> None:
    answer = receiver.post(path, packed, "application/json; charset=utf-8", {"content-encoding": encoding})
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, JSON, b"{}")
    assert [record.me.name for record in receiver.records] == ["nightly_sales"]
    assert receiver.requests == [("lineage", "http", "ok")]


def test_a_list_of_events_is_taken_in_one_go(receiver: Receiver) -> None:
    assert receiver.post(BATCH, json.dumps(NIGHT).encode(), JSON).status == 200
    assert (len(receiver.records), receiver.seen) == (len(NIGHT), 1)


def test_of_a_list_the_good_ones_are_kept_and_the_bad_ones_told(receiver: Receiver) -> None:
    answer = receiver.post(BATCH, json.dumps([NIGHT[0], BAD, NIGHT[1], 7]).encode(), JSON)
    said = json.loads(answer.body)
    assert (answer.status, said["accepted"], said["rejected"]) == (200, 2, 2)
    assert [error["event"] for error in said["errors"]] == [1, 3]
    assert said["errors"][0]["message"].startswith("eventTime: expected a time")
    assert len(receiver.records) == 2
    assert receiver.rejections == [("lineage", "bad_event", 2)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"7", "expected an object"),
        (b'{"eventTime": NaN}', "not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "not JSON"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (json.dumps(BAD).encode(), "eventTime: expected a time like"),
        (json.dumps([BAD, BAD]).encode(), "eventTime: expected a time like"),
        (gzip.compress(GOOD), "not JSON"),
    ],
    ids=["empty", "binary", "number", "NaN", "deep lists", "deep objects", "long number", "bad", "all bad", "packed"],
)
def test_what_never_will_be_good_is_refused(receiver: Receiver, body: bytes, said: str) -> None:
    answer = receiver.post(ONE, body, JSON)
    assert answer.status == 400
    assert said in json.loads(answer.body)["message"]
    assert receiver.requests == [("lineage", "http", "bad_request")]
    assert receiver.records == []


def test_nothing_and_events_without_a_run_are_good_and_leave_nothing(receiver: Receiver) -> None:
    assert receiver.post(BATCH, b"[]", JSON).status == 200
    assert receiver.post(ONE, b'{"eventTime": "2026-03-01T00:00:00Z", "dataset": {"name": "d"}}', JSON).status == 200
    assert (receiver.records, receiver.seen) == ([], 0)


@pytest.mark.parametrize(
    "body",
    [
        b"x" * (9 << 20),
        b"[" + b",".join([b"{}"] * 260_000) + b"]",
        json.dumps([0] * (MOST_EVENTS + 1)).encode(),
    ],
    ids=["long", "many objects", "many events"],
)
def test_what_is_too_large_is_refused(receiver: Receiver, body: bytes) -> None:
    assert receiver.post(BATCH, body, JSON).status == 413
    assert receiver.requests == [("lineage", "http", "too_large")]


def test_a_bomb_is_not_unpacked(receiver: Receiver) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    assert receiver.post(ONE, bomb, JSON, {"content-encoding": "gzip"}).status == 413


def test_a_megabyte_of_facets_is_read_over(receiver: Receiver) -> None:
    facets = {f"facet{number}": {"text": "x" * 1000} for number in range(1000)}
    event = {**NIGHT[0], "run": {**NIGHT[0]["run"], "facets": facets}}
    assert receiver.post(ONE, json.dumps(event).encode(), JSON).status == 200
    assert len(repr(receiver.records)) < 1000


@pytest.mark.parametrize(
    ("method", "kind", "status"),
    [("GET", JSON, 405), ("POST", "application/x-protobuf", 415), ("POST", "text/plain", 415)],
)
def test_other_methods_and_languages(receiver: Receiver, method: str, kind: str, status: int) -> None:
    answer = receiver.post(ONE, GOOD, kind, method=method)
    assert (answer.status, receiver.requests) == (status, [("lineage", "http", "unsupported")])
    assert json.loads(answer.body)["message"]


@pytest.mark.parametrize("failure", [Unavailable(3), Throttled(3)], ids=["unavailable", "throttled"])
def test_what_cannot_be_kept_now_is_asked_for_again(receiver: Receiver, failure: Exception) -> None:
    """503 for both: the clients drop an event after 429."""
    receiver.failures.append(failure)
    answer = receiver.post(ONE, GOOD, JSON)
    assert (answer.status, answer.headers["retry-after"]) == (503, "3")
    assert receiver.requests == [("lineage", "http", "unavailable")]


def test_another_path_says_which_there_are(receiver: Receiver) -> None:
    answer = receiver.post("/api/v1/lineages", GOOD, JSON)
    assert (answer.status, b"/api/v1/lineage" in answer.body) == (404, True)


@pytest.mark.parametrize("config", [{}, {"compression": "gzip"}], ids=["plain", "gzip"])
def test_the_public_client_is_understood(receiver: Receiver, config: dict[str, Any]) -> None:
    sender = client(receiver, **config)
    for event in Night().events():
        sender.emit(event)
    assert len(receiver.records) == len(NIGHT)
    assert receiver.requests == [("lineage", "http", "ok")] * len(NIGHT)


def test_the_public_client_comes_again_and_nothing_is_lost(receiver: Receiver) -> None:
    receiver.failures += [Unavailable(0), Throttled(0), Unavailable(0)]
    sender = client(receiver)
    sender.emit(next(Night().events()))
    assert [record.me.name for record in receiver.records] == ["nightly_sales"]
    assert [status for _, _, status in receiver.requests] == ["unavailable"] * 3 + ["ok"]


def test_the_public_client_drops_what_is_refused_at_once(receiver: Receiver) -> None:
    """It tells its user; and does not come again."""
    answer = requests.post(f"http://127.0.0.1:{receiver.port}{ONE}", json=BAD, timeout=10)
    assert answer.status_code == 400
    assert len(receiver.requests) == 1


def test_the_client_s_asynchronous_transport(receiver: Receiver) -> None:
    transport = {"type": "async_http", "url": f"http://127.0.0.1:{receiver.port}", "compression": "gzip"}
    sender = OpenLineageClient(config={"transport": transport})
    for event in Night().events():
        sender.emit(event)
    assert sender.close(timeout=20)
    wait_for(lambda: len(receiver.records) == len(NIGHT), 10, "all events")


def test_the_token_is_the_client_s_api_key(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    with Receiver(token=TokenFile(tmp_path / "token")) as receiver:
        assert receiver.post(ONE, GOOD, JSON).status == 401
        with pytest.raises(requests.HTTPError, match="401"):
            client(receiver, auth={"type": "api_key", "apiKey": "wrong"}).emit(next(Night().events()))
        client(receiver, auth={"type": "api_key", "apiKey": "s3cret"}).emit(next(Night().events()))
        assert len(receiver.records) == 1


def test_a_sidecar_says_where_to_send_them(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 1 << 20)
    server = in_loop(serve_http(SpoolIntake(spool, Limits(), None, durable=False), "127.0.0.1:0"))
    try:
        answer = httpx.post(f"http://{server.address}{ONE}", content=GOOD, headers={"content-type": JSON})
        assert answer.status_code == 404
        assert answer.json()["message"].endswith("send them to the exporter (fleetwatch run)")
        assert spool.stats().accepted == {"traces": 0, "metrics": 0, "logs": 0}
    finally:
        in_loop(server.stop(0.1))
        spool.close()
