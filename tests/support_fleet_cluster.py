"""A cluster for a fleet: nodes, pods and budgets behind lists and watches on loopback (see support_kube_api).

with cluster_in_use(folder, {"node-0": "i-0", "node-1": "i-1"}) as (cluster, settings):
    ...  # settings: sections for the exporter
    cluster.happen()
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleetwatch.collect.kubernetes._pods import CAUSES
from support_clusters import Thing, budget, event, node, pod
from support_kube_api import KubeApi, kube_api

CLUSTER = "eks"
POOL = "batch"
HELD = "qdrant"
"""The app whose budget is used up."""


class ClusterInUse:
    """The first node cannot be left: a budget holds its pod. The others can."""

    def __init__(self, api: KubeApi, nodes: Mapping[str, str]) -> None:
        self._api = api
        self._nodes = list(nodes)
        for name, instance in nodes.items():
            api.put(_node(name, instance))
            for number in range(4):
                api.put(_pod(f"{name}-{number}", name))
        api.put(_pod("held", self._nodes[0], {"app": HELD}))
        api.put(budget(HELD, selector={"matchLabels": {"app": HELD}}, allowed=0, healthy=1, desired=1))
        api.put(budget("search", allowed=3, healthy=7, desired=4))
        api.put({**_pod("waits", ""), "status": {"phase": "Pending"}})

    def happen(self) -> None:
        """What counters count: events, evictions of each cause, watches that are begun again."""
        for place, reason in enumerate(("BackOff", "FailedScheduling")):
            self._api.put(event(f"event-{place}", reason, times=place + 1))
        for cause in CAUSES:
            self._evict(self._api.put(_pod(f"evicted-{cause.lower()}", self._nodes[-1])), cause)
        for kind in ("Node", "Pod", "PodDisruptionBudget", "Event"):
            self._api.forget(kind)

    def join(self, name: str, machine: str) -> None:
        """A node comes, with one pod."""
        self._api.put(_node(name, machine))
        self._api.put(_pod(f"{name}-0", name))

    def leave(self, name: str, machine: str) -> None:
        """It is drained, and somebody is warned, and then gone."""
        node = _node(name, machine)
        self._api.put({**node, "spec": {**node["spec"], "unschedulable": True}})
        thing = _pod(f"{name}-0", name)
        self._evict(thing, "EvictionByEvictionAPI")
        self._api.drop(thing)
        self._api.put(event(f"event-{name}", "BackOff"))
        self._api.drop(node)

    def _evict(self, thing: Thing, cause: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": "DisruptionTarget", "status": "True", "reason": cause, "lastTransitionTime": now}
        meta = {**thing["metadata"], "deletionTimestamp": now, "deletionGracePeriodSeconds": 30}
        self._api.put({**thing, "metadata": meta, "status": {**thing["status"], "conditions": [condition]}})


@contextlib.contextmanager
def cluster_in_use(folder: Path, nodes: Mapping[str, str]) -> Iterator[tuple[ClusterInUse, dict[str, Any]]]:
    """Until the block ends. nodes: their names and the machines that they are, at least one; folder: there already."""
    with kube_api() as api:
        cluster = ClusterInUse(api, nodes)
        config = api.kubeconfig(folder / "kubeconfig.json")
        watched = {"name": CLUSTER, "client": "acme", "kubeconfig": str(config)}
        yield cluster, {"kubernetes": {"clusters": [watched]}, "collect": {"kubernetes": {"interval": 2}}}


def _node(name: str, instance: str) -> Thing:
    made = node(name, instance=instance, zone="us-east-1a", kind="m7g.2xlarge", pool=POOL)
    room = {"cpu": "7910m", "memory": "29Gi", "nvidia.com/gpu": "1"}
    made["status"] = {"allocatable": room, "conditions": [{"type": "Ready", "status": "True"}]}
    return made


def _pod(name: str, on: str, labels: dict[str, str] | None = None) -> Thing:
    made = pod(name, on, labels=labels, requests={"cpu": "1300m", "memory": "4Gi", "nvidia.com/gpu": "1"})
    made["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return made
