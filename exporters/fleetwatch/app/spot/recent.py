"""The last notices and switches, each in a slot of its own: few series, however much happens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.records.kubernetes import Cluster
from fleetwatch.records.spot import Instance, Interruption, Switch


class Ring:
    """Slots that things keep while they are among the recent ones, so that a series that changes is seen to change."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}

    def place(self, keys: Sequence[str]) -> dict[str, int]:
        """Slots of these, newest first; whoever is not among them any more gives up its slot."""
        kept = {key: self._slots[key] for key in keys if key in self._slots}
        free = iter(sorted(set(range(len(keys))) - set(kept.values())))
        # The oldest first: after a restart they stand in the order of their coming.
        for key in reversed(keys):
            if key not in kept:
                kept[key] = next(free)
        self._slots = kept
        return kept


class Place(NamedTuple):
    """A machine in a cluster."""

    cluster: str
    node: str


def places(clusters: Iterable[Cluster]) -> dict[str, Place]:
    """EC2's id of a machine -> its node."""
    return {
        node.instance: Place(cluster.name, node.name) for cluster in clusters for node in cluster.nodes if node.instance
    }


class Recent:
    """Both rings."""

    def __init__(self) -> None:
        self._notices = Ring()
        self._switches = Ring()

    def notices(
        self, found: Sequence[Interruption], instances: Mapping[str, Instance], nodes: Mapping[str, Place]
    ) -> Iterator[Sample]:
        """found: newest first, one for each id. instances: by id, those that are known."""
        slots = self._notices.place([item.id for item in found])
        for item in found:
            at = item.warning or item.rebalance or item.terminated
            if at is None:
                continue
            machine = instances.get(item.instance)
            pool = item.pool or (machine.pool if machine is not None else None)
            node = nodes.get(item.instance) or Place(item.cluster, item.host if item.cluster else "")
            where = (pool.account, pool.region, pool.az_id, pool.instance_type) if pool else ("", "", "", "")
            workload = machine.workload if machine is not None else ""
            labels = (str(slots[item.id]), *where, item.instance, workload, *node, kind_of(item), item.reason)
            yield Sample(spot.RECENT_NOTICE, (*labels, item.outcome), at / NANO)

    def switches(self, found: Sequence[Switch]) -> Iterator[Sample]:
        """found: newest first."""
        keys = [f"{item.at} {item.workload}" for item in found]
        slots = self._switches.place(keys)
        for key, item in zip(keys, found, strict=True):
            before = (item.before.instance_type, item.before.az_id)
            after = (item.after.instance_type, item.after.az_id)
            labels = (str(slots[key]), item.workload, *before, *after, item.outcome)
            yield Sample(spot.RECENT_SWITCH, labels, item.at / NANO)


def kind_of(item: Interruption) -> str:
    """How far it came."""
    if item.terminated is not None:
        return "interruption"
    return "rebalance" if item.warning is None else "warning"
