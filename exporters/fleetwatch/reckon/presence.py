"""Which processes of agents are there, which have left, which are missing: judged from beats and the clock.

As the roster of hosts (roster.py), with two differences: a process that fell silent on a host that is gone is not
missing by itself, and one whose place another process of its agent has taken is forgotten: pods and workers are
replaced under new names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from fleetwatch.reckon.pulse import SECOND, bounded, heard
from fleetwatch.records.agents import AgentBeat, AgentProcess

USUAL = 60 * SECOND
"""Interval of a process that does not tell its own: that of OpenTelemetry's metric reader."""
GONE = frozenset({"goodbye", "reclaimed", "missing", "notice"})
"""States of a host whose agents' silence is the host's. Notice: it was about to be taken away when they fell silent."""
AT_WORK = frozenset({"working", "waiting_tool"})
"""States in which a process ought to get on."""

Key = tuple[str, str, str]
"""Agent, host, instance."""


class Rules(NamedTuple):
    """The settings. Durations in nanoseconds."""

    expected: frozenset[str] = frozenset()
    missing_after: float = 3.0
    """Of a process's own intervals."""
    least: int = 15 * SECOND
    most: int = 900 * SECOND
    """Bounds of the silence after which a process is missed."""
    forget_after: int = 86400 * SECOND
    goodbye_shown: int = 300 * SECOND
    """How long a process is shown that said goodbye."""


def key_of(beat: AgentBeat) -> Key:
    return beat.agent, beat.host, beat.instance


def hear(process: AgentProcess | None, beat: AgentBeat, now: int) -> AgentProcess | None:
    """The process after a beat; None when the beat is older than what is known. process: None for a new one."""
    at = min(beat.at, now)
    if process is None:
        first = AgentProcess(beat.agent, beat.host, beat.instance, beat.team, now, now, at, now - at, USUAL)
        return _told(first, beat)
    if at < process.sent:
        return None
    if at > process.sent:
        last, lag = heard(process.last_report, process.lag, process.interval, at, now)
        process = process._replace(sent=at, lag=lag, last_report=last, goodbye_at=None, silent_at=None)
    return _told(process, beat)


def _told(process: AgentProcess, beat: AgentBeat) -> AgentProcess:
    progress = process.progress
    if beat.progress is not None:
        # By our clock; a sender cannot have got on later than it was heard.
        progress = min(beat.progress + process.lag, process.last_report)
    return process._replace(
        team=beat.team or process.team,
        interval=process.interval if beat.interval is None else bounded(beat.interval),
        progress=progress,
        state=process.state if beat.state is None else beat.state,
        version=beat.version or process.version,
        framework=beat.framework or process.framework,
        model=beat.model or process.model,
        goodbye_at=process.last_report if beat.goodbye else process.goodbye_at,
        silent_at=None if beat.goodbye else process.silent_at,
    )


def watch(process: AgentProcess, now: int, started: int, rules: Rules) -> AgentProcess:
    """The process as of now: silent when its next beats are overdue.

    started: when we began to listen. Before it no beat could be heard, so the wait begins there.
    """
    if process.goodbye_at is not None or process.silent_at is not None:
        return process
    patience = min(max(int(rules.missing_after * process.interval), rules.least), rules.most)
    due = max(process.last_report, started) + patience
    return process._replace(silent_at=due) if now >= due else process


def presence(process: AgentProcess, host_state: str | None) -> str:
    """One of the catalogue's values, of a process that was watched as of now. host_state: of its host, if known."""
    if process.goodbye_at is not None:
        return "goodbye"
    if process.silent_at is None:
        return "reporting"
    return "host_gone" if host_state in GONE else "missing"


def is_there(process: AgentProcess) -> bool:
    """Whether it reports, of a process that was watched as of now."""
    return process.goodbye_at is None and process.silent_at is None


def progress(processes: Iterable[AgentProcess]) -> int | None:
    """When processes that do the same work last got on; None where none of them says so.

    One at work that hangs is not hidden by others, and one that has nothing to do is no sign of anything.
    """
    told = [(process, process.progress) for process in processes if process.progress is not None]
    at_work = [at for process, at in told if is_there(process) and process.state in AT_WORK]
    return min(at_work) if at_work else max((at for _, at in told), default=None)


def is_past(process: AgentProcess, now: int, rules: Rules) -> bool:
    """Whether it has been gone for so long that it is forgotten."""
    if process.goodbye_at is not None:
        return now - process.goodbye_at >= rules.goodbye_shown
    return process.silent_at is not None and now - process.silent_at >= rules.forget_after


def makes_room(processes: Collection[AgentProcess], agent: str) -> AgentProcess | None:
    """The process to forget for a new one of `agent` where the roster is full, if any.

    The one that left first, else a silent one whose place the new one takes. None that another agent misses: an alert
    must not end because somebody else needed the room.
    """
    left = [process for process in processes if process.goodbye_at is not None]
    if left:
        return min(left, key=lambda process: process.goodbye_at or 0)
    silent = [process for process in processes if process.silent_at is not None and process.agent == agent]
    return min(silent, key=lambda process: process.silent_at or 0, default=None)


def replaced(processes: Collection[AgentProcess], taken: set[Key]) -> dict[Key, Key]:
    """Silent processes -> the process of their agent that came after they fell silent and reports; one for each.

    taken: newcomers that stand for somebody already; they stand for nobody else.
    """
    silent: dict[str, list[AgentProcess]] = defaultdict(list)
    newcomers: dict[str, list[AgentProcess]] = defaultdict(list)
    for process in processes:
        if process.silent_at is not None:
            silent[process.agent].append(process)
    for process in processes:
        if process.agent in silent and is_there(process) and process[:3] not in taken:
            newcomers[process.agent].append(process)
    found: dict[Key, Key] = {}
    for agent, gone in silent.items():
        free = sorted(newcomers.get(agent, ()), key=lambda one: one.first_seen)
        for old in sorted(gone, key=lambda one: one.last_report):
            place = next((place for place, new in enumerate(free) if new.first_seen >= old.last_report), None)
            if place is not None:
                new = free.pop(place)
                found[old[:3]] = new[:3]
    return found
