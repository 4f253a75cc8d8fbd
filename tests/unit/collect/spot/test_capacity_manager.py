"""Capacity Manager's figures against a loopback EC2."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fleetwatch.aws import Account
from fleetwatch.catalogue import spot
from fleetwatch.collect.here import SpotAccess
from fleetwatch.collect.runner import NoData
from fleetwatch.collect.spot.capacity_manager import HOUR, CapacityManager
from support_ec2 import OWN, Ec2, ec2
from support_ec2_wire import Refused
from support_spot_prices import DAY, Looks

__all__ = ["ec2"]

ACTION = "ec2:GetCapacityManagerMetricData"
INTERRUPTIONS, COUNT, HOURS = "spot-total-interruptions-inst", "spot-total-count-inst", "spot-total-usage-hrs-inst"
OTHER = "222233334444"
PROD = Account("prod", f"arn:aws:iam::{OWN}:role/r")


def looks_of(ec2: Ec2, **given: object) -> Looks:
    return Looks(CapacityManager, ec2, access=SpotAccess(capacity_manager=True), **given)


def test_the_last_day_is_shown_by_region_and_type(ec2: Ec2, golden: Callable[[str, str], None]) -> None:
    ec2.page = 1
    ec2.manage("m7g.large", INTERRUPTIONS, 3)
    ec2.manage("m7g.large", INTERRUPTIONS, 1, zone="b", at=ec2.now - 20 * HOUR)
    ec2.manage("m7g.large", INTERRUPTIONS, 50, at=ec2.now - 30 * HOUR)
    ec2.manage("m7g.large", COUNT, 40)
    ec2.manage("m7g.large", HOURS, 812.5)
    ec2.manage("c7g.large", COUNT, 2, region="eu-west-1")
    looks = looks_of(ec2)
    looks.look()
    assert looks.failure is None
    golden("sources/capacity_manager.prom", looks.page())


def test_what_is_asked_is_one_day_of_full_hours(ec2: Ec2) -> None:
    ec2.now += 1234.5
    looks_of(ec2).look()
    [asked] = [item.parameters for item in ec2.asked if item.action == ACTION]
    assert asked["EndTime"].timestamp() == ec2.now // HOUR * HOUR
    assert (asked["EndTime"] - asked["StartTime"]).total_seconds() == DAY
    assert asked["Period"] == DAY
    assert asked["GroupBy"] == ["account-id", "resource-region", "instance-type"]
    assert asked["MetricNames"] == [INTERRUPTIONS, COUNT, HOURS]


def refuse(ec2: Ec2, monkeypatch: pytest.MonkeyPatch, *but: str) -> None:
    """It is switched off in all regions but these."""
    import support_ec2_answers

    usual = support_ec2_answers.ANSWERS[ACTION]

    def off(server: Ec2, asked: object) -> dict[str, object]:
        if asked.region not in but:  # type: ignore[attr-defined]
            raise Refused(400, "IncorrectState", "EC2 Capacity Manager is not enabled for this account.")
        return usual(server, asked)  # type: ignore[arg-type]

    monkeypatch.setitem(support_ec2_answers.ANSWERS, ACTION, off)


def test_where_it_is_not_switched_on_one_message_says_so(ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(ec2, monkeypatch)
    looks = looks_of(ec2, regions=("us-east-1", "eu-west-1", "eu-central-1"))
    looks.look()
    assert str(looks.failure).count("is not enabled for this account") == 1
    assert "Switch EC2 Capacity Manager on in one of aws.regions" in str(looks.failure)
    assert "spot.capacity_manager" in str(looks.failure)


def test_the_region_where_it_is_switched_on_tells_of_all(ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(ec2, monkeypatch, "eu-west-1")
    ec2.manage("m7g.large", INTERRUPTIONS, 3, region="us-east-1")
    looks = looks_of(ec2, regions=("us-east-1", "eu-west-1", "eu-central-1"))
    looks.look()
    assert looks.failure is None
    assert looks.value(spot.MANAGER_INTERRUPTIONS, region="us-east-1") == 3
    assert ec2.count(ACTION) == 2
    looks.look(later=HOUR)
    assert ec2.count(ACTION) == 3, "the one that answered is asked first"


def test_accounts_have_their_names_and_their_own_word_counts(ec2: Ec2) -> None:
    accounts = [PROD, Account("lab", f"arn:aws:iam::{OTHER}:role/r")]
    ec2.manage("m7g.large", INTERRUPTIONS, 3)
    ec2.manage("m7g.large", INTERRUPTIONS, 5, account=OTHER)
    ec2.manage("m7g.large", INTERRUPTIONS, 7, account="999988887777")
    looks = looks_of(ec2, accounts=accounts)
    looks.look()
    shown = {name: looks.value(spot.MANAGER_INTERRUPTIONS, account=name) for name in ("prod", "lab", "999988887777")}
    assert shown == {"prod": 3, "lab": 5, "999988887777": 7}
    assert looks.number(spot.MANAGER_INTERRUPTIONS) == 3


def test_figures_stay_for_some_failed_looks(ec2: Ec2) -> None:
    ec2.manage("m7g.large", INTERRUPTIONS, 3)
    looks = looks_of(ec2)
    looks.look()
    ec2.refuse("error", ACTION)
    for _ in range(3):
        looks.look(later=HOUR)
        assert "InternalError" in str(looks.failure)
        assert looks.value(spot.MANAGER_INTERRUPTIONS) == 3
    looks.look(later=HOUR)
    assert looks.number(spot.MANAGER_INTERRUPTIONS) == 0


def test_one_account_that_fails_hurts_no_other(ec2: Ec2) -> None:
    accounts = [PROD, Account("lab", f"arn:aws:iam::{OTHER}:role/r")]
    ec2.manage("m7g.large", INTERRUPTIONS, 3)
    ec2.refuse("denied", ACTION, account=OTHER)
    looks = looks_of(ec2, accounts=accounts)
    looks.look()
    assert looks.failure is not None
    [denied] = looks.failure.denied
    assert denied.permission == ACTION
    assert "lab/us-east-1" in denied.why
    assert looks.value(spot.MANAGER_INTERRUPTIONS, account="prod") == 3


def test_where_it_is_not_wanted_nothing_is_asked(ec2: Ec2) -> None:
    with pytest.raises(NoData):
        list(Looks(CapacityManager, ec2, access=SpotAccess()).source())
    assert ec2.asked == []
