"""Volumes, snapshots and images as EC2 tells of them. Sizes are bytes, times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["volume", "snapshot", "image"]
Estimate = Literal["exact", "upper_bound", "unconfirmed"]
Reason = Literal["unattached", "unreferenced", "never_launched", "deprecated"]


class Volume(NamedTuple):
    """A volume. type: as `gp3`; gib: what is billed, in whole GiB; iops, mibps: provisioned, 0 where not told."""

    id: str
    type: str
    gib: int
    iops: int = 0
    mibps: int = 0
    attached: bool = True
    snapshot: str = ""
    """What it was made of."""
    elsewhere: bool = False
    """On an Outpost or in a local zone, which have prices of their own."""


class Snapshot(NamedTuple):
    """A snapshot of one's own. tier: standard or archive.

    size: FullSnapshotSizeInBytes, which is what was written and not what differs from the one before; where EC2 does
    not tell it, the size of the volume, which is no less.
    """

    id: str
    tier: str
    size: int
    volume: str = ""
    """What it was taken of."""
    restored: bool = False
    """Out of the archive for a while: it is stored twice."""
    managed: bool = False
    """By AWS Backup or Data Lifecycle Manager, which remove it in time."""
    elsewhere: bool = False
    """On an Outpost, or in a local zone."""


class Image(NamedTuple):
    """An image of one's own, made of snapshots. launched, deprecated: None for never."""

    id: str
    snapshots: tuple[str, ...]
    launched: float | None = None
    deprecated: float | None = None
    public: bool = False
    """Everybody may launch it, and EC2 does not tell whether somebody does."""
    managed: bool = False


class References(NamedTuple):
    """What needs snapshots and images. Ids; of launch templates the latest and the default version."""

    volumes: frozenset[str]
    """That are there: snapshots of them are backups."""
    restored: frozenset[str]
    """Snapshots that volumes were made of."""
    template_images: frozenset[str]
    template_snapshots: frozenset[str]


class Price(NamedTuple):
    """Of one unit for a month. confirmed: the table's maker has seen it in AWS' own list."""

    nano: int
    """USD."""
    confirmed: bool = True


PriceList = Mapping[tuple[str, str, str, str], Price]
"""(region, kind, type, unit) -> price. Units: gib, iops, mibps; iops_32000 and iops_64000 for those above that many."""


class Item(NamedTuple):
    """Something that is stored, or that is waste, with its price."""

    id: str
    kind: Kind
    type: str
    size: int
    """As priced: of an image that shares snapshots, those that only unused images need, each once."""
    cost: int | None
    """Nano-USD a month, times 2^30, so that bytes at a price per GiB lose nothing; None: a price is not known."""
    estimate: Estimate
    reason: Reason | None = None
    """Why nobody uses it; None: somebody does, or it was not asked."""
