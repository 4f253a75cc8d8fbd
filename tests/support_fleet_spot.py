"""Spot machines for a fleet: an exporter of its own before an EC2, a cluster and storage on loopback.

Nothing that it shows is made up beside its sources: it asks as it asks AWS (see support_ec2). What takes hours or
minutes comes from its ledger, which begins as that of an exporter that has looked for a day: the hours of machines,
takings, a move that had been advised, and work that was lost. Some of the takings settle while it runs.

Machines are told only from `happen` on, so that whoever scrapes before sees counters grow.

with spot_in_use(folder) as cloud:
    ...  # something scrapes cloud.house.web
    cloud.happen()
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from fleetwatch.catalogue import spot
from fleetwatch.ledger import Ledger
from fleetwatch.records.spot import (
    Decision,
    DrainStep,
    FleetSlice,
    Instance,
    InstanceSeen,
    LostWork,
    Pool,
    SpotSignal,
    Switch,
    Use,
)
from support import wait_for
from support_ec2 import OWN, REGION, Ec2
from support_ec2_door import forget_moto_s
from support_ec2_machines import zone_id
from support_fleet_aws import IDENTITY
from support_fleet_cluster import CLUSTER, POOL, ClusterInUse, cluster_in_use
from support_fleet_storage import storage_in_use
from support_house import House
from support_ledger import BOOK
from support_otlp import span, traces_of
from support_program import samples
from support_stack import post
from support_storage import DAY

ACCOUNT = "prod"
SECOND = 10**9
HOUR = 3600 * SECOND
LOOKED = 24 * HOUR
"""How long the exporter has looked."""
AWAY = 60 * SECOND
"""Before its start."""
AGAIN = 45
"""Seconds from one taking to the next."""
PACES = (
    "aws_api",
    "ec2_fleet",
    "ec2_load",
    "instance_types",
    "on_demand_prices",
    "spot_advisor",
    "spot_judge",
    "spot_prices",
)


class Kind(NamedTuple):
    """Machines of one type in one zone. Prices: USD an hour."""

    type: str
    zone: str
    price: float
    list_price: float
    machines: int
    tags: dict[str, str]
    lifecycle: str = "spot"

    @property
    def pool(self) -> Pool:
        return Pool(ACCOUNT, REGION, zone_id(OWN, REGION, self.zone), self.type, "Linux/UNIX")


KINDS = (
    Kind("m7g.2xlarge", "a", 0.231, 0.3264, 14, {"team": "search", "workload": "embed-batch"}),
    Kind("g6.xlarge", "b", 0.71, 0.8048, 5, {"team": "ml", "workload": "rerank"}),
    Kind("c6a.2xlarge", "c", 0.15, 0.3392, 4, {}),
    Kind("m7g.2xlarge", "a", 0.0, 0.3264, 3,
         {"team": "core", "workload": "agents", "fleetwatch.io/on-demand": "true"}, "on-demand"),
    # Without any price.
    Kind("m5.large", "a", 0.0, 0.0, 2, {"team": "core", "workload": "legacy"}),
)  # fmt: skip
OTHERS = {"m6g.2xlarge": (0.09, 0.308), "r7g.2xlarge": (0.12, 0.4284), "c7g.2xlarge": (0.10, 0.29),
          "g5.xlarge": (0.35, 1.006), "m7i.2xlarge": (0.14, 0.4032)}  # fmt: skip
"""Types that nothing runs on: prices as spot and on demand."""


class LiveEc2(Ec2):
    """Whose clock is the machine's."""

    @property
    def now(self) -> float:
        return time.time()

    @now.setter
    def now(self, value: float) -> None:
        """It goes by itself."""


class SpotInUse:
    """nodes: of the cluster, by name, and the machines that they are."""

    def __init__(self, house: House, ec2: Ec2, cluster: ClusterInUse, nodes: dict[str, str]) -> None:
        self.house = house
        self._ec2, self._cluster, self._nodes = ec2, cluster, nodes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def happen(self) -> None:
        """Machines are told of, one of them is warned, and from now on others are taken."""
        self._ec2.relent()
        self._ec2.refuse("denied", "cloudwatch:GetMetricData")
        self._cluster.happen()
        # What went with a machine is told once, and costs nothing where no price is known yet.
        wait_for(self._is_priced, 30, "prices of machines", 0.3)
        warned, taken, *_ = self._nodes.values()
        self._ec2.warn(warned)
        self._take(taken)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _go_on(self) -> None:
        """Whoever looks back some minutes finds a taking, and a look at a new workload, however late he looks."""
        kind = KINDS[0]
        for number in itertools.count():
            tags = {"team": "search", "workload": f"late-{number}"}
            (machine,) = self._ec2.run(kind.type, zone=kind.zone, tags=tags)
            node = f"{self._ec2.machines[machine].address}.ec2.internal"
            self._cluster.join(node, machine)
            if self._over.wait(AGAIN):
                return
            self._cluster.leave(node, machine)
            self._take(machine)

    def _take(self, machine: str) -> None:
        """With the task that it was at."""
        self._ec2.rebalance(machine)
        self._ec2.warn(machine)
        self._ec2.take(machine)
        self._break_off(machine)

    def _is_priced(self) -> bool:
        found = samples(self.house.get("/metrics")[1])
        return bool(found.get(spot.SPEND_RATE.prometheus)) and bool(found.get(spot.POOL_PRICE.prometheus))

    def _break_off(self, machine: str) -> None:
        """An agent's task that had begun a quarter of an hour ago."""
        now = time.time_ns()
        task = span(
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "embedder", "error.type": "interrupted"},
            name="invoke_agent embedder",
            trace_id=os.urandom(16),
            span_id=os.urandom(8),
            start_time_unix_nano=now - HOUR // 4,
            end_time_unix_nano=now,
            status={"code": 2},
        )
        body = traces_of([task], {"service.name": "embedder", "host.name": machine}).SerializeToString()
        assert post(f"http://{self.house.http}/v1/traces", body) == 200


@contextlib.contextmanager
def spot_in_use(folder: Path) -> Iterator[SpotInUse]:
    """Until the block ends."""
    folder.mkdir(parents=True)
    (folder / "data" / "collect").mkdir(parents=True)
    with patch.dict(os.environ, IDENTITY), _cloud() as ec2:
        _fill(ec2)
        machines = [name for name, item in ec2.machines.items() if item.tags.get("workload") == "embed-batch"]
        nodes = {f"{ec2.machines[name].address}.ec2.internal": name for name in machines[:4]}
        _has_looked(folder / "data" / "ledger.db")
        (folder / "advisor.json").write_text(json.dumps(_advisor()), encoding="utf-8")
        with (
            storage_in_use(ec2, folder, ACCOUNT, REGION) as storage,
            cluster_in_use(folder, nodes) as (cluster, kubernetes),
        ):
            parts = (_settings(ec2, folder), storage, kubernetes)
            settings: dict[str, Any] = {name: section for part in parts for name, section in part.items()}
            settings["collect"] = {name: pace for part in parts for name, pace in part["collect"].items()}
            ec2.refuse("throttled", "ec2:DescribeInstances")
            with House(folder, settings) as house:
                cloud = SpotInUse(house, ec2, cluster, nodes)
                try:
                    yield cloud
                finally:
                    cloud.stop()
        assert ec2.wrong == []


@contextlib.contextmanager
def _cloud() -> Iterator[Ec2]:
    with LiveEc2() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.relent()
            server.shutdown()
            thread.join(5)
            forget_moto_s()


def _settings(ec2: Ec2, folder: Path) -> dict[str, Any]:
    scores = {"name": "batch-200", "instance_types": ["m7g.2xlarge", "m6g.2xlarge", "c7g.2xlarge"], "capacity": 200}
    return {
        "aws": {"regions": [REGION], "accounts": [{"name": ACCOUNT}], "endpoint_url": ec2.url, "attempts": 1},
        "spot": {
            "enabled": True,
            "advisor_file": str(folder / "advisor.json"),
            "queues": [{"url": ec2.queue(), "region": REGION}],
            "scores": [scores],
            "capacity_manager": True,
            "load": True,
        },
        "host": {"enabled": False},
        "collect": {name: {"interval": 2} for name in PACES},
    }


def _fill(ec2: Ec2) -> None:
    ec2.offered = {*(kind.type for kind in KINDS), *OTHERS}
    prices = {kind.type: (kind.price, kind.list_price) for kind in KINDS if kind.price}
    used = {(kind.type, kind.zone) for kind in KINDS}
    for name, (price, list_price) in {**prices, **OTHERS}.items():
        ec2.list_price(name, list_price)
        for zone in "abc":
            # Where nothing runs it is cheaper: there is something to advise.
            now = price if (name, zone) in used else 0.6 * price
            for ago, share in ((20 * DAY, 0.8), (3 * DAY, 1.1), (3600, 1.0)):
                ec2.price(name, round(now * share, 4), zone=zone, at=ec2.now - ago)
        ec2.manage(name, "spot-total-interruptions-inst", 2)
        ec2.manage(name, "spot-total-count-inst", 16)
        ec2.manage(name, "spot-total-usage-hrs-inst", 300)
    for kind in KINDS:
        ec2.run(
            kind.type, kind.machines, zone=kind.zone, lifecycle=kind.lifecycle, launched=ec2.now - 2 * DAY,
            tags=kind.tags,
        )  # fmt: skip
    ec2.request("m7g.2xlarge", "capacity-not-available")
    for zone, score in zip("abc", (8, 5, 2), strict=True):
        ec2.score(score, zone=zone)


def _advisor() -> dict[str, Any]:
    ends = (("<5%", 5), ("5-10%", 11), ("10-15%", 16), ("15-20%", 22), (">20%", 100))
    types = {name: {"s": 60, "r": place % 5} for place, name in enumerate((*(k.type for k in KINDS), *OTHERS))}
    return {
        "ranges": [{"index": place, "label": text, "max": end} for place, (text, end) in enumerate(ends)],
        "spot_advisor": {REGION: {"Linux": types, "Windows": {"m7i.2xlarge": {"s": 30, "r": 1}}}},
    }


RESULTS = ("in_time", "late", "")
"""How nodes were left, see _taking."""


def _has_looked(path: Path) -> None:
    """A day of machines, and what became of those that are gone."""
    now = time.time_ns()
    until = now - AWAY
    clock = [until - HOUR]
    ledger = Ledger(path, BOOK, clock=lambda: clock[0])
    gone = [
        Instance(f"i-{place:017x}", KINDS[place % 2].pool, "spot", "terminated", 8, until - LOOKED, ended=until - ago,
                 ended_why="Server.SpotInstanceTermination", **_who(KINDS[place % 2]))
        for place, ago in enumerate((HOUR, HOUR, 2 * HOUR, 600 * SECOND, 300 * SECOND, 400 * SECOND), 0xF00)
    ]  # fmt: skip
    ledger.commit([FleetSlice(ACCOUNT, REGION, until - LOOKED, until, tuple(map(_use, KINDS)), tuple(gone))])
    early, late = gone[:3], gone[3:]
    ledger.commit([fact for item, result in zip(early, RESULTS, strict=True) for fact in _taking(item, result)])
    ledger.commit([*_moves(until), *_lost(until)])
    clock[0] += HOUR // 2
    ledger.settle()
    # These settle while the exporter runs.
    clock[0] = now - 40 * SECOND
    ledger.commit([fact for item, result in zip(late, RESULTS, strict=True) for fact in _taking(item, result)])
    ledger.close()


def _who(kind: Kind) -> dict[str, Any]:
    return {"team": kind.tags.get("team", ""), "workload": kind.tags.get("workload", ""), "cluster": CLUSTER}


def _use(kind: Kind) -> Use:
    hours, nano = kind.machines * LOOKED // HOUR, 10**9
    on_demand = round(hours * kind.list_price * nano) or None
    spend = on_demand if kind.lifecycle != "spot" else round(hours * kind.price * nano) or None
    how: Any = "spot" if kind.lifecycle == "spot" else "on_demand"
    who = _who(kind)
    return Use(kind.pool, how, who["team"], who["workload"], True, hours * HOUR, 8 * hours * HOUR, spend, on_demand)


def _taking(item: Instance, result: str) -> Sequence[Any]:
    """All that was told of it; result: how its node was left, empty: nobody was told, and nobody drained it."""
    assert item.ended is not None
    end = item.ended
    seen = [InstanceSeen(item.id, ACCOUNT, REGION, end, "instance-terminated-no-capacity")]
    if not result:
        return seen
    told: Any = {"action": "terminate", "due": end}
    drained = end - 50 * SECOND if result == "in_time" else end + SECOND
    where = (CLUSTER, POOL, f"{item.id}.ec2.internal", item.id)

    def signal(kind: Any, ago: int, **more: Any) -> SpotSignal:
        at = end - ago * SECOND
        return SpotSignal(f"{kind} {item.id}", kind, item.id, ACCOUNT, REGION, at, at + SECOND, **more)

    return [
        signal("rebalance", 400),
        signal("warning", 120, **told),
        DrainStep(*where, "cordoned", end - 118 * SECOND),
        DrainStep(*where, "first_eviction", end - 115 * SECOND),
        DrainStep(*where, "drained", drained),
        signal("state_change", 0, state="terminated"),
        *seen,
    ]


def _moves(until: int) -> Sequence[Any]:
    before, after = KINDS[1].pool, KINDS[0].pool
    counts = (("candidate", "", 30), ("filtered", "risk", 25), ("scored", "", 5), ("chosen", "", 1))
    return [
        Decision("embed-batch before", until - 2 * HOUR, counts),
        Decision("switch embed-batch before", until - HOUR, (("switched", "followed", 1),)),
        Switch("embed-batch", until - HOUR, before, after, "followed"),
        Switch("rerank", until - 2 * HOUR, after, before, "elsewhere"),
    ]


def _lost(until: int) -> Sequence[LostWork]:
    return [
        LostWork(f"{kind} before", until - HOUR, ACCOUNT, REGION, kind, HOUR // 4, 10**8, 10**7)
        for kind in ("pipeline_run", "agent_task")
    ]
