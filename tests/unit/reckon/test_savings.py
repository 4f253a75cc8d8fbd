"""What machines cost: by pieces between price changes, against a count of every second, and cut into slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.savings import (
    ALIVE,
    HOUR,
    ListBook,
    Rate,
    Savings,
    SpotBook,
    cost,
    coverage,
    price_at,
    prices_known_until,
    rates,
    savings,
    uses,
)
from fleetwatch.records.spot import Instance, Lifecycle, ListPrice, Pool, PriceStep, SpotPrices, State, Use

SECOND = 10**9
MIDNIGHT = 1_790_000_000 * SECOND
DAY = 86400
A = Pool("main", "us-east-1", "use1-az1", "m7g.large", "Linux/UNIX")
B = A._replace(az_id="use1-az4", instance_type="c6i.4xlarge")
WINDOWS = A._replace(instance_type="m6i.large", product="Windows")
NEW = A._replace(instance_type="m8g.large")
UNPRICED = A._replace(instance_type="i4i.large")
UNLISTED = A._replace(instance_type="z9.large")
VCPUS = {A: 2, B: 16, WINDOWS: 2, NEW: 2, UNPRICED: 2, UNLISTED: 2}


def at(second: float) -> int:
    """Of the day, as nanoseconds."""
    return MIDNIGHT + int(second * SECOND)


def prices(*steps: tuple[int, int]) -> SpotPrices:
    """(second of the day, nano-USD per hour)."""
    return SpotPrices(tuple(PriceStep(at(second), price) for second, price in steps), at(DAY))


SPOT: SpotBook = {
    A: prices((-7 * DAY, 31_400_001), (-5, 31_700_003), (3_601, 33_333_333), (3_602, 29_999_999), (47_611, 41_000_007)),
    B: prices((-DAY, 272_000_000), (50_003, 310_123_457), (86_399, 1)),
    WINDOWS: prices((-DAY, 98_700_000), (77_777, 98_600_001)),
    # It has a price only since it exists.
    NEW: prices((30_011, 35_100_000)),
    UNLISTED: prices((-DAY, 10_000_000)),
}
LIST: ListBook = {
    (A.region, pool.instance_type, pool.product): ListPrice(price, at(0))
    for pool, price in ((A, 81_600_000), (B, 680_000_000), (WINDOWS, 188_000_000), (NEW, 89_760_000))
} | {(A.region, UNPRICED.instance_type, UNPRICED.product): ListPrice(172_000_000, at(0))}


def machine(name: str, pool: Pool, begin: float, end: float | None = None, **others: Any) -> Instance:
    """begin, end: second of the day; without an end it runs."""
    told = Instance(
        name,
        pool,
        "spot",
        "running" if end is None else "terminated",
        VCPUS[pool],
        at(begin),
        None if end is None else at(end),
        team="search",
        workload="index",
    )
    return told._replace(**others)


FLEET = [
    machine("i-1", A, -90_000),
    machine("i-2", A, 7, 12_345, ended_why="Server.SpotInstanceTermination"),
    machine("i-3", A, 3_601, 47_612),
    machine("i-4", B, 49_999, state="running", team="train", workload="fit"),
    machine("i-5", B, -4_000, 61, team="train", workload="fit"),
    machine("i-6", A, 100, lifecycle="on_demand", eligible=False),
    machine("i-7", WINDOWS, 40_001, 80_003),
    machine("i-8", NEW, 20_002),
    machine("i-9", UNPRICED, 1_000, 2_000),
    machine("i-10", UNLISTED, 5, 4_005),
    machine("i-11", A, 90_000),
    machine("i-12", A, -9_000, -1),
    machine("i-13", A, 500, 500),
    machine("i-14", UNLISTED, 600, 700, lifecycle="on_demand"),
    machine("i-15", A, 10, state="stopped"),
    machine("i-16", B, 85_000, 90_000, team="", workload=""),
]

Group = tuple[Pool, str, str, bool, bool]


def by_the_second(fleet: Sequence[Instance]) -> dict[Group, list[Fraction]]:
    """(pool, lifecycle, team, is its spend known, its list price) -> [seconds, vCPU seconds, spend, on demand].

    Asks for each second of the day who runs and what is the price then; knows nothing of pieces.
    """
    ranges = [
        (
            item,
            int((item.launched - MIDNIGHT) / SECOND),
            DAY if item.state == "running" else int(((item.ended or 0) - MIDNIGHT) / SECOND),
        )
        for item in fleet
    ]
    now: dict[Pool, int] = {}
    changes: dict[int, list[tuple[Pool, int]]] = defaultdict(list)
    for pool, book in SPOT.items():
        for step in book.steps:
            changes[max(0, (step.at - MIDNIGHT) // SECOND)].append((pool, step.price))
    sums: dict[Group, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for second in range(DAY):
        now.update(changes.get(second, ()))
        for item, begin, end in ranges:
            if begin <= second < end:
                pool = item.pool
                listed = LIST.get((pool.region, pool.instance_type, pool.product))
                spot = now.get(pool) if item.lifecycle == "spot" else (listed and listed.price)
                total = sums[pool, item.lifecycle, item.team, spot is not None, listed is not None]
                total[0] += 1
                total[1] += item.vcpus
                total[2] += spot or 0
                total[3] += listed.price if listed else 0
    return {
        group: [Fraction(total[0]), Fraction(total[1]), Fraction(total[2], 3600), Fraction(total[3], 3600)]
        for group, total in sums.items()
    }


def test_a_day_is_what_a_count_of_its_seconds_says() -> None:
    """Price changes at odd seconds, starts, stops, interruptions, products, and prices that are not known."""
    found = uses(FLEET, SPOT, LIST, at(0), at(DAY))
    expected = by_the_second(FLEET)
    assert {(use.pool, use.lifecycle, use.team, use.spend is not None, use.on_demand is not None) for use in found} == (
        expected.keys()
    )
    assert len(found) == len(expected)
    for use in found:
        group = (use.pool, use.lifecycle, use.team, use.spend is not None, use.on_demand is not None)
        seconds, vcpu_seconds, spend, on_demand = expected[group]
        assert use.running == seconds * SECOND
        assert use.vcpu_time == vcpu_seconds * SECOND
        for got, exact in ((use.spend, spend), (use.on_demand, on_demand)):
            if got is not None:
                assert abs(got - exact) <= Fraction(1, 2), group


def test_a_missing_price_is_replaced_by_nothing() -> None:
    found = uses(FLEET, SPOT, LIST, at(0), at(DAY))
    told = {(use.pool.instance_type, use.lifecycle, use.spend is None, use.on_demand is None): use for use in found}
    assert told["i4i.large", "spot", True, False].running == 1_000 * SECOND
    assert told["z9.large", "spot", False, True].running == 4_000 * SECOND
    assert told["z9.large", "on_demand", True, True].running == 100 * SECOND
    # A new type has no price before its first one: that time is apart from the rest of the same machine.
    assert told["m8g.large", "spot", True, False].running == (30_011 - 20_002) * SECOND
    assert told["m8g.large", "spot", False, False].running == (DAY - 30_011) * SECOND
    total = savings(found)
    money = [use for use in found if use.spend is not None and use.on_demand is not None]
    assert total == (sum(use.spend or 0 for use in money), sum(use.on_demand or 0 for use in money))
    assert {use.pool.instance_type for use in money} == {"m7g.large", "c6i.4xlarge", "m6i.large", "m8g.large"}


def test_an_end_that_ec2_does_not_tell_is_when_it_was_last_seen() -> None:
    gone = machine("i-15", A, 10, state="terminated")
    assert uses([gone], SPOT, LIST, at(60), at(120)) == ()
    (use,) = uses([gone], SPOT, LIST, at(60), at(120), last_seen={"i-15": at(75)})
    assert use.running == 15 * SECOND


def test_what_runs_counts_though_an_end_of_an_earlier_life_is_told() -> None:
    started_again = machine("i-1", A, 100, ended=at(50))
    (use,) = uses([started_again], SPOT, LIST, at(0), at(200))
    assert use.running == 100 * SECOND


def test_a_launch_at_a_change_of_price_is_of_the_new_one() -> None:
    (use,) = uses([machine("i-8", NEW, 30_011)], SPOT, LIST, at(0), at(33_611))
    assert (use.running, use.spend) == (HOUR, 35_100_000)


@pytest.mark.parametrize(("price", "spend"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_half_a_nano_dollar_goes_to_the_even_one(price: int, spend: int) -> None:
    (use,) = uses([machine("i-1", A, 0)], {A: prices((0, price))}, LIST, at(0), at(1800))
    assert use.spend == spend


def test_spot_above_the_list_price_is_a_negative_saving() -> None:
    dear = {A: prices((0, 90_000_000))}
    total = savings(uses([machine("i-1", A, 0)], dear, LIST, at(0), at(3600)))
    assert total == Savings(90_000_000, 81_600_000)
    assert total.saved == -8_400_000
    assert total.esr_over_list == pytest.approx(-8.4 / 81.6)


def test_the_savings_rate_is_over_list() -> None:
    assert Savings(30, 100).esr_over_list == pytest.approx(0.7)
    assert Savings(0, 0).esr_over_list is None


def test_coverage_weighs_processors_not_machines() -> None:
    """One of 16 on spot and two of 2 on demand, of which one must stay there."""
    fleet = [
        machine("i-1", B, 0),
        machine("i-2", A, 0, lifecycle="on_demand"),
        machine("i-3", A, 0, lifecycle="on_demand", eligible=False),
    ]
    assert coverage(uses(fleet, SPOT, LIST, at(0), at(60))) == (16 / 20, 16 / 18)
    assert coverage(()) == (None, None)


def test_a_slice_ends_where_prices_are_known() -> None:
    books = {A: SpotPrices((), at(100)), B: SpotPrices((), at(40)), NEW: SpotPrices((), at(10))}
    wait = 15 * SECOND
    spot_a, spot_b = machine("i-1", A, 0), machine("i-2", B, 0)
    assert prices_known_until([spot_a], books, at(110), wait) == at(100)
    # Of what has ended the prices until then have to be known, and no others.
    assert prices_known_until([spot_a, machine("i-6", B, 0, 105)], books, at(110), 90 * SECOND) == at(40)
    assert prices_known_until([spot_a, machine("i-6", B, 0, 40)], books, at(110), 90 * SECOND) == at(100)
    # What was not read for so long is waited for no longer; what is not spot or without price not at all.
    others = [spot_b, machine("i-3", NEW, 0, lifecycle="on_demand"), machine("i-4", NEW, 0, 105)]
    assert prices_known_until([*others, machine("i-5", UNPRICED, 0)], books, at(110), wait) == at(110)
    assert prices_known_until([spot_a, spot_b], books, at(110), 90 * SECOND) == at(40)


def test_rates_of_now() -> None:
    found = rates(FLEET, SPOT, LIST, at(DAY - 1))
    # i-1 and i-11; i-8; i-4, whose price is 1 in the day's last second; on demand i-6.
    assert found.rates == (
        Rate("main", "us-east-1", "search", "index", "on_demand", 81_600_000, 81_600_000),
        Rate("main", "us-east-1", "search", "index", "spot", 2 * 41_000_007 + 35_100_000, 2 * 81_600_000 + 89_760_000),
        Rate("main", "us-east-1", "train", "fit", "spot", 1, 680_000_000),
    )
    assert found.missing == {}
    missing = rates(
        [
            machine("i-1", UNPRICED, 0),
            machine("i-2", UNPRICED, 0),
            machine("i-3", UNLISTED, 0),
            machine("i-4", UNLISTED, 0, lifecycle="on_demand"),
        ],
        SPOT,
        LIST,
        at(9),
    )
    assert missing == ((), {(UNPRICED, "spot"): 2, (UNLISTED, "on_demand"): 2})


def test_the_price_of_a_moment() -> None:
    steps = SPOT[NEW].steps
    assert price_at(steps, at(30_010)) is None
    assert price_at(steps, at(30_011)) == 35_100_000


def test_the_cost_of_one_machine() -> None:
    gone = machine("i-2", A, 7, 12_345)
    assert cost(gone, SPOT, LIST, at(3_600), at(3_603)) == round(Fraction(31_700_003 + 33_333_333 + 29_999_999, 3600))
    assert cost(machine("i-6", A, 0, lifecycle="on_demand"), SPOT, LIST, at(0), at(1800)) == 40_800_000
    assert cost(machine("i-8", NEW, 0), SPOT, LIST, at(0), at(40_000)) is None
    assert cost(gone, SPOT, LIST, at(9), at(9)) == 0


# --- any fleet, any cut

END = 4 * HOUR
times = st.integers(-HOUR, END + HOUR)
amounts = st.integers(0, 40 * 10**9)
pools = st.sampled_from([A, B, NEW])


@st.composite
def fleets(draw: st.DrawFn) -> list[Instance]:
    lifecycles: st.SearchStrategy[Lifecycle] = st.sampled_from(("spot", "spot", "on_demand", "capacity_block"))
    states: st.SearchStrategy[State] = st.sampled_from(("running", "pending", "stopping", "terminated"))
    number = draw(st.integers(1, 6))
    fleet = []
    for place in range(number):
        state = draw(states)
        fleet.append(
            Instance(
                f"i-{place}",
                draw(pools),
                draw(lifecycles),
                state,
                draw(st.integers(0, 8)),
                draw(times),
                None if state in ALIVE else draw(times),
            )
        )
    return fleet


books = st.dictionaries(
    pools,
    st.lists(st.tuples(times, amounts), max_size=5).map(
        lambda steps: SpotPrices(tuple(PriceStep(*step) for step in sorted(steps, key=lambda step: step[0])), END)
    ),
)
lists = st.dictionaries(
    pools.map(lambda pool: (pool.region, pool.instance_type, pool.product)),
    amounts.map(lambda price: ListPrice(price, 0)),
)


def totals(slices: Sequence[Sequence[Use]]) -> Mapping[tuple[object, ...], list[int]]:
    """(labels, is spend known, is list known) -> [slices, running, vCPU time, spend, on demand]."""
    sums: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for some in slices:
        for use in some:
            total = sums[(*use[:5], use.spend is None, use.on_demand is None)]
            for place, value in enumerate((1, use.running, use.vcpu_time, use.spend or 0, use.on_demand or 0)):
                total[place] += value
    return sums


@given(fleets(), books, lists, st.lists(st.integers(0, END), max_size=6))
def test_slices_add_up_to_the_whole(fleet: list[Instance], spot: SpotBook, listed: ListBook, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), END]
    whole = totals([uses(fleet, spot, listed, 0, END)])
    parts = totals([uses(fleet, spot, listed, begin, end) for begin, end in pairwise(edges)])
    assert parts.keys() == whole.keys()
    for key, (_, running, vcpu_time, spend, on_demand) in whole.items():
        number, *others = parts[key]
        assert others[:2] == [running, vcpu_time]
        for part, exact in zip(others[2:], (spend, on_demand), strict=True):
            assert 2 * abs(part - exact) <= number + 1


@given(fleets(), books, lists)
def test_every_moment_of_a_machine_is_in_one_place(fleet: list[Instance], spot: SpotBook, listed: ListBook) -> None:
    found = uses(fleet, spot, listed, 0, END)
    ran = sum(max(0, min(END, END if item.ended is None else item.ended) - max(0, item.launched)) for item in fleet)
    assert sum(use.running for use in found) == ran
    assert all(use.running > 0 for use in found)
    assert len({(*use[:5], use.spend is None, use.on_demand is None) for use in found}) == len(found)
    for use in found:
        # Whatever is not spot costs its list price, so it saves nothing.
        assert use.lifecycle == "spot" or use.spend == use.on_demand
