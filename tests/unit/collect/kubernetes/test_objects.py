"""Objects of the API, as JSON, and what is kept of them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.collect.kubernetes import _events, _nodes, _pdbs, _pods
from fleetwatch.collect.kubernetes._objects import nanoseconds, quantity
from fleetwatch.records.kubernetes import Budget, Pod, Requirement
from support_clusters import Thing, budget, event, node, pod


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("2", 2),
        ("250m", 0.25),
        ("1500u", 0.0015),
        ("100n", 1e-7),
        ("1.5", 1.5),
        ("4k", 4000),
        ("2M", 2e6),
        ("1Ki", 1024),
        ("16Gi", 16 * 2**30),
        ("1Ei", 2**60),
        ("1E", 1e18),
        ("1e3", 1000),
        ("12E2", 1200),
        ("-1", -1),
        ("+5Mi", 5 * 2**20),
    ],
)
def test_a_quantity_is_read(text: str, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1GiB", "1.2.3", "many", "1ki", "1e", "0x10", "1_0"])
def test_what_is_no_quantity_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a quantity like 250m or 1Gi, got "):
        quantity(text)


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_named(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(quantity(text), float)


def test_times_are_exact() -> None:
    assert nanoseconds("2026-07-20T12:00:00Z") == 1784548800 * 10**9
    assert nanoseconds("2026-07-20T12:00:00.250001Z") == 1784548800_250001000
    assert nanoseconds("2026-07-20T14:00:00+02:00") == 1784548800 * 10**9
    assert nanoseconds(None) is None


def read_node(thing: Thing) -> _nodes.Fact:
    raw = msgspec.json.decode(json.dumps(thing), type=_nodes.RawNode)
    return _nodes.fact(raw, ("karpenter.sh/nodepool", "eks.amazonaws.com/nodegroup"), "fleetwatch.io/on-demand")


def test_a_node_of_karpenter_s() -> None:
    thing = node("ip-10-0-1-7", instance="i-0123456789abcdef0")
    thing["metadata"]["annotations"]["fleetwatch.io/on-demand"] = "true"
    thing["status"] = {
        "allocatable": {"cpu": "1930m", "memory": "7Gi", "nvidia.com/gpu": "4", "pods": "29"},
        "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
    }
    assert read_node(thing) == _nodes.Fact(
        name="ip-10-0-1-7",
        instance="i-0123456789abcdef0",
        pool="agents",
        lifecycle="spot",
        instance_type="m7g.large",
        zone="eu-west-1a",
        ready=True,
        leaving=False,
        leaving_since=None,
        effects=(),
        allocatable=(1.93, 7 * 2**30, 4),
        forced=True,
    )


@pytest.mark.parametrize(
    ("labels", "lifecycle"),
    [
        ({"karpenter.sh/capacity-type": "spot"}, "spot"),
        ({"karpenter.sh/capacity-type": "on-demand"}, "on_demand"),
        ({"karpenter.sh/capacity-type": "reserved"}, "on_demand"),
        ({"eks.amazonaws.com/capacityType": "SPOT"}, "spot"),
        ({"eks.amazonaws.com/capacityType": "ON_DEMAND"}, "on_demand"),
        ({"eks.amazonaws.com/capacityType": "CAPACITY_BLOCK"}, "unknown"),
        ({"node.kubernetes.io/lifecycle": "spot"}, "spot"),
        ({"node.kubernetes.io/lifecycle": "normal"}, "on_demand"),
        ({"lifecycle": "Ec2Spot"}, "spot"),
        ({"lifecycle": "OnDemand"}, "on_demand"),
        ({"spotinst.io/node-lifecycle": "od"}, "on_demand"),
        ({"kubernetes.azure.com/scalesetpriority": "spot"}, "spot"),
        ({"cloud.google.com/gke-spot": "true"}, "spot"),
        ({"lifecycle": "experimental", "node-lifecycle": "spot"}, "spot"),
        ({"lifecycle": "experimental"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_how_a_machine_is_bought(labels: dict[str, str], lifecycle: str) -> None:
    thing = node("a")
    thing["metadata"]["labels"] = labels
    assert read_node(thing).lifecycle == lifecycle


@pytest.mark.parametrize(
    ("provider", "instance"),
    [
        ("aws:///eu-west-1a/i-0abc", "i-0abc"),
        ("aws://eu-west-1a/i-0abc", "i-0abc"),
        ("aws:///eu-west-1a/f3a1-x/fargate-ip-10-0-0-1.eu-west-1.compute.internal", ""),
        ("gce://project/europe-west1-b/name", ""),
        ("kwok://a", ""),
        ("", ""),
    ],
)
def test_which_machine_of_ec2_a_node_is(provider: str, instance: str) -> None:
    assert read_node(node("a", providerID=provider)).instance == instance


@pytest.mark.parametrize(
    ("spec", "leaving"),
    [
        ({"unschedulable": True}, True),
        ({"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}, True),
        ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}, True),
        ({"taints": [{"key": "aws-node-termination-handler/spot-itn", "effect": "NoSchedule"}]}, True),
        ({"taints": [{"key": "DeletionCandidateOfClusterAutoscaler", "effect": "PreferNoSchedule"}]}, False),
        ({"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]}, False),
        ({}, False),
    ],
)
def test_who_empties_a_node_marks_it(spec: Thing, leaving: bool) -> None:
    found = read_node(node("a", **spec))
    assert found.leaving is leaving
    assert found.effects == tuple(taint["effect"] for taint in spec.get("taints", ()))


def test_a_taint_tells_since_when() -> None:
    taint = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule", "timeAdded": "2026-07-20T12:00:00Z"}
    assert read_node(node("a", taints=[taint])).leaving_since == 1784548800 * 10**9


def read_pod(thing: Thing) -> Pod:
    return _pods.fact(msgspec.json.decode(json.dumps(thing), type=_pods.RawPod))


def with_status(thing: Thing, **meta: Any) -> Thing:
    ready = {"type": "Ready", "status": "True"}
    return {
        **thing,
        "metadata": {**thing["metadata"], "uid": "u", **meta},
        "status": {"phase": "Running", "conditions": [ready]},
    }


def test_a_pod_of_a_deployment() -> None:
    found = read_pod(
        with_status(pod("p", "a", labels={"b": "2", "a": "1"}, grace=45, requests={"cpu": "1", "memory": "1Gi"}))
    )
    assert found == Pod(
        uid="u",
        namespace="default",
        node="a",
        labels=(("a", "1"), ("b", "2")),
        phase="Running",
        ready=True,
        stays=False,
        controlled=True,
        do_not_disrupt=False,
        grace=45,
        ends=None,
        requests=(1, 2**30, 0),
    )


def test_what_ends_with_its_node_stays() -> None:
    assert read_pod(pod("p", "a", owner="DaemonSet")).stays
    mirror = read_pod(pod("p", "a", owner="Node", annotations={"kubernetes.io/config.mirror": "hash"}))
    assert mirror.stays
    assert not mirror.controlled
    thing = pod("p", "a")
    del thing["metadata"]["ownerReferences"][0]["controller"]
    assert not read_pod(thing).controlled


@pytest.mark.parametrize(
    ("annotations", "asked"),
    [
        ({"karpenter.sh/do-not-disrupt": "true"}, True),
        ({"karpenter.sh/do-not-disrupt": "30m"}, True),
        ({"karpenter.sh/do-not-disrupt": "false"}, False),
        ({"karpenter.sh/do-not-evict": "true"}, True),
        ({"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}, True),
        ({"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}, False),
        ({}, False),
    ],
)
def test_who_asks_to_be_left_alone(annotations: dict[str, str], asked: bool) -> None:
    assert read_pod(pod("p", "a", annotations=annotations)).do_not_disrupt is asked


def test_a_pod_that_is_evicted() -> None:
    thing = with_status(pod("p", "a"), deletionTimestamp="2026-07-20T12:00:30Z", deletionGracePeriodSeconds=30)
    told = read_pod(thing)
    assert (told.ends, told.disrupted, told.disruption) == (1784548830 * 10**9, 1784548800 * 10**9, "")
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "lastTransitionTime": "2026-07-20T11:59:59Z",
    }
    thing["status"]["conditions"].append(condition)
    told = read_pod(thing)
    assert (told.disrupted, told.disruption) == (1784548799 * 10**9, "EvictionByEvictionAPI")


def box(cpu: str, restart: str | None = None) -> Thing:
    return {"name": "x", "resources": {"requests": {"cpu": cpu}}, **({"restartPolicy": restart} if restart else {})}


@pytest.mark.parametrize(
    ("spec", "cores"),
    [
        ({"containers": [box("1"), box("2")]}, 3),
        ({"containers": [box("1")], "initContainers": [box("4"), box("2")]}, 4),
        ({"containers": [box("3")], "initContainers": [box("2")]}, 3),
        ({"containers": [box("3")], "initContainers": [box("1", "Always")]}, 4),
        # The sidecar that came before runs beside the init container.
        ({"containers": [box("1")], "initContainers": [box("2", "Always"), box("5")]}, 7),
        ({"containers": [box("1")], "initContainers": [box("5"), box("2", "Always")]}, 5),
        ({"containers": [box("1")], "overhead": {"cpu": "250m"}}, 1.25),
        ({"containers": [box("1")], "resources": {"requests": {"cpu": "6"}}}, 6),
        ({"containers": [{"name": "x"}]}, 0),
    ],
)
def test_requests_are_counted_as_the_scheduler_does(spec: Thing, cores: float) -> None:
    thing = pod("p", "a")
    thing["spec"].update(spec)
    assert read_pod(thing).requests[0] == cores


def read_budget(thing: Thing) -> Budget:
    raw = msgspec.json.decode(json.dumps(thing), type=_pdbs.RawBudget)
    raw.metadata.generation = 1
    return _pdbs.fact(raw)


def test_a_budget() -> None:
    selector = {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}
    found = read_budget(budget("b", selector=selector, allowed=1, policy="AlwaysAllow", unconfirmed=3))
    assert found == Budget(
        namespace="default",
        name="b",
        selector=(Requirement("app", "In", frozenset({"x"})), Requirement("tier", "Exists")),
        allowed=1,
        healthy=2,
        desired=2,
        expected=2,
        behind=False,
        unconfirmed=3,
        always_unhealthy=True,
    )
    assert read_budget(budget("b", behind=True)).behind
    assert read_budget(budget("b", selector={})).selector == ()
    assert read_budget(budget("b", selector={"none": True})).selector is None


def read_event(thing: Thing) -> _events.Fact:
    return _events.fact(msgspec.json.decode(json.dumps(thing), type=_events.RawEvent), frozenset({"default"}))


def test_only_words_on_a_list_are_kept_of_an_event() -> None:
    assert read_event(event("e", "BackOff", times=3)) == ("", 3, ("Pod", "BackOff", "Warning", "default"))
    strange = event("e", "Pod search-7f9 is sad", space="team-a", kind="Widget", type="Loud")
    assert read_event(strange).labels == ("_other", "_other", "_other", "_other")
    of_a_node = event("e", "SpotInterruption", kind="Node")
    of_a_node["involvedObject"]["namespace"] = ""
    assert read_event(of_a_node).labels == ("Node", "SpotInterruption", "Warning", "")


def test_an_event_that_is_a_series_counts_as_often_as_it_says() -> None:
    assert read_event(event("e", "BackOff", times=0, series={"count": 5})).times == 5
    assert read_event(event("e", "BackOff", times=0)).times == 1
