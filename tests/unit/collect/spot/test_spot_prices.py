"""Spot prices against a loopback EC2: what is asked, what is kept, what is shown."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import support_ec2_answers
from fleetwatch.aws import Account
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO
from fleetwatch.collect.runner import NoData
from fleetwatch.collect.spot.spot_prices import AGAIN, ASK_EVERY, LINGER, SpotPriceHistory
from support_ec2 import OWN, Ec2, ec2
from support_ec2_wire import Refused
from support_spot_prices import DAY, POOL, Looks, fleet, here_of, instance

__all__ = ["ec2"]

ACTION = "ec2:DescribeSpotPriceHistory"


def priced(ec2: Ec2, days: int = 30) -> None:
    """m7g.large in zone a: a cent more each day, up to now."""
    for day in range(days):
        ec2.price("m7g.large", 0.04 + day / 100, at=ec2.now - (days - 1 - day) * DAY)


def test_prices_of_pools_in_use_are_shown(ec2: Ec2, golden: Callable[[str, str], None]) -> None:
    for kind, zone, price in (("m7g.large", "a", 0.0412), ("m7g.large", "b", 0.0398), ("c7g.large", "a", 0.031)):
        ec2.price(kind, price, zone=zone, at=ec2.now - DAY)
    ec2.price("m7g.large", 0.0871, zone="a", product="Windows", at=ec2.now - DAY)
    looks = Looks(SpotPriceHistory, ec2)
    fleet(looks.here, instance("m7g.large"), instance("c7g.large"), instance("m7g.large", product="Windows"))
    looks.look()
    ec2.now += 42
    looks.look()
    assert looks.failure is None
    golden("sources/spot_prices.prom", looks.page())


def test_only_types_in_use_and_wanted_ones_are_asked_for(ec2: Ec2) -> None:
    looks = Looks(SpotPriceHistory, ec2)
    looks.look()
    assert ec2.count(ACTION) == 0
    fleet(looks.here, instance("m7g.large"), instance("t3.nano", state="stopped"))
    looks.here.desk.wanted = {("us-east-1", "c7g.large"), ("eu-west-1", "c7g.xlarge")}
    looks.look()
    [asked] = [item.parameters for item in ec2.asked if item.action == ACTION]
    assert asked["InstanceTypes"] == ["c7g.large", "m7g.large"]
    assert asked["ProductDescriptions"] == ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"]


def test_seven_days_are_read_at_the_first_look_and_then_what_is_new(ec2: Ec2) -> None:
    ec2.page = 3
    priced(ec2)
    looks = Looks(SpotPriceHistory, ec2)
    fleet(looks.here, instance("m7g.large"))
    looks.look()
    steps = looks.here.desk.spot_prices[POOL].steps
    # The one of the moment seven days ago, and the seven since.
    assert [round(step.price / NANO, 2) for step in steps] == [round(0.26 + day / 100, 2) for day in range(8)]
    asked = ec2.count(ACTION)
    looks.look(later=60)
    assert ec2.count(ACTION) == asked
    ec2.price("m7g.large", 0.5, at=ec2.now + 100)
    looks.look(later=ASK_EVERY)
    last = [item.parameters for item in ec2.asked if item.action == ACTION][-1]
    assert ec2.now - last["StartTime"].timestamp() < 2 * 3600
    steps = looks.here.desk.spot_prices[POOL].steps
    # The first one is from before the seven days by now, and still valid at their start.
    assert len(steps) == 9
    assert looks.value(spot.POOL_PRICE) == 0.5
    assert looks.here.desk.spot_prices[POOL].at == int(ec2.now * NANO)


def test_a_type_that_is_new_is_asked_for_at_once_with_its_history(ec2: Ec2) -> None:
    priced(ec2)
    looks = Looks(SpotPriceHistory, ec2)
    ec2.price("c7g.large", 0.02, at=ec2.now - DAY)
    fleet(looks.here, instance("c7g.large"))
    looks.look()
    fleet(looks.here, instance("c7g.large"), instance("m7g.large"))
    looks.look(later=15)
    assert len(looks.here.desk.spot_prices[POOL].steps) == 8


def test_the_two_names_of_a_product_are_one(ec2: Ec2) -> None:
    ec2.price("m7g.large", 0.04)
    looks = Looks(SpotPriceHistory, ec2)
    fleet(looks.here, instance("m7g.large"))
    looks.look()
    # The server tells the row under both.
    assert {pool.product for pool in looks.here.desk.spot_prices} == {"Linux/UNIX"}
    assert len(looks.here.desk.spot_prices[POOL].steps) == 1


def test_a_pool_that_nobody_uses_any_more_is_gone(ec2: Ec2) -> None:
    ec2.price("m7g.large", 0.04)
    ec2.price("c7g.large", 0.03)
    looks = Looks(SpotPriceHistory, ec2)
    fleet(looks.here, instance("m7g.large"), instance("c7g.large"))
    looks.look()
    assert looks.labels(spot.POOL_PRICE, "instance_type") == {"m7g.large", "c7g.large"}
    fleet(looks.here, instance("c7g.large"))
    looks.look(later=15)
    assert looks.labels(spot.POOL_PRICE, "instance_type") == {"c7g.large"}
    # The last hour of its machines is yet to be reckoned.
    looks.look(later=LINGER - 20)
    assert looks.here.desk.spot_prices[POOL].at == int(ec2.now * NANO)
    looks.look(later=20)
    assert POOL not in looks.here.desk.spot_prices
    assert len(looks.here.desk.spot_prices) == 1
    fleet(looks.here)
    looks.look(later=LINGER)
    assert looks.here.desk.spot_prices == {}
    asked = ec2.count(ACTION)
    looks.look(later=ASK_EVERY)
    assert ec2.count(ACTION) == asked


def test_the_price_of_a_machine_that_has_just_ended_is_kept_and_not_shown(ec2: Ec2) -> None:
    ec2.price("m7g.large", 0.04)
    looks = Looks(SpotPriceHistory, ec2)
    fleet(looks.here, instance("m7g.large"))
    looks.look()
    fleet(looks.here, instance("m7g.large", state="terminated"))
    looks.look(later=15)
    assert looks.labels(spot.POOL_PRICE, "instance_type") == set()
    assert POOL in looks.here.desk.spot_prices


def test_alternates_are_shown_beside_what_runs(ec2: Ec2) -> None:
    ec2.price("m7g.large", 0.04)
    for zone in "abc":
        ec2.price("c7g.large", 0.03, zone=zone)
    looks = Looks(SpotPriceHistory, ec2)
    fleet(looks.here, instance("m7g.large"))
    looks.here.desk.wanted = {("us-east-1", "c7g.large")}
    other = POOL._replace(instance_type="c7g.large")
    looks.here.desk.alternates = frozenset({other})
    looks.look()
    assert looks.number(spot.POOL_PRICE) == 2
    assert len(looks.here.desk.spot_prices) == 4
    # EC2 does not have the pool any more.
    ec2.prices.pop(("*", "us-east-1", "a", "c7g.large", "Linux/UNIX"))
    looks.look(later=ASK_EVERY)
    assert other not in looks.here.desk.spot_prices


def test_a_region_that_fails_keeps_its_prices_and_others_go_on(ec2: Ec2) -> None:
    for region in ("us-east-1", "eu-west-1"):
        ec2.price("m7g.large", 0.04, region=region)
    looks = Looks(SpotPriceHistory, ec2, regions=("us-east-1", "eu-west-1"))
    for region in ("us-east-1", "eu-west-1"):
        fleet(looks.here, instance("m7g.large", region=region), region=region)
    looks.look()
    ec2.refuse("throttled", ACTION, region="eu-west-1")
    ec2.price("m7g.large", 0.05, at=ec2.now + 1)
    ec2.price("m7g.large", 0.05, at=ec2.now + 1, region="eu-west-1")
    looks.look(later=ASK_EVERY)
    assert "RequestLimitExceeded" in str(looks.failure)
    assert looks.value(spot.POOL_PRICE, region="us-east-1") == 0.05
    assert looks.value(spot.POOL_PRICE, region="eu-west-1") == 0.04
    assert looks.value(spot.PRICE_AGE, region="us-east-1") == 0
    assert looks.value(spot.PRICE_AGE, region="eu-west-1") == ASK_EVERY
    looks.look(later=15)
    # It is said until a look goes well, and asked again after a minute.
    assert looks.failure is not None
    ec2.relent()
    looks.look(later=60)
    assert looks.failure is None
    assert looks.value(spot.POOL_PRICE, region="eu-west-1") == 0.05


@pytest.mark.parametrize("kind", ["error", "html", "page", "expired", "off", "hang"])
def test_a_first_look_that_fails_shows_nothing_and_says_why(ec2: Ec2, kind: str) -> None:
    looks = Looks(SpotPriceHistory, ec2, timeout=0.3)
    fleet(looks.here, instance("m7g.large"))
    ec2.refuse(kind, ACTION)
    looks.look()
    if kind == "page":  # reads as an answer without rows
        assert looks.number(spot.POOL_PRICE) == 0
        return
    assert "us-east-1" in str(looks.failure)
    assert looks.number(spot.POOL_PRICE) == 0


def test_history_that_came_empty_is_asked_for_again(ec2: Ec2) -> None:
    looks = Looks(SpotPriceHistory, ec2)
    fleet(looks.here, instance("m7g.large"))
    looks.look()
    asked = ec2.count(ACTION)
    assert looks.here.desk.price_looks == {(OWN, "us-east-1"): {("m7g.large", "Linux/UNIX")}}
    looks.look(later=15)
    assert ec2.count(ACTION) == asked, "not before its time"
    priced(ec2)
    looks.look(later=ASK_EVERY)
    assert len(looks.here.desk.spot_prices[POOL].steps) == 8


def test_what_was_read_before_a_failure_counts(ec2: Ec2) -> None:
    ec2.price("m7g.large", 0.04)
    names = [f"t{number}.nano" for number in range(120)]
    for name in names:
        ec2.price(name, 0.01)
    looks = Looks(SpotPriceHistory, ec2)
    fleet(looks.here, instance("m7g.large"))
    looks.here.desk.wanted = {("us-east-1", name) for name in names}
    usual, number = support_ec2_answers.ANSWERS[ACTION], itertools.count()

    def failing(server: Ec2, asked: Any) -> dict[str, Any]:
        if next(number) == 1:
            raise Refused(500, "InternalError", "An internal error has occurred")
        return usual(server, asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(support_ec2_answers.ANSWERS, ACTION, failing)
        looks.look()
        assert "InternalError" in str(looks.failure)
        assert looks.value(spot.POOL_PRICE) == 0.04, "what is used comes first"
        assert len(looks.here.desk.spot_prices) == 50
        looks.look(later=AGAIN)
    assert looks.failure is None
    assert len(looks.here.desk.spot_prices) == 121


def test_a_missing_permission_is_named(ec2: Ec2) -> None:
    looks = Looks(SpotPriceHistory, ec2)
    fleet(looks.here, instance("m7g.large"))
    ec2.refuse("denied", ACTION)
    looks.look()
    assert looks.failure is not None
    [denied] = looks.failure.denied
    assert denied.permission == ACTION
    assert "Allow" in denied.fix


def test_an_account_whose_number_is_not_known_is_named(ec2: Ec2) -> None:
    looks = Looks(SpotPriceHistory, ec2)
    ec2.refuse("error", "sts:GetCallerIdentity")
    looks.look()
    assert "sts:GetCallerIdentity" in str(looks.failure)
    looks.look(later=15)
    assert "sts:GetCallerIdentity" in str(looks.failure)
    assert ec2.count("sts:GetCallerIdentity") == 1
    ec2.relent()
    looks.look(later=60)
    assert looks.failure is None


def test_accounts_have_their_own_pools(ec2: Ec2) -> None:
    ec2.price("m7g.large", 0.04)
    accounts = [
        Account(name, f"arn:aws:iam::{number}:role/r")
        for name, number in (("prod", "222233334444"), ("idle", "333344445555"))
    ]
    looks = Looks(SpotPriceHistory, ec2, accounts=accounts)
    fleet(looks.here, instance("m7g.large", account="prod"), account="prod")
    fleet(looks.here, account="idle")
    looks.here.desk.wanted = {("us-east-1", "c7g.large")}
    looks.look()
    assert {pool.account for pool in looks.here.desk.spot_prices} == {"prod"}
    assert ec2.count(ACTION) == 1, "an account without machines needs no prices"


class Answers:
    """EC2 without the SDK: what no test server can be made to say."""

    def __init__(self, rows: Sequence[dict[str, Any]], more: str = "") -> None:
        self.rows, self.more = rows, more

    def targets(self) -> list[Any]:
        from fleetwatch.aws import Target

        return [Target(Account("prod"), "us-east-1")]

    def caller(self, *_: Any) -> Callable[..., dict[str, Any]]:
        return lambda *_: {"SpotPriceHistory": list(self.rows), "NextToken": self.more}


AT = datetime.datetime(2027, 1, 15, tzinfo=datetime.UTC)
ROW = {
    "AvailabilityZone": "us-east-1a",
    "AvailabilityZoneId": POOL.az_id,
    "InstanceType": "m7g.large",
    "ProductDescription": "Linux/UNIX",
    "SpotPrice": "0.041200",
    "Timestamp": AT,
}


def answered(ec2: Ec2, rows: Sequence[dict[str, Any]], more: str = "", zones: dict[str, str] | None = None) -> Looks:
    looks = Looks(SpotPriceHistory, ec2, aws=Answers(rows, more))
    fleet(looks.here, instance("m7g.large", account="prod"), account="prod")
    if zones is not None:
        looks.here.desk.zones["prod", "us-east-1"] = zones
    looks.look()
    return looks


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"SpotPrice": "free"}, "SpotPrice: expected US dollars such as \"0.0412\", got 'free'"),
        ({"SpotPrice": "0.000000"}, "SpotPrice: expected more than 0"),
        ({"SpotPrice": "-0.04"}, "SpotPrice: expected US dollars"),
        ({"SpotPrice": None}, "SpotPrice: expected US dollars"),
        ({"SpotPrice": "0.0000000001"}, "at most nine decimals"),
        ({"Timestamp": None}, "Timestamp: expected a time, got None"),
        ({"InstanceType": ""}, "expected InstanceType"),
        ({"AvailabilityZone": "", "AvailabilityZoneId": ""}, "expected InstanceType"),
    ],
)
def test_a_row_that_cannot_be_read_is_said_and_the_others_count(ec2: Ec2, wrong: dict[str, Any], message: str) -> None:
    earlier = {**ROW, "Timestamp": AT - datetime.timedelta(hours=1), "SpotPrice": "0.04"}
    looks = answered(ec2, [earlier, {**ROW, **wrong}])
    assert message in str(looks.failure)
    assert looks.value(spot.POOL_PRICE) == 0.04


def test_many_rows_that_cannot_be_read_are_one_short_message(ec2: Ec2) -> None:
    looks = answered(ec2, [{**ROW, "SpotPrice": f"x{number}"} for number in range(500)])
    assert len(str(looks.failure)) < 600
    assert "and 497 more" in str(looks.failure)


def test_a_zone_s_id_comes_from_its_name_where_ec2_does_not_tell_it(ec2: Ec2) -> None:
    row = {key: value for key, value in ROW.items() if key != "AvailabilityZoneId"}
    looks = answered(ec2, [row, {**row, "AvailabilityZone": "us-east-1-bos-1a"}], zones={"us-east-1a": POOL.az_id})
    # The other one is not open to the account.
    assert looks.failure is None
    assert looks.value(spot.POOL_PRICE, az_id=POOL.az_id) == 0.0412


def test_without_any_zone_s_id_the_region_waits_and_says_so(ec2: Ec2) -> None:
    row = {key: value for key, value in ROW.items() if key != "AvailabilityZoneId"}
    looks = answered(ec2, [row])
    assert "ec2:DescribeAvailabilityZones" in str(looks.failure)
    looks.here.desk.zones["prod", "us-east-1"] = {"us-east-1a": POOL.az_id}
    looks.look(later=60)
    assert looks.value(spot.POOL_PRICE) == 0.0412


def test_pages_that_do_not_end_are_an_error(ec2: Ec2) -> None:
    looks = answered(ec2, [ROW], more="again")
    assert "expected a new NextToken" in str(looks.failure)


def test_without_settings_nothing_is_asked(ec2: Ec2) -> None:
    with pytest.raises(NoData):
        list(SpotPriceHistory(here_of(ec2, access=None))())
