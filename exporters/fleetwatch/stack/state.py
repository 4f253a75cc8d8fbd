"""What runs, in a file: so that `down` and `status` work from another terminal.

A process id alone is not proof: ids are used again. Each comes with the process's start time, and nothing is signalled
where that differs.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil


class Member(NamedTuple):
    """One program. started: its process's start time in seconds, 0 when it is gone."""

    pid: int
    started: float
    shown: str
    ready: str
    restarts: int


class Snapshot(NamedTuple):
    """What the file says. mode: native or compose; phase: starting or up."""

    mode: str
    phase: str
    supervisor: int
    supervisor_started: float
    members: dict[str, Member]

    @property
    def alive(self) -> bool:
        return is_ours(self.supervisor, self.supervisor_started)


def identity(pid: int) -> float:
    """Start time of the process; 0 when there is none."""
    try:
        return float(psutil.Process(pid).create_time()) if pid > 0 else 0.0
    except psutil.Error:
        return 0.0


def is_ours(pid: int, started: float) -> bool:
    """Whether the process of that id is still the one that was started then."""
    try:
        if pid <= 0 or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return False
    except psutil.Error:
        return False
    # Both are computed from the boot time, which the clock's corrections move a little.
    return abs(identity(pid) - started) < 1.0


class State:
    """The file, in `data_dir`."""

    def __init__(self, data_dir: Path, mode: str = "native") -> None:
        self.file = data_dir / "run" / "stack.json"
        self._mode = mode
        self._lock: IO[bytes] | None = None

    def lock(self) -> bool:
        """Claim the folder for this process until it ends. False when another `up` has it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = (self.file.parent / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Give the folder back."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def save(self, phase: str, members: Mapping[str, Member]) -> None:
        data = {
            "mode": self._mode,
            "phase": phase,
            "supervisor": os.getpid(),
            "supervisor_started": identity(os.getpid()),
            "members": {name: member._asdict() for name, member in members.items()},
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(data, indent=1))
        fresh.rename(self.file)

    def load(self) -> Snapshot | None:
        """None when nothing is noted, or nothing that can be read."""
        try:
            data: dict[str, Any] = json.loads(self.file.read_text())
            members = {name: Member(**member) for name, member in data.pop("members").items()}
            return Snapshot(**data, members=members)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)


def end(members: Mapping[str, Member], within: float = 15.0) -> list[str]:
    """Stop the processes that are still ours: SIGTERM, and SIGKILL after `within` seconds. Names of those stopped."""
    ours: dict[str, psutil.Process] = {}
    for name, member in members.items():
        if is_ours(member.pid, member.started):
            ours[name] = psutil.Process(member.pid)
    for process in ours.values():
        _signal(process.terminate)
    _, left = psutil.wait_procs(list(ours.values()), timeout=within)
    for process in left:
        _signal(process.kill)
    psutil.wait_procs(left, timeout=5)
    return list(ours)


def _signal(send: Any) -> None:
    try:
        send()
    except psutil.NoSuchProcess:
        """It has ended meanwhile."""
