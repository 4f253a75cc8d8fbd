"""Pools of spot machines: what they cost, how risky they are, and where workloads should go instead."""

from __future__ import annotations

from grafana.boards import _spot_parts as parts
from grafana.boards._spot_parts import (
    ACCOUNT,
    AT_ALL,
    AZ_ID,
    INSTANCE_TYPE,
    NO_SPOT,
    NOT_ASKED,
    PRODUCT,
    REGION,
    RISKS,
    TITLES,
    WORKLOAD,
    filled,
)
from grafana.house import (
    BAD,
    GOOD,
    WARN,
    Column,
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

from fleetwatch.catalogue import spot

here = Scope(ACCOUNT, REGION, WORKLOAD, INSTANCE_TYPE)
everywhere = Scope()
KEYS = (ACCOUNT, AZ_ID, INSTANCE_TYPE, PRODUCT)
SHORT = (AZ_ID, INSTANCE_TYPE)
OF_WORKLOAD = (WORKLOAD, AZ_ID, INSTANCE_TYPE)
NO_ALTERNATE = "No workload has an alternate: none is registered, or prices and shapes are not known yet"
NO_LOOK = "No pool was looked at as an alternate in this time range"
BUCKETS = {
    "0": ("under 5 %", GOOD),
    "1": ("5 to 10 %", GOOD),
    "2": ("10 to 15 %", WARN),
    "3": ("15 to 20 %", WARN),
    "4": ("over 20 %", BAD),
}

machines = here.last(spot.FLEET_INSTANCES, by=KEYS, how="sum", lifecycle="spot")
used_risk = here.last(parts.USED_RISK, by=SHORT)
price = here.last(spot.POOL_PRICE, by=KEYS)
list_price = here.last(spot.POOL_ON_DEMAND, by=KEYS)
effective = here.last(spot.ALTERNATE_PRICE, by=OF_WORKLOAD, how="min")
now_price = here.last(spot.WORKLOAD_PRICE, by=WORKLOAD)

# --- the answer

answers = [
    stat(
        "Pools in use",
        total(machines > 0, how="count"),
        unit=units.COUNT,
        help="Pools with spot machines: account, zone, type and product. What has one price, and goes at once.",
        no_data=NO_SPOT,
    ),
    stat(
        "Highest risk",
        total(used_risk, how="max"),
        unit=units.COUNT,
        meaning=RISKS,
        help="Risk, 0 to 100, of the riskiest pool in use, of those of which at least three of six inputs are known.",
        no_data=NO_SPOT,
        runbook="PoolRiskHigh",
    ),
    stat(
        "Taken per 100 h",
        here.last(parts.TAKEN_30D, how="sum").share_of(here.last(parts.HOURS_30D, how="sum")) * 100,
        unit=units.SCORE,
        help="Interruptions per 100 hours of a spot machine, of the past 30 days. The more hours it is made of, the "
        "surer it is: see the table.",
        no_data=parts.NOT_COUNTED,
        runbook="InterruptionRateUp",
    ),
    stat(
        "Spot / list",
        total(price.where(machines), how="sum").share_of(total(list_price.where(machines), how="sum")),
        unit=units.SHARE,
        meaning=Limits(warn=0.6, bad=0.9),
        help="Mean spot price over mean list price of the pools in use; each pool counts once, however many machines "
        "it has. What is really saved is on the board of savings.",
        no_data=NO_SPOT,
        runbook="PriceStale",
    ),
    stat(
        "Moves advised",
        here.last(spot.OPEN_RECOMMENDATIONS, how="sum"),
        unit=units.COUNT,
        meaning=Limits(warn=0.5, bad=1e9),
        help="Workloads for which another pool is better by more than `spot.least_gain`, rework after interruptions "
        "included.",
        no_data=NO_ALTERNATE,
    ),
    stat(
        "Least optimised",
        here.last(spot.OPTIMISATION, how="min"),
        unit=units.SHARE,
        meaning=Limits(warn=0.8, bad=0.5, falling=True),
        help="Savings that the worst workload has, of those that it could have under the same limit of risk. How it "
        "is reckoned: SPOT.md.",
        no_data=NO_ALTERNATE,
    ),
]

# --- the pools

in_use = table(
    "Pool by pool",
    [label.name for label in KEYS],
    [
        Column("Machines", machines, units.COUNT),
        Column("Spot price", price.where(machines), units.USD_SMALL),
        Column("List price", list_price.where(machines), units.USD_SMALL),
        Column("Spot / list", (price / list_price).where(machines), units.SHARE, meaning=Limits(warn=0.6, bad=0.9)),
        Column("Risk", here.last(spot.RISK, by=KEYS).where(machines), units.COUNT, meaning=RISKS),
        Column("Inputs", here.last(spot.RISK_INPUTS, by=KEYS).where(machines), units.COUNT),
        Column("Seen", here.last(spot.HAZARD, by=KEYS, bound="observed").where(machines), units.SCORE),
        Column("At most", here.last(spot.HAZARD, by=KEYS, bound="upper").where(machines), units.SCORE),
        Column("With advice", here.last(spot.HAZARD, by=KEYS, bound="posterior").where(machines), units.SCORE),
        Column(
            "Price read",
            here.last(spot.PRICE_AGE, by=KEYS).where(machines),
            units.SECONDS,
            meaning=parts.PRICE_AGES,
        ),
    ],
    titles=TITLES,
    sort="Risk",
    help="Inputs: how many of the six inputs of the risk are known. Interruptions per 100 hours of a machine in 30 "
    "days: seen; at most (95 %), which for few hours is much; with AWS' advice as what is believed before anything is "
    "seen.",
    no_data=NO_SPOT,
    narrow=True,
    runbook="PoolRiskHigh",
    height=10,
)
prices = timeseries(
    "Spot prices",
    here.last(spot.POOL_PRICE, by=SHORT),
    unit=units.USD_PER_HOUR,
    help="Price of each pool in use, and of alternates.",
    no_data=NO_SPOT,
    runbook="PriceStale",
    width=12,
)
risks = timeseries(
    "Risk of pools in use",
    used_risk,
    unit=units.COUNT,
    limits=RISKS,
    help="0 to 100. Of each pool with spot machines, from at least three of six inputs.",
    no_data=NO_SPOT,
    runbook="PoolRiskHigh",
    width=12,
)

# --- where to go

alternates = table(
    "Alternates, by workload",
    [label.name for label in OF_WORKLOAD],
    [
        Column("Rank", here.last(spot.ALTERNATE_RANK, by=OF_WORKLOAD, how="min"), units.COUNT),
        Column("Effective price", effective, units.USD_SMALL),
        Column("Now", (effective * 0).plus(now_price), units.USD_SMALL),
        Column(
            "Less by",
            1 - effective.over(now_price),
            units.SHARE,
            meaning=Limits(warn=0.1, bad=0, falling=True),
        ),
    ],
    titles=TITLES,
    sort="Rank",
    ascending=True,
    help="Up to five pools for each workload, the best first. Effective: for an hour of a virtual processor, with the "
    "work that interruptions are expected to cost. Now: the same of what the workload runs on. At most two of a "
    "family and two of a zone.",
    no_data=NO_ALTERNATE,
    height=8,
    width=14,
)
workloads = table(
    "Workloads",
    [WORKLOAD.name],
    [
        Column("Optimised", here.last(spot.OPTIMISATION, by=WORKLOAD), units.SHARE,
               meaning=Limits(warn=0.8, bad=0.5, falling=True)),
        Column("Advised", here.last(spot.OPEN_RECOMMENDATIONS, by=WORKLOAD), units.COUNT, meaning=AT_ALL),
        Column("Followed", here.increase(spot.SWITCHES, by=WORKLOAD, advice="followed"), units.COUNT),
        Column("Elsewhere", here.increase(spot.SWITCHES, by=WORKLOAD, advice="elsewhere"), units.COUNT),
    ],
    titles=TITLES,
    sort="Advised",
    help="Optimised: savings that the workload has of those that it could have; a dash where nothing could be saved. "
    "Advised: moves that are open. Followed, elsewhere: moves in the time range, to the pool that had been advised or "
    "another.",
    no_data=NO_ALTERNATE,
    height=8,
    width=10,
)  # fmt: skip
spread = bars(
    "Largest share in one pool",
    top(10, filled(here.last(parts.SHARE_OF_WORKLOAD, by=WORKLOAD), WORKLOAD)),
    unit=units.SHARE,
    meaning=Limits(warn=0.5, bad=0.8),
    help="Share of a workload's virtual processors on spot that are in its largest pool, and would go with it.",
    no_data=NO_SPOT,
    runbook="PoolRiskHigh",
    width=6,
)
funnel = bars(
    "How pools came through",
    top(5, everywhere.increase(spot.DECISIONS, by=spot.STAGE)),
    unit=units.COUNT,
    help="Pools that were looked at as alternates in the time range, by how far they came: candidates are left out "
    "for a reason or get a rank; some are recommended; workloads move to some.",
    no_data=NO_LOOK,
    runbook="FunnelBroken",
    width=6,
)
left_out = bars(
    "Why pools were left out",
    top(10, everywhere.increase(spot.DECISIONS, by=spot.STAGE_REASON, stage="filtered") > 0),
    unit=units.COUNT,
    help="Of the candidates of the time range. diversity: enough of its family or zone were better.",
    no_data=NO_LOOK,
    runbook="FunnelBroken",
    width=6,
)
weights = bars(
    "What the risk is made of",
    top(6, everywhere.last(spot.RISK_WEIGHT, by=spot.INPUT)),
    unit=units.SHARE,
    help="Weights by the settings (`spot.risk_weights`). Where an input is not known the others count for more.",
    no_data=NOT_ASKED,
    width=6,
)

# --- how often machines are taken, here and elsewhere

taken_month = (
    here.last(parts.TAKEN_30D, by=REGION, how="sum").share_of(here.last(parts.HOURS_30D, by=REGION, how="sum")) * 100
)
rate = timeseries(
    "Taken per 100 h, past day",
    here.last(parts.RATE_1D, by=REGION).named("past day"),
    taken_month.named("30 days"),
    unit=units.SCORE,
    help="Interruptions per 100 hours of a spot machine, by region: of the 24 hours, and of the 30 days, before each "
    "time.",
    no_data=parts.NOT_COUNTED,
    runbook="InterruptionRateUp",
    width=9,
)
manager_keys = (REGION, INSTANCE_TYPE)
manager = table(
    "Taken in a day: AWS' count and ours",
    [label.name for label in manager_keys],
    [
        Column("Ran", here.last(spot.MANAGER_INSTANCES, by=manager_keys, how="sum"), units.COUNT),
        Column("AWS: taken", here.last(spot.MANAGER_INTERRUPTIONS, by=manager_keys, how="sum"), units.COUNT),
        Column("AWS: hours", here.last(spot.MANAGER_HOURS, by=manager_keys, how="sum"), units.COUNT),
        Column("Here: taken", here.last(parts.TAKEN_1D, by=manager_keys, how="sum"), units.COUNT),
        Column("Here: hours", here.last(parts.HOURS_1D, by=manager_keys, how="sum"), units.COUNT),
    ],
    titles=TITLES,
    sort="Here: taken",
    help="EC2 Capacity Manager's figures of its last full day beside those counted here in 24 hours: not the same "
    "hours. A dash for AWS: Capacity Manager is not asked (spot.capacity_manager).",
    no_data="Nothing ran, or nobody is asked",
    runbook="InterruptionsUnseen",
    width=15,
)
scores = table(
    "Placement scores",
    ["config", REGION.name, AZ_ID.name],
    [
        Column(
            "Score",
            here.last(spot.PLACEMENT_SCORE, by=(spot.CONFIG, REGION, AZ_ID)),
            units.COUNT,
            meaning=Limits(warn=7, bad=4, falling=True),
        )
    ],
    titles={**TITLES, "config": "Request"},
    sort="Score",
    help="1 to 10: how likely AWS is to meet the whole request now. No promise of how long machines stay.",
    no_data="No request is asked about (spot.scores)",
    width=9,
)
advisor = table(
    "AWS' Spot Advisor",
    [REGION.name, INSTANCE_TYPE.name, "os"],
    [
        Column(
            "A month",
            here.last(spot.ADVISOR_BUCKET, by=(REGION, INSTANCE_TYPE, spot.OS)),
            units.PLAIN,
            mappings=BUCKETS,
        ),
        Column("Saves", here.last(spot.ADVISOR_SAVINGS, by=(REGION, INSTANCE_TYPE, spot.OS)), units.SHARE),
    ],
    titles={**TITLES, "os": "System"},
    sort="A month",
    help="What AWS published of the whole region: the share of machines that were taken in a month, and the savings "
    "over the list price.",
    no_data="The advisor is not read (spot.advisor_url)",
    width=10,
)
advisor_age = stat(
    "Advisor read",
    everywhere.last(spot.ADVISOR_AGE),
    unit=units.SECONDS,
    meaning=Limits(warn=7 * 86400, bad=30 * 86400),
    help="Since AWS' Spot Advisor was read, or the day of the file.",
    no_data="The advisor is not read (spot.advisor_url)",
    width=5,
)

dashboard = board(
    "pools",
    "Spot pools",
    question="What do pools cost, which are risky, and where should workloads go instead?",
    variables=[Variable(label, spot.FLEET_INSTANCES) for label in (ACCOUNT, REGION, WORKLOAD, INSTANCE_TYPE)],
    leads_to=parts.leads_to("pools"),
    alerts="spot",
    alerts_where='severity="page"',
    since="now-24h",
    rows=[
        answer(*answers),
        row("The pools in use", in_use),
        row("Price and risk", prices, risks),
        row("Where to go instead", alternates, workloads),
        row("How the choice is made", spread, funnel, left_out, weights),
        row("How often machines are taken", rate, manager),
        row("What AWS says of capacity", scores, advisor, advisor_age),
    ],
)
