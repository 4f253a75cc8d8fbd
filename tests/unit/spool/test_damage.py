"""A spool whose files were damaged, deleted or exchanged: the account says what that cost, and the rest is kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetwatch.spool import Spool, SpoolError
from support_spool import balance, drain, lost

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def filled(folder: Path) -> dict[str, bytes]:
    """The files of a closed spool with some of each kind, two segments, a part of it settled."""
    spool = Spool(folder, MIB)
    for number in range(30):
        spool.append(("traces", "metrics", "logs")[number % 3], "identity", b"%02d" % number * 2000, number)
    spool.done(spool.take()[:1])
    spool.close()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return filled(tmp_path_factory.mktemp("filled") / "spool")


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_costs_what_it_hits_and_nothing_is_invented(
    files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged") / "spool"
    folder.mkdir()
    segments = sorted(name for name in files if name.endswith(".seg"))
    assert len(segments) > 1
    for name, content in files.items():
        (folder / name).write_bytes(content)
    victim = folder / data.draw(st.sampled_from(segments))
    damaged = bytearray(victim.read_bytes())
    at = data.draw(st.integers(0, len(damaged) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "zeros"])):
        case "flip":
            damaged[at] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del damaged[at:]
        case _:
            damaged[at : at + 3000] = bytes(len(damaged[at : at + 3000]))
    victim.write_bytes(damaged)
    spool = Spool(folder, MIB)
    spool.append("traces", "identity", b"fresh", 1000)
    found = drain(spool)
    assert found[-1].body == b"fresh"
    for record in found[:-1]:
        assert record.body == b"%02d" % record.items * 2000
    numbers = [record.items for record in found]
    assert numbers == sorted(set(numbers))
    stats = spool.stats()
    assert sum(stats.accepted.values()) == sum(range(30)) + 1000
    assert {reason for _, reason in lost(stats)} <= {"damaged"}
    assert balance(stats) == 0
    spool.close()


@pytest.mark.parametrize("slot", [0, 1])
def test_a_torn_account_costs_one_step(files: dict[str, bytes], folder: Path, slot: int) -> None:
    copied(files, folder)
    with (folder / "state").open("r+b") as state:
        state.seek(slot * 4096 + 50)
        state.write(b"torn")
    spool = Spool(folder, MIB)
    assert len(drain(spool)) in (29, 30)
    assert balance(spool.stats()) == 0
    assert lost(spool.stats()) == {}


def test_without_an_account_all_that_is_there_is_forwarded(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir()
    for name, content in files.items():
        if name != "state":
            (folder / name).write_bytes(content)
    spool = Spool(folder, MIB)
    assert len(drain(spool)) == 30
    assert balance(spool.stats()) == 0


def copied(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_a_damaged_start_of_a_segment_costs_its_first_record_alone(files: dict[str, bytes], folder: Path) -> None:
    copied(files, folder)
    second = sorted(folder.glob("*.seg"))[1]
    content = bytearray(second.read_bytes())
    content[10] ^= 1
    second.write_bytes(content)
    spool = Spool(folder, MIB)
    assert len(drain(spool)) == 28, "of the 29 that were not settled"
    assert spool.stats().size == 0
    assert balance(spool.stats()) == 0


def test_what_follows_a_damaged_end_is_kept(folder: Path) -> None:
    """The end was settled before it was damaged: the place up to which was read lies behind what is left."""
    spool = Spool(folder, 16 * MIB)
    for body in (b"a", b"b"):
        spool.append("traces", "identity", body * 1000, 1)
    drain(spool)
    spool.close()
    segment = next(folder.glob("*.seg"))
    segment.write_bytes(segment.read_bytes()[:-1] + b"?")
    again = Spool(folder, 16 * MIB)
    again.append("traces", "identity", b"c" * 1000, 1)
    assert [record.body[:1] for record in drain(again)] == [b"c"]
    assert lost(again.stats()) == {}


def test_an_end_that_was_damaged_after_a_crash_is_counted(folder: Path, tmp_path: Path) -> None:
    """No account was saved since: the record's own head says that it was accepted."""
    spool = Spool(folder, MIB)
    for _ in range(2):
        spool.append("traces", "identity", b"x" * 1000, 3)
    crashed = tmp_path / "crashed"
    shutil.copytree(folder, crashed)
    spool.close()
    segment = next(crashed.glob("*.seg"))
    segment.write_bytes(segment.read_bytes()[:-1] + b"?")
    again = Spool(crashed, MIB)
    assert len(drain(again)) == 1
    assert again.stats().accepted["traces"] == 6
    assert lost(again.stats()) == {("traces", "damaged"): 3}


def test_a_segment_that_was_deleted_holds_nothing_up(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(folder, MIB)
    for number in range(5):
        spool.append("traces", "identity", b"%d" % number * 40_000, 1)
    min(folder.glob("*.seg")).unlink()
    assert [record.body[:1] for record in drain(spool)] == [b"1", b"2", b"3", b"4"]
    assert lost(spool.stats()) == {("traces", "damaged"): 1}
    assert "1 items are lost: its files are damaged or gone" in caplog.text


def test_nothing_is_written_to_a_file_that_was_deleted(folder: Path, tmp_path: Path) -> None:
    spool = Spool(folder, MIB)
    spool.append("traces", "identity", b"a", 1)
    under_way = spool.take()
    next(folder.glob("*.seg")).unlink()
    spool.append("traces", "identity", b"b", 1)
    spool.done(under_way)
    shutil.copytree(folder, tmp_path / "crashed")
    assert [record.body for record in drain(Spool(tmp_path / "crashed", MIB))] == [b"b"]
    assert [record.body for record in drain(spool)] == [b"b"]
    assert lost(spool.stats()) == {}


def test_a_piece_that_a_failing_disk_left_behind_is_written_over(folder: Path) -> None:
    spool = Spool(folder, MIB)
    spool.append("traces", "identity", b"a" * 1000, 1)
    segment = next(folder.glob("*.seg"))
    with segment.open("ab") as file:
        file.write(b"a piece of a record")
    spool.append("traces", "identity", b"b" * 1000, 1)
    assert [record.body[:1] for record in drain(spool)] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("name", "kind"), [("state", "link"), ("lock", "link"), ("0000000001.seg", "link"), ("0000000001.seg", "pipe")]
)
def test_what_is_no_plain_file_is_not_touched(folder: Path, tmp_path: Path, name: str, kind: str) -> None:
    folder.mkdir()
    other = tmp_path / "somebody's"
    other.write_bytes(b"precious")
    if kind == "link":
        (folder / name).symlink_to(other)
    else:
        os.mkfifo(folder / name)
    with pytest.raises(SpoolError, match=rf"{name}: the spool cannot be opened: "):
        Spool(folder, MIB)
    assert other.read_bytes() == b"precious"


def test_a_spool_of_another_version_is_left_alone(files: dict[str, bytes], folder: Path) -> None:
    copied(files, folder)
    for slot in (0, 4096):
        with (folder / "state").open("r+b") as state:
            state.seek(slot)
            state.write(b"FWSTATE2")
    before = {path.name: path.read_bytes() for path in folder.glob("*.seg")}
    with pytest.raises(SpoolError, match=r"another version wrote it: let that one send what waits"):
        Spool(folder, MIB)
    assert {path.name: path.read_bytes() for path in folder.glob("*.seg")} == before
