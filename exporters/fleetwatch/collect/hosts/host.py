"""The machine as a whole: processor time, load, memory, swap, pressure, uptime.

system_cpu_load_average_1m 0.42
system_cpu_time_seconds_total{cpu_mode="user"} 1834.2
system_memory_usage_bytes{system_memory_state="used"} 8.1e9
system_pressure_time_seconds_total{pressure_resource="io",pressure_kind="full"} 5.38

Formats: proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._pressure import pressure
from fleetwatch.collect.hosts._read import count_of, decimal, number, of_file, parts, words
from fleetwatch.collect.runner import source

TICKS = os.sysconf("SC_CLK_TCK")
"""Units of processor time in a second."""

# In the order of /proc/stat. Time of guests follows them there and is part of user and nice already.
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")

_CORRECTED = 10.0
"""Seconds of processor time that the kernel takes back at most when it corrects its estimate of a mode."""


@source(interval=15)
class Host:
    """Remembers the processor time that it has shown: see `Rising`."""

    def __init__(self, here: Here) -> None:
        self._proc = here.proc
        self._rising = Rising()

    def __call__(self) -> Iterator[Sample]:
        proc = self._proc
        return parts(
            of_file(f"{proc}/stat", self._processors),
            of_file(f"{proc}/loadavg", load),
            of_file(f"{proc}/meminfo", memory),
            # Kernels may be built without it; those of sandboxes are.
            *([of_file(f"{proc}/vmstat", paging)] if os.path.lexists(f"{proc}/vmstat") else ()),
            of_file(f"{proc}/uptime", uptime),
            *(
                partial(pressure, f"{proc}/pressure/{name}", name, hosts.PRESSURE_TIME)
                for name in hosts.PRESSURE_RESOURCE.one_of
            ),
        )

    def _processors(self, stat: bytes) -> Iterator[Sample]:
        for sample in processors(stat):
            rises = sample.metric is hosts.CPU_TIME
            yield sample._replace(value=self._rising(sample.labels[-1], sample.value)) if rises else sample


class Rising:
    """Processor time by mode that never goes back: `rate()` would take that for a restart, and count all of it anew.

    The kernel's does: idle and iowait are estimates that it corrects, and a processor that is switched off takes its
    idle time with it; see proc(5), iowait.
    """

    def __init__(self) -> None:
        self._added: dict[str, float] = {}
        self._shown: dict[str, float] = {}

    def __call__(self, mode: str, kernel: float) -> float:
        """What to show where the kernel says so many seconds: what it took back is waited for, what is lost is kept."""
        shown = self._shown.get(mode, kernel)
        now = kernel + self._added.get(mode, 0.0)
        if now < shown - _CORRECTED:
            self._added[mode] = shown - kernel
        self._shown[mode] = now = max(now, shown)
        return now


def processors(stat: bytes) -> Iterator[Sample]:
    """/proc/stat: all processors together, and what the scheduler counts."""
    total, _, _ = stat.partition(b"\n")
    name, *times = words(total, 1 + len(MODES))
    if name != b"cpu":
        raise ValueError(f"expected a line that begins with cpu, got {total[:40]!r}")
    for mode, ticks in zip(MODES, times, strict=False):
        yield hosts.CPU_TIME(number(ticks) / TICKS, cpu_mode=mode)
    yield hosts.CPU_COUNT(stat.count(b"\ncpu"))
    yield hosts.PROCESSES_CREATED(count_of(stat, b"processes "))
    for state in hosts.TASK_STATE.one_of:
        yield hosts.TASKS(count_of(stat, b"procs_" + state.encode() + b" "), task_state=state)


def load(loadavg: bytes) -> Iterator[Sample]:
    one, five, fifteen, *_ = words(loadavg, 3)
    yield hosts.LOAD_1M(decimal(one))
    yield hosts.LOAD_5M(decimal(five))
    yield hosts.LOAD_15M(decimal(fifteen))


def memory(meminfo: bytes) -> Iterator[Sample]:
    """/proc/meminfo, in KiB. used is what is left of the total, so that the uses add up; `free` shows the same."""
    facts = b"\n" + meminfo

    def size(name: bytes) -> int:
        return count_of(facts, name) * 1024

    total, free, buffers = size(b"MemTotal:"), size(b"MemFree:"), size(b"Buffers:")
    cached = size(b"Cached:")
    if b"\nSReclaimable:" in facts:  # a sandbox's kernel has none
        cached += size(b"SReclaimable:")
    # The kernel adds these up one after the other; on a busy machine they may overlap by some pages.
    used = max(total - free - buffers - cached, 0)
    yield hosts.MEMORY_LIMIT(total)
    for state, value in (("used", used), ("free", free), ("cached", cached), ("buffers", buffers)):
        yield hosts.MEMORY_USAGE(value, system_memory_state=state)
    if b"\nMemAvailable:" in facts:  # since Linux 3.14
        yield hosts.MEMORY_AVAILABLE(size(b"MemAvailable:"))
    unused = size(b"SwapFree:")
    yield hosts.PAGING_USAGE(max(size(b"SwapTotal:") - unused, 0), system_paging_state="used")
    yield hosts.PAGING_USAGE(unused, system_paging_state="free")


def paging(vmstat: bytes) -> Iterator[Sample]:
    """/proc/vmstat, in pages and events. The kernel counts all faults and, apart, the major ones among them."""
    facts = b"\n" + vmstat
    yield hosts.PAGING_OPERATIONS(count_of(facts, b"pswpin "), system_paging_direction="in")
    yield hosts.PAGING_OPERATIONS(count_of(facts, b"pswpout "), system_paging_direction="out")
    major = count_of(facts, b"pgmajfault ")
    yield hosts.PAGING_FAULTS(major, system_paging_fault_type="major")
    yield hosts.PAGING_FAULTS(max(count_of(facts, b"pgfault ") - major, 0), system_paging_fault_type="minor")
    if b"\noom_kill " in facts:  # since Linux 4.13
        yield hosts.OOM_KILLS(count_of(facts, b"oom_kill "))


def uptime(data: bytes) -> Iterator[Sample]:
    yield hosts.UPTIME(decimal(words(data, 1)[0]))
