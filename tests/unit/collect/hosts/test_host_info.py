"""What kind of machine this is: by the settings, by the cloud, by what each kind leaves behind."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.catalogue import hosts
from fleetwatch.collect import Here
from fleetwatch.collect.hosts._kind import kind
from fleetwatch.collect.hosts.host_info import HostInfo, memory_gib
from support_machines import machine

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}


def info(here: Here) -> dict[str, str]:
    return said(HostInfo(here))


def said(source: HostInfo) -> dict[str, str]:
    [sample] = source()
    return dict(zip(hosts.INFO.label_names, sample.labels, strict=True))


def test_settings_win_over_the_cloud_and_the_cloud_over_the_driver() -> None:
    here = machine("gpu-server")
    assert (info(here)["gpus"], info(here)["gpu_model"]) == ("2", "NVIDIA H200")
    here.facts.update(region="eu-central-1", zone="euc1-az2", instance_type="p5en.48xlarge", lifecycle="spot", gpus="8")
    found = info(replace(here, zone="rack 7", deployment="bare_metal"))
    assert found["region"] == "eu-central-1"
    assert found["zone"] == "rack 7"
    assert found["deployment_type"] == "bare_metal"
    assert found["lifecycle"] == "spot"
    assert (found["instance_type"], found["gpus"], found["cpus"]) == ("p5en.48xlarge", "8", "192")
    assert found["memory_gib"] == "2016"


def bare(root: Path, **files: str) -> Here:
    """A machine with these files; __ stands for a slash."""
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return Here(proc=root / "proc", sys=root / "sys", root=root)


VENDOR = "sys__class__dmi__id__sys_vendor"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "bare_metal"),
        ({VENDOR: "Dell Inc."}, "bare_metal"),
        ({VENDOR: "Amazon EC2"}, "ec2"),
        ({"sys__hypervisor__uuid": "ec2e1916-9099-7caf-fd21-012345abcdef", "sys__hypervisor__type": "xen"}, "ec2"),
        ({VENDOR: "QEMU"}, "vm"),
        ({VENDOR: "Microsoft Corporation", "sys__class__dmi__id__product_name": "Virtual Machine"}, "vm"),
        ({VENDOR: "Microsoft Corporation", "sys__class__dmi__id__product_name": "Surface"}, "bare_metal"),
        ({"proc__cpuinfo": "processor\t: 0\nflags\t\t: fpu hypervisor lahf_lm\n"}, "vm"),
        ({"proc__cpuinfo": "processor\t: 0\nmodel name\t: hypervisor 3000\nflags\t\t: fpu\n"}, "bare_metal"),
        ({".dockerenv": "", VENDOR: "Amazon EC2"}, "container"),
        ({"run__.containerenv": ""}, "container"),
        ({"proc__1__cgroup": "4:memory:/docker/0123456789ab"}, "container"),
        ({"proc__1__cgroup": "0::/init.scope"}, "bare_metal"),
        ({"var__lib__kubelet__pki__kubelet.crt": "", VENDOR: "Amazon EC2"}, "kubernetes_node"),
    ],
)
def test_each_kind_is_known_by_what_it_leaves_behind(files: dict[str, str], expected: str, tmp_path: Path) -> None:
    assert kind(bare(tmp_path, **files), {}) == expected


def test_a_pod_is_one_unless_it_looks_at_its_node(tmp_path: Path) -> None:
    assert kind(Here(), POD) == "kubernetes_pod"
    assert kind(bare(tmp_path), POD) == "kubernetes_node"


def test_a_node_is_known_by_who_may_not_look_into_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet keeps its folder for root and its group; a sidecar under systemd is neither."""
    here = bare(tmp_path, var__lib__kubelet__pki__kubelet__crt="")
    real = os.stat

    def refused(path: str | os.PathLike[str], *arguments: Any, **named: Any) -> os.stat_result:
        if str(path).startswith(f"{tmp_path}/var/lib/kubelet/"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *arguments, **named)

    # Root may look everywhere.
    monkeypatch.setattr(os, "stat", refused)
    assert kind(here, {}) == "kubernetes_node"


def test_hardware_is_found_out_once_but_who_joins_a_cluster_later_is_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    here = machine("small-vm", tmp_path)
    (here.proc / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu hypervisor\n")
    source = HostInfo(here)
    assert said(source)["deployment_type"] == "vm"
    (here.proc / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu\n")
    assert said(source)["deployment_type"] == "vm"
    (here.root / "var/lib/kubelet/pki").mkdir(parents=True)
    assert said(source)["deployment_type"] == "kubernetes_node"


def test_every_kind_is_in_the_catalogue(tmp_path: Path) -> None:
    """Else the meter would show _other for it."""
    assert kind(Here(), {}) in hosts.DEPLOYMENT.one_of


@pytest.mark.parametrize(("kib", "text"), [(2113412844, "2016"), (24684084, "24"), (2013012, "2"), (498000, "0.5")])
def test_memory_is_rounded_as_machines_are_sold(kib: int, text: str) -> None:
    assert memory_gib(kib) == text
