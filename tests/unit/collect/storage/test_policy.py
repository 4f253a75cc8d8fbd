"""The policy beside the code is the least that the sources of storage need."""

from __future__ import annotations

import pytest

from fleetwatch.aws.calls import STORAGE_POLICY
from fleetwatch.collect.storage.snapshots import Snapshots
from fleetwatch.collect.storage.volumes import Volumes
from fleetwatch.places import PROJECT
from support_ec2 import Ec2
from support_policy import NEEDS_NO_PERMISSION, allowed
from support_storage import Store, Watched

FILE = "storage-policy.json"
SOURCES = (Volumes, Snapshots)


def fill(store: Store) -> None:
    store.image(store.snapshot(VolumeId=store.volume()))
    store.template({"ImageId": "ami-1"})


def test_it_allows_exactly_what_is_asked_for(ec2: Ec2, store: Store) -> None:
    fill(store)
    asked: set[str] = set()
    for kind in SOURCES:
        watched = Watched(kind, ec2)
        watched.look()
        assert watched.failure is None
        asked |= watched.source.actions
    assert allowed(FILE) == asked - NEEDS_NO_PERMISSION
    # What the SDK really sent is what was recorded.
    assert {item.action for item in ec2.asked} == asked


@pytest.mark.parametrize("action", sorted(allowed(FILE)))
def test_without_one_of_them_it_is_named_with_its_file(action: str, ec2: Ec2, store: Store) -> None:
    fill(store)
    ec2.refuse("denied", action)
    denied = set()
    for kind in SOURCES:
        watched = Watched(kind, ec2)
        watched.look()
        denied |= watched.denied()
        if watched.failure is not None:
            assert all(STORAGE_POLICY in item.fix for item in watched.failure.denied)
    assert denied == {action}


def test_every_source_is_asked_in_these_tests() -> None:
    folder = PROJECT / "exporters" / "fleetwatch" / "collect" / "storage"
    files = {path.stem for path in folder.glob("*.py") if not path.name.startswith("_")}
    assert {kind.__module__.rpartition(".")[2] for kind in SOURCES} == files


def test_failures_name_a_file_that_exists() -> None:
    assert (PROJECT / "exporters" / STORAGE_POLICY).is_file()
