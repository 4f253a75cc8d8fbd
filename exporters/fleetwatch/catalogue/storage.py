"""Volumes, snapshots and images: what they cost, and what of it nobody uses.

Waste is a volume that is attached to nothing, a snapshot that no image, volume or launch template of the account needs
and no backup plan manages, and an image that was never launched or is deprecated; each once it has been seen like that
for `storage.grace`. `storage_waste_*` is part of `storage_*`: an image is there as its snapshots. Volumes are priced
exactly. Snapshots are incremental and AWS does not tell how much of one is its own, so they are priced at their full
size: no bill is higher. What has no price is counted by itself and in no sum of dollars.
"""

from __future__ import annotations

from fleetwatch.catalogue.aws import ACCOUNT, REGION
from fleetwatch.catalogue.metric import gauge, label

KIND = label(
    "kind",
    "What it is. Among all that is stored an image is its snapshots.",
    one_of=("volume", "snapshot", "image"),
)
TYPE = label("type", "Type of a volume, `gp3`; tier of a snapshot, and of an image's: standard, archive.", at_most=20)
ESTIMATE = label(
    "estimate",
    "How sure the dollars are; upper_bound: as if nothing were shared between snapshots; unconfirmed: at a price that "
    "the maker of the table has not seen in AWS' own list.",
    one_of=("exact", "upper_bound", "unconfirmed"),
)
REASON = label(
    "reason",
    "Why it is waste: attached to nothing; needed by nothing; never launched; deprecated and not launched any more.",
    one_of=("unattached", "unreferenced", "never_launched", "deprecated"),
)
RESOURCE = label(
    "resource", "Its id; only of the dearest 20 volumes, and of as many snapshots and images.", at_most=200
)
PART = label(
    "part",
    "What was read; references: the images, volumes and launch templates that need snapshots.",
    one_of=("volumes", "snapshots", "references"),
)
SOURCE = label("source", "Whose price table: the dated one of the exporter, or yours.", one_of=("bundled", "settings"))

# Everything
COST = gauge(
    "storage.usd_per_month",
    unit="{USD}",
    help="List price of all that is stored, per month of 730 hours, without what has no price.",
    labels=(ACCOUNT, REGION, KIND, TYPE, ESTIMATE),
)
BYTES = gauge(
    "storage.bytes", unit="By", help="Size of all that is stored, as priced.", labels=(ACCOUNT, REGION, KIND, TYPE)
)
RESOURCES = gauge(
    "storage.resources",
    unit="{resource}",
    help="Volumes and snapshots.",
    labels=(ACCOUNT, REGION, KIND, TYPE),
)
UNPRICED = gauge(
    "storage.unpriced.resources",
    unit="{resource}",
    help="Of them, those whose price is not known; they are in no sum of dollars.",
    labels=(ACCOUNT, REGION, KIND, TYPE),
)

# What of it is waste
WASTE = gauge(
    "storage.waste.usd_per_month",
    unit="{USD}",
    help="List price of what nobody has used for storage.grace, per month of 730 hours, without what has no price.",
    labels=(ACCOUNT, REGION, KIND, TYPE, ESTIMATE),
)
WASTE_BYTES = gauge(
    "storage.waste",
    unit="By",
    help="Size of what nobody has used for storage.grace.",
    labels=(ACCOUNT, REGION, KIND, TYPE, ESTIMATE),
)
WASTE_RESOURCES = gauge(
    "storage.waste.resources",
    unit="{resource}",
    help="Volumes, snapshots and images that nobody has used for storage.grace.",
    labels=(ACCOUNT, REGION, KIND, TYPE, ESTIMATE),
)
WASTE_UNPRICED = gauge(
    "storage.waste_unpriced.resources",
    unit="{resource}",
    help="Of them, those whose price is not known; they are in no sum of dollars.",
    labels=(ACCOUNT, REGION, KIND, TYPE),
)
WASTED = gauge(
    "storage.wasted.usd",
    unit="{USD}",
    help="What today's waste has cost since it was first seen unused; it falls when waste is removed.",
    labels=(ACCOUNT, REGION, KIND, ESTIMATE),
)
OLDEST = gauge(
    "storage.waste.oldest",
    unit="s",
    help="How long ago the oldest waste was first seen unused; what was so before the exporter looked is not known.",
    labels=(ACCOUNT, REGION, KIND),
)
PENDING = gauge(
    "storage.waste_pending.usd_per_month",
    unit="{USD}",
    help="List price of what is unused, but not yet for storage.grace.",
    labels=(ACCOUNT, REGION, KIND, ESTIMATE),
)
PENDING_RESOURCES = gauge(
    "storage.waste_pending.resources",
    unit="{resource}",
    help="What is unused, but not yet for storage.grace.",
    labels=(ACCOUNT, REGION, KIND),
)

# The dearest, by name
TOP = (ACCOUNT, REGION, KIND, TYPE, REASON, ESTIMATE, RESOURCE)
TOP_COST = gauge(
    "storage.waste_top.usd_per_month",
    unit="{USD}",
    help="The 20 dearest volumes that are waste, and the 20 dearest snapshots and images.",
    labels=TOP,
)
TOP_BYTES = gauge("storage.waste_top", unit="By", help="Their size.", labels=TOP)
TOP_SINCE = gauge(
    "storage.waste_top.since.timestamp", unit="s", help="When they were first seen unused, Unix time.", labels=TOP
)

# How well it is known
READ = gauge(
    "storage.read.timestamp",
    unit="s",
    help="When it was last read whole, Unix time; figures are of then, and gone after three failed looks.",
    labels=(ACCOUNT, REGION, PART),
)
WATCHED = gauge(
    "storage.watched_since.timestamp",
    unit="s",
    help="First whole look there, Unix time: nothing is known to be unused for longer. It outlives restarts.",
    labels=(ACCOUNT, REGION, PART),
)
GRACE = gauge("storage.grace", unit="s", help="storage.grace of the settings.")
PRICES_AGE = gauge(
    "storage.price_table.age",
    unit="s",
    help="Since the day of the price table; of your own, since the file was last changed.",
    labels=(SOURCE,),
)
