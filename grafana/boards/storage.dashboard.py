"""Volumes, snapshots and images: what they cost, and what of it nobody uses."""

from __future__ import annotations

from collections.abc import Sequence

from grafana.house import (
    BAD,
    GOOD,
    WARN,
    Column,
    Expr,
    Facts,
    Limits,
    Scope,
    Variable,
    answer,
    bars,
    board,
    row,
    stat,
    table,
    timeseries,
    top,
    total,
    units,
)

from fleetwatch.catalogue import storage
from fleetwatch.catalogue.aws import ACCOUNT, REGION
from fleetwatch.catalogue.metric import Label, Metric

ours = Scope(ACCOUNT, REGION)
everywhere = Scope()

NOT_ASKED = "Storage is not asked about (storage.enabled)"
NO_WASTE = "Nothing is unused for that long"
PLACE = (ACCOUNT, REGION)
ITEM = (ACCOUNT, REGION, storage.RESOURCE)
SHARE = Limits(warn=0.1, bad=0.3)

REASONS = {
    "unattached": ("attached to nothing", WARN),
    "unreferenced": ("needed by nothing", WARN),
    "never_launched": ("never launched", WARN),
    "deprecated": ("deprecated", WARN),
}
SURE = {"exact": GOOD, "upper_bound": WARN, "unconfirmed": BAD}
UPPER = "Snapshots and images are priced at their full size: it is no more than that."

By = Sequence[Label]


def sum_of(metric: Metric, by: By = ()) -> Expr:
    """Of all series, those of two exporters counted once."""
    return total(ours.last(metric, by=metric.labels), by=by)


def or_none(expr: Expr, by: By = ()) -> Expr:
    """0 where storage is looked at and nothing was found."""
    return expr.otherwise(ours.last(storage.READ, by=by) * 0)


# --- the answer

waste = stat(
    "Unused, a month",
    or_none(sum_of(storage.WASTE)),
    unit=units.USD,
    help=f"List price of what nobody has used for storage.grace. {UPPER} What has no price is not in it.",
    no_data=NOT_ASKED,
    runbook="WasteHigh",
)
share = stat(
    "Share of all storage",
    or_none(sum_of(storage.WASTE)) / sum_of(storage.COST),
    unit=units.SHARE,
    meaning=SHARE,
    help="Unused over all that is stored, both at list price.",
    no_data=NOT_ASKED,
    runbook="WasteHigh",
)
everything = stat(
    "All storage, a month",
    sum_of(storage.COST),
    unit=units.USD,
    help=f"List price of all volumes and snapshots. {UPPER}",
    no_data=NOT_ASKED,
)
lost = stat(
    "Lost so far",
    or_none(sum_of(storage.WASTED)),
    unit=units.USD,
    help="What today's waste has cost since it was first seen unused; what was so before the exporter looked is not "
    "known. It falls when waste is removed.",
    no_data=NOT_ASKED,
    runbook="WasteHigh",
)
coming = stat(
    "Not yet waste",
    or_none(sum_of(storage.PENDING)),
    unit=units.USD,
    help="List price a month of what is unused, but not yet for storage.grace.",
    no_data=NOT_ASKED,
    runbook="WasteGrowing",
)
unpriced = stat(
    "Without a price",
    or_none(sum_of(storage.UNPRICED)),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=1000),
    help="Volumes and snapshots whose price is not known. They are in no sum of dollars.",
    no_data=NOT_ASKED,
    runbook="StorageUnpriced",
)

# --- what should go first

first = table(
    "The dearest that nobody uses",
    ["account", "region", "resource"],
    [
        Column("A month", ours.last(storage.TOP_COST, by=ITEM), units.USD),
        Column("Size", ours.last(storage.TOP_BYTES, by=ITEM), units.BYTES),
        Column("Unused for", ours.age(storage.TOP_SINCE, by=ITEM), units.DAYS),
    ],
    facts=[
        Facts(
            ours.last(storage.TOP_COST, by=(*ITEM, storage.KIND, storage.TYPE, storage.REASON)),
            {"kind": "Kind", "type": "Type", "reason": "Why"},
            REASONS,
        ),
    ],
    sort="A month",
    help=f"The 20 dearest volumes, and as many snapshots and images. {UPPER} Unused for: since the first look that saw "
    "it so.",
    no_data=NO_WASTE,
    runbook="WasteHigh",
    height=11,
    width=24,
)

# --- where is it

places = table(
    "By account and region",
    ["account", "region"],
    [
        Column("All, a month", sum_of(storage.COST, PLACE), units.USD),
        Column("Unused", or_none(sum_of(storage.WASTE, PLACE), PLACE), units.USD),
        Column("Share", or_none(sum_of(storage.WASTE, PLACE), PLACE) / sum_of(storage.COST, PLACE), units.SHARE, SHARE),
        Column("Resources", or_none(sum_of(storage.WASTE_RESOURCES, PLACE), PLACE), units.COUNT),
        Column("Oldest", total(ours.last(storage.OLDEST, by=(*PLACE, storage.KIND)), by=PLACE, how="max"), units.DAYS),
        Column("Not yet", or_none(sum_of(storage.PENDING, PLACE), PLACE), units.USD),
    ],
    sort="Unused",
    help="US dollars a month at list price. Resources: unused ones. Oldest: how long the oldest of them is unused. Not "
    "yet: unused, but not yet for storage.grace.",
    no_data=NOT_ASKED,
    runbook="WasteHigh",
    width=14,
)
by_type = bars(
    "Unused, by kind and type",
    top(12, sum_of(storage.WASTE, (storage.KIND, storage.TYPE))),
    unit=units.USD_ANY,
    help=f"US dollars a month. Type of volumes, tier of snapshots and images. {UPPER}",
    no_data=NO_WASTE,
    runbook="WasteHigh",
    width=5,
)
all_by_type = bars(
    "All, by kind and type",
    top(12, sum_of(storage.COST, (storage.KIND, storage.TYPE))),
    unit=units.USD_ANY,
    help="US dollars a month of all that is stored. Images are there as their snapshots.",
    no_data=NOT_ASKED,
    width=5,
)

# --- does it grow

over_time = timeseries(
    "Unused over time",
    sum_of(storage.WASTE, (storage.KIND,)),
    unit=units.USD_ANY,
    help="US dollars a month, as it was at each moment. A sudden fall may be a region that could not be read: see "
    "below.",
    no_data=NO_WASTE,
    runbook="WasteGrowing",
    width=12,
)
size_over_time = timeseries(
    "Size",
    sum_of(storage.BYTES, (storage.KIND,)).named("all"),
    sum_of(storage.WASTE_BYTES, (storage.KIND,)).named("unused"),
    unit=units.BYTES,
    help="Volumes as provisioned, snapshots at their full size.",
    no_data=NOT_ASKED,
    runbook="WasteGrowing",
    width=12,
)

# --- can I trust it

sure = bars(
    "How sure all storage is",
    top(3, sum_of(storage.COST, (storage.ESTIMATE,))),
    unit=units.USD_ANY,
    colours=SURE,
    help="US dollars a month. exact: volumes. upper_bound: snapshots at their full size, for EC2 does not tell what a "
    "single one takes. unconfirmed: at a price that was not seen in AWS' own list.",
    no_data=NOT_ASKED,
    width=6,
)
without = bars(
    "No price, by region and type",
    top(10, sum_of(storage.UNPRICED, (REGION, storage.TYPE))),
    unit=units.COUNT,
    help="Volumes and snapshots by region and type. storage.prices_file takes their prices.",
    no_data="All have a price",
    runbook="StorageUnpriced",
    width=6,
)
read = bars(
    "Since the last whole look",
    top(10, ours.age(storage.READ, by=(*PLACE, storage.PART))),
    unit=units.SECONDS,
    help="The longest. After three failed looks what was read there is gone from the figures.",
    no_data=NOT_ASKED,
    runbook="StorageStale",
    width=8,
)
prices = stat(
    "Age of the prices",
    everywhere.last(storage.PRICES_AGE, by=storage.SOURCE),
    unit=units.DAYS,
    meaning=Limits(warn=400 * 86400, bad=800 * 86400),
    help="Since the day of the price table, which comes with the exporter (bundled) or is yours (settings).",
    no_data=NOT_ASKED,
    runbook="StoragePricesOld",
    width=4,
)

dashboard = board(
    "storage",
    "Storage",
    question="What does storage cost, what of it does nobody use, and what should go first?",
    variables=[Variable(ACCOUNT, storage.READ), Variable(REGION, storage.READ)],
    leads_to=[("spot", "Spot machines"), ("exporter", "Is the watcher well?")],
    alerts="storage",
    rows=[
        answer(waste, share, everything, lost, coming, unpriced),
        row("What should go first", first),
        row("Where is it", places, by_type, all_by_type),
        row("Does it grow", over_time, size_over_time),
        row("Can I trust it", sure, without, read, prices),
    ],
)
