"""The machine that the sources look at, and what the settings say of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class ProcessGroup(NamedTuple):
    """A named group of processes: those in which all patterns that are given are found. The first that fits has one."""

    name: str
    program: re.Pattern[str] | None = None
    """In the program's name."""
    command: re.Pattern[str] | None = None
    """In the command line, arguments joined by spaces."""


@dataclass(frozen=True)
class Here:
    """What a source may know of its machine. Paths differ from the usual ones in containers that look at their host."""

    name: str = ""
    region: str = ""
    zone: str = ""
    deployment: str = ""
    """One of the values of hosts.DEPLOYMENT; empty: found out."""
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    root: Path = Path("/")
    process_groups: tuple[ProcessGroup, ...] = ()
    top_processes: int = 10
    """Programs shown by processor use, and as many by memory."""
    ignored_filesystems: re.Pattern[str] = re.compile(
        r"(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|"
        r"proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)"
    )
    """Types of file systems that are not shown."""
    ignored_interfaces: re.Pattern[str] = re.compile(
        r"lo|veth.*|cali.*|lxc.*|(docker|podman|vnet)\d+|br-.*|(eni|gke|azv)[0-9a-f]{6,}|tap[0-9a-f]{8}-[0-9a-f]{2}"
    )
    """The machine's own loop, and those of containers, pods and virtual machines: one each, by names that never return.
    eni, gke, azv: what the clouds' own networks for Kubernetes make for a pod."""
    ignored_disks: re.Pattern[str] = re.compile(
        r"(ram|loop|fd|zram)\d+|(h|s|v|xv)d[a-z]+\d+|(nvme\d+n\d+|mmcblk\d+)p\d+"
    )
    """Devices that are not shown; partitions are parts of their disk."""
    imds: str = "http://169.254.169.254"
    facts: dict[str, str] = field(default_factory=dict)
    """What one source found out and another shows: instance_type, lifecycle, region, zone, gpus, gpu_model."""
    clock: Callable[[], float] = time.time
    """Unix time."""
