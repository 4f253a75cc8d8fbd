"""What kind of machine this is, found out from what every kind leaves behind."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._read import text_if_any

_INSTANCE = r"i-[0-9a-f]{8,17}"
_CONTAINER_MARKS = (".dockerenv", "run/.containerenv", "run/systemd/container")
_CONTAINER_GROUP = re.compile(r"/(docker|kubepods|lxc|libpod|containerd|crio|garden|ecs)\b|docker-[0-9a-f]{12}")

# Names that makers of virtual machines write into the firmware's tables.
_VIRTUAL = re.compile(
    r"QEMU|KVM|VMware|VirtualBox|innotek|Xen\b|Bochs|Parallels|Virtual Machine|Google Compute Engine|OpenStack|"
    r"DigitalOcean|Droplet|BHYVE|Hetzner|Alibaba Cloud|Apple Virtualization|RHEV|oVirt|Nutanix AHV|Cloud Hypervisor",
    re.IGNORECASE,
)


def kind(here: Here, environment: Mapping[str, str] = os.environ, hardware: str = "") -> str:
    """One of the values of hosts.DEPLOYMENT.

    hardware: what `hardware_of` has said before. The rest is looked at anew: a machine may join its cluster later.
    """
    if here.deployment:
        return here.deployment
    in_pod = "KUBERNETES_SERVICE_HOST" in environment
    # A container that looks at its host: the environment speaks of the container, the files of the host.
    from_inside = here.proc != Path("/proc")
    if in_pod:
        return "kubernetes_node" if from_inside else "kubernetes_pod"
    if _is_container(here):
        return "container"
    if _is_node(here):
        return "kubernetes_node"
    return hardware or hardware_of(here)


def hardware_of(here: Here) -> str:
    """ec2, vm or bare_metal, which stays. It may take all of /proc/cpuinfo, which is long where processors are many."""
    if on_ec2(here):
        return "ec2"
    return "vm" if _is_virtual(here) else "bare_metal"


def on_ec2(here: Here) -> bool:
    """By the firmware's tables on machines of today, metal ones among them; by Xen's id on those before 2017."""
    folder = here.sys / "class/dmi/id"
    if any(text_if_any(f"{folder}/{name}") == "Amazon EC2" for name in ("sys_vendor", "board_vendor", "bios_vendor")):
        return True
    xen = text_if_any(f"{here.sys}/hypervisor/uuid").lower().startswith("ec2")
    return xen or re.fullmatch(_INSTANCE, text_if_any(f"{folder}/board_asset_tag"), re.ASCII) is not None


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
    return _CONTAINER_GROUP.search(text_if_any(f"{here.proc}/1/cgroup")) is not None


def _is_virtual(here: Here) -> bool:
    if _VIRTUAL.search(_firmware(here)) or text_if_any(f"{here.sys}/hypervisor/type"):
        return True
    processor = text_if_any(f"{here.proc}/cpuinfo").partition("\n\n")[0]
    return re.search(r"^flags\s*:.*\bhypervisor\b", processor, re.MULTILINE) is not None


def _firmware(here: Here) -> str:
    folder = here.sys / "class/dmi/id"
    names = ("sys_vendor", "product_name", "bios_vendor", "board_vendor")
    return "\n".join(text_if_any(f"{folder}/{name}") for name in names)
