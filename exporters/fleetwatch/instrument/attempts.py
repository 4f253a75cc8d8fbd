"""A phase that is tried again until it ends well."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from fleetwatch.instrument import outcome
from fleetwatch.instrument.phase import Phase

if TYPE_CHECKING:
    from fleetwatch.instrument.run import Run


_LONGEST: Final = 86_400.0


class Attempt(Phase):
    """One attempt. What leaves its block passes only when it was the last one, or is none of those to try again for."""

    attempts: Attempts

    def __exit__(  # type: ignore[override]  # a phase lets all pass, an attempt does not
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        super().__exit__(kind, error, trace)
        return self.attempts.tried(self, error)

    async def __aexit__(  # type: ignore[override]  # likewise
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self.__exit__(kind, error, trace)


class Attempts:
    """Made by `run.attempts`. Only the last attempt decides whether the run ends well."""

    def __init__(
        self, run: Run, name: str, *, most: int, on: tuple[type[BaseException], ...], wait: float, optional: bool
    ) -> None:
        self._run, self._name, self._most, self._on, self._wait = run, name, max(1, most), on, max(0.0, wait)
        self._optional = optional
        self._number = 0
        self._done = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Attempt:
        attempt = self._next()
        if attempt is None:
            raise StopIteration
        if self._pause():
            time.sleep(self._pause())
        return attempt

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        attempt = self._next()
        if attempt is None:
            raise StopAsyncIteration
        if self._pause():
            await asyncio.sleep(self._pause())
        return attempt

    def _next(self) -> Attempt | None:
        if self._done or self._number >= self._most:
            return None
        self._number += 1
        attempt = Attempt(self._run, self._name, attempt=self._number, optional=self._optional)
        attempt.attempts, attempt.group = self, self
        return attempt

    def _pause(self) -> float:
        """Seconds before this attempt: twice as long each time, up to a day."""
        return min(_LONGEST, self._wait * 2.0 ** min(self._number - 2, 30)) if self._number > 1 else 0.0

    def tried(self, attempt: Attempt, error: BaseException | None) -> bool:
        """Whether the error, if there is one, stays inside because there is another attempt."""
        if error is None:
            self._done = attempt.judged().result in outcome.GOOD
            return False
        self._done = self._number >= self._most or not isinstance(error, self._on)
        return not self._done
