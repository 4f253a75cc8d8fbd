"""The program's own process.

fleetwatch_process_memory_usage_bytes{host_name="web-1"} 6.1e7
fleetwatch_process_cpu_time_seconds_total{host_name="web-1"} 12.8
fleetwatch_process_file_descriptor_count{host_name="web-1"} 31
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fleetwatch.catalogue import exporter
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import source


@source(interval=15)
def own_process(here: Here) -> Iterator[Sample]:  # noqa: ARG001 - it is the same everywhere
    # Not through psutil: a sidecar does without it.
    resident = int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    times = os.times()
    yield exporter.PROCESS_MEMORY(resident)
    yield exporter.PROCESS_CPU(times.user + times.system)
    # The listing has one open itself.
    yield exporter.PROCESS_FILES(len(os.listdir("/proc/self/fd")) - 1)
