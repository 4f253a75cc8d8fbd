"""What is known of one cluster, kept by its watches. Each method may be called from any thread."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fleetwatch.collect.kubernetes import _events
from fleetwatch.collect.kubernetes._drains import Drains
from fleetwatch.collect.kubernetes._nodes import Fact as NodeFact
from fleetwatch.collect.kubernetes._pods import CAUSES
from fleetwatch.reckon.drain import ENDED, must_leave
from fleetwatch.records.kubernetes import Budget, Pod
from fleetwatch.records.spot import DrainStep

Labels = tuple[tuple[str, str], ...]


class Known(NamedTuple):
    """A copy that stays as it is."""

    nodes: list[NodeFact]
    pods: list[Pod]
    budgets: list[Budget]


class State:
    """Of one cluster. clock: Unix seconds."""

    def __init__(self, cluster: str, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._nodes: dict[str, NodeFact] = {}
        self._pods: dict[str, Pod] = {}
        self._budgets: dict[tuple[str, str], Budget] = {}
        self._pods_known = False
        self._left: Counter[str] = Counter()
        self._labels: dict[Labels, Labels] = {}
        self._tally = _events.Tally()
        self._evictions: Counter[tuple[str, str, str]] = Counter()
        self._counted: set[str] = set()
        self._drains = Drains(cluster, self._left_on)

    def known(self) -> Known:
        with self._lock:
            return Known(list(self._nodes.values()), list(self._pods.values()), list(self._budgets.values()))

    def sizes(self) -> dict[str, int]:
        """Resource -> objects that are kept."""
        with self._lock:
            return {
                "nodes": len(self._nodes),
                "pods": len(self._pods),
                "poddisruptionbudgets": len(self._budgets),
                "events": len(self._tally),
            }

    def counts(self) -> tuple[dict[tuple[str, str, str, str], int], dict[tuple[str, str, str], int]]:
        """Events by kind, reason, type, namespace; evictions by node pool, lifecycle, cause."""
        with self._lock:
            return dict(self._tally.counts), dict(self._evictions)

    def steps(self) -> list[DrainStep]:
        """Steps of drains that are not written down."""
        with self._lock:
            return self._drains.waiting()

    def written(self, steps: Sequence[DrainStep]) -> None:
        with self._lock:
            self._drains.written(steps)

    def _now(self) -> int:
        return int(self._clock() * 1e9)

    def _left_on(self, node: str) -> int | None:
        return self._left[node] if self._pods_known else None

    # Nodes

    def replace_nodes(self, facts: list[NodeFact]) -> None:
        with self._lock:
            new = {fact.name: fact for fact in facts}
            for name in self._nodes.keys() - new.keys():
                self.drop_node(self._nodes[name])
            for fact in facts:
                self.put_node(fact)

    def put_node(self, fact: NodeFact) -> None:
        with self._lock:
            before = self._nodes.get(fact.name)
            if before is not None and before.instance and before.instance != fact.instance:
                self._drains.gone(before, self._now())  # another machine by the same name
            self._nodes[fact.name] = fact
            self._drains.node(fact, self._now())

    def drop_node(self, fact: NodeFact) -> None:
        with self._lock:
            if self._nodes.pop(fact.name, None) is not None:
                self._drains.gone(fact, self._now())

    # Pods

    def replace_pods(self, pods: list[Pod]) -> None:
        with self._lock:
            for pod in pods:
                self._evicted(pod, count=self._pods_known)
            self._counted &= {pod.uid for pod in pods}
            self._labels.clear()
            self._pods = {pod.uid: self._small(pod) for pod in pods if pod.phase not in ENDED}
            self._left = Counter(pod.node for pod in self._pods.values() if must_leave(pod))
            self._pods_known = True
            self._drains.look_at(list(self._nodes.values()), self._now())

    def put_pod(self, pod: Pod) -> None:
        with self._lock:
            self._evicted(pod, count=True)
            before = self._pods.get(pod.uid)
            if pod.phase in ENDED:
                self._pods.pop(pod.uid, None)
                self._count_left(before, None)
            else:
                self._pods[pod.uid] = self._small(pod)
                self._count_left(before, pod)

    def drop_pod(self, pod: Pod) -> None:
        with self._lock:
            self._evicted(pod, count=True)
            self._counted.discard(pod.uid)
            self._count_left(self._pods.pop(pod.uid, None), None)

    def _small(self, pod: Pod) -> Pod:
        """The same with texts shared: a pod's labels and node are those of many."""
        if len(self._labels) > 2 * len(self._pods) + 1000:
            self._labels.clear()  # of pods that are gone
        labels = self._labels.setdefault(pod.labels, pod.labels)
        return pod._replace(
            labels=labels,
            node=sys.intern(pod.node),
            namespace=sys.intern(pod.namespace),
            phase=sys.intern(pod.phase),
            disruption=sys.intern(pod.disruption),
        )

    def _count_left(self, before: Pod | None, after: Pod | None) -> None:
        if after is not None and must_leave(after):
            self._left[after.node] += 1
        if before is None or not must_leave(before):
            return
        self._left[before.node] -= 1
        if self._left[before.node] == 0:
            del self._left[before.node]
            node = self._nodes.get(before.node)
            if node is not None:
                self._drains.look(node, self._now())

    def _evicted(self, pod: Pod, *, count: bool) -> None:
        """Count a pod that somebody made to leave, once; its node's drain has begun with it."""
        node = self._nodes.get(pod.node)
        if pod.disruption and pod.uid not in self._counted:
            self._counted.add(pod.uid)
            if count:
                pool, lifecycle = (node.pool, node.lifecycle) if node is not None else ("", "unknown")
                self._evictions[pool, lifecycle, CAUSES.get(pod.disruption, "other")] += 1
        if node is not None and must_leave(pod) and (pod.disruption or pod.ends is not None):
            self._drains.evicted(node, pod.disrupted)

    # Budgets, events

    def replace_budgets(self, budgets: list[Budget]) -> None:
        with self._lock:
            self._budgets = {(item.namespace, item.name): item for item in budgets}

    def put_budget(self, budget: Budget) -> None:
        with self._lock:
            self._budgets[budget.namespace, budget.name] = budget

    def drop_budget(self, budget: Budget) -> None:
        with self._lock:
            self._budgets.pop((budget.namespace, budget.name), None)

    def replace_events(self, events: list[_events.Fact]) -> None:
        with self._lock:
            self._tally.replace(events)

    def put_event(self, event: _events.Fact) -> None:
        with self._lock:
            self._tally.put(event)

    def drop_event(self, event: _events.Fact) -> None:
        with self._lock:
            self._tally.drop(event.uid)
