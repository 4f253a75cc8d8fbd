"""Spot machines and a cluster for a fleet: everything that the boards of savings, pools and clusters can show.

The values are made up: nobody's account has an interruption a second and a switch of every kind. Names, labels and the
page that Prometheus reads are the real ones: the catalogue's records in the exporter's own meter. What really comes
from EC2, a cluster and the ledger is tested where the sources are.

with spot_in_use() as address:  # HOST:PORT with /metrics
    ...
"""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from fleetwatch.catalogue import aws, spot
from fleetwatch.catalogue import kubernetes as k8s
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition

ACCOUNT, CLUSTER, PRODUCT = "prod", "eks", "Linux/UNIX"
REGION = "us-east-1"
WHERE = {"account": ACCOUNT, "region": REGION}
HOURS = 3600 * NANO
PAST_HOURS = 200
"""What is counted of each machine at the first look."""
SPEED = 600
"""Hours of machines go by so much faster here, that a rate can be told of them."""


class Pool(NamedTuple):
    type: str
    az_id: str
    price: float
    list_price: float
    machines: int
    team: str
    workload: str
    risk: float

    def labels(self) -> dict[str, str]:
        return {**WHERE, "az_id": self.az_id, "instance_type": self.type, "product": PRODUCT}


POOLS = (
    Pool("m7g.2xlarge", "use1-az4", 0.131, 0.3264, 14, "search", "embed-batch", 34),
    Pool("g6.xlarge", "use1-az2", 0.41, 0.8048, 5, "ml", "rerank", 81),
    Pool("c6a.2xlarge", "use1-az1", 0.15, 0.3392, 4, "", "", 45),
)
VCPUS = 8


@contextlib.contextmanager
def spot_in_use() -> Iterator[str]:
    """HOST:PORT of the page, until the block ends."""
    fleet, failed = _Fleet(), list[Exception]()

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                body = fleet.page()
            except Exception as error:
                failed.append(error)
                raise
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert not failed, failed[0]


class _Fleet:
    """Its past is counted at the first look, and each look counts what came since the one before."""

    def __init__(self) -> None:
        self._meter = Meter()
        self._lock = threading.Lock()
        self._began = self._seen = time.time()
        self._count(PAST_HOURS)

    def page(self) -> bytes:
        with self._lock:
            now = time.time()
            self._count((now - self._seen) * SPEED / 3600)
            self._seen = now
            self._meter.replace("made up", [*_gauges(now, self._began), *_cluster(now)])
            text: Any = exposition(self._meter, openmetrics=False)
        return text if isinstance(text, bytes) else str(text).encode()

    def _count(self, hours: float) -> None:
        for pool in POOLS:
            use = (ACCOUNT, REGION, pool.team, pool.workload, "spot")
            self._use(use, hours * pool.machines, pool.price, pool.list_price)
            place = (ACCOUNT, REGION, pool.az_id, pool.type, PRODUCT)
            self._meter.add(spot.INSTANCE_HOURS, place, round(hours * pool.machines * HOURS))
            self._meter.add(spot.INTERRUPTIONS, (*place, "terminate", "capacity"), 1)
        self._use((ACCOUNT, REGION, "core", "agents", "on_demand"), hours * 3, 0.58, 0.58)
        for price in spot.PRICE.one_of:
            self._meter.add(spot.UNPRICED_HOURS, (ACCOUNT, REGION, price), round(hours * HOURS))
        self._taken()
        self._decided()
        self._happened()

    def _use(self, use: tuple[str, ...], hours: float, price: float, list_price: float) -> None:
        self._meter.add(spot.SPEND, use, round(hours * price * NANO))
        self._meter.add(spot.EQUIVALENT, use, round(hours * list_price * NANO))
        self._meter.add(spot.VCPU_HOURS, (*use, "yes"), round(hours * VCPUS * HOURS))

    def _taken(self) -> None:
        add, observe, where = self._meter.add, self._meter.observe, (ACCOUNT, REGION)
        for told in spot.TOLD.one_of:
            add(spot.TERMINATIONS, (*where, "capacity", told), 1)
        for signal in ("rebalance", "warning", "state_change"):
            add(spot.EVENTS, (signal,), 1)
        for signal, seconds in (("rebalance", 400), ("warning", 121)):
            observe(spot.SIGNAL_LEAD, (signal,), seconds * NANO)
        for result in spot.RESULT.one_of:
            add(spot.DRAIN_OUTCOMES, (CLUSTER, "batch", result), 1)
        observe(spot.DRAIN_DURATION, (CLUSTER, "batch"), 70 * NANO)
        observe(spot.EVENT_DELAY, (), 4 * NANO)
        for kind in spot.COST.one_of:
            add(spot.INTERRUPTION_COST, (*where, kind), NANO // 100)
        for work in spot.WORK.one_of:
            add(spot.LOST_ITEMS, (*where, work), 1)

    def _decided(self) -> None:
        counts = (("candidate", "", 80), ("filtered", "risk", 50), ("filtered", "too_small", 25), ("scored", "", 5))
        for stage, reason, number in (*counts, ("chosen", "", 1), ("switched", "followed", 1)):
            self._meter.add(spot.DECISIONS, (stage, reason), number)
        for outcome in spot.SWITCH.one_of:
            self._meter.add(spot.SWITCHES, ("embed-batch", outcome), 1)

    def _happened(self) -> None:
        add = self._meter.add
        for metric, number in ((aws.REQUESTS, 20), (aws.THROTTLES, 1), (aws.HELD_BACK, 1)):
            add(metric, (ACCOUNT, REGION, "ec2:DescribeInstances"), number)
        add(k8s.EVENTS, (CLUSTER, "Pod", "BackOff", "Warning", "default"), 1)
        for cause in k8s.EVICTION.one_of:
            add(k8s.EVICTIONS, (CLUSTER, "batch", "spot", cause), 1)
        for watched in k8s.WATCHED.one_of:
            add(k8s.WATCH_RESTARTS, (CLUSTER, watched, "ended"), 1)


def _gauges(now: float, began: float) -> Iterator[Sample]:
    for pool in POOLS:
        yield from _pool(pool)
    forced = {"team": "core", "workload": "agents"}
    yield spot.FORCED(3, **WHERE, **forced)
    on_demand = {**POOLS[0].labels(), "lifecycle": "on_demand", **forced}
    yield spot.FLEET_INSTANCES(3, **on_demand)
    yield spot.FLEET_VCPUS(3 * VCPUS, **on_demand)
    yield spot.UNREGISTERED(4, **WHERE, lifecycle="spot")
    yield spot.PRICE_MISSING(2, **POOLS[2].labels(), price="on_demand")
    yield spot.REQUESTS(3, **WHERE, state="open", status="capacity-not-available")
    yield spot.RECORDED_UNTIL(now - 30, **WHERE)
    yield spot.QUEUE_MESSAGES(2, **WHERE)
    yield spot.ADVISOR_AGE(7200)
    yield aws.DENIED(1, **WHERE, api="ec2:GetSpotPlacementScores")
    for slot, (kind, outcome) in enumerate((("warning", "pending"), ("interruption", "late"))):
        yield spot.RECENT_NOTICE(
            began - 60 * slot, **WHERE, slot=str(slot), az_id="use1-az2", instance_type="g6.xlarge",
            instance_id=f"i-{slot}", workload="rerank", cluster=CLUSTER, node=f"node-{slot}", kind=kind,
            reason="capacity", outcome=outcome,
        )  # fmt: skip
    yield spot.RECENT_SWITCH(
        began - 600, slot="0", workload="embed-batch", from_type="m7i.2xlarge", from_az_id="use1-az6",
        to_type="m7g.2xlarge", to_az_id="use1-az4", advice="followed",
    )  # fmt: skip
    for known in spot.INPUT.one_of:
        yield spot.RISK_WEIGHT(1 / 6, input=known)
    yield spot.PLACEMENT_SCORE(8, config="batch-200", region=REGION, az_id="use1-az4")


def _pool(pool: Pool) -> Iterator[Sample]:
    place = pool.labels()
    of_type = {"region": REGION, "instance_type": pool.type}
    who = {"team": pool.team, "workload": pool.workload, "lifecycle": "spot"}
    yield spot.POOL_PRICE(pool.price, **place)
    yield spot.POOL_ON_DEMAND(pool.list_price, **place)
    yield spot.PRICE_AGE(60, **place, source="api")
    yield spot.ON_DEMAND_AGE(86400, **of_type, product=PRODUCT, source="api")
    yield spot.FLEET_INSTANCES(pool.machines, **place, **who)
    yield spot.FLEET_VCPUS(pool.machines * VCPUS, **place, **who)
    yield spot.SPEND_RATE(pool.price * pool.machines, **WHERE, **who)
    yield spot.EQUIVALENT_RATE(pool.list_price * pool.machines, **WHERE, **who)
    yield spot.RISK(pool.risk, **place)
    yield spot.RISK_INPUTS(5, **place)
    for bound, value in (("observed", 0.3), ("upper", 0.9), ("posterior", 0.4)):
        yield spot.HAZARD(value, **place, bound=bound)
    yield spot.ADVISOR_BUCKET(pool.risk // 20, **of_type, os="Linux")
    yield spot.ADVISOR_SAVINGS(0.5, **of_type, os="Linux")
    for metric, number in ((spot.MANAGER_INTERRUPTIONS, 2), (spot.MANAGER_INSTANCES, 16), (spot.MANAGER_HOURS, 300)):
        yield metric(number, account=ACCOUNT, **of_type)
    if pool.workload:
        workload = {"workload": pool.workload}
        yield spot.WORKLOAD_PRICE(pool.price / VCPUS, **workload)
        yield spot.OPTIMISATION(0.8, **workload)
        yield spot.OPEN_RECOMMENDATIONS(1, **workload)
        yield spot.ALTERNATE_RANK(1, **workload, **place)
        yield spot.ALTERNATE_PRICE(0.7 * pool.price / VCPUS, **workload, **place)


def _cluster(now: float) -> Iterator[Sample]:
    here = {"cluster": CLUSTER}
    kind = {"lifecycle": "spot", "instance_type": "m7g.2xlarge", "zone": "us-east-1a"}
    yield k8s.CLUSTER_INFO(1, client="acme", **here)
    yield k8s.NODES(2, **here, nodepool="batch", **kind)
    for number, is_ready in enumerate((0, 1)):
        node = {**here, "node": f"node-{number}"}
        yield k8s.NODE_INFO(1, client="acme", nodepool="batch", instance_id=f"i-{number}", **kind, **node)
        yield k8s.NODE_READY(1, **node)
        yield k8s.DRAIN_READY(is_ready, **node)
        yield k8s.DRAIN_ESTIMATE(40 + 90 * (1 - is_ready), **node)
        yield k8s.DRAIN_PODS(7, **node)
        for capacity in ("cpu", "memory"):
            yield k8s.NODE_IDLE(0.3, **node, capacity=capacity)
    yield k8s.DRAIN_BLOCKED(2, **here, node="node-0", reason="pdb_exhausted")
    of_pool = {**here, "nodepool": "batch", "lifecycle": "spot"}
    yield k8s.DRAINABLE(1, **of_pool)
    for metric in (k8s.CPU_ALLOCATABLE, k8s.MEMORY_ALLOCATABLE, k8s.GPU_ALLOCATABLE):
        yield metric(16, **of_pool)
    for metric in (k8s.CPU_REQUESTED, k8s.MEMORY_REQUESTED, k8s.GPU_REQUESTED):
        yield metric(11, **of_pool)
    yield k8s.BLAST_SHARE(1, **here, **kind)
    yield k8s.BLAST_PDBS(1, **here, **kind)
    yield k8s.CONCENTRATION(1, **here)
    yield k8s.NODES_NOT_SHOWN(0, **here)
    for state in k8s.PDB_STATE.one_of:
        yield k8s.PDBS(1, **here, state=state)
    yield k8s.PDB_BLOCKED(2, **here, namespace="search", pdb="qdrant")
    for phase in k8s.PHASE.one_of:
        yield k8s.PODS(14, **here, phase=phase)
    for watched in k8s.WATCHED.one_of:
        yield k8s.WATCH_AGE(now % 60, **here, resource=watched)
        yield k8s.WATCH_OBJECTS(30, **here, resource=watched)
