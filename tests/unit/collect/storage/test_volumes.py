"""Volumes of EC2 in, series out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.aws import Account
from fleetwatch.catalogue import exporter, storage
from fleetwatch.collect import Here
from fleetwatch.collect.runner import NoData
from fleetwatch.collect.storage.volumes import Volumes
from support_ec2 import OWN, Ec2
from support_storage import DAY, Store, Watched

FREE = "available"
OTHER = "444455556666"
ACCOUNTS = (Account("prod"), Account("lab", f"arn:aws:iam::{OTHER}:role/fleetwatch"))
REGIONS = ("us-east-1", "eu-west-1")


def test_what_a_scrape_shows(ec2: Ec2, store: Store, golden: Callable[[str, str], None]) -> None:
    """A used volume of each kind of price, waste of a week, and one that is only just unused."""
    store.volume("gp3", 100, Iops=4000, Throughput=250)
    store.volume("io2", 10, Iops=70_000)
    store.volume("gp2", 8)
    store.volume("standard", 20, State=FREE)
    store.volume("gp3", 500, State=FREE, Iops=3000, Throughput=125)
    watched = Watched(Volumes, ec2)
    watched.look()
    store.volume("st1", 500, State=FREE)
    watched.look(8 * DAY)
    assert watched.failure is None
    golden("sources/volumes.prom", watched.page(exporter.API_REQUESTS, exporter.API_ITEMS))


def test_a_thousand_volumes_of_two_accounts_and_two_regions(ec2: Ec2, store: Store) -> None:
    """Totals are those of an independent reckoning in floating dollars, and all pages are read."""
    ec2.page = 90
    usd = {"us-east-1": {"gp2": 0.10, "gp3": 0.08, "st1": 0.045, "io1": 0.125}}
    usd["eu-west-1"] = {"gp2": 0.11, "gp3": 0.088, "st1": 0.05, "io1": 0.138}
    whole: dict[tuple[str, str, str], float] = {}
    wasted: dict[tuple[str, str, str], float] = {}
    sizes: dict[tuple[str, str], int] = {}
    for number in range(1000):
        account, named = ((OWN, "prod"), (OTHER, "lab"))[number % 2]
        region = REGIONS[number // 2 % 2]
        type_ = ("gp2", "gp3", "st1", "io1")[number // 4 % 4]
        gib, free = 1 + number * 7 % 900, number % 5 == 0
        more = {"Iops": 200} if type_ == "io1" else {}
        store.volume(type_, gib, account=account, region=region, **more, **({"State": FREE} if free else {}))
        cost = gib * usd[region][type_] + (200 * (0.065 if region == "us-east-1" else 0.072) if more else 0)
        key = (named, region, type_)
        whole[key] = whole.get(key, 0.0) + cost
        if free:
            wasted[key] = wasted.get(key, 0.0) + cost
        sizes[named, region] = sizes.get((named, region), 0) + gib * 2**30
    watched = Watched(Volumes, ec2, regions=REGIONS, accounts=ACCOUNTS)
    watched.look()
    watched.look(8 * DAY)
    assert watched.failure is None
    for metric, expected in ((storage.COST, whole), (storage.WASTE, wasted)):
        assert len(watched.values(metric)) == len(expected) == 16
        for (account, region, type_), cost in expected.items():
            found = watched.value(metric, account=account, region=region, type=type_)
            assert found == pytest.approx(cost, abs=1e-9)
    for (account, region), size in sizes.items():
        assert watched.total(storage.BYTES, account=account, region=region) == size
    assert watched.total(storage.RESOURCES) == 1000
    assert watched.total(storage.WASTE_RESOURCES) == 200
    assert len(watched.values(storage.TOP_COST)) == 20
    assert ec2.count("ec2:DescribeVolumes") == 2 * 4 * 3


class TestSince:
    """Since when a volume is unused."""

    def test_is_the_first_look_and_not_its_creation(self, ec2: Ec2, store: Store) -> None:
        store.volume(State=FREE)
        watched = Watched(Volumes, ec2)
        watched.look()
        assert watched.values(storage.WASTE) == []
        assert watched.value(storage.PENDING, kind="volume") == 8
        watched.look(7 * DAY - 1)
        assert watched.values(storage.WASTE) == []
        watched.look(1)
        assert watched.value(storage.WASTE, kind="volume") == 8
        assert watched.value(storage.OLDEST) == 7 * DAY
        assert watched.values(storage.PENDING) == []

    def test_survives_a_restart(self, ec2: Ec2, store: Store, tmp_path: Path) -> None:
        store.volume(State=FREE)
        watched = Watched(Volumes, ec2, tmp_path / "state")
        watched.look()
        watched.restart()
        watched.look(8 * DAY)
        assert watched.value(storage.OLDEST) == 8 * DAY
        assert watched.value(storage.WATCHED) == ec2.now - 8 * DAY

    def test_begins_anew_when_it_was_attached_meanwhile(self, ec2: Ec2, store: Store) -> None:
        name = store.volume(State=FREE)
        watched = Watched(Volumes, ec2)
        watched.look()
        store.change(name, State="in-use")
        watched.look(6 * DAY)
        store.change(name, State=FREE)
        watched.look(DAY)
        watched.look(2 * DAY)
        assert watched.values(storage.WASTE) == []

    def test_is_not_moved_by_a_clock_that_goes_back_and_comes_again(self, ec2: Ec2, store: Store) -> None:
        old = store.volume(State=FREE)
        watched = Watched(Volumes, ec2)
        watched.look()
        young = store.volume("gp2", State=FREE)
        watched.look(-3 * DAY)
        watched.look(3 * DAY + 60)
        watched.look(7 * DAY - 60)
        assert watched.values(storage.TOP_SINCE, resource=old) != []
        assert watched.values(storage.TOP_SINCE, resource=young) == [ec2.now - 7 * DAY]
        watched.look(60)
        assert watched.value(storage.OLDEST) == 7 * DAY + 60

    def test_is_right_again_a_day_after_a_clock_that_was_ahead(self, ec2: Ec2, store: Store) -> None:
        watched = Watched(Volumes, ec2)
        watched.look()
        name = store.volume(State=FREE)
        watched.look(400 * DAY)
        watched.look(-400 * DAY)
        watched.look(DAY)
        watched.look(7 * DAY)
        assert watched.value(storage.TOP_SINCE, resource=name) == ec2.now - 7 * DAY

    def test_is_forgotten_with_the_volume(self, ec2: Ec2, store: Store, tmp_path: Path) -> None:
        name = store.volume(State=FREE)
        watched = Watched(Volumes, ec2, tmp_path)
        watched.look()
        assert name in (tmp_path / "volumes.json").read_text()
        store.remove(name)
        watched.look(8 * DAY)
        assert json.loads((tmp_path / "volumes.json").read_text())["unused"] == []
        assert watched.values(storage.WASTE_RESOURCES) == []

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"version":9}', '{"version":1,"unused":[["a"]]}'])
    def test_begins_anew_where_the_file_is_damaged(self, text: str, ec2: Ec2, store: Store, tmp_path: Path) -> None:
        (tmp_path / "volumes.json").write_text(text)
        store.volume(State=FREE)
        watched = Watched(Volumes, ec2, tmp_path)
        watched.look()
        assert watched.failure is None
        watched.look(7 * DAY)
        assert watched.value(storage.WASTE_RESOURCES) == 1

    def test_is_said_to_be_lost_where_the_file_cannot_be_written(self, ec2: Ec2, store: Store, tmp_path: Path) -> None:
        store.volume(State=FREE)
        (tmp_path / "file").write_text("")
        watched = Watched(Volumes, ec2, tmp_path / "file")
        watched.look()
        assert watched.value(storage.PENDING_RESOURCES) == 1
        assert "cannot be kept over a restart" in str(watched.failure)


def test_a_price_that_is_not_known_is_no_price_of_zero(ec2: Ec2, store: Store) -> None:
    region = "sa-east-1"
    store.volume(region=region, State=FREE)
    watched = Watched(Volumes, ec2, regions=(region,))
    watched.look()
    watched.look(8 * DAY)
    assert watched.values(storage.COST) == watched.values(storage.WASTE) == watched.values(storage.TOP_COST) == []
    assert watched.value(storage.UNPRICED) == watched.value(storage.WASTE_UNPRICED) == 1
    assert watched.value(storage.WASTE_BYTES) == 100 * 2**30


@pytest.mark.parametrize(
    "more",
    [
        {"VolumeType": "gp9"},
        {"VolumeType": "io1"},
        {"AvailabilityZone": "us-east-1-bos-1a"},
        {"OutpostArn": "arn:aws:outposts:us-east-1:111122223333:outpost/op-1"},
    ],
)
def test_what_has_prices_of_its_own_is_unpriced(more: dict[str, Any], ec2: Ec2, store: Store) -> None:
    store.volume(**more)
    watched = Watched(Volumes, ec2)
    watched.look()
    assert (watched.values(storage.COST), watched.value(storage.UNPRICED)) == ([], 1)


def test_own_prices_take_the_place_of_all_others(ec2: Ec2, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("region,kind,type,unit,usd_per_month\nus-east-1,volume,gp3,gib,0.05\n")
    store.volume("gp3", 100)
    store.volume("gp2", 100)
    watched = Watched(Volumes, ec2, prices=file)
    watched.look()
    assert watched.value(storage.COST) == 5
    assert watched.value(storage.UNPRICED) == 1
    assert watched.values(storage.PRICES_AGE, source="settings") != []
    file.write_text("region,kind,type,unit,usd_per_month\nus-east-1,volume,gp3,gib,ten\n")
    watched.look()
    assert f"{file}:2: usd_per_month: expected US dollars with at most 9 decimals, got 'ten'" in str(watched.failure)
    assert watched.value(storage.COST) == 5


def test_a_price_that_nobody_has_confirmed_says_so(ec2: Ec2, store: Store) -> None:
    store.volume("st1", region="us-west-2")
    watched = Watched(Volumes, ec2, regions=("us-west-2",))
    watched.look()
    assert watched.value(storage.COST, estimate="unconfirmed") == 4.5


class TestFailures:
    """Of one region or account: only its own series are old, then gone."""

    @pytest.mark.parametrize("kind", ["throttled", "denied", "expired", "off", "error", "html"])
    def test_hurt_nobody_else(self, kind: str, ec2: Ec2, store: Store) -> None:
        for region in REGIONS:
            store.volume(region=region)
        watched = Watched(Volumes, ec2, regions=REGIONS)
        watched.look()
        first = ec2.now
        ec2.refuse(kind, "ec2:DescribeVolumes", region="eu-west-1")
        watched.look(900)
        assert watched.failure is not None
        assert watched.value(storage.COST, region="eu-west-1") == 8.8
        assert watched.value(storage.READ, region="eu-west-1") == first
        assert watched.value(storage.READ, region="us-east-1") == first + 900
        for _ in range(3):
            watched.look(900)
        assert watched.values(storage.COST, region="eu-west-1") == []
        assert watched.value(storage.COST, region="us-east-1") == 8
        assert watched.value(storage.READ, region="eu-west-1") == first
        ec2.relent()
        watched.look(900)
        assert watched.failure is None or kind == "expired"
        if kind != "expired":  # credentials are looked for again after a while
            assert watched.value(storage.COST, region="eu-west-1") == 8.8

    def test_of_one_page_leave_all_as_it_was(self, ec2: Ec2, store: Store) -> None:
        ec2.page = 5
        names = [store.volume(State=FREE) for _ in range(12)]
        watched = Watched(Volumes, ec2)
        watched.look()
        store.remove(names[0])
        ec2.refuse("throttled", "ec2:DescribeVolumes", times=1)
        watched.look(8 * DAY)
        assert watched.value(storage.WASTE_RESOURCES) == 12
        watched.look()
        assert watched.value(storage.WASTE_RESOURCES) == 11

    def test_do_not_make_times_forgotten(self, ec2: Ec2, store: Store) -> None:
        store.volume(State=FREE)
        watched = Watched(Volumes, ec2)
        watched.look()
        ec2.refuse("error", "ec2:DescribeVolumes")
        for _ in range(6):
            watched.look(DAY)
        ec2.relent()
        watched.look(2 * DAY)
        assert watched.value(storage.OLDEST) == 8 * DAY

    def test_a_hanging_region_holds_up_no_other(self, ec2: Ec2, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fleetwatch.collect.storage._source.PATIENCE", 2.0)
        store.volume()
        ec2.refuse("hang", "ec2:DescribeVolumes", region="eu-west-1")
        watched = Watched(Volumes, ec2, regions=REGIONS)
        watched.look()
        assert watched.value(storage.COST) == 8
        assert "eu-west-1: no answer within 2 s" in str(watched.failure)


def test_pages_without_an_end_are_no_list(ec2: Ec2, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetwatch.collect.storage._ec2.PAGES", 2)
    ec2.page = 5
    for _ in range(11):
        store.volume()
    watched = Watched(Volumes, ec2)
    watched.look()
    assert "expected at most 2 pages, got more" in str(watched.failure)
    assert watched.values(storage.COST) == []


def test_there_is_a_bound_on_what_is_remembered(ec2: Ec2, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetwatch.collect.storage._clock.MOST", 3)
    for _ in range(5):
        store.volume(State=FREE)
    watched = Watched(Volumes, ec2)
    watched.look()
    watched.look(8 * DAY)
    assert watched.value(storage.WASTE_RESOURCES) == 3
    assert "2 unused resources in us-east-1 have no place" in str(watched.failure)


def test_a_region_that_the_settings_no_longer_name_is_gone(ec2: Ec2, store: Store, tmp_path: Path) -> None:
    for region in REGIONS:
        store.volume(region=region, State=FREE)
    Watched(Volumes, ec2, tmp_path, regions=REGIONS).look()
    Watched(Volumes, ec2, tmp_path).look()
    assert {row[1] for row in json.loads((tmp_path / "volumes.json").read_text())["unused"]} == {"us-east-1"}


def test_without_the_setting_there_is_nothing(ec2: Ec2) -> None:
    with pytest.raises(NoData):
        list(Volumes(Here(aws=ec2.aws()))())
    assert ec2.asked == []
