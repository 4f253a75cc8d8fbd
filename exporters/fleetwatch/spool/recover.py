"""What the process before left in the folder, however it ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fleetwatch.spool.record import HEAD, Counts, Position, minus, read_head, walk
from fleetwatch.spool.state import State

_NONE: Counts = (0, 0, 0)


@dataclass
class Segment:
    number: int
    path: Path
    size: int
    before: Counts
    """Items accepted before its first record."""


def recover(folder: Path, saved: State | None) -> tuple[State, list[Segment]]:
    """The account and the segments, with a torn end cut off. Raises OSError."""
    found = sorted((int(path.stem), path) for path in folder.glob("*.seg") if path.stem.isdigit())
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
        before = _first_before(path) or before
        segments.insert(0, Segment(number, path, path.stat().st_size, before))
    # Without an account nobody knows what became of the items before: taken as forwarded.
    state = saved or State(forwarded=before if files else _NONE)
    state.accepted = accepted
    state.drop("spool_full", state.held)
    state.held = _NONE
    if not segments:
        state.drop("damaged", minus(accepted, state.settled))
    elif segments[0].number != state.position.segment:
        state.position = Position(segments[0].number, 0)
    return state, segments


def _cut(number: int, path: Path) -> Counts:
    """Cut a torn end off; the items ever accepted up to the end, as far as the segment knows."""
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = os.fstat(file).st_size
        end, after = 0, _NONE
        for record in walk(file, number, 0, size):
            end, after = record.end.offset, record.after
        if end < size:
            os.ftruncate(file, end)
        return after
    finally:
        os.close(file)


def _first_before(path: Path) -> Counts | None:
    with path.open("rb") as file:
        head = read_head(file.read(HEAD))
    return head.before if head else None


def _most(one: Counts, other: Counts) -> Counts:
    """The larger of each."""
    return max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2])
