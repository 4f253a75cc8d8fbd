"""Snapshots, images and what needs them in, series out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fleetwatch.aws import Account
from fleetwatch.catalogue import exporter, storage
from fleetwatch.collect.storage.snapshots import Snapshots
from support_ec2 import Ec2
from support_ec2_machines import when
from support_storage import DAY, Store, Watched

OTHER = "444455556666"
GIB = 2**30


def looked(ec2: Ec2, **more: object) -> Watched:
    """Twice, eight days apart."""
    watched = Watched(Snapshots, ec2, **more)  # type: ignore[arg-type]  # its own keywords
    watched.look()
    watched.look(8 * DAY)
    return watched


def wasted(watched: Watched) -> dict[str, float]:
    """Resource -> US dollars a month."""
    place = storage.TOP_COST.label_names.index("resource")
    return {sample.labels[place]: sample.value for sample in watched.samples if sample.metric is storage.TOP_COST}


def test_what_a_scrape_shows(ec2: Ec2, store: Store, golden: Callable[[str, str], None]) -> None:
    store.snapshot(100, VolumeId=store.volume())
    store.snapshot(100, FullSnapshotSizeInBytes=37 * GIB + 5)
    store.snapshot(1000, StorageTier="archive", FullSnapshotSizeInBytes=800 * GIB)
    store.image(store.snapshot(8), store.snapshot(200, FullSnapshotSizeInBytes=50 * GIB))
    store.image(store.snapshot(8), launched=ec2.now - 500 * DAY)
    watched = looked(ec2)
    assert watched.failure is None
    golden("sources/snapshots.prom", watched.page(exporter.API_REQUESTS, exporter.API_ITEMS))


class TestSnapshot:
    """Which snapshot is waste."""

    def test_one_that_nothing_needs(self, ec2: Ec2, store: Store) -> None:
        name = store.snapshot(100)
        watched = looked(ec2)
        assert wasted(watched) == {name: 5.0}
        assert watched.value(storage.WASTE, kind="snapshot", type="standard", estimate="upper_bound") == 5

    def test_none_of_those_that_something_needs(self, ec2: Ec2, store: Store) -> None:
        store.snapshot(VolumeId=store.volume())
        made_of = store.snapshot()
        store.volume(SnapshotId=made_of)
        store.template({"BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "Ebs": {"SnapshotId": store.snapshot()}}]})
        store.image(store.snapshot(), launched=ec2.now)
        store.snapshot(Tags=[{"Key": "aws:backup:source-resource", "Value": "x"}])
        store.snapshot(Tags=[{"Key": "aws:dlm:lifecycle-policy-id", "Value": "policy-1"}])
        assert wasted(looked(ec2)) == {}

    def test_one_whose_tag_only_looks_managed(self, ec2: Ec2, store: Store) -> None:
        name = store.snapshot(Tags=[{"Key": "backup", "Value": "aws:backup:"}])
        assert wasted(looked(ec2)) == {name: 5.0}

    def test_none_of_others(self, ec2: Ec2, store: Store) -> None:
        """A mere OwnerIds is not trusted: moto answers with those of other owners, whoever is asked for."""
        store.snapshot(OwnerId="999900001111")
        watched = looked(ec2)
        assert watched.values(storage.RESOURCES) == []

    def test_its_size_is_what_was_written_where_that_is_told(self, ec2: Ec2, store: Store) -> None:
        name = store.snapshot(100, FullSnapshotSizeInBytes=10 * GIB)
        empty = store.snapshot(100, FullSnapshotSizeInBytes=0)
        assert wasted(looked(ec2)) == {name: 0.5, empty: 0.0}

    def test_one_that_is_restored_for_a_while_is_stored_twice(self, ec2: Ec2, store: Store) -> None:
        name = store.snapshot(100, StorageTier="archive", RestoreExpiryTime=when(ec2.now + 30 * DAY))
        assert wasted(looked(ec2)) == {name: 6.25}

    @pytest.mark.parametrize(
        "more",
        [
            {"OutpostArn": "arn:aws:outposts:us-east-1:111122223333:outpost/op-1"},
            {"AvailabilityZone": "us-east-1-bos-1a"},
        ],
    )
    def test_on_an_outpost_it_has_no_price(self, more: dict[str, Any], ec2: Ec2, store: Store) -> None:
        store.snapshot(**more)
        watched = looked(ec2)
        assert watched.value(storage.WASTE_UNPRICED, kind="snapshot") == 1
        assert watched.values(storage.WASTE) == []


class TestImage:
    """Which image is waste, and that no snapshot counts twice."""

    def test_one_that_was_never_launched_has_its_snapshots(self, ec2: Ec2, store: Store) -> None:
        name = store.image(store.snapshot(8), store.snapshot(100))
        watched = looked(ec2)
        assert wasted(watched) == {name: 5.4}
        assert watched.value(storage.WASTE_RESOURCES, kind="image") == 1
        assert watched.value(storage.WASTE_BYTES, kind="image") == 108 * GIB
        assert watched.values(storage.WASTE, kind="snapshot") == []
        assert watched.values(storage.TOP_COST, reason="never_launched") == [5.4]

    def test_its_snapshots_are_its_own_also_where_their_volume_lives(self, ec2: Ec2, store: Store) -> None:
        name = store.image(store.snapshot(8, VolumeId=store.volume()))
        assert wasted(looked(ec2)) == {name: 0.4}

    def test_two_that_share_a_snapshot_have_it_once(self, ec2: Ec2, store: Store) -> None:
        shared = store.snapshot(100)
        first, second = store.image(shared), store.image(shared, store.snapshot(8))
        assert wasted(looked(ec2)) == {first: 5.0, second: 0.4}

    def test_what_a_used_image_shares_is_no_waste(self, ec2: Ec2, store: Store) -> None:
        shared = store.snapshot(100)
        store.image(shared, launched=ec2.now - 900 * DAY)
        name = store.image(shared)
        watched = looked(ec2)
        assert wasted(watched) == {name: 0.0}
        assert watched.value(storage.WASTE) == 0

    def test_one_that_is_deprecated_and_not_launched_any_more(self, ec2: Ec2, store: Store) -> None:
        store.image(store.snapshot(8), launched=ec2.now - 30 * DAY)
        store.image(store.snapshot(8), launched=ec2.now - 30 * DAY, deprecated=ec2.now + 90 * DAY)
        store.image(store.snapshot(8), launched=ec2.now + 7 * DAY, deprecated=ec2.now - DAY)
        name = store.image(store.snapshot(100), launched=ec2.now - 30 * DAY, deprecated=ec2.now - DAY)
        watched = looked(ec2)
        assert wasted(watched) == {name: 5.0}
        assert watched.values(storage.TOP_COST, reason="deprecated") == [5.0]

    def test_none_that_is_public_managed_or_in_a_template(self, ec2: Ec2, store: Store) -> None:
        store.image(store.snapshot(), Public=True)
        store.image(store.snapshot(), Tags=[{"Key": "aws:backup:source-resource", "Value": "x"}])
        store.template({"ImageId": store.image(store.snapshot())})
        assert wasted(looked(ec2)) == {}

    def test_none_of_others(self, ec2: Ec2, store: Store) -> None:
        store.image(store.snapshot(VolumeId=store.volume()), OwnerId="999900001111")
        assert wasted(looked(ec2)) == {}

    def test_one_without_snapshots_has_no_price(self, ec2: Ec2, store: Store) -> None:
        store.image()
        watched = looked(ec2)
        assert watched.value(storage.WASTE_UNPRICED, kind="image", type="instance-store") == 1
        assert watched.values(storage.WASTE) == []

    def test_one_that_is_gone_leaves_its_snapshots_young(self, ec2: Ec2, store: Store) -> None:
        """They are seen unused for themselves now; before, the image was."""
        name = store.image(store.snapshot(100))
        watched = looked(ec2)
        store.remove(name)
        watched.look(60)
        assert wasted(watched) == {}
        assert watched.value(storage.PENDING, kind="snapshot") == 5
        watched.look(7 * DAY)
        assert watched.value(storage.WASTE, kind="snapshot") == 5


def test_totals_of_two_accounts_and_two_regions_with_pages(ec2: Ec2, store: Store) -> None:
    ec2.page = 7
    expected: dict[tuple[str, str, str], float] = {}
    whole: dict[tuple[str, str], float] = {}
    for number in range(200):
        account, named = (("111122223333", "prod"), (OTHER, "lab"))[number % 2]
        region = ("us-east-1", "eu-west-3")[number // 2 % 2]
        price = {"us-east-1": 0.05, "eu-west-3": 0.053}[region]
        gib = 1 + number
        name = store.snapshot(gib, account=account, region=region)
        whole[named, region] = whole.get((named, region), 0.0) + gib * price
        if number % 3 == 0:
            store.image(name, account=account, region=region, launched=ec2.now if number % 6 else None)
        kind = "snapshot" if number % 3 else "image"
        if number % 3 or number % 6 == 0:
            expected[named, region, kind] = expected.get((named, region, kind), 0.0) + gib * price
    accounts = (Account("prod"), Account("lab", f"arn:aws:iam::{OTHER}:role/fleetwatch"))
    watched = looked(ec2, accounts=accounts, regions=("us-east-1", "eu-west-3"))
    assert watched.failure is None
    assert len(watched.values(storage.WASTE)) == len(expected)
    for (account, region, kind), usd in expected.items():
        found = watched.value(storage.WASTE, account=account, region=region, kind=kind)
        assert found == pytest.approx(usd, abs=1e-9)
    for (account, region), usd in whole.items():
        assert watched.value(storage.COST, account=account, region=region) == pytest.approx(usd, abs=1e-9)


@pytest.mark.parametrize("action", ["DescribeImages", "DescribeVolumes", "DescribeLaunchTemplateVersions"])
def test_without_the_references_nothing_new_is_called_unused(action: str, ec2: Ec2, store: Store) -> None:
    old = store.snapshot(100)
    watched = looked(ec2)
    first = ec2.now
    store.snapshot(100)
    ec2.refuse("denied", f"ec2:{action}")
    watched.look(60)
    assert watched.denied() == {f"ec2:{action}"}
    assert wasted(watched) == {old: 5.0}
    assert watched.value(storage.RESOURCES) == 2
    assert watched.value(storage.READ, part="snapshots") == first + 60
    assert watched.value(storage.READ, part="references") == first
    for _ in range(3):
        watched.look(60)
    assert wasted(watched) == {}
    assert watched.values(storage.WASTE) == watched.values(storage.PENDING) == []
    ec2.relent()
    watched.look(60)
    assert wasted(watched) == {old: 5.0}
