"""Spot prices against a loopback EC2: what is asked, what is kept, what is shown."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.aws import Account
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO
from fleetwatch.collect.runner import NoData
from fleetwatch.collect.spot._steps import MOST, merged, price_at
from fleetwatch.collect.spot._usd import nano_usd
from fleetwatch.collect.spot.spot_prices import ASK_EVERY, SpotPriceHistory
from fleetwatch.records.spot import PriceStep
from support_ec2 import Ec2, ec2
from support_prices import DAY, POOL, Looks, fleet, here_of, instance

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
    assert POOL not in looks.here.desk.spot_prices
    fleet(looks.here)
    looks.look(later=15)
    assert looks.here.desk.spot_prices == {}


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
    ec2.relent()
    looks.look(later=15)
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


# Prices and steps


@given(st.integers(0, 10**16 - 1), st.integers(0, 11))
def test_a_price_is_exact_however_many_zeros_follow(nano: int, zeros: int) -> None:
    assert nano_usd(f"{nano // NANO}.{nano % NANO:09d}{'0' * zeros}"[:29]) == nano


@given(st.text(max_size=20))
def test_what_is_no_price_is_an_error_and_never_a_number(text: str) -> None:
    plain = text.replace(".", "", 1)
    if plain.isascii() and plain.isdigit() and not text.startswith(".") and not text.endswith("."):
        return
    with pytest.raises(ValueError, match="expected US dollars"):
        nano_usd(text)


@pytest.mark.parametrize(
    "text", ["1e3", "0x1", "1_000", " 1", "1 ", "+1", "-1", "NaN", "inf", "٣", "1.", ".5", "", None, 1, 0.5]
)
def test_other_ways_to_write_a_number_are_no_price(text: object) -> None:
    with pytest.raises(ValueError, match="expected US dollars"):
        nano_usd(text)


steps_of = st.lists(st.builds(PriceStep, st.integers(0, 50), st.integers(1, 5)), max_size=30)


@given(st.lists(steps_of, max_size=6), st.integers(0, 50), st.randoms())
def test_any_grouping_and_order_of_pages_gives_the_same_steps(
    pages: list[list[PriceStep]], since: int, random: Any
) -> None:
    whole = merged(itertools.chain(*pages), since=since)
    rows = [step for page in pages for step in page]
    random.shuffle(rows)
    at_once: tuple[PriceStep, ...] = ()
    for step in rows:
        at_once = merged(at_once, [step], since=since)
    by_page: tuple[PriceStep, ...] = ()
    for page in random.sample(pages, len(pages)):
        by_page = merged(page, by_page, page, since=since)
    assert whole == at_once == by_page


@given(st.lists(steps_of, min_size=1, max_size=6), st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_looks_that_follow_each_other_keep_what_one_look_would(pages: list[list[PriceStep]], starts: list[int]) -> None:
    """Each look forgets what is too old by then."""
    starts = sorted(itertools.islice(itertools.cycle(starts), len(pages)))
    known: tuple[PriceStep, ...] = ()
    for page, since in zip(pages, starts, strict=True):
        known = merged(known, page, since=since)
    assert known == merged(itertools.chain(*pages), since=starts[-1])


@given(steps_of.filter(bool), st.integers(0, 50), st.integers(0, 60))
def test_forgetting_changes_no_price_since_then(steps: list[PriceStep], since: int, later: int) -> None:
    kept, whole = merged(steps, since=since), merged(steps, since=0)
    assert price_at(kept, since + later) == price_at(whole, since + later)


def test_steps_are_bounded() -> None:
    steps = merged([PriceStep(at, 1 + at % 7) for at in range(2 * MOST)], since=0)
    assert len(steps) == MOST
    assert steps[-1].at == 2 * MOST - 1
