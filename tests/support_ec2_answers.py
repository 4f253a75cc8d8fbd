"""What an EC2 on loopback answers, operation by operation, in the SDK's own shapes.

Rules of paging, times and filters: EC2 API reference, of the operation that stands in the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from support_ec2_machines import (
    LETTERS,
    fits,
    price_list,
    reservations,
    spot_request,
    types,
    when,
    zone_id,
)
from support_ec2_wire import Refused

if TYPE_CHECKING:
    from support_ec2 import Ec2
    from support_ec2_door import Asked

Answer = Callable[["Ec2", "Asked"], dict[str, Any]]

HISTORY = 90 * 86400
"""Seconds of prices that EC2 keeps."""
VPC = " (Amazon VPC)"
FEW_TYPES = 3
"""A request for fewer types than these has a low score."""


def _bad(code: str, message: str) -> Refused:
    return Refused(400, code, message)


def page_of(
    ec2: Ec2, asked: Mapping[str, Any], rows: Sequence[Any], least: int, most: int, *, always: bool = False
) -> tuple[Sequence[Any], dict[str, str]]:
    """Rows of this page, and the token of the next one. always: all in one page where no size is asked for."""
    size = asked.get("MaxResults")
    if size is not None and not least <= size <= most:
        raise _bad("InvalidParameterValue", f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value")
    size = min(size or (len(rows) if always else most), ec2.page or most) if rows else most
    token = asked.get("NextToken")
    if token and token not in ec2.tokens:
        raise _bad("InvalidNextToken", f"The token '{token}' is invalid")
    first = ec2.tokens[token] if token else 0
    if first + size >= len(rows):
        return rows[first:], {}
    fresh = f"token-{len(ec2.tokens)}"
    ec2.tokens[fresh] = first + size
    return rows[first : first + size], {"NextToken": fresh}


def describe_instances(ec2: Ec2, asked: Asked) -> dict[str, Any]:
    given = asked.parameters
    if "MaxResults" in given and "InstanceIds" in given:
        raise _bad("InvalidParameterCombination", "The parameter instancesSet cannot be used with maxResults")
    found = [item for item in ec2.machines.values() if (item.account, item.region) == (asked.account, asked.region)]
    ids = given.get("InstanceIds")
    missing = set(ids or ()) - {item.id for item in found}
    if missing:
        raise _bad("InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(sorted(missing))}' do not exist")
    for item in given.get("Filters", ()):
        passed = [fits(machine, item["Name"], item["Values"]) for machine in found]
        if None in passed:
            raise _bad("InvalidParameterValue", f"The filter '{item['Name']}' is invalid")
        found = [machine for machine, passes in zip(found, passed, strict=True) if passes]
    rows, more = page_of(ec2, given, [item for item in found if not ids or item.id in ids], 5, 1000, always=True)
    return {"Reservations": reservations(list(rows)), **more}


def describe_spot_instance_requests(ec2: Ec2, asked: Asked) -> dict[str, Any]:
    found = [item for item in ec2.requests.values() if (item.account, item.region) == (asked.account, asked.region)]
    for item in asked.parameters.get("Filters", ()):
        own = {"state": "state", "status-code": "status", "instance-id": "machine"}.get(item["Name"])
        if own is None:
            raise _bad("InvalidParameterValue", f"The filter '{item['Name']}' is invalid")
        found = [request for request in found if getattr(request, own) in item["Values"]]
    rows, more = page_of(ec2, asked.parameters, found, 5, 1000, always=True)
    return {"SpotInstanceRequests": [spot_request(item) for item in rows], **more}


def describe_availability_zones(_ec2: Ec2, asked: Asked) -> dict[str, Any]:
    zones = [
        {
            "OptInStatus": "opt-in-not-required",
            "Messages": [],
            "RegionName": asked.region,
            "ZoneName": asked.region + letter,
            "ZoneId": zone_id(asked.account, asked.region, letter),
            "GroupName": asked.region,
            "NetworkBorderGroup": asked.region,
            "ZoneType": "availability-zone",
            "State": "available",
        }
        for letter in LETTERS
    ]
    return {"AvailabilityZones": zones}


def describe_instance_types(ec2: Ec2, asked: Asked) -> dict[str, Any]:
    given = asked.parameters
    wanted = given.get("InstanceTypes")
    known = [name for name in types() if ec2.offered is None or name in ec2.offered]
    if wanted and "MaxResults" in given:
        raise _bad("InvalidParameterCombination", "The parameter InstanceTypes cannot be used with maxResults")
    unknown = set(wanted or ()) - set(known)
    if unknown:
        raise _bad("InvalidInstanceType", f"The following supplied instance types do not exist: {sorted(unknown)}")
    found = [name for name in known if not wanted or name in wanted]
    for item in given.get("Filters", ()):
        if item["Name"] != "instance-type":
            raise _bad("InvalidParameterValue", f"The filter '{item['Name']}' is invalid")
        found = [name for name in found if name in item["Values"]]
    rows, more = page_of(ec2, given, found, 5, 100, always=bool(wanted))
    return {"InstanceTypes": [types()[name] for name in rows], **more}


def describe_spot_price_history(ec2: Ec2, asked: Asked) -> dict[str, Any]:
    """All changes between StartTime and EndTime, and of each pool the price that was valid at StartTime."""
    given = asked.parameters
    if "AvailabilityZone" in given and "AvailabilityZoneId" in given:
        raise _bad("InvalidParameterCombination", "Only one of AvailabilityZone and AvailabilityZoneId may be given")
    start, end = _seconds(given.get("StartTime"), ec2.now - HISTORY), _seconds(given.get("EndTime"), ec2.now)
    names = given.get("ProductDescriptions")
    rows: list[dict[str, Any]] = []
    for (account, region, letter, kind, product), steps in ec2.prices.items():
        if region != asked.region or account not in {"*", asked.account}:
            continue
        row = {
            "AvailabilityZone": region + letter,
            "AvailabilityZoneId": zone_id(asked.account, region, letter),
            "InstanceType": kind,
        }
        if not _wanted(row, given):
            continue
        known = [(at, price) for at, price in sorted(steps) if ec2.now - HISTORY <= at <= min(end, ec2.now)]
        valid = [step for step in known if step[0] <= start][-1:]
        shown = [*valid, *(step for step in known if step[0] > start)]
        for name in [product] if names is None else [name for name in names if name.removesuffix(VPC) == product]:
            rows += [
                {**row, "ProductDescription": name, "SpotPrice": f"{price:.6f}", "Timestamp": when(at)}
                for at, price in shown
            ]
    rows.sort(key=lambda row: row["Timestamp"], reverse=True)
    some, more = page_of(ec2, given, rows, 0, 1000)
    # The last page has a token, too: an empty one.
    return {"SpotPriceHistory": list(some), "NextToken": more.get("NextToken", "")}


def _wanted(row: Mapping[str, str], given: Mapping[str, Any]) -> bool:
    names = {
        "availability-zone": "AvailabilityZone",
        "availability-zone-id": "AvailabilityZoneId",
        "instance-type": "InstanceType",
    }
    limits = [("InstanceType", given.get("InstanceTypes"))]
    limits += [(name, [given[name]]) for name in ("AvailabilityZone", "AvailabilityZoneId") if name in given]
    for item in given.get("Filters", ()):
        if item["Name"] not in names:
            raise _bad("InvalidParameterValue", f"The filter '{item['Name']}' is invalid")
        limits.append((names[item["Name"]], item["Values"]))
    return all(values is None or row[name] in values for name, values in limits)


def get_spot_placement_scores(ec2: Ec2, asked: Asked) -> dict[str, Any]:
    given = asked.parameters
    single, regions = given.get("SingleAvailabilityZone", False), given.get("RegionNames")
    low = len(given.get("InstanceTypes", ())) < FEW_TYPES
    rows = []
    for (region, letter), score in ec2.scores.items():
        if bool(letter) != single or (regions and region not in regions):
            continue
        zone = {"AvailabilityZoneId": zone_id(asked.account, region, letter)} if letter else {}
        rows.append({"Region": region, **zone, "Score": min(score, 3) if low else score})
    best = sorted(rows, key=lambda row: -int(str(row["Score"])))[:10]
    some, more = page_of(ec2, given, best, 10, 1000)
    return {"SpotPlacementScores": list(some), **more}


DIMENSIONS = {
    "resource-region": "ResourceRegion",
    "availability-zone-id": "AvailabilityZoneId",
    "account-id": "AccountId",
    "instance-family": "InstanceFamily",
    "instance-type": "InstanceType",
}


def get_capacity_manager_metric_data(ec2: Ec2, asked: Asked) -> dict[str, Any]:
    """Sums of the figures in each period, by the dimensions asked for."""
    given = asked.parameters
    start, end, period = _seconds(given["StartTime"], 0), _seconds(given["EndTime"], 0), given["Period"]
    if period % 3600 or start % 3600 or end % 3600:
        raise _bad("InvalidParameterValue", "StartTime, EndTime and Period must be full hours")
    sums: dict[tuple[tuple[tuple[str, str], ...], float], dict[str, float]] = {}
    for item in ec2.managed:
        if not start <= item.at < end or item.metric not in given["MetricNames"]:
            continue
        named = tuple((name, item.dimensions[name]) for name in given["GroupBy"] if name in item.dimensions)
        held = sums.setdefault((named, start + (item.at - start) // period * period), {})
        held[item.metric] = held.get(item.metric, 0.0) + item.value
    rows = [
        {
            "Dimension": {DIMENSIONS[name]: value for name, value in named},
            "Timestamp": when(at),
            "MetricValues": [{"Metric": name, "Value": value} for name, value in values.items()],
        }
        for (named, at), values in sums.items()
    ]
    some, more = page_of(ec2, given, rows, 1, 1000)
    return {"MetricDataResults": list(some), **more}


def get_products(ec2: Ec2, asked: Asked) -> dict[str, Any]:
    if asked.region not in {"us-east-1", "eu-central-1", "ap-south-1"}:
        raise Refused(400, "UnrecognizedClientException", "there is no such endpoint")
    if asked.parameters.get("ServiceCode") != "AmazonEC2":
        raise Refused(400, "NotFoundException", f"Invalid ServiceCode: {asked.parameters.get('ServiceCode')}")
    rows = list(price_list(asked.region, ec2.list_prices, asked.parameters))
    some, more = page_of(ec2, asked.parameters, rows, 1, 100)
    return {"FormatVersion": "aws_v1", "PriceList": list(some), **more}


def get_metric_data(ec2: Ec2, asked: Asked) -> dict[str, Any]:
    """CPUUtilization of machines, the same at any time; no values for those without."""
    given = asked.parameters
    results = []
    for query in given["MetricDataQueries"]:
        stat = query["MetricStat"]
        [dimension] = stat["Metric"]["Dimensions"]
        machine = ec2.machines.get(dimension["Value"])
        here = machine is not None and (machine.account, machine.region) == (asked.account, asked.region)
        value = ec2.load.get(dimension["Value"]) if here and stat["Metric"]["MetricName"] == "CPUUtilization" else None
        times: Iterable[datetime] = [given["StartTime"]] if value is not None else []
        results.append(
            {
                "Id": query["Id"],
                "Label": query["Id"],
                "Timestamps": list(times),
                "Values": [] if value is None else [value],
                "StatusCode": "Complete",
            }
        )
    return {"MetricDataResults": results, "Messages": []}


def assume_role(ec2: Ec2, asked: Asked) -> dict[str, Any]:
    account = asked.parameters["RoleArn"].split(":")[4]
    key = f"key-of-{account}"
    ec2.identities[key] = account
    return {
        "Credentials": {
            "AccessKeyId": key,
            "SecretAccessKey": "s",
            "SessionToken": "t",
            "Expiration": when(ec2.now + 3600),
        },
        "AssumedRoleUser": {"AssumedRoleId": "AROA:fleetwatch", "Arn": f"arn:aws:sts::{account}:assumed-role/r/f"},
    }


def get_caller_identity(_ec2: Ec2, asked: Asked) -> dict[str, Any]:
    arn = f"arn:aws:sts::{asked.account}:assumed-role/exporter/i-1"
    return {"UserId": "AROA:i-1", "Account": asked.account, "Arn": arn}


def _seconds(time: datetime | None, otherwise: float) -> float:
    return otherwise if time is None else time.timestamp()


ANSWERS: Mapping[str, Answer] = {
    "ec2:DescribeInstances": describe_instances,
    "ec2:DescribeSpotInstanceRequests": describe_spot_instance_requests,
    "ec2:DescribeAvailabilityZones": describe_availability_zones,
    "ec2:DescribeInstanceTypes": describe_instance_types,
    "ec2:DescribeSpotPriceHistory": describe_spot_price_history,
    "ec2:GetSpotPlacementScores": get_spot_placement_scores,
    "ec2:GetCapacityManagerMetricData": get_capacity_manager_metric_data,
    "pricing:GetProducts": get_products,
    "cloudwatch:GetMetricData": get_metric_data,
    "sts:AssumeRole": assume_role,
    "sts:GetCallerIdentity": get_caller_identity,
}
"""All else is moto's."""
