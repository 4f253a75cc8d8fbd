"""The machine as a whole: what the kernel says, and what is left when parts of it cannot be read."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect import Here
from fleetwatch.collect.hosts import _pressure
from fleetwatch.collect.hosts import host as parsers
from fleetwatch.collect.hosts.host import TICKS, Host
from support_machines import collected, machine, values

STAT = (hosts.CPU_TIME, hosts.CPU_COUNT, hosts.PROCESSES_CREATED, hosts.TASKS)
MEMORY = (hosts.MEMORY_LIMIT, hosts.MEMORY_USAGE, hosts.MEMORY_AVAILABLE, hosts.PAGING_USAGE)
PAGING = (hosts.PAGING_OPERATIONS, hosts.PAGING_FAULTS, hosts.OOM_KILLS)
LOAD = (hosts.LOAD_1M, hosts.LOAD_5M, hosts.LOAD_15M)
FILES: dict[str, tuple[Metric, ...]] = {
    "stat": STAT,
    "loadavg": LOAD,
    "meminfo": MEMORY,
    "vmstat": PAGING,
    "uptime": (hosts.UPTIME,),
}
ALL = {hosts.PRESSURE_TIME, *(metric for metrics in FILES.values() for metric in metrics)}


def metrics(samples: Iterable[Sample]) -> set[Metric]:
    return {sample.metric for sample in samples}


def test_this_machine_has_every_fact_its_kernel_offers() -> None:
    found, failed = collected(Host(Here())())
    assert failed == ""
    assert metrics(found) >= ALL - {hosts.PRESSURE_TIME}
    assert values(found, hosts.MEMORY_LIMIT)[()] == sum(values(found, hosts.MEMORY_USAGE).values())


def test_processor_time_never_goes_back_and_grows() -> None:
    source = Host(Here())
    before = values(source(), hosts.CPU_TIME)
    seen = [values(source(), hosts.CPU_TIME) for _ in range(200)]
    for mode in hosts.CPU_MODE.one_of:
        times = [before[mode,], *(found[mode,] for found in seen)]
        assert times == sorted(times), mode
    assert sum(seen[-1].values()) > sum(before.values())


def with_iowait(here: Here, ticks: int) -> None:
    path = here.proc / "stat"
    first, _, rest = path.read_text().partition("\n")
    words = first.split()
    words[1 + parsers.MODES.index("iowait")] = str(ticks)
    path.write_text("  ".join(words) + "\n" + rest)


def test_time_that_the_kernel_takes_back_is_waited_for(tmp_path: Path) -> None:
    """proc(5): iowait may decrease. rate() would take that for a restart and count all of it once more."""
    here = machine("small-vm", tmp_path)
    source = Host(here)
    shown = []
    for ticks in (5000, 4998, 4999, 5007):
        with_iowait(here, ticks)
        shown.append(values(source(), hosts.CPU_TIME)["iowait",] * TICKS)
    assert shown == [5000, 5000, 5000, 5007]


def test_time_that_went_with_a_processor_is_kept(tmp_path: Path) -> None:
    """One that is switched off takes what it has idled with it."""
    here = machine("small-vm", tmp_path)
    source = Host(here)
    shown = []
    for ticks in (500_000, 200_000, 200_300, 200_299):
        with_iowait(here, ticks)
        shown.append(values(source(), hosts.CPU_TIME)["iowait",] * TICKS)
    assert shown == [500_000, 500_000, 500_300, 500_300]


@given(st.lists(st.integers(0, 10**7), min_size=2, max_size=20))
def test_whatever_the_kernel_says_the_time_never_goes_back(ticks: list[int]) -> None:
    rising = parsers.Rising()
    shown = [rising("iowait", count / TICKS) for count in ticks]
    assert shown == sorted(shown)
    assert shown[0] == ticks[0] / TICKS
    if ticks == sorted(ticks):
        assert shown == [count / TICKS for count in ticks]


@pytest.mark.parametrize("name", ["small-vm", "gpu-server", "old-kernel"])
def test_uses_of_memory_add_up(name: str) -> None:
    found, _ = collected(Host(machine(name))())
    assert values(found, hosts.MEMORY_LIMIT)[()] == sum(values(found, hosts.MEMORY_USAGE).values())


def test_a_kernel_without_pressure_information_fails_nothing(tmp_path: Path) -> None:
    found, failed = collected(Host(machine("old-kernel", tmp_path))())
    assert failed == ""
    assert metrics(found) == ALL - {hosts.PRESSURE_TIME, hosts.MEMORY_AVAILABLE, hosts.OOM_KILLS}


def test_a_sandbox_without_all_of_the_kernel_s_files_fails_nothing(tmp_path: Path) -> None:
    """That of gVisor has neither vmstat nor pressure, and no reclaimable memory of the kernel."""
    here = machine("small-vm", tmp_path)
    (here.proc / "vmstat").unlink()
    shutil.rmtree(here.proc / "pressure")
    path = here.proc / "meminfo"
    path.write_text(re.sub(r"^SReclaimable:.*\n", "", path.read_text(), flags=re.MULTILINE))
    found, failed = collected(Host(here)())
    assert failed == ""
    assert metrics(found) == ALL - {hosts.PRESSURE_TIME, *PAGING}
    assert values(found, hosts.MEMORY_LIMIT)[()] == sum(values(found, hosts.MEMORY_USAGE).values())


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("how", ["missing", "folder", "empty", "garbage"])
def test_a_file_that_cannot_be_read_hurts_only_its_own_facts(file: str, how: str, tmp_path: Path) -> None:
    here = machine("small-vm", tmp_path)
    path = here.proc / file
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "missing":
        path.write_bytes(b"" if how == "empty" else b"\xff\x00 out of order\n")
    found, failed = collected(Host(here)())
    assert metrics(found) == ALL - set(FILES[file])
    # A kernel may be built without vmstat; all have the others.
    assert failed == "" if (file, how) == ("vmstat", "missing") else failed.startswith(f"{path}: ")


def test_each_resource_of_pressure_stands_alone(tmp_path: Path) -> None:
    here = machine("small-vm", tmp_path)
    (here.proc / "pressure" / "io").write_text("some avg10=0.00\n")
    found, failed = collected(Host(here)())
    assert {resource for resource, _ in values(found, hosts.PRESSURE_TIME)} == {"cpu", "memory"}
    assert failed == f"{here.proc}/pressure/io: expected a line with some and total=, got b'some avg10=0.00\\n'"


def test_a_fact_that_is_missing_is_named(tmp_path: Path) -> None:
    here = machine("small-vm", tmp_path)
    path = here.proc / "meminfo"
    path.write_text(re.sub(r"^Cached:.*\n", "", path.read_text(), flags=re.MULTILINE))
    found, failed = collected(Host(here)())
    assert failed == f"{path}: has no Cached:"
    assert hosts.CPU_TIME in metrics(found)


PARSERS: dict[str, Callable[[bytes], Iterable[Sample]]] = {
    "stat": parsers.processors,
    "loadavg": parsers.load,
    "meminfo": parsers.memory,
    "vmstat": parsers.paging,
    "uptime": parsers.uptime,
}


@st.composite
def spoiled(draw: st.DrawFn, file: str) -> bytes:
    """A real file of which a part was lost or replaced."""
    real = (machine("small-vm").proc / file).read_bytes()
    start = draw(st.integers(0, len(real)))
    end = draw(st.integers(start, len(real)))
    huge = st.sampled_from([b"9" * 30, b"-1", b"18446744073709551616", b"1e9", b"nan", b"\xb2", b"1_0"])
    return real[:start] + draw(st.binary(max_size=20) | huge) + real[end:]


@given(st.data())
@pytest.mark.parametrize("file", PARSERS)
def test_what_is_spoiled_gives_counts_or_an_error_that_is_expected(file: str, data: st.DataObject) -> None:
    content = data.draw(spoiled(file) | st.binary(max_size=200))
    try:
        samples = list(PARSERS[file](content))
    except ValueError:
        return
    assert all(0 <= sample.value <= 2**64 * 1024 for sample in samples)


@given(st.binary(max_size=60))
@example(b"some avg10=0.00 total=12\nfull total=-1\n")
def test_pressure_is_a_count_or_nothing(content: bytes) -> None:
    for kind, total in _pressure._STALL.findall(content):
        assert kind in {b"some", b"full"}
        assert int(total) >= 0
