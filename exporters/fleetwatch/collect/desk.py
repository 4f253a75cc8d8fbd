"""What sources of clouds and clusters tell each other, and those who reckon with it.

Each source replaces whole values that nobody changes afterwards; readers take them as they are. Assigning to a key of a
dictionary is atomic, so no lock is needed. What is gone is taken out by the source that put it in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetwatch.records.kubernetes import Cluster
from fleetwatch.records.spot import Advice, Fleet, ListPrice, Pool, Score, Shape, SpotPrices


@dataclass
class Desk:
    """Latest facts, by what they are about."""

    fleets: dict[tuple[str, str], Fleet] = field(default_factory=dict)
    """(account, region) -> its machines."""
    spot_prices: dict[Pool, SpotPrices] = field(default_factory=dict)
    price_looks: dict[tuple[str, str], frozenset[tuple[str, str]]] = field(default_factory=dict)
    """(account, region) -> (instance type, product) whose spot prices were read, in all zones: a pool of these that is
    not in `spot_prices` has none."""
    list_prices: dict[tuple[str, str, str], ListPrice] = field(default_factory=dict)
    """(region, instance type, product) -> on-demand price."""
    advice: dict[tuple[str, str, str], Advice] = field(default_factory=dict)
    """(region, instance type, operating system as `Linux`) -> AWS' Spot Advisor."""
    scores: dict[tuple[str, str, str], Score] = field(default_factory=dict)
    """(configuration, region, az_id)."""
    shapes: dict[str, Shape] = field(default_factory=dict)
    """Instance type -> what it is."""
    zones: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """(account, region) -> name of a zone -> its id."""
    capacity_errors: dict[Pool, int] = field(default_factory=dict)
    """Pool -> when it last had no capacity, Unix nanoseconds."""
    clusters: dict[str, Cluster] = field(default_factory=dict)
    wanted: set[tuple[str, str]] = field(default_factory=set)
    """(region, instance type) of alternates whose prices are wanted besides those in use; replaced whole."""
    alternates: frozenset[Pool] = frozenset()
    """Pools that are shown as alternates of workloads, besides those in use; replaced whole."""
