"""Volumes of EBS: what they cost, and those that are attached to nothing.

    storage_usd_per_month{account="prod",region="us-east-1",kind="volume",type="gp3",estimate="exact"} 812.4
    storage_waste_usd_per_month{account="prod",region="us-east-1",kind="volume",type="gp3",estimate="exact"} 96

Waste is a volume in the state `available` for longer than storage.grace. Since when is known from looking: EC2 does not
tell when a volume was detached.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleetwatch.catalogue import storage
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.runner import source
from fleetwatch.collect.storage import _ec2
from fleetwatch.collect.storage._source import PATIENCE, Place, StorageSource
from fleetwatch.reckon.storage_waste import price_volume
from fleetwatch.records.storage import Item


@source(interval=900, timeout=PATIENCE + 30)
class Volumes(StorageSource):
    """Describing is free; a look is one request for 500 volumes."""

    parts = ("volumes", "volumes")

    def look(self, place: Place) -> Iterator[tuple[str, list[Item]]]:
        items = [price_volume(item, place.region, place.prices) for item in _ec2.volumes(place.call, place.region)]
        yield "stored", items
        yield "unused", [item for item in items if item.reason is not None]

    def extra(self) -> Iterator[Sample]:
        if self._here.storage is not None:
            yield storage.GRACE(self._here.storage.grace)
        if self.table is not None:
            yield storage.PRICES_AGE(max(0.0, self._here.clock() - self.table.day), source=self.table.source)
