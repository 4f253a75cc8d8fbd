"""Hosts in every state, with everything that a host can have, that report to a real exporter.

The values are made up and move as real ones do: no machine of ours has GPUs, a container, a full disk and a spot notice
at once. Their way is the real one: the sidecar's encoder and client, the exporter's receiver and its roster, which
finds out itself who is missing, said goodbye or was reclaimed. Real sidecars are tested elsewhere.

with reporting_hosts("127.0.0.1:4318"):
    ...  # the exporter has SETTINGS
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from fleetwatch.catalogue import exporter, hosts
from fleetwatch.catalogue.metric import Sample, gauge
from fleetwatch.send.client import Client
from support_hosts import FakeHost, report_of

GIB = float(1 << 30)
ALL_THERE = "gpu-1"
"""The host that has everything."""

SETTINGS: dict[str, Any] = {"roster": {"expected": ["agents-1", "agents-2", "batch-1", "ledger-2"]}}
"""For the exporter: ledger-2 is a name that nobody has."""

OF_ANOTHER_VERSION = gauge("host.of.another.version", unit="", help="Nobody knows it.", labels=(hosts.HOST,))


class Machine(NamedTuple):
    """busy: share of the processors in use, and of the time that tasks wait, roughly."""

    name: str
    type: str
    cpus: int
    memory_gib: int
    busy: float
    notice: bool = False
    gpus: int = 0


FLEET = (
    Machine("agents-1", "c7i.2xlarge", 8, 16, 0.35),
    Machine("agents-2", "c7i.2xlarge", 8, 16, 0.95),
    Machine("agents-3", "c7i.2xlarge", 8, 16, 0.6, notice=True),
    Machine(ALL_THERE, "p5.48xlarge", 192, 2048, 0.7, gpus=2),
    Machine("ledger-1", "m7i.large", 2, 8, 0.15),
)


@contextlib.contextmanager
def reporting_hosts(sink: str) -> Iterator[None]:
    """A report a second of every host of FLEET to `sink` (HOST:PORT) until the block ends; three others end before."""
    _leave(sink)
    ended, failed = threading.Event(), list[Exception]()

    def reports() -> None:
        fleet = [(machine, FakeHost(machine.name, sink)) for machine in FLEET]
        began = time.time()
        stranger = Client(f"http://{sink}")
        try:
            while not ended.wait(1):
                now = time.time()
                for machine, host in fleet:
                    host.report(*samples_of(machine, began, now))
                stranger.post("metrics", report_of("old-1", [hosts.UPTIME(now - began), OF_ANOTHER_VERSION(1)]))
        except Exception as error:
            failed.append(error)
        for _, host in fleet:
            host.close()
        stranger.close()

    thread = threading.Thread(target=reports)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert not failed, failed


def _leave(sink: str) -> None:
    """One that falls silent, one that does so after a notice, and one that says goodbye."""
    silent, taken, polite = (FakeHost(f"batch-{number}", sink) for number in (1, 2, 3))
    silent.report(hosts.UPTIME(60))
    taken.report(hosts.UPTIME(60), hosts.SPOT_ACTION(time.time() + 1, action="terminate"))
    polite.goodbye(hosts.UPTIME(60))
    for host in (silent, taken, polite):
        host.close()


def samples_of(machine: Machine, began: float, now: float) -> Iterator[Sample]:
    """What the machine reports. began: Unix time from which it is watched."""
    age = now - began + 600
    wave = machine.busy * (1 + 0.25 * math.sin(now / 20 + len(machine.name)))
    yield hosts.INFO(
        1,
        region="eu-central-1",
        zone="euc1-az2",
        deployment_type="container" if machine.gpus else "ec2",
        instance_type=machine.type,
        lifecycle="spot" if machine.notice else "on-demand",
        cpus=str(machine.cpus),
        memory_gib=str(machine.memory_gib),
        gpus=str(machine.gpus),
        gpu_model="NVIDIA H200" if machine.gpus else "",
    )
    if machine.notice:
        yield hosts.SPOT_ACTION(began + 600, action="terminate")
        yield hosts.REBALANCE(began - 300)
    yield from _processors(machine, age, wave)
    yield from _memory(machine, age, wave)
    yield from _disks(machine, age)
    yield from _network(age)
    yield from _programs(machine, age, wave)
    yield from _sidecar(machine, now, age)
    if machine.gpus:
        yield from _container(age)
    for gpu in range(machine.gpus):
        yield from _gpu(str(gpu), age, wave)


def _processors(machine: Machine, age: float, wave: float) -> Iterator[Sample]:
    shares = {"user": 0.7, "system": 0.2, "softirq": 0.05, "iowait": 0.02, "nice": 0.01, "irq": 0.01, "steal": 0.01}
    for mode, share in shares.items():
        yield hosts.CPU_TIME(age * machine.cpus * machine.busy * share, cpu_mode=mode)
    yield hosts.CPU_TIME(age * machine.cpus * (1 - machine.busy), cpu_mode="idle")
    yield hosts.CPU_COUNT(machine.cpus)
    for metric, factor in ((hosts.LOAD_1M, 1.3), (hosts.LOAD_5M, 1.1), (hosts.LOAD_15M, 1.0)):
        yield metric(machine.cpus * wave * factor)
    waits = {"cpu": machine.busy**3, "memory": machine.busy**8 / 5, "io": machine.busy**4 / 3}
    for resource, share in waits.items():
        full = 0.0 if resource == "cpu" else share / 2
        yield hosts.PRESSURE_TIME(age * share, pressure_resource=resource, pressure_kind="some")
        yield hosts.PRESSURE_TIME(age * full, pressure_resource=resource, pressure_kind="full")
    yield hosts.UPTIME(age + 3 * 86400)
    for sensor, degrees in (("coretemp Package id 0", 55.0), ("nvme Composite", 41.0)):
        yield hosts.TEMPERATURE(degrees + 20 * wave, hw_id=sensor)


def _memory(machine: Machine, age: float, wave: float) -> Iterator[Sample]:
    whole, used = machine.memory_gib * GIB, min(0.9, 0.2 + 0.6 * wave)
    for state, share in (("used", used), ("cached", (1 - used) * 0.7), ("buffers", 0.02), ("free", (1 - used) * 0.3)):
        yield hosts.MEMORY_USAGE(whole * share, system_memory_state=state)
    yield hosts.MEMORY_LIMIT(whole)
    yield hosts.MEMORY_AVAILABLE(whole * (1 - used))
    for state, share in (("used", 0.1), ("free", 0.9)):
        yield hosts.PAGING_USAGE(2 * GIB * share, system_paging_state=state)
    for direction in ("in", "out"):
        yield hosts.PAGING_OPERATIONS(age * 3 * machine.busy, system_paging_direction=direction)
    for kind, rate in (("major", 2.0), ("minor", 4000.0)):
        yield hosts.PAGING_FAULTS(age * rate, system_paging_fault_type=kind)
    yield hosts.OOM_KILLS(math.floor(age / 5) if machine.busy > 0.9 else 0)


def _disks(machine: Machine, age: float) -> Iterator[Sample]:
    for device in ("nvme0n1", "nvme1n1"):
        for direction, rate in (("read", 4e6), ("write", 22e6)):
            labels = {"system_device": device, "disk_io_direction": direction}
            yield hosts.DISK_IO(age * rate, **labels)
            yield hosts.DISK_OPERATIONS(age * rate / 32e3, **labels)
            yield hosts.DISK_OPERATION_TIME(age * rate / 32e3 * 0.0008, **labels)
        yield hosts.DISK_IO_TIME(age * 0.3, system_device=device)
    for mount, kind, size, used in (
        ("/", "ext4", 100.0, 40.0),
        ("/data", "ext4", 500.0, 380.0 + 60 * machine.busy + 0.001 * age),
        ("/mnt/models", "nfs4", 2000.0, 900.0),
    ):
        labels = {"system_filesystem_mountpoint": mount, "system_filesystem_type": kind}
        for state, amount in (("used", used), ("free", size * 0.95 - used), ("reserved", size * 0.05)):
            yield hosts.FILESYSTEM_USAGE(amount * GIB, **labels, system_filesystem_state=state)
        for state, share in (("used", 0.2), ("free", 0.8)):
            yield hosts.FILESYSTEM_INODES(size * 65536 * share, **labels, system_filesystem_state=state)
        yield hosts.FILESYSTEM_READ_ONLY(float(kind == "nfs4"), **labels)
        yield hosts.FILESYSTEM_STUCK(0, **labels)


def _network(age: float) -> Iterator[Sample]:
    for direction, rate in (("receive", 12e6), ("transmit", 31e6)):
        labels = {"network_interface_name": "ens5", "network_io_direction": direction}
        yield hosts.NETWORK_IO(age * rate, **labels)
        yield hosts.NETWORK_PACKETS(age * rate / 900, **labels)
        yield hosts.NETWORK_ERRORS(0, **labels)
        yield hosts.NETWORK_DROPPED(age * 0.4, **labels)


def _programs(machine: Machine, age: float, wave: float) -> Iterator[Sample]:
    for number, name in enumerate(("python3", "node", "postgres", "vector", "fleetwatch", "sshd")):
        yield hosts.TOP_CPU(machine.cpus * wave * 0.6 ** (number + 1), process_executable_name=name)
        yield hosts.TOP_MEMORY(machine.memory_gib * GIB * 0.3 * 0.6**number, process_executable_name=name)
    for group, count in (("agents", 12), ("postgres", 0 if machine.name == "ledger-1" else 6)):
        yield hosts.GROUP_PROCESSES(count, process_group=group)
        for mode in ("user", "system"):
            yield hosts.GROUP_CPU_TIME(age * count * machine.busy / 20, process_group=group, cpu_mode=mode)
        yield hosts.GROUP_MEMORY(count * 0.3 * GIB, process_group=group)
        yield hosts.GROUP_THREADS(count * 14, process_group=group)
        yield hosts.GROUP_FILES(count * 55, process_group=group)
        if count:
            yield hosts.GROUP_UPTIME(age + 7200, process_group=group)


def _sidecar(machine: Machine, now: float, age: float) -> Iterator[Sample]:
    yield hosts.SPOOL_LIMIT(256 * 2.0**20)
    yield hosts.SPOOL_SIZE(machine.busy**6 * 220 * 2.0**20 * (1 + 0.1 * math.sin(now / 15)))
    yield hosts.SPOOL_OLDEST(90 * machine.busy**6)
    yield hosts.SINK_UP(1)
    for signal, rate in (("traces", 40), ("metrics", 600), ("logs", 120)):
        yield hosts.SPOOL_ACCEPTED(math.floor(age * rate), signal=signal)
        yield hosts.SPOOL_FORWARDED(math.floor(age * rate * 0.98), signal=signal)
        lost = math.floor(age / 2) if machine.busy > 0.9 else 0
        yield hosts.SPOOL_DROPPED(lost, signal=signal, reason="spool_full")
    for name, works in (("host", True), ("disks", True), ("filesystems", machine.busy < 0.9)):
        yield exporter.COLLECTOR_SUCCESS(float(works), collector=name)
        yield exporter.COLLECTOR_DURATION(0.004, collector=name)
        yield exporter.COLLECTOR_LAST_SUCCESS(now - (3 if works else 4000), collector=name)
        yield exporter.COLLECTOR_SERIES(60, collector=name)
    yield exporter.PROCESS_MEMORY(31 * 2.0**20)
    yield exporter.PROCESS_CPU(age * 0.004)


def _container(age: float) -> Iterator[Sample]:
    for mode, rate in (("user", 9.0), ("system", 2.0)):
        yield hosts.CONTAINER_CPU_TIME(age * rate, cpu_mode=mode)
    yield hosts.CONTAINER_CPU_LIMIT(16)
    yield hosts.CONTAINER_CPU_PERIODS(math.floor(age * 10))
    yield hosts.CONTAINER_CPU_THROTTLED_PERIODS(math.floor(age * 1.2))
    yield hosts.CONTAINER_MEMORY(52 * GIB)
    yield hosts.CONTAINER_WORKING_SET(41 * GIB)
    yield hosts.CONTAINER_MEMORY_LIMIT(64 * GIB)
    for event, rate in (("high", 0.4), ("max", 0.2), ("oom", 0.0), ("oom_kill", 0.0)):
        yield hosts.CONTAINER_MEMORY_EVENTS(math.floor(age * rate), container_memory_event=event)


def _gpu(number: str, age: float, wave: float) -> Iterator[Sample]:
    gpu = {"hw_id": number}
    yield hosts.GPU_INFO(1, **gpu, uuid=f"GPU-{number}", model="NVIDIA H200", driver="570.86", mig_profile="")
    yield hosts.GPU_UTILIZATION(min(1.0, wave + 0.1 * int(number)), **gpu, hw_gpu_task="general")
    yield hosts.GPU_MEMORY_USAGE(90 * GIB * min(1.0, 0.5 + wave / 2), **gpu)
    yield hosts.GPU_MEMORY_LIMIT(139 * GIB, **gpu)
    yield hosts.GPU_POWER(300 + 350 * wave, **gpu)
    yield hosts.GPU_POWER_LIMIT(700, **gpu)
    yield hosts.TEMPERATURE(45 + 35 * wave, **gpu)
    yield hosts.GPU_FREQUENCY(1.755e9, **gpu, hw_gpu_clock="sm")
    for reason in hosts.THROTTLE_REASON.one_of:
        yield hosts.GPU_THROTTLED(float(reason == "power"), **gpu, hw_gpu_throttle_reason=reason)
    for kind, errors in (("corrected", math.floor(age / 30)), ("uncorrected", 0)):
        yield hosts.GPU_ERRORS(errors, **gpu, error_type=kind)
    yield hosts.GPU_XIDS(0, **gpu, xid="31")
