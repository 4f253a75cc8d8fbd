"""Machines of an EC2 on loopback, and how EC2 tells of them: what moto lacks or gets wrong.

Codes and messages: EC2 API reference (Instance, StateReason), EC2 user guide "Get the status of a Spot Instance
request".
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

LETTERS = "abc"
"""Of the zones that each region has."""
STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
DIRECTIONS = ("north", "south", "east", "west", "central")
TAKEN = {
    "capacity": "instance-terminated-no-capacity",
    "price": "instance-terminated-by-price",
    "constraint": "instance-terminated-launch-group-constraint",
    "user": "instance-terminated-by-user",
}


@dataclass
class Machine:
    """at: Unix seconds."""

    id: str
    account: str
    region: str
    zone: str
    type: str
    lifecycle: str
    """spot, on-demand, scheduled, capacity-block, interruptible-capacity-reservation."""
    platform: str
    launched: float
    reservation: str
    address: str
    tags: Mapping[str, str] = field(default_factory=dict)
    state: str = "running"
    why: tuple[str, str] = ("", "")
    """StateReason: code, message."""
    transition: str = ""
    request: str = ""


@dataclass
class Request:
    """A spot request. machine: None where none was had."""

    id: str
    account: str
    region: str
    zone: str
    type: str
    platform: str
    created: float
    updated: float
    machine: str | None = None
    state: str = "active"
    status: str = "fulfilled"


def when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def zone_id(account: str, region: str, letter: str) -> str:
    """Each account has its own order of names, and all have the same ids: `use1-az1`."""
    area, direction, number = region.rsplit("-", 2)
    short = "".join(name[0] for name in DIRECTIONS if name in direction)
    shift = zlib.crc32(f"{account}{region}".encode()) % len(LETTERS)
    return f"{area[:2]}{short}{number}-az{(LETTERS.index(letter) + shift) % len(LETTERS) + 1}"


def instance(machine: Machine) -> dict[str, Any]:
    """As DescribeInstances tells it."""
    zone = machine.region + machine.zone
    told: dict[str, Any] = {
        "InstanceId": machine.id,
        "ImageId": "ami-0abcdef1234567890",
        "State": {"Code": STATES[machine.state], "Name": machine.state},
        "PrivateDnsName": "" if machine.state == "terminated" else f"{machine.address}.{_domain(machine.region)}",
        "PublicDnsName": "",
        "StateTransitionReason": machine.transition,
        "AmiLaunchIndex": 0,
        "ProductCodes": [],
        "InstanceType": machine.type,
        "LaunchTime": when(machine.launched),
        "Placement": {
            "AvailabilityZoneId": zone_id(machine.account, machine.region, machine.zone),
            "GroupName": "",
            "Tenancy": "default",
            "AvailabilityZone": zone,
        },
        "Monitoring": {"State": "disabled"},
        "Architecture": _architecture(machine.type),
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": "ebs",
        "VirtualizationType": "hvm",
        "PlatformDetails": machine.platform,
        "UsageOperation": "RunInstances",
        "Tags": [{"Key": key, "Value": value} for key, value in machine.tags.items()],
        "MetadataOptions": {"State": "applied", "HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    }
    if machine.lifecycle != "on-demand":
        told["InstanceLifecycle"] = machine.lifecycle
    if machine.request:
        told["SpotInstanceRequestId"] = machine.request
    if machine.why[0]:
        told["StateReason"] = {"Code": machine.why[0], "Message": machine.why[1]}
    return told


def spot_request(request: Request) -> dict[str, Any]:
    """As DescribeSpotInstanceRequests tells it."""
    zone = request.region + request.zone
    ids = zone_id(request.account, request.region, request.zone)
    told: dict[str, Any] = {
        "CreateTime": when(request.created),
        "LaunchSpecification": {
            "ImageId": "ami-0abcdef1234567890",
            "InstanceType": request.type,
            "Placement": {"AvailabilityZone": zone, "AvailabilityZoneId": ids},
            "Monitoring": {"Enabled": False},
        },
        "ProductDescription": request.platform,
        "SpotInstanceRequestId": request.id,
        "SpotPrice": "0.500000",
        "State": request.state,
        "Status": {
            "Code": request.status,
            "Message": f"Your Spot request is {request.status}.",
            "UpdateTime": when(request.updated),
        },
        "Type": "one-time",
        "InstanceInterruptionBehavior": "terminate",
        "Tags": [],
    }
    if request.machine is not None:
        told |= {"InstanceId": request.machine, "LaunchedAvailabilityZone": zone, "LaunchedAvailabilityZoneId": ids}
    return told


def reservations(machines: list[Machine]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for machine in machines:
        if not made or made[-1]["ReservationId"] != machine.reservation:
            made.append(
                {"ReservationId": machine.reservation, "OwnerId": machine.account, "Groups": [], "Instances": []}
            )
        made[-1]["Instances"].append(instance(machine))
    return made


def fits(machine: Machine, name: str, values: list[str]) -> bool | None:
    """Whether a machine passes a filter of DescribeInstances; None for a filter that is not known here."""
    if name.startswith("tag:"):
        return machine.tags.get(name[4:]) in values
    known = {
        "instance-lifecycle": [machine.lifecycle],
        "instance-state-name": [machine.state],
        "instance-id": [machine.id],
        "instance-type": [machine.type],
        "availability-zone": [machine.region + machine.zone],
        "tag-key": list(machine.tags),
    }
    return None if name not in known else any(value in values for value in known[name])


def _architecture(kind: str) -> str:
    found: list[str] = types().get(kind, {}).get("ProcessorInfo", {}).get("SupportedArchitectures", ["x86_64"])
    return found[-1]


def _domain(region: str) -> str:
    return "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"


@cache
def types() -> dict[str, dict[str, Any]]:
    """AWS's types as moto has them on file, all of them; moto itself is slow to load."""
    found = importlib.util.find_spec("moto")
    assert found is not None
    assert found.submodule_search_locations
    file = Path(found.submodule_search_locations[0]) / "ec2" / "resources" / "instance_types.json.gz"
    held: dict[str, dict[str, Any]] = json.loads(gzip.decompress(file.read_bytes()))
    return held


def price_list(region: str, prices: Mapping[tuple[str, str, str], float], asked: Mapping[str, Any]) -> Iterator[str]:
    """Products as pricing:GetProducts tells them, each a JSON text. Prices are USD per hour by (region, type, os)."""
    wanted = {item["Field"]: item["Value"] for item in asked.get("Filters", ())}
    for (where, kind, system), price in sorted(prices.items()):
        metal = ".metal" in kind
        attributes = {
            "regionCode": where,
            "instanceType": kind,
            "operatingSystem": system,
            "preInstalledSw": "NA",
            "capacitystatus": "Used",
            "marketoption": "OnDemand",
            "tenancy": "Dedicated" if metal else "Shared",
            "licenseModel": "No License required",
            "servicecode": "AmazonEC2",
            "operation": "RunInstances",
            "vcpu": str(types()[kind]["VCpuInfo"]["DefaultVCpus"]) if kind in types() else "2",
        }
        family = "Compute Instance (bare metal)" if metal else "Compute Instance"
        given = {**attributes, "serviceCode": "AmazonEC2", "productFamily": family}
        if any(given.get(name) != value for name, value in wanted.items()):
            continue
        sku = f"{zlib.crc32(f'{where}{kind}{system}'.encode()):016X}"
        offer = f"{sku}.JRTCKXETXF"
        rate = {
            "unit": "Hrs",
            "endRange": "Inf",
            "description": f"${price} per On Demand {system} {kind} Instance Hour",
            "appliesTo": [],
            "rateCode": f"{offer}.6YS6EN2CT7",
            "beginRange": "0",
            "pricePerUnit": {"USD": f"{price:.10f}"},
        }
        term = {
            "priceDimensions": {rate["rateCode"]: rate},
            "sku": sku,
            "effectiveDate": "2026-11-01T00:00:00Z",
            "offerTermCode": "JRTCKXETXF",
            "termAttributes": {},
        }
        yield json.dumps(
            {
                "product": {"productFamily": family, "attributes": attributes, "sku": sku},
                "serviceCode": "AmazonEC2",
                "terms": {"OnDemand": {offer: term}},
                "version": "20261101000000",
                "publicationDate": "2026-11-01T00:00:00Z",
            }
        )
