"""Nodes: how their machine is bought, which one it is, and whether somebody empties it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fleetwatch.collect.kubernetes._objects import Condition, Meta, amounts, nanoseconds

LIFECYCLE_LABELS = (
    "karpenter.sh/capacity-type",
    "eks.amazonaws.com/capacityType",
    "node.kubernetes.io/lifecycle",
    "node-lifecycle",
    "lifecycle",
    "spotinst.io/node-lifecycle",
    "kubernetes.azure.com/scalesetpriority",
    "cloud.google.com/gke-spot",
    "cloud.google.com/gke-preemptible",
    "cloud.google.com/gke-provisioning",
)
"""Labels that tell how a machine is bought, by who writes them; the first that says something counts."""

_SPOT = frozenset({"spot", "ec2spot", "true", "preemptible"})
_ON_DEMAND = frozenset({"on-demand", "on_demand", "ondemand", "normal", "od", "regular", "standard", "reserved"})

TYPE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")

# Of Karpenter (now, and before 1.0), the cluster autoscaler, the termination handler. Each is set once a node is to go.
_LEAVING = re.compile(
    r"karpenter\.sh/(disrupted|disruption)|ToBeDeletedByClusterAutoscaler|aws-node-termination-handler/.+"
)
_INSTANCE = re.compile(r"aws://.*/(i-[0-9a-f]+)")
_NOT_MEANT = frozenset({"false", "no", "0", ""})

_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


class _Taint(msgspec.Struct, rename="camel"):
    key: str = ""
    effect: str = ""
    time_added: str | None = None


class _Spec(msgspec.Struct):
    provider_id: str = msgspec.field(default="", name="providerID")
    unschedulable: bool | None = None
    taints: list[_Taint] | None = None


class _Status(msgspec.Struct):
    allocatable: dict[str, str] | None = None
    conditions: list[Condition] | None = None


class RawNode(msgspec.Struct):
    metadata: Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class Fact(NamedTuple):
    """A node as its API object tells. allocatable: (cores, bytes, GPUs)."""

    name: str
    instance: str
    pool: str
    lifecycle: str
    instance_type: str
    zone: str
    ready: bool
    leaving: bool
    leaving_since: int | None
    """Unix nanoseconds, where a taint says it."""
    effects: tuple[str, ...]
    allocatable: tuple[float, float, float]
    forced: bool


def fact(raw: RawNode, pool_labels: Sequence[str], on_demand_annotation: str) -> Fact:
    """What is kept of a node. Raises ValueError for a quantity or a time that cannot be read."""
    labels = raw.metadata.labels or {}
    taints = raw.spec.taints or []
    marks = [taint for taint in taints if taint.key == _UNSCHEDULABLE or _LEAVING.fullmatch(taint.key)]
    instance = _INSTANCE.fullmatch(raw.spec.provider_id)
    annotation = (raw.metadata.annotations or {}).get(on_demand_annotation, "")
    times = [at for taint in marks if (at := nanoseconds(taint.time_added)) is not None]
    return Fact(
        name=raw.metadata.name,
        instance=instance[1] if instance else "",
        pool=_first(labels, pool_labels),
        lifecycle=_lifecycle(labels),
        instance_type=_first(labels, TYPE_LABELS),
        zone=_first(labels, ZONE_LABELS),
        ready=any(item.type == "Ready" and item.status == "True" for item in raw.status.conditions or ()),
        leaving=bool(raw.spec.unschedulable or marks),
        leaving_since=min(times, default=None),
        effects=tuple(sorted({taint.effect for taint in taints})),
        allocatable=amounts(raw.status.allocatable),
        forced=annotation.strip().lower() not in _NOT_MEANT,
    )


def _first(labels: dict[str, str], names: Sequence[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _lifecycle(labels: dict[str, str]) -> str:
    for name in LIFECYCLE_LABELS:
        told = labels.get(name, "").lower()
        if told in _SPOT:
            return "spot"
        if told in _ON_DEMAND:
            return "on_demand"
    return "unknown"
