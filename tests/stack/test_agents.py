"""Faults of real agents, from the fault to the alert: `fleetwatch.instrument`, the SDK, the exporter, Prometheus.

Rules and alerts are the shipped ones but for numbers: an agent is stuck after STUCK seconds instead of ten minutes, and
AgentMissing ends HOLD seconds after its reason does instead of a minute. All faults happen at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from fleetwatch.catalogue import agents, hosts
from fleetwatch.catalogue.metric import Metric
from fleetwatch.places import PROJECT
from support import wait_for
from support_agents import BEAT, CALLS, Agents, started_agents
from support_hosts import FakeHost
from support_house import House
from support_prometheus import Prometheus, running_prometheus
from support_stack import releases

pytestmark = pytest.mark.stack

STUCK = 10
HOLD = 5
GENERATIONS = ("2.42", "3.")
Alert = tuple[str, str]
"""Name and agent."""

RIGHT: set[Alert] = {
    ("AgentMissing", "coder"),
    ("AgentStuck", "deployer"),
    ("AgentWaitsForHuman", "escalation"),
    ("AgentLooping", "test-fixer"),
}


class Story(NamedTuple):
    """What came of it. Times are Unix seconds.

    faults: by agent; fired, ended, ever, replaced: by generation of Prometheus; ever: all alerts of agents that fired
    at any time; presences, states: of agents while all alerts fire, those above zero; host: state of the spot host.
    """

    faults: dict[str, float]
    fired: dict[str, dict[Alert, float]]
    presences: dict[str, dict[str, float]]
    states: dict[str, dict[str, float]]
    streaks: dict[str, float]
    tool_calls: dict[str, float]
    host: list[str]
    ended: dict[str, float]
    ever: dict[str, set[Alert]]
    replaced: dict[str, float | None]


def hurried(folder: Path) -> list[Path]:
    """Copies of the shipped rules with other numbers."""
    numbers = {"agents:threshold:stuck_seconds": STUCK, "agents:threshold:stuck_beats": STUCK / BEAT}
    copies = []
    for kind in ("rules/agents", "rules/hosts", "alerts/agents", "alerts/agents_work", "alerts/hosts"):
        data: dict[str, Any] = yaml.safe_load((PROJECT / "prometheus" / f"{kind}.yml").read_text(encoding="utf-8"))
        for rule in (rule for group in data["groups"] for rule in group["rules"]):
            if (number := numbers.pop(rule.get("record", ""), None)) is not None:
                rule["expr"] = f"vector({number})"
            if rule.get("alert") == "AgentMissing":
                rule["keep_firing_for"] = f"{HOLD}s"
        copies.append(folder / f"{kind.replace('/', '-')}.yml")
        copies[-1].write_text(yaml.safe_dump(data), encoding="utf-8")
    assert not numbers, numbers
    return copies


def firing(prometheus: Prometheus, expression: str = 'ALERTS{alertstate="firing",domain="agents"}') -> set[Alert]:
    found = (dict(series) for series in prometheus.query(expression))
    return {(labels["alertname"], labels.get("agent", "")) for labels in found}


class Stage:
    """The exporter, the Prometheus servers and the applications."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.house = stack.enter_context(House(folder / "exporter", {"roster": {"missing_after": 2}}))
        rules = hurried(folder)
        programs = {
            generation: str(path)
            for version, path in releases("prometheus")
            for generation in GENERATIONS
            if version.startswith(generation)
        }
        if not programs:
            pytest.skip("Prometheus is not on this machine")
        self.servers = {
            generation: stack.enter_context(
                running_prometheus(program, folder / generation, {"fleetwatch": self.house.web}, rules=rules)
            )
            for generation, program in programs.items()
        }
        self.fired: dict[str, dict[Alert, float]] = {generation: {} for generation in self.servers}
        self.ended: dict[str, float] = {}

    def start(self, host: str, **plays: str) -> Agents:
        given = {name.replace("_", "-"): play for name, play in plays.items()}
        log = self.folder / "applications.log"
        return self._stack.enter_context(started_agents(self.house.http, host, given, log))

    def are_at_work(self, names: set[str]) -> bool:
        """Whether the servers have seen that these agents work."""
        query = f"sum by (agent) ({agents.AT_WORK.prometheus}) > 0"
        seen = [{dict(labels)["agent"] for labels in server.query(query)} for server in self.servers.values()]
        return all(found >= names for found in seen)

    def note(self) -> bool:
        """Write down which alerts fire; whether all that should have."""
        for generation, server in self.servers.items():
            for alert in firing(server):
                self.fired[generation].setdefault(alert, time.time())
        return all(fired.keys() >= RIGHT for fired in self.fired.values())

    def note_end(self) -> bool:
        """Write down when AgentMissing is over; whether it is everywhere."""
        for generation, server in self.servers.items():
            if ("AgentMissing", "coder") not in firing(server):
                self.ended.setdefault(generation, time.time())
        return self.ended.keys() == self.servers.keys()

    def by_agent(self, metric: Metric) -> dict[str, float]:
        return {dict(series)["agent"]: value for series, value in self.house.metrics(metric.prometheus).items()}

    def above_zero(self, metric: Metric, label: str) -> dict[str, dict[str, float]]:
        """By agent: the label's values whose sums are above zero."""
        found: dict[str, dict[str, float]] = {}
        for series, value in self.house.metrics(metric.prometheus).items():
            labels = dict(series)
            sums = found.setdefault(labels["agent"], {})
            if value:
                sums[labels[label]] = sums.get(labels[label], 0) + value
        return found


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with ExitStack() as stack:
        stage = Stage(tmp_path_factory.mktemp("agents"), stack)
        yield play(stage, stack)


def play(stage: Stage, stack: ExitStack) -> Story:
    faults = break_everything(stage, stack)
    wait_for(stage.note, 60, f"{RIGHT}; so far {stage.fired}", 0.2)
    house = stage.house
    during = (
        stage.above_zero(agents.PRESENCE, "presence"),
        stage.above_zero(agents.STATE, "state"),
        stage.by_agent(agents.LOOP_STREAK),
        stage.by_agent(agents.TOOL_CALLS),
        [dict(series)["state"] for series, value in house.metrics(hosts.STATE.prometheus).items()
         if value and ("host_name", "spot-1") in series],
    )  # fmt: skip
    faults["back"] = time.time()
    stage.start("node-1", coder="works")
    wait_for(stage.note_end, 40, "AgentMissing to end", 0.2)
    ever = 'max by (alertname, agent) (max_over_time(ALERTS{alertstate="firing",domain="agents"}[10m]))'
    missing = 'max(max_over_time(agents:processes:count{agent="pod",presence="missing"}[10m]))'
    servers = stage.servers.items()
    return Story(
        faults,
        stage.fired,
        *during,
        stage.ended,
        {generation: firing(server, ever) for generation, server in servers},
        {generation: server.value(missing) for generation, server in servers},
    )


def break_everything(stage: Stage, stack: ExitStack) -> dict[str, float]:
    """Start all agents, wait until Prometheus has seen them, and let happen what can; when each fault was."""
    spot = FakeHost("spot-1", stage.house.http)
    stack.callback(spot.close)
    coder, polite = stage.start("node-1", coder="works"), stage.start("node-1", polite="works")
    hanging, asking = stage.start("node-1", deployer="hangs"), stage.start("node-1", escalation="asks")
    crawler, pod = stage.start("spot-1", crawler="works"), stage.start("node-2", pod="works")
    others = stage.start("node-1", test_fixer="circles", fetcher="fetches", poller="polls", pair="works")
    stage.start("node-1", pair="rests")
    everybody = {
        "coder",
        "polite",
        "deployer",
        "escalation",
        "crawler",
        "pod",
        "test-fixer",
        "fetcher",
        "poller",
        "pair",
    }

    def all_there() -> bool:
        spot.report(hosts.SPOT_ACTION(time.time() + 120, action="terminate"))
        pair = stage.house.value(agents.PRESENCE.prometheus, agent="pair", presence="reporting")
        return pair == 2 and stage.are_at_work(everybody)

    wait_for(all_there, 40, "all agents in Prometheus", 0.5)
    faults = {
        "coder": coder.kill9(),
        "deployer": hanging.go(),
        "escalation": asking.go(),
        "test-fixer": others.go(),
        "crawler": crawler.kill9(),
        "pod": pod.kill9(),
    }
    stage.start("node-3", pod="works")
    assert polite.end() == 0
    return faults


@pytest.mark.parametrize("generation", GENERATIONS)
def test_each_fault_has_its_own_alert_and_nobody_else_is_blamed(story: Story, generation: str) -> None:
    """Nor an agent that is reclaimed, replaced, sent home, polls, calls in parallel, or rests beside one that works."""
    if generation not in story.fired:
        pytest.skip(f"Prometheus {generation} is not on this machine")
    took = {alert: at - story.faults[alert[1]] for alert, at in story.fired[generation].items() if alert in RIGHT}
    took["AgentMissing", "its end"] = story.ended[generation] - story.faults["back"]
    for (name, what), seconds in sorted(took.items()):
        print(f"Prometheus {generation} {name} {what}: {seconds:.1f} s")  # noqa: T201 - for readers of `pytest -s`
    assert story.ever[generation] == RIGHT
    assert story.replaced[generation] == 0, "the place of a pod that was replaced was never empty"


def test_killed_hanging_waiting_and_reclaimed_are_four_states(story: Story) -> None:
    presences, states = story.presences, story.states
    assert (presences["coder"], states["coder"]) == ({"missing": 1}, {})
    assert (presences["deployer"], states["deployer"]) == ({"reporting": 1}, {"waiting_tool": 1})
    assert (presences["escalation"], states["escalation"]) == ({"reporting": 1}, {"waiting_human": 1})
    assert (presences["crawler"], states["crawler"], story.host) == ({"host_gone": 1}, {}, ["reclaimed"])
    assert (presences["pod"], presences["polite"]) == ({"reporting": 1}, {"goodbye": 1})


def test_only_circles_are_circles(story: Story) -> None:
    assert story.tool_calls == {"test-fixer": CALLS, "fetcher": CALLS, "poller": CALLS}
    assert story.streaks == {"test-fixer": CALLS, "fetcher": 1, "poller": 1}
