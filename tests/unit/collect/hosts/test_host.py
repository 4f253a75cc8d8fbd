"""What is reported of this machine equals what the kernel says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil
import pytest
from fleetwatch.collect.hosts.host import host

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Metric


def values(metric: Metric) -> dict[tuple[str, ...], float]:
    return {sample.labels: sample.value for sample in host() if sample.metric is metric}


def test_load_and_processors_are_those_of_the_kernel() -> None:
    assert values(hosts.CPU_COUNT)[()] == os.cpu_count()
    told = float(Path("/proc/loadavg").read_text().split()[0])
    assert values(hosts.LOAD_1M)[()] == pytest.approx(told, abs=1)


def test_processor_time_grows_and_has_every_mode() -> None:
    before, after = values(hosts.CPU_TIME), values(hosts.CPU_TIME)
    assert {mode for (mode,) in before} == set(hosts.CPU_MODE.one_of)
    assert all(after[mode] >= before[mode] for mode in before)


def test_uses_of_memory_are_parts_of_the_machine_s() -> None:
    limit = values(hosts.MEMORY_LIMIT)[()]
    assert limit == psutil.virtual_memory().total
    assert 0.5 * limit < sum(values(hosts.MEMORY_USAGE).values()) < 1.1 * limit


def test_uses_of_a_file_system_add_up_to_its_size() -> None:
    usage = values(hosts.FILESYSTEM_USAGE)
    for where in {where for where, _ in usage}:
        parts = {state: usage[where, state] for state in hosts.FILESYSTEM_STATE.one_of}
        assert sum(parts.values()) == shutil.disk_usage(where).total
        assert min(parts.values()) >= 0


def test_a_file_system_that_cannot_be_asked_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = psutil.disk_partitions()[0]._replace(mountpoint="/no/such/place", device="gone")
    again = gone._replace(mountpoint="/", device="here")
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [gone, again, again])
    assert {where for where, _ in values(hosts.FILESYSTEM_USAGE)} == {"/"}
