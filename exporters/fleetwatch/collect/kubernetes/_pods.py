"""Pods: what they ask for, whether they may go, and whether they are on their way."""

from __future__ import annotations

import msgspec

from fleetwatch.collect.kubernetes._objects import Condition, Meta, amounts, nanoseconds
from fleetwatch.records.kubernetes import Pod

_MIRROR = "kubernetes.io/config.mirror"
_KEEP = (("karpenter.sh/do-not-disrupt", "false"), ("karpenter.sh/do-not-evict", "false"))
"""Annotations that ask to be left alone, and the value that asks for nothing. A duration asks, too."""
_SAFE = "cluster-autoscaler.kubernetes.io/safe-to-evict"

USUAL_GRACE = 30
"""terminationGracePeriodSeconds where a pod has none; the API fills it in."""

_NONE = (0.0, 0.0, 0.0)

CAUSES = {
    "EvictionByEvictionAPI": "eviction_api",
    "PreemptionByScheduler": "preemption",
    "DeletionByTaintManager": "taint",
    "DeletionByPodGC": "pod_gc",
    "TerminationByKubelet": "kubelet",
}
"""Reason of the condition DisruptionTarget -> cause of an eviction; others are `other`."""


class _Resources(msgspec.Struct):
    requests: dict[str, str] | None = None


class _Container(msgspec.Struct, rename="camel"):
    resources: _Resources = msgspec.field(default_factory=_Resources)
    restart_policy: str | None = None


class _Spec(msgspec.Struct, rename="camel"):
    node_name: str = ""
    termination_grace_period_seconds: int | None = None
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    overhead: dict[str, str] | None = None
    resources: _Resources | None = None


class _Status(msgspec.Struct):
    phase: str = "Unknown"
    conditions: list[Condition] | None = None


class RawPod(msgspec.Struct):
    metadata: Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


def fact(raw: RawPod) -> Pod:
    """What is kept of a pod. Raises ValueError for a quantity or a time that cannot be read."""
    meta, spec = raw.metadata, raw.spec
    annotations = meta.annotations or {}
    controller = next((owner.kind for owner in meta.owner_references or () if owner.controller), "")
    ready, disruption, disrupted = False, "", 0
    for condition in raw.status.conditions or ():
        if condition.type == "Ready":
            ready = condition.status == "True"
        elif condition.type == "DisruptionTarget" and condition.status == "True":
            disruption = condition.reason or "other"
            disrupted = nanoseconds(condition.last_transition_time) or 0
    ends = nanoseconds(meta.deletion_timestamp)
    if ends is not None and not disrupted:
        disrupted = ends - (meta.deletion_grace_period_seconds or 0) * 10**9
    grace = spec.termination_grace_period_seconds
    return Pod(
        uid=meta.uid,
        namespace=meta.namespace,
        node=spec.node_name,
        labels=tuple(sorted((meta.labels or {}).items())),
        phase=raw.status.phase,
        ready=ready,
        stays=controller == "DaemonSet" or _MIRROR in annotations,
        # A static pod is its node's.
        controlled=bool(controller) and controller != "Node",
        do_not_disrupt=_is_kept(annotations),
        grace=float(USUAL_GRACE if grace is None else grace),
        ends=ends,
        requests=_requests(spec),
        disruption=disruption,
        disrupted=disrupted,
    )


def _is_kept(annotations: dict[str, str]) -> bool:
    asked = any(annotations.get(name, usual).lower() != usual for name, usual in _KEEP)
    return asked or annotations.get(_SAFE, "").lower() == "false"


def _requests(spec: _Spec) -> tuple[float, float, float]:
    """As the scheduler counts: all containers with sidecars, or an init container with the sidecars before it,
    whichever is more; what the pod as a whole asks for instead, where it does; and what its runtime needs.
    """
    most = sidecars = _NONE
    for box in spec.init_containers or ():
        asked = amounts(box.resources.requests)
        if box.restart_policy == "Always":
            sidecars = _plus(sidecars, asked)
            most = _most(most, sidecars)
        else:
            most = _most(most, _plus(sidecars, asked))
    running = sidecars
    for box in spec.containers or ():
        running = _plus(running, amounts(box.resources.requests))
    most = _most(most, running)
    whole = spec.resources.requests if spec.resources is not None else None
    if whole:
        cores, memory, gpus = amounts(whole)
        most = (cores if "cpu" in whole else most[0], memory if "memory" in whole else most[1], gpus or most[2])
    return _plus(most, amounts(spec.overhead)) if spec.overhead else most


def _plus(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float, float]:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2])


def _most(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float, float]:
    return (max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2]))
