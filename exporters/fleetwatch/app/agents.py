"""Agents that say of themselves that they are there: their series, and the roster of their processes.

A process is known by agent, host and instance. Its series are those of its agent: several processes of one agent add up
where they are counted, and the one that is worst off is shown where they are timed.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

from fleetwatch.catalogue import agents
from fleetwatch.catalogue.metric import Sample
from fleetwatch.ledger.agent_roster import AgentChanges
from fleetwatch.ledger.roster import Request
from fleetwatch.meter import Meter
from fleetwatch.reckon import presence
from fleetwatch.reckon.presence import Key, Rules
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.agents import AgentBeat, AgentProcess, AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall
from fleetwatch.settings import Settings

log = logging.getLogger(__name__)

ROSTER = "agents"
"""The meter's source for those without a process; each of the others is a source of its own, as hosts are."""


def rules_of(settings: Settings) -> Rules:
    section = settings.agents
    return Rules(
        frozenset(section.expected),
        section.missing_after,
        forget_after=int(section.forget_after * SECOND),
    )


class _Load:
    """What a process said of its work: not in the ledger, for the next beat says it again."""

    __slots__ = ("open_tasks", "queue_age", "queue_depth")

    def __init__(self) -> None:
        self.open_tasks: int | None = None
        self.queue_depth: int | None = None
        self.queue_age: float | None = None


class Agents:
    """All agents that send to this exporter. host_state: state of a host in the roster of hosts, if it is known."""

    def __init__(
        self,
        settings: Settings,
        meter: Meter,
        host_state: Callable[[str], str | None],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._rules = rules_of(settings)
        self._most = settings.agents.max_processes
        # Past the label's bound the meter could only mix them up.
        self._most_agents = settings.labels.limits.get(agents.AGENT.name, agents.AGENT.at_most)
        self._meter = meter
        self._host_state = host_state
        self._clock = clock
        self._started = clock()
        self._processes: dict[Key, AgentProcess] = {}
        self._loads: dict[Key, _Load] = {}
        self._stand_ins: dict[Key, Key] = {}
        """Newcomers -> the process whose place each took."""
        self._worked: dict[str, int] = {}
        """Agent -> when its newest span ended."""
        self._unwritten: set[Key] = set()
        self._forgotten: set[Key] = set()
        self._names: dict[str, set[Key]] = {}
        """Agent -> its processes."""
        self._changed: set[str] = set()
        """Agents whose series are to be made anew."""
        self._full = False
        meter.add(agents.REJECTED, (), 0)

    # --- what comes in

    def take(self, beat: AgentBeat) -> None:
        """Note that a process of an agent is there."""
        key = presence.key_of(beat)
        before = self._processes.get(key)
        if before is None and not self._has_room(beat.agent):
            self._meter.add(agents.REJECTED, (), 1)
            return
        process = presence.hear(before, beat, self._clock())
        if process is None:
            return
        self._keep(process)
        load = self._loads.setdefault(key, _Load())
        if beat.open_tasks is not None:
            load.open_tasks = beat.open_tasks
        if beat.queue_depth is not None:
            load.queue_depth = beat.queue_depth
        if beat.queue_age is not None:
            load.queue_age = beat.queue_age

    def work(self, records: Iterable[LlmCall | ToolCall | AgentRun]) -> None:
        """Spans of agents show that they got on, also of those that send no beats."""
        now = self._clock()
        for record in records:
            at = min(record.at, now)
            if at <= self._worked.get(record.agent, 0):
                continue
            if record.agent in self._worked or len(self._worked) < self._most_agents:
                self._worked[record.agent] = at

    def obey(self, requests: Iterable[Request]) -> None:
        """Do what was asked for at the terminal."""
        for _, name, wish in requests:
            if wish == "forget_agent":
                self._forget(name)

    def _forget(self, agent: str) -> None:
        for key in list(self._names.get(agent, ())):
            self._drop(key)
        self._worked.pop(agent, None)

    # --- the roster

    def watch(self) -> None:
        """Find out who has fallen silent, who was replaced and whose time is over, and show the roster as of now."""
        now = self._clock()
        for key, process in list(self._processes.items()):
            seen = presence.watch(process, now, self._started, self._rules)
            if seen is not process:
                self._keep(seen)
            if presence.is_past(seen, now, self._rules) and not self._is_last_expected(seen):
                self._drop(key)
        for old, new in presence.replaced(self._processes.values(), set(self._stand_ins)).items():
            self._stand_ins[new] = old
            self._drop(old)
        for agent, at in list(self._worked.items()):
            if now - at >= self._rules.forget_after:
                del self._worked[agent]
        self._show()

    def _is_last_expected(self, process: AgentProcess) -> bool:
        """Whether an agent that the settings expect would seem never to have been there without this one."""
        return process.agent in self._rules.expected and len(self._names[process.agent]) == 1

    def _show(self) -> None:
        """The series of agents that changed; of those with silent processes, whose hosts may have gone meanwhile."""
        silent = {process.agent for process in self._processes.values() if process.silent_at is not None}
        for agent in self._changed | silent:
            processes = [self._processes[key] for key in sorted(self._names.get(agent, ()))]
            self._meter.replace(f"agent/{agent}", self._agent(agent, processes) if processes else ())
        self._changed.clear()
        self._meter.replace(ROSTER, self._others())

    def _others(self) -> Iterator[Sample]:
        """Of agents without a process that reports: those that the settings expect, and those seen by their spans."""
        for agent in sorted(self._rules.expected - self._names.keys()):
            yield from _presences(agent, "", Counter({"never_seen": 1}))
        for agent, at in self._worked.items():
            # Where a process tells its own progress, that is the better word.
            if agent not in self._names:
                yield agents.LAST_PROGRESS(at / SECOND, agent=agent, host_name="")

    def _agent(self, agent: str, processes: list[AgentProcess]) -> Iterator[Sample]:
        by_host: dict[str, list[AgentProcess]] = defaultdict(list)
        for process in processes:
            by_host[process.host].append(process)
        for host, there in by_host.items():
            yield from self._host(agent, host, there)
        present = [process for process in processes if presence.is_there(process)]
        states = Counter(process.state for process in present)
        if any(process.state for process in processes):
            for state in agents.STATE_VALUE.one_of:
                yield Sample(agents.STATE, (agent, state), states[state])
        loads = [load for process in present if (load := self._loads.get(process[:3])) is not None]
        open_tasks = [load.open_tasks for load in loads if load.open_tasks is not None]
        if open_tasks:
            yield agents.OPEN_TASKS(sum(open_tasks), agent=agent)
        depths = [load.queue_depth for load in loads if load.queue_depth is not None]
        if depths:
            yield agents.QUEUE_DEPTH(sum(depths), agent=agent)
        ages = [load.queue_age for load in loads if load.queue_age is not None]
        if ages:
            yield agents.QUEUE_AGE(max(ages), agent=agent)

    def _host(self, agent: str, host: str, processes: list[AgentProcess]) -> Iterator[Sample]:
        host_state = self._host_state(host) if host else None
        words = Counter(presence.presence(process, host_state) for process in processes)
        yield from _presences(agent, host, words)
        named = {(process.team, process.version, process.framework, process.model) for process in processes}
        for team, version, framework, model in sorted(named):
            yield agents.INFO(
                1, agent=agent, team=team, host_name=host, version=version, framework=framework, model=model
            )
        left = [process for process in processes if process.goodbye_at is None]
        if not left:
            return
        who = {"agent": agent, "host_name": host}
        yield agents.LAST_HEARTBEAT(min(process.last_report for process in left) / SECOND, **who)
        yield agents.HEARTBEAT_INTERVAL(max(process.interval for process in left) / SECOND, **who)
        at_work = sum(presence.is_there(process) and process.state in presence.AT_WORK for process in left)
        yield agents.AT_WORK(at_work, **who)
        progress = presence.progress(left)
        if progress is not None:
            yield agents.LAST_PROGRESS(progress / SECOND, **who)

    def _has_room(self, agent: str) -> bool:
        if agent in self._names or len(self._names) < self._most_agents:
            if len(self._processes) < self._most:
                return True
            if (leaver := presence.makes_room(self._processes.values(), agent)) is not None:
                self._drop(leaver[:3])
                return True
        if not self._full:
            self._full = True
            log.warning(
                "agent %r was not taken: there are %d agents (labels.limits.agent: %d) in %d processes "
                "(agents.max_processes: %d)",
                agent, len(self._names), self._most_agents, len(self._processes), self._most,
            )  # fmt: skip
        return False

    def _keep(self, process: AgentProcess) -> None:
        key = process[:3]
        self._processes[key] = process
        self._names.setdefault(key[0], set()).add(key)
        self._changed.add(key[0])
        self._unwritten.add(key)
        self._forgotten.discard(key)

    def _drop(self, key: Key) -> None:
        if self._processes.pop(key, None) is not None:
            self._names[key[0]].discard(key)
            if not self._names[key[0]]:
                del self._names[key[0]]
            self._changed.add(key[0])
            self._loads.pop(key, None)
            self._stand_ins.pop(key, None)
            self._unwritten.discard(key)
            self._forgotten.add(key)

    # --- the ledger

    def load(self, known: Iterable[AgentProcess]) -> None:
        """Remember what an earlier process knew. What was heard meanwhile is newer."""
        for old in known:
            key = old[:3]
            process = self._processes.get(key)
            if process is None and key not in self._forgotten:
                self._keep(old)
                self._unwritten.discard(key)
            elif process is not None:
                self._keep(process._replace(first_seen=old.first_seen))
        self.watch()

    def changes(self) -> AgentChanges:
        """What the ledger does not know yet."""
        return AgentChanges([self._processes[key] for key in self._unwritten], list(self._forgotten))

    def written(self, changes: AgentChanges) -> None:
        """The ledger knows these changes now."""
        self._unwritten.difference_update(process[:3] for process in changes.processes)
        self._forgotten.difference_update(changes.forgotten)


def _presences(agent: str, host: str, words: Counter[str]) -> Iterator[Sample]:
    # Most series of an agent are these and its states. Made by name, they would take half of the time of a scrape.
    for word in agents.PRESENCE_VALUE.one_of:
        yield Sample(agents.PRESENCE, (agent, host, word), words[word])
