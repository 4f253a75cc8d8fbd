"""Placement scores against a loopback EC2."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fleetwatch.aws import Account
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO
from fleetwatch.collect.here import ScoreRequest, SpotAccess
from fleetwatch.collect.runner import Denied, NoData
from fleetwatch.collect.spot.placement_scores import INTERVAL, LEAST_INTERVAL, PlacementScores
from fleetwatch.records.spot import Score
from support_ec2 import Ec2, ec2
from support_ec2_wire import Refused
from support_spot_prices import Looks

__all__ = ["ec2"]

ACTION = "ec2:GetSpotPlacementScores"
WEB = ScoreRequest("web", ("m7g.large", "m6g.large", "c7g.xlarge"), capacity=40, unit="vcpu")
ANYWHERE = ScoreRequest("anywhere", ("m7g.large", "m6g.large", "c7g.xlarge"), single_zone=False)


def looks_of(ec2: Ec2, *requests: ScoreRequest, **given: object) -> Looks:
    return Looks(PlacementScores, ec2, access=SpotAccess(scores=requests), **given)


def test_scores_of_zones_and_regions_are_shown(ec2: Ec2, golden: Callable[[str, str], None]) -> None:
    ec2.score(7, zone="a")
    ec2.score(3, zone="b")
    ec2.score(9)
    ec2.score(2, region="eu-west-1")
    ec2.score(10, region="ap-south-1")
    looks = looks_of(ec2, WEB, ANYWHERE, regions=("us-east-1", "eu-west-1"))
    looks.look()
    assert looks.failure is None
    golden("sources/placement_scores.prom", looks.page())
    zone = ec2.zone_id("a")
    expected = Score("web", "us-east-1", zone, 7, int(ec2.now * NANO))
    assert looks.here.desk.scores["web", "us-east-1", zone] == expected


def test_a_request_is_asked_as_it_stands_in_the_settings(ec2: Ec2) -> None:
    looks_of(ec2, WEB, regions=("us-east-1", "eu-west-1")).look()
    [asked] = [item.parameters for item in ec2.asked if item.action == ACTION]
    assert asked == {
        "InstanceTypes": ["m7g.large", "m6g.large", "c7g.xlarge"],
        "TargetCapacity": 40,
        "TargetCapacityUnitType": "vcpu",
        "SingleAvailabilityZone": True,
        "RegionNames": ["us-east-1", "eu-west-1"],
        "MaxResults": 10,
    }


def test_the_first_account_is_asked_and_ten_regions_at_a_time(ec2: Ec2) -> None:
    accounts = [Account(name, f"arn:aws:iam::{name}:role/r") for name in ("222233334444", "333344445555")]
    regions = [f"us-east-{number}" for number in range(1, 13)]
    looks_of(ec2, ANYWHERE, regions=regions, accounts=accounts).look()
    asked = [item for item in ec2.asked if item.action == ACTION]
    assert [len(item.parameters["RegionNames"]) for item in asked] == [10, 2]
    assert {item.account for item in asked} == {"222233334444"}


def test_aws_is_not_asked_more_often_than_every_quarter_of_an_hour(ec2: Ec2) -> None:
    ec2.score(7, zone="a")
    looks = looks_of(ec2, WEB)
    looks.look()
    ec2.score(8, zone="a")
    looks.look(later=60)
    assert ec2.count(ACTION) == 1
    assert looks.value(spot.PLACEMENT_SCORE) == 7
    looks.look(later=LEAST_INTERVAL)
    assert ec2.count(ACTION) == 2
    assert looks.value(spot.PLACEMENT_SCORE) == 8


def test_a_zone_that_is_told_no_more_is_gone(ec2: Ec2) -> None:
    ec2.score(7, zone="a")
    ec2.score(5, zone="b")
    looks = looks_of(ec2, WEB)
    looks.look()
    assert looks.number(spot.PLACEMENT_SCORE) == 2
    ec2.scores.pop(("us-east-1", "b"))
    looks.look(later=INTERVAL)
    assert looks.number(spot.PLACEMENT_SCORE) == 1
    assert len(looks.here.desk.scores) == 1


def test_more_than_ten_requests_are_said_and_the_first_ten_asked(ec2: Ec2) -> None:
    looks = looks_of(ec2, *(WEB._replace(name=f"r{number}") for number in range(12)))
    looks.look()
    assert "spot.scores: expected at most 10, got 12: those from r10 on wait" in str(looks.failure)
    assert ec2.count(ACTION) == 10


def test_scores_stay_for_some_failed_looks(ec2: Ec2) -> None:
    ec2.score(7, zone="a")
    looks = looks_of(ec2, WEB)
    looks.look()
    ec2.refuse("error", ACTION)
    for _ in range(3):
        looks.look(later=INTERVAL)
        assert "InternalError" in str(looks.failure)
        assert looks.value(spot.PLACEMENT_SCORE) == 7
    looks.look(later=INTERVAL)
    assert looks.number(spot.PLACEMENT_SCORE) == 0
    assert looks.here.desk.scores == {}


def test_a_missing_permission_is_named(ec2: Ec2) -> None:
    looks = looks_of(ec2, WEB)
    ec2.refuse("denied", ACTION)
    looks.look()
    assert looks.failure is not None
    [denied] = looks.failure.denied
    assert isinstance(denied, Denied)
    assert denied.permission == ACTION


@pytest.mark.parametrize(
    ("code", "message", "fix"),
    [
        (
            "MaxConfigLimitExceeded",
            "You have exceeded your maximum allowed Spot placement configurations. You can retry configurations that "
            "you used within the last 24 hours, or wait for 24 hours before specifying a new configuration.",
            "only for those that it has seen: wait, and change spot.scores seldom",
        ),
        ("InvalidParameterValue", "The target capacity exceeds the limit of 20.", "Set a lower capacity"),
    ],
)
def test_aws_limits_come_with_what_to_do(
    ec2: Ec2, monkeypatch: pytest.MonkeyPatch, code: str, message: str, fix: str
) -> None:
    ec2.score(7, region="us-east-1", zone="a")
    ec2.score(9)
    looks = looks_of(ec2, WEB, ANYWHERE)
    usual = ec2_answer()

    def limited(server: Ec2, asked: object) -> dict[str, object]:
        if asked.parameters["TargetCapacity"] == 40:  # type: ignore[attr-defined]
            raise Refused(400, code, message)
        return usual(server, asked)

    monkeypatch.setitem(answers(), ACTION, limited)
    looks.look()
    assert f"spot.scores, web: ec2:GetSpotPlacementScores in us-east-1: {code}" in str(looks.failure)
    assert fix in str(looks.failure)
    # The other request is none the worse.
    assert looks.value(spot.PLACEMENT_SCORE, config="anywhere") == 9


def answers() -> dict[str, Callable[..., dict[str, object]]]:
    import support_ec2_answers

    return support_ec2_answers.ANSWERS  # type: ignore[return-value]


def ec2_answer() -> Callable[..., dict[str, object]]:
    return answers()[ACTION]


def test_without_requests_nothing_is_asked(ec2: Ec2) -> None:
    with pytest.raises(NoData):
        list(looks_of(ec2).source())
