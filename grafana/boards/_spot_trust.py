"""Whether the figures of spot machines can be trusted: their prices, what is counted, and how events come."""

from __future__ import annotations

from grafana.boards import _spot_parts as parts
from grafana.boards._spot_parts import ACCOUNT, AT_ALL, NOT_ASKED, PLACE, REGION, TITLES
from grafana.house import RANGE, Column, Limits, Scope, row, stat, table, timeseries, units
from grafana.house.layout import Row

from fleetwatch.catalogue import aws, spot

asked = Scope(ACCOUNT, REGION)
everywhere = Scope()
DAY = 86400.0

sources = (REGION, spot.SOURCE)
prices = table(
    "Where prices are from",
    [label.name for label in sources],
    [
        Column("Pools", asked.last(spot.PRICE_AGE, by=sources, how="count"), units.COUNT),
        Column("Spot read", asked.last(spot.PRICE_AGE, by=sources), units.SECONDS, meaning=parts.PRICE_AGES),
        Column("List prices", asked.last(spot.ON_DEMAND_AGE, by=sources, how="count"), units.COUNT),
        Column(
            "List read",
            asked.last(spot.ON_DEMAND_AGE, by=sources),
            units.DAYS,
            meaning=Limits(warn=2 * DAY, bad=90 * DAY),
        ),
    ],
    titles=TITLES,
    sort="Spot read",
    help="Age of the oldest price of each source. static: the dated table that comes with the exporter, for list "
    "prices that could not be asked for; its age counts from its day.",
    no_data=NOT_ASKED,
    runbook="PriceStale",
)
counted = table(
    "Are accounts counted",
    [label.name for label in PLACE],
    [
        Column(
            "Counted up to",
            asked.age(spot.RECORDED_UNTIL, by=PLACE),
            units.SECONDS,
            meaning=Limits(warn=600, bad=900),
        ),
        Column("Asked", asked.increase(aws.REQUESTS, by=PLACE).rounded(), units.COUNT),
        Column("Turned away", asked.increase(aws.THROTTLES, by=PLACE).rounded(), units.COUNT, meaning=AT_ALL),
        Column("Held back", asked.increase(aws.HELD_BACK, by=PLACE).rounded(), units.COUNT),
        Column("Not permitted", asked.last(aws.DENIED, by=PLACE, how="sum"), units.COUNT, meaning=AT_ALL),
        Column("In the queue", asked.last(spot.QUEUE_MESSAGES, by=PLACE), units.COUNT),
        Column(
            "Unseen ends",
            asked.increase(spot.TERMINATIONS, by=PLACE, told="no"),
            units.COUNT,
            meaning=AT_ALL,
        ),
    ],
    titles=TITLES,
    sort="Counted up to",
    help="Counted up to: how long ago the last counted machine time ended. In the time range: requests to AWS; those "
    "turned away as too many; those beyond the exporter's own budget. Not permitted: operations. Unseen ends: "
    "machines that spot took without a warning that was seen here.",
    no_data=NOT_ASKED,
    runbook="FleetStale",
    height=6,
)
of_price = (REGION, spot.PRICE)
unpriced = table(
    "Without a price",
    [label.name for label in of_price],
    [
        Column("Machines", asked.last(spot.PRICE_MISSING, by=of_price, how="sum"), units.COUNT, meaning=AT_ALL),
        Column("Hours", asked.increase(parts.UNPRICED_TOTAL, by=of_price), units.SCORE),
    ],
    titles={**TITLES, spot.PRICE.name: "Which price"},
    sort="Hours",
    help="Machines that run without a known price, now, and machine hours of the time range without one. Nothing "
    "stands in for it: they are in no sum of money.",
    no_data="Every price is known",
    runbook="PriceMissing",
)
events = timeseries(
    "Events of EC2",
    everywhere.counted(spot.EVENTS, by=spot.SIGNAL) > 0,
    unit=units.COUNT,
    stacked=True,
    counts=True,
    help="Events read from the queue in each step of the chart, each once.",
    no_data="No event in this time range, or no queue is read (spot.queues)",
    runbook="InterruptionsUnseen",
    width=18,
)
delay = stat(
    "Events on disk within",
    everywhere.quantile(0.9, spot.EVENT_DELAY, window=RANGE),
    unit=units.SECONDS,
    meaning=Limits(warn=20, bad=45),
    help="Nine of ten events of the time range were on disk here this long after AWS told of them.",
    no_data="No event in this time range, or no queue is read (spot.queues)",
    runbook="EventsStale",
    width=6,
)


def trust() -> list[Row]:
    """The rows of the board."""
    return [row("Can I trust it", counted), row("", prices, unpriced), row("", events, delay)]
