"""Runs the sources: each at its own pace, one broken source hurts only itself."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import pkgutil
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fleetwatch.catalogue import exporter
from fleetwatch.catalogue.metric import Sample
from fleetwatch.meter import Meter

log = logging.getLogger(__name__)

Collect = Callable[[], Iterable[Sample]]

KEPT_CYCLES = 3
"""Failed cycles for which the last good values of a source are still shown; after that they are gone."""


class NoData(Exception):  # noqa: N818 - it is no error: there is nothing to report on this machine
    """Nothing to report here."""


class Source(NamedTuple):
    """A source and its pace. interval, timeout: seconds."""

    name: str
    interval: float
    timeout: float
    collect: Collect


class Pace(NamedTuple):
    """Settings of one source; None takes the source's own."""

    enabled: bool = True
    interval: float | None = None
    timeout: float | None = None


_registered: dict[str, Source] = {}


def source(*, interval: float, timeout: float = 5.0) -> Callable[[Collect], Collect]:
    """Register a function as the source of its name."""

    def register(collect: Collect) -> Collect:
        _registered[collect.__name__] = Source(collect.__name__, interval, timeout, collect)
        return collect

    return register


def source_names() -> list[str]:
    """Names of all sources, which are the names of their files."""
    folder = str(Path(__file__).parent)
    return sorted(info.name for info in pkgutil.iter_modules([folder]) if info.name != "runner")


def load(name: str, pace: Pace) -> Source:
    """Import one source and apply its settings."""
    importlib.import_module(f"fleetwatch.collect.{name}")
    found = _registered[name]
    return found._replace(interval=pace.interval or found.interval, timeout=pace.timeout or found.timeout)


class Runner:
    """Runs sources on the event loop; each cycle of a source has a thread of its own.

    A thread that hangs cannot be ended. Its source is not started again before it comes back, takes no other source's
    place and, a daemon, does not hold up the end of the process.
    """

    def __init__(self, sources: Iterable[Source], meter: Meter, clock: Callable[[], float] = time.time) -> None:
        self._sources = list(sources)
        self._meter = meter
        self._clock = clock
        self._running: dict[str, asyncio.Future[list[Sample]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._states: dict[str, dict[str, float]] = {}

    def start(self) -> None:
        """Begin; needs a running loop."""
        self._tasks = [asyncio.create_task(self._repeat(item), name=f"collect {item.name}") for item in self._sources]

    async def stop(self) -> None:
        """End without waiting for a source that hangs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, item: Source) -> None:
        while True:
            await self.cycle(item)
            # Some jitter, lest all sources of all hosts ask at the same moment.
            await asyncio.sleep(item.interval * random.uniform(0.95, 1.05))  # noqa: S311 - no secret

    async def cycle(self, item: Source) -> None:
        """Collect once and show what came; a failure is shown as such and keeps the last values for a while."""
        state = self._states.setdefault(item.name, {"failures": 0.0, "series": 0.0, "last_success": 0.0})
        started = time.perf_counter()
        try:
            # Not wait_for: in Python 3.11 it loses a cancellation that comes together with the time-out.
            async with asyncio.timeout(item.timeout):
                samples = await asyncio.shield(self._work(item))
        except NoData:
            samples = []
        except TimeoutError:
            self._failed(item, state, f"took longer than {item.timeout:g} s")
            samples = None
        except Exception as error:
            self._failed(item, state, f"{type(error).__name__}: {error}")
            samples = None
        if samples is not None:
            state["failures"] = 0
            state["last_success"] = self._clock()
            state["series"] = self._meter.replace(item.name, samples)
        elif state["failures"] > KEPT_CYCLES:
            state["series"] = self._meter.replace(item.name, [])
        self._show(item.name, state, time.perf_counter() - started)

    def _work(self, item: Source) -> asyncio.Future[list[Sample]]:
        """What the source collects; where it hangs since an earlier cycle, that one's."""
        running = self._running.get(item.name)
        if running is None or running.done():
            running = self._running[item.name] = _in_thread(item)
        return running

    def _failed(self, item: Source, state: Mapping[str, float], why: str) -> None:
        if not state["failures"]:
            log.warning("source %s failed: %s", item.name, why)
        self._states[item.name]["failures"] += 1

    def _show(self, name: str, state: Mapping[str, float], duration: float) -> None:
        samples = [
            exporter.COLLECTOR_SUCCESS(0 if state["failures"] else 1, collector=name),
            exporter.COLLECTOR_DURATION(duration, collector=name),
            exporter.COLLECTOR_SERIES(state["series"], collector=name),
        ]
        if state["last_success"]:
            samples.append(exporter.COLLECTOR_LAST_SUCCESS(state["last_success"], collector=name))
        self._meter.replace(f"{name} itself", samples)


def _in_thread(item: Source) -> asyncio.Future[list[Sample]]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Sample]] = loop.create_future()
    # One that fails when nobody waits any more has been reported as late already.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def work() -> None:
        try:
            settle = partial(future.set_result, list(item.collect()))
        except Exception as error:
            settle = partial(future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=work, name=f"collect {item.name}", daemon=True).start()
    return future
