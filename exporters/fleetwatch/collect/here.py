"""The machine that the sources look at, and what the settings say of it."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from fleetwatch.collect.desk import Desk

if TYPE_CHECKING:  # a sidecar knows neither clouds nor prices and does not load them
    from fleetwatch.aws.session import Aws
    from fleetwatch.collect.ai_services._table import Meaning
    from fleetwatch.collect.alerting._api import Access
    from fleetwatch.reckon.price import PriceBook
    from fleetwatch.records.alerting import Acknowledgement


class CommitError(Exception):
    """Records are not on disk, or nobody knows whether they are. They may be told again: each counts once."""


Commit = Callable[[Sequence[object]], None]
"""Takes records of the ledger. Raises CommitError."""


class ProcessGroup(NamedTuple):
    """A named group of processes: those in which all patterns that are given are found. The first that fits has one."""

    name: str
    program: re.Pattern[str] | None = None
    """In the program's name."""
    command: re.Pattern[str] | None = None
    """In the command line, arguments joined by spaces."""


class BillAccess(NamedTuple):
    """Where one provider's bill is, and how often it is read. lag, refresh: seconds."""

    url: str
    lag: float
    refresh: float
    key_file: Path | None = None
    services: tuple[str, ...] = ()
    """Patterns of services that count, * and ? stand for other text."""
    role_arn: str = ""
    external_id: str = ""


class AiServices(NamedTuple):
    """What the settings say of AI services. invocations: service -> what its number of calls has in it."""

    invocations: Mapping[str, Meaning] = MappingProxyType({})
    health: tuple[float, float, float, float] = (0.05, 0.05, 0.5, 5)
    """Shares from which on a service is degraded, throttled, failing; calls below which a share says nothing."""
    limits: Mapping[str, int] = MappingProxyType({})
    """Label -> number of values, where it differs from the catalogue."""


class ScrapeTargets(NamedTuple):
    """Servers of one kind that are asked for their own metrics. token_file: holds what they want to see."""

    urls: tuple[str, ...]
    token_file: Path | None = None


class SpotQueue(NamedTuple):
    """A queue with EC2's events. account: a name in aws.accounts, empty: the first; region: empty: of the address."""

    url: str
    region: str = ""
    account: str = ""


class ScoreRequest(NamedTuple):
    """A request whose chances AWS is asked for."""

    name: str
    instance_types: tuple[str, ...]
    capacity: int = 10
    unit: str = "units"
    """units, vcpu or memory-mib."""
    single_zone: bool = True


class SpotAccess(NamedTuple):
    """What the settings say of machines of EC2, to those who ask about them."""

    team_tag: str = "team"
    workload_tag: str = "workload"
    on_demand_tag: str = "fleetwatch.io/on-demand"
    cluster_tag: str = "kubernetes.io/cluster/"
    """Where it ends in a slash it is the beginning of a tag, and the rest is the cluster."""
    queues: tuple[SpotQueue, ...] = ()
    advisor_url: str = ""
    advisor_file: Path | None = None
    prices_file: Path | None = None
    scores: tuple[ScoreRequest, ...] = ()
    capacity_manager: bool = False
    load: bool = False
    not_eligible: frozenset[str] = frozenset()
    """Workloads that could not be spot."""


class StorageAccess(NamedTuple):
    """What the settings say of storage. grace: seconds."""

    grace: float = 7 * 86400.0
    prices_file: Path | None = None


class ClusterAccess(NamedTuple):
    """A cluster that is watched. kubeconfig None: KUBECONFIG, ~/.kube/config, else the pod's own account."""

    name: str
    client: str = ""
    kubeconfig: Path | None = None
    context: str = ""


class KubernetesAccess(NamedTuple):
    """What the settings say of clusters. Times: seconds; most_nodes: nodes that have series of their own."""

    clusters: tuple[ClusterAccess, ...] = ()
    pool_labels: tuple[str, ...] = ()
    on_demand_annotation: str = "fleetwatch.io/on-demand"
    namespaces: frozenset[str] = frozenset()
    drain_within: float = 120.0
    notice_lag: float = 5.0
    replacement_ready: float = 30.0
    most_nodes: int = 2000


@dataclass(frozen=True)
class Here:
    """What a source may know of its machine. Paths differ from the usual ones in containers that look at their host."""

    name: str = ""
    region: str = ""
    zone: str = ""
    deployment: str = ""
    """One of the values of hosts.DEPLOYMENT; empty: found out."""
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    root: Path = Path("/")
    process_groups: tuple[ProcessGroup, ...] = ()
    top_processes: int = 10
    """Programs shown by processor use, and as many by memory."""
    ignored_filesystems: re.Pattern[str] = re.compile(
        r"(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|"
        r"proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)"
    )
    """Types of file systems that are not shown."""
    ignored_interfaces: re.Pattern[str] = re.compile(
        r"lo|veth.*|cali.*|lxc.*|(docker|podman|vnet)\d+|br-.*|(eni|gke|azv)[0-9a-f]{6,}|tap[0-9a-f]{8}-[0-9a-f]{2}"
    )
    """The machine's own loop, and those of containers, pods and virtual machines: one each, by names that never return.
    eni, gke, azv: what the clouds' own networks for Kubernetes make for a pod."""
    ignored_disks: re.Pattern[str] = re.compile(
        r"(ram|loop|fd|zram)\d+|(h|s|v|xv)d[a-z]+\d+|(nvme\d+n\d+|mmcblk\d+)p\d+"
    )
    """Devices that are not shown; partitions are parts of their disk."""
    imds: str = "http://169.254.169.254"
    scrape: Mapping[str, ScrapeTargets] = field(default_factory=dict)
    """By kind of server: vllm, litellm."""
    alertmanager: Access | None = None
    """The way to Alertmanager; None: it is not asked."""
    acknowledged: deque[Acknowledgement] = field(default_factory=lambda: deque(maxlen=10_000))
    """Where acknowledgements of alerts are put for whoever counts them."""
    bills: Mapping[str, BillAccess] = field(default_factory=dict)
    """By provider; only those whose bill is to be read."""
    bills_folder: Path = Path("bills")
    """Where bills are kept over restarts."""
    bills_days: int = 31
    """Closed days that are read each time."""
    facts: dict[str, str] = field(default_factory=dict)
    """What one source found out and another shows: instance_type, lifecycle, region, zone, gpus, gpu_model."""
    aws: Aws | None = None
    """The way to AWS; None: it is not asked."""
    desk: Desk = field(default_factory=Desk)
    """What sources tell each other."""
    commit: Commit | None = None
    """Writes records and returns when they are on disk, from a source's thread; None: there is no ledger."""
    spot: SpotAccess | None = None
    """None: machines of EC2 are not asked about."""
    storage: StorageAccess | None = None
    """None: volumes, snapshots and images are not asked about."""
    ai_services: AiServices = field(default_factory=AiServices)
    kubernetes: KubernetesAccess | None = None
    """The clusters that are watched; None: there are none."""
    prices: Callable[[], PriceBook] | None = None
    """Makes a price book by the settings: a book is for one thread."""
    state: Path | None = None
    """Folder for what sources keep over a restart."""
    clock: Callable[[], float] = time.time
    """Unix time."""
