"""Objects of clusters: nodes, pods, budgets, events, as the API takes them."""

from __future__ import annotations

import zlib
from typing import Any

from support_kubernetes import KWOK

Thing = dict[str, Any]


def node(
    name: str,
    *,
    instance: str = "",
    zone: str = "eu-west-1a",
    kind: str = "m7g.large",
    pool: str = "agents",
    **more: Any,
) -> Thing:
    """A spot node of Karpenter's. more: fields of its spec."""
    labels = {
        "karpenter.sh/capacity-type": "spot",
        "karpenter.sh/nodepool": pool,
        "node.kubernetes.io/instance-type": kind,
        "topology.kubernetes.io/zone": zone,
    }
    instance = instance or f"i-{zlib.crc32(name.encode()):017x}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": dict([KWOK])},
        "spec": {"providerID": f"aws:///{zone}/{instance}", **more},
    }


def pod(
    name: str,
    on: str,
    *,
    space: str = "default",
    labels: dict[str, str] | None = None,
    owner: str = "ReplicaSet",
    grace: int = 30,
    annotations: dict[str, str] | None = None,
    requests: dict[str, str] | None = None,
) -> Thing:
    """A pod on a node. owner: kind of its controller; empty: it has none."""
    meta: Thing = {"name": name, "namespace": space}
    meta["labels"] = {"app": "search"} if labels is None else labels
    if annotations:
        meta["annotations"] = annotations
    if owner:
        reference = {"apiVersion": "apps/v1", "kind": owner, "name": "search", "uid": f"owner-{owner}"}
        meta["ownerReferences"] = [{**reference, "controller": True}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {
            "nodeName": on,
            "containers": [{"name": "main", "image": "main:1", "resources": {"requests": requests or {}}}],
            "terminationGracePeriodSeconds": grace,
            "tolerations": [{"operator": "Exists"}],
        },
    }


def budget(
    name: str,
    *,
    space: str = "default",
    selector: Thing | None = None,
    allowed: int = 0,
    healthy: int = 2,
    desired: int = 2,
    policy: str = "",
    behind: bool = False,
    unconfirmed: int = 0,
) -> Thing:
    """A PodDisruptionBudget with its status. selector None: pods of `search`; {"none": …}: no selector at all."""
    spec: Thing = {"minAvailable": desired}
    if selector is None:
        selector = {"matchLabels": {"app": "search"}}
    if "none" not in selector:
        spec["selector"] = selector
    if policy:
        spec["unhealthyPodEvictionPolicy"] = policy
    status: Thing = {
        "observedGeneration": 0 if behind else 1,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": max(healthy, desired),
    }
    if unconfirmed:
        status["disruptedPods"] = {f"gone-{place}": "2026-01-01T00:00:00Z" for place in range(unconfirmed)}
    meta = {"name": name, "namespace": space}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": meta,
        "spec": spec,
        "status": status,
    }


def event(name: str, reason: str, *, space: str = "default", kind: str = "Pod", times: int = 1, **more: Any) -> Thing:
    """An event. more: further fields."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": space},
        "involvedObject": {"kind": kind, "namespace": space, "name": "any"},
        "reason": reason,
        "type": "Warning",
        "count": times,
        "message": "any",
        **more,
    }
