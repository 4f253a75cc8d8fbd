"""Space of file systems, and those that hang: real ones where this machine lets us mount them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleetwatch.catalogue import exporter, hosts
from fleetwatch.collect import Here, Runner, load
from fleetwatch.collect.hosts import filesystems
from fleetwatch.collect.hosts._patience import AT_ONCE, MOST
from fleetwatch.collect.hosts.filesystems import Filesystems, Space
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from support import wait_for
from support_fuse import mount, stuck, unmount
from support_machines import RecordedSpace, collected, machine, values

THREAD = "statvfs"


def hanging() -> int:
    return sum(thread.name == THREAD for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    wait_for(lambda: not hanging(), what="threads that ask file systems to end")


def test_uses_of_the_root_add_up_to_its_size() -> None:
    # In a container the root is of a type that is not shown by default.
    here = replace(Here(), ignored_filesystems=re.compile("proc"))
    found, failed = collected(Filesystems(here)())
    assert failed == ""
    parts = {state: value for (where, _, state), value in values(found, hosts.FILESYSTEM_USAGE).items() if where == "/"}
    assert sum(parts.values()) == shutil.disk_usage("/").total
    assert min(parts.values()) >= 0


def test_a_mount_comes_and_goes_with_the_next_cycle(tmp_path: Path) -> None:
    place = tmp_path / "with space"
    place.mkdir()
    source = Filesystems(Here())
    mount("scratch", place, "tmpfs", "size=1m,nr_inodes=100")
    try:
        found, _ = collected(source())
        key = (str(place), "tmpfs")
        assert values(found, hosts.FILESYSTEM_USAGE)[*key, "free"] == 2**20
        assert values(found, hosts.FILESYSTEM_INODES)[*key, "used"] == 1
        assert values(found, hosts.FILESYSTEM_READ_ONLY)[key] == 0
        (place / "file").write_bytes(b"x" * 2**18)
        assert values(collected(source())[0], hosts.FILESYSTEM_USAGE)[*key, "used"] == 2**18
    finally:
        unmount(place)
    assert not [sample for sample in collected(source())[0] if str(place) in sample.labels]


def test_the_page_loses_what_was_unmounted_and_keeps_the_machine_when_a_mount_hangs(tmp_path: Path) -> None:
    place, gone = tmp_path / "place", tmp_path / "gone"
    place.mkdir()
    gone.mkdir()
    meter = Meter(implied={"host_name": "here"})
    sources = {name: load(name, Here()) for name in ("host", "filesystems")}
    runner = Runner(sources.values(), meter)

    async def cycle() -> str:
        await asyncio.gather(*(runner.cycle(item) for item in sources.values()))
        page = exposition(meter, openmetrics=False)
        assert f'{exporter.COLLECTOR_SUCCESS.prometheus}{{host_name="here",collector="filesystems"}} 1' in page
        assert hosts.LOAD_1M.prometheus in page
        return page

    mount("scratch", place, "tmpfs", "size=1m")
    try:
        assert f'"{place}"' in asyncio.run(cycle())
    finally:
        unmount(place)
    assert f'"{place}"' not in asyncio.run(cycle())
    with stuck(gone):
        line = f'mountpoint="{gone}",system_filesystem_type="fuse.stuck"}} 1'
        assert line in asyncio.run(cycle())
    assert f'"{gone}"' not in asyncio.run(cycle())


def only(folder: Path, proc: Path) -> Here:
    """No mounts of this machine but its root and those in the folder: other tests may mount theirs meanwhile."""
    table = proc / "1" / "mountinfo"
    table.parent.mkdir(parents=True, exist_ok=True)
    rows = Path("/proc/self/mountinfo").read_text().splitlines(True)
    table.write_text("".join(row for row in rows if row.split()[4] == "/" or row.split()[4].startswith(str(folder))))
    # In a container the root is of a type that is not shown by default.
    return replace(Here(), proc=proc, ignored_filesystems=re.compile("proc"))


def test_a_file_system_that_hangs_is_shown_as_such_and_costs_one_thread(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    key = (str(place), "fuse.nfs_gone")
    with stuck(place, "nfs_gone") as server:
        source = Filesystems(only(place, tmp_path / "proc"))
        started = time.monotonic()
        found, failed = collected(source())
        assert time.monotonic() - started >= filesystems.PATIENCE
        assert failed == ""
        assert values(found, hosts.FILESYSTEM_STUCK)[key] == 1
        # The others are there in the same cycle, and of the one that hangs nothing else is.
        assert {where for where, *_ in values(found, hosts.FILESYSTEM_USAGE)} == {"/"}

        # Later cycles neither wait for it again nor hang another thread on it.
        started = time.monotonic()
        for _ in range(5):
            assert values(collected(source())[0], hosts.FILESYSTEM_STUCK)[key] == 1
        assert time.monotonic() - started < filesystems.PATIENCE
        assert hanging() == 1

        # Its program ends: the thread comes back, and the answer is an error from then on.
        server.end()
        wait_for(lambda: not hanging(), what="the thread to come back")
        assert values(collected(source())[0], hosts.FILESYSTEM_STUCK)[key] == 1
    only(place, tmp_path / "proc")
    assert key not in values(collected(source())[0], hosts.FILESYSTEM_STUCK)


def test_a_mount_that_a_container_does_not_see_is_not_given_the_space_of_what_is_below_it(tmp_path: Path) -> None:
    """Without propagation of mounts, what the host mounts later is an empty folder in the container."""
    unseen, seen = tmp_path / "unseen", tmp_path / "seen"
    unseen.mkdir()
    seen.mkdir()
    mount("scratch", seen, "tmpfs", "size=1m")
    try:
        here = only(tmp_path, tmp_path / "proc")
        table = here.proc / "1/mountinfo"
        table.write_text(table.read_text() + f"999 1 0:9999 / {unseen} rw - tmpfs later rw\n")
        found, failed = collected(Filesystems(here)())
    finally:
        unmount(seen)
    assert failed == ""
    assert {where for where, _ in values(found, hosts.FILESYSTEM_READ_ONLY)} == {"/", str(seen)}


def test_two_that_hang_are_waited_for_together(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    with stuck(one), stuck(two):
        source = Filesystems(only(tmp_path, tmp_path / "proc"))
        started = time.monotonic()
        found, _ = collected(source())
        assert time.monotonic() - started < 2 * filesystems.PATIENCE
        assert {values(found, hosts.FILESYSTEM_STUCK)[str(place), "fuse.stuck"] for place in (one, two)} == {1}


class Slow:
    """A file server of the recorded machine that answers when it is told to."""

    def __init__(self, here: Here, path: bytes) -> None:
        self.answers = threading.Event()
        self.asked = 0
        self._recorded = RecordedSpace(here)
        self._path = path

    def __call__(self, path: bytes) -> os.statvfs_result:
        answer = self._recorded(path)
        if path.endswith(self._path):
            self.asked += 1
            self.answers.wait(30)
        return answer  # type: ignore[return-value]  # has the same fields


def test_a_server_that_comes_back_is_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "PATIENCE", 0.05)
    here = machine("gpu-server")
    slow = Slow(here, b"/mnt/models")
    source = Filesystems(here, slow)
    key = ("/mnt/models", "nfs4")
    for _ in range(3):
        assert values(source(), hosts.FILESYSTEM_STUCK)[key] == 1
    assert slow.asked == 1
    slow.answers.set()
    wait_for(lambda: not hanging(), what="the thread to come back")
    found, _ = collected(source())
    assert values(found, hosts.FILESYSTEM_STUCK)[key] == 0
    assert values(found, hosts.FILESYSTEM_USAGE)[*key, "free"] == 8388608 * 2**20


def many(here: Here, count: int) -> None:
    """So many file servers more, each with 5 free blocks."""
    table = here.proc / "1/mountinfo"
    spaces = here.root / "statvfs"
    rows = [f"{900 + n} 45 0:{900 + n} / /net/{n} rw - nfs4 nas:/{n} rw\n" for n in range(count)]
    table.write_text(table.read_text() + "".join(rows))
    spaces.write_text(spaces.read_text() + "".join(f"/net/{n} 4096 10 5 5 0 0 0\n" for n in range(count)))


def test_a_hundred_servers_need_no_hundred_threads(tmp_path: Path) -> None:
    """A service may have few."""
    here = machine("gpu-server", tmp_path)
    many(here, 100)
    recorded = RecordedSpace(here)
    most = 0

    def ask(path: bytes) -> Space:
        nonlocal most
        most = max(most, hanging())
        time.sleep(0.001)  # as a server over a network
        return recorded(path)

    found, failed = collected(Filesystems(here, ask)())
    assert failed == ""
    assert sum(where.startswith("/net/") for where, *_ in values(found, hosts.FILESYSTEM_STUCK)) == 100
    assert 0 < most <= AT_ONCE


def test_threads_that_hang_do_not_pile_up_and_who_was_not_asked_is_not_said_to_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounted anew in each cycle, as an automounter does to a server that is gone."""
    monkeypatch.setattr(filesystems, "PATIENCE", 0.05)
    here = machine("gpu-server", tmp_path)
    many(here, 60)
    original = (here.proc / "1/mountinfo").read_text()
    recorded, answers = RecordedSpace(here), threading.Event()

    def ask(path: bytes) -> Space:
        if b"/net/" in path:
            answers.wait(30)
        return recorded(path)

    source = Filesystems(here, ask)
    try:
        for cycle in range(5):
            (here.proc / "1/mountinfo").write_text(original.replace(" 0:9", f" {cycle + 1}:9"))
            found, failed = collected(source())
            assert hanging() <= MOST
        assert hanging() == MOST
        assert not values(found, hosts.FILESYSTEM_STUCK)
        assert "not asked" in failed
    finally:
        answers.set()


def test_a_thread_that_cannot_be_had_hurts_only_remote_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine("gpu-server")

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    found, failed = collected(Filesystems(here, RecordedSpace(here))())
    assert ("/", "ext4", "free") in values(found, hosts.FILESYSTEM_USAGE)
    assert ("/mnt/models", "nfs4") not in values(found, hosts.FILESYSTEM_STUCK)
    assert "not asked" in failed


def test_what_is_mounted_in_a_remote_one_hangs_with_it_and_not_with_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystems, "PATIENCE", 0.05)
    here = machine("gpu-server", tmp_path)
    table = here.proc / "1/mountinfo"
    table.write_text(table.read_text() + "90 45 0:90 / /mnt/models/cache rw - tmpfs tmpfs rw\n")
    spaces = here.root / "statvfs"
    spaces.write_text(spaces.read_text() + "/mnt/models/cache 4096 10 5 5 0 0 0\n")
    slow = Slow(here, b"/mnt/models/cache")
    found, _ = collected(Filesystems(here, slow)())
    assert values(found, hosts.FILESYSTEM_STUCK)["/mnt/models/cache", "tmpfs"] == 1
    assert values(found, hosts.FILESYSTEM_STUCK)["/mnt/models", "nfs4"] == 0
    slow.answers.set()


def test_only_the_shown_ones_are_asked_each_once() -> None:
    here = machine("gpu-server")
    ask = RecordedSpace(here)
    list(Filesystems(here, ask)())
    assert sorted(ask.asked) == [
        b"/",
        b"/boot/efi",
        b"/data/training sets",
        b"/dev/shm",
        b"/home",
        b"/mnt/bucket",
        b"/mnt/models",
        b"/mnt/old",
        b"/mnt/scratch",
        b"/run",
    ]


def test_one_that_fails_is_stuck_and_one_that_is_gone_or_not_ours_is_left_out(tmp_path: Path) -> None:
    here = machine("gpu-server", tmp_path)
    (here.root / "statvfs").write_text("/ EIO\n/home EACCES\n/mnt/bucket ENOTCONN\n/run 4096 1 1 1 1 1 1\n")
    found, _ = collected(Filesystems(here, RecordedSpace(here))())
    assert values(found, hosts.FILESYSTEM_STUCK) == {("/", "ext4"): 1, ("/mnt/bucket", "fuse.mountpoint-s3"): 1}
    assert values(found, hosts.FILESYSTEM_READ_ONLY) == {("/run", "tmpfs"): 0}


def test_an_odd_line_hurts_only_its_own_mount(tmp_path: Path) -> None:
    here = machine("gpu-server", tmp_path)
    table = here.proc / "1/mountinfo"
    table.write_text("28 1 253:0 no dash\n" + table.read_text())
    found, failed = collected(Filesystems(here, RecordedSpace(here))())
    assert len(values(found, hosts.FILESYSTEM_READ_ONLY)) == 9
    assert failed == f"{table}: expected a line of mountinfo, got b'28 1 253:0 no dash'"


def test_a_table_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="mountinfo"):
        list(Filesystems(Here(proc=tmp_path))())
