"""Machines of EC2: pools and their prices, what spot saves, who was taken away, where to go instead.

A pool is what has one price: account, region, zone, instance type, product. Only pools in use and the alternates of
workloads are shown. Savings are the on-demand equivalent minus the spend, integrated over time; both are counted, so
any range can be asked for: `increase(spot_on_demand_equivalent_usd_total[1d]) - increase(spot_spend_usd_total[1d])`.
A price that is not known is never replaced by another one: its hours are in `spot_unpriced_instance_hours_total`.
"""

from __future__ import annotations

from fleetwatch.catalogue.aws import ACCOUNT, REGION
from fleetwatch.catalogue.metric import NANO, counter, gauge, histogram, label

AZ_ID = label("az_id", "Zone by its id, `use1-az1`, which is the same zone in all accounts.", at_most=100)
INSTANCE_TYPE = label("instance_type", "Type of machine, `m7g.large`.", at_most=300)
PRODUCT = label("product", "Operating system and its licence, `Linux/UNIX`.", at_most=10)
POOL = (ACCOUNT, REGION, AZ_ID, INSTANCE_TYPE, PRODUCT)

LIFECYCLE = label(
    "lifecycle",
    "How the machine is bought.",
    one_of=("spot", "on_demand", "scheduled", "capacity_block", "interruptible_reservation"),
)
TEAM = label("team", "By the tag `spot.team_tag`; empty without.", at_most=100)
WORKLOAD = label("workload", "By the tag `spot.workload_tag`; empty without: unregistered.", at_most=100)
ELIGIBLE = label("eligible", "Whether the machine could be spot.", one_of=("yes", "no"))
SOURCE = label(
    "source",
    "Where the price is from: asked for; a dated table, the exporter's or yours.",
    one_of=("api", "static"),
)
PRICE = label("price", "Which price.", one_of=("spot", "on_demand"))
ACTION = label("action", "What becomes of the machine.", one_of=("terminate", "stop", "hibernate", "unknown"))
REASON = label("reason", "Why it was taken, by EC2's own word.", one_of=("capacity", "price", "constraint", "unknown"))
TOLD = label("told", "Whether a warning was seen before.", one_of=("yes", "no"))
SIGNAL = label(
    "signal",
    "What was told.",
    one_of=("rebalance", "warning", "scheduled", "state_change", "reservation_warning", "lifecycle_action"),
)
REJECT = label(
    "reason",
    "Why a message was not read.",
    one_of=("not_json", "not_an_event", "unknown_kind", "no_instance", "too_large"),
)
CLUSTER = label("cluster", "Cluster of Kubernetes; empty outside of one.", at_most=50)
NODEPOOL = label("nodepool", "Pool of nodes; outside of a cluster the workload.", at_most=100)
RESULT = label(
    "result",
    "Whether the machine was empty when it went; not_seen: nobody drained it.",
    one_of=("in_time", "late", "not_seen"),
)
CONFIG = label("config", "Name in `spot.scores`.", at_most=10)
OS = label("os", "Operating system.", one_of=("Linux", "Windows"))
BOUND = label(
    "bound",
    "Which figure: as observed; the upper 95 % bound of it; with AWS' advice as what is believed before.",
    one_of=("observed", "upper", "posterior"),
)
INPUT = label(
    "input",
    "What the risk is made of.",
    one_of=("advisor", "interruption", "placement", "price_level", "price_change", "capacity"),
)
STAGE = label(
    "stage",
    "How far pools came as alternates of a workload; per look: candidate = filtered + scored; chosen: recommended to "
    "move to; switched: moved.",
    one_of=("candidate", "filtered", "scored", "chosen", "switched"),
)
STAGE_REASON = label(
    "reason",
    "Of filtered: why not; of switched: how it ended; else empty.",
    one_of=(
        "",
        "architecture",
        "too_small",
        "too_large",
        "type_excluded",
        "no_price",
        "risk",
        "dearer_than_on_demand",
        "diversity",
        "followed",
        "elsewhere",
    ),
)
SWITCH = label(
    "advice", "followed: it moved to the recommended pool; elsewhere: to another.", one_of=("followed", "elsewhere")
)
COST = label("cost", "Of work that was lost: the machine's time; LLM calls.", one_of=("machine", "llm"))
WORK = label("work", "Work that was lost.", one_of=("pipeline_run", "agent_task"))
SLOT = label("slot", "Place in a ring of recent ones.", at_most=50)
KIND = label("kind", "What happened.", one_of=("rebalance", "warning", "interruption"))
OUTCOME = label("outcome", "How it ended.", one_of=("pending", "in_time", "late", "not_seen"))
# Not `instance`: Prometheus gives that name to its targets.
INSTANCE = label("instance_id", "The machine's id, of recent ones only.", at_most=200)
NODE = label("node", "Its node in the cluster; outside of one the name of the machine.", at_most=200)
FROM_POOL = (
    label("from_type", "Type that it left.", at_most=300),
    label("from_az_id", "Zone that it left.", at_most=100),
)
TO_POOL = (
    label("to_type", "Type that it runs on.", at_most=300),
    label("to_az_id", "Zone that it runs in.", at_most=100),
)
STATE = label("state", "Of the request.", one_of=("open", "active", "closed", "cancelled", "failed", "disabled"))
STATUS = label("status", "Its status as EC2 calls it.", at_most=50)

# Prices, now
POOL_PRICE = gauge("spot.pool.price_usd_per_hour", unit="{USD}", help="Spot price of the pool.", labels=POOL)
POOL_ON_DEMAND = gauge(
    "spot.pool.on_demand_price_usd_per_hour", unit="{USD}", help="List price of the type on demand.", labels=POOL
)
PRICE_AGE = gauge(
    "spot.pool.price.age", unit="s", help="Since the pool's spot price was last read.", labels=(*POOL, SOURCE)
)
ON_DEMAND_AGE = gauge(
    "spot.on_demand_price.age",
    unit="s",
    help="Since the list price was asked for, or since the day of the table.",
    labels=(REGION, INSTANCE_TYPE, PRODUCT, SOURCE),
)
PRICE_MISSING = gauge(
    "spot.price_missing.instances",
    unit="{instance}",
    help="Machines that run without a known price; nothing stands in for it.",
    labels=(*POOL, PRICE),
)

# The fleet, now
FLEET_INSTANCES = gauge(
    "spot.fleet.instances", unit="{instance}", help="Machines that run.", labels=(*POOL, LIFECYCLE, TEAM, WORKLOAD)
)
FLEET_VCPUS = gauge(
    "spot.fleet.vcpus", unit="{vcpu}", help="Their virtual processors.", labels=(*POOL, LIFECYCLE, TEAM, WORKLOAD)
)
UNREGISTERED = gauge(
    "spot.fleet.unregistered",
    unit="{instance}",
    help="Machines that run without the tag of a workload.",
    labels=(ACCOUNT, REGION, LIFECYCLE),
)
FORCED = gauge(
    "spot.fleet.forced_on_demand",
    unit="{instance}",
    help="Machines that somebody keeps on demand, by tag or by annotation of their node.",
    labels=(ACCOUNT, REGION, TEAM, WORKLOAD),
)
REQUESTS = gauge(
    "spot.requests", unit="{request}", help="Spot requests by their status.", labels=(ACCOUNT, REGION, STATE, STATUS)
)
LOAD = gauge(
    "spot.fleet.cpu_utilization",
    unit="1",
    help="Mean processor use of the machines, weighted by virtual processors, from CloudWatch.",
    labels=(ACCOUNT, REGION, TEAM, WORKLOAD, LIFECYCLE),
)

# Money
USE = (ACCOUNT, REGION, TEAM, WORKLOAD, LIFECYCLE)
SPEND_RATE = gauge(
    "spot.spend_usd_per_hour", unit="{USD}", help="What the machines cost now; without unpriced ones.", labels=USE
)
EQUIVALENT_RATE = gauge(
    "spot.on_demand_equivalent_usd_per_hour",
    unit="{USD}",
    help="What the same machines would cost on demand, at list price; without those that have no price.",
    labels=USE,
)
SPEND = counter(
    "spot.spend.usd",
    unit="{USD}",
    help="What machines have cost, by price and time; only those whose both prices were known.",
    labels=USE,
    scale=NANO,
    durable=True,
)
EQUIVALENT = counter(
    "spot.on_demand_equivalent.usd",
    unit="{USD}",
    help="What the same machine time would have cost on demand, at list price.",
    labels=USE,
    scale=NANO,
    durable=True,
)
VCPU_HOURS = counter(
    "spot.vcpu_hours",
    unit="{hour}",
    help="Virtual processors times hours run: spot's share of them is the coverage.",
    labels=(*USE, ELIGIBLE),
    scale=3600 * NANO,
    durable=True,
)
INSTANCE_HOURS = counter(
    "spot.instance_hours",
    unit="{hour}",
    help="Hours that spot machines ran: the exposure behind interruption rates.",
    labels=POOL,
    scale=3600 * NANO,
    durable=True,
)
UNPRICED_HOURS = counter(
    "spot.unpriced_instance_hours",
    unit="{hour}",
    help="Machine hours without a known price; they are in neither spend nor equivalent.",
    labels=(ACCOUNT, REGION, PRICE),
    scale=3600 * NANO,
    durable=True,
)

# Interruptions
INTERRUPTIONS = counter(
    "spot.interruptions",
    unit="{interruption}",
    help="Spot machines that were taken away, each once.",
    labels=(*POOL, ACTION, REASON),
    durable=True,
)
TERMINATIONS = counter(
    "spot.terminations",
    unit="{termination}",
    help="Ends of spot machines that EC2 itself puts down to spot; told=no are those whose warning was never seen.",
    labels=(ACCOUNT, REGION, REASON, TOLD),
    durable=True,
)
REBALANCES = counter(
    "spot.rebalance_recommendations",
    unit="{recommendation}",
    help="Rebalance recommendations.",
    labels=(REGION, INSTANCE_TYPE),
    durable=True,
)
SIGNAL_LEAD = histogram(
    "spot.signal.lead",
    unit="s",
    help="From the signal, a rebalance recommendation or a warning, to the machine's end.",
    labels=(SIGNAL,),
    buckets=(30, 60, 90, 110, 120, 130, 180, 300, 600, 1800, 3600, 14400),
    durable=True,
)
DRAIN_DURATION = histogram(
    "spot.drain.duration",
    unit="s",
    help="From the notice to the last pod's leaving.",
    labels=(CLUSTER, NODEPOOL),
    # Two minutes is what there is.
    buckets=(5, 10, 20, 30, 45, 60, 90, 105, 120, 180),
    durable=True,
)
DRAIN_OUTCOMES = counter(
    "spot.drain.outcome",
    unit="{drain}",
    help="Machines that were taken, by how they were left.",
    labels=(CLUSTER, NODEPOOL, RESULT),
    durable=True,
)
EVENTS = counter(
    "spot.events", unit="{event}", help="Events read from the queue, each once.", labels=(SIGNAL,), durable=True
)
EVENT_DUPLICATES = counter(
    "spot.event_duplicates",
    unit="{event}",
    help="Events that came again and changed nothing.",
    labels=(SIGNAL,),
    durable=True,
)
EVENTS_REJECTED = counter(
    "spot.events_rejected",
    unit="{message}",
    help="Messages that were no event that is known; they are deleted.",
    labels=(REJECT,),
)
EVENT_DELAY = histogram(
    "spot.event.delay",
    unit="s",
    help="From AWS' telling to the record on disk.",
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600),
    durable=True,
)
QUEUE_MESSAGES = gauge(
    "spot.queue.messages", unit="{message}", help="Messages that wait in the queue of events.", labels=(ACCOUNT, REGION)
)
RECENT_NOTICE = gauge(
    "spot.recent_notice.timestamp",
    unit="s",
    help="When recent machines were told to go, Unix time.",
    labels=(
        SLOT,
        ACCOUNT,
        REGION,
        AZ_ID,
        INSTANCE_TYPE,
        INSTANCE,
        WORKLOAD,
        CLUSTER,
        NODE,
        KIND,
        REASON,
        OUTCOME,
    ),
)

# Risk
HAZARD = gauge(
    "spot.pool.interruptions_per_100_hours",
    unit="{interruption}",
    help="Interruptions per 100 hours of a machine in the last 30 days.",
    labels=(*POOL, BOUND),
)
RISK = gauge("spot.pool.risk_score", unit="{point}", help="Risk of the pool, 0 to 100; how: SPOT.md.", labels=POOL)
RISK_INPUTS = gauge(
    "spot.pool.risk_inputs_present",
    unit="{input}",
    help="Of the six inputs of the risk, how many were known.",
    labels=POOL,
)
RISK_WEIGHT = gauge(
    "spot.risk_weight", unit="1", help="Weight of an input of the risk, by the settings.", labels=(INPUT,)
)
ADVISOR_BUCKET = gauge(
    "spot.advisor.interruption_bucket",
    unit="{bucket}",
    help="AWS' Spot Advisor: 0 under 5 % a month, 4 over 20 %.",
    labels=(REGION, INSTANCE_TYPE, OS),
)
ADVISOR_SAVINGS = gauge(
    "spot.advisor.savings", unit="1", help="Savings by AWS' Spot Advisor.", labels=(REGION, INSTANCE_TYPE, OS)
)
ADVISOR_AGE = gauge(
    "spot.advisor.age", unit="s", help="Since the Spot Advisor's data was read, or the day of the file."
)
PLACEMENT_SCORE = gauge(
    "spot.placement_score",
    unit="{point}",
    help="1 to 10: how likely the whole request of a configuration is to be met.",
    labels=(CONFIG, REGION, AZ_ID),
)
MANAGER_INTERRUPTIONS = gauge(
    "spot.capacity_manager.interruptions",
    unit="{interruption}",
    help="Spot interruptions in the last day, by EC2 Capacity Manager.",
    labels=(ACCOUNT, REGION, INSTANCE_TYPE),
)
MANAGER_INSTANCES = gauge(
    "spot.capacity_manager.instances",
    unit="{instance}",
    help="Spot machines that ran in the last day, by EC2 Capacity Manager.",
    labels=(ACCOUNT, REGION, INSTANCE_TYPE),
)
MANAGER_HOURS = gauge(
    "spot.capacity_manager.usage_hours",
    unit="{hour}",
    help="Hours that spot machines ran in the last day, by EC2 Capacity Manager.",
    labels=(ACCOUNT, REGION, INSTANCE_TYPE),
)

# Where to go instead
ALTERNATE_RANK = gauge(
    "spot.alternate.rank", unit="{rank}", help="1 is the best pool for the workload.", labels=(WORKLOAD, *POOL)
)
ALTERNATE_PRICE = gauge(
    "spot.alternate.effective_price_usd_per_vcpu_hour",
    unit="{USD}",
    help="Price with the expected rework after interruptions.",
    labels=(WORKLOAD, *POOL),
)
WORKLOAD_PRICE = gauge(
    "spot.workload.effective_price_usd_per_vcpu_hour",
    unit="{USD}",
    help="The same of what the workload runs on now.",
    labels=(WORKLOAD,),
)
OPTIMISATION = gauge(
    "spot.optimisation",
    unit="1",
    help="Savings that a workload has of those that it could have; 1: nothing is left. How: SPOT.md.",
    labels=(WORKLOAD,),
)
DECISIONS = counter(
    "spot.decisions",
    unit="{pool}",
    help="Pools by how far they came as alternates.",
    labels=(STAGE, STAGE_REASON),
    durable=True,
)
OPEN_RECOMMENDATIONS = gauge(
    "spot.recommendations_open", unit="{recommendation}", help="Moves that are recommended now.", labels=(WORKLOAD,)
)
SWITCHES = counter(
    "spot.switches",
    unit="{switch}",
    help="Workloads that moved to another pool.",
    labels=(WORKLOAD, SWITCH),
    durable=True,
)
RECENT_SWITCH = gauge(
    "spot.recent_switch.timestamp",
    unit="s",
    help="When workloads recently moved, Unix time.",
    labels=(SLOT, WORKLOAD, *FROM_POOL, *TO_POOL, SWITCH),
)

# What interruptions cost
INTERRUPTION_COST = counter(
    "spot.interruption_cost.usd",
    unit="{USD}",
    help="Cost of work that ended with its machine and has to be done again.",
    labels=(ACCOUNT, REGION, COST),
    scale=NANO,
    durable=True,
)
LOST_WORK = counter(
    "spot.interrupted_work",
    unit="s",
    help="Time that was worked on what ended with its machine.",
    labels=(ACCOUNT, REGION, WORK),
    scale=NANO,
    durable=True,
)
LOST_ITEMS = counter(
    "spot.interrupted_work_items",
    unit="{item}",
    help="Pipeline runs and agents' tasks that ended with their machine.",
    labels=(ACCOUNT, REGION, WORK),
    durable=True,
)
LOST_UNPRICED = counter(
    "spot.interrupted_work_unpriced",
    unit="{item}",
    help="Of them, those whose machine had no known price.",
    labels=(ACCOUNT, REGION, WORK),
    durable=True,
)
RECORDED_UNTIL = gauge(
    "spot.recorded_until.timestamp",
    unit="s",
    help="Up to when machine time and its cost are counted, Unix time.",
    labels=(ACCOUNT, REGION),
)
