"""What the sidecar costs a machine: memory, processor time of its start and at rest, against node_exporter.

Start: processor time, user and system, until /metrics shows the first cycle of every source. At rest: after that, with
a scrape every five seconds for both. Rounds alternate; figures are medians.
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
SOURCES = len(source_names("hosts", "exporter"))


class Result(NamedTuple):
    """start: CPU seconds; share: of a core at rest, percent; rss: MiB."""

    start: float
    share: float
    rss: float


@contextmanager
def sidecar() -> Iterator[tuple[str, list[str], Callable[[str], bool]]]:
    """Its page, its command, and whether a page shows that it has done its first cycle."""
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
        command = [sys.executable, "-m", "fleetwatch", "sidecar", "-c", str(file)]
        yield f"http://{web}/metrics", command, lambda page: page.count(f"\n{SUCCESS}{{") >= SOURCES


@contextmanager
def node_exporter() -> Iterator[tuple[str, list[str], Callable[[str], bool]]]:
    """The same of the peer, whose first cycle is its first scrape."""
    web = f"127.0.0.1:{free_port()}"
    command = [str(DEBIAN / "prometheus-node-exporter"), f"--web.listen-address={web}"]
    yield f"http://{web}/metrics", command, lambda page: "node_memory_MemTotal_bytes" in page


def measure(page: str, command: list[str], complete: Callable[[str], bool], seconds: float) -> Result:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        watched = psutil.Process(process.pid)
        wait_for(lambda: complete(get(page)[1]), 20, page, 0.02)
        before = watched.cpu_times()
        start, ended = before.user + before.system, time.monotonic() + seconds
        while time.monotonic() < ended:
            time.sleep(min(SCRAPE, seconds))
            get(page)
        after = watched.cpu_times()
        used = after.user + after.system - start
        return Result(start, used / seconds * 100, watched.memory_info().rss / 2**20)
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
            with program() as (page, command, complete):
                results[name].append(measure(page, command, complete, options.seconds))
    medians = {
        name: Result(*(statistics.median(values) for values in zip(*found, strict=True)))
        for name, found in results.items()
    }
    for name, found in medians.items():
        print(f"{name}: start {found.start:.2f} CPU s, {found.share:.2f} % of a core at rest, {found.rss:.1f} MiB")
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
