"""From the API's objects to the page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from fleetwatch.catalogue import kubernetes
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect import Here, NoData
from fleetwatch.collect.here import ClusterAccess
from fleetwatch.collect.kubernetes.kubernetes import Kubernetes, _shares
from support import wait_for
from support_clusters import Thing, budget, event, node, pod
from support_kube_api import PATHS, KubeApi
from support_machines import page
from unit.collect.kubernetes.conftest import Watcher

Watch = Callable[..., Watcher]


def running(thing: Thing, *, ready: bool = True, **meta: Any) -> Thing:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        **thing,
        "metadata": {**thing["metadata"], **meta},
        "status": {"phase": "Running", "conditions": conditions},
    }


def working(thing: Thing, cpu: str = "4", memory: str = "16Gi", gpus: str = "") -> Thing:
    allocatable = {"cpu": cpu, "memory": memory, **({"nvidia.com/gpu": gpus} if gpus else {})}
    return {**thing, "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]}}


def of(samples: list[Sample], metric: Metric) -> dict[tuple[str, ...], float]:
    return {item.labels: item.value for item in samples if item.metric is metric}


def test_the_page_of_a_cluster(api: KubeApi, watch: Watch, golden: Callable[[str, str], None]) -> None:
    """Three nodes: one that could be left, one that is held, one that somebody empties; two zones, a GPU."""
    api.put(working(node("calm")))
    api.put(working(node("held", zone="eu-west-1b", kind="g6.xlarge", pool="gpu"), gpus="1"))
    api.put(working(node("leaving", unschedulable=True, taints=[{"key": "dedicated", "effect": "NoExecute"}])))
    asked = {"cpu": "1", "memory": "4Gi"}
    api.put(running(pod("a", "calm", requests=asked)))
    api.put(running(pod("log", "calm", owner="DaemonSet", requests={"cpu": "100m"}, labels={"app": "log"})))
    api.put(running(pod("b", "held", requests={**asked, "nvidia.com/gpu": "1"}, labels={"app": "model"}, owner="")))
    api.put(running(pod("c", "held", labels={"app": "model"}, grace=300)))
    api.put(running(pod("d", "leaving"), deletionTimestamp="2027-01-15T08:00:20Z", deletionGracePeriodSeconds=30))
    api.put({**pod("e", "", labels={"app": "waits"}), "status": {"phase": "Pending"}})
    api.put(budget("search", allowed=1, healthy=2, desired=1))
    api.put(budget("model", selector={"matchLabels": {"app": "model"}}, healthy=2, desired=2))
    api.put(budget("nothing", selector={"matchLabels": {"app": "none"}}, allowed=0, healthy=0, desired=0))
    watcher = watch()
    watcher.cycle()
    assert watcher.trouble == ""
    wait_for(lambda: api.watching("Event") == 1, what="the watch")
    api.put(event("x", "FailedScheduling", times=2))
    wait_for(lambda: of(watcher.cycle(), kubernetes.EVENTS), what="the event")
    for _ in range(4):
        samples = watcher.cycle()
    golden("sources/kubernetes.prom", page(samples))


def test_what_is_gone_is_gone_with_the_next_cycle(api: KubeApi, watch: Watch) -> None:
    api.put(working(node("a")))
    api.put(working(node("b", zone="eu-west-1b")))
    api.put(running(pod("p", "b")))
    watcher = watch()
    assert "b" in {labels[1] for labels in of(watcher.cycle(), kubernetes.DRAIN_READY)}
    wait_for(lambda: api.watching("Node") == 1, what="the watch")
    api.drop(node("b"))
    wait_for(lambda: watcher.source._clusters[0].state.sizes()["nodes"] == 1, what="the news")  # no cycle meanwhile
    text = page(watcher.cycle())
    assert 'node="b"' not in text
    assert 'zone="eu-west-1b"' not in text
    assert [item.name for item in watcher.here.desk.clusters["prod"].nodes] == ["a"]


def test_the_desk_has_the_nodes(api: KubeApi, watch: Watch) -> None:
    thing = working(node("a", instance="i-0abc"))
    thing["metadata"]["annotations"]["fleetwatch.io/on-demand"] = "yes"
    api.put(thing)
    api.put(running(pod("p", "a", requests={"cpu": "1500m"})))
    watcher = watch()
    watcher.cycle()
    cluster = watcher.here.desk.clusters["prod"]
    (found,) = cluster.nodes
    assert (cluster.name, cluster.client, cluster.at) == ("prod", "acme", 1_800_000_000 * 10**9)
    assert (found.instance, found.pool, found.lifecycle) == ("i-0abc", "agents", "spot")
    assert (found.requested, found.allocatable) == ((1.5, 0, 0), (4, 16 * 2**30, 0))
    assert (found.ready_to_drain, found.drain_estimate) == (True, 35)
    assert found.forced_on_demand


def test_readiness_is_not_known_without_budgets(api: KubeApi, watch: Watch) -> None:
    """And is not said to be good."""
    api.put(working(node("a")))
    api.refuse[PATHS["PodDisruptionBudget"], "list"] = (403, "forbidden")
    watcher = watch()
    samples = watcher.cycle()
    assert of(samples, kubernetes.DRAIN_READY) == {}
    assert of(samples, kubernetes.DRAINABLE) == {}
    assert of(samples, kubernetes.NODE_READY) == {("prod", "a"): 1}
    assert [item.ready_to_drain for item in watcher.here.desk.clusters["prod"].nodes] == [None]
    assert [item.permission for item in watcher.denied] == ["list poddisruptionbudgets.policy"]


def test_past_the_bound_those_nodes_are_shown_that_cannot_be_left(api: KubeApi, watch: Watch) -> None:
    for place in range(6):
        api.put(working(node(f"n{place}")))
    api.put(running(pod("p", "n5", owner="")))
    samples = watch(most_nodes=2).cycle()
    assert set(of(samples, kubernetes.DRAIN_READY)) == {("prod", "n5"), ("prod", "n0")}
    assert of(samples, kubernetes.NODES_NOT_SHOWN) == {("prod",): 4}
    assert of(samples, kubernetes.DRAINABLE) == {("prod", "agents", "spot"): 5}  # of all
    assert sum(of(samples, kubernetes.NODES).values()) == 6


@pytest.mark.parametrize(
    ("wanted", "most", "given"),
    [
        ([5, 5], 100, [5, 5]),
        ([1500, 10, 600], 2000, [1390, 10, 600]),
        ([1500, 1500, 10], 2000, [995, 995, 10]),
        ([3], 0, [0]),
        ([], 10, []),
    ],
)
def test_small_clusters_are_shown_whole(wanted: list[int], most: int, given: list[int]) -> None:
    assert _shares(wanted, most) == given


def test_one_cluster_that_cannot_be_reached_hurts_only_itself(api: KubeApi, watch: Watch, tmp_path: Any) -> None:
    api.put(working(node("a")))
    good = api.kubeconfig(tmp_path / "good")
    away = KubeApi()
    away.start()
    bad = away.kubeconfig(tmp_path / "bad")
    away.stop()
    watcher = watch(clusters=(ClusterAccess("good", "acme", good), ClusterAccess("bad", "acme", bad)))
    samples = watcher.cycle()
    assert of(samples, kubernetes.NODE_READY) == {("good", "a"): 1}
    assert "bad: list nodes, pods, poddisruptionbudgets, events: " in watcher.trouble
    assert "good" not in watcher.trouble
    assert set(watcher.here.desk.clusters) == {"good"}


def test_steps_wait_until_they_are_written_down(api: KubeApi, watch: Watch) -> None:
    api.put(working(node("a", instance="i-0abc")))
    watcher = watch()
    watcher.cycle()
    wait_for(lambda: api.watching("Node") == 1, what="the watch")
    watcher.broken = "disk full"
    api.put(working(node("a", instance="i-0abc", unschedulable=True)))
    wait_for(lambda: watcher.cycle() and watcher.trouble, what="the failure")
    assert watcher.trouble == "steps of drains are not written down yet: disk full"
    assert watcher.records == []
    watcher.broken = ""
    assert watcher.cycle()
    assert watcher.trouble == ""
    assert [(item.step, item.instance) for item in watcher.records] == [("cordoned", "i-0abc"), ("drained", "i-0abc")]
    watcher.cycle()
    assert len(watcher.records) == 2


def test_without_clusters_there_is_nothing_to_say() -> None:
    with pytest.raises(NoData):
        list(Kubernetes(Here())())


def test_the_client_is_loaded_where_clusters_are_watched_and_nowhere_else() -> None:
    program = """
import sys
from fleetwatch.collect import Here, NoData, load
source = load("kubernetes", Here())
try:
    list(source.collect())
except NoData:
    pass
assert "fleetwatch.collect.kubernetes.kubernetes" in sys.modules
sys.exit("kubernetes" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_its_package_it_says_how_to_get_it(api: KubeApi, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    watcher = watch()
    watcher.cycle()
    assert "the package `kubernetes` is not installed: pip install 'fleetwatch[kubernetes]'" in watcher.trouble
