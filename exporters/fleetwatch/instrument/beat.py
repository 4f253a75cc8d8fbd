"""What agents and pipelines need to report through observable gauges.

There is no thread here and nothing is sent from here: the application's own SDK collects when it exports, and that
export is the heartbeat.
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

log = logging.getLogger("fleetwatch.instrument")

T = TypeVar("T")

_DEFAULT_INTERVAL: Final = 60.0
_MOST_READERS: Final = 64


class Spacing:
    """Time between two collections, learned for each reader: a periodic reader collects in a thread of its own."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[float, deque[float]]] = {}
        self._last: float | None = None

    def collected(self, reader: int, now: float) -> float:
        """Seconds between the collections of this reader. now: monotonic seconds.

        The median of the last three: a laptop that slept has one long one. An unknown reader, as that of a flush, has
        the interval of whoever collected before, or the one that the environment sets.
        """
        before, gaps = self._seen.get(reader, (None, deque[float](maxlen=3)))
        if before is not None:
            gaps.append(now - before)
            self._last = statistics.median(gaps)
        if len(self._seen) >= _MOST_READERS and reader not in self._seen:
            self._seen.clear()
        self._seen[reader] = (now, gaps)
        return statistics.median(gaps) if gaps else self._last or _interval_of_environment()


def _interval_of_environment() -> float:
    """Seconds, as the SDK reads it."""
    try:
        interval = float(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")) / 1000
    except ValueError:
        return _DEFAULT_INTERVAL
    return interval if 0 < interval < float("inf") else _DEFAULT_INTERVAL


def quiet(observe: Callable[[], Iterator[Observation]]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    """An observation that raises is no observation, and takes none of the others along."""

    def callback(_: CallbackOptions) -> Iterable[Observation]:
        found: list[Observation] = []
        try:
            found.extend(observe())
        except Exception:
            log.warning("agents and pipelines are not fully reported", exc_info=True)
        return found

    return callback


def at_exit() -> bool:
    """Whether this process is ending by itself: the last thing that the SDK does is one more collection.

    Python ends its main thread, waits for all others that are no daemons, and only then calls what is registered with
    atexit, in an order that nobody here decides. So this looks at the threads instead of registering.
    """
    if threading.main_thread().is_alive():
        return False
    return all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate())


def crashed() -> bool:
    """Whether an exception that nobody caught ends this process.

    Ctrl-C is an end on purpose; in a console such exceptions are everyday matters and end nothing.
    """
    last = getattr(sys, "last_type", None)
    return last is not None and not issubclass(last, KeyboardInterrupt) and not hasattr(sys, "ps1")


class PerProvider(Generic[T]):
    """One reporter for each meter provider; None is the global one, also when it is set later."""

    def __init__(self, make: Callable[[MeterProvider | None], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}
        self._providers: weakref.WeakValueDictionary[int, MeterProvider] = weakref.WeakValueDictionary()
        self._lock = threading.RLock()

    def of(self, provider: MeterProvider | None) -> T:
        key = id(provider) if provider is not None else 0
        with self._lock:
            if key not in self._made or self._providers.get(key) is not provider:
                self._made[key] = self._make(provider)
                if provider is not None:
                    self._providers[key] = provider
            return self._made[key]

    def after_fork(self) -> Iterable[T]:
        """In the child: nobody else runs, and the lock may be held by a thread that is no more."""
        self._lock = threading.RLock()
        return list(self._made.values())
