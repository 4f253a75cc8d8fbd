"""PodDisruptionBudgets, as their controller worked them out."""

from __future__ import annotations

import msgspec

from fleetwatch.collect.kubernetes._objects import LabelSelector, Meta, selector
from fleetwatch.records.kubernetes import Budget


class _Spec(msgspec.Struct, rename="camel"):
    selector: LabelSelector | None = None
    unhealthy_pod_eviction_policy: str | None = None


class _Status(msgspec.Struct, rename="camel"):
    observed_generation: int = 0
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    disrupted_pods: dict[str, msgspec.Raw] | None = None


class RawBudget(msgspec.Struct):
    metadata: Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


def fact(raw: RawBudget) -> Budget:
    """What is kept of a budget."""
    status = raw.status
    return Budget(
        namespace=raw.metadata.namespace,
        name=raw.metadata.name,
        selector=selector(raw.spec.selector),
        allowed=status.disruptions_allowed,
        healthy=status.current_healthy,
        desired=status.desired_healthy,
        expected=status.expected_pods,
        behind=status.observed_generation < raw.metadata.generation,
        unconfirmed=len(status.disrupted_pods or ()),
        always_unhealthy=raw.spec.unhealthy_pod_eviction_policy == "AlwaysAllow",
    )
