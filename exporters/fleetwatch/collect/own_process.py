"""The exporter's own process.

process_memory_usage_bytes 6.1e7
process_cpu_time_seconds_total 12.8
process_unix_file_descriptor_count 31
"""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from fleetwatch.catalogue import exporter
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.runner import source


@source(interval=15)
def own_process() -> Iterator[Sample]:
    process = psutil.Process()
    times = process.cpu_times()
    yield exporter.PROCESS_MEMORY(process.memory_info().rss)
    yield exporter.PROCESS_CPU(times.user + times.system)
    yield exporter.PROCESS_FILES(process.num_fds())
