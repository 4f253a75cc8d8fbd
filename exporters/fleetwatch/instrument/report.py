"""What agents say of themselves, as observable gauges of the OpenTelemetry metrics API.

There is no thread here and nothing is sent from here: the application's own SDK collects when it exports, and that
export is the heartbeat. An application that hangs goes on exporting while its progress stands still; one that is killed
falls silent. Without an SDK nobody collects, and nothing happens.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from opentelemetry import metrics
from opentelemetry.metrics import Meter, MeterProvider, Observation

from fleetwatch import __version__
from fleetwatch.instrument import names
from fleetwatch.instrument.beat import PerProvider, Spacing, at_exit, crashed, quiet
from fleetwatch.instrument.work import Doing, Moment

log = logging.getLogger("fleetwatch.instrument")

_FAREWELLS: Final = 3
"""Times that a goodbye is told while the process goes on: an export may fail."""
_MOST_GONE: Final = 1000
"""Agents that ended and whose goodbye nobody collected yet; without an SDK nobody ever does."""


class Reported(Protocol):
    """An agent as far as it is reported."""

    name: str
    team: str
    version: str
    framework: str
    model: str
    doing: Doing


class _Gone:
    """An agent that ended. clean: on purpose; at: Unix seconds."""

    def __init__(self, agent: Reported, *, clean: bool) -> None:
        self.agent, self.clean, self.at, self.told = agent, clean, time.time(), 0


class _Seen(NamedTuple):
    """An agent in one collection; moment is None for one that has ended."""

    agent: Reported
    attributes: dict[str, str | int]
    moment: Moment | None
    gone: _Gone | None


class Roster:
    """The agents of this process that report through one meter provider."""

    def __init__(self, provider: MeterProvider | None) -> None:
        self.known: weakref.WeakValueDictionary[tuple[str, int], Reported] = weakref.WeakValueDictionary()
        """Name and id of the tracer provider -> the agent, as long as anybody holds it."""
        self._living: dict[str, Reported] = {}
        self._gone: dict[str, _Gone] = {}
        self._spacing = Spacing()
        self._host = socket.gethostname()
        try:
            self._observe(metrics.get_meter(names.SCOPE, __version__, provider))
        except Exception:  # the environment names a provider that cannot be loaded
            log.warning("agents are not reported: there is no meter", exc_info=True)

    def _observe(self, meter: Meter) -> None:
        # The heartbeat's comes last: it counts how often a goodbye was told.
        for name, unit, help_, observe in (
            (names.INFO, "", "What the agent is; always 1.", self._info),
            (names.STATE, "{process}", "1 for what the agent is doing, 0 for what it is not.", self._state),
            (names.PROGRESS, "s", "When the agent last got on with its work, Unix time.", self._progress),
            (names.INTERVAL, "s", "Time between two heartbeats.", self._interval),
            (names.OPEN_TASKS, "{task}", "Tasks that the agent works on at the moment.", self._open_tasks),
            (names.QUEUE_DEPTH, "{task}", "Tasks that wait for the agent.", self._queue_depth),
            (names.QUEUE_AGE, "s", "How long the oldest waiting task has waited.", self._queue_age),
            (names.GOODBYE, "s", "When the agent ended on purpose, Unix time.", self._goodbye),
            (names.HEARTBEAT, "s", "When the agent was last known to be alive, Unix time.", self._heartbeat),
        ):
            meter.create_observable_gauge(name, callbacks=[quiet(observe)], unit=unit, description=help_)

    def begin(self, agent: Reported) -> None:
        self._gone.pop(agent.name, None)
        self._living[agent.name] = agent

    def end(self, agent: Reported, *, clean: bool) -> None:
        if self._living.pop(agent.name, None) is not None:
            # A list of its own: the thread that collects takes some away at the same time.
            for name in list(self._gone)[: max(0, len(self._gone) - _MOST_GONE + 1)]:
                self._gone.pop(name, None)
            self._gone[agent.name] = _Gone(agent, clean=clean)

    def forget(self) -> None:
        """In a forked child: what the parent is, the child is not."""
        self._living, self._gone, self._spacing = {}, {}, Spacing()

    def _seen(self) -> Iterator[_Seen]:
        if at_exit():
            for agent in list(self._living.values()):
                self.end(agent, clean=not crashed())
        for agent in list(self._living.values()):
            yield _Seen(agent, self._identity(agent), agent.doing.now(), None)
        for gone in list(self._gone.values()):
            yield _Seen(gone.agent, self._identity(gone.agent), None, gone)

    def _identity(self, agent: Reported) -> dict[str, str | int]:
        found: dict[str, str | int] = {names.AGENT: agent.name, names.HOST: self._host, names.PROCESS: os.getpid()}
        return {**found, names.TEAM: agent.team} if agent.team else found

    def _info(self) -> Iterator[Observation]:
        for seen in self._seen():
            told = (
                (names.VERSION, seen.agent.version),
                (names.FRAMEWORK, seen.agent.framework),
                (names.REQUEST_MODEL, seen.agent.model),
            )
            yield Observation(1, {**seen.attributes, **{name: value for name, value in told if value}})

    def _state(self) -> Iterator[Observation]:
        for seen in self._seen():
            if seen.moment is not None:
                state = seen.moment.state
            elif seen.gone is not None and not seen.gone.clean:
                state = "failed"
            else:
                continue
            for known in names.STATES:
                yield Observation(int(known == state), {**seen.attributes, names.STATE_VALUE: known})

    def _progress(self) -> Iterator[Observation]:
        for seen in self._seen():
            if seen.moment is not None:
                yield Observation(seen.moment.progress / 1e9, seen.attributes)

    def _interval(self) -> Iterator[Observation]:
        interval = self._spacing.collected(threading.get_ident(), time.monotonic())
        for seen in self._seen():
            yield Observation(interval, seen.attributes)

    def _open_tasks(self) -> Iterator[Observation]:
        for seen in self._seen():
            if seen.moment is not None:
                yield Observation(seen.moment.open_tasks, seen.attributes)

    def _queue_depth(self) -> Iterator[Observation]:
        yield from self._of_queue(Doing.queue_depth)

    def _queue_age(self) -> Iterator[Observation]:
        yield from self._of_queue(Doing.queue_age)

    def _of_queue(self, ask: Callable[[Doing], float | None]) -> Iterator[Observation]:
        for seen in self._seen():
            if seen.moment is not None:
                try:
                    value = ask(seen.agent.doing)
                except Exception:  # the application's own function and numbers; other agents are still told of
                    log.debug("queue of %s", seen.agent.name, exc_info=True)
                    continue
                if value is not None:
                    yield Observation(value, seen.attributes)

    def _goodbye(self) -> Iterator[Observation]:
        for seen in self._seen():
            if seen.gone is not None and seen.gone.clean:
                yield Observation(seen.gone.at, seen.attributes)

    def _heartbeat(self) -> Iterator[Observation]:
        now = time.time()
        for seen in self._seen():
            yield Observation(now if seen.gone is None else seen.gone.at, seen.attributes)
            if seen.gone is not None:
                seen.gone.told += 1
                if seen.gone.told >= _FAREWELLS or not seen.gone.clean:
                    self._gone.pop(seen.agent.name, None)


_rosters: Final = PerProvider(Roster)


def roster_of(provider: MeterProvider | None) -> Roster:
    """The one roster of a meter provider."""
    return _rosters.of(provider)


def after_fork() -> None:
    for roster in _rosters.after_fork():
        roster.forget()
