"""Prices of what is stored, and what of it nobody uses."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.storage_waste import (
    GIB,
    HOURS,
    add_up,
    dearest,
    nano,
    price_snapshot,
    price_volume,
    unused_snapshots,
    wasted,
)
from fleetwatch.records.storage import Image, Item, Price, References, Snapshot, Volume

REGION = "here"
USD = 10**9
PRICES = {
    (REGION, "volume", "gp2", "gib"): Price(USD // 10),
    (REGION, "volume", "gp3", "gib"): Price(80_000_000),
    (REGION, "volume", "gp3", "iops"): Price(5_000_000),
    (REGION, "volume", "gp3", "mibps"): Price(40_000_000, confirmed=False),
    (REGION, "volume", "io1", "gib"): Price(125_000_000),
    (REGION, "volume", "io1", "iops"): Price(65_000_000),
    (REGION, "volume", "io2", "gib"): Price(125_000_000),
    (REGION, "volume", "io2", "iops"): Price(65_000_000),
    (REGION, "volume", "io2", "iops_32000"): Price(45_500_000),
    (REGION, "snapshot", "standard", "gib"): Price(50_000_000),
    (REGION, "snapshot", "archive", "gib"): Price(12_500_000),
}
NOTHING = References(frozenset(), frozenset(), frozenset(), frozenset())

WORDS = st.sampled_from("abcdef")


def usd(item: Item) -> float | None:
    return None if item.cost is None else nano(item.cost) / USD


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (Volume("v", "gp2", 100, iops=300), 10.0),
        (Volume("v", "gp3", 100), 8.0),
        (Volume("v", "gp3", 100, iops=3000, mibps=125), 8.0),
        (Volume("v", "gp3", 100, iops=4000, mibps=125), 13.0),
        (Volume("v", "gp3", 100, iops=4000, mibps=225), 17.0),
        (Volume("v", "io1", 10, iops=100), 7.75),
        (Volume("v", "io2", 10, iops=32_000), 2081.25),
        (Volume("v", "io2", 10, iops=32_001), 2081.2955),
        # The price of those above 64,000 is not in the table.
        (Volume("v", "io2", 10, iops=64_000), 3537.25),
        (Volume("v", "io2", 10, iops=64_001), None),
        (Volume("v", "io2", 10), None),
        (Volume("v", "st1", 500), None),
        (Volume("v", "gp2", 100, elsewhere=True), None),
    ],
)
def test_a_volume_costs_what_it_was_provisioned_with(volume: Volume, expected: float | None) -> None:
    assert usd(price_volume(volume, REGION, PRICES)) == expected


def test_a_price_of_another_region_is_no_price() -> None:
    assert price_volume(Volume("v", "gp2", 1), "there", PRICES).cost is None


def test_a_volume_is_as_sure_as_its_least_sure_price() -> None:
    assert price_volume(Volume("v", "gp3", 1, mibps=125), REGION, PRICES).estimate == "exact"
    assert price_volume(Volume("v", "gp3", 1, mibps=126), REGION, PRICES).estimate == "unconfirmed"


@given(st.lists(st.tuples(st.integers(0, 2**50), st.sampled_from(["standard", "archive"])), max_size=30))
def test_sums_of_bytes_are_rounded_once(sizes: list[tuple[int, str]]) -> None:
    items = [
        price_snapshot(Snapshot(str(place), tier, size), REGION, PRICES) for place, (size, tier) in enumerate(sizes)
    ]
    exact = sum(
        (Fraction(size * (50_000_000 if tier == "standard" else 12_500_000), GIB) for size, tier in sizes), Fraction()
    )
    found = sum((item.cost or 0 for item in items), 0)
    expected = Decimal(exact.numerator) / Decimal(exact.denominator)
    assert abs(nano(found) - exact) <= Fraction(1, 2)
    if exact.denominator <= 2:
        assert nano(found) == int(expected.to_integral_value(ROUND_HALF_EVEN))


@pytest.mark.parametrize(("halves", "whole"), [(1, 0), (3, 2), (5, 2), (4, 2)])
def test_halves_are_rounded_to_the_even(halves: int, whole: int) -> None:
    assert nano(halves * GIB // 2) == whole


def test_a_whole_month_costs_the_price_of_a_month() -> None:
    cost = 8 * USD * GIB
    assert wasted(cost, HOURS * 3600) == 8 * USD
    assert wasted(cost, HOURS * 1800) == 4 * USD
    assert wasted(cost, 0) == 0


def test_unpriced_ones_are_counted_and_not_summed() -> None:
    items = [Item("a", "volume", "x", 5, None, "exact"), Item("b", "volume", "x", 7, 3 * GIB, "exact")]
    [(key, found)] = add_up(items).items()
    assert key == ("volume", "x", "exact")
    assert (found.cost, found.size, found.resources, found.unpriced, found.priced) == (3 * GIB, 12, 2, 1, 1)


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=20), st.integers(0, 10))
def test_the_dearest_are_no_cheaper_than_the_rest(costs: list[int | None], number: int) -> None:
    items = [Item(f"{place:02}", "volume", "x", 1, cost, "exact") for place, cost in enumerate(costs)]
    found = dearest(items, number)
    priced = sorted((cost for cost in costs if cost is not None), reverse=True)
    assert [item.cost for item in found] == priced[:number]
    assert dearest(list(reversed(items)), number) == found


@given(
    st.dictionaries(WORDS, st.integers(1, 100), max_size=6),
    st.lists(st.tuples(st.lists(WORDS, max_size=3), st.booleans()), max_size=5),
    st.sets(WORDS),
    st.sets(WORDS),
)
def test_no_byte_is_waste_twice_or_while_it_is_needed(
    sizes: dict[str, int], made: list[tuple[list[str], bool]], held: set[str], templates: set[str]
) -> None:
    priced = {}
    for name, size in sizes.items():
        snapshot = Snapshot(name, "standard", size)
        priced[name] = (snapshot, price_snapshot(snapshot, REGION, PRICES))
    images = [
        Image(f"ami-{place}", tuple(dict.fromkeys(parts)), launched=0.0 if used else None)
        for place, (parts, used) in enumerate(made)
    ]
    needed = NOTHING._replace(restored=frozenset(held), template_snapshots=frozenset(templates))
    found = unused_snapshots(priced, images, needed, 1e9, 0.0)
    used = templates | {part for image in images if image.launched is not None for part in image.snapshots}
    idle = {part for image in images if image.launched is None for part in image.snapshots}
    wanted = {name for name in sizes if name not in used and (name in idle or name not in held)}
    assert sum(item.size for item in found) == sum(sizes[name] for name in wanted)
    assert len({item.id for item in found}) == len(found)
