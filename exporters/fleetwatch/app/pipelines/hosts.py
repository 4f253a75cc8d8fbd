"""What is known of the machines that runs are on: whether they are there, and whether memory ran out."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import NamedTuple

from fleetwatch.collect.hosts._read import count_of

MOST = 50
"""Kills remembered of a machine: runs are judged within minutes."""


class Machine(NamedTuple):
    """What is known of a run's machine."""

    state: str
    """In the roster of hosts."""
    heard: int
    """When it last reported."""
    interval: int
    """Nanoseconds between two of its reports."""
    age: int
    """Nanoseconds that what it reports may be old: its kills are looked at now and then."""
    kills: tuple[int, ...]
    """When the number of its kills for want of memory was seen to have risen, the last times."""


class Kills:
    """Kills for want of memory by machine, as their counters rise."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._risen: dict[str, deque[int]] = {}

    def take(self, host: str, value: float, now: int) -> None:
        """Note what a machine's counter says."""
        before = self._values.get(host)
        self._values[host] = value
        # A lower value is that of a machine that has started anew.
        if before is not None and value > before:
            self._risen.setdefault(host, deque(maxlen=MOST)).append(now)

    def seen(self, host: str) -> tuple[int, ...]:
        """When they were seen to have risen, the last MOST times."""
        return tuple(self._risen.get(host, ()))

    def forget(self, host: str) -> None:
        self._values.pop(host, None)
        self._risen.pop(host, None)


def own_kills(proc: Path) -> float | None:
    """Kills of this machine since it started, by proc(5), /proc/vmstat; None where the kernel does not count them."""
    try:
        return float(count_of(b"\n" + (proc / "vmstat").read_bytes(), b"oom_kill "))
    except (OSError, ValueError):
        return None
