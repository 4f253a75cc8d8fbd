"""What is shown of processes and their groups, whatever they do meanwhile."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect import Here, Incomplete, ProcessGroup
from fleetwatch.collect.hosts.processes import PAGE, TICKS, Processes
from fleetwatch.meter import Meter
from fleetwatch.meter.text import render
from support_processes import Machine, look, used, values

WORKERS = ProcessGroup("workers", program=re.compile(r"^python"), command=re.compile(r"worker\.py"))
PYTHON = ProcessGroup("python", program=re.compile(r"^python"))
DATABASE = ProcessGroup("database", program=re.compile(r"^postgres$"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_groups_states_and_the_programs_that_use_most(machine: Machine, golden: Callable[[str, str], None]) -> None:
    machine.process(1, b"systemd", command=b"/sbin/init\0", user=50, resident=300)
    machine.process(2, b"kthreadd", flags=0x208040, state="I", resident=0)
    machine.process(7, b"kworker/0:1-ev (x)", flags=0x4208060, state="D", resident=0)
    machine.process(40, b"python3", command=b"python3\0worker.py\0--key=sk-1\0", user=400, resident=5000, start=50_000)
    machine.process(41, b"postgres", command=b"postgres: writer\0", user=90, system=10, resident=7000, threads=3)
    machine.process(42, b"defunct one", state="Z", resident=0)
    source = Processes(Here(proc=machine.proc, process_groups=(WORKERS, DATABASE), top_processes=2))
    look(source)
    machine.uptime(1010)
    for number, moved in ((40, (4096, 8192)), (41, (0, 512))):
        machine.process(
            number,
            (b"python3", b"postgres")[number - 40],
            user=900,
            system=110,
            start=(50_000, 100)[number - 40],
            resident=6000,
            threads=3,
            major=4,
            files=number,
            moved=moved,
        )
    machine.process(
        43, b"python3", command=b"python3\0worker.py\0", user=30, start=100_500, state="R", files=2, moved=(7, 9)
    )
    meter = Meter(implied={"host_name": "web-1"})
    meter.replace("processes", source())
    golden("sources/processes.prom", render(meter)[0].decode())


def test_what_was_used_before_the_first_look_does_not_count_and_what_came_after_does(machine: Machine) -> None:
    machine.process(10, user=500, system=50, start=100)
    source = Processes(Here(proc=machine.proc, process_groups=(PYTHON,)))
    assert used(look(source)) == (0, 0)
    machine.process(10, user=520, system=51, start=100)
    machine.process(11, user=7, system=3, start=100_200)
    assert used(look(source)) == (27, 4)


def test_a_process_that_was_hidden_at_first_counts_from_its_first_sight(machine: Machine) -> None:
    machine.process(10, start=900)
    source = Processes(Here(proc=machine.proc, process_groups=(PYTHON,)))
    look(source)
    machine.process(11, user=5000, start=300)
    assert used(look(source)) == (0, 0)
    machine.process(11, user=5004, start=300)
    assert used(look(source)) == (4, 0)


def test_a_number_that_comes_again_is_another_process(machine: Machine) -> None:
    machine.process(10, user=500, start=100)
    source = Processes(Here(proc=machine.proc, process_groups=(PYTHON, DATABASE)))
    look(source)
    machine.process(10, user=600, start=100)
    look(source)
    machine.process(10, b"postgres", user=9, start=700)
    found = look(source)
    assert used(found, "python") == (100, 0)
    assert used(found, "database") == (9, 0)
    assert (found[hosts.GROUP_PROCESSES, ("python",)], found[hosts.GROUP_PROCESSES, ("database",)]) == (0, 1)


def test_a_group_without_processes_shows_itself_and_keeps_its_counters(machine: Machine) -> None:
    machine.process(10, user=0, start=100, files=1, moved=(0, 0))
    source = Processes(Here(proc=machine.proc, process_groups=(PYTHON, DATABASE)))
    empty = look(source)
    assert empty[hosts.GROUP_PROCESSES, ("database",)] == 0
    assert empty[hosts.GROUP_DISK_IO, ("database", "read")] == 0
    machine.process(10, user=30, major=2, start=100, moved=(512, 1024))
    look(source)
    machine.ends(10)
    found = look(source)
    assert found[hosts.GROUP_PROCESSES, ("python",)] == found[hosts.GROUP_MEMORY, ("python",)] == 0
    assert used(found) == (30, 0)
    assert found[hosts.GROUP_FAULTS, ("python", "major")] == 2
    assert found[hosts.GROUP_DISK_IO, ("python", "write")] == 1024


def test_the_first_group_that_fits_has_a_process(machine: Machine) -> None:
    machine.process(10, command=b"python\0worker.py\0")
    machine.process(11, command=b"python\0-m\0http.server\0")
    found = look(Processes(Here(proc=machine.proc, process_groups=(WORKERS, PYTHON))))
    assert found[hosts.GROUP_PROCESSES, ("workers",)] == found[hosts.GROUP_PROCESSES, ("python",)] == 1


def test_a_command_line_is_read_once_and_again_when_the_program_changes(machine: Machine) -> None:
    machine.process(10, command=b"python\0worker.py\0", start=100)
    source = Processes(Here(proc=machine.proc, process_groups=(WORKERS,)))
    look(source)
    machine.process(10, command=b"python\0other.py\0", user=1, start=100)
    assert look(source)[hosts.GROUP_PROCESSES, ("workers",)] == 1
    machine.process(10, b"python-x", command=b"python\0other.py\0", user=2, start=100)
    assert look(source)[hosts.GROUP_PROCESSES, ("workers",)] == 0


def test_a_child_before_its_own_program_starts_is_found_later_and_counts_whole(machine: Machine) -> None:
    machine.process(10, b"bash", start=100)
    source = Processes(Here(proc=machine.proc, process_groups=(WORKERS,)))
    look(source)
    machine.process(11, b"bash", user=1, start=101_000)
    look(source)
    machine.process(11, b"python", user=2, start=101_000)
    assert look(source)[hosts.GROUP_PROCESSES, ("workers",)] == 0
    machine.process(11, b"python", command=b"python\0worker.py\0", user=8, start=101_000)
    found = look(source)
    assert found[hosts.GROUP_PROCESSES, ("workers",)] == 1
    assert used(found, "workers") == (8, 0)


def test_a_process_that_leaves_a_group_and_comes_back_counts_from_then(machine: Machine) -> None:
    machine.process(10, b"bash", start=100)
    source = Processes(Here(proc=machine.proc, process_groups=(PYTHON,)))
    look(source)
    for name, user in ((b"python", 10), (b"renamed", 20), (b"renamed", 50), (b"python", 60)):
        machine.process(11, name, user=user, start=200)
        found = look(source)
    assert used(found) == (10, 0)
    machine.process(11, b"python", user=61, start=200)
    assert used(look(source)) == (11, 0)


def test_one_that_has_ended_and_waits_for_its_parent_does_not_run(machine: Machine) -> None:
    machine.process(10, state="Z", user=5, resident=0)
    machine.process(11, state="Z", threads=3)  # its first thread has ended, others run
    found = look(Processes(Here(proc=machine.proc, process_groups=(PYTHON,))))
    assert found[hosts.GROUP_PROCESSES, ("python",)] == 1
    assert found[hosts.PROCESS_COUNT, ("defunct",)] == 2


def test_processes_that_are_gone_or_hidden_are_no_failure(machine: Machine) -> None:
    machine.process(10, resident=3)
    (machine.proc / "11").mkdir()  # ended between the list and the look
    (machine.proc / "12").mkdir()
    (machine.proc / "12" / "stat").mkdir()
    (machine.proc / "12x").touch()
    source = Processes(Here(proc=machine.proc, process_groups=(PYTHON,)))
    came: list[Sample] = []
    with pytest.raises(Incomplete, match="12/stat"):  # what cannot be understood is named
        came.extend(source())
    assert values(came)[hosts.GROUP_MEMORY, ("python",)] == 3 * PAGE
    machine.ends(12)
    assert (hosts.GROUP_FILES, ("python",)) not in look(source)
    assert (hosts.GROUP_DISK_IO, ("python", "read")) not in look(source)


def test_a_process_that_cannot_be_read_for_a_while_does_not_count_twice(machine: Machine) -> None:
    machine.process(10, start=100)
    source = Processes(Here(proc=machine.proc, process_groups=(PYTHON,)))
    look(source)
    machine.process(11, user=40, start=200)
    assert used(look(source)) == (40, 0)
    line = (machine.proc / "11" / "stat").read_bytes()
    (machine.proc / "11" / "stat").write_bytes(b"")
    with pytest.raises(Incomplete, match="11/stat: expected"):
        look(source)
    (machine.proc / "11" / "stat").write_bytes(line)
    assert used(look(source)) == (40, 0)


def test_the_top_is_by_name_stable_and_without_what_uses_nothing(machine: Machine) -> None:
    for number, (name, resident) in enumerate([(b"b", 5), (b"a", 5), (b"c", 4), (b"c", 4), (b"idle", 0), (b"d", 1)]):
        machine.process(10 + number, name, resident=resident, user=100)
    source = Processes(Here(proc=machine.proc, top_processes=3))
    first = look(source)
    assert [labels for metric, labels in first if metric is hosts.TOP_MEMORY] == [("c",), ("a",), ("b",)]
    assert not [1 for metric, _ in first if metric is hosts.TOP_CPU]
    machine.uptime(1020)
    machine.process(10, b"b", resident=5, user=100 + 40 * TICKS)
    machine.process(15, b"d", resident=9, user=100 + 10 * TICKS)
    found = look(source)
    assert {labels: value for (metric, labels), value in found.items() if metric is hosts.TOP_CPU} == {
        ("b",): 2,
        ("d",): 0.5,
    }
    assert [labels for metric, labels in found if metric is hosts.TOP_MEMORY] == [("d",), ("c",), ("a",)]


def test_names_of_any_bytes_are_shown_as_text(machine: Machine) -> None:
    machine.process(10, b"a) S 1 (\xff\n", resident=5)
    found = look(Processes(Here(proc=machine.proc)))
    assert found[hosts.TOP_MEMORY, ("a) S 1 (�\n",)] == 5 * PAGE


def test_no_more_files_stay_open_than_there_is_room_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetwatch.collect.hosts._shelf._MOST", 3)
    for number in range(10, 20):
        machine.process(number, resident=1)
    before = len(os.listdir("/proc/self/fd"))
    source = Processes(Here(proc=machine.proc, process_groups=(PYTHON,)))
    for _ in range(3):
        assert look(source)[hosts.GROUP_MEMORY, ("python",)] == 10 * PAGE
        assert len(os.listdir("/proc/self/fd")) == before + 3
    for number in range(10, 20):
        machine.ends(number)
    look(source)
    assert len(os.listdir("/proc/self/fd")) == before
