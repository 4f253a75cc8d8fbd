"""Beats in, series out: what agents are doing, and which of them are missing."""

from __future__ import annotations

from typing import Any

import pytest

from fleetwatch.app.agents import Agents
from fleetwatch.catalogue import agents, exporter
from fleetwatch.catalogue.metric import Metric
from fleetwatch.ledger.agent_roster import AgentChanges
from fleetwatch.ledger.roster import Request
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.agents import AgentBeat, AgentRun
from fleetwatch.settings import from_dict
from support_program import Series, labels, samples

START = 1_800_000_000 * SECOND


class Desk:
    """Agents before a meter, with a clock."""

    def __init__(self, **sections: Any) -> None:
        self.now = START
        self.hosts: dict[str, str] = {}
        self.settings = from_dict(sections)
        self._make()

    def _make(self) -> None:
        limits = self.settings.labels.limits
        self.meter = Meter(overflow=exporter.LABEL_OVERFLOW, limits=limits)
        self.agents = Agents(self.settings, self.meter, self.hosts.get, lambda: self.now)

    def beat(self, agent: str = "coder", instance: str = "1", host: str = "node-1", **fields: Any) -> None:
        told = {"interval": 10 * SECOND, **fields}
        self.agents.take(AgentBeat(agent, "core", instance, host, told.pop("at", self.now), **told))

    def after(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)

    def restart(self) -> None:
        changes = self.agents.changes()
        self._make()
        self.agents.load(changes.processes)

    def shown(self, metric: Metric) -> dict[Series, float]:
        self.agents.watch()
        text = exposition(self.meter, openmetrics=False)
        lines = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
        assert len(lines) == len(set(lines)), "a series stands twice: Prometheus would drop the scrape"
        return samples(text).get(metric.prometheus, {})

    def presence(self, agent: str = "coder") -> dict[str, float]:
        """The presences that are not 0."""
        return {
            dict(series)["presence"]: value
            for series, value in self.shown(agents.PRESENCE).items()
            if value and ("agent", agent) in series
        }

    def value(self, metric: Metric, **who: str) -> float:
        return self.shown(metric)[labels(**who)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_agent_is_shown_with_what_it_says(desk: Desk) -> None:
    desk.beat(state="working", version="1.2", framework="langgraph", model="gpt-4o", progress=START - 5 * SECOND,
              open_tasks=2, queue_depth=7, queue_age=3.5)  # fmt: skip
    info = {"agent": "coder", "team": "core", "host_name": "node-1", "version": "1.2", "framework": "langgraph"}
    assert desk.shown(agents.INFO) == {labels(**info, model="gpt-4o"): 1}
    assert desk.value(agents.STATE, agent="coder", state="working") == 1
    assert sum(desk.shown(agents.STATE).values()) == 1
    assert desk.value(agents.LAST_HEARTBEAT, agent="coder", host_name="node-1") == START / SECOND
    assert desk.value(agents.LAST_PROGRESS, agent="coder", host_name="node-1") == START / SECOND - 5
    assert desk.value(agents.HEARTBEAT_INTERVAL, agent="coder", host_name="node-1") == 10
    assert desk.value(agents.OPEN_TASKS, agent="coder") == 2
    assert desk.value(agents.QUEUE_DEPTH, agent="coder") == 7
    assert desk.value(agents.QUEUE_AGE, agent="coder") == 3.5


def test_processes_of_one_agent_add_up_and_the_worst_off_is_timed(desk: Desk) -> None:
    desk.beat(instance="1", state="working", open_tasks=1, progress=START - 60 * SECOND)
    desk.after(5)
    desk.beat(instance="2", state="idle", open_tasks=2, progress=desk.now)
    desk.beat(instance="3", host="node-2", state="working", interval=20 * SECOND)
    assert desk.value(agents.STATE, agent="coder", state="working") == 2
    assert desk.value(agents.OPEN_TASKS, agent="coder") == 3
    assert desk.value(agents.LAST_HEARTBEAT, agent="coder", host_name="node-1") == START / SECOND
    assert desk.value(agents.LAST_PROGRESS, agent="coder", host_name="node-1") == START / SECOND - 60
    assert desk.value(agents.PRESENCE, agent="coder", host_name="node-1", presence="reporting") == 2


def test_who_may_stand_still_hides_nobody_and_is_not_blamed(desk: Desk) -> None:
    """Idle and waiting processes beside one that works: the one at work is timed."""
    who = {"agent": "coder", "host_name": "node-1"}
    desk.beat(instance="idle", state="idle", progress=START - 3600 * SECOND)
    desk.beat(instance="asks", state="waiting_human", progress=START - 1800 * SECOND)
    assert desk.value(agents.AT_WORK, **who) == 0
    assert desk.value(agents.LAST_PROGRESS, **who) == START / SECOND - 1800
    desk.beat(instance="fast", state="working", progress=START)
    desk.beat(instance="hangs", state="waiting_tool", progress=START - 60 * SECOND)
    desk.beat(instance="far", host="node-2", state="idle", progress=START - 900 * SECOND)
    assert desk.value(agents.AT_WORK, **who) == 2
    assert desk.value(agents.LAST_PROGRESS, **who) == START / SECOND - 60
    assert desk.value(agents.AT_WORK, agent="coder", host_name="node-2") == 0
    desk.after(20)
    desk.beat(instance="fast", state="working", progress=desk.now)
    desk.after(15)
    assert desk.value(agents.AT_WORK, **who) == 1, "who is missing is not at work"
    assert desk.value(agents.LAST_PROGRESS, **who) == START / SECOND + 20


def test_silence_goodbye_a_gone_host_and_a_return(desk: Desk) -> None:
    desk.beat()
    desk.after(30)
    assert desk.presence() == {"missing": 1}
    assert sum(desk.shown(agents.STATE).values()) == 0
    desk.hosts["node-1"] = "reclaimed"
    assert desk.presence() == {"host_gone": 1}
    desk.beat()
    assert desk.presence() == {"reporting": 1}
    desk.after(1)
    desk.beat(goodbye=True)
    assert desk.presence() == {"goodbye": 1}
    assert desk.shown(agents.LAST_HEARTBEAT) == {}
    desk.after(301)
    assert desk.presence() == {}


def test_a_new_pod_takes_the_place_of_the_one_that_was_killed(desk: Desk) -> None:
    desk.beat(instance="pod-1")
    desk.after(60)
    assert desk.presence() == {"missing": 1}
    desk.beat(instance="pod-2", host="node-2")
    assert desk.presence() == {"reporting": 1}
    desk.after(30)
    assert desk.presence() == {"missing": 1}


def test_an_expected_agent_that_never_came(desk: Desk) -> None:
    desk = Desk(agents={"expected": ["reviewer"]})
    assert desk.presence("reviewer") == {"never_seen": 1}
    desk.beat("reviewer")
    assert desk.presence("reviewer") == {"reporting": 1}
    desk.after(1)
    desk.beat("reviewer", goodbye=True)
    desk.after(86_400)
    assert desk.presence("reviewer") == {"goodbye": 1}, "it has been there"
    desk.beat("reviewer", instance="2")
    desk.after(1)
    assert desk.presence("reviewer") == {"reporting": 1}


def test_nobody_is_missed_after_a_restart_who_had_no_time_to_report(desk: Desk) -> None:
    desk.beat(state="working")
    desk.after(3600)
    desk.restart()
    assert desk.presence() == {"reporting": 1}
    desk.after(30)
    assert desk.presence() == {"missing": 1}
    assert desk.value(agents.LAST_HEARTBEAT, agent="coder", host_name="node-1") == START / SECOND


def test_spans_alone_show_progress_and_nothing_else(desk: Desk) -> None:
    run = AgentRun(b"s" * 24, b"", START - 9 * SECOND, START - 3 * SECOND, "planner", "core", "ok", "completed")
    desk.agents.work([run, run._replace(at=START - 6 * SECOND)])
    assert desk.shown(agents.LAST_PROGRESS) == {labels(agent="planner", host_name=""): START / SECOND - 3}
    assert desk.shown(agents.PRESENCE) == {}
    desk.after(86_400)
    assert desk.shown(agents.LAST_PROGRESS) == {}


def test_agents_and_processes_are_bounded_and_newcomers_counted() -> None:
    desk = Desk(agents={"max_processes": 3}, labels={"limits": {"agent": 2}})
    for name in ("a", "b", "c"):
        desk.beat(name)
    for instance in ("2", "3"):
        desk.beat("a", instance)
    assert {dict(series)["agent"] for series in desk.shown(agents.INFO)} == {"a", "b"}
    assert desk.value(agents.PRESENCE, agent="a", host_name="node-1", presence="reporting") == 2
    assert desk.shown(agents.REJECTED) == {labels(): 2}
    desk.after(1)
    desk.beat("b", goodbye=True)
    desk.beat("a", "3")
    assert desk.value(agents.PRESENCE, agent="a", host_name="node-1", presence="reporting") == 3


def test_a_full_roster_has_room_for_who_takes_a_missing_one_s_place() -> None:
    desk = Desk(agents={"max_processes": 2})
    desk.beat("a")
    desk.beat("b")
    desk.after(60)
    assert (desk.presence("a"), desk.presence("b")) == ({"missing": 1}, {"missing": 1})
    desk.beat("a", "2")
    assert (desk.presence("a"), desk.presence("b")) == ({"reporting": 1}, {"missing": 1})
    desk.beat("c")
    assert desk.presence("c") == {}, "an alert must not end for want of room"
    assert desk.shown(agents.REJECTED) == {labels(): 1}


def test_what_is_forgotten_is_gone_from_the_ledger_too(desk: Desk) -> None:
    desk.beat()
    desk.agents.written(desk.agents.changes())
    desk.agents.obey([Request(1, "coder", "forget"), Request(2, "coder", "confirm")])
    assert desk.presence() == {"reporting": 1}, "those are about a host"
    desk.agents.obey([Request(3, "coder", "forget_agent"), Request(4, "nobody", "forget_agent")])
    assert desk.presence() == {}
    assert desk.agents.changes() == AgentChanges([], [("coder", "node-1", "1")])


def test_only_changes_are_written(desk: Desk) -> None:
    desk.beat("a")
    desk.beat("b")
    desk.agents.written(desk.agents.changes())
    desk.after(5)
    desk.beat("b", state="idle")
    [process] = desk.agents.changes().processes
    assert (process.agent, process.state) == ("b", "idle")
