"""The spool: order, bounds, and an account that is right whatever happens to the process and to its files."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fleetwatch.spool import Spool, SpoolError, SpoolFullError
from support import wait_for
from support_disk import Disk, small_disk
from support_spool import balance, drain, lost

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def test_records_come_back_in_order_and_in_batches_of_one_signal(folder: Path) -> None:
    spool = Spool(folder, MIB)
    for signal_name, body in (("traces", b"a"), ("traces", b"b"), ("logs", b"c"), ("traces", b"d")):
        spool.append(signal_name, "gzip", body, 2)
    batches = []
    while records := spool.take():
        batches.append(b"".join(record.body for record in records))
        spool.done(records)
    assert batches == [b"ab", b"c", b"d"]
    stats = spool.stats()
    assert stats.accepted == stats.forwarded == {"traces": 6, "metrics": 0, "logs": 2}
    assert (stats.size, stats.oldest) == (0, None)


@pytest.mark.parametrize(("most", "sizes"), [((250, 99), [2, 2, 1]), ((9999, 6), [2, 2, 1]), ((1, 1), [1] * 5)])
def test_a_batch_is_bounded_by_bytes_and_items(folder: Path, most: tuple[int, int], sizes: list[int]) -> None:
    spool = Spool(folder, MIB)
    for _ in range(5):
        spool.append("traces", "identity", b"x" * 100, 3)
    found = []
    while records := spool.take(*most):
        found.append(len(records))
        spool.done(records)
    assert found == sizes


def test_json_comes_alone(folder: Path) -> None:
    spool = Spool(folder, MIB)
    for encoding in ("identity", "json", "json+gzip", "gzip", "gzip"):
        spool.append("traces", encoding, b"x", 1)
    found = []
    while records := spool.take():
        found.append([record.encoding for record in records])
        spool.done(records)
    assert found == [["identity"], ["json"], ["json+gzip"], ["gzip", "gzip"]]


def test_what_is_not_settled_comes_again_after_a_restart(folder: Path) -> None:
    spool = Spool(folder, MIB, clock=lambda: 1000.0)
    for number in range(5):
        spool.append("traces", "identity", b"%d" % number, 1)
    records = spool.take()
    spool.done(records[:2])
    spool.close()
    again = Spool(folder, MIB)
    assert again.stats().forwarded["traces"] == 2
    assert again.stats().oldest == 1000
    assert [record.body for record in drain(again)] == [b"2", b"3", b"4"]


def test_a_refused_part_is_counted(folder: Path) -> None:
    spool = Spool(folder, MIB)
    spool.append("logs", "identity", b"x", 10)
    spool.done(spool.take(), rejected=4)
    assert spool.stats().forwarded["logs"] == 6
    assert lost(spool.stats()) == {("logs", "refused"): 4}


def test_past_its_bound_the_oldest_goes_and_is_counted(folder: Path) -> None:
    spool = Spool(folder, MIB)
    for number in range(400):
        spool.append("traces" if number % 2 else "logs", "identity", b"%04d" % number * 2500, 3)
    assert sum(file.stat().st_size for file in folder.glob("*.seg")) <= MIB
    left = drain(spool)
    assert [int(record.body[:4]) for record in left] == list(range(400 - len(left), 400))
    dropped = lost(spool.stats())
    assert set(dropped) == {("traces", "spool_full"), ("logs", "spool_full")}
    assert sum(dropped.values()) == 3 * (400 - len(left))
    assert balance(spool.stats()) == 0
    assert list(folder.glob("*.seg")) == []


def test_a_request_under_way_is_counted_by_what_becomes_of_it(folder: Path) -> None:
    """Its segment was given up meanwhile; the sink took it nevertheless."""
    spool = Spool(folder, MIB)
    spool.append("traces", "identity", b"x" * 30_000, 7)
    spool.append("traces", "identity", b"x" * 30_000, 1)
    under_way = spool.take(1)
    for _ in range(60):
        spool.append("traces", "identity", b"x" * 30_000, 1)
    spool.done(under_way)
    assert spool.stats().forwarded["traces"] == 7
    rest = len(drain(spool))
    assert lost(spool.stats()) == {("traces", "spool_full"): 61 - rest}


def test_a_request_under_way_in_a_crash_is_lost_with_its_segment(folder: Path) -> None:
    spool = Spool(folder, MIB)
    spool.append("traces", "identity", b"x" * 30_000, 7)
    spool.take()
    for _ in range(60):
        spool.append("traces", "identity", b"x" * 30_000, 1)
    spool.close()
    again = Spool(folder, MIB)
    rest = len(drain(again))
    assert lost(again.stats()) == {("traces", "spool_full"): 67 - rest}
    assert balance(again.stats()) == 0


def test_a_request_under_way_that_is_taken_anew_is_counted_once(folder: Path) -> None:
    spool = Spool(folder, MIB)
    spool.append("traces", "identity", b"x" * 30_000, 7)
    spool.take()
    for _ in range(60):
        spool.append("traces", "identity", b"x" * 30_000, 1)
    rest = len(drain(spool))
    assert lost(spool.stats()) == {("traces", "spool_full"): 67 - rest}


def test_a_body_larger_than_the_spool_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="expected at most 1048576 bytes"):
        Spool(folder, MIB).append("traces", "identity", bytes(MIB), 1)


def test_only_one_process_may_have_it(folder: Path) -> None:
    first = Spool(folder, MIB)
    with pytest.raises(SpoolError, match="another process has this spool"):
        Spool(folder, MIB)
    first.close()
    Spool(folder, MIB).close()


def test_nobody_else_may_read_it(folder: Path) -> None:
    Spool(folder, MIB).append("traces", "identity", b"x", 1)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes.pop("spool") == 0o700
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3


@pytest.mark.parametrize("sync", ["always", "interval", "never"])
def test_what_is_written_is_synced(folder: Path, sync: str, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def watched(file: int) -> None:
        synced.append(os.fstat(file).st_size)
        real(file)

    monkeypatch.setattr(os, "fdatasync", watched)
    spool = Spool(folder, MIB, sync, 0.01)  # type: ignore[arg-type] # the three that there are
    spool.append("traces", "identity", b"x" * 1000, 1)
    size = next(folder.glob("*.seg")).stat().st_size
    if sync == "always":
        spool.synced().result(5)
        assert size in synced
    elif sync == "interval":
        wait_for(lambda: size in synced, 5, "the sync")
    else:
        spool.synced().result(5)
        spool.close()
        assert synced == []


def test_a_full_disk_costs_the_oldest_first(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        spool = Spool(disk.path / "spool", 16 * MIB)  # segments of 1 MiB
        for _ in range(60):
            spool.append("traces", "identity", b"x" * 30_000, 1)
        disk.fill()
        for _ in range(10):
            spool.append("logs", "identity", b"y" * 30_000, 1)
        dropped = lost(spool.stats())
        assert set(dropped) == {("traces", "disk_full")}
        assert 30 < dropped["traces", "disk_full"] < 40
        with pytest.raises(SpoolFullError, match="no room on the disk"):
            append_while_others_fill(spool, disk)
        disk.free()
        spool.append("traces", "identity", b"z", 1)
        assert drain(spool)[-1].body == b"z"
        assert balance(spool.stats()) == 0
        spool.close()


def append_while_others_fill(spool: Spool, disk: Disk) -> None:
    for _ in range(200):
        disk.fill()
        spool.append("logs", "identity", b"y" * 30_000, 1)


WRITER = """
import sys
from pathlib import Path
from fleetwatch.spool import Spool
spool = Spool(Path(sys.argv[1]), 1 << 20)
for number in range(int(sys.argv[2]), 10**9):
    spool.append("traces", "identity", b"%09d" % number * 300, 1)
    print(number, flush=True)
    if number % 3 == 0:
        spool.done(spool.take(3000)[:1])
"""


def test_kill_9_loses_nothing_and_counts_everything_once(folder: Path) -> None:
    answered = -1
    for turn in range(4):
        command = [sys.executable, "-c", WRITER, str(folder), str(answered + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                answered = int(line)
                if answered >= 150 * (turn + 1):
                    writer.send_signal(signal.SIGKILL)
                    break
            answered = int(writer.stdout.read().rpartition("\n")[0].rpartition("\n")[2] or answered)
    spool = Spool(folder, MIB)
    before = spool.stats()
    # One record of each turn may be written without having been answered: its sender comes again.
    assert answered + 1 <= before.accepted["traces"] <= answered + 5
    rest = drain(spool)
    numbers = [int(record.body[:9]) for record in rest]
    assert numbers == sorted(numbers)
    assert numbers[-1] in (answered, answered + 1)
    assert balance(spool.stats()) == 0
    assert {reason for _, reason in lost(spool.stats())} <= {"spool_full"}


def test_giving_up_the_oldest_is_told_now_and_then(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(folder, MIB)
    for _ in range(200):
        spool.append("traces", "identity", b"x" * 30_000, 1)
    (record,) = caplog.records
    assert record.message == (
        f"{folder}: 2 items are lost: it is full; the sink was away for too long, "
        "or sidecar.spool.max_bytes is too small"
    )
