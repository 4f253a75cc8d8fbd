"""What volumes, snapshots and images cost, and which of them nobody uses.

    gp3, 100 GiB, 4,000 iops, us-east-1: 100 x 0.08 + 1,000 x 0.005 = 13 USD a month

Prices are AWS' list prices for a GiB, an iops or a MiB/s of throughput and a whole month. AWS bills by the second; a
month of its own calculator (calculator.aws) has 730 hours, which is 365 x 24 / 12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fleetwatch.records.storage import Estimate, Image, Item, PriceList, Reason, References, Snapshot, Volume

GIB = 1 << 30
HOURS = 730
"""Of a month."""

FREE_IOPS, FREE_MIBPS = 3000, 125
"""Of each gp3 volume. EBS User Guide, "General Purpose SSD volumes"."""

TIERS = ((0, "iops"), (32_000, "iops_32000"), (64_000, "iops_64000"))
"""From how many iops on each price of io2 counts. Amazon EBS pricing, "Provisioned IOPS SSD (io2)"."""

PROVISIONED = ("io1", "io2")
"""Types that have no iops but those that are paid for."""

NO_SNAPSHOT = "instance-store"
"""Type of an image that lies in S3, where EC2 tells neither its size nor its price."""


class Priced(NamedTuple):
    cost: int | None
    confirmed: bool


@dataclass(slots=True)
class Sum:
    """Of several items. cost, size: of those with a price, of all; in the units of Item."""

    cost: int = 0
    size: int = 0
    resources: int = 0
    unpriced: int = 0

    @property
    def priced(self) -> int:
        return self.resources - self.unpriced


def nano(cost: int) -> int:
    """Nano-USD of an Item's cost or of a sum of them, rounded once, half to even."""
    whole, rest = divmod(cost, GIB)
    half = GIB // 2
    return whole + (rest > half or (rest == half and whole % 2 == 1))


def wasted(cost: int, seconds: float) -> int:
    """Nano-USD of an Item's cost for so long: a month's 730 hours cost the whole. Rounded down by less than 1."""
    return cost * int(seconds) // (GIB * HOURS * 3600)


def price_volume(volume: Volume, region: str, prices: PriceList) -> Item:
    """A volume is billed as it was provisioned, whether it is attached or not."""
    quantities = {} if volume.elsewhere else _quantities(volume)
    cost, confirmed = _priced(quantities, (region, "volume", volume.type), prices)
    estimate: Estimate = "exact" if confirmed else "unconfirmed"
    reason: Reason | None = None if volume.attached else "unattached"
    return Item(volume.id, "volume", volume.type, volume.gib * GIB, cost, estimate, reason)


def price_snapshot(snapshot: Snapshot, region: str, prices: PriceList) -> Item:
    """At its full size. One that is restored for a while is in both tiers, and billed for both."""
    tiers = {snapshot.tier, "standard", "archive"} if snapshot.restored else {snapshot.tier}
    found = [_of_bytes(snapshot, (region, "snapshot", tier, "gib"), prices) for tier in sorted(tiers)]
    costs = [cost for cost in found if cost is not None]
    cost = sum(costs) if len(costs) == len(found) else None
    return Item(snapshot.id, "snapshot", snapshot.tier, snapshot.size, cost, "upper_bound")


def unused_snapshots(
    snapshots: Mapping[str, tuple[Snapshot, Item]],
    images: Sequence[Image],
    needed: References,
    now: float,
    grace: float,
) -> list[Item]:
    """Snapshots and images that nobody uses, each byte once: the snapshots of an unused image are the image's.

    An image is unused that was never launched, or that is deprecated and was not launched for `grace`; not one that is
    public, managed or in a launch template. A snapshot is unused whose volume is gone, that no volume was made of, and
    that no image and no launch template names; not one that is managed.
    """
    idle = {image.id: reason for image in images if (reason := _idle(image, needed, now, grace)) is not None}
    held = needed.template_snapshots | {part for image in images if image.id not in idle for part in image.snapshots}
    found: list[Item] = []
    taken: set[str] = set()
    for image in sorted(images):
        if image.id in idle:
            own = [part for part in image.snapshots if part in snapshots and part not in held and part not in taken]
            taken.update(own)
            found.append(_image_item(image, [snapshots[part][1] for part in own], idle[image.id]))
    named = held | {part for image in images for part in image.snapshots} | needed.restored
    for snapshot, item in snapshots.values():
        if not (snapshot.managed or snapshot.id in named or snapshot.volume in needed.volumes):
            found.append(item._replace(reason="unreferenced"))
    return found


def add_up(items: Iterable[Item]) -> dict[tuple[str, str, Estimate], Sum]:
    """By kind, type and estimate."""
    sums: dict[tuple[str, str, Estimate], Sum] = {}
    for item in items:
        found = sums.setdefault((item.kind, item.type, item.estimate), Sum())
        found.size += item.size
        found.resources += 1
        if item.cost is None:
            found.unpriced += 1
        else:
            found.cost += item.cost
    return sums


def dearest(items: Iterable[Item], number: int) -> list[Item]:
    """Those with a price, dearest first; equal ones by their id."""
    priced = [(item.cost, item) for item in items if item.cost is not None]
    return [item for _, item in sorted(priced, key=lambda pair: (-pair[0], pair[1].id))[:number]]


def _quantities(volume: Volume) -> dict[str, int]:
    """What is billed: unit -> how many; nothing where that is not told."""
    found = {"gib": volume.gib}
    if volume.type in PROVISIONED and not volume.iops:
        return {}
    if volume.type == "gp3":
        found["iops"] = max(0, volume.iops - FREE_IOPS)
        found["mibps"] = max(0, volume.mibps - FREE_MIBPS)
    elif volume.type == "io1":
        found["iops"] = volume.iops
    elif volume.type == "io2":
        found.update(_tiered(volume.iops))
    return found


def _tiered(iops: int) -> Iterator[tuple[str, int]]:
    ends = [start for start, _ in TIERS[1:]]
    for (start, unit), end in zip(TIERS, [*ends, iops], strict=True):
        yield unit, max(0, min(iops, end) - start)


def _priced(quantities: Mapping[str, int], of: tuple[str, str, str], prices: PriceList) -> Priced:
    """What is not provisioned needs no price; what has none makes the whole unknown."""
    cost, confirmed = 0, True
    for unit, number in quantities.items():
        if number:
            price = prices.get((*of, unit))
            if price is None:
                return Priced(None, confirmed=True)
            cost += number * price.nano * GIB
            confirmed = confirmed and price.confirmed
    return Priced(cost if quantities else None, confirmed)


def _of_bytes(snapshot: Snapshot, key: tuple[str, str, str, str], prices: PriceList) -> int | None:
    price = None if snapshot.elsewhere else prices.get(key)
    return None if price is None else snapshot.size * price.nano


def _idle(image: Image, needed: References, now: float, grace: float) -> Reason | None:
    if image.public or image.managed or image.id in needed.template_images:
        return None
    if image.launched is None:
        return "never_launched"
    deprecated = image.deprecated is not None and image.deprecated <= now
    return "deprecated" if deprecated and now - image.launched >= grace else None


def _image_item(image: Image, parts: Sequence[Item], reason: Reason) -> Item:
    costs = [part.cost for part in parts if part.cost is not None]
    known = len(costs) == len(parts) and bool(image.snapshots)
    tiers = {part.type for part in parts} or {"standard" if image.snapshots else NO_SNAPSHOT}
    tier = tiers.pop() if len(tiers) == 1 else "mixed"
    size, cost = sum(part.size for part in parts), sum(costs) if known else None
    return Item(image.id, "image", tier, size, cost, "upper_bound", reason)
