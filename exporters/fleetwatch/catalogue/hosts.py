"""Hosts: this machine's load, processor time, memory and file systems, by OpenTelemetry's `system.*` names."""

from __future__ import annotations

from fleetwatch.catalogue.metric import counter, gauge, label

CPU_STATE = label(
    "cpu_mode",
    "What the processors did (`cpu.mode`).",
    one_of=("user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal"),
)
MEMORY_STATE = label("system_memory_state", "Use of memory.", one_of=("used", "free", "cached", "buffers"))
MOUNTPOINT = label("system_filesystem_mountpoint", "Where the file system is mounted.", at_most=50)
FILESYSTEM_STATE = label("system_filesystem_state", "Use of space.", one_of=("used", "free", "reserved"))

LOAD_1M = gauge("system.cpu.load_average.1m", unit="{thread}", help="Threads that ran or waited, mean over a minute.")
LOAD_5M = gauge("system.cpu.load_average.5m", unit="{thread}", help="Threads that ran or waited, mean over 5 minutes.")
LOAD_15M = gauge(
    "system.cpu.load_average.15m", unit="{thread}", help="Threads that ran or waited, mean over 15 minutes."
)
CPU_TIME = counter("system.cpu.time", unit="s", help="Processor time of all processors by mode.", labels=(CPU_STATE,))
CPU_COUNT = gauge("system.cpu.logical.count", unit="{cpu}", help="Logical processors.")
MEMORY_USAGE = gauge("system.memory.usage", unit="By", help="Memory by use.", labels=(MEMORY_STATE,))
MEMORY_LIMIT = gauge("system.memory.limit", unit="By", help="Memory of the machine.")
FILESYSTEM_USAGE = gauge(
    "system.filesystem.usage", unit="By", help="Space of file systems by use.", labels=(MOUNTPOINT, FILESYSTEM_STATE)
)
