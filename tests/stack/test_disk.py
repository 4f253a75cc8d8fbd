"""A disk that is full, read-only or damaged: senders are told to come again, and nothing acknowledged is missing."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import wait_for
from support_disk import Disk, small_disk
from support_house import House
from support_sdk import Answer, post_calls

pytestmark = pytest.mark.stack

BATCH = 200


def post(house: House) -> Answer:
    return post_calls(house.http, BATCH)


def counted(house: House) -> int:
    return sum(item.requests for item in house.spending("model"))


def wait_for_error(house: House, reason: str) -> None:
    """Until failures are counted: a new series shows 0 at first."""
    wait_for(lambda: house.value("fleetwatch_ledger_errors_total", reason=reason) >= 1, 10, f"an error {reason}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", mebibytes=2) as mounted:
        yield mounted


def test_a_full_disk_refuses_calls_and_loses_none(tmp_path: Path, disk: Disk) -> None:
    with House(tmp_path, data=disk.path) as house:
        assert post(house) == Answer(200, None)
        disk.fill()
        accepted = BATCH
        for _ in itertools.count():
            answer = post(house)
            if answer.status != 200:
                break
            accepted += BATCH  # the write-ahead log had pages to spare
        assert answer == Answer(503, "1")
        assert counted(house) == accepted
        status, why = house.get("/readyz")
        assert status == 503
        assert "disk full" in why
        assert str(house.ledger) in why
        assert "free space" in why
        wait_for_error(house, "disk_full")
        wait_for(
            lambda: house.value("fleetwatch_receiver_requests_total", status="unavailable") >= 1, 10, "the refusal"
        )
        assert house.get("/healthz")[0] == 200

        disk.free()
        assert post(house) == Answer(200, None)
        assert house.get("/readyz")[0] == 200
        assert counted(house) == accepted + BATCH
        house.kill9()
        house.start()
        wait_for(lambda: house.value("llm_requests_total") == accepted + BATCH, 15, "all calls on /metrics")
        assert house.value("llm_duplicate_calls_total") == 0
        assert house.run("ledger", "verify").returncode == 0


def test_an_idle_exporter_is_ready_again_when_there_is_space_again(tmp_path: Path, disk: Disk) -> None:
    """A load balancer sends nothing to what is not ready: readiness must not wait for a sender."""
    with House(tmp_path, data=disk.path) as house:
        disk.fill()
        wait_for(lambda: post(house).status == 503, 10, "the disk to be full")
        assert house.get("/readyz")[0] == 503
        disk.free()
        wait_for(lambda: house.get("/readyz")[0] == 200, 15, "readiness")


def test_a_read_only_disk_is_named_and_left_by_itself(tmp_path: Path, disk: Disk) -> None:
    with House(tmp_path, data=disk.path) as house:
        assert post(house).status == 200
        assert house.stop() == 0
        disk.remount("ro")
        house.start("/healthz")
        assert post(house) == Answer(503, "1")
        status, why = house.get("/readyz")
        assert status == 503
        assert "read only" in why
        wait_for_error(house, "read_only")
        disk.remount("rw")
        wait_for(lambda: house.get("/readyz")[0] == 200, 15, "readiness")
        assert post(house).status == 200
        assert counted(house) == 2 * BATCH


def test_a_damaged_ledger_is_not_used_and_a_backup_takes_its_place(tmp_path: Path) -> None:
    """The exporter runs on without it, says what is wrong, and takes the copy without a restart."""
    with House(tmp_path) as house:
        assert post(house).status == 200
        backup = tmp_path / "backup.db"
        made = house.run("ledger", "backup", str(backup))
        assert made.returncode == 0, made.stderr
        assert house.stop() == 0
        with house.ledger.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(8 * 4096))
        house.start("/healthz")
        assert post(house) == Answer(503, "1")
        status, why = house.get("/readyz")
        assert status == 503
        assert "damaged" in why
        assert "ledger backup" in why
        wait_for_error(house, "damaged")
        verified = house.run("ledger", "verify")
        assert verified.returncode == 1
        assert "Traceback" not in verified.stderr

        shutil.copyfile(backup, tmp_path / "copy.db")
        (tmp_path / "copy.db").replace(house.ledger)
        wait_for(lambda: house.get("/readyz")[0] == 200, 15, "readiness")
        assert post(house).status == 200
        assert counted(house) == 2 * BATCH


def test_a_file_that_is_no_ledger_at_all_is_left_as_it_is(tmp_path: Path) -> None:
    text = "a list of things to buy\n" * 300
    (tmp_path / "data").mkdir()
    house = House(tmp_path)
    house.ledger.write_text(text)
    house.start("/healthz")
    try:
        assert post(house).status == 503
        assert "damaged" in house.get("/readyz")[1]
        assert house.ledger.read_text() == text
    finally:
        house.kill9()
