"""List prices: AWS' Pricing API on loopback, what is kept over restarts, and the tables that step in."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO
from fleetwatch.collect.here import SpotAccess
from fleetwatch.collect.runner import NoData
from fleetwatch.collect.spot import _list_table, _offers
from fleetwatch.collect.spot.on_demand_prices import FIRST_PAUSE, FRESH, OnDemandPrices
from support_ec2 import Ec2, ec2
from support_spot_prices import DAY, POOL, Looks, fleet, instance

__all__ = ["ec2"]

ACTION = "pricing:GetProducts"
LINUX = ("us-east-1", "m7g.large", "Linux/UNIX")
LISTED = 81_600_000
"""m7g.large in us-east-1, nano-USD, here and in the table that comes with the exporter."""


def sold(ec2: Ec2) -> None:
    ec2.list_price("m7g.large", 0.0816)
    ec2.list_price("m7g.large", 0.1736, os="Windows")
    ec2.list_price("c7g.large", 0.0725)
    ec2.list_price("m7g.metal", 2.6112)
    ec2.list_price("m7g.large", 0.0979, region="eu-west-1")
    ec2.list_price("t4g.nano", 0.0)


def test_list_prices_of_a_region_come_with_their_age(ec2: Ec2, golden: Callable[[str, str], None]) -> None:
    sold(ec2)
    looks = Looks(OnDemandPrices, ec2)
    fleet(looks.here, instance("m7g.large"), instance("m7g.metal"), instance("m7g.large", product="Windows"))
    looks.here.desk.wanted = {("us-east-1", "t3.nano")}
    looks.here.desk.alternates = frozenset({POOL._replace(instance_type="c7g.large")})
    looks.look()
    looks.look(later=3600)
    assert looks.failure is None
    golden("sources/on_demand_prices.prom", looks.page())


def test_all_types_of_a_region_are_on_the_desk(ec2: Ec2) -> None:
    """A type that nobody uses may be the better one; one of price 0 is none."""
    sold(ec2)
    ec2.page = 1
    looks = Looks(OnDemandPrices, ec2)
    fleet(looks.here, instance("m7g.large"))
    looks.look()
    prices = {key: price.price for key, price in looks.here.desk.list_prices.items()}
    assert prices == {
        LINUX: LISTED,
        ("us-east-1", "c7g.large", "Linux/UNIX"): 72_500_000,
        ("us-east-1", "m7g.metal", "Linux/UNIX"): 2_611_200_000,
    }
    assert looks.here.desk.list_prices[LINUX] == (LISTED, int(ec2.now * NANO), "api")


def test_the_filters_leave_one_price_of_each_type(ec2: Ec2) -> None:
    looks = Looks(OnDemandPrices, ec2)
    fleet(looks.here, instance("m7g.large", product="Red Hat Enterprise Linux"))
    looks.look()
    asked = [item for item in ec2.asked if item.action == ACTION]
    filters = [{one["Field"]: one["Value"] for one in item.parameters["Filters"]} for item in asked]
    usual = {
        "regionCode": "us-east-1",
        "serviceCode": "AmazonEC2",
        "operatingSystem": "RHEL",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "marketoption": "OnDemand",
    }
    assert filters == [
        {**usual, "tenancy": "Shared", "productFamily": "Compute Instance"},
        {**usual, "tenancy": "Dedicated", "productFamily": "Compute Instance (bare metal)"},
    ]
    assert all(item.parameters["MaxResults"] == 100 for item in asked)


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("us-west-2", "us-east-1"),
        ("eu-west-1", "eu-central-1"),
        ("ap-southeast-2", "ap-south-1"),
        ("sa-east-1", "us-east-1"),
    ],
)
def test_the_api_is_asked_where_it_is(ec2: Ec2, region: str, endpoint: str) -> None:
    ec2.list_price("m7g.large", 0.0979, region=region)
    looks = Looks(OnDemandPrices, ec2, regions=(region,))
    fleet(looks.here, instance("m7g.large", region=region), region=region)
    looks.look()
    assert {item.region for item in ec2.asked if item.action == ACTION} == {endpoint}
    # The server, as AWS' endpoints, tells of all regions by the filter.
    assert looks.failure is None


def test_answers_are_kept_for_a_day_over_restarts(ec2: Ec2, tmp_path: Path) -> None:
    sold(ec2)
    looks = Looks(OnDemandPrices, ec2, state=tmp_path / "collect")
    fleet(looks.here, instance("m7g.large"))
    looks.look()
    asked = ec2.count(ACTION)
    ec2.refuse("hang", ACTION)
    looks.restart()
    looks.look(later=FRESH - 1)
    assert ec2.count(ACTION) == asked
    assert looks.here.desk.list_prices[LINUX].price == LISTED
    assert looks.value(spot.ON_DEMAND_AGE, source="api") == FRESH - 1
    ec2.relent()
    ec2.list_price("m7g.large", 0.09)
    looks.look(later=2)
    assert looks.here.desk.list_prices[LINUX].price == 90_000_000
    assert looks.value(spot.ON_DEMAND_AGE, source="api") == 0


def test_an_old_answer_stays_while_aws_cannot_be_asked(ec2: Ec2) -> None:
    sold(ec2)
    looks = Looks(OnDemandPrices, ec2)
    fleet(looks.here, instance("m7g.large"))
    looks.look()
    ec2.refuse("throttled", ACTION)
    looks.look(later=3 * DAY)
    assert "ThrottlingException" in str(looks.failure)
    assert looks.value(spot.ON_DEMAND_AGE, source="api") == 3 * DAY
    asked = ec2.count(ACTION)
    looks.look(later=FIRST_PAUSE - 1)
    assert ec2.count(ACTION) == asked, "AWS is left alone for a while"
    assert looks.failure is not None, "it is said until it goes well"
    ec2.relent()
    looks.look(later=2)
    assert looks.failure is None


@pytest.mark.parametrize(
    "text", ['{"version": 1, "answers": [{"reg', "[]", '{"version": 9}', '{"version":1,"answers":[{}]}']
)
def test_a_torn_file_is_said_and_asked_for_anew(
    ec2: Ec2, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    sold(ec2)
    (tmp_path / "on_demand_prices.json").write_text(text)
    looks = Looks(OnDemandPrices, ec2, state=tmp_path)
    fleet(looks.here, instance("m7g.large"))
    with caplog.at_level(logging.WARNING):
        looks.look()
    assert "on_demand_prices.json: cannot be read, and is asked for anew" in caplog.text
    assert looks.here.desk.list_prices[LINUX].price == LISTED
    assert json.loads((tmp_path / "on_demand_prices.json").read_text())["version"] == 1


def test_prices_that_cannot_be_kept_are_used_all_the_same(ec2: Ec2, tmp_path: Path) -> None:
    sold(ec2)
    (tmp_path / "file").touch()
    looks = Looks(OnDemandPrices, ec2, state=tmp_path / "file")
    fleet(looks.here, instance("m7g.large"))
    looks.look()
    assert "cannot be kept over a restart" in str(looks.failure)
    assert looks.value(spot.ON_DEMAND_AGE, source="api") == 0


def test_without_aws_the_table_steps_in_and_is_marked(ec2: Ec2) -> None:
    looks = Looks(OnDemandPrices, ec2, regions=("us-east-1", "eu-west-1"))
    fleet(looks.here, instance("m7g.large"), instance("m7g.large", product="Windows"))
    fleet(looks.here, instance("m7g.large", region="eu-west-1"), region="eu-west-1")
    ec2.refuse("denied", ACTION)
    looks.look()
    assert looks.failure is not None
    assert [item.permission for item in looks.failure.denied] == [ACTION]
    assert looks.here.desk.list_prices[LINUX] == (LISTED, _list_table.DAY, "static")
    age = looks.value(spot.ON_DEMAND_AGE, source="static")
    assert age == ec2.now - 1_784_505_600, "since 2026-07-20"
    # For no other product and no other region.
    assert {key[0] for key in looks.here.desk.list_prices} == {"us-east-1"}
    assert {key[2] for key in looks.here.desk.list_prices} == {"Linux/UNIX"}


def test_where_aws_has_answered_the_table_adds_nothing(ec2: Ec2) -> None:
    ec2.list_price("c7g.large", 0.0725)
    looks = Looks(OnDemandPrices, ec2)
    fleet(looks.here, instance("m7g.large"))
    looks.look()
    assert looks.failure is None
    assert LINUX not in looks.here.desk.list_prices


def test_regions_that_nobody_uses_any_more_are_gone(ec2: Ec2) -> None:
    sold(ec2)
    looks = Looks(OnDemandPrices, ec2, regions=("us-east-1", "eu-west-1"))
    fleet(looks.here, instance("m7g.large"))
    fleet(looks.here, instance("m7g.large", region="eu-west-1"), region="eu-west-1")
    looks.look()
    assert {key[0] for key in looks.here.desk.list_prices} == {"us-east-1", "eu-west-1"}
    fleet(looks.here, region="eu-west-1")
    looks.look(later=60)
    assert {key[0] for key in looks.here.desk.list_prices} == {"us-east-1"}
    assert looks.labels(spot.ON_DEMAND_AGE, "region") == {"us-east-1"}


def test_a_product_that_the_list_does_not_know_is_not_asked_for(ec2: Ec2) -> None:
    looks = Looks(OnDemandPrices, ec2)
    fleet(looks.here, instance("m7g.large", product="Plan 9"))
    looks.look()
    assert ec2.count(ACTION) == 0
    assert looks.here.desk.list_prices == {}


def test_without_settings_nothing_is_asked(ec2: Ec2) -> None:
    with pytest.raises(NoData):
        list(OnDemandPrices(Looks(OnDemandPrices, ec2, access=None).here)())


# Your own file


def own(tmp_path: Path, text: str) -> SpotAccess:
    file = tmp_path / "prices.csv"
    file.write_text(text)
    return SpotAccess(prices_file=file)


def test_your_own_price_comes_before_aws_(ec2: Ec2, tmp_path: Path) -> None:
    sold(ec2)
    access = own(tmp_path, "region,instance_type,usd_per_hour\nus-east-1,m7g.large,0.05\n")
    looks = Looks(OnDemandPrices, ec2, access=access)
    fleet(looks.here, instance("m7g.large"), instance("c7g.large"))
    looks.look()
    assert looks.failure is None
    prices = looks.here.desk.list_prices
    assert (prices[LINUX].price, prices[LINUX].source) == (50_000_000, "static")
    other = prices["us-east-1", "c7g.large", "Linux/UNIX"]
    assert (other.price, other.source) == (72_500_000, "api")


def test_where_your_file_has_all_types_in_use_aws_is_not_asked(ec2: Ec2, tmp_path: Path) -> None:
    text = "region,instance_type,usd_per_hour,product\nus-east-1,m7g.large,0.2,Windows\n"
    looks = Looks(OnDemandPrices, ec2, access=own(tmp_path, text))
    fleet(looks.here, instance("m7g.large", product="Windows"))
    looks.look()
    assert looks.failure is None
    assert ec2.count(ACTION) == 0
    assert looks.here.desk.list_prices["us-east-1", "m7g.large", "Windows"].price == 200_000_000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("us-east-1,m7g.large,cheap", ":3: usd_per_hour: expected US dollars such as \"0.0816\", got 'cheap'"),
        ("us-east-1,m7g.large,0", ":3: usd_per_hour: expected more than 0"),
        ("us-east-1,m7g.large", ":3: usd_per_hour: expected US dollars"),
        (",m7g.large,1", ":3: region: expected a name"),
        ("us-east-1,c7g.large,1", ":3: expected one price of us-east-1 c7g.large Linux/UNIX, got a second one"),
    ],
)
def test_a_wrong_line_is_named_and_the_others_count(ec2: Ec2, tmp_path: Path, line: str, message: str) -> None:
    text = f"region,instance_type,usd_per_hour\nus-east-1,c7g.large,0.07\n{line}\nus-east-1,t3.nano,0.01\n"
    looks = Looks(OnDemandPrices, ec2, access=own(tmp_path, text))
    fleet(looks.here, instance("c7g.large"), instance("t3.nano"))
    looks.look()
    assert f"prices.csv{message}" in str(looks.failure)
    assert looks.number(spot.ON_DEMAND_AGE, source="static") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"region,type,usd\n",
            "prices.csv:1: expected the columns region,instance_type,usd_per_hour, got none called inst",
        ),
        (b"", "prices.csv:1: expected the columns"),
        (b"\xff\xfe", "prices.csv: expected text in UTF-8"),
        (None, "prices.csv cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_table_is_said(ec2: Ec2, tmp_path: Path, text: bytes | None, message: str) -> None:
    file = tmp_path / "prices.csv"
    if text is not None:
        file.write_bytes(text)
    looks = Looks(OnDemandPrices, ec2, access=SpotAccess(prices_file=file))
    fleet(looks.here, instance("m7g.large"))
    looks.look()
    assert "spot.prices_file: " in str(looks.failure)
    assert message in str(looks.failure)
    assert looks.here.desk.list_prices == {}


def test_a_file_that_changes_is_read_again_and_one_that_goes_still_counts(ec2: Ec2, tmp_path: Path) -> None:
    head = "region,instance_type,usd_per_hour\n"
    access = own(tmp_path, f"{head}us-east-1,m7g.large,0.05\n")
    looks = Looks(OnDemandPrices, ec2, access=access)
    fleet(looks.here, instance("m7g.large"))
    looks.look()
    assert access.prices_file is not None
    access.prices_file.write_text(f"{head}us-east-1,m7g.large,0.06\n")
    looks.look()
    assert looks.here.desk.list_prices[LINUX].price == 60_000_000
    access.prices_file.unlink()
    looks.look()
    assert "cannot be read" in str(looks.failure)
    assert looks.here.desk.list_prices[LINUX].price == 60_000_000


def test_the_table_of_the_exporter_is_whole() -> None:
    table = _list_table.bundled()
    assert table.wrong == ()
    assert len(table.prices) == 1367
    assert table.prices[LINUX].price == LISTED
    file = Path(_list_table.__file__).parent / _list_table.BUNDLED
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert sum(price.price for price in table.prices.values()) == sum(
        round(float(row["usd_per_hour"]) * NANO) for row in rows
    )
    assert "2026-07-20" in file.with_suffix(".ORIGIN.txt").read_text()


def test_wrong_rows_of_a_block_keep_being_said(ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(OnDemandPrices, ec2)
    fleet(looks.here, instance("m7g.large"))
    wrong: Sequence[str] = ["m7g.large: expected one price, got 2"]
    monkeypatch.setattr(_offers, "ask", lambda *_: _offers.Offers({"c7g.large": 1}, list(wrong)))
    for _ in range(2):
        looks.look(later=60)
        assert "expected one price, got 2" in str(looks.failure)
