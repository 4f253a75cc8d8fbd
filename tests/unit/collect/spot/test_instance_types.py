"""The types of a region are known once there are machines in it."""

from __future__ import annotations

import pytest

from fleetwatch.aws import Account
from fleetwatch.collect import Here
from fleetwatch.collect.runner import NoData
from fleetwatch.collect.spot.ec2_fleet import Ec2Fleet
from fleetwatch.collect.spot.instance_types import AGAIN, RETRY, InstanceTypes
from support_ec2 import Ec2
from support_ec2_looks import Looks

ACTION = "ec2:DescribeInstanceTypes"
OTHER = "444455556666"
ACCOUNTS = (Account("prod"), Account("test", f"arn:aws:iam::{OTHER}:role/fleetwatch"))
OFFERED = {"m7g.large", "m7g.xlarge", "g5.xlarge", "c7i.large", "r7g.large", "t3.micro"}


def both(ec2: Ec2) -> tuple[Looks, Looks]:
    ec2.offered = OFFERED
    fleet = Looks(Ec2Fleet, ec2, regions=("us-east-1", "eu-west-1"), accounts=ACCOUNTS)
    return fleet, Looks(InstanceTypes, ec2, fleet.here)


def test_a_region_in_use_is_read_whole_once_a_day_through_one_account(ec2: Ec2) -> None:
    fleet, types = both(ec2)
    types.look()
    assert ec2.count(ACTION) == 0
    ec2.run("m7g.large")
    ec2.run("m7g.large", account=OTHER)
    ec2.page = 5
    fleet.look()
    before = ec2.count(ACTION)
    for _ in range(3):
        types.look(60)
    assert types.failure is None
    assert set(fleet.here.desk.shapes) == OFFERED
    assert fleet.here.desk.shapes["g5.xlarge"] == (4, 16 << 30, 1, "x86_64")
    # Two pages, and none in the region without machines.
    assert ec2.count(ACTION) - before == 2
    assert ec2.count(ACTION, region="eu-west-1") == 0
    types.look(AGAIN)
    assert ec2.count(ACTION) - before == 4


def test_a_region_that_failed_is_asked_again_soon_and_not_at_once(ec2: Ec2) -> None:
    fleet, types = both(ec2)
    ec2.run("m7g.large")
    fleet.look()
    before = ec2.count(ACTION)
    ec2.refuse("denied", ACTION)
    types.look()
    assert types.failure is not None
    assert [item.permission for item in types.failure.denied] == [ACTION]
    types.look(60)
    assert ec2.count(ACTION) - before == 1
    ec2.relent()
    types.look(RETRY)
    assert set(fleet.here.desk.shapes) == OFFERED


def test_a_clock_that_was_set_back_holds_nothing_up(ec2: Ec2) -> None:
    fleet, types = both(ec2)
    ec2.run("m7g.large")
    fleet.look()
    types.look()
    before = ec2.count(ACTION)
    types.look(-3 * AGAIN)
    assert ec2.count(ACTION) == before + 1


def test_where_it_is_not_asked_for_there_is_nothing() -> None:
    with pytest.raises(NoData):
        list(InstanceTypes(Here())())
