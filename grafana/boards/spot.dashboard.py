"""What spot machines save, who was taken away, what that cost, and whether the figures can be trusted."""

from __future__ import annotations

from grafana.boards import _spot_parts as parts
from grafana.boards._spot_parts import (
    ACCOUNT,
    INSTANCE_TYPE,
    LIFECYCLE,
    NO_SPOT,
    NOT_ASKED,
    REASON,
    REGION,
    TEAM,
    TITLES,
    WHO,
    WORKLOAD,
    filled,
)
from grafana.boards._spot_trust import trust
from grafana.house import (
    GOOD,
    NEUTRAL,
    RANGE,
    WARN,
    Column,
    Expr,
    Limits,
    Recorded,
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
    units,
)

from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import Label

here = Scope(ACCOUNT, REGION, TEAM, WORKLOAD)
asked = Scope(ACCOUNT, REGION)
everywhere = Scope()
DAY = 86400.0
NO_WORK_LOST = "No work of an agent or a pipeline ended with its machine"
NOBODY_TAKEN = "Nobody was taken in this time range"


def saved(equivalent: Recorded, spent: Recorded, *by: Label) -> Expr:
    return here.last(equivalent, by=by, how="sum") - here.last(spent, by=by, how="sum")


def coverage(hours: Recorded, *by: Label) -> Expr:
    """Spot's share of the time of virtual processors that could be spot."""
    could_be = here.last(hours, by=by, how="sum", eligible="yes")
    return here.last(hours, by=by, how="sum", eligible="yes", lifecycle="spot").share_of(could_be)


saved_month = saved(parts.EQUIVALENT_MONTH, parts.SPENT_MONTH)
equivalent_month = here.last(parts.EQUIVALENT_MONTH, how="sum")

# --- the answer

answers = [
    stat(
        "Saved this month",
        saved_month,
        unit=units.USD,
        meaning=Limits(warn=0, bad=0, falling=True),
        help="What the machines would have cost on demand at list price, less what they cost, since the month began "
        "(UTC). Machines on demand save nothing; machines without a known price are in neither. It may be below 0.",
        no_data=parts.NOT_COUNTED,
        runbook="SavingsDown",
    ),
    stat(
        "Savings rate",
        saved_month / (equivalent_month > 0),
        unit=units.SHARE,
        meaning=Limits(warn=0.3, bad=0.1, falling=True),
        help="Effective savings rate over the list price, this month: saved over what all machines, on demand ones "
        "too, would have cost on demand. Discounts of a contract are not in it.",
        no_data=parts.NOT_COUNTED,
        runbook="SavingsDown",
    ),
    stat(
        "Coverage",
        coverage(parts.VCPU_MONTH),
        unit=units.SHARE,
        meaning=Limits(warn=0.5, bad=0.2, falling=True),
        help="Share of the hours of virtual processors that were spot, this month, of those that could be: without "
        "machines kept on demand by tag, annotation or settings.",
        no_data=parts.NOT_COUNTED,
        runbook="SavingsDown",
    ),
    stat(
        "Net of lost work",
        saved_month - asked.last(parts.LOST_MONTH, how="sum"),
        unit=units.USD,
        meaning=Limits(warn=0, bad=0, falling=True),
        help="Saved this month, less what work cost that ended with its machine and is done again. Machines that idle "
        "are not taken off.",
        no_data=parts.NOT_COUNTED,
        runbook="SavingsDown",
    ),
    stat(
        "Spot machines",
        here.last(spot.FLEET_INSTANCES, how="sum", lifecycle="spot"),
        unit=units.COUNT,
        help="Spot machines that run now.",
        no_data=NO_SPOT,
        runbook="FleetStale",
    ),
    stat(
        "Taken, 24 h",
        asked.last(parts.TAKEN_1D, how="sum"),
        unit=units.COUNT,
        meaning=Limits(warn=0.5, bad=1e9),
        help="Spot machines that were taken away in the past 24 hours, each counted when all about its end is known, "
        "at most a quarter of an hour later.",
        no_data=parts.NOT_COUNTED,
        runbook="InterruptionRateUp",
    ),
]

# --- what it saves

pair = timeseries(
    "On demand, and what is spent",
    here.last(spot.EQUIVALENT_RATE, how="sum").named("on demand"),
    here.last(spot.SPEND_RATE, how="sum").named("spent"),
    unit=units.USD_PER_HOUR,
    colours={"on demand": NEUTRAL, "spent": GOOD},
    help="What the machines that run would cost on demand at list price, and what they cost. The gap is what is saved.",
    no_data=NOT_ASKED,
    runbook="SavingsDown",
)
by_team = timeseries(
    "Saved, by team",
    filled(here.last(parts.SAVINGS_RATE, by=TEAM, how="sum"), TEAM),
    unit=units.USD_PER_HOUR,
    stacked=True,
    help="The same gap, by the tag `spot.team_tag`. Below 0: spot is dearer than the list.",
    no_data=NOT_ASKED,
    runbook="SavingsDown",
)
by_workload = table(
    "By team and workload, 30 d",
    [label.name for label in WHO],
    [
        Column("On demand", filled(here.last(parts.EQUIVALENT_30D, by=WHO, how="sum"), *WHO), units.USD),
        Column("Spent", filled(here.last(parts.SPENT_30D, by=WHO, how="sum"), *WHO), units.USD),
        Column("Saved", filled(saved(parts.EQUIVALENT_30D, parts.SPENT_30D, *WHO), *WHO), units.USD),
        Column(
            "Rate",
            filled(
                saved(parts.EQUIVALENT_30D, parts.SPENT_30D, *WHO)
                / (here.last(parts.EQUIVALENT_30D, by=WHO, how="sum") > 0),
                *WHO,
            ),
            units.SHARE,
            meaning=Limits(warn=0.3, bad=0.1, falling=True),
        ),
        Column("Coverage", filled(coverage(parts.VCPU_30D, *WHO), *WHO), units.SHARE),
        Column(
            "Spot now",
            filled(here.last(spot.FLEET_INSTANCES, by=WHO, how="sum", lifecycle="spot"), *WHO),
            units.COUNT,
        ),
        Column("Kept on demand", filled(here.last(spot.FORCED, by=WHO, how="sum"), *WHO), units.COUNT),
    ],
    titles=TITLES,
    sort="Saved",
    help="Of the past 30 days, or since the first look. Coverage: spot's share of the hours of virtual processors "
    "that could be spot. Kept on demand: machines that somebody keeps there, by tag or annotation. (none): without "
    "the tag.",
    no_data=parts.NOT_COUNTED,
    runbook="SavingsDown",
    height=9,
)
bought = timeseries(
    "Virtual processors, as bought",
    here.last(spot.FLEET_VCPUS, by=LIFECYCLE, how="sum"),
    unit=units.COUNT,
    stacked=True,
    colours=parts.LIFECYCLES,
    help="Virtual processors of the machines that run, by how they are bought. Machines are of many sizes: their "
    "number would mislead.",
    no_data=NOT_ASKED,
)

# --- who was taken

NOTICE = (
    spot.INSTANCE,
    spot.KIND,
    spot.OUTCOME,
    REASON,
    WORKLOAD,
    INSTANCE_TYPE,
    spot.AZ_ID,
    spot.NODE,
)
told = here.last(spot.RECENT_NOTICE, by=NOTICE)
notices = table(
    "Notices of the past day",
    [label.name for label in NOTICE],
    [Column("Told", told.where((Expr("time()") - told) < DAY).rounded() * 1000, units.CLOCK)],
    titles={
        **TITLES,
        spot.KIND.name: "What",
        spot.OUTCOME.name: "How it was left",
        REASON.name: "Why",
        spot.NODE.name: "Host",
    },
    words=parts.KINDS,
    sort="Told",
    help="Machines that were told to go in the past 24 hours, of the newest `spot.recent` ones. At risk: a rebalance "
    "recommendation, from which nothing need follow. Nobody left: no drain was seen before its end.",
    no_data="No machine was told to go in 24 hours",
    narrow=True,
    runbook="SpotWarning",
    height=9,
)
taken = timeseries(
    "Taken, by reason",
    asked.counted(spot.INTERRUPTIONS, by=REASON) > 0,
    unit=units.COUNT,
    stacked=True,
    counts=True,
    colours=parts.REASONS,
    help="Spot machines taken away in each step of the chart, by EC2's own reason.",
    no_data=NOBODY_TAKEN,
    runbook="InterruptionRateUp",
)
how_left = bars(
    "How machines were left",
    top(9, everywhere.increase(spot.DRAIN_OUTCOMES, by=parts.RESULT) > 0),
    unit=units.COUNT,
    colours=parts.RESULTS,
    help="Machines that were taken in the time range: empty before their end, too late, or without any drain that was "
    "seen. Outside of a cluster nobody sees drains.",
    no_data=NOBODY_TAKEN,
    runbook="DrainLate",
)
lead = bars(
    "Time from notice to end",
    everywhere.quantile(0.1, spot.SIGNAL_LEAD, by=spot.SIGNAL, window=RANGE),
    everywhere.quantile(0.5, spot.SIGNAL_LEAD, by=spot.SIGNAL, window=RANGE),
    unit=units.SECONDS,
    meaning=Limits(warn=120, bad=90, falling=True),
    help="How long before its end a machine was told to go, in the time range: of one in ten less than p10, of half "
    "of them less than p50. EC2 promises two minutes for a warning and nothing for a rebalance recommendation.",
    no_data=NOBODY_TAKEN,
    runbook="EventsStale",
)
lost_over_time = timeseries(
    "Cost of lost work",
    asked.counted(spot.INTERRUPTION_COST, by=spot.COST) > 0,
    unit=units.USD_ANY,
    stacked=True,
    counts=True,
    help="Cost of work that ended with its machine, in each step of the chart.",
    no_data=NO_WORK_LOST,
)
lost_cost = bars(
    "Lost, by kind",
    top(4, asked.increase(spot.INTERRUPTION_COST, by=spot.COST)),
    unit=units.USD_ANY,
    help="Cost in the time range of work that ended with its machine: the machine's time, and LLM calls that are made "
    "again.",
    no_data=NO_WORK_LOST,
    runbook="SavingsDown",
)
lost_items = bars(
    "Work that was lost",
    top(4, asked.increase(spot.LOST_ITEMS, by=spot.WORK)),
    unit=units.COUNT,
    meaning=WARN,
    help="Runs of pipelines and tasks of agents that ended with their machine, in the time range.",
    no_data=NO_WORK_LOST,
)

# --- what moved, what does not

SWITCHED = (WORKLOAD, *spot.FROM_POOL, *spot.TO_POOL, spot.SWITCH)
switches = table(
    "Workloads that moved",
    [label.name for label in SWITCHED],
    [Column("When", here.last(spot.RECENT_SWITCH, by=SWITCHED).rounded() * 1000, units.CLOCK)],
    titles={
        **TITLES,
        "from_type": "From",
        "from_az_id": "From zone",
        "to_type": "To",
        "to_az_id": "To zone",
        spot.SWITCH.name: "How",
    },
    words=parts.KINDS,
    sort="When",
    help="Recent moves of workloads to other pools. As advised: to the pool that had been recommended.",
    no_data="No workload has moved",
    narrow=True,
    width=14,
)
unregistered = bars(
    "Without a workload",
    top(8, asked.last(spot.UNREGISTERED, by=(ACCOUNT, REGION, LIFECYCLE), how="sum") > 0),
    unit=units.COUNT,
    meaning=WARN,
    help="Machines that run without the tag `spot.workload_tag`: no alternates and no risk are told for them.",
    no_data="Every machine has a workload",
    runbook="UnregisteredMachines",
    width=5,
)
requests = bars(
    "Spot requests",
    top(8, asked.last(spot.REQUESTS, by=(spot.STATE, spot.STATUS), how="sum")),
    unit=units.COUNT,
    help="Spot requests by state and status, as EC2 calls them. Fleets and autoscaling groups make none.",
    no_data="No spot request is known",
    width=5,
)

dashboard = board(
    "spot",
    "Spot savings",
    question="What do spot machines save, who was taken away, what did that cost, and can I trust the figures?",
    variables=[Variable(label, spot.FLEET_INSTANCES) for label in (ACCOUNT, REGION, TEAM, WORKLOAD)],
    leads_to=parts.leads_to("spot"),
    alerts="spot",
    alerts_where='severity="page"',
    since="now-24h",
    rows=[
        answer(*answers),
        row("What it saves", pair, by_team, bought),
        row("Who saves it", by_workload),
        row("Who was taken away", notices),
        row("Why, and what it cost", taken, lost_over_time),
        row("", how_left, lead, lost_cost, lost_items),
        row("What moved, and what does not take part", switches, unregistered, requests),
        *trust(),
    ],
)
