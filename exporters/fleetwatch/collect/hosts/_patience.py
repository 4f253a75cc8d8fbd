"""Questions to file systems that may never answer.

A process that asks a file server that is gone hangs in the kernel; neither a signal nor a time-out reaches it. So
each question has a thread, and what does not answer in time is left to its thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Patience(Generic[K, V]):
    """Asks many things at once and waits for all together no longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[K, _Question[V]] = {}

    def ask(self, questions: Mapping[K, Callable[[], V]]) -> dict[K, V | OSError | None]:
        """Answers by key; None for what has not answered. That is not asked again before its thread has come back.

        An OSError that a question raises is its answer.
        """
        started = {key: _Question(question) for key, question in questions.items() if not self._hangs(key)}
        deadline = time.monotonic() + self._seconds
        for question in started.values():
            question.join(max(deadline - time.monotonic(), 0))
        answers = {key: started[key].answer if key in started else None for key in questions}
        # What is no longer asked for is forgotten, even where its thread still hangs.
        waiting = {key: self._open[key] for key in questions if key not in started}
        self._open = waiting | {key: question for key, question in started.items() if question.is_alive()}
        return answers

    def _hangs(self, key: K) -> bool:
        question = self._open.get(key)
        return question is not None and question.is_alive()


class _Question(threading.Thread, Generic[V]):
    def __init__(self, question: Callable[[], V]) -> None:
        super().__init__(name="statvfs", daemon=True)
        self.answer: V | OSError | None = None
        self._question = question
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._question()
        except OSError as error:
            self.answer = error
