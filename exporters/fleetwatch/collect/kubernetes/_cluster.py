"""One cluster: its watches, what they know, and how fresh that is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from fleetwatch.collect.here import ClusterAccess, KubernetesAccess
from fleetwatch.collect.kubernetes import _events, _nodes, _pdbs, _pods
from fleetwatch.collect.kubernetes._api import Api
from fleetwatch.collect.kubernetes._state import State
from fleetwatch.collect.kubernetes._watch import Failure, Keep, Pace, Resource, Watch
from fleetwatch.collect.runner import Denied

NODES = Resource("nodes", "/api/v1/nodes", _nodes.RawNode)
PODS = Resource("pods", "/api/v1/pods", _pods.RawPod)
BUDGETS = Resource(
    "poddisruptionbudgets",
    "/apis/policy/v1/poddisruptionbudgets",
    _pdbs.RawBudget,
    "policy",
)
EVENTS = Resource("events", "/api/v1/events", _events.RawEvent, most=_events.MOST, cut=True)

STALE = 300.0
"""Seconds without a sign of the API after which gauges of what it told are gone: a cluster that is upgraded comes back
before, and what is older would be believed."""


class Watched:
    """Watches of one cluster."""

    def __init__(
        self, access: ClusterAccess, settings: KubernetesAccess, clock: Callable[[], float], pace: Pace
    ) -> None:
        self.access = access
        self.state = State(access.name, clock)
        self._clock = clock
        self._begun = clock()
        api, state = Api(access), self.state
        node = partial(
            _nodes.fact, pool_labels=settings.pool_labels, on_demand_annotation=settings.on_demand_annotation
        )
        event = partial(_events.fact, namespaces=settings.namespaces)
        nodes = Keep(node, state.replace_nodes, state.put_node, state.drop_node)
        pods = Keep(_pods.fact, state.replace_pods, state.put_pod, state.drop_pod)
        budgets = Keep(_pdbs.fact, state.replace_budgets, state.put_budget, state.drop_budget)
        events = Keep(event, state.replace_events, state.put_event, state.drop_event)
        watches: list[Watch[Any, Any]] = [
            Watch(api, NODES, nodes, pace, clock),
            Watch(api, PODS, pods, pace, clock),
            Watch(api, BUDGETS, budgets, pace, clock),
            Watch(api, EVENTS, events, pace, clock),
        ]
        self.watches = {watch.resource.name: watch for watch in watches}

    def start(self) -> None:
        for watch in self.watches.values():
            watch.start()

    def stop(self) -> None:
        for watch in self.watches.values():
            watch.stop()

    def wait(self, seconds: float) -> None:
        """Until all has been listed, or tried in vain; for so long at most."""
        until = time.monotonic() + seconds
        for watch in self.watches.values():
            watch.synced.wait(max(0.0, until - time.monotonic()))

    def age(self, name: str) -> float:
        """Seconds since the API told anything of this resource; since we began to ask, where it never did."""
        told = self.watches[name].told
        return max(0.0, self._clock() - (self._begun if told is None else told))

    def is_fresh(self, name: str) -> bool:
        return self.watches[name].listed and self.age(name) < STALE

    def at(self, name: str) -> int:
        """When the API last told anything of this resource, Unix nanoseconds."""
        return int((self.watches[name].told or self._begun) * 1e9)

    def troubles(self) -> Iterator[tuple[str, Denied | None]]:
        """What does not work: a text, and the permission that is missing where it is one.

        What fails alike is said once: an API that is away fails with all of its resources.
        """
        alike: dict[tuple[str, str, int], list[str]] = {}
        for name, watch in self.watches.items():
            for failure in list(watch.failures.values()):
                denied = self._denied(watch, failure)
                if denied is not None:
                    yield self._words([name], failure.verb, failure.why), denied
                else:
                    alike.setdefault((failure.verb, failure.why, self._known(name)), []).append(name)
            unread = list(watch.unread.values())
            if unread:
                yield f"{self.access.name}: {len(unread)} {name} cannot be read, the first: {unread[0]}", None
        for (verb, why, _), names in alike.items():
            yield self._words(names, verb, why), None

    def _known(self, name: str) -> int:
        """0: nothing; 1: what is too old to be shown; 2: what is shown."""
        return 0 if not self.watches[name].listed else 1 + (self.age(name) < STALE)

    def _words(self, names: Sequence[str], verb: str, why: str) -> str:
        """names: of resources of which equally much is known."""
        age = max(map(self.age, names))
        known = (
            "nothing is known of them",
            f"what was known {age:.0f} s ago is not shown any more",
            f"what is shown was told {age:.0f} s ago",
        )[self._known(names[0])]
        return f"{self.access.name}: {verb} {', '.join(names)}: {why}; {known}"

    def _denied(self, watch: Watch[Any, Any], failure: Failure) -> Denied | None:
        if failure.status != 403:
            return None
        resource = watch.resource
        fix = (
            f"Allow `{failure.verb}` of {resource.name} in the ClusterRole of the exporter's account "
            "(exporters/deploy/kubernetes/clusters/role.yaml)."
        )
        return Denied(resource.permission(failure.verb), f"cluster {self.access.name}: {failure.why}", fix)
