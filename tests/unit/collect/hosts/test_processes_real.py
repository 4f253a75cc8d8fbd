"""What is shown of this machine's processes equals what the kernel says."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from fleetwatch.catalogue import hosts
from fleetwatch.collect import Here, ProcessGroup
from fleetwatch.collect.hosts.processes import Processes
from support import wait_for
from support_processes import Values, look, used


def test_processes_threads_and_memory_are_those_that_psutil_sees() -> None:
    code = (
        "import threading; threading.Thread(target=input, daemon=True).start(); "
        "print(flush=True); threading.Event().wait(99)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        source = Processes(Here(process_groups=(ProcessGroup("child", command=re.compile("target=input")),)))
        try:
            found = look(source)
            peer = psutil.Process(child.pid)
            assert found[hosts.GROUP_PROCESSES, ("child",)] == 1
            assert found[hosts.GROUP_THREADS, ("child",)] == peer.num_threads() == 2
            assert found[hosts.GROUP_VIRTUAL, ("child",)] == peer.memory_info().vms
            assert found[hosts.GROUP_FILES, ("child",)] == peer.num_fds()
            assert found[hosts.GROUP_MEMORY, ("child",)] == pytest.approx(peer.memory_info().rss, rel=0.05)
            age = time.time() - peer.create_time()
            assert found[hosts.GROUP_UPTIME, ("child",)] == pytest.approx(age, abs=2)
        finally:
            child.kill()
            child.wait()
    after = look(source)
    assert after[hosts.GROUP_PROCESSES, ("child",)] == 0
    assert (hosts.GROUP_UPTIME, ("child",)) not in after


def seen_by_nobody(here: Here, group: str) -> dict[str, float]:
    """Metric -> value of a group, as seen by a user without rights; by a child, for rights do not come back."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become a user without rights")
    reading, writing = os.pipe()
    forked = os.fork()
    if not forked:
        try:
            # Root's groups may see what is hidden.
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            found = look(Processes(here))
            told = {metric.name: value for (metric, labels), value in found.items() if labels[:1] == (group,)}
            os.write(writing, repr(told).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        written = pipe.read().decode()
    os.waitpid(forked, 0)
    told = ast.literal_eval(written)
    assert isinstance(told, dict)
    return told


def test_of_others_processes_only_what_may_be_seen_is_shown() -> None:
    rule = ProcessGroup("root", command=re.compile(r"^sleep 98\.7321$"))
    with subprocess.Popen(["sleep", "98.7321"]) as child:
        try:
            told = seen_by_nobody(Here(process_groups=(rule,)), "root")
        finally:
            child.kill()
    assert told[hosts.GROUP_PROCESSES.name] == 1
    assert told[hosts.GROUP_MEMORY.name] > 0
    assert hosts.GROUP_DISK_IO.name not in told


@pytest.mark.parametrize("hidden", [1, 2])
def test_processes_that_the_system_hides_from_its_users_are_no_failure(hidden: int) -> None:
    """hidepid=1 lists others' processes and lets nobody look; 2 does not even list them."""
    rule = ProcessGroup("all", command=re.compile(""))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        mount = ["mount", "-t", "proc", "-o", f"hidepid={hidden}", "proc", folder]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount /proc")
        try:
            told = seen_by_nobody(Here(proc=Path(folder), process_groups=(rule,)), "all")
        finally:
            subprocess.run(["umount", folder], check=True)
    assert told[hosts.GROUP_PROCESSES.name] == 1  # itself


def burnt_enough(found: Values) -> Values:
    """What was found, once 20 ticks were burnt; nothing before."""
    return found if sum(used(found, "burners")) > 20 else {}


def test_a_child_that_burns_counts_and_stays_counted_when_it_has_ended() -> None:
    rule = ProcessGroup("burners", command=re.compile("burn_for_this_test"))
    source = Processes(Here(process_groups=(rule,)))
    assert used(look(source), "burners") == (0, 0)
    child = subprocess.Popen([sys.executable, "-c", "burn_for_this_test = True\nwhile burn_for_this_test: pass"])
    try:
        burnt = wait_for(lambda: burnt_enough(look(source)))
        assert (hosts.TOP_CPU, (psutil.Process(child.pid).name()[:15],)) in burnt
        seen = sum(used(look(source), "burners"))
    finally:
        child.kill()
        child.wait()
    assert sum(used(look(source), "burners")) >= seen
    assert look(source)[hosts.GROUP_PROCESSES, ("burners",)] == 0


def test_a_number_that_the_kernel_gives_again_is_another_process() -> None:
    """With the kernel made to give the number of a process that has just ended to the next one."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    if not os.access(last, os.W_OK):
        pytest.skip("needs a kernel that lets this user choose the number of the next process")
    rules = (
        ProcessGroup("first", command=re.compile("^sleep 97.1$")),
        ProcessGroup("next", command=re.compile("97.2$")),
    )
    source = Processes(Here(process_groups=rules))
    for _ in range(50):
        first = subprocess.Popen(["sleep", "97.1"])
        wait_for(lambda: look(source)[hosts.GROUP_PROCESSES, ("first",)] == 1)
        first.kill()
        first.wait()
        last.write_text(str(first.pid - 1))
        again = subprocess.Popen(["sleep", "97.2"])
        try:
            if again.pid == first.pid:
                wait_for(lambda: look(source)[hosts.GROUP_PROCESSES, ("next",)] == 1)
                assert look(source)[hosts.GROUP_PROCESSES, ("first",)] == 0
                return
        finally:
            again.kill()
            again.wait()
    pytest.skip("other processes started in between each time")
