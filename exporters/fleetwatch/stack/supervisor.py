"""Keeps the programs of the stack running: starts them, watches them, starts again what ended, stops them all.

Of our own and not a library's: the ones that fit (honcho, supervisor) stop everything when one program ends, or need a
configuration file and a daemon of their own; none knows when a program is ready.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fleetwatch.stack.state import Member, State, identity

READY_WITHIN = 90.0
"""Seconds in which a program should be ready; Grafana takes longest: its first start makes a database."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_STABLE_AFTER = 60.0
_HOPELESS_AFTER = 3
"""Starts that failed, after which `up` stops waiting for a program; it is started again all the same."""
_LARGEST_LOG = 20 << 20
_STOP_WITHIN = 15.0


class Service(NamedTuple):
    """One program. ready: URL that answers 200 when it can be used; shown: for people; once: it ends by itself."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    ready: str
    shown: str
    log: Path
    once: bool = False


def answers(url: str, timeout: float = 2.0) -> bool:
    """Whether the URL answers 200."""
    try:
        # A proxy that the environment names must not be asked for loopback addresses.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=timeout) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


class _Running:
    """One service's process, and when it may be started again."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.ready = False
        self.restarts = 0
        self.pause = _SHORTEST_PAUSE
        self.again_at: float | None = None

    def start(self) -> None:
        self.service.log.parent.mkdir(parents=True, exist_ok=True)
        if self.service.log.exists() and self.service.log.stat().st_size > _LARGEST_LOG:
            self.service.log.replace(self.service.log.with_suffix(".old.log"))
        with self.service.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches only the supervisor, which stops the programs in order.
            self.process = subprocess.Popen(
                list(self.service.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.service.env},
                start_new_session=True,
            )
        self.started = time.monotonic()
        self.ready = False
        self.again_at = None

    def member(self) -> Member:
        pid = self.process.pid if self.process else 0
        return Member(pid, identity(pid), self.service.shown, self.service.ready, self.restarts)


class Supervisor:
    """`run` returns when `stop` was called or SIGTERM or SIGINT came, with every program stopped."""

    def __init__(self, services: Sequence[Service], state: State, say: Callable[[str], None]) -> None:
        self._running = [_Running(service) for service in services]
        self._state = state
        self._say = say
        self._stop = threading.Event()
        self._told_ready = False

    def stop(self, *_: object) -> None:
        self._stop.set()

    def run(self, when_ready: Callable[[], None]) -> None:
        """when_ready is called once, when every program is ready or has had its time."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.stop)
        try:
            for running in self._running:
                if self._stop.is_set():
                    break
                self._start(running)
            self._save("starting")
            began = time.monotonic()
            while not self._stop.wait(0.1 if not self._told_ready else 1.0):
                changed = [self._watch(running) for running in self._running]
                overdue = time.monotonic() - began > READY_WITHIN
                if not self._told_ready and (overdue or all(self._settled(running) for running in self._running)):
                    self._told_ready = True
                    for running in self._running:
                        if not running.ready and not running.service.once:
                            self._say(f"{running.service.name} is not ready; see {running.service.log}")
                    when_ready()
                    self._save("up")
                elif any(changed):
                    self._save("up" if self._told_ready else "starting")
        finally:
            self._stop_all()
            self._state.remove()

    def _settled(self, running: _Running) -> bool:
        """Whether waiting longer would tell nothing new."""
        return running.ready or running.service.once or running.restarts >= _HOPELESS_AFTER

    def _start(self, running: _Running) -> None:
        try:
            running.start()
        except OSError as error:
            self._say(f"{running.service.name} cannot be started: {running.service.command[0]}: {error.strerror}")
            self._plan_again(running)

    def _watch(self, running: _Running) -> bool:
        """One look at one program. True when something changed."""
        now = time.monotonic()
        if running.again_at is not None:
            if now < running.again_at:
                return False
            running.restarts += 1
            self._start(running)
            return True
        if running.process is None:
            return False
        status = running.process.poll()
        if status is not None:
            return self._ended(running, status)
        if not running.ready and running.service.ready and answers(running.service.ready):
            running.ready = True
            self._say(f"{running.service.name} is ready after {now - running.started:.1f} s")
            return True
        if running.restarts and now - running.started > _STABLE_AFTER:
            running.pause = _SHORTEST_PAUSE
        return False

    def _ended(self, running: _Running, status: int) -> bool:
        running.process = None
        running.ready = False
        if running.service.once:
            last = f": {_last_line(running.service.log)}" if _last_line(running.service.log) else ""
            self._say(f"{running.service.name} has ended with status {status}{last}")
            return True
        self._plan_again(running)
        self._say(
            f"{running.service.name} ended with status {status}, again in {running.pause:.0f} s; "
            f"{_last_line(running.service.log)} (log: {running.service.log})"
        )
        running.pause = min(running.pause * 2, _LONGEST_PAUSE)
        return True

    def _plan_again(self, running: _Running) -> None:
        running.again_at = time.monotonic() + running.pause

    def _stop_all(self) -> None:
        """In reverse order, and first those that send to the others: their last word shall arrive.

        SIGKILL for what does not listen.
        """
        deadline = time.monotonic() + _STOP_WITHIN
        alive = [running for running in reversed(self._running) if running.process and running.process.poll() is None]
        self._end([running for running in alive if running.service.once], deadline)
        self._end([running for running in alive if not running.service.once], deadline)

    def _end(self, alive: Sequence[_Running], deadline: float) -> None:
        for running in alive:
            if running.process:
                running.process.terminate()
        for running in alive:
            if running.process is None:
                continue
            try:
                running.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"{running.service.name} did not stop in {_STOP_WITHIN:.0f} s and is killed")
                running.process.kill()
                running.process.wait()

    def _save(self, phase: str) -> None:
        self._state.save(
            phase, {running.service.name: running.member() for running in self._running if running.process}
        )


def _last_line(log: Path) -> str:
    """Last line of a log, printable, at most 200 characters."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return "".join(char if char.isprintable() else " " for char in lines[-1])[:200] if lines else ""
