"""Volumes, snapshots, images and launch templates in the loopback AWS, with what moto's lack.

moto knows no sizes of snapshots, no tiers, no launches of images, and has no pages of any of them. Shapes are checked
with the SDK's models by the door; rules of paging: EC2 API reference, of the operation that stands in the name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import support_ec2_answers
from fleetwatch.aws import Access, Account
from fleetwatch.aws.budget import Budget
from fleetwatch.aws.session import Aws
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect import Here
from fleetwatch.collect.here import StorageAccess
from fleetwatch.collect.runner import Incomplete
from fleetwatch.collect.storage._source import StorageSource
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from support_ec2 import OWN, REGION, Ec2
from support_ec2_door import Asked
from support_ec2_machines import when

DAY = 86_400.0


class Store:
    """What is stored, by account and region, in EC2's own words."""

    def __init__(self, cloud: Ec2) -> None:
        self.cloud = cloud
        self.rows: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
        """(list, account, region) -> id -> row."""
        self._number = 0

    def volume(
        self, type: str = "gp3", gib: int = 100, *, account: str = OWN, region: str = REGION, **more: Any
    ) -> str:
        """Attached, unless State says otherwise."""
        name = self._id("vol")
        row = {
            "VolumeId": name,
            "VolumeType": type,
            "Size": gib,
            "State": "in-use",
            "AvailabilityZone": f"{region}a",
            "CreateTime": when(self.cloud.now - 400 * DAY),
            **more,
        }
        self.rows["Volumes", account, region][name] = row
        return name

    def snapshot(self, gib: int = 100, *, account: str = OWN, region: str = REGION, **more: Any) -> str:
        """Of a volume that is gone."""
        name = self._id("snap")
        row = {
            "SnapshotId": name,
            "VolumeId": "vol-ffffffff",
            "VolumeSize": gib,
            "State": "completed",
            "StorageTier": "standard",
            "OwnerId": account,
            "StartTime": when(self.cloud.now - 300 * DAY),
            **more,
        }
        self.rows["Snapshots", account, region][name] = row
        return name

    def image(self, *snapshots: str, account: str = OWN, region: str = REGION, **more: Any) -> str:
        """Never launched. launched, deprecated: Unix times."""
        name = self._id("ami")
        for field, key in (("launched", "LastLaunchedTime"), ("deprecated", "DeprecationTime")):
            at = more.pop(field, None)
            if at is not None:
                more[key] = f"{when(at):%Y-%m-%dT%H:%M:%S}.000Z"
        row = {
            "ImageId": name,
            "OwnerId": account,
            "State": "available",
            "Public": False,
            "BlockDeviceMappings": [
                {"DeviceName": f"/dev/sd{place}", "Ebs": {"SnapshotId": part}} for place, part in enumerate(snapshots)
            ],
            **more,
        }
        self.rows["Images", account, region][name] = row
        return name

    def template(self, data: Mapping[str, Any], *, account: str = OWN, region: str = REGION) -> str:
        name = self._id("lt")
        row = {"LaunchTemplateId": name, "VersionNumber": 1, "DefaultVersion": True, "LaunchTemplateData": dict(data)}
        self.rows["LaunchTemplateVersions", account, region][name] = row
        return name

    def change(self, name: str, **fields: Any) -> None:
        for rows in self.rows.values():
            if name in rows:
                rows[name].update(fields)

    def remove(self, name: str) -> None:
        for rows in self.rows.values():
            rows.pop(name, None)

    def answers(self) -> dict[str, support_ec2_answers.Answer]:
        def of(field: str, least: int, most: int) -> support_ec2_answers.Answer:
            def answer(cloud: Ec2, asked: Asked) -> dict[str, Any]:
                self._look_at(field, asked)
                found = list(self.rows[field, asked.account, asked.region].values())
                rows, more = support_ec2_answers.page_of(cloud, asked.parameters, found, least, most)
                return {field: list(rows), **more}

            return answer

        return {
            "ec2:DescribeVolumes": of("Volumes", 5, 1000),
            "ec2:DescribeSnapshots": of("Snapshots", 5, 1000),
            "ec2:DescribeImages": of("Images", 5, 1000),
            "ec2:DescribeLaunchTemplateVersions": of("LaunchTemplateVersions", 1, 200),
        }

    def _look_at(self, field: str, asked: Asked) -> None:
        """Without these the real one would answer with the snapshots and images of everybody, or not at all."""
        given = asked.parameters
        wanted = {"Snapshots": given.get("OwnerIds"), "Images": given.get("Owners")}.get(field, ["self"])
        assert wanted == ["self"], f"{field}: {given}"
        if field == "LaunchTemplateVersions":
            assert given.get("Versions") == ["$Latest", "$Default"], given

    def _id(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number:08x}"


@pytest.fixture
def store(ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store(ec2)
    monkeypatch.setattr("support_ec2_door.ANSWERS", {**support_ec2_answers.ANSWERS, **made.answers()})
    return made


class Watched:
    """A source of storage, what came of its cycles and what a scrape shows."""

    def __init__(
        self,
        kind: type[StorageSource],
        cloud: Ec2,
        state: Path | None = None,
        *,
        regions: Sequence[str] = (REGION,),
        accounts: Sequence[Account] = (Account(),),
        grace: float = 7 * DAY,
        prices: Path | None = None,
    ) -> None:
        self.cloud = cloud
        self.kind = kind
        access = Access(tuple(regions), tuple(accounts), endpoint_url=cloud.url, attempts=1, timeout=5.0)
        budget = Budget(clock=lambda: cloud.now, sleep=lambda _: None)
        self.here = Here(
            aws=Aws(access, clock=lambda: cloud.now, budget=budget),
            state=state,
            storage=StorageAccess(grace, prices),
            clock=lambda: cloud.now,
        )
        self.source = kind(self.here)
        self.failure: Incomplete | None = None
        self.samples: list[Sample] = []

    def restart(self) -> None:
        self.source = self.kind(self.here)

    def look(self, later: float = 0) -> None:
        """One cycle, some seconds later."""
        self.cloud.now += later
        self.samples, self.failure = [], None
        try:
            self.samples.extend(self.source())
        except Incomplete as error:
            # As the runner does: what was yielded before is shown.
            self.failure = error

    def denied(self) -> set[str]:
        return {item.permission for item in self.failure.denied} if self.failure is not None else set()

    def value(self, metric: Metric, **labels: str) -> float | None:
        """The one value of the metric with these labels; None without any."""
        found = self.values(metric, **labels)
        assert len(found) <= 1, f"{metric.prometheus}: {len(found)} series"
        return found[0] if found else None

    def values(self, metric: Metric, **labels: str) -> list[float]:
        return [sample.value for sample in self.samples if sample.metric is metric and _has(sample, labels)]

    def total(self, metric: Metric, **labels: str) -> float:
        return sum(self.values(metric, **labels))

    def page(self, *without: Metric) -> str:
        meter = Meter(implied={"host_name": "gpu-7"})
        meter.replace("source", [sample for sample in self.samples if sample.metric not in without])
        return exposition(meter, openmetrics=False)


def _has(sample: Sample, labels: dict[str, str]) -> bool:
    have = dict(zip(sample.metric.label_names, sample.labels, strict=True))
    return labels.items() <= have.items()
