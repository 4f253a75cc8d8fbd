"""Spot machines, storage and clusters."""

# The types below are read while the program runs, so they are no strings: no `from __future__ import annotations`.

from pathlib import Path
from typing import Annotated, Literal

from msgspec import field

from fleetwatch.settings.kinds import Seconds, why
from fleetwatch.settings.section import Section


class SpotWorkload(Section, frozen=True, kw_only=True):
    """What machines of a workload have to be; workloads are found by their tag, also those that are not here."""

    name: Annotated[str, why("Value of the tag.")]
    instance_types: Annotated[
        list[str], why("Patterns of types that may run it, `m7g.*`; empty: like those it has.")
    ] = []
    least_vcpus: Annotated[int, why("Of one machine; 0: as many as the smallest that it has.", ge=0)] = 0
    least_memory_gib: Annotated[float, why("Of one machine; 0: as much as the smallest that it has.", ge=0)] = 0.0
    regions: Annotated[list[str], why("Where it may run; empty: where it runs.")] = []
    most_risk: Annotated[
        float | None, why("Risk above which a pool is no alternate; empty: spot.most_risk.", ge=0, le=100)
    ] = None
    rework_hours: Annotated[
        float | None, why("Hours of work that an interruption costs; empty: spot.rework_hours.", ge=0)
    ] = None
    eligible: Annotated[bool, why("Whether it could be spot.")] = True


class RiskWeights(Section, frozen=True, kw_only=True):
    """Weights of the inputs of a pool's risk; those that are not known are left out, and the others count for more."""

    advisor: Annotated[float, why("AWS' Spot Advisor.", ge=0, le=1)] = 0.30
    interruption: Annotated[float, why("Chance of an interruption within a day, from what was seen.", ge=0, le=1)] = (
        0.30
    )
    placement: Annotated[float, why("Placement score.", ge=0, le=1)] = 0.15
    price_level: Annotated[float, why("Spot price over list price.", ge=0, le=1)] = 0.10
    price_change: Annotated[float, why("How much the price varied in seven days.", ge=0, le=1)] = 0.10
    capacity: Annotated[float, why("No capacity within the last three hours.", ge=0, le=1)] = 0.05


class PlacementScore(Section, frozen=True, kw_only=True):
    """A request whose chances AWS is asked for. AWS limits the number of different ones a day."""

    name: Annotated[str, why("Its name in series.")]
    instance_types: Annotated[list[str], why("At least three, else AWS' score is low.")]
    capacity: Annotated[int, why("Units wanted.", gt=0)] = 10
    unit: Annotated[Literal["units", "vcpu", "memory-mib"], why("Of what.")] = "units"
    single_zone: Annotated[bool, why("All of it in one zone: scores of zones instead of regions.")] = True


class EventQueue(Section, frozen=True, kw_only=True):
    """A queue of SQS that gets EC2's events from EventBridge, of the exporter's own: what is read is deleted."""

    url: Annotated[str, why("Its address.")]
    region: Annotated[str, why("Its region; empty: taken from the address.")] = ""
    account: Annotated[str, why("Name in aws.accounts of whose it is; empty: the first.")] = ""


class Spot(Section, frozen=True):
    """Machines of EC2: what spot saves, and what is taken away. Where and as whom AWS is asked: aws."""

    enabled: Annotated[bool, why("Ask AWS about machines and their prices. Describing them is free.")] = False
    team_tag: Annotated[str, why("Tag with the team.")] = "team"
    workload_tag: Annotated[str, why("Tag with the workload; machines without are unregistered.")] = "workload"
    on_demand_tag: Annotated[str, why("Tag of machines that are kept on demand; any value but false, no, 0.")] = (
        "fleetwatch.io/on-demand"
    )
    cluster_tag: Annotated[
        str, why("Tag, or beginning of one, with the cluster: of `kubernetes.io/cluster/NAME` the rest is it.")
    ] = "kubernetes.io/cluster/"
    queues: Annotated[list[EventQueue], why("Queues with EC2's events.")] = []
    advisor_url: Annotated[str, why("AWS' Spot Advisor data; empty: not asked for.")] = (
        "https://spot-bid-advisor.s3.amazonaws.com/spot-advisor-data.json"
    )
    advisor_file: Annotated[Path | None, why("The same as a file, instead.")] = None
    prices_file: Annotated[
        Path | None,
        why(
            "List prices of yours, before AWS' own and instead of those that come with the exporter: CSV region,"
            "instance_type,usd_per_hour and, if not Linux/UNIX, product."
        ),
    ] = None
    scores: Annotated[list[PlacementScore], why("Placement scores, at most 10.")] = []
    capacity_manager: Annotated[
        bool, why("Ask EC2 Capacity Manager, which has to be switched on, for its spot figures.")
    ] = False
    load: Annotated[bool, why("Ask CloudWatch for processor use; 0.01 USD per 1,000 machines and look.")] = False
    workloads: Annotated[list[SpotWorkload], why("What machines of a workload have to be.")] = []
    risk_weights: RiskWeights = RiskWeights()
    most_risk: Annotated[float, why("Risk above which a pool is no alternate.", ge=0, le=100)] = 60.0
    rework_hours: Annotated[float, why("Hours of work that an interruption costs.", ge=0)] = 0.5
    least_gain: Annotated[
        float, why("Share by which an alternate's effective price must be lower, to be recommended.", ge=0, le=1)
    ] = 0.1
    prior_hours: Annotated[
        float, why("Hours of machine time that AWS' advice is worth beside what was seen.", gt=0)
    ] = 720.0
    recent: Annotated[int, why("Notices and switches that are shown as recent.", gt=0, le=50)] = 20
    keep_days: Annotated[
        int, why("Days that single interruptions, switches and sums of days are kept. Totals stay.", gt=0)
    ] = 400


class Storage(Section, frozen=True):
    """Volumes, snapshots and images that nobody uses. Where and as whom AWS is asked: aws."""

    enabled: Annotated[bool, why("Ask AWS about volumes, snapshots and images. It is free.")] = False
    grace: Annotated[Seconds, why("How long something is unused before it is waste.")] = 7 * 86400.0
    prices_file: Annotated[
        Path | None,
        why("Prices instead of those that come with the exporter: CSV region,kind,type,unit,usd_per_month."),
    ] = None


class KubernetesCluster(Section, frozen=True, kw_only=True):
    """A cluster that is watched."""

    name: Annotated[str, why("Its name in series.")]
    client: Annotated[str, why("Whose cluster it is: a client, a team, a product.")] = ""
    kubeconfig: Annotated[Path | None, why("File; empty: KUBECONFIG, ~/.kube/config, else the pod's own account.")] = (
        None
    )
    context: Annotated[str, why("Context of the file; empty: its current one.")] = ""


class Kubernetes(Section, frozen=True):
    """Clusters: which node could be left within two minutes, and what would hold it up."""

    clusters: Annotated[list[KubernetesCluster], why("Clusters that are watched.")] = []
    pool_labels: Annotated[list[str], why("Labels of nodes with their pool; the first that a node has.")] = field(
        default_factory=lambda: [
            "karpenter.sh/nodepool",
            "eks.amazonaws.com/nodegroup",
            "alpha.eksctl.io/nodegroup-name",
            "node.kubernetes.io/pool",
        ]
    )
    on_demand_annotation: Annotated[str, why("Annotation of nodes that are kept on demand.")] = (
        "fleetwatch.io/on-demand"
    )
    namespaces: Annotated[list[str], why("Namespaces that events are told by; the others are `_other`.")] = field(
        default_factory=lambda: ["default", "kube-system"]
    )
    drain_within: Annotated[Seconds, why("Time that there is to leave a node; spot gives two minutes.")] = 120.0
    notice_lag: Annotated[Seconds, why("Time until a notice is acted upon.")] = 5.0
    replacement_ready: Annotated[Seconds, why("Time until an evicted pod's replacement is ready.")] = 30.0
