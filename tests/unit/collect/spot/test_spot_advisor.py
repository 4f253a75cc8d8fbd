"""AWS' Spot Advisor from a loopback server or a file, and what of it outlives a restart."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO
from fleetwatch.collect.here import SpotAccess
from fleetwatch.collect.runner import NoData
from fleetwatch.collect.spot import _download
from fleetwatch.collect.spot._advice import RANGES, read
from fleetwatch.collect.spot.spot_advisor import FIRST_PAUSE, FRESH, SpotAdvisor
from fleetwatch.records.spot import Advice
from support_ec2 import Ec2, ec2
from support_spot_prices import POOL, Looks, fleet, instance

__all__ = ["ec2"]

LABELS = ("<5%", "5-10%", "10-15%", "15-20%", ">20%")


def data(**types: tuple[int, int]) -> dict[str, Any]:
    """m7g__large=(savings, bucket): in two regions."""
    told = {name.replace("__", "."): {"s": saved, "r": bucket} for name, (saved, bucket) in types.items()}
    ranges = [{"index": place, "label": LABELS[place], "dots": place, "max": end} for place, end in enumerate(RANGES)]
    regions = {
        name: {"Linux": told, "Windows": {"m7i.large": {"s": 40, "r": 2}}} for name in ("us-east-1", "eu-west-1")
    }
    return {"ranges": ranges, "spot_advisor": regions, "instance_types": {}, "global_rate": "<10%"}


DATA = data(m7g__large=(61, 1), c7g__large=(55, 4))


class Bucket(ThreadingHTTPServer):
    """Where the file lies. mode: ok, 500, redirect, endless, slow (a byte now and then), closed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = json.dumps(DATA).encode()
        self.etag = '"one"'
        self.modified = ""
        self.mode = "ok"
        self.asked: list[dict[str, str]] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/spot-advisor-data.json"


class _Handler(BaseHTTPRequestHandler):
    server: Bucket

    def do_GET(self) -> None:
        bucket = self.server
        bucket.asked.append(dict(self.headers))
        same = bucket.etag and self.headers.get("If-None-Match") == bucket.etag
        same = same or (bucket.modified and self.headers.get("If-Modified-Since") == bucket.modified)
        status = {"500": 500, "redirect": 302}.get(bucket.mode, 304 if same else 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        for name, value in (("ETag", bucket.etag), ("Last-Modified", bucket.modified)):
            if value:
                self.send_header(name, value)
        if bucket.mode == "endless":
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(gzip.compress(b" " * (_download.LARGEST + 1)))
            return
        self.end_headers()
        if bucket.mode == "slow":
            bucket.over.wait(10)
        elif status == 200:
            self.wfile.write(bucket.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with Bucket() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join(5)


def looks_of(ec2: Ec2, url: str = "", *, file: Path | None = None, state: Path | None = None) -> Looks:
    looks = Looks(SpotAdvisor, ec2, access=SpotAccess(advisor_url=url, advisor_file=file), state=state)
    fleet(looks.here, instance("m7g.large"))
    return looks


def test_types_in_use_and_alternates_are_shown(ec2: Ec2, bucket: Bucket, golden: Callable[[str, str], None]) -> None:
    looks = looks_of(ec2, bucket.url)
    looks.here.desk.alternates = frozenset(POOL._replace(instance_type=name) for name in ("c7g.large", "x9.huge"))
    looks.look()
    looks.look(later=600)
    assert looks.failure is None
    golden("sources/spot_advisor.prom", looks.page())


def test_all_types_of_the_regions_that_are_looked_at_are_on_the_desk(ec2: Ec2, bucket: Bucket) -> None:
    looks = looks_of(ec2, bucket.url)
    looks.look()
    at = int(ec2.now * NANO)
    assert looks.here.desk.advice == {
        ("us-east-1", "m7g.large", "Linux"): Advice(1, 0.61, at),
        ("us-east-1", "c7g.large", "Linux"): Advice(4, 0.55, at),
        ("us-east-1", "m7i.large", "Windows"): Advice(2, 0.4, at),
    }


@pytest.mark.parametrize("modified", [False, True])
def test_a_file_that_is_the_same_is_not_sent_again(ec2: Ec2, bucket: Bucket, modified: bool) -> None:
    if modified:
        bucket.etag, bucket.modified = "", "Sat, 21 Nov 2026 10:00:00 GMT"
    looks = looks_of(ec2, bucket.url)
    looks.look()
    looks.look(later=FRESH - 1)
    assert len(bucket.asked) == 1
    looks.look(later=2)
    assert len(bucket.asked) == 2
    name, value = ("If-Modified-Since", bucket.modified) if modified else ("If-None-Match", bucket.etag)
    assert bucket.asked[1][name] == value
    assert looks.failure is None
    assert looks.value(spot.ADVISOR_AGE) == 0
    assert looks.value(spot.ADVISOR_BUCKET) == 1


def test_it_outlives_a_restart(ec2: Ec2, bucket: Bucket, tmp_path: Path) -> None:
    looks = looks_of(ec2, bucket.url, state=tmp_path)
    looks.look()
    looks.restart()
    looks.look(later=600)
    assert len(bucket.asked) == 1
    assert looks.value(spot.ADVISOR_AGE) == 600
    assert looks.value(spot.ADVISOR_BUCKET) == 1
    looks.restart()
    looks.look(later=FRESH)
    # What it was is remembered, too.
    assert bucket.asked[1]["If-None-Match"] == '"one"'
    assert looks.value(spot.ADVISOR_AGE) == 0


@pytest.mark.parametrize("name", ["spot_advisor.json", "spot_advisor.note.json"])
def test_a_torn_file_is_said_and_asked_for_anew(
    ec2: Ec2, bucket: Bucket, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    looks = looks_of(ec2, bucket.url, state=tmp_path)
    looks.look()
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-3])
    looks.restart()
    looks.look(later=60)
    assert f"{name}: cannot be read, and is asked for anew" in caplog.text
    assert "If-None-Match" not in bucket.asked[1]
    assert looks.value(spot.ADVISOR_BUCKET) == 1


def test_the_advice_of_another_address_is_not_taken_over(ec2: Ec2, bucket: Bucket, tmp_path: Path) -> None:
    looks_of(ec2, bucket.url, state=tmp_path).look()
    looks_of(ec2, f"{bucket.url}?2", state=tmp_path).look()
    assert len(bucket.asked) == 2


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("500", "expected status 200, got 500"),
        ("redirect", "expected status 200, got 302"),
        ("endless", "expected at most 16 MiB, got more"),
        ("slow", "broke off (ReadTimeoutError)"),
    ],
)
def test_a_server_that_fails_is_said_and_the_last_advice_stays(
    ec2: Ec2, bucket: Bucket, mode: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_download, "ANSWER", 0.2 if mode == "slow" else 5)
    looks = looks_of(ec2, bucket.url)
    looks.look()
    bucket.mode, bucket.etag = mode, '"two"'
    looks.look(later=FRESH)
    assert message in str(looks.failure)
    assert "spot.advisor_url" in str(looks.failure)
    assert looks.value(spot.ADVISOR_AGE) == FRESH
    assert looks.value(spot.ADVISOR_BUCKET) == 1
    looks.look(later=FIRST_PAUSE - 1)
    assert len(bucket.asked) == 2, "the server is left alone for a while"
    assert looks.failure is not None, "it is said until it goes well"
    bucket.mode = "ok"
    looks.look(later=2)
    assert looks.failure is None
    assert looks.value(spot.ADVISOR_AGE) == 0


def test_a_server_that_is_not_there_is_said(ec2: Ec2) -> None:
    looks = looks_of(ec2, "http://127.0.0.1:1/data.json")
    looks.look()
    assert "http://127.0.0.1:1/data.json" not in str(looks.failure)
    assert "127.0.0.1/data.json: cannot be reached" in str(looks.failure)
    assert looks.samples == []


@pytest.mark.parametrize(
    "url", ["http://example.com/data.json", "ftp://127.0.0.1/x", "file:///etc/passwd", "data.json"]
)
def test_an_address_that_is_not_safe_is_not_asked(ec2: Ec2, url: str) -> None:
    looks = looks_of(ec2, url)
    looks.look()
    assert "expected an address like https://" in str(looks.failure)


def _without(found: dict[str, Any], *path: Any) -> None:
    *way, last = path
    for part in way:
        found = found[part]
    del found[last]


def _with(found: dict[str, Any], value: Any, *path: Any) -> None:
    *way, last = path
    for part in way:
        found = found[part]
    found[last] = value


TYPE = ("spot_advisor", "us-east-1", "Linux", "m7g.large")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: _without(found, "ranges"), "ranges: expected a list, got None"),
        (lambda found: _without(found, "ranges", 4), "ranges: expected them to end at (5, 11, 16, 22, 100) percent"),
        (lambda found: _with(found, 8, "ranges", 1, "max"), "ranges: expected them to end at"),
        (lambda found: _with(found, 7, "ranges", 1, "index"), "ranges[1].index: expected 1, got 7"),
        (lambda found: _without(found, "spot_advisor"), "spot_advisor: expected an object, got None"),
        (lambda found: _with(found, {}, "spot_advisor"), "spot_advisor: expected regions with types, got none"),
        (lambda found: _without(found, *TYPE[:3]), "spot_advisor.us-east-1.Linux: expected an object, got None"),
        (
            lambda found: _without(found, *TYPE, "r"),
            "spot_advisor.us-east-1.Linux.m7g.large.r: expected a whole number",
        ),
        (lambda found: _with(found, 5, *TYPE, "r"), "spot_advisor.us-east-1.Linux.m7g.large.r: expected 0 to 4, got 5"),
        (lambda found: _with(found, True, *TYPE, "r"), "Linux.m7g.large.r: expected a whole number, got True"),
        (lambda found: _with(found, "61%", *TYPE, "s"), "Linux.m7g.large.s: expected a whole number, got '61%'"),
        (lambda found: _with(found, 101, *TYPE, "s"), "Linux.m7g.large.s: expected percent, -1000 to 100, got 101"),
        (lambda found: _with(found, [], *TYPE), "Linux.m7g.large.r: expected a whole number"),
    ],
)
def test_a_changed_shape_names_the_field_and_changes_nothing(
    ec2: Ec2, bucket: Bucket, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    looks = looks_of(ec2, bucket.url)
    looks.look()
    found = json.loads(json.dumps(DATA))
    change(found)
    bucket.body, bucket.etag = json.dumps(found).encode(), '"two"'
    looks.look(later=FRESH)
    assert message in str(looks.failure)
    assert looks.value(spot.ADVISOR_BUCKET) == 1
    assert looks.value(spot.ADVISOR_AGE) == FRESH


def test_spot_may_be_dearer_than_on_demand() -> None:
    body = json.dumps(data(p5__48xlarge=(-62, 3))).encode()
    assert read(body, 0)["us-east-1", "p5.48xlarge", "Linux"] == Advice(3, -0.62, 0)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"ranges"', b"[" * 100_000])
def test_what_is_no_data_is_said(body: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        read(body, 0)


def test_a_file_takes_the_place_of_the_address(ec2: Ec2, bucket: Bucket, tmp_path: Path) -> None:
    file = tmp_path / "advisor.json"
    looks = looks_of(ec2, bucket.url, file=file)
    looks.look()
    assert f"spot.advisor_file: {file} cannot be read: No such file" in str(looks.failure)
    file.write_text(json.dumps(DATA))
    os.utime(file, (ec2.now - 5000, ec2.now - 5000))
    looks.look()
    assert looks.failure is None
    assert looks.value(spot.ADVISOR_AGE) == 5000
    assert looks.value(spot.ADVISOR_BUCKET) == 1
    file.write_text(json.dumps(data(m7g__large=(61, 3))))
    looks.look()
    assert looks.value(spot.ADVISOR_BUCKET) == 3
    file.write_text("{}")
    os.utime(file, (ec2.now, ec2.now))
    for _ in range(2):
        looks.look(later=10)
        assert "ranges: expected a list" in str(looks.failure), "until it is put right"
        assert looks.value(spot.ADVISOR_BUCKET) == 3
    assert bucket.asked == []


def test_with_neither_there_is_nothing(ec2: Ec2) -> None:
    with pytest.raises(NoData):
        list(looks_of(ec2).source())
