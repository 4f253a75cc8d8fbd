"""One look at every process: which are there, what each shows, and what is known of it from earlier looks."""

from __future__ import annotations

import os
from pathlib import Path

from fleetwatch.collect.hosts._shelf import CLOSED, Shelf
from fleetwatch.collect.hosts._stat import Stat, parse, program


class Process:
    """What is known of a process: one that started at another time is another, whatever its number."""

    __slots__ = (
        "counted",
        "file",
        "group",
        "io_file",
        "line",
        "memory_file",
        "moved",
        "new",
        "program",
        "settled",
        "stat",
        "ticks",
        "used",
    )

    def __init__(self, line: bytes, stat: Stat, new: bool) -> None:
        self.line = line
        """The kernel's line, and what it says."""
        self.stat = stat
        self.file = self.io_file = self.memory_file = CLOSED
        self.new = new
        """Whether it started after the first look: then all that it has used counts."""
        self.program = program(stat.name)
        self.ticks = 0 if new else stat.user + stat.system
        self.used = 0
        """Ticks since the look before."""
        self.group: int | None = None
        self.settled = False
        """Whether it is known which group it belongs to."""
        self.counted: tuple[int, ...] | None = None
        """Ticks of user and system, minor and major faults when they were last added to a group's."""
        self.moved: tuple[int, int] | None = None
        """Bytes from and to disks when they were last added to a group's."""


class Sweep:
    """Looks at all processes again and again.

    An open file of a process stays that of this process, and cannot be read any more when it has ended: a number that
    comes again is not taken for the process that had it before.
    """

    def __init__(self, proc: Path) -> None:
        self._proc = str(proc)
        self._known: dict[str, Process] = {}
        self._first: int | None = None
        self.shelf = Shelf()
        self.failures: list[str] = []
        """What could not be understood in the last look. Processes that are gone or hidden are no failures."""

    def __del__(self) -> None:
        for process in self._known.values():
            self._close(process)

    def look(self) -> dict[str, Process]:
        """All processes by their number, with what each shows now. Raises OSError without a list of processes."""
        self.failures = []
        seen: dict[str, Process] = {}
        unread: dict[str, Process] = {}
        earlier = self._known
        for number in os.listdir(self._proc):
            if not number.isdigit():
                continue
            known = earlier.get(number)
            try:
                seen[number] = self._read(number, known)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
            except (OSError, ValueError) as error:
                # Others' processes may be hidden from this user (hidepid), as they are from `ps`.
                if not isinstance(error, PermissionError):
                    self.failures.append(f"{self._proc}/{number}/stat: {error}")
                if known is not None:
                    unread[number] = known
        self._known = {**seen, **unread}
        for number in earlier.keys() - self._known.keys():
            self._close(earlier[number])
        if self._first is None:
            self._first = max((process.stat.start for process in seen.values()), default=0)
        return seen

    def _read(self, number: str, known: Process | None) -> Process:
        """Look at one process. Raises OSError where it cannot be read, ValueError for a line that says nothing."""
        path = f"{self._proc}/{number}/stat"
        if known is None:
            return self._met(path)
        try:
            line, known.file = self.shelf.read(path, known.file)
        except ProcessLookupError:
            # The one of before has ended; there may be another already.
            self._close(known)
            return self._met(path)
        if line == known.line:
            # Most processes sleep most of the time, and nothing of theirs changes.
            known.used = 0
            return known
        return self._noted(line, known)

    def _met(self, path: str) -> Process:
        """A process that was not there before."""
        line, file = self.shelf.read(path, CLOSED)
        try:
            stat = parse(line)
        except ValueError:
            self.shelf.close(file)
            raise
        met = Process(line, stat, self._is_new(stat))
        met.file = file
        met.used, met.ticks = stat.user + stat.system - met.ticks, stat.user + stat.system
        return met

    def _noted(self, line: bytes, known: Process) -> Process:
        """The process with what its line says; another one where that one started at another time."""
        stat = parse(line)
        if stat.start != known.stat.start:
            another = Process(line, stat, self._is_new(stat))
            another.file, known.file = known.file, CLOSED
            self._close(known)
            known = another
        elif stat.name != known.stat.name:
            known.program = program(stat.name)
            known.settled = False
        ticks = stat.user + stat.system
        known.used = max(ticks - known.ticks, 0)
        known.ticks += known.used
        known.line, known.stat = line, stat
        return known

    def _is_new(self, stat: Stat) -> bool:
        """Whether it started after the first look. What was there then and could not be read counts from now."""
        return self._first is not None and stat.start >= self._first

    def _close(self, process: Process) -> None:
        for handle in (process.file, process.io_file, process.memory_file):
            self.shelf.close(handle)
        process.file = process.io_file = process.memory_file = CLOSED
