"""Runs the sources: each at its own pace, one broken source hurts only itself."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from fleetwatch.catalogue import exporter
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.meter import Meter

log = logging.getLogger(__name__)

Collect = Callable[[], Iterable[Sample]]

Make = Callable[[Here], Collect]

JITTER = 0.05
"""Some, lest all sources of all hosts ask at the same moment."""

KEPT_CYCLES = 3
"""Failed cycles for which the last good values of a source are still shown; after that they are gone."""


class NoData(Exception):  # noqa: N818 - it is no error: there is nothing to report on this machine
    """Nothing to report here."""


class Denied(Exception):  # noqa: N818 - it says what is missing, not what broke
    """A permission is missing. A source raises it where it can do nothing without; parts go into Incomplete.

    permission: as the vendor calls it, for example `cloudwatch:GetMetricData`; why: what the vendor answered, as in
    "AccessDenied in eu-west-1"; fix: what a person does about it, one sentence. The permission is a label: few
    values, no ids.
    """

    def __init__(self, permission: str, why: str, fix: str) -> None:
        super().__init__(f"{permission} is missing: {why}. {fix}")
        self.permission = permission
        self.why = why
        self.fix = fix


class Incomplete(Exception):  # noqa: N818 - a failure of parts; the message says of which
    """Some facts could not be read. A source raises it last: what it has yielded before is shown.

    denied: the permissions that are missing for them.
    """

    def __init__(self, why: str, denied: Iterable[Denied] = ()) -> None:
        super().__init__(why)
        self.denied = list(denied)
        self.samples: list[Sample] = []
        """What was yielded; filled in by the runner."""


class _Outcome(NamedTuple):
    """What came of a cycle."""

    samples: list[Sample] | None
    """None for nothing that could be shown."""
    why: str = ""
    """What failed; empty for nothing."""
    denied: tuple[Denied, ...] = ()


class Source(NamedTuple):
    """A source and its pace. interval, timeout: seconds; jitter: share of the interval by which it may vary."""

    name: str
    interval: float
    timeout: float
    collect: Collect
    jitter: float = JITTER


class Pace(NamedTuple):
    """Settings of one source; None takes the source's own."""

    enabled: bool = True
    interval: float | None = None
    timeout: float | None = None
    jitter: float | None = None


class _Registered(NamedTuple):
    interval: float
    timeout: float
    make: Make


_registered: dict[str, _Registered] = {}

F = TypeVar("F", bound=Callable[[Here], Any])


def source(*, interval: float, timeout: float = 5.0) -> Callable[[F], F]:
    """Register the source of a file: a function of `Here` that reports samples, or a class where a cycle needs
    what the one before it saw. Such a class is made once, with `Here`, and its object is called for each cycle.
    """

    def register(thing: F) -> F:
        make = thing if isinstance(thing, type) else lambda here: partial(thing, here)
        name = thing.__module__.rpartition(".")[2]
        _registered[name] = _Registered(interval, timeout, make)
        return thing

    return register


def source_names(*domains: str) -> list[str]:
    """Names of the sources of these domains (default: of all), which are the names of their files."""
    return sorted(name for name, domain in _domains().items() if not domains or domain in domains)


def load(name: str, here: Here, pace: Pace = Pace()) -> Source:  # noqa: B008 - a tuple cannot change
    """Import one source and apply its settings."""
    importlib.import_module(f"fleetwatch.collect.{_domains()[name]}.{name}")
    found = _registered[name]
    return Source(
        name,
        pace.interval or found.interval,
        pace.timeout or found.timeout,
        found.make(here),
        JITTER if pace.jitter is None else pace.jitter,
    )


@cache  # of files that stay as they are while we run
def _domains() -> dict[str, str]:
    """Source -> its domain, which is its folder."""
    root = Path(__file__).parent
    return {file.stem: file.parent.name for file in root.glob("*/*.py") if not file.name.startswith("_")}


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
            await asyncio.sleep(item.interval * random.uniform(1 - item.jitter, 1 + item.jitter))  # noqa: S311 - no secret

    async def cycle(self, item: Source) -> None:
        """Collect once and show what came; a failure is shown as such and keeps the last values for a while.

        Where only parts failed, the others' new values are shown.
        """
        state = self._states.setdefault(item.name, {"failures": 0.0, "series": 0.0, "last_success": 0.0})
        started = time.perf_counter()
        samples, why, denied = await self._outcome(item)
        if why:
            self._failed(item, state, why)
        else:
            state["failures"] = 0
            state["last_success"] = self._clock()
        if samples is None and state["failures"] > KEPT_CYCLES:
            samples = []
        if samples is not None:
            state["series"] = self._meter.replace(item.name, samples)
        self._show(item.name, state, time.perf_counter() - started, denied)

    async def _outcome(self, item: Source) -> _Outcome:
        try:
            # Not wait_for: in Python 3.11 it loses a cancellation that comes together with the time-out.
            async with asyncio.timeout(item.timeout):
                return _Outcome(await asyncio.shield(self._work(item)))
        except NoData:
            return _Outcome([])
        except Incomplete as error:
            return _Outcome(error.samples, str(error), tuple(error.denied))
        except Denied as error:
            return _Outcome(None, str(error), (error,))
        except TimeoutError:
            return _Outcome(None, f"took longer than {item.timeout:g} s")
        except Exception as error:
            return _Outcome(None, f"{type(error).__name__}: {error}")

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

    def _show(self, name: str, state: Mapping[str, float], duration: float, denied: Iterable[Denied]) -> None:
        samples = [
            exporter.COLLECTOR_SUCCESS(0 if state["failures"] else 1, collector=name),
            exporter.COLLECTOR_DURATION(duration, collector=name),
            exporter.COLLECTOR_SERIES(state["series"], collector=name),
        ]
        if state["last_success"]:
            samples.append(exporter.COLLECTOR_LAST_SUCCESS(state["last_success"], collector=name))
        permissions = sorted({item.permission for item in denied})
        samples += [exporter.COLLECTOR_DENIED(1, collector=name, permission=item) for item in permissions]
        self._meter.replace(f"{name} itself", samples)


def _in_thread(item: Source) -> asyncio.Future[list[Sample]]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Sample]] = loop.create_future()
    # One that fails when nobody waits any more has been reported as late already.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def work() -> None:
        samples: list[Sample] = []
        try:
            for sample in item.collect():
                _check(sample)
                samples.append(sample)
            settle = partial(future.set_result, samples)
        except Exception as error:
            if isinstance(error, Incomplete):
                error.samples = samples
            settle = partial(future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=work, name=f"collect {item.name}", daemon=True).start()
    return future


def _check(sample: Sample) -> None:
    """Raises TypeError for what could not be written down, and would take the page of all sources with it.

    Libraries without types, as those of drivers, may give anything.
    """
    metric, labels, value = sample
    if len(labels) != len(metric.labels) or not all(isinstance(text, str) for text in labels):
        raise TypeError(f"{metric.name}: expected {len(metric.labels)} texts as labels, got {labels!r}")
    if not isinstance(value, int | float):
        raise TypeError(f"{metric.name}: expected a number, got {value!r}")
