"""What a cluster tells of its nodes, and what would hold up their end."""

from __future__ import annotations

from typing import NamedTuple


class Node(NamedTuple):
    """A node as it matters for its machine. instance: EC2 id, empty where it has none.

    lifecycle: spot, on_demand or unknown; requested, allocatable: (cores, bytes, GPUs).
    """

    name: str
    instance: str
    pool: str
    lifecycle: str
    instance_type: str
    zone: str
    requested: tuple[float, float, float]
    allocatable: tuple[float, float, float]
    ready_to_drain: bool | None
    """None: not known, for the pods or their budgets are not."""
    drain_estimate: float
    """Seconds; 0 where it is not known."""
    forced_on_demand: bool = False
    leaving: bool = False
    """Cordoned, or marked by whoever empties it."""


class Cluster(NamedTuple):
    """All nodes of one cluster at a time, Unix nanoseconds. client: whose cluster it is."""

    name: str
    client: str
    at: int
    nodes: tuple[Node, ...]


class Requirement(NamedTuple):
    """One condition of a label selector. operator: In, NotIn, Exists, DoesNotExist; values: of the first two."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()


Selector = tuple[Requirement, ...] | None
"""All have to hold. Empty: selects everything; None: nothing."""


class Pod(NamedTuple):
    """A pod that has not ended, as it matters for its node.

    node: empty before it has one; labels: sorted; requests: (cores, bytes, GPUs).
    """

    uid: str
    namespace: str
    node: str
    labels: tuple[tuple[str, str], ...]
    phase: str
    ready: bool
    stays: bool
    """It ends with its node and not before: of a DaemonSet, or started by the kubelet itself."""
    controlled: bool
    """Somebody starts another one."""
    do_not_disrupt: bool
    grace: float
    """Seconds that it may take to end."""
    ends: int | None
    """It is ending, and over by then; Unix nanoseconds."""
    requests: tuple[float, float, float]
    disruption: str = ""
    """Reason of its condition DisruptionTarget."""
    disrupted: int = 0
    """Since when, Unix nanoseconds; else when it was told to end."""


class Budget(NamedTuple):
    """A PodDisruptionBudget. allowed, healthy, desired, expected: as its controller worked them out."""

    namespace: str
    name: str
    selector: Selector
    allowed: int
    healthy: int
    desired: int
    expected: int
    behind: bool = False
    """It was changed, and not worked out since."""
    unconfirmed: int = 0
    """Pods that were evicted, and whose end its controller has not seen."""
    always_unhealthy: bool = False
    """unhealthyPodEvictionPolicy AlwaysAllow: pods that are not ready may always go."""
