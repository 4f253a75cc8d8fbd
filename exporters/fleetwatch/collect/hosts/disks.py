"""Disks: bytes, requests and time, per whole device.

system_disk_io_bytes_total{system_device="nvme0n1",disk_io_direction="read"} 2.0e9
system_disk_io_time_seconds_total{system_device="nvme0n1"} 8.156

Format: Documentation/admin-guide/iostats.rst of the Linux kernel.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._read import each, name_of, number, read, words
from fleetwatch.collect.runner import NoData, source

SECTOR = 512
"""Bytes; the unit of /proc/diskstats for every device, whatever its own blocks are."""

# major, minor, name; then for reads: completed, merged, sectors, ms; the same for writes; requests at this moment; ms
# with work. Newer kernels add more.
_WORDS = 13


@source(interval=15)
def disks(here: Here) -> Iterator[Sample]:
    path = f"{here.proc}/diskstats"

    def device(line: bytes) -> Iterator[Sample]:
        row = words(line, 3)
        name = name_of(row[2])
        if not here.ignored_disks.fullmatch(name):
            yield from disk(name, words(line, _WORDS)[3:_WORDS])

    try:
        table = read(path)
    except FileNotFoundError:  # a kernel without disks, as that of a sandbox
        raise NoData from None
    return each(table.splitlines(), device, path)


def disk(name: str, counts: list[bytes]) -> list[Sample]:
    """One device. counts: the words that follow its name."""
    reads, _, sectors_read, reading, writes, _, sectors_written, writing, _, busy = map(number, counts)
    read_, written = ({"system_device": name, "disk_io_direction": way} for way in hosts.IO_DIRECTION.one_of)
    return [
        hosts.DISK_IO(sectors_read * SECTOR, **read_),
        hosts.DISK_IO(sectors_written * SECTOR, **written),
        hosts.DISK_OPERATIONS(reads, **read_),
        hosts.DISK_OPERATIONS(writes, **written),
        hosts.DISK_OPERATION_TIME(reading / 1e3, **read_),
        hosts.DISK_OPERATION_TIME(writing / 1e3, **written),
        hosts.DISK_IO_TIME(busy / 1e3, system_device=name),
    ]
