"""What phases and runs take of their process: processor time, memory, storage.

A process counts for all of it together, child processes that it has waited for included. So what one phase took is
exact as long as it is the only one under way; see `Account` for the rest. Nothing here is sampled: the numbers are read
when something begins or ends, and when the SDK exports.

    /proc/self/io      read_bytes: 57344 …   /proc/self/status     VmHWM: 301968 kB …
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Final, NamedTuple

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_KIB: Final = 1024
_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else _KIB
"""Bytes in one unit of ru_maxrss: getrusage(2) of each."""


class Usage(NamedTuple):
    """None: not known. cpu: ns; the others: bytes."""

    cpu: int | None = None
    memory_peak: int | None = None
    read: int | None = None
    written: int | None = None


class Taken(NamedTuple):
    """What this process took so far. cpu: ns, read and written: bytes from and to storage, None where not told."""

    cpu: int
    read: int | None
    written: int | None


def taken() -> Taken:
    cpu = time.process_time_ns()
    if resource is not None:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu += int((children.ru_utime + children.ru_stime) * 1e9)
    text = _read("/proc/self/io")
    return Taken(cpu, _number(text, b"read_bytes"), _number(text, b"write_bytes"))


class Resident(NamedTuple):
    """Bytes of memory. most: ever in the life of the process; now: 0 where not known."""

    most: int
    now: int


def resident(pid: int | None = None) -> Resident | None:
    """Of this process, or of another one; None where the system does not tell."""
    text = _read("/proc/self/status" if pid is None else f"/proc/{pid}/status")
    most = _number(text, b"VmHWM")
    if most is not None:
        return Resident(most * _KIB, (_number(text, b"VmRSS") or 0) * _KIB)
    if pid is None and resource is not None:
        return Resident(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT, 0)
    return None


def most_of_children() -> int:
    """Bytes: the largest that any child process ever was that this one has waited for."""
    return 0 if resource is None else resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _MAXRSS_UNIT


def _read(path: str) -> bytes:
    """A small file of /proc; empty where there is none. A phase reads some, so this is worth doing without `open`."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(file, 4 * _KIB)
    except OSError:  # the process has ended meanwhile
        return b""
    finally:
        os.close(file)


def _number(text: bytes, name: bytes) -> int | None:
    """Of a line `name: number`; None where there is no such line."""
    at = text.find(b"\n" + name + b":")
    if at < 0:
        return None
    word = text[at + len(name) + 2 : at + len(name) + 34].split(None, 1)[:1]
    return int(word[0]) if word and word[0].isdigit() else None


class Peak:
    """Most memory of the process, and of its children, while something was under way.

    The kernel keeps one high-water mark for the whole life of a process, and to reset it would disturb whoever else
    reads it. So where the mark rose meanwhile it is the peak, exactly; where it did not, the peak is told as the most
    that was seen at the beginning, at the end and at each export: at least so much it was.
    """

    def __init__(self) -> None:
        here = resident()
        self._before = here.most if here else 0
        self._children_before = most_of_children()
        self._seen = here.now if here else 0
        self.running: dict[int, None] = {}
        """Process ids of children under way."""

    def look(self) -> int | None:
        """Bytes so far; None where nothing is known."""
        here = resident()
        if here is not None:
            self._seen = max(self._seen, here.now, here.most if here.most > self._before else 0)
        for pid in list(self.running):
            child = resident(pid)
            self._seen = max(self._seen, child.most if child else 0)
        children = most_of_children()
        # What a child had before it became another program is its parent's memory, and Linux counts that for it: a
        # mark not above the parent's own says nothing.
        if children > self._children_before and (here is None or children > here.most):
            self._seen = max(self._seen, children)
        return self._seen or None


class _Parts(NamedTuple):
    """What one of those under way has so far, or each of them. cpu: ns; the others: bytes."""

    cpu: float = 0.0
    read: float = 0.0
    written: float = 0.0

    def plus(self, other: _Parts, less: _Parts) -> _Parts:
        return _Parts(
            self.cpu + other.cpu - less.cpu, self.read + other.read - less.read,
            self.written + other.written - less.written,
        )  # fmt: skip


class Share:
    """What one phase has of its process."""

    __slots__ = (
        "alone", "inner", "is_open", "outer", "own_children", "parts", "same_thread", "since", "thread", "thread_at",
    )  # fmt: skip

    def __init__(self, outer: Share | None) -> None:
        self.outer = outer
        self.is_open = True
        self.inner = 0
        """Phases under way inside this one: what is taken meanwhile is theirs."""
        self.parts = _Parts()
        """Up to `since`, while it takes; else up to now."""
        self.since = _Parts()
        self.own_children = 0
        self.alone = True
        self.same_thread = outer is not None
        self.thread = threading.get_ident()
        self.thread_at = time.thread_time_ns()


class Account:
    """Who of those under way takes what: each of them has an even share of what was taken while they ran.

    Alone, that is exact. Of several at once, those that have a thread for themselves get that thread's own processor
    time instead and that of the child processes which they ran by `run`; what other threads did for them is missing.
    Tasks of one asyncio loop, and the bytes of whatever runs at once, are even shares: their sum is right. Phases
    inside phases take what is taken meanwhile; their outer ones have the rest.

    There may be thousands at once, so nobody goes through all of them: a sum tells what each would have that took from
    the first moment on, and a phase has what was added to it meanwhile.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """In a forked child: nothing of the parent's is under way here."""
        self._lock = threading.RLock()
        self._taking: dict[Share, None] = {}
        """Those with none inside."""
        self._of_thread: dict[int, dict[Share, None]] = {}
        """The same, by thread."""
        self._each = _Parts()
        self._last = Taken(0, None, None)
        self._own_children = 0

    def begin(self, outer: Share | None = None) -> Share:
        with self._lock:
            self._spread()
            share = Share(outer)
            if outer is not None:
                outer.inner += 1
                outer.same_thread = True
                self._stop(outer)
            self._start(share)
            return share

    def end(self, share: Share) -> Usage:
        with self._lock:
            self._spread()
            if not share.is_open:  # its run ended before it
                return self._usage(share, share.parts.cpu)
            share.is_open = False
            self._stop(share)
            outer = share.outer
            if outer is not None:
                outer.inner -= 1
                if outer.is_open and not outer.inner:
                    self._start(outer)
            cpu = share.parts.cpu
            if not share.alone and not share.same_thread and share.thread == threading.get_ident():
                cpu = time.thread_time_ns() - share.thread_at
            return self._usage(share, cpu)

    def so_far(self, share: Share) -> Usage | None:
        """None where it is not exact: what is told while it runs must not be more than what it will be in the end."""
        if not share.alone:
            return None
        with self._lock:
            self._spread()
            self._settle(share)
            return self._usage(share, share.parts.cpu) if share.alone else None

    def ran(self, share: Share, cpu: int) -> None:
        """A child process that `share` ran has ended. cpu: ns."""
        with self._lock:
            share.own_children += cpu
            self._own_children += cpu

    def _start(self, share: Share) -> None:
        """From here on it takes; nobody who does so beside another is alone."""
        in_thread = self._of_thread.setdefault(share.thread, {})
        if self._taking:
            share.alone = next(iter(self._taking)).alone = False
        if in_thread:
            share.same_thread = next(iter(in_thread)).same_thread = True
        self._taking[share] = in_thread[share] = None
        share.since = self._each

    def _stop(self, share: Share) -> None:
        self._settle(share)
        if share in self._taking:
            del self._taking[share]
            in_thread = self._of_thread[share.thread]
            del in_thread[share]
            if not in_thread:
                del self._of_thread[share.thread]

    def _settle(self, share: Share) -> None:
        if share in self._taking:
            share.parts = share.parts.plus(self._each, share.since)
            share.since = self._each

    def _spread(self) -> None:
        now, before = taken(), self._last
        self._last = now
        own, self._own_children = self._own_children, 0
        number = len(self._taking)
        if number:
            self._each = _Parts(
                self._each.cpu + (now.cpu - before.cpu - own) / number,
                self._each.read + ((now.read or 0) - (before.read or 0)) / number,
                self._each.written + ((now.written or 0) - (before.written or 0)) / number,
            )

    def _usage(self, share: Share, cpu: float) -> Usage:
        known = self._last.read is not None
        return Usage(
            max(0, round(cpu)) + share.own_children,
            None,
            max(0, round(share.parts.read)) if known else None,
            max(0, round(share.parts.written)) if known else None,
        )
