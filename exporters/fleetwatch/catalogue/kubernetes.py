"""Clusters: which node could be left in time, what would hold it up, what happens, and what one pool's end would take.

A pool of machines is what one spot market gives: instance type, zone and lifecycle. A node pool is the cluster's own
name for a group of nodes. Series of single nodes have a bound: past `labels.limits.node` those that are not ready to
be left come first, and `k8s_nodes_not_shown` counts the others; figures of pools and clusters always are of all nodes.
"""

from __future__ import annotations

from fleetwatch.catalogue.metric import OTHER, counter, gauge, label

CLIENT = label("client", "Whose cluster it is, by `kubernetes.clusters`.", at_most=50)
CLUSTER = label("cluster", "Cluster, by its name in `kubernetes.clusters`.", at_most=50)
NODE = label("node", "Name of the node.", at_most=2000)
INSTANCE = label("instance_id", "Its machine's id at EC2; empty where it has none.", at_most=2000)
NODEPOOL = label("nodepool", "By the labels `kubernetes.pool_labels`; empty without.", at_most=200)
LIFECYCLE = label("lifecycle", "How the machine is bought.", one_of=("spot", "on_demand", "unknown"))
INSTANCE_TYPE = label("instance_type", "Type of machine, `m7g.large`; empty where it is not known.", at_most=300)
ZONE = label("zone", "Zone by its name, `eu-west-1a`; empty where it is not known.", at_most=100)
CAPACITY = label("capacity", "Of what.", one_of=("cpu", "memory", "gpu"))
BLOCKED = label(
    "reason",
    "What holds the pod: several budgets match it, which the Eviction API refuses (500); its budget allows no more "
    "(429); its budget is not worked out yet (429); its budget has 2,000 evictions that nobody confirmed (403); it is "
    "not ready, and its budget lets such pods go only while enough others are (429). The Eviction API would let go, "
    "and yet: somebody asked not to disrupt it; it may take longer to end than there is time; nobody would start it "
    "elsewhere.",
    one_of=(
        *("several_pdbs", "pdb_exhausted", "pdb_stale", "pdb_unconfirmed", "unhealthy"),
        *("do_not_disrupt", "grace_period", "no_controller"),
    ),
)
EFFECT = label("effect", "What the taint does.", one_of=("NoSchedule", "PreferNoSchedule", "NoExecute"))
PHASE = label(
    "phase", "How far the pod is; those that ended are not counted.", one_of=("Pending", "Running", "Unknown")
)
NAMESPACE = label("namespace", "Namespace.", at_most=100)
PDB = label("pdb", "Name of the PodDisruptionBudget.", at_most=200)
PDB_STATE = label(
    "state",
    "Whether pods may be evicted: yes; no more; not worked out since it was changed; it selects no pod.",
    one_of=("allows", "exhausted", "stale", "idle"),
)
EVICTION = label(
    "cause",
    "Who ended the pod, by its condition DisruptionTarget.",
    one_of=("eviction_api", "preemption", "taint", "pod_gc", "kubelet", "other"),
)
KIND = label(
    "kind",
    "Of what the event tells; kinds that are not here are `_other`.",
    one_of=(
        *("Pod", "Node", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"),
        *("HorizontalPodAutoscaler", "PersistentVolumeClaim", "PodDisruptionBudget", "Service", "Ingress"),
        *("NodeClaim", "NodePool", OTHER),
    ),
)
EVENT_REASON = label(
    "reason",
    "What happened, in the words of who tells it; others are `_other`.",
    one_of=(
        # pods
        *("BackOff", "CrashLoopBackOff", "Evicted", "Failed", "FailedCreate", "FailedCreatePodSandBox", "FailedMount"),
        *("FailedAttachVolume", "FailedScheduling", "FailedKillPod", "FailedPreStopHook", "Killing", "OOMKilling"),
        *("Preempted", "Preempting", "Scheduled", "Started", "Unhealthy", "TaintManagerEviction", "TriggeredScaleUp"),
        *("NotTriggerScaleUp", "NoPods", "CalculateExpectedPodCountFailed"),
        # nodes
        *("NodeNotReady", "NodeReady", "NodeNotSchedulable", "NodeSchedulable", "RemovingNode", "DeletingNode"),
        *("RegisteredNode", "Rebooted", "Starting", "SystemOOM", "EvictionThresholdMet", "NodeHasDiskPressure"),
        *("NodeHasMemoryPressure", "FreeDiskSpaceFailed", "ImageGCFailed", "InvalidDiskCapacity"),
        # handlers of interruptions, autoscalers
        *("SpotInterruption", "SpotInterrupted", "SpotRebalanceRecommendation", "RebalanceRecommendation"),
        *("ScheduledEvent", "SQSTermination", "StateChange", "ASGLifecycle", "InstanceTerminating"),
        *("InstanceStopping", "InstanceUnhealthy", "Cordon", "CordonError", "CordonAndDrain", "CordonAndDrainError"),
        *("CapacityReservationInterruption", "DisruptionBlocked", "DisruptionTerminating", "DisruptionLaunching"),
        *("DisruptionWaitingReadiness", "FailedDraining", "Unconsolidatable", "InsufficientCapacityError"),
        *("NodeRegistrationFailure", "TerminationGracePeriodExpiring", "ScaleDown", "ScaleDownFailed", "ScaledUpGroup"),
        *("FailedToScaleUpGroup", "SuccessfulRescale", "BackoffLimitExceeded", "DeadlineExceeded", OTHER),
    ),
)
EVENT_TYPE = label("type", "Normal or a warning.", one_of=("Normal", "Warning", OTHER))
WATCHED = label("resource", "What is watched.", one_of=("nodes", "pods", "poddisruptionbudgets", "events"))
RESTART = label(
    "trigger",
    "Why: the API had forgotten where it was, and all was listed anew; the time for one watch was over; nothing came "
    "for too long; the API was away or refused.",
    one_of=("expired", "ended", "silent", "failed"),
)

POOL = (CLUSTER, INSTANCE_TYPE, ZONE, LIFECYCLE)
NODES_OF = (CLUSTER, NODEPOOL, LIFECYCLE)

# Who is where
CLUSTER_INFO = gauge("k8s.cluster.info", unit="", help="1 per cluster: whose it is.", labels=(CLIENT, CLUSTER))
NODE_INFO = gauge(
    "k8s.node.info",
    unit="",
    help="1 per node: where it belongs, and on what machine it is.",
    labels=(CLIENT, CLUSTER, NODE, NODEPOOL, LIFECYCLE, INSTANCE_TYPE, ZONE, INSTANCE),
)
NODES = gauge("k8s.nodes", unit="{node}", help="Nodes.", labels=(CLUSTER, NODEPOOL, LIFECYCLE, INSTANCE_TYPE, ZONE))
NODES_NOT_SHOWN = gauge(
    "k8s.nodes.not_shown",
    unit="{node}",
    help="Nodes without series of their own, for there are more than `labels.limits.node`.",
    labels=(CLUSTER,),
)
NODE_READY = gauge("k8s.node.ready", unit="", help="1: the node's kubelet says that it works.", labels=(CLUSTER, NODE))
NODE_UNSCHEDULABLE = gauge(
    "k8s.node.unschedulable",
    unit="",
    help="1: no new pods, because it was cordoned or somebody empties it; absent else.",
    labels=(CLUSTER, NODE),
)
NODE_TAINTS = gauge("k8s.nodes.tainted", unit="{node}", help="Nodes with such a taint.", labels=(*NODES_OF, EFFECT))
PODS = gauge("k8s.pods", unit="{pod}", help="Pods on nodes, or waiting for one.", labels=(CLUSTER, PHASE))

# Leaving a node before it is taken
DRAIN_READY = gauge(
    "k8s.node.drain.ready",
    unit="",
    help="1: nothing holds its pods, and they would be gone within `kubernetes.drain_within`.",
    labels=(CLUSTER, NODE),
)
DRAIN_BLOCKED = gauge(
    "k8s.node.drain.blocked_pods",
    unit="{pod}",
    help="Pods that are held, by what; a pod may be held by several; absent where none is.",
    labels=(CLUSTER, NODE, BLOCKED),
)
DRAIN_PODS = gauge(
    "k8s.node.drain.pods", unit="{pod}", help="Pods that would have to leave the node.", labels=(CLUSTER, NODE)
)
DRAIN_ESTIMATE = gauge(
    "k8s.node.drain.estimate",
    unit="s",
    help="Time to leave the node if pods use all of their grace: notice, then budget by budget what may go at once.",
    labels=(CLUSTER, NODE),
)
DRAINABLE = gauge(
    "k8s.pool.drain_ready.nodes",
    unit="{node}",
    help="Nodes that could be left in time; of all nodes, also of those without series of their own.",
    labels=NODES_OF,
)

# What one pool's end would take
BLAST_SHARE = gauge(
    "k8s.blast_radius.nodes", unit="1", help="Share of the cluster's nodes that are in the pool.", labels=POOL
)
BLAST_PDBS = gauge(
    "k8s.blast_radius.broken_pdbs",
    unit="{pdb}",
    help="Budgets that would have fewer healthy pods than they want, if the whole pool went.",
    labels=POOL,
)
CONCENTRATION = gauge(
    "k8s.cluster.concentration",
    unit="1",
    help="Sum of the squares of the pools' shares of nodes (Herfindahl-Hirschman): 1 is all in one pool.",
    labels=(CLUSTER,),
)

# Budgets
PDBS = gauge("k8s.pdbs", unit="{pdb}", help="PodDisruptionBudgets by state.", labels=(CLUSTER, PDB_STATE))
PDB_BLOCKED = gauge(
    "k8s.pdb.blocked_pods",
    unit="{pod}",
    help="Pods that the budget holds now; absent where it holds none.",
    labels=(CLUSTER, NAMESPACE, PDB),
)

# What is asked for, of what there is
CPU_ALLOCATABLE = gauge("k8s.pool.cpu.allocatable", unit="{cpu}", help="Cores for pods.", labels=NODES_OF)
CPU_REQUESTED = gauge("k8s.pool.cpu.requested", unit="{cpu}", help="Cores that pods ask for.", labels=NODES_OF)
MEMORY_ALLOCATABLE = gauge("k8s.pool.memory.allocatable", unit="By", help="Memory for pods.", labels=NODES_OF)
MEMORY_REQUESTED = gauge("k8s.pool.memory.requested", unit="By", help="Memory that pods ask for.", labels=NODES_OF)
GPU_ALLOCATABLE = gauge("k8s.pool.gpu.allocatable", unit="{gpu}", help="GPUs for pods.", labels=NODES_OF)
GPU_REQUESTED = gauge("k8s.pool.gpu.requested", unit="{gpu}", help="GPUs that pods ask for.", labels=NODES_OF)
NODE_IDLE = gauge(
    "k8s.node.idle",
    unit="1",
    help="Share of what the node has for pods that none of them asks for; gpu only where it has some.",
    labels=(CLUSTER, NODE, CAPACITY),
)

# What happens
EVENTS = counter(
    "k8s.events",
    unit="{event}",
    help="Events, each occurrence once, since the program started.",
    labels=(CLUSTER, KIND, EVENT_REASON, EVENT_TYPE, NAMESPACE),
)
EVICTIONS = counter(
    "k8s.evictions",
    unit="{pod}",
    help="Pods that were made to leave, each once, since the program started.",
    labels=(*NODES_OF, EVICTION),
)

# How well it is watched
WATCH_AGE = gauge(
    "k8s.watch.age",
    unit="s",
    help="Since the API last told anything of these; it does at least every minute or two.",
    labels=(CLUSTER, WATCHED),
)
WATCH_OBJECTS = gauge("k8s.watch.objects", unit="{object}", help="Objects that are known.", labels=(CLUSTER, WATCHED))
WATCH_RESTARTS = counter(
    "k8s.watch.restarts",
    unit="{restart}",
    help="Watches that began anew, since the program started.",
    labels=(CLUSTER, WATCHED, RESTART),
)
