"""What the sidecar costs a machine: memory, processor time of its start and at rest, against node_exporter.

Start: processor time, user and system, until it listens and every source has done its first cycle. Nothing is asked of
the process meanwhile: that it listens stands in its output, that it is done shows in its processor time standing still,
and one look at /metrics checks it. The peer's first cycle is its first scrape, which so counts. At rest: after that,
with a scrape every five seconds for both. Rounds alternate; figures are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))
from fleetwatch.collect.runner import source_names
from support import free_port, wait_for
from support_stack import get

SCRAPE = 5.0
DEBIAN = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fleetwatch" / "debian" / "usr" / "bin"
SUCCESS = "fleetwatch_collector_success"
QUIET = 10  # looks at the processor time, 50 ms apart
SOURCES = len(source_names("hosts", "exporter"))


class Result(NamedTuple):
    """start: CPU seconds; share: of a core at rest, percent; rss: MiB."""

    start: float
    share: float
    rss: float


class Program(NamedTuple):
    """listens: in its output when it listens; scraped: whether it collects when it is asked, not before."""

    page: str
    command: list[str]
    listens: str
    complete: Callable[[str], bool]
    scraped: bool


@contextmanager
def sidecar() -> Iterator[Program]:
    with tempfile.TemporaryDirectory() as folder:
        web = f"127.0.0.1:{free_port()}"
        config = {
            "data_dir": folder,
            "web": {"listen": web},
            "receive": {"http": {"listen": "127.0.0.1:0"}},
            "sidecar": {"forward": f"http://127.0.0.1:{free_port()}"},
        }
        file = Path(folder, "fleetwatch.yml")
        file.write_text(json.dumps(config), encoding="utf-8")
        command = [sys.executable, "-m", "fleetwatch", "sidecar", "--config", str(file)]
        page = f"http://{web}/metrics"
        yield Program(page, command, page, lambda page: page.count(f"\n{SUCCESS}{{") >= SOURCES, scraped=False)


@contextmanager
def node_exporter() -> Iterator[Program]:
    web = f"127.0.0.1:{free_port()}"
    command = [str(DEBIAN / "prometheus-node-exporter"), f"--web.listen-address={web}"]
    yield Program(
        f"http://{web}/metrics", command, web, lambda page: "node_memory_MemTotal_bytes" in page, scraped=True
    )


def used(process: psutil.Process) -> float:
    """CPU seconds so far, user and system, as the kernel counts them: in ticks of 10 ms."""
    times = process.cpu_times()
    return float(times.user + times.system)


def still(process: psutil.Process) -> float:
    """CPU seconds when they have not moved for a while."""
    seen: list[float] = []

    def settled() -> bool:
        seen.append(used(process))
        return len(seen) >= QUIET and seen[-QUIET] == seen[-1]

    wait_for(settled, 20, "the process to have nothing to do", 0.05)
    return seen[-1]


def measure(program: Program, seconds: float) -> Result:
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(program.command, stdout=log, stderr=log)
        try:
            output, watched = Path(log.name), psutil.Process(process.pid)
            wait_for(lambda: program.listens in output.read_text(encoding="utf-8"), 20, program.listens, 0.02)
            start = still(watched)
            if not program.complete(get(program.page)[1]):
                raise RuntimeError(f"{program.page}: expected all of the first cycle; its output: {output.read_text()}")
            if program.scraped:
                start = still(watched)
            before, ended = used(watched), time.monotonic() + seconds
            while time.monotonic() < ended:
                time.sleep(min(SCRAPE, seconds))
                get(program.page)
            share = (used(watched) - before) / seconds * 100
            return Result(start, share, watched.memory_info().rss / 2**20)
        finally:
            process.terminate()
            process.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15, help="at rest, per round")
    options = parser.parse_args()
    programs = {"sidecar": sidecar}
    if (DEBIAN / "prometheus-node-exporter").exists():
        programs["node_exporter"] = node_exporter
    results: dict[str, list[Result]] = {name: [] for name in programs}
    for _ in range(options.rounds):
        for name, program in programs.items():
            with program() as started:
                results[name].append(measure(started, options.seconds))
    medians = {
        name: Result(*(statistics.median(values) for values in zip(*found, strict=True)))
        for name, found in results.items()
    }
    for name, found in medians.items():
        print(f"{name}: start {found.start:.3f} CPU s, {found.share:.2f} % of a core at rest, {found.rss:.1f} MiB")
    if len(medians) > 1:
        ours, theirs = medians.values()
        print(
            f"ratio: start {ours.start / theirs.start:.2f}, at rest {ours.share / theirs.share:.2f}, "
            f"memory {ours.rss / theirs.rss:.2f}"
        )
    else:
        print(f"node_exporter was left out: expected {DEBIAN}/prometheus-node-exporter")


if __name__ == "__main__":
    main()
