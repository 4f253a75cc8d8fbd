"""EC2's answers as records.

Fields and values: EC2 API reference, Instance, SpotInstanceRequest, InstanceTypeInfo; codes of requests: EC2 user
guide, "Get the status of a Spot Instance request".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fleetwatch.aws.session import Call
from fleetwatch.catalogue.metric import NANO
from fleetwatch.collect.here import SpotAccess
from fleetwatch.collect.spot._ask import pages, product_of
from fleetwatch.records.spot import Instance, Lifecycle, Pool, Shape, SpotRequest, State

API = "ec2"
PAGE = 1000
"""Rows on a page, the most there are."""
TYPES_PAGE = 100
"""Of DescribeInstanceTypes."""
LONGEST = 128
"""Characters of a tag's value that are kept."""
PAGES = 200
"""Of one list: 200,000 machines."""

LIFECYCLES: Mapping[str, Lifecycle] = {
    "spot": "spot",
    "scheduled": "scheduled",
    "capacity-block": "capacity_block",
    "interruptible-capacity-reservation": "interruptible_reservation",
}
STATES: Mapping[str, State] = {
    "pending": "pending",
    "running": "running",
    "shutting-down": "shutting_down",
    "terminated": "terminated",
    "stopping": "stopping",
    "stopped": "stopped",
}
OVER = frozenset({"shutting_down", "terminated", "stopping", "stopped"})
"""States that are not paid for."""

NO_CAPACITY = frozenset(
    {
        "capacity-not-available",
        "capacity-oversubscribed",
        "instance-stopped-capacity-oversubscribed",
        "instance-stopped-no-capacity",
        "instance-terminated-capacity-oversubscribed",
        "instance-terminated-no-capacity",
    }
)
"""Statuses of requests that a pool without capacity has."""

_TRANSITION = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
_NOT = frozenset({"false", "no", "0"})


class Asked(NamedTuple):
    """What a machine is told with. at: when it was asked, nanoseconds; zones: their names -> their ids."""

    account: str
    region: str
    zones: Mapping[str, str]
    access: SpotAccess
    at: int


def rows(call: Call, operation: str, key: str, size: int = PAGE, **asked: Any) -> Iterator[dict[str, Any]]:
    """All rows of an operation. Raises Trouble, also where the pages do not end: half a list would look like less."""
    for page in pages(call, operation, {**asked, "MaxResults": size}, PAGES):
        yield from page.get(key, ())


def instance(told: Mapping[str, Any], asked: Asked) -> Instance:
    """A machine of DescribeInstances. vcpus: 0 where only its type knows them."""
    access = asked.access
    tags = {str(item.get("Key", "")): _word(item.get("Value", "")) for item in told.get("Tags", ())}
    placed = told.get("Placement", {})
    pool = Pool(
        asked.account,
        asked.region,
        str(placed.get("AvailabilityZoneId") or asked.zones.get(str(placed.get("AvailabilityZone", "")), "")),
        str(told.get("InstanceType", "")),
        _product(told),
    )
    lifecycle = LIFECYCLES.get(str(told.get("InstanceLifecycle", "")), "on_demand")
    workload = tags.get(access.workload_tag, "")
    forced = access.on_demand_tag in tags and tags[access.on_demand_tag].strip().lower() not in _NOT
    cores = told.get("CpuOptions", {})
    state = STATES.get(str(told.get("State", {}).get("Name", "")), "pending")
    launched = told.get("LaunchTime")
    return Instance(
        id=str(told["InstanceId"]),
        pool=pool,
        lifecycle=lifecycle,
        state=state,
        vcpus=int(cores.get("CoreCount", 0)) * int(cores.get("ThreadsPerCore", 0)),
        launched=asked.at if launched is None else nanoseconds(launched),
        ended=_ended(told) if state in OVER else None,
        ended_why=str(told.get("StateReason", {}).get("Code", "")) if state in OVER else "",
        request=str(told.get("SpotInstanceRequestId") or ""),
        team=tags.get(access.team_tag, ""),
        workload=workload,
        forced=forced,
        eligible=not forced and workload not in access.not_eligible and lifecycle in {"spot", "on_demand"},
        cluster=_cluster(tags, access.cluster_tag),
        names=_names(told, tags),
    )


def request(told: Mapping[str, Any]) -> SpotRequest:
    """A request of DescribeSpotInstanceRequests."""
    status = told.get("Status", {})
    updated = status.get("UpdateTime") or told.get("CreateTime")
    return SpotRequest(
        id=str(told.get("SpotInstanceRequestId", "")),
        instance=str(told.get("InstanceId") or ""),
        state=str(told.get("State", "")),
        status=str(status.get("Code", "")),
        updated=0 if updated is None else nanoseconds(updated),
    )


def pool_of_request(told: Mapping[str, Any], account: str, region: str, zones: Mapping[str, str]) -> Pool | None:
    """Whose capacity a request asked for; None where it left the zone to EC2."""
    wanted = told.get("LaunchSpecification", {})
    placed = wanted.get("Placement", {})
    ids = (told.get("LaunchedAvailabilityZoneId"), placed.get("AvailabilityZoneId"))
    names = (told.get("LaunchedAvailabilityZone"), placed.get("AvailabilityZone"))
    zone = next((str(item) for item in (*ids, *(zones.get(str(name)) for name in names)) if item), "")
    kind = str(wanted.get("InstanceType", ""))
    if not zone or not kind:
        return None
    return Pool(account, region, zone, kind, product_of(str(told.get("ProductDescription") or "Linux/UNIX")))


def shapes(told: Iterable[Mapping[str, Any]]) -> dict[str, Shape]:
    """By the type's name. One whose processors are not told has no shape: none would be a wrong size."""
    found = {str(item.get("InstanceType") or ""): shape(item) for item in told}
    return {kind: item for kind, item in found.items() if kind and item.vcpus}


def shape(told: Mapping[str, Any]) -> Shape:
    """A type of DescribeInstanceTypes."""
    architectures = [str(item) for item in told.get("ProcessorInfo", {}).get("SupportedArchitectures", ())]
    return Shape(
        vcpus=int(told.get("VCpuInfo", {}).get("DefaultVCpus", 0)),
        memory=int(told.get("MemoryInfo", {}).get("SizeInMiB", 0)) << 20,
        gpus=sum(int(item.get("Count", 0)) for item in told.get("GpuInfo", {}).get("Gpus", ())),
        # Old types have i386 as well.
        architecture=next((item for item in architectures if item != "i386"), ""),
    )


def nanoseconds(time: datetime) -> int:
    """Unix time."""
    whole = int(time.replace(microsecond=0).timestamp())
    return whole * NANO + time.microsecond * 1000


def _word(value: object) -> str:
    """A tag's value as a label can have it: anybody may write one."""
    text = "".join(char if char.isprintable() else "\ufffd" for char in str(value)[: LONGEST + 1])
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _product(told: Mapping[str, Any]) -> str:
    if told.get("PlatformDetails"):
        return str(told["PlatformDetails"])
    return "Windows" if str(told.get("Platform", "")).lower() == "windows" else "Linux/UNIX"


def _ended(told: Mapping[str, Any]) -> int | None:
    """`User initiated (2026-11-22 00:15:51 GMT)`; EC2 tells it in no other field."""
    found = _TRANSITION.search(str(told.get("StateTransitionReason", "")))
    if found is None:
        return None
    try:
        return nanoseconds(datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC))
    except ValueError:
        return None


def _cluster(tags: Mapping[str, str], tag: str) -> str:
    if not tag.endswith(("/", ":")):
        return tags.get(tag, "")
    return min((key.removeprefix(tag) for key in tags if key.startswith(tag) and key != tag), default="")


def _names(told: Mapping[str, Any], tags: Mapping[str, str]) -> tuple[str, ...]:
    long = str(told.get("PrivateDnsName") or "")
    return tuple(dict.fromkeys(name for name in (long, long.partition(".")[0], tags.get("Name", "")) if name))
