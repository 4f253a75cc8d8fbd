"""Snapshots of EBS and images made of them: what they cost, and those that nobody needs.

    storage_usd_per_month{account="prod",region="us-east-1",kind="snapshot",type="standard",estimate="upper_bound"} 240
    storage_waste_usd_per_month{…,kind="image",type="standard",estimate="upper_bound"} 31.5

Only one's own. Snapshots are incremental, and EC2 does not tell what a single one takes: they are priced at their full
size, which no bill exceeds. What is unused: reckon/storage_waste.py. Where images, volumes or launch templates cannot
be read, nothing is called unused: what was known before is shown for three looks more.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleetwatch.collect.runner import source
from fleetwatch.collect.storage import _ec2
from fleetwatch.collect.storage._source import PATIENCE, Place, StorageSource
from fleetwatch.reckon.storage_waste import price_snapshot, unused_snapshots
from fleetwatch.records.storage import Item


@source(interval=1800, timeout=PATIENCE + 30)
class Snapshots(StorageSource):
    """Describing is free; a look is four lists."""

    parts = ("snapshots", "references")

    def look(self, place: Place) -> Iterator[tuple[str, list[Item]]]:
        own = _ec2.snapshots(place.call, place.owner, place.region)
        priced = {item.id: (item, price_snapshot(item, place.region, place.prices)) for item in own}
        yield "stored", [item for _, item in priced.values()]
        # After the snapshots: what came into use meanwhile is in use.
        images = _ec2.images(place.call, place.owner)
        needed = _ec2.references(place.call, place.region)
        yield "unused", unused_snapshots(priced, images, needed, place.now, place.grace)
