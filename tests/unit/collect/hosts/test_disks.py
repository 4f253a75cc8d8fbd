"""Disks: one line each, and odd lines hurt only themselves."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue import hosts
from fleetwatch.collect import Here, NoData
from fleetwatch.collect.hosts.disks import disk, disks
from support_machines import collected, machine, values


def test_sectors_are_of_512_bytes_and_times_of_milliseconds() -> None:
    found = disk("sda", b"10 1 8 1500 20 2 16 2500 0 3500".split())
    assert values(found, hosts.DISK_IO) == {("sda", "read"): 4096, ("sda", "write"): 8192}
    assert values(found, hosts.DISK_OPERATIONS) == {("sda", "read"): 10, ("sda", "write"): 20}
    assert values(found, hosts.DISK_OPERATION_TIME) == {("sda", "read"): 1.5, ("sda", "write"): 2.5}
    assert values(found, hosts.DISK_IO_TIME) == {("sda",): 3.5}


def test_partitions_and_loops_are_left_out_and_a_pattern_moves_that() -> None:
    here = machine("gpu-server")
    assert {name for (name,) in values(disks(here), hosts.DISK_IO_TIME)} == {"nvme0n1", "nvme1n1", "md0", "dm-0"}
    odd = replace(here, ignored_disks=re.compile("nvme.*"))
    assert {name for (name,) in values(disks(odd), hosts.DISK_IO_TIME)} == {"loop0", "md0", "dm-0"}


@pytest.mark.parametrize("name", ["sda1", "vdb12", "hdc1", "xvda1", "nvme0n1p2", "mmcblk0p1", "zram0", "fd0", "loop7"])
def test_parts_and_what_is_no_disk_are_left_out(name: str) -> None:
    assert Here().ignored_disks.fullmatch(name)


@pytest.mark.parametrize("name", ["sda", "sdaa", "vda", "xvda", "nvme10n1", "mmcblk0", "md127", "dm-0"])
def test_whole_disks_are_shown(name: str) -> None:
    assert not Here().ignored_disks.fullmatch(name)


def test_a_kernel_that_counts_no_disks_has_nothing_to_report(tmp_path: Path) -> None:
    """As in gVisor and on kernels without block devices."""
    here = machine("gpu-server", tmp_path)
    (here.proc / "diskstats").unlink()
    with pytest.raises(NoData):
        list(disks(here))


def test_a_disk_that_is_taken_out_is_gone_with_the_next_cycle(tmp_path: Path) -> None:
    here = machine("gpu-server", tmp_path)
    table = here.proc / "diskstats"
    assert ("nvme1n1",) in values(disks(here), hosts.DISK_IO_TIME)
    table.write_text("".join(line for line in table.read_text().splitlines(True) if "nvme1n1" not in line))
    assert ("nvme1n1",) not in values(disks(here), hosts.DISK_IO_TIME)


def test_an_odd_line_hurts_only_its_own_disk(tmp_path: Path) -> None:
    here = machine("gpu-server", tmp_path)
    table = here.proc / "diskstats"
    table.write_text(table.read_text() + "   8      16 sdb 1 2 3\n   8      32 sdc 1 2 x 4 5 6 7 8 9 10 11\n")
    found, failed = collected(disks(here))
    assert {name for (name,) in values(found, hosts.DISK_IO_TIME)} == {"nvme0n1", "nvme1n1", "md0", "dm-0"}
    assert failed == (f"{table}: expected 13 words, got '   8      16 sdb 1 2 3'; {table}: expected a count, got 'x'")


COUNTS = (b"1", b"0", b"18446744073709551615")
ODD = (b"-1", b"x", b"99999999999999999999999", b"", b"1.5", b"1_0")


@given(st.lists(st.sampled_from(COUNTS + ODD), min_size=9, max_size=11))
def test_counts_are_whole_or_refused(words: list[bytes]) -> None:
    if len(words) == 10 and set(words) <= set(COUNTS):
        assert all(sample.value >= 0 for sample in disk("sda", words))
    else:
        with pytest.raises(ValueError, match="expected"):
            disk("sda", words)
