"""What a running exporter says of pools and alternates. Prices, risk and ranks are in no ledger: they are of now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import Label, Metric
from fleetwatch.collect.serving._address import address_of
from fleetwatch.collect.serving._ask import NoAnswer, metrics_of
from fleetwatch.collect.serving._exposition import points
from fleetwatch.records.spot import Pool

__all__ = ["Alternate", "Live", "NoAnswer", "PoolNow", "live", "read"]


class PoolNow(NamedTuple):
    """A pool now; what is not known is None. Prices: USD per hour; age: seconds since its price was read."""

    price: float | None = None
    on_demand: float | None = None
    risk: float | None = None
    inputs: int | None = None
    age: float | None = None
    machines: int = 0


class Alternate(NamedTuple):
    """A pool that a workload could run in. price: effective, USD per hour and unit."""

    workload: str
    rank: int
    pool: Pool
    price: float | None


class Live(NamedTuple):
    """All that is shown. prices: workload -> effective USD per hour and unit of what it runs on."""

    pools: Mapping[Pool, PoolNow]
    alternates: tuple[Alternate, ...]
    prices: Mapping[str, float]
    optimisation: Mapping[str, float]
    recommended: frozenset[str]
    """Workloads that are told to move."""
    used: frozenset[tuple[str, Pool]]
    """(workload, pool) in which it has spot machines."""


def live(url: str) -> Live:
    """Ask the exporter at this address. Raises NoAnswer, and ValueError for what is no address or no metrics."""
    return read(metrics_of(address_of(url, "/metrics"), None))


def read(exposition: str) -> Live:
    """From the text of /metrics. Raises ValueError for a line that is none."""
    names = {metric.prometheus: metric for metric in _METRICS}
    found: dict[Metric, dict[tuple[str, ...], float]] = {metric: {} for metric in _METRICS}
    for point in points(exposition, names):
        metric = names[point.name]
        found[metric][tuple(point.labels.get(name, "") for name in metric.label_names)] = point.value
    pools: dict[Pool, PoolNow] = {}
    for metric, with_value in _FIELDS.items():
        for labels, value in found[metric].items():
            pool = _pool(metric, labels)
            pools[pool] = with_value(pools.get(pool, PoolNow()), value)
    used = set()
    for labels, value in found[spot.FLEET_INSTANCES].items():
        if _told(spot.FLEET_INSTANCES, labels, spot.LIFECYCLE) == "spot" and value:
            pool = _pool(spot.FLEET_INSTANCES, labels)
            now = pools.get(pool, PoolNow())
            pools[pool] = now._replace(machines=now.machines + int(value))
            used.add((_told(spot.FLEET_INSTANCES, labels, spot.WORKLOAD), pool))
    alternates = [
        Alternate(labels[0], int(rank), _pool(spot.ALTERNATE_RANK, labels), found[spot.ALTERNATE_PRICE].get(labels))
        for labels, rank in found[spot.ALTERNATE_RANK].items()
    ]
    return Live(
        pools,
        tuple(sorted(alternates, key=lambda item: (item.workload, item.rank, item.pool))),
        {labels[0]: value for labels, value in found[spot.WORKLOAD_PRICE].items()},
        {labels[0]: value for labels, value in found[spot.OPTIMISATION].items()},
        frozenset(labels[0] for labels, value in found[spot.OPEN_RECOMMENDATIONS].items() if value),
        frozenset(used),
    )


_FIELDS: dict[Metric, Callable[[PoolNow, float], PoolNow]] = {
    spot.POOL_PRICE: lambda pool, value: pool._replace(price=value),
    spot.POOL_ON_DEMAND: lambda pool, value: pool._replace(on_demand=value),
    spot.RISK: lambda pool, value: pool._replace(risk=value),
    spot.RISK_INPUTS: lambda pool, value: pool._replace(inputs=int(value)),
    spot.PRICE_AGE: lambda pool, value: pool._replace(age=value),
}
_METRICS = (
    *_FIELDS,
    spot.FLEET_INSTANCES,
    spot.ALTERNATE_RANK,
    spot.ALTERNATE_PRICE,
    spot.WORKLOAD_PRICE,
    spot.OPTIMISATION,
    spot.OPEN_RECOMMENDATIONS,
)


def _told(metric: Metric, labels: tuple[str, ...], label: Label) -> str:
    return labels[metric.labels.index(label)]


def _pool(metric: Metric, labels: tuple[str, ...]) -> Pool:
    return Pool(*(_told(metric, labels, label) for label in spot.POOL))
