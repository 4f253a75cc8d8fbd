"""The same work for several targets at once: one that hangs takes its own time and nobody else's."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, MutableSet, Sequence
from typing import TypeVar

from fleetwatch.aws.calls import Trouble

T = TypeVar("T")
R = TypeVar("R")

THREADS = 16
"""At once. An account has about 30 regions; each answer is waited for most of the time."""


def each(
    targets: Sequence[T], work: Callable[[T], R], patience: float, hanging: MutableSet[T] | None = None
) -> dict[T, R | Exception]:
    """What work gave or raised, for each target. patience: seconds for all together.

    What has no answer by then gets a Trouble; a thread that hangs is left behind, a daemon, and what it gives later is
    thrown away. hanging: kept by the caller from call to call: a target that still hangs gets no second thread.
    """
    hanging = set() if hanging is None else hanging
    waiting: queue.SimpleQueue[T] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[T, R | Exception]] = queue.SimpleQueue()
    asked = [target for target in targets if target not in hanging]
    for target in asked:
        waiting.put(target)
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                target = waiting.get_nowait()
            except queue.Empty:
                return
            hanging.add(target)
            answer: R | Exception
            try:
                answer = work(target)
            except Exception as error:
                answer = error
            finally:
                # Before the answer is told: the caller may ask again at once.
                hanging.discard(target)
            answers.put((target, answer))

    for number in range(min(THREADS, len(asked))):
        threading.Thread(target=run, name=f"aws {number}", daemon=True).start()
    found: dict[T, R | Exception] = {}
    until = time.monotonic() + patience
    while len(found) < len(asked):
        try:
            target, answer = answers.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        found[target] = answer
    over.set()
    late = Trouble("unreachable", f"no answer within {patience:g} s", "Look at network, proxy and aws.endpoint_url.")
    return {target: found.get(target, late) for target in targets}
