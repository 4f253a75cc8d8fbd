"""Processes: how many by state, groups of them by the settings, and the programs that use most.

system_process_count{process_state="sleeping"} 211
process_group_processes{process_group="workers"} 8
process_group_cpu_time_seconds_total{process_group="workers",cpu_mode="user"} 5321.7
process_top_cpu_usage{process_executable_name="python"} 3.8
process_top_memory_usage_bytes{process_executable_name="postgres"} 2.1e9

Formats: proc(5). No series ever shows the number of a process or a command line.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._groups import Group, Groups
from fleetwatch.collect.hosts._read import decimal, read, words
from fleetwatch.collect.hosts._stat import KERNEL_THREAD, STATES
from fleetwatch.collect.hosts._sweep import Process, Sweep
from fleetwatch.collect.runner import Incomplete, source

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@source(interval=15)
class Processes:
    """One read per process and look; what a look needs of the one before is kept."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._sweep = Sweep(here.proc)
        self._groups = Groups(here.process_groups, here.proc, self._sweep.shelf)
        self._looked: float | None = None

    def __call__(self) -> Iterator[Sample]:
        now = decimal(words(read(f"{self._here.proc}/uptime"), 1)[0])
        processes = self._sweep.look()
        passed = None if self._looked is None else now - self._looked
        self._looked = now
        yield from states(processes.values())
        for group in self._groups.take(processes):
            yield from of_group(group, now)
        yield from top(processes.values(), self._here.top_processes, passed)
        if failures := self._sweep.failures:
            more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
            raise Incomplete(failures[0] + more)


def states(processes: Iterable[Process]) -> Iterator[Sample]:
    counts = dict.fromkeys(hosts.PROCESS_STATE.one_of, 0)
    for process in processes:
        counts[STATES.get(process.stat.state, "sleeping")] += 1
    for state, count in counts.items():
        yield hosts.PROCESS_COUNT(count, process_state=state)


def of_group(group: Group, now: float) -> Iterator[Sample]:
    """A group of the settings always shows itself, so that none of it running can be alerted on. now: since boot."""
    name = group.name
    yield hosts.GROUP_PROCESSES(group.processes, process_group=name)
    yield hosts.GROUP_CPU_TIME(group.user / TICKS, process_group=name, cpu_mode="user")
    yield hosts.GROUP_CPU_TIME(group.system / TICKS, process_group=name, cpu_mode="system")
    yield hosts.GROUP_MEMORY(group.resident * PAGE, process_group=name)
    yield hosts.GROUP_VIRTUAL(group.virtual, process_group=name)
    yield hosts.GROUP_THREADS(group.threads, process_group=name)
    yield hosts.GROUP_FAULTS(group.minor, process_group=name, system_paging_fault_type="minor")
    yield hosts.GROUP_FAULTS(group.major, process_group=name, system_paging_fault_type="major")
    if group.tells_files:
        yield hosts.GROUP_FILES(group.files, process_group=name)
    if group.tells_moved:
        yield hosts.GROUP_DISK_IO(group.bytes_read, process_group=name, disk_io_direction="read")
        yield hosts.GROUP_DISK_IO(group.bytes_written, process_group=name, disk_io_direction="write")
    if group.oldest is not None:
        yield hosts.GROUP_UPTIME(max(now - group.oldest / TICKS, 0.0), process_group=name)


def top(processes: Iterable[Process], most: int, passed: float | None) -> Iterator[Sample]:
    """The programs that use most. passed: seconds since the look before, None on the first.

    Threads of the kernel are no programs, and one that uses nothing is among no one's top.
    """
    used: dict[str, int] = {}
    resident: dict[str, int] = {}
    for process in processes:
        stat = process.stat
        if not stat.flags & KERNEL_THREAD:
            name = process.program
            used[name] = used.get(name, 0) + process.used
            resident[name] = resident.get(name, 0) + stat.resident
    if passed is not None and passed > 0:
        yield from _most(hosts.TOP_CPU, used, most, 1 / TICKS / passed)
    yield from _most(hosts.TOP_MEMORY, resident, most, PAGE)


def _most(metric: Metric, values: dict[str, int], most: int, unit: float) -> Iterator[Sample]:
    first = heapq.nsmallest(most, ((-value, name) for name, value in values.items() if value > 0))
    for value, name in first:
        yield metric(-value * unit, process_executable_name=name)
