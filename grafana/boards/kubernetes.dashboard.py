"""Clusters: which node could be left within two minutes, what holds the others, and what one pool's end would take."""

from __future__ import annotations

from grafana.boards import _spot_parts as parts
from grafana.boards._spot_parts import AT_ALL, NO_CLUSTER, TITLES, filled
from grafana.house import (
    BAD,
    GOOD,
    NEUTRAL,
    RANGE,
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

from fleetwatch.catalogue import kubernetes as k8s
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import Metric

here = Scope(k8s.CLUSTER, k8s.NODEPOOL)
clusters = Scope(k8s.CLUSTER)
taken = Scope(spot.CLUSTER, spot.NODEPOOL)
NODE = (k8s.CLUSTER, k8s.NODE)
BLAST = (k8s.CLUSTER, k8s.INSTANCE_TYPE, k8s.ZONE)
PDB = (k8s.CLUSTER, k8s.NAMESPACE, k8s.PDB)
WATCH = (k8s.CLUSTER, k8s.WATCHED)
POOL = k8s.NODES_OF
NO_SPOT_NODE = "No spot node, or no cluster is watched (kubernetes.clusters)"
YES_NO = {"1": ("Yes", GOOD), "0": ("No", BAD)}
IN_TIME = Limits(warn=90, bad=120)
FULL = Limits(warn=0.9, bad=1)
CAUSES = {"eviction_api": NEUTRAL, "preemption": WARN, "taint": "purple", "kubelet": BAD, "pod_gc": "light-blue"}

info = here.last(k8s.NODE_INFO, by=NODE)
nodes = here.last(parts.NODES, how="sum")


def of_node(metric: Metric) -> Expr:
    """Of the nodes of the pools that are chosen."""
    return clusters.last(metric, by=NODE).where(info)


def use(requested: Metric, allocatable: Metric) -> Expr:
    return here.last(requested, by=POOL) / (here.last(allocatable, by=POOL) > 0)


# --- the answer

answers = [
    stat(
        "Nodes",
        nodes,
        unit=units.COUNT,
        help="Nodes of the clusters, ready or not.",
        no_data=NO_CLUSTER,
        runbook="ClusterWatchStale",
    ),
    stat(
        "On spot",
        here.last(parts.NODES, how="sum", lifecycle="spot").share_of(nodes),
        unit=units.SHARE,
        help="Share of the nodes whose machines may be taken away.",
        no_data=NO_CLUSTER,
    ),
    stat(
        "Cannot be left",
        here.last(parts.UNDRAINABLE, how="sum", lifecycle="spot").otherwise(nodes * 0),
        unit=units.COUNT,
        meaning=AT_ALL,
        help="Spot nodes that could not be left within the time that a warning gives (`kubernetes.drain_within`).",
        no_data=NO_CLUSTER,
        runbook="NodeNotDrainable",
    ),
    stat(
        "Pods held",
        clusters.last(k8s.PDB_BLOCKED, how="sum").otherwise(nodes * 0),
        unit=units.COUNT,
        meaning=Limits(warn=0.5, bad=1e9),
        help="Pods that a disruption budget would not let go now, on all nodes.",
        no_data=NO_CLUSTER,
        runbook="NodeNotDrainable",
    ),
    stat(
        "Largest spot pool",
        clusters.last(k8s.BLAST_SHARE, lifecycle="spot"),
        unit=units.SHARE,
        meaning=Limits(warn=0.3, bad=0.5),
        help="Share of a cluster's nodes that are of one type in one zone on spot, and would go at once.",
        no_data=NO_SPOT_NODE,
        runbook="BlastRadiusLarge",
    ),
    stat(
        "Last told",
        total(clusters.last(k8s.WATCH_AGE, by=WATCH), how="max"),
        unit=units.SECONDS,
        meaning=Limits(warn=120, bad=180),
        help="Since the API of a cluster last told anything of what it was told of longest ago.",
        no_data=NO_CLUSTER,
        runbook="ClusterWatchStale",
    ),
]

# --- which node could be left

one_by_one = table(
    "Node by node",
    [label.name for label in NODE],
    [
        Column("In time", of_node(k8s.DRAIN_READY), units.PLAIN, mappings=YES_NO),
        Column("Takes", of_node(k8s.DRAIN_ESTIMATE), units.SECONDS, meaning=IN_TIME),
        Column("Pods", of_node(k8s.DRAIN_PODS), units.COUNT),
        Column(
            "Held",
            clusters.last(k8s.DRAIN_BLOCKED, by=NODE).where(info),
            units.COUNT,
            meaning=AT_ALL,
        ),
        Column("CPU free", clusters.last(k8s.NODE_IDLE, by=NODE, capacity="cpu").where(info), units.SHARE),
        Column("Mem free", clusters.last(k8s.NODE_IDLE, by=NODE, capacity="memory").where(info), units.SHARE),
    ],
    facts=[
        Facts(
            here.last(k8s.NODE_INFO, by=(*NODE, k8s.CLIENT, k8s.NODEPOOL, k8s.LIFECYCLE, k8s.INSTANCE_TYPE, k8s.ZONE)),
            {
                k8s.CLIENT.name: "Whose",
                k8s.NODEPOOL.name: "Pool",
                k8s.LIFECYCLE.name: "Bought as",
                k8s.INSTANCE_TYPE.name: "Type",
                k8s.ZONE.name: "Zone",
            },
        )
    ],
    titles=TITLES,
    sort="In time",
    ascending=True,
    help="In time: nothing holds a pod, and all would be gone within `kubernetes.drain_within` (two minutes). In: the "
    "time it would take if pods use all of their grace, budget by budget. Held: the pods held for the reason that "
    "holds most. Free: of what there is for pods, the share that none asks for.",
    no_data=NO_CLUSTER,
    runbook="NodeNotDrainable",
    height=11,
)
over_time = timeseries(
    "Spot nodes that could be left",
    here.last(parts.DRAINABLE, how="sum", lifecycle="spot").named("in time"),
    here.last(parts.UNDRAINABLE, how="sum", lifecycle="spot").named("not"),
    unit=units.COUNT,
    stacked=True,
    colours={"in time": GOOD, "not": BAD},
    help="Spot nodes, by whether they could be left in the time that a warning gives.",
    no_data=NO_SPOT_NODE,
    runbook="NodeNotDrainable",
    width=9,
)
held_by = bars(
    "What holds pods",
    top(8, clusters.last(k8s.DRAIN_BLOCKED, by=k8s.BLOCKED, how="sum")),
    unit=units.COUNT,
    meaning=WARN,
    help="Pods by what holds them; a pod may be held by several. pdb_exhausted: its budget lets no more go now; "
    "several_pdbs: the API refuses where two budgets match; do_not_disrupt: by annotation; grace_period: it may take "
    "longer to end than there is time; no_controller: nobody would start it elsewhere.",
    no_data="Nothing holds a pod",
    runbook="NodeNotDrainable",
    width=7,
)
budgets = table(
    "Budgets that hold pods",
    [label.name for label in PDB],
    [Column("Pods", clusters.last(k8s.PDB_BLOCKED, by=PDB), units.COUNT, meaning=AT_ALL)],
    titles=TITLES,
    sort="Pods",
    help="PodDisruptionBudgets that do not let pods go now, and how many.",
    no_data="No budget holds a pod",
    runbook="NodeNotDrainable",
    width=8,
)

# --- if a pool goes

blast = table(
    "If a spot pool goes",
    [label.name for label in BLAST],
    [
        Column(
            "Nodes",
            clusters.last(k8s.BLAST_SHARE, by=BLAST, lifecycle="spot"),
            units.SHARE,
            meaning=Limits(warn=0.3, bad=0.5),
        ),
        Column(
            "Budgets",
            clusters.last(k8s.BLAST_PDBS, by=BLAST, lifecycle="spot"),
            units.COUNT,
            meaning=AT_ALL,
        ),
    ],
    titles=TITLES,
    sort="Nodes",
    help="One type in one zone is one market: all of it may be taken at once. Nodes: share of the cluster's. Budgets: "
    "those that would have fewer healthy pods than they want.",
    no_data=NO_SPOT_NODE,
    runbook="BlastRadiusLarge",
    width=10,
)
concentration = stat(
    "Concentration",
    clusters.last(k8s.CONCENTRATION),
    unit=units.SCORE,
    meaning=Limits(warn=0.25, bad=0.5),
    help="Of the most uneven cluster: sum of the squares of the pools' shares of nodes (Herfindahl-Hirschman): 1 is "
    "all in one pool, 0.1 is ten even ones.",
    no_data=NO_CLUSTER,
    runbook="BlastRadiusLarge",
    width=6,
)
budget_states = timeseries(
    "Disruption budgets",
    clusters.last(k8s.PDBS, by=k8s.PDB_STATE, how="sum"),
    unit=units.COUNT,
    stacked=True,
    colours={"allows": GOOD, "exhausted": BAD, "stale": WARN, "idle": "#8e8e8e"},
    help="PodDisruptionBudgets by state: pods may go; no more may; not worked out since it was changed; it selects no "
    "pod.",
    no_data=NO_CLUSTER,
    runbook="NodeNotDrainable",
    width=8,
)

# --- what is asked for

asked_for = table(
    "What pods ask for",
    [label.name for label in POOL],
    [
        Column("Nodes", here.last(parts.NODES, by=POOL), units.COUNT),
        Column("CPU", here.last(k8s.CPU_ALLOCATABLE, by=POOL), units.CPUS),
        Column("asked", use(k8s.CPU_REQUESTED, k8s.CPU_ALLOCATABLE), units.SHARE, meaning=FULL),
        Column("Memory", here.last(k8s.MEMORY_ALLOCATABLE, by=POOL), units.BYTES),
        Column("asked ", use(k8s.MEMORY_REQUESTED, k8s.MEMORY_ALLOCATABLE), units.SHARE, meaning=FULL),
        Column("GPUs", here.last(k8s.GPU_ALLOCATABLE, by=POOL), units.COUNT),
        Column("asked  ", use(k8s.GPU_REQUESTED, k8s.GPU_ALLOCATABLE), units.SHARE, meaning=FULL),
    ],
    titles=TITLES,
    sort="Nodes",
    help="Of each pool: what there is for pods, and the share of it that pods ask for. Little is money for nothing.",
    no_data=NO_CLUSTER,
    narrow=True,
    width=16,
)
cpu_use = timeseries(
    "Processors asked for",
    filled(
        here.last(k8s.CPU_REQUESTED, by=k8s.NODEPOOL, how="sum")
        / (here.last(k8s.CPU_ALLOCATABLE, by=k8s.NODEPOOL, how="sum") > 0),
        k8s.NODEPOOL,
    ),
    unit=units.SHARE,
    help="Share of the processors for pods that pods ask for, by pool.",
    no_data=NO_CLUSTER,
    width=8,
)

# --- what happens

warnings = bars(
    "Warnings",
    top(10, clusters.increase(k8s.EVENTS, by=(k8s.KIND, k8s.EVENT_REASON), type="Warning").rounded() > 0),
    unit=units.COUNT,
    meaning=WARN,
    help="Events of the type Warning in the time range, by what they are about and why. Reasons that are not known "
    "are _other.",
    no_data="No warning in this time range",
    width=8,
)
evictions = timeseries(
    "Pods made to leave",
    here.rate(k8s.EVICTIONS, by=k8s.EVICTION) * 60,
    unit=units.COUNT,
    stacked=True,
    colours=CAUSES,
    help="Pods that were made to leave in a minute, by who ended them.",
    no_data="No pod was made to leave in this time range",
    runbook="DrainLate",
    width=8,
)
drained = bars(
    "How nodes were left",
    top(6, taken.increase(spot.DRAIN_OUTCOMES, by=spot.RESULT) > 0),
    unit=units.COUNT,
    colours=parts.RESULTS,
    help="Spot machines that were taken in the time range: empty before their end, too late, or without any drain.",
    no_data="No spot node was taken in this time range",
    runbook="DrainLate",
    width=4,
)
drain_time = bars(
    "Time to leave",
    taken.quantile(0.9, spot.DRAIN_DURATION, by=spot.NODEPOOL, window=RANGE),
    unit=units.SECONDS,
    meaning=IN_TIME,
    help="From the notice to the last pod's leaving, measured; of nine in ten machines of the time range less than "
    "this.",
    no_data="No drain was seen in this time range",
    runbook="DrainLate",
    width=4,
)

# --- is it watched well

watched = table(
    "Watches",
    [label.name for label in WATCH],
    [
        Column("Last told", clusters.last(k8s.WATCH_AGE, by=WATCH), units.SECONDS, meaning=Limits(warn=120, bad=180)),
        Column("Known", clusters.last(k8s.WATCH_OBJECTS, by=WATCH), units.COUNT),
        Column("Began anew", clusters.increase(k8s.WATCH_RESTARTS, by=WATCH).rounded(), units.COUNT),
    ],
    titles=TITLES,
    sort="Last told",
    help="Last told: since the API last told anything of these; it does every minute or two even where nothing "
    "happens. Began anew: in the time range; once in some minutes is usual.",
    no_data=NO_CLUSTER,
    runbook="ClusterWatchStale",
    height=7,
    width=12,
)
pods = timeseries(
    "Pods",
    clusters.last(k8s.PODS, by=k8s.PHASE, how="sum"),
    unit=units.COUNT,
    stacked=True,
    colours={"Running": GOOD, "Pending": WARN, "Unknown": BAD},
    help="Pods on nodes, or waiting for one.",
    no_data=NO_CLUSTER,
    width=8,
)
hidden = stat(
    "Nodes not shown",
    clusters.last(k8s.NODES_NOT_SHOWN, how="sum"),
    unit=units.COUNT,
    meaning=Limits(warn=0.5, bad=1e9),
    help="Nodes beyond `labels.limits.node`: they are in all sums, and not in the table of nodes.",
    no_data=NO_CLUSTER,
    width=4,
)

dashboard = board(
    "kubernetes",
    "Clusters",
    question="Which nodes could be left in two minutes, what holds the others, and what would one pool's end take?",
    variables=[Variable(k8s.CLUSTER, k8s.NODES), Variable(k8s.NODEPOOL, k8s.NODES, "Pool")],
    leads_to=parts.leads_to("kubernetes"),
    alerts="kubernetes",
    since="now-3h",
    rows=[
        answer(*answers),
        row("Which node could be left", one_by_one),
        row("What holds", over_time, held_by, budgets),
        row("If a pool goes", blast, concentration, budget_states),
        row("What is asked for", asked_for, cpu_use),
        row("What happens", warnings, evictions, drained, drain_time),
        row("Is it watched well", watched, pods, hidden),
    ],
)
