"""A tree like /proc, and what the source of processes shows of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.hosts.processes import TICKS, Processes

Values = dict[tuple[Metric, tuple[str, ...]], float]


class Machine:
    """Written by the tests. Files are written in place, as the kernel's keep their identity."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.proc.mkdir()
        self.uptime(1000)

    def uptime(self, seconds: float) -> None:
        (self.proc / "uptime").write_text(f"{seconds:.2f} 99.00\n")

    def process(
        self,
        number: int,
        name: bytes = b"python",
        *,
        command: bytes = b"",
        state: str = "S",
        user: int = 0,
        system: int = 0,
        start: int = 100,
        threads: int = 1,
        resident: int = 10,
        virtual: int = 1 << 20,
        minor: int = 0,
        major: int = 0,
        flags: int = 0x400000,
        files: int | None = None,
        moved: tuple[int, int] | None = None,
    ) -> None:
        folder = self.proc / str(number)
        folder.mkdir(exist_ok=True)
        head = f"{state} 1 {number} {number} 0 -1 {flags} {minor} 77 {major} 7 {user} {system} 5 5 20 0 {threads} 0"
        tail = f"{start} {virtual} {resident} 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n"
        (folder / "stat").write_bytes(b"%d (%s) %s %s" % (number, name, head.encode(), tail.encode()))
        (folder / "cmdline").write_bytes(command)
        if files is not None:
            shutil.rmtree(folder / "fd", ignore_errors=True)
            (folder / "fd").mkdir()
            for count in range(files):
                (folder / "fd" / str(count)).touch()
        if moved is not None:
            (folder / "io").write_text(
                f"rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: {moved[0]}\nwrite_bytes: {moved[1]}\n"
                "cancelled_write_bytes: 0\n"
            )

    def ends(self, number: int) -> None:
        shutil.rmtree(self.proc / str(number))


def look(source: Processes) -> Values:
    return values(source())


def values(samples: Iterable[Sample]) -> Values:
    return {(sample.metric, sample.labels[1:]): sample.value for sample in samples}


def used(found: Values, group: str = "python") -> tuple[float, float]:
    """Processor time of a group in ticks."""
    user, system = (found[hosts.GROUP_CPU_TIME, (group, mode)] * TICKS for mode in ("user", "system"))
    return round(user), round(system)
