"""Agents as an application speaks of them."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar, overload

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from fleetwatch.instrument import names, report
from fleetwatch.instrument.block import short, tracer_of
from fleetwatch.instrument.spans import Block, Task, Tool, current_task
from fleetwatch.instrument.work import Doing, Process, Until, Work

log = logging.getLogger("fleetwatch.instrument")

F = TypeVar("F", bound=Callable[..., Any])

_ENDED_ON_PURPOSE: Final = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)

_lock = threading.RLock()
"""Held for a few assignments when an agent comes or goes; a signal's handler may come in between."""


class Agent:
    """One agent in this process; made by `agent`, which gives the same one for the same name.

    It is there from its first `with`, task, state or word on, and says goodbye when its last `with` ends or when the
    process ends by itself. An exception that leaves the `with`, or that nobody catches, is no goodbye, and neither is a
    signal that kills. A forked child is not there until it does something itself.
    """

    def __init__(self, name: str, roster: report.Roster, tracer_provider: TracerProvider | None) -> None:
        self.name = name
        self.team = self.version = self.framework = self.model = ""
        self.doing = Doing()
        self.tracer = tracer_of(tracer_provider)
        self._roster = roster
        self._tracer_provider = tracer_provider  # held, so that its id stays its own
        self._entered = 0
        self._begun_in = -1

    def describe(self, version: str = "", framework: str = "", team: str = "", model: str = "") -> Self:
        """Facts for the boards; those that are left empty stay as they are."""
        self.version = short(version) or self.version
        self.framework = short(framework) or self.framework
        self.team = short(team) or self.team
        self.model = short(model) or self.model
        return self

    # --- work

    @overload
    def task(self, name: F) -> F: ...
    @overload
    def task(self, name: str = "") -> Task: ...
    def task(self, name: str | F = "") -> Task | F:
        """One task: `with me.task("summarise") as task:`, `async with`, or a decorator with or without a name.

        Inside another agent's task it is that of a sub-agent.
        """
        return Task(self, "")(name) if callable(name) else Task(self, short(name))

    @overload
    def tool(self, name: F) -> F: ...
    @overload
    def tool(self, name: str = "", arguments: object = None, *, call_id: str = "", kind: str = "function") -> Tool: ...
    def tool(
        self, name: str | F = "", arguments: object = None, *, call_id: str = "", kind: str = "function"
    ) -> Tool | F:
        """One call of a tool: `with me.tool("web_search", arguments={"query": query}):`, or a decorator.

        Of the arguments only a digest is sent, to see that a call is repeated. call_id: the model's id for the call,
        so that a framework's own span of it is recognised. kind: function, extension or datastore.
        """
        if callable(name):
            return Tool(self, "", None, "", kind)(name)
        return Tool(self, short(name), arguments, short(call_id), short(kind))

    def state(self, state: str) -> Until:
        """What it is doing, by its own word: one of `names.STATES`.

        idle, working and waiting_tool follow from open tasks and tools; say the others. A state is that of the task
        in whose block it is said, or of the whole agent; it holds until the next word, tool or end of the task, or to
        the end of its block: `with me.state("waiting_human"): …`.
        """
        if self._begun_in != Process.generation:
            self.begun()
        told = self.doing.say(self.work(), state)
        if told is None:
            log.warning("state of an agent: expected one of %s; got %.50s", ", ".join(names.STATES), short(state))
            return Until(None, None, None, "", "")
        return told

    def progress(self) -> None:
        """It got on with its work. Tasks, tools and states say so themselves; this is for long work between them."""
        if self._begun_in != Process.generation:
            self.begun()
        self.doing.touch(self.work())

    def queue(self, depth: int | Callable[[], int], oldest_age: float | None = None) -> None:
        """Tasks that wait for it: their number, or a function that is asked at each export; the oldest's age in s."""
        self.begun()
        self.doing.queue(depth, oldest_age)

    def evaluation(
        self, name: str, score: float | None = None, label: str = "", *, model: str = "", provider: str = ""
    ) -> None:
        """How good a result was. In a task it is that task's; else it stands for itself."""
        task = self._task()
        if task is not None:
            task.evaluation(name, score, label, model=model, provider=provider)
        else:
            with Block(self, short(name)) as alone:
                alone.judge(name, score, label, model, provider)

    # --- being there

    def __enter__(self) -> Self:
        self.begun()
        with _lock:
            self._entered += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _lock:
            self._entered = max(0, self._entered - 1)
            if self._entered or self._begun_in != Process.generation:
                return
            self._begun_in = -1
        self._roster.end(self, clean=error is None or isinstance(error, _ENDED_ON_PURPOSE))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    # --- for this package

    def begun(self) -> None:
        """Be there, if it is not yet."""
        if self._begun_in != Process.generation:
            with _lock:
                if self._begun_in >= 0:
                    # Forked: what is open is open in the parent.
                    self.doing, self._entered = Doing(), 0
                self._begun_in = Process.generation
            self._roster.begin(self)

    def work(self) -> Work | None:
        """The innermost open task of this agent in this context."""
        task = self._task()
        return None if task is None else task.work

    def _task(self) -> Task | None:
        task = current_task()
        while task is not None and task.agent is not self:
            task = task.outer
        return task


def agent(
    name: str,
    *,
    version: str = "",
    framework: str = "",
    team: str = "",
    model: str = "",
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Agent:
    """The agent of this name in this process. Names are those of roles: no ids, they become labels.

    Providers: of those applications that do not use OpenTelemetry's global ones.
    """
    name = short(name) or "unknown"
    roster = report.roster_of(meter_provider)
    with _lock:
        found = roster.known.get((name, id(tracer_provider)))
        if not isinstance(found, Agent):
            found = Agent(name, roster, tracer_provider)
            roster.known[name, id(tracer_provider)] = found
    return found.describe(version, framework, team, model)


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - a lock cannot be opened by anybody but its holder
    _lock = threading.RLock()
    Process.generation += 1
    report.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
