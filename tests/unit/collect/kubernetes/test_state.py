"""What is kept of a cluster: the steps of drains, evictions, each told once."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from fleetwatch.collect.kubernetes import _nodes, _pods
from fleetwatch.collect.kubernetes._state import State
from fleetwatch.records.kubernetes import Pod
from support_clusters import node, pod

START = 1_800_000_000
NANO = 10**9


class House:
    """A state, its clock, and objects for it."""

    def __init__(self, *, pods: bool = True) -> None:
        self.now = float(START)
        self.state = State("prod", lambda: self.now)
        self.state.replace_nodes([self.node("a")])
        if pods:
            self.state.replace_pods([])

    def node(self, name: str, instance: str = "i-0a", **spec: Any) -> _nodes.Fact:
        raw = msgspec.json.decode(json.dumps(node(name, instance=instance, **spec)), type=_nodes.RawNode)
        return _nodes.fact(raw, ("karpenter.sh/nodepool",), "fleetwatch.io/on-demand")

    def pod(self, name: str, on: str = "a", **more: Any) -> Pod:
        thing = pod(name, on)
        thing["metadata"]["uid"] = name
        thing["status"] = {"phase": "Running"}
        return _pods.fact(msgspec.json.decode(json.dumps(thing), type=_pods.RawPod))._replace(**more)

    def evicted(self, name: str, at: float | None = None, reason: str = "EvictionByEvictionAPI", **more: Any) -> Pod:
        when = int((self.now if at is None else at) * NANO)
        return self.pod(name, disruption=reason, disrupted=when, ends=when + 30 * NANO, **more)

    def cordon(self) -> None:
        self.state.put_node(self.node("a", unschedulable=True))

    def steps(self) -> list[tuple[str, float]]:
        """(step, seconds since the start)."""
        return [(step.step, step.at / NANO - START) for step in self.state.steps()]

    def evictions(self) -> dict[tuple[str, str, str], int]:
        return self.state.counts()[1]


def test_a_drain_is_told_step_by_step() -> None:
    house = House()
    house.state.put_pod(house.pod("p"))
    house.state.put_pod(house.pod("q"))
    house.state.put_pod(house.pod("daemon", stays=True))
    house.now += 10
    house.cordon()
    house.now += 5
    house.state.put_pod(house.evicted("p"))
    house.now += 5
    house.state.put_pod(house.evicted("q"))
    house.state.drop_pod(house.evicted("q"))
    assert house.steps() == [("cordoned", 10), ("first_eviction", 15)]
    house.now += 5
    house.state.drop_pod(house.evicted("p", at=START + 15))
    house.now += 5
    house.state.drop_node(house.node("a"))
    assert house.steps() == [("cordoned", 10), ("first_eviction", 15), ("drained", 25), ("gone", 30)]
    first = house.state.steps()[0]
    assert (first.cluster, first.nodepool, first.host, first.instance) == ("prod", "agents", "a", "i-0a")
    house.state.written(house.state.steps()[:2])
    assert [step for step, _ in house.steps()] == ["drained", "gone"]


def test_an_empty_node_is_drained_with_its_cordon() -> None:
    house = House()
    house.cordon()
    house.cordon()  # seen again, as with each of its heartbeats
    assert house.steps() == [("cordoned", 0), ("drained", 0)]


def test_a_node_is_not_drained_while_its_pods_are_not_known() -> None:
    house = House(pods=False)
    house.cordon()
    assert house.steps() == [("cordoned", 0)]
    house.now += 1
    house.state.replace_pods([house.pod("p")])
    assert house.steps() == [("cordoned", 0)]
    house.now += 1
    house.state.replace_pods([])
    assert house.steps() == [("cordoned", 0), ("drained", 2)]


def test_an_eviction_that_is_seen_before_the_cordon_belongs_to_it() -> None:
    """Pods and nodes are watched apart; the order of their news is none."""
    house = House()
    house.state.put_pod(house.pod("p"))
    house.state.put_pod(house.evicted("p"))
    house.now += 2
    house.cordon()
    assert house.steps() == [("cordoned", 2), ("first_eviction", 2)]


def test_an_eviction_of_long_ago_is_none_of_the_drain_s() -> None:
    house = House()
    house.state.put_pod(house.evicted("p"))
    house.state.drop_pod(house.evicted("p"))
    house.now += 60
    house.cordon()
    assert house.steps() == [("cordoned", 60), ("drained", 60)]


def test_a_node_that_is_used_again_begins_anew() -> None:
    house = House()
    house.state.put_pod(house.pod("p"))
    house.cordon()
    house.state.put_node(house.node("a"))
    house.state.put_pod(house.evicted("p"))
    house.state.drop_pod(house.evicted("p"))
    assert house.steps() == [("cordoned", 0)]
    house.now += 60
    house.cordon()
    assert house.steps() == [("cordoned", 0), ("cordoned", 60), ("drained", 60)]


def test_another_machine_by_the_same_name_is_another_one() -> None:
    house = House()
    house.now += 1
    house.state.put_node(house.node("a", "i-0b"))
    assert [(step.step, step.instance) for step in house.state.steps()] == [("gone", "i-0a")]


def test_a_node_that_went_while_nobody_watched_is_gone() -> None:
    house = House()
    house.now += 1
    house.state.replace_nodes([house.node("b", "i-0b")])
    assert [(step.step, step.host) for step in house.state.steps()] == [("gone", "a")]


def test_a_node_without_a_machine_of_ec2_has_no_steps() -> None:
    house = House()
    house.state.replace_nodes([house.node("x", providerID="kwok://x")])
    house.state.written(house.state.steps())
    house.state.drop_node(house.node("x", providerID="kwok://x"))
    assert house.steps() == []


def test_evictions_are_counted_once_by_who_did_it() -> None:
    house = House()
    for name, reason in (
        ("p", "EvictionByEvictionAPI"),
        ("q", "PreemptionByScheduler"),
        ("r", "DeletionByTaintManager"),
        ("s", "DeletionByPodGC"),
        ("t", "SomethingNew"),
    ):
        gone = house.evicted(name, reason=reason)
        house.state.put_pod(house.pod(name))
        house.state.put_pod(gone)
        house.state.put_pod(gone)
        house.state.drop_pod(gone)
    # The kubelet ends a pod and leaves it there.
    house.state.put_pod(house.pod("u", phase="Failed", disruption="TerminationByKubelet"))
    causes = ("eviction_api", "preemption", "taint", "pod_gc", "other", "kubelet")
    assert house.evictions() == {("agents", "spot", cause): 1 for cause in causes}


def test_evictions_from_before_are_not_counted_and_those_of_a_gap_are() -> None:
    house = House(pods=False)
    before = house.pod("before", phase="Failed", disruption="TerminationByKubelet")
    house.state.replace_pods([before])
    house.state.replace_pods([before])
    assert house.evictions() == {}
    house.state.replace_pods([before, house.evicted("gap")])
    house.state.replace_pods([before, house.evicted("gap")])
    house.state.drop_pod(house.evicted("gap"))
    assert house.evictions() == {("agents", "spot", "eviction_api"): 1}


def test_pods_that_ended_are_not_kept() -> None:
    house = House()
    house.state.replace_pods([house.pod("p"), house.pod("done", phase="Succeeded")])
    house.state.put_pod(house.pod("q", phase="Failed"))
    assert [item.uid for item in house.state.known().pods] == ["p"]
    house.state.put_pod(house.pod("p", phase="Succeeded"))
    assert house.state.sizes() == {"nodes": 1, "pods": 0, "poddisruptionbudgets": 0, "events": 0}
