"""Group commit: waiting requests are written together, and answered when they are on disk.

Everything runs on the event loop's thread. A second thread for SQLite would give up and retake the interpreter lock for
every row and make each wait for the other; the loop instead stands still for the milliseconds of a commit, while
further requests wait in their sockets and make the next group larger.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from fleetwatch.ledger import Ledger, LedgerError
from fleetwatch.ledger.store import Committed, Record
from fleetwatch.receive import BadRequest, Throttled, Unavailable

log = logging.getLogger(__name__)

_Group = tuple[Sequence[Record], asyncio.Future[None]]

GATHER = 0.002
"""Seconds that the first request of a group waits for others; a sync to disk takes about as long."""

GROUP_RECORDS = 5000
"""Records of one transaction; bounds how long the loop stands still."""

PENDING_RECORDS = 100_000
"""Waiting records from which on senders are told to slow down; about 60 MB."""

RETRY_AFTER = 1.0
"""Seconds after which a sender may try again."""

REOPEN_AFTER = 5.0
"""Seconds between attempts to open a ledger that could not be opened."""


class Writer:
    """The only way into the ledger.

    open_ledger: opens it; may raise LedgerError, and is tried again later.
    opened: called with a ledger just opened. committed: called after each commit with its result and seconds it took.
    failed: called with the reason of each failure.
    """

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        *,
        opened: Callable[[Ledger], None],
        committed: Callable[[Committed, float], None],
        failed: Callable[[str], None],
    ) -> None:
        self._open_ledger = open_ledger
        self._opened = opened
        self._committed = committed
        self._failed = failed
        self._groups: list[_Group] = []
        self._flush_planned = False
        self._opened_last = 0.0
        self.pending = 0
        self.ledger: Ledger | None = None
        self.trouble: LedgerError | None = None
        """Why the last commit or opening failed; None when all is well."""

    def open(self) -> None:
        """Try to open the ledger; a failure is kept in `trouble` and senders are told to come again."""
        self._opened_last = time.monotonic()
        try:
            self.ledger = self._open_ledger()
            self._opened(self.ledger)
        except LedgerError as error:
            self.close()
            self._fail(error)
        else:
            self.trouble = None

    async def sink(self, records: Sequence[Record]) -> None:
        """Return when the records are on disk. Raises Unavailable, Throttled or BadRequest."""
        if not records:
            return
        if self.pending > PENDING_RECORDS:
            raise Throttled(RETRY_AFTER)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._groups.append((records, done))
        self.pending += len(records)
        if not self._flush_planned:
            self._flush_planned = True
            loop.call_later(GATHER, self._flush)
        await done

    def judge(self, records: Sequence[Record]) -> bool:
        """Commit what the exporter found out by itself; False where that cannot be now, and is to be tried again."""
        try:
            self._commit(list(records))
        except LedgerError as error:
            self._fail(error)
            return False
        except Unavailable:
            return False
        return True

    def tick(self) -> None:
        """Reopen a ledger that failed to open, and count what has waited long enough."""
        if self.ledger is None:
            if time.monotonic() - self._opened_last >= REOPEN_AFTER:
                self.open()
            return
        try:
            committed = self.ledger.settle()
        except LedgerError as error:
            self._fail(error)
        else:
            if committed != Committed():
                self._committed(committed, 0.0)

    def finish(self) -> None:
        """Write what waits."""
        while self._groups:
            self._flush()

    def close(self) -> None:
        """Close the ledger."""
        if self.ledger is not None:
            self.ledger.close()
            self.ledger = None

    def failing(self, error: LedgerError) -> None:
        """Note a failure that somebody else met."""
        self._fail(error)

    def working(self) -> None:
        """Note that somebody else could write: who waits for readiness may send nothing before it is told."""
        self.trouble = None

    def _flush(self) -> None:
        self._flush_planned = False
        groups: list[_Group] = []
        count = 0
        while self._groups and (not groups or count + len(self._groups[0][0]) <= GROUP_RECORDS):
            groups.append(self._groups.pop(0))
            count += len(groups[-1][0])
        self.pending -= count
        if self._groups:
            self._flush_planned = True
            asyncio.get_running_loop().call_soon(self._flush)
        if not groups:
            return
        try:
            self._commit([record for records, _ in groups for record in records])
        except LedgerError as error:
            self._fail(error)
            _answer(groups, _unavailable(error))
        except Unavailable as error:
            _answer(groups, error)
        except Exception:
            log.exception(
                "a group of %d records could not be written; trying its %d requests singly", count, len(groups)
            )
            self._one_by_one(groups)
        else:
            _answer(groups, None)

    def _commit(self, records: list[Record]) -> None:
        if self.ledger is None:
            raise self.trouble or Unavailable(RETRY_AFTER, "the ledger is closed")
        started = time.perf_counter()
        committed = self.ledger.commit(records)
        self.trouble = None
        self._committed(committed, time.perf_counter() - started)

    def _one_by_one(self, groups: list[_Group]) -> None:
        """One request that cannot be stored must not take the others with it, nor come again for ever."""
        for records, done in groups:
            try:
                self._commit(list(records))
            except LedgerError as error:
                self._fail(error)
                _answer([(records, done)], _unavailable(error))
            except Exception:
                log.exception("a request of %d records cannot be written", len(records))
                _answer([(records, done)], BadRequest("the request holds values that cannot be stored"))
            else:
                _answer([(records, done)], None)

    def _fail(self, error: LedgerError) -> None:
        if self.trouble is None or self.trouble.reason != error.reason:
            log.error("%s", error)
        self.trouble = error
        self._failed(error.reason)


def _unavailable(error: LedgerError) -> Unavailable:
    return Unavailable(RETRY_AFTER, f"records cannot be committed at the moment: {error.reason.replace('_', ' ')}")


def _answer(groups: list[_Group], error: Exception | None) -> None:
    for _, done in groups:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
