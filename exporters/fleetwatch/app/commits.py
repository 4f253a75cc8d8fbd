"""The ledger for sources, which run in threads of their own, while the ledger belongs to the loop's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from fleetwatch.collect.here import CommitError

PATIENCE: Final = 30.0
"""Seconds that a thread waits for the disk. A commit takes milliseconds; a loop that stands still longer is ill."""


T = TypeVar("T")


class Commits:
    """The way into the books for threads. sink: returns when the records are on disk, on the loop's thread."""

    def __init__(self, sink: Callable[[Sequence[Any]], Awaitable[None]], patience: float = PATIENCE) -> None:
        self._sink = sink
        self._patience = patience
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Begin; on the loop."""
        self._loop = asyncio.get_running_loop()

    def commit(self, records: Sequence[object]) -> None:
        """Return when the records are on disk. From any thread but the loop's. Raises CommitError."""
        loop = self._loop
        if loop is None:
            raise CommitError("the exporter has not started yet")
        work = self._write(records)
        try:
            waiting = asyncio.run_coroutine_threadsafe(work, loop)
        except RuntimeError:
            work.close()
            raise CommitError("the exporter is ending") from None
        try:
            waiting.result(self._patience)
        except TimeoutError:
            waiting.cancel()
            raise CommitError(f"the ledger gave no answer within {self._patience:g} s") from None
        except Exception as error:
            raise CommitError(f"the ledger did not take {len(records)} records: {error}") from error

    def ask(self, work: Callable[[], T]) -> T:
        """What `work` gives, done on the loop's thread, to which the ledger belongs. From any thread but that.

        Raises what it raises; CommitError where nobody answers.
        """
        loop = self._loop
        if loop is None:
            raise CommitError("the exporter has not started yet")

        async def run() -> T:
            return work()

        asked = run()
        try:
            waiting = asyncio.run_coroutine_threadsafe(asked, loop)
        except RuntimeError:
            asked.close()
            raise CommitError("the exporter is ending") from None
        try:
            return waiting.result(self._patience)
        except TimeoutError:
            waiting.cancel()
            raise CommitError(f"the ledger gave no answer within {self._patience:g} s") from None

    async def _write(self, records: Sequence[object]) -> Any:
        await self._sink(records)
