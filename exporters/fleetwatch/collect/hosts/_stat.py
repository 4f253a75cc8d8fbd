"""/proc/PID/stat: one line with what the sweep needs of a process; see proc(5)."""

from __future__ import annotations

from typing import NamedTuple

_LAST = 21
"""Place, behind the name, of the last field that is needed."""

_NAME_CHARS = 64
"""The kernel keeps 15 bytes of a program's name and writes up to 64 for its own threads."""

KERNEL_THREAD = 0x00200000
"""PF_KTHREAD in the flags; include/linux/sched.h."""

STATES = {
    b"R": "running",
    b"D": "blocked",
    b"T": "stopped",
    b"t": "stopped",
    b"Z": "defunct",
    b"X": "defunct",
    b"x": "defunct",
}
"""Letter -> state; all others (S, I, P, K, W) sleep in one way or another."""


class Stat(NamedTuple):
    """One process. user, system: processor time in ticks, of all its threads; start: ticks since boot; virtual: bytes;
    resident: pages; name: as the kernel has it, any bytes.
    """

    name: bytes
    state: bytes
    flags: int
    minor: int
    major: int
    user: int
    system: int
    threads: int
    start: int
    virtual: int
    resident: int

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more. A process whose first thread has ended lives on in the others."""
        return self.state in b"ZXx" and self.threads <= 1


def parse(line: bytes) -> Stat:
    """The line of /proc/PID/stat. Raises ValueError for anything else.

    The name stands in parentheses and may hold blanks, line ends and parentheses itself; only the last closing one
    is sure to be the end of it.
    """
    end = line.rfind(b")")
    begin = line.find(b"(")
    fields = line[end + 2 :].split(b" ", _LAST + 1)
    if not 0 < begin < end or len(fields) <= _LAST:
        raise ValueError(f"expected number, (name) and {_LAST + 1} fields, got {line[:80]!r}")
    return Stat(
        line[begin + 1 : end],
        fields[0],
        int(fields[6]),
        int(fields[7]),
        int(fields[9]),
        int(fields[11]),
        int(fields[12]),
        int(fields[17]),
        int(fields[19]),
        int(fields[20]),
        int(fields[21]),
    )


def program(name: bytes) -> str:
    """A program's name as a label may hold it."""
    return name.decode("utf-8", "replace")[:_NAME_CHARS]
