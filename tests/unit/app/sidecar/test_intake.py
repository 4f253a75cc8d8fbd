"""What applications are told, and what is in the spool then."""

from __future__ import annotations

import gzip
import http.client
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # it has no stubs

from fleetwatch.app.sidecar.intake import SpoolIntake
from fleetwatch.receive import Limits, TokenFile, serve_http
from fleetwatch.spool import Spool
from support_disk import small_disk
from support_receive import JSON, PROTOBUF, Answer, ask, in_loop, traces

MIB = 1 << 20
GOOD = traces("a", "b", "c").SerializeToString()
SPANS = [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "a"}] * 2
GOOD_JSON = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": SPANS}]}]}).encode()


class Door:
    """A receiver before a spool. `told` counts what the forwarder hears."""

    def __init__(self, folder: Path, token: TokenFile | None, *, durable: bool) -> None:
        self.spool = Spool(folder / "spool", MIB, "always" if durable else "interval")
        self._intake = SpoolIntake(self.spool, Limits(max_decompressed_bytes=MIB), token, durable=durable)
        self._intake.accepted = self._accepted
        self.told = 0
        self._server = in_loop(serve_http(self._intake, "127.0.0.1:0"))

    def _accepted(self) -> None:
        self.told += 1

    @property
    def trouble(self) -> str:
        return self._intake.trouble

    def post(self, body: bytes, kind: str = PROTOBUF, headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection(self._server.address, timeout=10)
        try:
            return ask(connection, "/v1/traces", body, kind, headers)
        finally:
            connection.close()

    def close(self) -> None:
        in_loop(self._server.stop(0.1))
        self.spool.close()


@contextmanager
def running_door(folder: Path, token: TokenFile | None = None, *, durable: bool = False) -> Iterator[Door]:
    door = Door(folder, token, durable=durable)
    try:
        yield door
    finally:
        door.close()


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize(
    ("body", "kind", "encoding", "kept"),
    [
        (GOOD, PROTOBUF, "", "identity"),
        (GOOD, PROTOBUF, "identity", "identity"),
        (gzip.compress(GOOD), PROTOBUF, "gzip", "gzip"),
        (zlib.compress(GOOD), PROTOBUF, "deflate", "deflate"),
        (GOOD_JSON, JSON, "", "json"),
        (gzip.compress(GOOD_JSON), JSON, "GZIP", "json+gzip"),
    ],
)
def test_a_request_is_in_the_spool_as_it_came(  # noqa: PLR0917 - a table's columns
    tmp_path: Path, body: bytes, kind: str, encoding: str, kept: str, durable: bool
) -> None:
    with running_door(tmp_path, durable=durable) as door:
        answer = door.post(body, kind, {"content-encoding": encoding} if encoding else {})
        assert (answer.status, answer.body) == (200, b"{}" if kind == JSON else b"")
        (record,) = door.spool.take()
        assert (record.body, record.encoding, record.items) == (body, kept, 2 if kind == JSON else 3)
        assert door.told == 1


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"no protobuf", PROTOBUF, 400),
        (b"{]", JSON, 400),
        (b"[]", JSON, 400),
        (bytes(MIB + 1), PROTOBUF, 413),
        (GOOD, "text/plain", 415),
    ],
)
def test_what_is_no_request_is_refused_at_once(tmp_path: Path, body: bytes, kind: str, status: int) -> None:
    with running_door(tmp_path) as door:
        assert door.post(body, kind).status == status
        assert door.spool.stats().size == 0


def test_an_empty_request_is_not_kept(tmp_path: Path) -> None:
    with running_door(tmp_path) as door:
        assert door.post(b"").status == door.post(b"{}", JSON).status == 200
        assert door.spool.stats().size == 0


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    with running_door(tmp_path) as door:
        answer = door.post(gzip.compress(GOOD)[:-5], headers={"content-encoding": "gzip"})
        assert answer.status == 400
        assert Status.FromString(answer.body).message == "the compressed body is cut off"


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    with running_door(tmp_path, TokenFile(tmp_path / "token")) as door:
        assert door.post(GOOD).status == 401
        assert door.post(GOOD, headers={"authorization": "Bearer secret"}).status == 200


def test_a_full_disk_asks_senders_to_come_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk, running_door(disk.path) as door:
        disk.fill()
        answer = door.post(GOOD)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert "no room on the disk" in door.trouble
        disk.free()
        assert door.post(GOOD).status == 200
        assert door.trouble == ""
        stats = door.spool.stats()
        assert (stats.accepted["traces"], sum(stats.dropped.values())) == (3, 0)
