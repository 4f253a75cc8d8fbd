"""The machine that the exporter runs on: load, processor time, memory, file systems.

system_cpu_load_average_1m 0.42
system_cpu_time_seconds_total{cpu_mode="user"} 1834.2
system_memory_usage_bytes{system_memory_state="used"} 8.1e9
"""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import source


@source(interval=15)
def host(here: Here) -> Iterator[Sample]:
    one, five, fifteen = psutil.getloadavg()
    yield hosts.LOAD_1M(one)
    yield hosts.LOAD_5M(five)
    yield hosts.LOAD_15M(fifteen)
    yield hosts.CPU_COUNT(psutil.cpu_count() or 1)
    times = psutil.cpu_times()
    for mode in hosts.CPU_MODE.one_of:
        yield hosts.CPU_TIME(getattr(times, mode), cpu_mode=mode)
    yield from _memory()
    yield from _filesystems()


def _memory() -> Iterator[Sample]:
    memory = psutil.virtual_memory()
    yield hosts.MEMORY_LIMIT(memory.total)
    for state in hosts.MEMORY_STATE.one_of:
        yield hosts.MEMORY_USAGE(getattr(memory, state), system_memory_state=state)


def _filesystems() -> Iterator[Sample]:
    seen = set()
    for partition in psutil.disk_partitions(all=False):
        # A device that is mounted in many places (containers do this) is one space.
        if partition.device in seen:
            continue
        seen.add(partition.device)
        try:
            usage = psutil.disk_usage(partition.mountpoint)
        except OSError:
            # Unmounted meanwhile, or not ours to see.
            continue
        where = partition.mountpoint
        reserved = usage.total - usage.used - usage.free
        for state, value in (("used", usage.used), ("free", usage.free), ("reserved", reserved)):
            yield hosts.FILESYSTEM_USAGE(value, system_filesystem_mountpoint=where, system_filesystem_state=state)
