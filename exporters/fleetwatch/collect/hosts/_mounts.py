"""The table of mounts: what is mounted where, each device once.

Format: /proc/PID/mountinfo in proc_pid_mountinfo(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")


class Mount(NamedTuple):
    """One line of the table."""

    number: bytes
    device: bytes
    """major:minor of the file system; the same for all places where it is mounted."""
    inner: bytes
    """What of the file system is mounted: / for all of it."""
    path: bytes
    kind: str
    read_only: bool


def mount(line: bytes) -> Mount:
    """A line of mountinfo. Raises ValueError for anything else."""
    row = line.split(b" ")
    try:
        # Optional words, none or many, end with a dash.
        dash = row.index(b"-", 6)
        kind, _, of_device = row[dash + 1 : dash + 4]
    except ValueError:
        raise ValueError(f"expected a line of mountinfo, got {line[:60]!r}") from None
    # Of the file system and not of the mount: a service that systemd confines sees every mount read-only.
    read_only = b"ro" in of_device.split(b",")
    return Mount(row[0], row[2], _plain(row[3]), _plain(row[4]), kind.decode("utf-8", "replace"), read_only)


def shown(mounts: Iterable[Mount], ignored: Callable[[Mount], object]) -> list[Mount]:
    """The mounts to look at, by path: what covers another at the same place, and of each device one place: where it is
    mounted as a whole, else the shortest path.
    """
    visible = {item.path: item for item in mounts}
    best: dict[bytes, Mount] = {}
    for item in visible.values():
        if not ignored(item):
            known = best.get(item.device)
            if known is None or _rank(item) < _rank(known):
                best[item.device] = item
    return sorted(best.values(), key=lambda item: item.path)


def _rank(item: Mount) -> tuple[bool, int, bytes]:
    return item.inner != b"/", len(item.path), item.path


def _plain(word: bytes) -> bytes:
    """Space, tab, newline, backslash and # stand as three octal digits."""
    return _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), word) if b"\\" in word else word
