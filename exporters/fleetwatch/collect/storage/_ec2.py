"""EC2's answers about storage, page by page, as records. Operations: EC2 API reference, version 2016-11-15."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fleetwatch.aws.calls import Trouble, action
from fleetwatch.aws.session import Call
from fleetwatch.records.storage import Image, References, Snapshot, Volume

API = "ec2"

PAGES = 200
"""Of one list. 100,000 volumes are 200 pages."""

GIB = 1 << 30

MANAGED = ("aws:backup:", "aws:dlm:")
"""Beginnings of the tags that AWS Backup and Data Lifecycle Manager put on what they will remove themselves."""

GONE = {"deleting", "deleted", "deregistered", "failed", "invalid"}
"""States of what is not there, or no more."""


def pages(call: Call, operation: str, field: str, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of all pages. Raises Trouble, also where the pages have no end: half a list would look like less."""
    token, seen = "", set[str]()
    for _ in range(PAGES):
        answer = call(operation, {**parameters, **({"NextToken": token} if token else {})})
        yield from answer.get(field) or ()
        token = str(answer.get("NextToken") or "")
        if not token:
            return
        if token in seen:
            raise Trouble(
                "error", f"{action(API, operation)}: expected a new NextToken, got one for the second time", ""
            )
        seen.add(token)
    raise Trouble("error", f"{action(API, operation)}: expected at most {PAGES} pages, got more", "")


def volumes(call: Call, region: str) -> list[Volume]:
    rows = pages(call, "DescribeVolumes", "Volumes", {"MaxResults": 500})
    return [_volume(row, region) for row in rows if row.get("State") not in GONE]


def snapshots(call: Call, owner: str, region: str) -> list[Snapshot]:
    """One's own. owner: number of the account; rows of others are left out."""
    rows = pages(call, "DescribeSnapshots", "Snapshots", {"OwnerIds": ["self"], "MaxResults": 1000})
    return [_snapshot(row, region) for row in rows if row.get("OwnerId") == owner]


def images(call: Call, owner: str) -> list[Image]:
    """One's own, the disabled and deprecated ones, too: they hold their snapshots."""
    asked = {"Owners": ["self"], "IncludeDeprecated": True, "IncludeDisabled": True, "MaxResults": 1000}
    rows = pages(call, "DescribeImages", "Images", asked)
    return [_image(row) for row in rows if row.get("OwnerId") == owner and row.get("State") not in GONE]


def references(call: Call, region: str) -> References:
    """What volumes and launch templates need; of templates the latest and the default version.

    An older version that a group still launches from is not asked for: its image has been launched.
    """
    there = volumes(call, region)
    asked = {"Versions": ["$Latest", "$Default"], "MaxResults": 200}
    found = list(pages(call, "DescribeLaunchTemplateVersions", "LaunchTemplateVersions", asked))
    data = [row.get("LaunchTemplateData") or {} for row in found]
    return References(
        volumes=frozenset(volume.id for volume in there),
        restored=frozenset(volume.snapshot for volume in there if volume.snapshot),
        template_images=frozenset(str(item["ImageId"]) for item in data if item.get("ImageId")),
        template_snapshots=frozenset(name for item in data for name in _snapshot_ids(item)),
    )


def _volume(row: Mapping[str, Any], region: str) -> Volume:
    return Volume(
        id=str(row["VolumeId"]),
        type=str(row["VolumeType"]),
        gib=int(row["Size"]),
        iops=int(row.get("Iops") or 0),
        mibps=int(row.get("Throughput") or 0),
        attached=row.get("State") != "available",
        snapshot=str(row.get("SnapshotId") or ""),
        elsewhere=_elsewhere(row, region),
    )


def _snapshot(row: Mapping[str, Any], region: str) -> Snapshot:
    full = row.get("FullSnapshotSizeInBytes")
    return Snapshot(
        id=str(row["SnapshotId"]),
        tier=str(row.get("StorageTier") or "standard"),
        size=int(row["VolumeSize"]) * GIB if full is None else int(full),
        volume=str(row.get("VolumeId") or ""),
        restored=row.get("RestoreExpiryTime") is not None,
        managed=_managed(row),
        elsewhere=_elsewhere(row, region),
    )


def _image(row: Mapping[str, Any]) -> Image:
    return Image(
        id=str(row["ImageId"]),
        snapshots=tuple(_snapshot_ids(row)),
        launched=_moment(row.get("LastLaunchedTime")),
        deprecated=_moment(row.get("DeprecationTime")),
        public=bool(row.get("Public")),
        managed=_managed(row),
    )


def _snapshot_ids(row: Mapping[str, Any]) -> Iterator[str]:
    for mapping in row.get("BlockDeviceMappings") or ():
        name = (mapping.get("Ebs") or {}).get("SnapshotId")
        if name:
            yield str(name)


def _elsewhere(row: Mapping[str, Any], region: str) -> bool:
    """Zones of a region are its name and a letter; us-east-1-bos-1a is a local zone."""
    zone = str(row.get("AvailabilityZone") or "")
    return bool(row.get("OutpostArn")) or bool(zone and not re.fullmatch(re.escape(region) + "[a-z]", zone))


def _managed(row: Mapping[str, Any]) -> bool:
    tags: Sequence[Mapping[str, str]] = row.get("Tags") or ()
    return any(str(tag.get("Key", "")).startswith(MANAGED) for tag in tags)


def _moment(value: object) -> float | None:
    """Unix seconds of a time that EC2 tells as text, `2026-11-01T10:00:00.000Z`; None for none."""
    if not value:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
