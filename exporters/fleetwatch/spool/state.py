"""How far the spool has been read, and what became of it: a small file that outlives kill -9 at any moment.

Two slots are written in turn, each with one pwrite and a checksum, a sector apart: a torn write spoils one slot, and
the other one says what was so a moment before.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from fleetwatch.spool.record import Counts, Position

REASONS = ("spool_full", "disk_full", "refused", "damaged")
"""Why items were lost."""

_NONE: Counts = (0, 0, 0)
_KIND = b"FWSTATE"
_MAGIC = _KIND + b"1"
"""With the version of all files of the spool."""
_SLOT = struct.Struct("<8sQQQ3Q3Q3Q12Q")
_CHECK = struct.Struct("<I")
_APART = 4096


@dataclass
class State:
    """Always: accepted = forwarded + dropped + held + what stands after `position` in the segments.

    held: items that are in a request under way while their segment is already gone. After a crash they are lost.
    """

    position: Position = field(default_factory=lambda: Position(1, 0))
    accepted: Counts = _NONE
    forwarded: Counts = _NONE
    held: Counts = _NONE
    dropped: dict[str, list[int]] = field(default_factory=lambda: {reason: [0, 0, 0] for reason in REASONS})

    @property
    def settled(self) -> Counts:
        """Items before `position`, whatever became of them."""
        found = [sum(values) for values in zip(self.forwarded, self.held, *self.dropped.values(), strict=True)]
        return found[0], found[1], found[2]

    def drop(self, reason: str, counts: Counts) -> None:
        """Count items as lost."""
        for place, number in enumerate(counts):
            self.dropped[reason][place] += number


class StateFile:
    """The file of a State. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        # Its blocks are taken now: to say that the disk is full must not need more of it.
        os.posix_fallocate(self._file, 0, 2 * _APART)
        self._turn = 0
        self._dirty = False

    def load(self) -> State | None:
        """What was saved last; None where nothing good was. Raises OSError for a file of another version."""
        best = None
        foreign = False
        for slot in (0, 1):
            data = os.pread(self._file, _SLOT.size + _CHECK.size, slot * _APART)
            found = _read(data)
            if found is not None and found[0] >= self._turn:
                self._turn, best = found
            foreign = foreign or (data.startswith(_KIND) and not data.startswith(_MAGIC))
        if best is None and foreign:
            # Its segments would look damaged, and be thrown away.
            said = "another version wrote it: let that one send what waits, or move the folder away"
            raise OSError(errno.EINVAL, said)
        return best

    def save(self, state: State) -> None:
        """Readable after kill -9; after a power cut once `sync` has returned."""
        self._turn += 1
        dropped = [number for reason in REASONS for number in state.dropped[reason]]
        data = _SLOT.pack(_MAGIC, self._turn, *state.position, *state.accepted, *state.forwarded, *state.held, *dropped)
        data += _CHECK.pack(zlib.crc32(data))
        if os.pwrite(self._file, data, self._turn % 2 * _APART) != len(data):
            raise OSError(errno.EIO, "the state was not written whole")
        self._dirty = True

    def sync(self) -> None:
        if self._dirty:
            self._dirty = False
            try:
                os.fdatasync(self._file)
            except OSError:
                self._dirty = True
                raise

    def close(self) -> None:
        os.close(self._file)


def _read(data: bytes) -> tuple[int, State] | None:
    if len(data) < _SLOT.size + _CHECK.size or _CHECK.unpack_from(data, _SLOT.size)[0] != zlib.crc32(
        data[: _SLOT.size]
    ):
        return None
    magic, turn, segment, offset, *numbers = _SLOT.unpack_from(data)
    if magic != _MAGIC:
        return None
    rest = numbers[9:]
    return turn, State(
        Position(segment, offset),
        (numbers[0], numbers[1], numbers[2]),
        (numbers[3], numbers[4], numbers[5]),
        (numbers[6], numbers[7], numbers[8]),
        {reason: rest[3 * place : 3 * place + 3] for place, reason in enumerate(REASONS)},
    )
