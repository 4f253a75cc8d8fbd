"""The spool: records in segment files, read once in order, bounded, with an exact account over kill -9.

One thread writes, one reads (`take`, `done`), any may ask for `stats`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Literal, NamedTuple

from fleetwatch.spool.record import HEAD, SIGNALS, Counts, Position, Record, batch, minus, pack, plus, read_head
from fleetwatch.spool.recover import Segment, opened, recover
from fleetwatch.spool.state import REASONS, StateFile
from fleetwatch.spool.sync import Syncer

log = logging.getLogger(__name__)

SEGMENT = 8 << 20
"""Largest segment file; a small spool has sixteen smaller ones. A single larger record is one of its own."""

LOSSES_LOGGED = 60.0
"""Seconds between two lines about what was given up."""

_WHY = {
    "spool_full": "it is full; the sink was away for too long, or sidecar.spool.max_bytes is too small",
    "disk_full": "there is no room on the disk",
    "damaged": "its files are damaged or gone",
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class SpoolError(Exception):
    """The spool cannot be used; the text names the folder and why."""


class SpoolFullError(SpoolError):
    """There is no room on the disk, and nothing older is left to give up."""


class Stats(NamedTuple):
    """Items by signal, dropped ones by (signal, reason); bytes that wait; Unix time of the oldest, None for none."""

    accepted: dict[str, int]
    forwarded: dict[str, int]
    dropped: dict[tuple[str, str], int]
    size: int
    oldest: float | None


class Spool:
    """An open spool; only one process may have it. Raises SpoolError.

    sync: when data is forced to the disk: `always` lets `synced()` wait for that, `interval` does it every
    `sync_interval` seconds, `never` leaves it to the kernel. With `always` nothing is synced unasked before `close`.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        sync: Literal["always", "interval", "never"] = "interval",
        sync_interval: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.max_bytes = max_bytes
        self._folder = folder
        self._segment_bytes = min(SEGMENT, max_bytes // 16)
        self._clock = clock
        self._lock = threading.Lock()
        self._out: int | None = None
        self._retired: dict[int, int] = {}
        """Segments that are full and wait for their last sync: number -> open file."""
        self._keep_retired = sync != "never"
        self._at_once = sync == "always"
        """Whoever appends asks for the sync, too."""
        self._listed = False
        """Whether the folder's own entries are on the disk."""
        self._flight: Counts | None = None
        """Items accepted up to the end of the request under way."""
        self._overtaken = False
        """The request under way is of a segment that is gone."""
        self._closed = False
        self._next_line = 0.0
        self._unsaid = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder_file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._own()
            self._saved = StateFile(folder / "state")
            self._state, self._segments = recover(folder, self._saved.load())
            self._saved.save(self._state)
        except OSError as error:
            where = error.filename or folder
            raise SpoolError(f"{where}: the spool cannot be opened: {error.strerror}") from error
        self._syncer = None if sync == "never" else Syncer(self._sync, 0.0 if sync == "always" else sync_interval)

    def append(self, signal: str, encoding: str, body: bytes, items: int) -> None:
        """Write one record; from then on it survives the end of the process.

        Raises SpoolFullError where the disk is full, SpoolError for another failure, ValueError for a body that is
        larger than the whole spool.
        """
        number = SIGNALS.index(signal)
        with self._lock:
            if self._closed:
                raise SpoolError(f"{self._folder}: the spool is closed")
            data = pack(number, encoding, body, items, time=self._clock(), before=self._state.accepted)
            if len(data) > self.max_bytes:
                raise ValueError(f"expected at most {self.max_bytes} bytes, got {len(data)}")
            try:
                while self._segments and self._bytes() + len(data) > self.max_bytes:
                    self._drop_oldest("spool_full")
                self._write(data)
            except OSError as error:
                raise SpoolError(f"{self._folder}: the spool cannot be written: {error.strerror}") from error
            self._state.accepted = plus(self._state.accepted, number, items)
        if self._syncer is not None and not self._at_once:
            self._syncer.written()

    def synced(self) -> Future[None]:
        """Done when what is written by now is on the disk; fails with OSError."""
        if self._syncer is None:
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return self._syncer.synced()

    def take(self, max_bytes: int = 1 << 20, max_items: int = 5000) -> list[Record]:
        """The next records of one signal, at least one where any waits; empty where none does.

        They stay in the spool until `done`. Raises OSError.
        """
        while True:
            with self._lock:
                if self._closed:
                    return []
                self._give_up_flight()
                if not self._segments:
                    self._lost(self._state.accepted)
                    return []
                segment, position = self._segments[0], self._state.position
                settled, size = self._state.settled, segment.size
                try:
                    file = opened(segment.path, os.O_RDONLY)
                except FileNotFoundError:  # somebody made room by hand
                    self._drop_oldest("damaged")
                    continue
            try:
                records = batch(file, position, size, settled, (max_bytes, max_items))
            finally:
                os.close(file)
            with self._lock:
                if self._closed:
                    return []
                if position != self._state.position or (not records and segment.size != size):
                    continue  # overtaken, or there is more now
                if records:
                    self._lost(records[0].before)
                    self._flight, self._overtaken = records[-1].after, False
                    return records
                if not self._next_segment(segment):
                    return []

    def done(self, records: Sequence[Record], rejected: int = 0) -> None:
        """The first of the records taken are settled: the sink has them, save `rejected` items that it refused.

        Raises OSError, and SpoolError after `close`.
        """
        signal, items = records[0].signal, sum(record.items for record in records)
        refused = min(rejected, items)
        with self._lock:
            if self._closed:
                raise SpoolError(f"{self._folder}: the spool is closed")
            state = self._state
            if self._overtaken:
                state.held = minus(state.held, plus((0, 0, 0), signal, items))
            else:
                state.position = records[-1].end
            state.forwarded = plus(state.forwarded, signal, items - refused)
            state.dropped["refused"][signal] += refused
            if records[-1].after == self._flight:
                self._flight, self._overtaken = None, False
            self._saved.save(state)
            self._forget_read()

    def stats(self) -> Stats:
        """The account as of now."""
        with self._lock:
            state = self._state
            oldest = None
            if self._segments and state.position.offset < self._segments[0].size:
                with contextlib.suppress(OSError), self._segments[0].path.open("rb") as file:
                    head = read_head(os.pread(file.fileno(), HEAD, state.position.offset))
                    oldest = head.time if head else None
            return Stats(
                dict(zip(SIGNALS, state.accepted, strict=True)),
                dict(zip(SIGNALS, state.forwarded, strict=True)),
                {
                    (signal, reason): state.dropped[reason][place]
                    for place, signal in enumerate(SIGNALS)
                    for reason in REASONS
                },
                max(0, self._bytes() - state.position.offset if self._segments else 0),
                oldest,
            )

    def close(self) -> None:
        """Save, sync and give the folder free. A request under way stays in the spool."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._saved.save(self._state)
        if self._syncer is not None:
            self._syncer.stop()
            with contextlib.suppress(OSError):
                self._sync()
        if self._out is not None:
            os.close(self._out)
        self._saved.close()
        os.close(self._owned)
        os.close(self._folder_file)

    def _own(self) -> None:
        self._owned = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._owned)
            os.close(self._folder_file)
            raise SpoolError(f"{self._folder}: another process has this spool; give each its own data_dir") from None

    def _bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    def _write(self, data: bytes) -> None:
        """Append, giving up the oldest segments where the disk is full. Raises SpoolFullError or OSError."""
        while True:
            try:
                current, out = self._current(len(data))
                # Not simply at the end: a piece that was left there by a full or failing disk is written over.
                if os.pwrite(out, data, current.size) == len(data):
                    current.size += len(data)
                    return
                os.ftruncate(out, current.size)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
            if len(self._segments) < 2:
                raise SpoolFullError(f"{self._folder}: there is no room on the disk")
            self._drop_oldest("disk_full")

    def _current(self, size: int) -> tuple[Segment, int]:
        """The segment to write so many bytes to, and its open file."""
        current = self._segments[-1] if self._segments else None
        if current is not None and (not current.size or current.size + size <= self._segment_bytes):
            if self._out is None:
                self._out = opened(current.path, os.O_WRONLY)
            # What is written to a file that somebody has deleted ends with the process.
            if os.fstat(self._out).st_nlink:
                return current, self._out
        number = current.number + 1 if current else self._state.position.segment
        path = self._folder / f"{number:010d}.seg"
        out = opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        if current is not None:
            self._retire(current.number)
        self._out = out
        self._listed = False
        self._segments.append(Segment(number, path, 0, self._state.accepted))
        return self._segments[-1], out

    def _retire(self, number: int) -> None:
        """The file that was written to so far is closed, after its last sync."""
        if self._out is not None:
            if self._keep_retired:
                self._retired[number] = self._out
            else:
                os.close(self._out)
            self._out = None

    def _drop_oldest(self, reason: str) -> None:
        """Give up the oldest segment. Items of a request under way are not lost yet: they are in memory."""
        following = self._segments[1].before if len(self._segments) > 1 else self._state.accepted
        state = self._state
        if self._flight is not None and not self._overtaken:
            state.held = minus(self._flight, state.settled)
            self._overtaken = True
        gone = minus(following, state.settled)
        state.drop(reason, gone)
        self._tell(reason, sum(gone))
        self._remove_oldest()

    def _tell(self, reason: str, items: int) -> None:
        """Now and then a line: in a long outage something is given up every few seconds."""
        self._unsaid += items
        if self._unsaid and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LOSSES_LOGGED
            log.warning("%s: %d items are lost: %s", self._folder, self._unsaid, _WHY[reason])
            self._unsaid = 0

    def _give_up_flight(self) -> None:
        """A request that was taken and not settled is taken anew; what was in memory alone is lost."""
        self._flight, self._overtaken = None, False
        if any(self._state.held):
            self._state.drop("spool_full", self._state.held)
            self._state.held = (0, 0, 0)
            self._saved.save(self._state)

    def _next_segment(self, segment: Segment) -> bool:
        """Leave a segment in which nothing is left to read; false where it is the last one."""
        if len(self._segments) > 1:
            self._lost(self._segments[1].before)
            self._remove_oldest()
            return True
        end = Position(segment.number, segment.size)
        moved, self._state.position = end != self._state.position, end
        if not self._lost(self._state.accepted) and moved:
            self._saved.save(self._state)
        return False

    def _lost(self, before: Counts) -> bool:
        """Count as damaged what should stand before here and was not found."""
        lost = minus(before, self._state.settled)
        if not any(lost):
            return False
        self._state.drop("damaged", lost)
        self._tell("damaged", sum(lost))
        self._saved.save(self._state)
        return True

    def _remove_oldest(self) -> None:
        """The account first: after a kill in between, the file is removed at the next start."""
        oldest = self._segments.pop(0)
        if not self._segments:
            self._retire(oldest.number)
        # An open file would keep its place on the disk, which may be full.
        if (file := self._retired.pop(oldest.number, None)) is not None:
            os.close(file)
        number = self._segments[0].number if self._segments else oldest.number + 1
        self._state.position = Position(number, 0)
        self._saved.save(self._state)
        oldest.path.unlink(missing_ok=True)

    def _forget_read(self) -> None:
        """Give the disk back when all is read, unless it is so little that it is not worth a new file each time."""
        if len(self._segments) == 1 and self._flight is None:
            size = self._segments[0].size
            if self._state.position.offset >= size > self._segment_bytes // 8:
                self._remove_oldest()

    def _sync(self) -> None:
        with self._lock:
            retired, self._retired = self._retired, {}
            listed, self._listed = self._listed, True
            files = [*retired.values(), *(() if self._out is None else (os.dup(self._out),))]
        try:
            for file in files:
                os.fdatasync(file)
            self._saved.sync()
            if not listed:
                os.fsync(self._folder_file)
        finally:
            for file in files:
                os.close(file)
