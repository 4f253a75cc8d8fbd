"""Machines of EC2: which run, what they cost, who took them away, and how well they were left.

Times are Unix nanoseconds, money is an integer count of nano-USD, prices are nano-USD per hour.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Lifecycle = Literal["spot", "on_demand", "scheduled", "capacity_block", "interruptible_reservation"]
State = Literal["pending", "running", "stopping", "stopped", "shutting_down", "terminated"]
PriceSource = Literal["api", "static"]
Signal = Literal["rebalance", "warning", "scheduled", "state_change", "reservation_warning", "lifecycle_action"]
Action = Literal["terminate", "stop", "hibernate", "unknown"]
Reason = Literal["capacity", "price", "constraint", "unknown"]
Step = Literal["cordoned", "first_eviction", "drained", "gone"]


class Pool(NamedTuple):
    """Where a machine's capacity comes from, and what has one price.

    account: as in series; az_id: as `use1-az1`, the same zone in all accounts; product: as `Linux/UNIX`.
    """

    account: str
    region: str
    az_id: str
    instance_type: str
    product: str


class Instance(NamedTuple):
    """A machine as EC2 tells of it."""

    id: str
    pool: Pool
    lifecycle: Lifecycle
    state: State
    vcpus: int
    """0: not known."""
    launched: int
    ended: int | None = None
    """When it stopped running (stopped or terminated), as EC2 tells it; None: it runs, or EC2 does not tell."""
    ended_why: str = ""
    """Code of its StateReason, as `Server.SpotInstanceTermination`."""
    request: str = ""
    """Its spot request."""
    team: str = ""
    workload: str = ""
    """Empty: it is unregistered."""
    forced: bool = False
    """Somebody has said that it is to be on demand."""
    eligible: bool = True
    """It could be spot."""
    cluster: str = ""
    names: tuple[str, ...] = ()
    """How the machine is called elsewhere: private DNS names, long and short, its tag Name."""


class SpotRequest(NamedTuple):
    """A spot request, whose status says why a machine went."""

    id: str
    instance: str
    state: str
    status: str
    """As `instance-terminated-no-capacity`."""
    updated: int


class Fleet(NamedTuple):
    """All machines of one region of one account at a time."""

    account: str
    region: str
    at: int
    instances: tuple[Instance, ...]
    requests: tuple[SpotRequest, ...] = ()


class PriceStep(NamedTuple):
    """From `at` on the price is `price`, until the next step."""

    at: int
    price: int


class SpotPrices(NamedTuple):
    """The steps of a pool's price, ascending, as read at `at`. The first one began before the time asked for."""

    steps: tuple[PriceStep, ...]
    at: int
    source: PriceSource = "api"


class ListPrice(NamedTuple):
    """The on-demand price. at: when it was asked for; of a static table the day it was made."""

    price: int
    at: int
    source: PriceSource = "api"


class Advice(NamedTuple):
    """What AWS' Spot Advisor says of a type in a region. bucket: 0 (under 5 %) to 4 (over 20 % a month)."""

    bucket: int
    savings: float
    """Share of the on-demand price, at most 1; below 0 where spot is dearer."""
    at: int


class Score(NamedTuple):
    """A placement score, 1 to 10. config: its name in the settings; az_id: empty for a whole region."""

    config: str
    region: str
    az_id: str
    score: int
    at: int


class Shape(NamedTuple):
    """What an instance type is. memory: bytes; architecture: as `x86_64`."""

    vcpus: int
    memory: int
    gpus: int = 0
    architecture: str = ""


class SpotSignal(NamedTuple):
    """Something that EventBridge told of one machine. key: of the envelope, and of the machine where it names several.

    at: when AWS says that it was told; due: when it acts, None where it does not say; received: when it was read here.
    """

    key: str
    kind: Signal
    instance: str
    account: str
    region: str
    at: int
    received: int
    action: Action = "unknown"
    due: int | None = None
    state: str = ""
    """Of a state change, as `terminated`."""


class DrainStep(NamedTuple):
    """What a cluster saw of a node's end. host: the node's name; instance: its EC2 id, empty where it has none."""

    cluster: str
    nodepool: str
    host: str
    instance: str
    step: Step
    at: int


class InstanceSeen(NamedTuple):
    """A machine's end, or its request's, as EC2's own answers tell it; what the events are checked against.

    at: when it ended, or when the status of its request was updated.
    """

    instance: str
    account: str
    region: str
    at: int
    why: str
    """Code of the StateReason or of the request's status."""


class Use(NamedTuple):
    """What machines with these labels ran and cost within a slice of time. Times: nanoseconds of machine time.

    spend, on_demand: None where the price is not known, and nothing stands in for it.
    """

    pool: Pool
    lifecycle: Lifecycle
    team: str
    workload: str
    eligible: bool
    running: int
    vcpu_time: int
    spend: int | None
    on_demand: int | None


class FleetSlice(NamedTuple):
    """What a region of an account used from `since` to `until`. It counts only if it begins where the last one ended.

    instances: the machines that were seen, for whoever asks later what one was; the ledger keeps them.
    """

    account: str
    region: str
    since: int
    until: int
    uses: tuple[Use, ...]
    instances: tuple[Instance, ...]


class Interruption(NamedTuple):
    """One taking of one machine, from the first sign to its end. Times None: not seen.

    outcome: in_time, late, not_seen (no drain was seen) or pending.
    """

    id: str
    """Of the machine, and of when it began: one that is stopped and started again can be taken again."""
    instance: str
    pool: Pool | None
    """None: nobody has told of the machine yet."""
    cluster: str
    nodepool: str
    host: str
    action: Action
    reason: Reason
    rebalance: int | None
    warning: int | None
    due: int | None
    cordoned: int | None
    first_eviction: int | None
    drained: int | None
    terminated: int | None
    """When it ended; of a machine that is stopped or hibernated that."""
    outcome: str
    account: str = ""
    region: str = ""
    workload: str = ""
    began: int = 0
    """The earliest of its signs."""
    interrupted: bool = False
    """A warning was seen, or EC2's own reason says so; a rebalance recommendation alone is no interruption."""
    settled: bool = False
    """It is counted: what comes later changes this row, and no counter."""


class Switch(NamedTuple):
    """A workload that moved its machines to another pool. outcome: followed, elsewhere."""

    workload: str
    at: int
    before: Pool
    after: Pool
    outcome: str
    """followed: it was the one that had been recommended; elsewhere: another one."""


class Decision(NamedTuple):
    """Counts of the decision funnel: how many pools passed a stage for a reason in one look.

    key: of the look, so that one look counts once.
    """

    key: str
    at: int
    counts: tuple[tuple[str, str, int], ...]
    """(stage, reason, number)."""


class LostWork(NamedTuple):
    """Work that ended with its machine and has to be done again.

    key: of the work, so that it counts once; kind: pipeline_run or agent_task; time: nanoseconds that it had worked;
    machine: cost of the machine for that time, nano-USD, None where its price is not known; llm: cost of LLM calls.
    """

    key: str
    at: int
    account: str
    region: str
    kind: str
    time: int
    machine: int | None
    llm: int = 0
