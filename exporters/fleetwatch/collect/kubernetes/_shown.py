"""What is shown of one cluster: series of nodes, pools, budgets, and what the nodes are on the desk."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from fleetwatch.catalogue import kubernetes
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import ClusterAccess
from fleetwatch.collect.kubernetes._nodes import Fact
from fleetwatch.reckon.drain import Readiness, Terms, blasts, concentration, finder, readiness
from fleetwatch.records.kubernetes import Budget, Node, Pod

Amounts = tuple[float, float, float]
_NONE: Amounts = (0.0, 0.0, 0.0)

_OF_POOLS = (
    (kubernetes.CPU_ALLOCATABLE, kubernetes.CPU_REQUESTED),
    (kubernetes.MEMORY_ALLOCATABLE, kubernetes.MEMORY_REQUESTED),
    (kubernetes.GPU_ALLOCATABLE, kubernetes.GPU_REQUESTED),
)


class Facts(NamedTuple):
    """What is known of a cluster. None: not known, or too old to be shown."""

    nodes: Sequence[Fact] | None
    pods: Sequence[Pod] | None
    budgets: Sequence[Budget] | None


class View(NamedTuple):
    """One look at a cluster. requested: by node; readiness: by node, None where one of the facts is not known."""

    access: ClusterAccess
    nodes: Sequence[Fact] | None
    pods: Sequence[Pod] | None
    budgets: Sequence[Budget] | None
    requested: Mapping[str, Amounts]
    readiness: Mapping[str, Readiness] | None


def view(access: ClusterAccess, facts: Facts, terms: Terms, now: int) -> View:
    """Reckon with what is known. now: Unix nanoseconds."""
    nodes, pods, budgets = facts
    on_nodes: dict[str, list[Pod]] = defaultdict(list)
    for pod in pods or ():
        on_nodes[pod.node].append(pod)
    requested = {name: _sum(pod.requests for pod in found) for name, found in on_nodes.items() if name}
    found = None
    if nodes is not None and pods is not None and budgets is not None:
        budgets_of = finder(budgets)
        found = {node.name: readiness(on_nodes.get(node.name, ()), budgets_of, terms, now) for node in nodes}
    return View(access, nodes, pods, budgets, requested, found)


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    cores = memory = gpus = 0.0
    for one in amounts:
        cores += one[0]
        memory += one[1]
        gpus += one[2]
    return (cores, memory, gpus)


def totals(view: View) -> Iterator[Sample]:
    """Gauges of pools that may be added up. Of all nodes, whether they are shown or not."""
    if view.nodes is not None:
        yield from _of_pools(view, view.nodes)


def samples(view: View, most_nodes: int) -> Iterator[Sample]:
    """All other gauges of a cluster. most_nodes: nodes with series of their own."""
    name = view.access.name
    yield kubernetes.CLUSTER_INFO(1, client=view.access.client, cluster=name)
    if view.nodes is not None:
        shown = _shown_nodes(view, most_nodes)
        yield kubernetes.NODES_NOT_SHOWN(len(view.nodes) - len(shown), cluster=name)
        for node in shown:
            yield from _of_node(view, node)
        yield from _blast(view, view.nodes)
    if view.pods is not None:
        phases = Counter(pod.phase for pod in view.pods)
        for phase in kubernetes.PHASE.one_of:
            yield kubernetes.PODS(phases[phase], cluster=name, phase=phase)
    if view.budgets is not None:
        yield from _budgets(view, view.budgets)


def desk_nodes(view: View) -> tuple[Node, ...]:
    """The nodes for those who reckon with machines."""
    ready = view.readiness or {}
    return tuple(
        Node(
            name=node.name,
            instance=node.instance,
            pool=node.pool,
            lifecycle=node.lifecycle,
            instance_type=node.instance_type,
            zone=node.zone,
            requested=view.requested.get(node.name, _NONE),
            allocatable=node.allocatable,
            ready_to_drain=ready[node.name].ready if node.name in ready else None,
            drain_estimate=ready[node.name].estimate if node.name in ready else 0.0,
            forced_on_demand=node.forced,
            leaving=node.leaving,
        )
        for node in view.nodes or ()
    )


def _shown_nodes(view: View, most: int) -> list[Fact]:
    """Where there are too many: first those that could not be left, and those that somebody empties."""
    nodes = sorted(view.nodes or (), key=lambda node: node.name)
    if len(nodes) <= most:
        return nodes
    ready = view.readiness or {}
    calm = {node.name: not node.leaving and (node.name not in ready or ready[node.name].ready) for node in nodes}
    return sorted(nodes, key=lambda node: calm[node.name])[:most]


def _of_node(view: View, node: Fact) -> Iterator[Sample]:
    where = {"cluster": view.access.name, "node": node.name}
    yield kubernetes.NODE_INFO(
        1,
        client=view.access.client,
        nodepool=node.pool,
        lifecycle=node.lifecycle,
        instance_type=node.instance_type,
        zone=node.zone,
        instance_id=node.instance,
        **where,
    )
    yield kubernetes.NODE_READY(int(node.ready), **where)
    if node.leaving:
        yield kubernetes.NODE_UNSCHEDULABLE(1, **where)
    if view.pods is not None:
        asked = view.requested.get(node.name, _NONE)
        for place, capacity in enumerate(kubernetes.CAPACITY.one_of):
            there = node.allocatable[place]
            if there > 0:
                yield kubernetes.NODE_IDLE(max(0.0, 1 - asked[place] / there), capacity=capacity, **where)
    if view.readiness is not None:
        drain = view.readiness[node.name]
        yield kubernetes.DRAIN_READY(int(drain.ready), **where)
        yield kubernetes.DRAIN_PODS(drain.pods, **where)
        yield kubernetes.DRAIN_ESTIMATE(drain.estimate, **where)
        for reason, pods in sorted(drain.blocked.items()):
            yield kubernetes.DRAIN_BLOCKED(pods, reason=reason, **where)


def _of_pools(view: View, nodes: Sequence[Fact]) -> Iterator[Sample]:
    name = view.access.name
    numbers = Counter((node.pool, node.lifecycle, node.instance_type, node.zone) for node in nodes)
    for labels, number in numbers.items():
        yield Sample(kubernetes.NODES, (name, *labels), number)
    tainted = Counter((node.pool, node.lifecycle, effect) for node in nodes for effect in node.effects)
    for taints, number in tainted.items():
        if taints[2] in kubernetes.EFFECT.one_of:
            yield Sample(kubernetes.NODE_TAINTS, (name, *taints), number)
    there: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for node in nodes:
        there[node.pool, node.lifecycle].append(node)
    for pool, members in there.items():
        has = _sum(node.allocatable for node in members)
        asked = _sum(view.requested.get(node.name, _NONE) for node in members)
        for place, (allocatable, requested) in enumerate(_OF_POOLS):
            if place == 2 and not has[place]:
                continue
            yield Sample(allocatable, (name, *pool), has[place])
            if view.pods is not None:
                yield Sample(requested, (name, *pool), asked[place])
        if view.readiness is not None:
            able = sum(view.readiness[node.name].ready for node in members)
            yield Sample(kubernetes.DRAINABLE, (name, *pool), able)


def _blast(view: View, nodes: Sequence[Fact]) -> Iterator[Sample]:
    name = view.access.name
    pools = {node.name: (node.instance_type, node.zone, node.lifecycle) for node in nodes}
    sizes = Counter(pools.values())
    yield kubernetes.CONCENTRATION(concentration(sizes.values()), cluster=name)
    for labels, size in sizes.items():
        yield Sample(kubernetes.BLAST_SHARE, (name, *labels), size / len(nodes))
    if view.pods is not None and view.budgets is not None:
        for labels, blast in blasts(pools, view.pods, view.budgets).items():
            yield Sample(kubernetes.BLAST_PDBS, (name, *labels), blast.broken)


def _budgets(view: View, budgets: Sequence[Budget]) -> Iterator[Sample]:
    name = view.access.name
    states = Counter(_state(budget) for budget in budgets)
    for state in kubernetes.PDB_STATE.one_of:
        yield kubernetes.PDBS(states[state], cluster=name, state=state)
    held: Counter[tuple[str, str]] = Counter()
    for drain in (view.readiness or {}).values():
        held.update(drain.held_by)
    for labels, pods in sorted(held.items(), key=lambda item: (-item[1], item[0]))[: kubernetes.PDB.at_most]:
        yield Sample(kubernetes.PDB_BLOCKED, (name, *labels), pods)


def _state(budget: Budget) -> str:
    if budget.behind:
        return "stale"
    if not budget.expected:
        return "idle"
    return "allows" if budget.allowed > 0 else "exhausted"
