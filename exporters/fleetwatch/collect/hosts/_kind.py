"""What kind of machine this is, found out from what every kind leaves behind."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._read import text

_CONTAINER_MARKS = (".dockerenv", "run/.containerenv", "run/systemd/container")
_CONTAINER_GROUP = re.compile(r"/(docker|kubepods|lxc|libpod|containerd|crio|garden|ecs)\b|docker-[0-9a-f]{12}")

# Names that makers of virtual machines write into the firmware's tables.
_VIRTUAL = re.compile(
    r"QEMU|KVM|VMware|VirtualBox|innotek|Xen\b|Bochs|Parallels|Virtual Machine|Google Compute Engine|OpenStack|"
    r"DigitalOcean|Droplet|BHYVE|Hetzner|Alibaba Cloud|Apple Virtualization|RHEV|oVirt|Nutanix AHV|Cloud Hypervisor",
    re.IGNORECASE,
)


def kind(here: Here, environment: Mapping[str, str] = os.environ) -> str:
    """One of the values of hosts.DEPLOYMENT."""
    if here.deployment:
        return here.deployment
    in_pod = "KUBERNETES_SERVICE_HOST" in environment
    # A container that looks at its host: the environment speaks of the container, the files of the host.
    from_inside = here.proc != Path("/proc")
    if in_pod:
        return "kubernetes_node" if from_inside else "kubernetes_pod"
    tests = {"container": _is_container, "kubernetes_node": _is_node, "ec2": _is_ec2, "vm": _is_virtual}
    return next((name for name, test in tests.items() if test(here)), "bare_metal")


def _is_node(here: Here) -> bool:
    try:
        os.stat(here.root / "var/lib/kubelet/pki")
    except PermissionError:
        # A running kubelet keeps its folder to itself.
        return True
    except OSError:
        return False
    return True


def _is_container(here: Here) -> bool:
    if any(os.path.exists(here.root / mark) for mark in _CONTAINER_MARKS):
        return True
    return _CONTAINER_GROUP.search(_text(here.proc / "1/cgroup")) is not None


def _is_ec2(here: Here) -> bool:
    """By the firmware of current machines, metal ones among them; by Xen's id on those before 2017."""
    return "Amazon EC2" in _firmware(here) or _text(here.sys / "hypervisor/uuid").startswith("ec2")


def _is_virtual(here: Here) -> bool:
    if _VIRTUAL.search(_firmware(here)) or _text(here.sys / "hypervisor/type"):
        return True
    processor = _text(here.proc / "cpuinfo").partition("\n\n")[0]
    return re.search(r"^flags\s*:.*\bhypervisor\b", processor, re.MULTILINE) is not None


def _firmware(here: Here) -> str:
    folder = here.sys / "class/dmi/id"
    return "\n".join(_text(folder / name) for name in ("sys_vendor", "product_name", "bios_vendor", "board_vendor"))


def _text(path: Path) -> str:
    """A file, or nothing where there is none or it is not ours to read."""
    try:
        return text(str(path))
    except OSError:
        return ""
