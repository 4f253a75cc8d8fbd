"""Groups of processes: who belongs to which, and what a group has used so far, by those that have ended too."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from fleetwatch.collect.here import ProcessGroup
from fleetwatch.collect.hosts._read import read
from fleetwatch.collect.hosts._shelf import Shelf
from fleetwatch.collect.hosts._stat import KERNEL_THREAD
from fleetwatch.collect.hosts._sweep import Process

_MOVED = re.compile(rb"^(?:read|write)_bytes: (\d+)$", re.MULTILINE)


class Group:
    """What the processes of a group show together. Counters last for as long as the program runs.

    user, system: ticks; virtual: bytes; resident: pages; oldest: ticks since boot, None without processes.
    """

    def __init__(self, name: str, shelf: Shelf, sized: bool) -> None:
        self.name = name
        self._shelf = shelf
        self._sized = sized
        """Whether the folder of a process's open files has their number as its size."""
        self.user = self.system = self.minor = self.major = self.bytes_read = self.bytes_written = 0
        self._may_tell_moved = False
        self.begin()

    def begin(self) -> None:
        """Before a look: nobody is there."""
        self.processes = self.threads = self.virtual = self.resident = self.files = 0
        self.oldest: int | None = None
        self._refused_moved = self._refused_files = self._told_files = False

    @property
    def tells_files(self) -> bool:
        """Whether open files could be counted; a group without processes has none."""
        return self._told_files or not self._refused_files

    @property
    def tells_moved(self) -> bool:
        """Whether bytes from and to disks could be read, now or earlier."""
        return self._may_tell_moved or not self._refused_moved

    def take(self, process: Process, folder: str) -> None:
        """Add a process. folder: its folder in /proc.

        What it has used since it was last counted is added. On first sight that is all that it has ever used if it
        started after the first look, for this happened since then, and nothing if it is older.
        """
        stat = process.stat
        now: tuple[int, ...] = (stat.user, stat.system, stat.minor, stat.major)
        before = process.counted or ((0, 0, 0, 0) if process.new else now)
        if now != before:
            # Such a counter does not go back; should one, it must not count twice.
            now = tuple(map(max, now, before))
            self.user += now[0] - before[0]
            self.system += now[1] - before[1]
            self.minor += now[2] - before[2]
            self.major += now[3] - before[3]
        process.counted = now
        if stat.ended:
            return
        self.processes += 1
        self.threads += stat.threads
        self.virtual += stat.virtual
        self.resident += self._pages(process, folder)
        self.oldest = stat.start if self.oldest is None else min(self.oldest, stat.start)
        self._take_files(folder)
        self._take_moved(process, folder)

    def _pages(self, process: Process, folder: str) -> int:
        """Pages in memory. Since Linux 6.2 the line of a process has a quick count, some hundred KiB off for each
        processor; /proc/PID/statm has the exact one in newer kernels.
        """
        try:
            data, process.memory_file = self._shelf.read(f"{folder}/statm", process.memory_file)
            return int(data.split(b" ", 2)[1])
        except (OSError, ValueError, IndexError):
            return process.stat.resident

    def _take_files(self, folder: str) -> None:
        try:
            self.files += os.stat(f"{folder}/fd").st_size if self._sized else len(os.listdir(f"{folder}/fd"))
            self._told_files = True
        except OSError:
            self._refused_files = True

    def _take_moved(self, process: Process, folder: str) -> None:
        try:
            data, process.io_file = self._shelf.read(f"{folder}/io", process.io_file)
        except OSError:
            self._refused_moved = True
            return
        found = _MOVED.findall(data)
        if len(found) != 2:
            self._refused_moved = True
            return
        now = (int(found[0]), int(found[1]))
        before = process.moved or ((0, 0) if process.new else now)
        process.moved = now
        self.bytes_read += max(now[0] - before[0], 0)
        self.bytes_written += max(now[1] - before[1], 0)
        self._may_tell_moved = True


class Groups:
    """All groups of the settings, in their order."""

    def __init__(self, rules: Sequence[ProcessGroup], proc: Path, shelf: Shelf) -> None:
        self._rules = rules
        self._proc = str(proc)
        sized = bool(rules) and _sized(self._proc)
        self._all = [Group(rule.name, shelf, sized) for rule in rules]

    def take(self, processes: dict[str, Process]) -> list[Group]:
        """All groups with the processes of this look."""
        for group in self._all:
            group.begin()
        if not self._rules:
            return []
        for number, process in processes.items():
            if not process.settled:
                self._settle(number, process)
            if process.group is not None:
                self._all[process.group].take(process, f"{self._proc}/{number}")
        return self._all

    def _settle(self, number: str, process: Process) -> None:
        """Find the group of a process: once, and again when its name has changed, for then it may run another program.

        One that has just been made shows its parent's name before it starts its own program.
        """
        was = process.group
        command = _Command(f"{self._proc}/{number}/cmdline", process)
        process.group = next((place for place, rule in enumerate(self._rules) if _fits(rule, process, command)), None)
        process.settled = command.known
        if was is not None and process.group is None:
            # Should it come back, it counts from then.
            process.counted, process.moved, process.new = None, None, False


class _Command:
    """The command line of a process, read when a rule asks for it."""

    def __init__(self, path: str, process: Process) -> None:
        self._path = path
        self._process = process
        self._text: str | None = None
        self.known = True
        """Whether all that was asked could be told: a program that is about to start has no command line yet."""

    def text(self) -> str:
        """Arguments joined by blanks; empty where there is none: threads of the kernel, processes that have ended."""
        if self._text is None:
            self._text = self._read()
        return self._text

    def _read(self) -> str:
        stat = self._process.stat
        if stat.flags & KERNEL_THREAD or stat.ended:
            return ""
        if stat.state == b"D":
            # Reading it may have to wait for the same disk or file server. Later, then.
            self.known = False
            return ""
        try:
            raw = read(self._path)
        except OSError:
            return ""
        self.known = bool(raw)
        return raw.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")


def _fits(rule: ProcessGroup, process: Process, command: _Command) -> bool:
    if rule.program is not None and not rule.program.search(process.program):
        return False
    return rule.command is None or rule.command.search(command.text()) is not None


def _sized(proc: str) -> bool:
    """Whether the kernel tells the number of open files as the size of their folder, as Linux does since 6.2.

    Then it need not list them, which takes three times as long, and tells it of others' processes too.
    """
    folder = f"{proc}/self/fd"
    try:
        # The listing has one open itself.
        return os.stat(folder).st_size == len(os.listdir(folder)) - 1
    except OSError:
        return False
