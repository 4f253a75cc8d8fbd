"""Runs that fell silent: which of them are given up, and why.

A run whose sender reports at intervals is given up when several of its reports are missing; one that tells only its
beginning and its end, after a day. Times are Unix nanoseconds by this machine's clock unless told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from fleetwatch.app.pipelines.hosts import Machine
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.pipelines import Run, RunReport, RunWithPhases
from fleetwatch.settings import Settings

LEAST = 15 * SECOND
"""Silence that is borne at least: reports are on the way for seconds, and a busy machine misses some."""
DEAF = 10 * SECOND
"""Time between two looks past which nobody was listening: the process stood still, or its clock was moved."""
PATIENCE = 300 * SECOND
"""How long a run waits for word of its machine before it is given up without."""
GONE = frozenset({"goodbye", "reclaimed", "missing"})
"""States in the roster of hosts of those that are there no more."""


class Judge:
    """machine: what is known of a run's machine by its name, None for one that never reported."""

    def __init__(
        self,
        settings: Settings,
        machine: Callable[[str], Machine | None],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._lost_after = settings.pipelines.lost_after
        self._silent_after = int(settings.pipelines.silent_after * SECOND)
        self._machine = machine
        self._clock = clock
        self._listening = clock()
        """Since when reports could be heard without a break."""
        self._looked = self._listening

    def judge(self, runs: Collection[RunWithPhases]) -> list[RunReport]:
        """The ends of those that are given up. Called every second while reports can be taken, and only then.

        runs: those under way. After a break all have the time again in which to report.
        """
        now = self._clock()
        if not 0 <= now - self._looked <= DEAF:
            self._listening = now
        self._looked = now
        # All are asked about each time: that memory ran out is seen only against what was before.
        machines = {host: self._machine(host) for host in {run.run.host for run in runs}}
        found = []
        for run in runs:
            reason = self._reason(run, machines[run.run.host], now)
            if reason:
                found.append(_end(run, reason, now))
        return found

    def _reason(self, run: RunWithPhases, machine: Machine | None, now: int) -> str:
        """Why it is given up; empty while it is not."""
        interval = run.run.interval
        # Heard after now: our clock led, and was set right since.
        silent = max(run.run.seen, self._listening) if run.run.seen <= now else self._listening
        due = silent + (self._silent_after if interval is None else max(LEAST, int(self._lost_after * interval)))
        if now < due:
            return ""
        if machine is None:
            return "lost"
        if machine.state in GONE:
            return "host_gone"
        # The machine outlived the run only if it reported when the run should have; the report with a fresh look tells
        # whether memory had run out, and its silence that it is gone.
        if machine.heard < silent + max(interval or 0, machine.age):
            return "lost" if now >= due + PATIENCE else ""
        return "oom_killed" if _was_for_memory(run.run, machine) else "died"


def _was_for_memory(run: Run, machine: Machine) -> bool:
    """Whether a kill falls into the time in which the run died: before its next report, and as its machine tells it.

    One interval of both more for reports that are late: a kill of somebody else long after has nothing to do with it.
    """
    since = _last_sign(run)
    until = max(run.seen, since) + 2 * (run.interval or 0) + machine.age + 2 * machine.interval
    return any(since <= kill <= until for kill in machine.kills)


def _last_sign(run: Run) -> int:
    """When the run was surely alive: its newest report may have been on the way for a while, but clocks differ."""
    return max(min(run.sent, run.seen), run.seen - (run.interval or 0))


def _end(run: RunWithPhases, reason: str, now: int) -> RunReport:
    told = run.run
    newest = max([told.sent, told.started, *(phase.sent for phase in run.phases)])
    return RunReport(
        told.pipeline, told.run, now, state="ended", result="error", reason=reason, ended=newest, source="judged"
    )
