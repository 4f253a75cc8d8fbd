"""What the process before left in the folder, however it ended."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from fleetwatch.spool.record import HEAD, Counts, Position, minus, read_head, walk
from fleetwatch.spool.state import State

_NONE: Counts = (0, 0, 0)
_NAME = re.compile(r"[0-9]{10}\.seg")


@dataclass
class Segment:
    number: int
    path: Path
    size: int
    before: Counts
    """Items accepted before its first record."""


def recover(folder: Path, saved: State | None) -> tuple[State, list[Segment]]:
    """The account and the segments, with a torn end cut off. Raises OSError."""
    found = sorted((int(path.stem), path) for path in folder.iterdir() if _NAME.fullmatch(path.name))
    first = saved.position.segment if saved else 0
    for number, path in found:
        if number < first:  # its removal was all that was still to be done
            path.unlink()
    files = [(number, path) for number, path in found if number >= first]
    # A kill cannot take back what was written, so the segments know best; a power cut can.
    accepted = _most(_cut(*files[-1]) if files else _NONE, saved.accepted if saved else _NONE)
    segments: list[Segment] = []
    before = accepted
    for number, path in reversed(files):
        before = _first_before(number, path) or before
        segments.insert(0, Segment(number, path, path.stat().st_size, before))
    # Without an account nobody knows what became of the items before: taken as forwarded.
    state = saved or State(forwarded=before if files else _NONE)
    state.accepted = accepted
    state.drop("spool_full", state.held)
    state.held = _NONE
    if not segments:
        state.drop("damaged", minus(accepted, state.settled))
        state.position = Position(state.position.segment, 0)
    elif segments[0].number != state.position.segment:
        state.position = Position(segments[0].number, 0)
    else:
        # What was read may have been cut off; what is written next stands in its place, and is to be read.
        state.position = Position(segments[0].number, min(state.position.offset, segments[0].size))
    return state, segments


def opened(path: Path, flags: int) -> int:
    """A segment as an open file, if it is one of ours. Raises OSError for a link, a pipe and the like."""
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "expected a plain file", str(path))
    return file


def _cut(number: int, path: Path) -> Counts:
    """Cut a torn end off; the items ever accepted up to the end, as far as the segment knows."""
    file = opened(path, os.O_RDWR)
    try:
        size = os.fstat(file).st_size
        end, after = 0, _NONE
        for record in walk(file, number, 0, size):
            end, after = record.end.offset, record.after
        # One that is there in full length was answered for, though it has been damaged since.
        whole = end
        while (head := read_head(os.pread(file, HEAD, whole))) and (whole := whole + HEAD + head.size) <= size:
            after = head.after
        if end < size:
            os.ftruncate(file, end)
        return after
    finally:
        os.close(file)


def _first_before(number: int, path: Path) -> Counts | None:
    """From the first good record: what stood before it is lost, and what comes after it is not."""
    file = opened(path, os.O_RDONLY)
    try:
        first = next(walk(file, number, 0, os.fstat(file).st_size), None)
    finally:
        os.close(file)
    return first.before if first else None


def _most(one: Counts, other: Counts) -> Counts:
    """The larger of each."""
    return max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2])
