"""Machines as they were recorded: the kernel's files in, a scrape out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect import Here
from fleetwatch.collect.hosts.disks import disks
from fleetwatch.collect.hosts.filesystems import Filesystems
from fleetwatch.collect.hosts.host import Host
from fleetwatch.collect.hosts.host_info import HostInfo
from fleetwatch.collect.hosts.network import network
from fleetwatch.collect.hosts.temperatures import temperatures
from support_machines import RecordedSpace, collected, machine, page


def host(here: Here) -> Iterable[Sample]:
    return Host(here)()


def filesystems(here: Here) -> Iterable[Sample]:
    return Filesystems(here, RecordedSpace(here))()


def host_info(here: Here) -> Iterable[Sample]:
    return HostInfo(here)()


SOURCES: dict[str, Callable[[Here], Iterable[Sample]]] = {
    "host": host,
    "disks": disks,
    "network": network,
    "temperatures": temperatures,
    "filesystems": filesystems,
    "host_info": host_info,
}
MACHINES = {
    "small-vm": ["host", "disks", "network", "filesystems", "host_info"],
    "gpu-server": list(SOURCES),
    # Linux 3.10: no pressure, no estimate of available memory, no count of kills, fewer words about disks.
    "old-kernel": ["host", "disks", "network"],
}


@pytest.mark.parametrize(("name", "source"), [(name, source) for name, all_ in MACHINES.items() for source in all_])
def test_a_machine_is_reported_as_recorded(
    name: str, source: str, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    golden(f"sources/{source}-{name}.prom", page(SOURCES[source](machine(name))))


def test_a_normal_machine_stays_in_its_budget_of_series() -> None:
    """600 for all of a host; half of them are left to processes, containers, GPUs and the sidecar itself."""
    here = machine("gpu-server")
    samples = [sample for source in SOURCES.values() for sample in collected(source(here))[0]]
    assert 100 < len(samples) <= 300
