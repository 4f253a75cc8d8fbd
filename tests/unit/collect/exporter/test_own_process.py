"""What the exporter reports of itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleetwatch.catalogue import exporter
from fleetwatch.collect import Here
from fleetwatch.collect.exporter.own_process import own_process


def test_memory_time_and_files_are_those_of_this_process() -> None:
    found = {sample.metric: sample.value for sample in own_process(Here())}
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert found[exporter.PROCESS_MEMORY] == pytest.approx(resident, rel=0.2)
    times = os.times()
    assert found[exporter.PROCESS_CPU] == pytest.approx(times.user + times.system, abs=1)
    assert found[exporter.PROCESS_FILES] == pytest.approx(len(os.listdir("/proc/self/fd")), abs=5)
