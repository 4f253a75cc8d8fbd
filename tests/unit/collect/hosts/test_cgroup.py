"""What the kernel counts for the own container is what is shown; a limit is the least on the way up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect import Here, Incomplete, NoData
from fleetwatch.collect.hosts.cgroup import cgroup
from fleetwatch.meter import Meter
from fleetwatch.meter.text import render
from fleetwatch.places import PROJECT
from support import wait_for

FIXTURES = PROJECT / "tests" / "fixtures" / "hosts"


def tree(name: str, tmp_path: Path) -> Path:
    """A fixture with the place where its cgroups are mounted filled in."""
    copy = tmp_path / name
    shutil.copytree(FIXTURES / name, copy)
    mounts = copy / "proc" / "self" / "mountinfo"
    mounts.write_text(mounts.read_text().replace("@TREE@", str(copy).replace(" ", "\\040")))
    return copy


def shown(root: Path) -> dict[tuple[Metric, tuple[str, ...]], float]:
    return {(sample.metric, sample.labels[1:]): sample.value for sample in cgroup(Here(proc=root / "proc"))}


def test_a_container_with_limits(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    meter = Meter(implied={"host_name": "web-1"})
    meter.replace("cgroup", cgroup(Here(proc=tree("cgroup-container", tmp_path) / "proc")))
    golden("sources/cgroup.prom", render(meter)[0].decode())


def test_limits_of_parents_hold_and_the_one_that_holds_tells_how_often_it_stopped_the_threads(tmp_path: Path) -> None:
    values = shown(tree("cgroup-service", tmp_path))
    assert values[hosts.CONTAINER_CPU_LIMIT, ()] == 1.5
    assert values[hosts.CONTAINER_CPU_THROTTLED_PERIODS, ()] == 70
    assert values[hosts.CONTAINER_CPU_TIME, ("user",)] == 2
    assert values[hosts.CONTAINER_MEMORY_LIMIT, ()] == 1 << 30
    assert values[hosts.CONTAINER_PIDS_LIMIT, ()] == 500


def test_more_cache_than_memory_leaves_no_working_set_below_zero(tmp_path: Path) -> None:
    assert shown(tree("cgroup-service", tmp_path))[hosts.CONTAINER_WORKING_SET, ()] == 0


def test_what_has_no_limit_and_controllers_that_are_off_are_left_out(tmp_path: Path) -> None:
    root = tree("cgroup-container", tmp_path)
    for name, value in (("cpu.max", "max 100000\n"), ("memory.max", "max\n"), ("pids.max", "max\n")):
        (root / "cgroup" / name).write_text(value)
    for name in ("io.stat", "io.pressure", "memory.events"):
        (root / "cgroup" / name).unlink()
    metrics = {metric for metric, _ in shown(root)}
    gone = {hosts.CONTAINER_CPU_LIMIT, hosts.CONTAINER_MEMORY_LIMIT, hosts.CONTAINER_PIDS_LIMIT}
    assert not metrics & {*gone, hosts.CONTAINER_DISK_IO, hosts.CONTAINER_MEMORY_EVENTS}
    assert {hosts.CONTAINER_CPU_PERIODS, hosts.CONTAINER_MEMORY} <= metrics


@pytest.mark.parametrize("name", ["cgroup-root", "cgroup-hybrid"])
def test_a_bare_machine_and_version_1_have_nothing_to_report(name: str, tmp_path: Path) -> None:
    with pytest.raises(NoData):
        shown(tree(name, tmp_path))


@pytest.mark.parametrize("own", ["", "0::/../elsewhere\n", "1:name=systemd:/\n0::/\n"])
def test_a_group_that_cannot_be_seen_has_nothing_to_report(own: str, tmp_path: Path) -> None:
    root = tree("cgroup-container", tmp_path)
    (root / "proc" / "self" / "cgroup").write_text(own)
    with pytest.raises(NoData):
        shown(root)


def test_a_mounted_part_of_the_tree_and_blanks_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    root = tree("cgroup-container", tmp_path / "a b")
    mounts = root / "proc" / "self" / "mountinfo"
    mounts.write_text(mounts.read_text().replace("0:26 / ", "0:26 /docker/3f2a "))
    (root / "proc" / "self" / "cgroup").write_text("0::/docker/3f2a\n")
    assert shown(root)[hosts.CONTAINER_PIDS, ()] == 23


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("cpu.max", "much\n", "cpu.max: expected 2 words"),
        ("cpu.max", "100 0\n", "cpu.max: "),
        ("memory.current", "-1\n", "memory.current: expected a count"),
        ("memory.stat", "anon 1\n", "memory.stat: has no inactive_file"),
        ("io.pressure", "\n", "io.pressure: expected a line"),
    ],
)
def test_a_file_that_says_nothing_is_named_and_the_others_are_shown(
    name: str, content: str, complaint: str, tmp_path: Path
) -> None:
    root = tree("cgroup-container", tmp_path)
    (root / "cgroup" / name).write_text(content)
    came: list[Sample] = []
    with pytest.raises(Incomplete, match=complaint):
        came.extend(cgroup(Here(proc=root / "proc")))
    assert hosts.CONTAINER_PIDS in {sample.metric for sample in came}


# --- with a group of the kernel's own


@pytest.fixture
def group() -> Iterator[Path]:
    """A group, where the kernel lets this user make one."""
    mounts = (
        line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line
    )
    top = next((Path(words[4]) for words in mounts if words[3] == "/"), None)
    if top is None or not os.access(top, os.W_OK):
        pytest.skip("needs a cgroup version 2 tree that may be written to")
    made = top / f"fleetwatch-test-{os.getpid()}"
    made.mkdir()
    try:
        yield made
    finally:
        wait_for(lambda: not (made / "cgroup.procs").read_text())
        made.rmdir()


def needs(group: Path, controller: str) -> None:
    if controller not in (group / "cgroup.controllers").read_text().split():
        pytest.skip(f"needs cgroup version 2 with the controller {controller} on")


def run_in(group: Path, code: str) -> subprocess.Popen[bytes]:
    """A child that enters the group before it runs the code."""
    enter = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid())); "
    return subprocess.Popen([sys.executable, "-c", enter + code])


def as_its_member(group: Path, tmp_path: Path) -> Path:
    """The files of /proc as a process in the group sees them."""
    proc = tmp_path / "proc" / "self"
    proc.mkdir(parents=True)
    (proc / "mountinfo").write_text(Path("/proc/self/mountinfo").read_text())
    (proc / "cgroup").write_text(f"0::/{group.name}\n")
    return tmp_path


def test_a_real_group_counts_what_its_members_use_and_has_no_limits_without_controllers(
    group: Path, tmp_path: Path
) -> None:
    root = as_its_member(group, tmp_path)
    assert shown(root)[hosts.CONTAINER_CPU_TIME, ("user",)] == 0
    child = run_in(group, "\nwhile True: pass")
    try:
        wait_for(lambda: shown(root)[hosts.CONTAINER_CPU_TIME, ("user",)] > 0.2)
        told = {metric for metric, _ in shown(root)}
        assert (hosts.CONTAINER_PRESSURE in told) == (group / "cpu.pressure").exists()
        assert hosts.CONTAINER_CPU_LIMIT not in told
    finally:
        child.kill()
        child.wait()


def test_a_real_group_that_burns_more_than_it_may_is_seen_to_be_stopped(group: Path, tmp_path: Path) -> None:
    needs(group, "cpu")
    (group / "cpu.max").write_text("10000 100000")
    root = as_its_member(group, tmp_path)
    child = run_in(group, "\nwhile True: pass")
    try:
        wait_for(lambda: shown(root)[hosts.CONTAINER_CPU_THROTTLED_PERIODS, ()] > 2)
        values = shown(root)
        assert values[hosts.CONTAINER_CPU_LIMIT, ()] == 0.1
        assert values[hosts.CONTAINER_CPU_THROTTLED, ()] > 0
        assert values[hosts.CONTAINER_CPU_TIME, ("user",)] > 0
    finally:
        child.kill()
        child.wait()


def test_a_real_group_that_takes_more_memory_than_it_may_is_seen_to_be_killed(group: Path, tmp_path: Path) -> None:
    needs(group, "memory")
    (group / "memory.max").write_text(str(64 << 20))
    if (group / "memory.swap.max").exists():
        (group / "memory.swap.max").write_text("0")
    root = as_its_member(group, tmp_path)
    assert shown(root)[hosts.CONTAINER_MEMORY_EVENTS, ("oom_kill",)] == 0
    child = run_in(group, "x = b'x' * (256 << 20)")
    assert child.wait(60) == -signal.SIGKILL
    values = shown(root)
    assert values[hosts.CONTAINER_MEMORY_EVENTS, ("oom_kill",)] == 1
    assert values[hosts.CONTAINER_MEMORY_LIMIT, ()] == 64 << 20
