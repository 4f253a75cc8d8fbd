"""Questions to file systems that may never answer.

A process that asks a file server that is gone hangs in the kernel; neither a signal nor a time-out reaches it. So they
are asked by threads, and what does not answer in time keeps its thread until it does.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")

AT_ONCE = 16
"""Threads that ask."""

MOST = 32
"""Threads that ask or hang. A service may have few, and the other sources need some."""


class Patience(Generic[K, V]):
    """Asks many things at once and waits for all together no longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._hanging: list[_Asker[K, V]] = []
        """Also those whose question nobody has any more: each still is a thread."""

    def ask(self, questions: Mapping[K, Callable[[], V]]) -> dict[K, V | OSError | None]:
        """Answers by key; None for what has not answered. That is not asked again before its thread has come back.

        An OSError that a question raises is its answer. What could not be asked, for want of threads, is left out.
        """
        self._hanging = [asker for asker in self._hanging if asker.is_alive()]
        waiting = {asker.key for asker in self._hanging}
        todo = deque((key, question) for key, question in questions.items() if key not in waiting)
        answers: dict[K, V | OSError] = {}
        deadline = time.monotonic() + self._seconds
        askers = _started(todo, answers, min(AT_ONCE, MOST - len(self._hanging)))
        for asker in askers:
            asker.join(max(deadline - time.monotonic(), 0))
        # A thread that comes back later finds nothing more to do.
        unasked = {key for key, _ in _taken(todo)}
        self._hanging += [asker for asker in askers if asker.is_alive()]
        return {key: answers.get(key) for key in questions if key not in unasked}


class _Asker(threading.Thread, Generic[K, V]):
    """Asks one after the other, for as long as there are some."""

    def __init__(self, todo: deque[tuple[K, Callable[[], V]]], answers: dict[K, V | OSError]) -> None:
        super().__init__(name="statvfs", daemon=True)
        self.key: K | None = None
        """What it waits for."""
        self._todo = todo
        self._answers = answers

    def run(self) -> None:
        for key, question in _taken(self._todo):
            self.key = key
            try:
                self._answers[key] = question()
            except OSError as error:
                self._answers[key] = error


def _taken(todo: deque[T]) -> Iterator[T]:
    """One after the other, until there are no more; several threads may take from the same."""
    while True:
        try:
            yield todo.popleft()
        except IndexError:
            return


def _started(todo: deque[tuple[K, Callable[[], V]]], answers: dict[K, V | OSError], most: int) -> list[_Asker[K, V]]:
    """Threads at work: no more than there are questions, and none where the system grants no more."""
    askers: list[_Asker[K, V]] = []
    for _ in range(min(most, len(todo))):
        asker = _Asker(todo, answers)
        try:
            asker.start()
        except RuntimeError:
            break
        askers.append(asker)
    return askers
