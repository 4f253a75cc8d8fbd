"""What we say of a machine is what node_exporter says: every fact that both have, of this machine and a recorded one.

Counters are exact: ours before <= theirs <= ours after. A gauge may move both ways in between, so theirs must lie
between ours in one of many rounds, which a wrong unit or another definition never does.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pytest

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect import Here, NoData, load
from fleetwatch.collect.hosts.filesystems import MADE
from support import wait_for
from support_machines import collected, machine, values
from support_node_exporter import (
    Expression,
    Scrape,
    Values,
    by,
    minus,
    plain,
    running_node_exporter,
    sensor,
    summed,
    temperatures,
    together,
)

pytestmark = pytest.mark.stack

USUAL = Here()
TICK = 1 / os.sysconf("SC_CLK_TCK")


ROUNDING = 1e-6
"""Of fractions of a second, which they add up and print in another way."""


class Row(NamedTuple):
    """One of our metrics, the source that reports it, and how it is made of theirs."""

    metric: Metric
    source: str
    theirs: Expression
    slack: tuple[float, float] = (0, 0)
    """By how much theirs may be below and above ours, with the reason beside the row."""
    ours_only: frozenset[tuple[str, ...]] = frozenset()
    """What they have no series for."""


def shown_disk(name: str) -> bool:
    return not USUAL.ignored_disks.fullmatch(name)


def shown_interface(name: str) -> bool:
    return not USUAL.ignored_interfaces.fullmatch(name)


def shown_mount(path: str) -> bool:
    return not MADE.fullmatch(path.encode())


def disk(read: str, written: str) -> Expression:
    return together(
        by(read, ["device"], "read", wanted=shown_disk), by(written, ["device"], "write", wanted=shown_disk)
    )


def network(what: str) -> Expression:
    return together(
        *(
            by(f"node_network_{way}_{what}_total", ["device"], way, wanted=shown_interface)
            for way in ("receive", "transmit")
        )
    )


def space(name: str, *state: str) -> Expression:
    return by(f"node_filesystem_{name}", ["mountpoint", "fstype"], *state, wanted=shown_mount)


def interfaces_up(scrape: Scrape) -> Values:
    return {
        (row["device"],): row["operstate"] in {"up", "unknown"}
        for row, _ in scrape["node_network_info"]
        if shown_interface(row["device"])
    }


def processors(scrape: Scrape) -> Values:
    return {(): len({row["cpu"] for row, _ in scrape["node_cpu_seconds_total"]})}


M = "node_memory_{}_bytes".format
CACHE = {M("Cached"): 1, M("SReclaimable"): 1}
REST = {M("MemFree"): -1, M("Buffers"): -1, M("Cached"): -1, M("SReclaimable"): -1}

# The kernel rounds each processor's time down to ticks, and so theirs is lower, and then there are those of idle time,
# which it counts apart for all and for each.
TICKS = (os.cpu_count() or 1) * TICK

ROWS = [
    Row(hosts.CPU_TIME, "host", by("node_cpu_seconds_total", ["mode"]), slack=(2 * TICKS, 2 * TICKS)),
    Row(hosts.CPU_COUNT, "host", processors),
    Row(hosts.LOAD_1M, "host", plain("node_load1")),
    Row(hosts.LOAD_5M, "host", plain("node_load5")),
    Row(hosts.LOAD_15M, "host", plain("node_load15")),
    Row(hosts.PROCESSES_CREATED, "host", plain("node_forks_total")),
    Row(
        hosts.TASKS,
        "host",
        together(plain("node_procs_running", "running"), plain("node_procs_blocked", "blocked")),
    ),
    Row(hosts.MEMORY_LIMIT, "host", plain(M("MemTotal"))),
    Row(hosts.MEMORY_AVAILABLE, "host", plain(M("MemAvailable"))),
    Row(
        hosts.MEMORY_USAGE,
        "host",
        together(
            plain(M("MemFree"), "free"),
            plain(M("Buffers"), "buffers"),
            summed(("cached",), **CACHE),
            summed(("used",), **{M("MemTotal"): 1}, **REST),
        ),
    ),
    Row(
        hosts.PAGING_USAGE,
        "host",
        together(summed(("used",), **{M("SwapTotal"): 1, M("SwapFree"): -1}), plain(M("SwapFree"), "free")),
    ),
    Row(
        hosts.PAGING_OPERATIONS,
        "host",
        together(plain("node_vmstat_pswpin", "in"), plain("node_vmstat_pswpout", "out")),
    ),
    Row(
        hosts.PAGING_FAULTS,
        "host",
        together(
            plain("node_vmstat_pgmajfault", "major"),
            summed(("minor",), node_vmstat_pgfault=1, node_vmstat_pgmajfault=-1),
        ),
    ),
    Row(hosts.OOM_KILLS, "host", plain("node_vmstat_oom_kill")),
    Row(
        hosts.PRESSURE_TIME,
        "host",
        together(
            plain("node_pressure_cpu_waiting_seconds_total", "cpu", "some"),
            plain("node_pressure_memory_waiting_seconds_total", "memory", "some"),
            plain("node_pressure_memory_stalled_seconds_total", "memory", "full"),
            plain("node_pressure_io_waiting_seconds_total", "io", "some"),
            plain("node_pressure_io_stalled_seconds_total", "io", "full"),
        ),
        ours_only=frozenset({("cpu", "full")}),
    ),
    # They know the second in which the machine booted, we the time since.
    Row(hosts.UPTIME, "host", summed((), node_time_seconds=1, node_boot_time_seconds=-1), slack=(1, 1)),
    Row(hosts.DISK_IO, "disks", disk("node_disk_read_bytes_total", "node_disk_written_bytes_total")),
    Row(hosts.DISK_OPERATIONS, "disks", disk("node_disk_reads_completed_total", "node_disk_writes_completed_total")),
    Row(
        hosts.DISK_OPERATION_TIME,
        "disks",
        disk("node_disk_read_time_seconds_total", "node_disk_write_time_seconds_total"),
    ),
    Row(hosts.DISK_IO_TIME, "disks", by("node_disk_io_time_seconds_total", ["device"], wanted=shown_disk)),
    Row(hosts.NETWORK_IO, "network", network("bytes")),
    Row(hosts.NETWORK_PACKETS, "network", network("packets")),
    Row(hosts.NETWORK_ERRORS, "network", network("errs")),
    Row(hosts.NETWORK_DROPPED, "network", network("drop")),
    Row(hosts.NETWORK_UP, "network", interfaces_up),
    Row(
        hosts.FILESYSTEM_USAGE,
        "filesystems",
        together(
            minus(space("size_bytes", "used"), space("free_bytes", "used")),
            space("avail_bytes", "free"),
            minus(space("free_bytes", "reserved"), space("avail_bytes", "reserved")),
        ),
    ),
    Row(
        hosts.FILESYSTEM_INODES,
        "filesystems",
        together(minus(space("files", "used"), space("files_free", "used")), space("files_free", "free")),
    ),
    Row(hosts.FILESYSTEM_READ_ONLY, "filesystems", space("readonly")),
    Row(hosts.TEMPERATURE, "temperatures", temperatures),
]


def ours(row: Row, here: Here) -> Values:
    """What our source reports, under the labels that the row compares."""
    found, failed = collected(_samples(row.source, here))
    assert failed == ""
    all_ = values(found, row.metric)
    if row.metric is hosts.TEMPERATURE:
        return {sensor(hw_id): value for (hw_id,), value in all_.items()}
    if row.metric is hosts.FILESYSTEM_INODES:
        # No file system known to us keeps inodes for root: what is free for all is all that is free.
        return {key: value for key, value in all_.items() if key[-1] != "reserved"}
    return {key: value for key, value in all_.items() if key not in row.ours_only}


def _samples(source: str, here: Here) -> Iterable[Sample]:
    with contextlib.suppress(NoData):
        yield from load(source, here).collect()


def paired(row: Row, mine: Values, theirs: Values) -> Iterator[tuple[tuple[str, ...], float]]:
    """Each of our series with its partner's value; both sides must have the same, and one partner for each."""
    if row.metric is hosts.TEMPERATURE:
        # Before the device, their chips are named by what that is part of.
        theirs = {
            key: value
            for key, ((chip, label), value) in itertools.product(mine, theirs.items())
            if label == key[1] and chip.endswith(key[0])
        }
    if row.source == "filesystems":
        # They show each place of a device that is mounted many times, we one.
        theirs = {key: value for key, value in theirs.items() if key in mine}
    assert theirs.keys() == mine.keys()
    yield from theirs.items()


@pytest.fixture(scope="module")
def here_scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Scrape]]:
    flags = [
        # Theirs leave out more than ours do; the types are ours, in the form of their expressions.
        "--collector.filesystem.mount-points-exclude=^$",
        f"--collector.filesystem.fs-types-exclude=^{USUAL.ignored_filesystems.pattern}$",
    ]
    with running_node_exporter(tmp_path_factory.mktemp("node_exporter"), flags) as scrape:
        yield scrape


Round = tuple[Values, Values, Values]
"""Ours before, theirs, ours after, of the same series."""


def one_round(row: Row, scrape: Callable[[], Scrape]) -> Round:
    """Raises AssertionError where the two do not have the same series; skips where neither has any."""
    before, theirs, after = ours(row, USUAL), row.theirs(scrape()), ours(row, USUAL)
    if not before and not theirs:
        pytest.skip(f"{row.metric.prometheus}: this machine has none, by both")
    pairs = dict(paired(row, before, theirs))
    assert after.keys() == before.keys()
    return before, pairs, after


def apart(row: Row, seen: Round) -> Values:
    """What lies outside of ours, with theirs."""
    before, theirs, after = seen
    return {
        key: value
        for key, value in theirs.items()
        if not min(before[key], after[key]) - row.slack[0] - ROUNDING
        <= value
        <= max(before[key], after[key]) + row.slack[1] + ROUNDING
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.metric.name)
def test_this_machine_is_what_the_other_says(row: Row, here_scraped: Callable[[], Scrape]) -> None:
    # An interface or mount may come or go in the middle of a round.
    seen = wait_for(lambda: one_round(row, here_scraped), 20, "the same series on both sides")
    never = apart(row, seen)
    if row.metric.kind == "counter":
        assert never == {}, seen

    def agreed() -> bool:
        for key in never.keys() - apart(row, one_round(row, here_scraped)).keys():
            del never[key]
        return not never

    wait_for(agreed, 60, f"rounds in which theirs lie between ours; (before, theirs, after) was {seen}")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Here, Callable[[], Scrape]]]:
    """A recorded machine with what this one has not: swap in use, a bond, several disks, sensors."""
    folder = tmp_path_factory.mktemp("recorded")
    here = machine("gpu-server", folder)
    (here.proc / "net").symlink_to("1/net")
    flags = [
        f"--path.procfs={here.proc}",
        f"--path.sysfs={here.sys}",
        "--no-collector.netdev.netlink",
        "--no-collector.filesystem",
    ]
    with running_node_exporter(folder, flags) as scrape:
        yield here, scrape


# Their clock is this machine's; file systems cannot be recorded for them.
NOT_RECORDED = {hosts.UPTIME, hosts.FILESYSTEM_USAGE, hosts.FILESYSTEM_INODES, hosts.FILESYSTEM_READ_ONLY}


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.metric not in NOT_RECORDED], ids=lambda row: row.metric.name
)
def test_a_recorded_machine_is_what_the_other_says(row: Row, recorded: tuple[Here, Callable[[], Scrape]]) -> None:
    here, scrape = recorded
    mine = ours(row, here)
    assert mine
    slack = 192 * TICK if row.metric is hosts.CPU_TIME else 0
    for key, value in paired(row, mine, row.theirs(scrape())):
        assert value == pytest.approx(mine[key], rel=1e-12, abs=slack), key
