"""Clusters, watched: nodes and whether each could be left in time, budgets, pools, events.

k8s_node_drain_ready{cluster="prod",node="ip-10-0-1-7"} 0
k8s_node_drain_blocked_pods{cluster="prod",node="ip-10-0-1-7",reason="pdb_exhausted"} 2
k8s_blast_radius_nodes_ratio{cluster="prod",instance_type="m7g.large",zone="eu-west-1a",lifecycle="spot"} 0.41

Needs the extra `kubernetes`, and list and watch of nodes, pods, poddisruptionbudgets and events. A cycle asks nothing:
it reckons with what the watches know. A resource that cannot be watched hurts only what is made of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from fleetwatch.catalogue import kubernetes
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here, KubernetesAccess
from fleetwatch.collect.kubernetes._cluster import Watched
from fleetwatch.collect.kubernetes._counted import Counted
from fleetwatch.collect.kubernetes._shown import Facts, View, desk_nodes, samples, totals, view
from fleetwatch.collect.kubernetes._watch import Pace
from fleetwatch.collect.runner import Denied, Incomplete, NoData, source
from fleetwatch.collect.sums import Sums
from fleetwatch.reckon.drain import Terms
from fleetwatch.records.kubernetes import Cluster

FIRST_WAIT = 20.0
"""Seconds that the first cycle waits for what there is, so that it shows whole clusters."""

SHOWN = 5
"""Troubles that a message names; the others are counted."""


@source(interval=15, timeout=30)
class Kubernetes:
    """Watches all clusters of the settings from the first cycle on."""

    def __init__(self, here: Here, pace: Pace = Pace()) -> None:  # noqa: B008 - a tuple cannot change
        self._here = here
        self._pace = pace
        self._clusters: list[Watched] = []
        self._counted = Counted()
        self._sums = Sums(here.ai_services.limits)

    def __call__(self) -> Iterator[Sample]:
        """Raises NoData without clusters, Incomplete for what does not work."""
        settings = self._here.kubernetes
        if settings is None or not settings.clusters:
            raise NoData
        if not self._clusters:
            self._begin(settings)
        views = [self._look(cluster, settings) for cluster in self._clusters]
        rooms = _shares([len(item.nodes or ()) for item in views], settings.most_nodes)
        # They take their places under the bounds of labels first, so that what is added up stays whole.
        yield from self._sums.of(sample for found in views for sample in totals(found))
        for cluster, found, room in zip(self._clusters, views, rooms, strict=True):
            yield from samples(found, room)
            yield from self._counters(cluster)
        _raise_for(self._clusters, self._commit())

    def stop(self) -> None:
        """End the watches, and wait for their threads."""
        for cluster in self._clusters:
            cluster.stop()

    def _begin(self, settings: KubernetesAccess) -> None:
        self._clusters = [Watched(item, settings, self._here.clock, self._pace) for item in settings.clusters]
        for cluster in self._clusters:
            cluster.start()
        until = time.monotonic() + FIRST_WAIT
        for cluster in self._clusters:
            cluster.wait(until - time.monotonic())

    def _look(self, cluster: Watched, settings: KubernetesAccess) -> View:
        known = cluster.state.known()
        terms = Terms(settings.drain_within, settings.notice_lag, settings.replacement_ready)
        facts = Facts(
            known.nodes if cluster.is_fresh("nodes") else None,
            known.pods if cluster.is_fresh("pods") else None,
            known.budgets if cluster.is_fresh("poddisruptionbudgets") else None,
        )
        found = view(cluster.access, facts, terms, int(self._here.clock() * 1e9))
        clusters = self._here.desk.clusters
        if found.nodes is None:
            clusters.pop(cluster.access.name, None)
        else:
            access = cluster.access
            clusters[access.name] = Cluster(access.name, access.client, cluster.at("nodes"), desk_nodes(found))
        return found

    def _counters(self, cluster: Watched) -> Iterator[Sample]:
        name = cluster.access.name
        known = cluster.state.sizes()
        for resource, watch in cluster.watches.items():
            yield kubernetes.WATCH_AGE(cluster.age(resource), cluster=name, resource=resource)
            yield kubernetes.WATCH_OBJECTS(known[resource], cluster=name, resource=resource)
            for trigger in kubernetes.RESTART.one_of:
                restarts = watch.restarts[trigger]
                yield kubernetes.WATCH_RESTARTS(restarts, cluster=name, resource=resource, trigger=trigger)
        events, evictions = cluster.state.counts()
        yield from self._counted.samples(kubernetes.EVENTS, {(name, *key): value for key, value in events.items()})
        yield from self._counted.samples(
            kubernetes.EVICTIONS, {(name, *key): value for key, value in evictions.items()}
        )

    def _commit(self) -> str:
        """Write down the steps of drains; they wait here until that succeeds. Returns what failed."""
        for cluster in self._clusters:
            steps = cluster.state.steps()
            if not steps:
                continue
            if self._here.commit is not None:
                try:
                    self._here.commit(steps)
                except Exception as error:
                    return f"steps of drains are not written down yet: {error}"
            cluster.state.written(steps)
        return ""


def _raise_for(clusters: Sequence[Watched], trouble: str) -> None:
    """Raises Incomplete where something does not work."""
    texts = [trouble] if trouble else []
    denied: dict[str, Denied] = {}
    for cluster in clusters:
        for text, missing in cluster.troubles():
            texts.append(text)
            if missing is not None:
                denied.setdefault(missing.permission, missing)
    if texts:
        more = f" | and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
        raise Incomplete(" | ".join(texts[:SHOWN]) + more, denied.values())


def _shares(wanted: Sequence[int], most: int) -> list[int]:
    """How many nodes of each cluster have series of their own: small clusters are shown whole, large ones share."""
    given = [0] * len(wanted)
    left = most
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    for done, place in enumerate(order):
        given[place] = min(wanted[place], left // (len(order) - done))
        left -= given[place]
    return given
