"""A sweep of the machine and its processes: processor time against psutil and against Debian's process exporter.

A thousand processes sleep meanwhile. Ours is what a cycle of the sources host and processes costs, up to the meter.
psutil reads the same facts in a plain loop. The exporter is scraped; it puts processes of one name into a group and
looks at the open files and disk traffic of each. Ours does that only for the groups of the settings, so both are shown:
without a group, as the settings come, and with one that holds all the sleepers. Rounds alternate; the figure is the
median of the ratios of a round.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families as parse

sys.path.insert(0, str(Path(__file__).parent.parent))
from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Metric
from fleetwatch.collect import Here, ProcessGroup, load
from fleetwatch.collect.hosts._sweep import Sweep
from fleetwatch.collect.hosts.processes import PAGE
from fleetwatch.meter import Meter
from support import free_port, wait_for

INTERVAL = 15
"""Seconds between two sweeps."""

PROGRAM = "fw-sleeper"
GROUPS = (ProcessGroup("sleepers", program=re.compile(f"^{PROGRAM}$")),)
PEER = "prometheus-process-exporter"
PEER_RULES = "process_names:\n  - name: '{{.Comm}}'\n    cmdline: ['.+']\n"

Facts = dict[str, float]


@contextmanager
def sleepers(count: int) -> Iterator[None]:
    """Processes of a name that no other has."""
    children: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/{PROGRAM}"
        os.symlink(subprocess.run(["which", "sleep"], capture_output=True, check=True).stdout.strip().decode(), program)
        try:
            children.extend(subprocess.Popen([program, "86400"]) for _ in range(count))
            yield
        finally:
            for child in children:
                child.kill()
            for child in children:
                child.wait()


def ours(groups: tuple[ProcessGroup, ...]) -> tuple[Meter, Callable[[], None]]:
    meter = Meter(implied={"host_name": "bench"})
    here = Here(process_groups=groups)
    sources = [load("host", here), load("processes", here)]

    def sweep() -> None:
        for item in sources:
            meter.replace(item.name, item.collect())

    return meter, sweep


def by_psutil() -> Facts:
    """The same facts of the machine and of each process; the sums of the sleepers'."""
    psutil.cpu_times()
    psutil.virtual_memory()
    psutil.swap_memory()
    psutil.disk_io_counters()
    psutil.net_io_counters()
    sums = {"processes": 0.0, "threads": 0.0, "resident": 0.0}
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                process.cpu_times(), process.create_time(), process.status()
                memory, threads, name = process.memory_info(), process.num_threads(), process.name()
        except psutil.NoSuchProcess:
            continue
        if name == PROGRAM:
            for fact, value in (("processes", 1), ("threads", threads), ("resident", memory.rss)):
                sums[fact] += value
    return sums


def by_meter(meter: Meter) -> Facts:
    found = {metric: samples for metric, _, samples in meter.snapshot()}

    def value(metric: Metric) -> float:
        return sum(sample.value for sample in found[metric])

    return {
        "processes": value(hosts.GROUP_PROCESSES),
        "threads": value(hosts.GROUP_THREADS),
        "resident": value(hosts.GROUP_MEMORY),
        "files": value(hosts.GROUP_FILES),
    }


def quick_count() -> float:
    """Resident memory of the sleepers as their lines in /proc/PID/stat have it, in bytes."""
    named = (process.stat for process in Sweep(Path("/proc")).look().values() if process.program == PROGRAM)
    return sum(stat.resident for stat in named) * PAGE


def by_peer(text: str) -> Facts:
    names = {
        ("namedprocess_namegroup_num_procs", None): "processes",
        ("namedprocess_namegroup_num_threads", None): "threads",
        ("namedprocess_namegroup_memory_bytes", "resident"): "resident",
        ("namedprocess_namegroup_open_filedesc", None): "files",
    }
    samples = [sample for family in parse(text) for sample in family.samples]
    return {
        names[sample.name, sample.labels.get("memtype")]: sample.value
        for sample in samples
        if sample.labels.get("groupname") == PROGRAM and (sample.name, sample.labels.get("memtype")) in names
    }


@contextmanager
def peer() -> Iterator[tuple[Callable[[], str], psutil.Process]]:
    """Debian's exporter, unpacked by scripts/test, and how to scrape it."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    program = Path(cache) / "fleetwatch" / "debian" / "usr" / "bin" / PEER
    if not program.exists():
        raise SystemExit(f"{program} is not here; scripts/_debian unpacks it as root")
    port = free_port()

    def scrape() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return str(answer.read().decode())

    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.yml"
        rules.write_text(PEER_RULES)
        command = [str(program), f"-config.path={rules}", f"-web.listen-address=127.0.0.1:{port}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            try:
                wait_for(scrape, timeout=30)
                yield scrape, psutil.Process(running.pid)
            finally:
                running.terminate()
                running.wait()


def own_cpu(work: Callable[[], object], times: int = 5) -> float:
    """Milliseconds of processor time of one piece of work."""
    gc.collect()
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) * 1e3 / times


def peer_cpu(scrape: Callable[[], object], process: psutil.Process, times: int = 5) -> float:
    """Milliseconds of the exporter's processor time for one scrape; the kernel counts them in ticks of 10."""
    before = process.cpu_times()
    for _ in range(times):
        scrape()
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) * 1e3 / times


def same(name: str, mine: Facts, theirs: Facts) -> None:
    shared = {fact: mine[fact] for fact in theirs}
    if shared != theirs:
        raise SystemExit(f"{name} sees other facts: a comparison would say nothing\nours  {shared}\ntheirs {theirs}")


def ratio(mine: list[float], theirs: list[float]) -> str:
    ratios = sorted(b / a for a, b in zip(mine, theirs, strict=True))
    return f"ratio 1/{statistics.median(ratios):.1f} (1/{ratios[0]:.1f} to 1/{ratios[-1]:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1000)
    options = parser.parse_args()
    with sleepers(options.processes), peer() as (scrape, process):
        _, plain = ours(())
        meter, grouped = ours(GROUPS)
        for sweep in (plain, grouped):
            sweep()  # the first look opens the kernel's files
        wait_for(lambda: by_psutil()["processes"] == options.processes)
        grouped()
        same("psutil", by_meter(meter), by_psutil())
        # The exporter shows the kernel's quick count of memory, which psutil and our groups do not; see _groups.py.
        same(PEER, {**by_meter(meter), "resident": quick_count()}, by_peer(scrape()))
        rounds = [
            (own_cpu(plain), own_cpu(grouped), own_cpu(by_psutil), peer_cpu(scrape, process))
            for _ in range(options.rounds)
        ]
        count = len(psutil.pids())
    mine, in_group, other, exporter = map(list, zip(*rounds, strict=True))
    share = statistics.median(mine) / 1e3 / INTERVAL
    print(
        f"sweep of host and {count:,} processes, ms of processor time: fleetwatch {statistics.median(mine):.1f} "
        f"({min(mine):.1f} to {max(mine):.1f}), {statistics.median(mine) / count * 1e3:.1f} us a process; "
        f"with {options.processes:,} of them in a group {statistics.median(in_group):.1f}\n"
        f"share of a core at one sweep per {INTERVAL} s: {share:.3%}\n"
        f"psutil {psutil.__version__}: {statistics.median(other):.1f}; {ratio(mine, other)}; "
        f"in a group {ratio(in_group, other)}\n"
        f"{PEER}: {statistics.median(exporter):.1f} a scrape; {ratio(mine, exporter)}; "
        f"in a group {ratio(in_group, exporter)}"
    )


if __name__ == "__main__":
    main()
