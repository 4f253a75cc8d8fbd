"""The price table: the exporter's own, and what is said of a wrong one."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.collect.storage import _prices
from fleetwatch.records.storage import Price

HEAD = "region,kind,type,unit,usd_per_month"
ROW = "us-east-1,volume,gp3,gib,0.08"


def test_the_bundled_table_is_whole() -> None:
    found = _prices.table(None)
    assert found.source == "bundled"
    assert f"ebs-prices-{_day(found.day)}.csv" == _prices.BUNDLED
    for region in ("us-east-1", "us-west-2", "eu-west-1"):
        units = {(kind, type_, unit) for where, kind, type_, unit in found.prices if where == region}
        assert len(units) == 15
        tiers = [found.prices[region, "volume", "io2", unit].nano for unit in ("iops", "iops_32000", "iops_64000")]
        assert tiers == sorted(tiers, reverse=True)
    assert found.prices["us-east-1", "volume", "io2", "iops_64000"] == Price(31_850_000)
    assert found.prices["us-west-2", "volume", "st1", "gib"] == Price(45_000_000, confirmed=False)
    assert min(price.nano for price in found.prices.values()) > 0


def test_its_origin_lies_beside_it() -> None:
    folder = Path(_prices.__file__).parent
    assert _prices.BUNDLED in (folder / _prices.BUNDLED.replace(".csv", ".ORIGIN.txt")).read_text()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "x.csv:1: expected the columns region,kind,type,unit,usd_per_month, got none called region"),
        ("region,kind,type,unit\n", "got none called usd_per_month"),
        (f"{HEAD}\nus-east-1,disk,gp3,gib,0.08", "x.csv:2: kind: expected one of snapshot, volume, got 'disk'"),
        (f"{HEAD}\nus-east-1,volume,gp3,gb,0.08", "x.csv:2: unit: expected one of gib, iops,"),
        (f"{HEAD}\n{ROW}\n{ROW}", "x.csv:3: expected one price of us-east-1 volume gp3 gib, got a second one"),
        (f"{HEAD}\nus-east-1,volume,gp3", "x.csv:2: unit: expected one of"),
        (f"{HEAD}\nus-east-1,volume,gp3,gib,-1", "x.csv:2: usd_per_month: expected US dollars"),
        (f"{HEAD}\nus-east-1,volume,gp3,gib,0.0000000001", "with at most 9 decimals, got '0.0000000001'"),
        (f"{HEAD}\nus-east-1,volume,gp3,gib,NaN", "x.csv:2: usd_per_month: expected US dollars"),
        (f"{HEAD},confirmed\n{ROW},maybe", "x.csv:2: confirmed: expected yes or no, got 'maybe'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"x\.csv") as failure:
        _prices.read(text, "x.csv")
    assert why in str(failure.value)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        said, found = "x.csv:", _prices.read(f"{HEAD}\n{text}", "x.csv")
    except ValueError as error:
        said, found = str(error), {}
    assert said.startswith("x.csv:")
    assert all(price.nano >= 0 for price in found.values())


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"storage\.prices_file: .*none\.csv cannot be read"):
        _prices.table(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="expected text in UTF-8"):
        _prices.table(tmp_path / "binary.csv")


def _day(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d}"
