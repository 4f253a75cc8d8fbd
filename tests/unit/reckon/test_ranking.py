"""Alternates of a workload: what fits it, and what holds for any pools and prices."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue.spot import STAGE, STAGE_REASON
from fleetwatch.reckon.ranking import (
    MOST,
    MOST_PER_FAMILY,
    MOST_PER_ZONE,
    Candidate,
    Look,
    Machine,
    Scored,
    Standing,
    look,
    optimisation,
    recommended,
    standing,
    wanted,
)
from fleetwatch.reckon.spot_fit import Need, family, need_of, unfit
from fleetwatch.records.spot import Advice, Instance, ListPrice, Pool, Shape

GIB = 2**30
X86, ARM = "x86_64", "arm64"
SHAPES = {
    "m5.large": Shape(2, 8 * GIB, 0, X86),
    "m6i.large": Shape(2, 8 * GIB, 0, X86),
    "m6i.xlarge": Shape(4, 16 * GIB, 0, X86),
    "m6i.24xlarge": Shape(96, 384 * GIB, 0, X86),
    "m6i.metal": Shape(128, 512 * GIB, 0, X86),
    "m4.large": Shape(2, 8 * GIB, 0, X86),
    "m7g.large": Shape(2, 8 * GIB, 0, ARM),
    "m6id.large": Shape(2, 8 * GIB, 0, X86),
    "c6i.xlarge": Shape(4, 8 * GIB, 0, X86),
    "r6i.large": Shape(2, 16 * GIB, 0, X86),
    "t3.large": Shape(2, 8 * GIB, 0, X86),
    "i3.large": Shape(2, 15 * GIB, 0, X86),
    "g5.xlarge": Shape(4, 16 * GIB, 1, X86),
    "g6.xlarge": Shape(4, 16 * GIB, 1, X86),
    "g6.12xlarge": Shape(48, 192 * GIB, 4, X86),
    "g5g.xlarge": Shape(4, 8 * GIB, 1, ARM),
    "p4d.24xlarge": Shape(96, 1152 * GIB, 8, X86),
}
ZONES = ("use1-az1", "use1-az2", "use1-az4", "use1-az6")
CENT = 10**7


def pool(name: str, zone: str = ZONES[0]) -> Pool:
    return Pool("main", "us-east-1", zone, name, "Linux/UNIX")


def machines(*names: str) -> list[Instance]:
    return [Instance(f"i-{place}", pool(name), "spot", "running", 0, 0) for place, name in enumerate(names)]


def need(*names: str, **others: Any) -> Need:
    told: dict[str, Any] = {"most_risk": 60.0, "rework_hours": 0.5, **others}
    found = need_of("index", machines(*names), SHAPES, **told)
    assert found is not None
    return found


def candidate(
    name: str, price: int | None, zone: str = ZONES[0], *, hazard: float = 0.0, risk: float | None = 10.0
) -> Candidate:
    """price: cents; its list price is 100 cents for two processors."""
    shape = SHAPES[name]
    own = None if price is None else price * CENT
    return Candidate(pool(name, zone), shape, own, shape.vcpus * 50 * CENT, hazard, risk)


# --- what fits


@pytest.mark.parametrize(
    ("have", "name", "reason"),
    [
        (["m5.large"] * 8, "m6i.large", ""),
        (["m5.large"] * 8, "m6i.xlarge", ""),
        (["m5.large"] * 8, "m6id.large", ""),
        (["m5.large"] * 8, "m4.large", "type_excluded"),
        (["m5.large"] * 8, "t3.large", "type_excluded"),
        (["m5.large"] * 8, "m6i.metal", "type_excluded"),
        (["m5.large"] * 8, "g5.xlarge", "type_excluded"),
        (["m5.large"] * 8, "m7g.large", "architecture"),
        (["m5.large", "m7g.large"], "m7g.large", ""),
        (["m5.large"] * 8, "c6i.xlarge", "too_small"),
        (["m6i.xlarge"] * 8, "m6i.large", "too_small"),
        (["m5.large"] * 8, "m6i.24xlarge", "too_large"),
        # One machine would be more than half of the workload.
        (["m5.large"] * 2, "m6i.xlarge", "too_large"),
        (["m6i.xlarge"], "m6i.xlarge", ""),
        (["m6i.24xlarge", "m5.large"], "m6i.24xlarge", ""),
        (["t3.large"] * 4, "t3.large", ""),
        (["t3.large"] * 4, "m6i.large", ""),
        (["m6id.large"] * 4, "m6i.large", "type_excluded"),
        (["m6id.large", "m6i.large"], "m6i.large", ""),
        (["i3.large"] * 4, "r6i.large", "type_excluded"),
        (["g5.xlarge"] * 4, "g6.xlarge", ""),
        (["g5.xlarge"] * 4, "m6i.xlarge", "type_excluded"),
        (["g5.xlarge"] * 4, "p4d.24xlarge", "type_excluded"),
        (["g6.xlarge"] * 4, "g5.xlarge", "type_excluded"),
        (["g5.xlarge"] * 4, "g5g.xlarge", "architecture"),
        (["g6.12xlarge"] * 4, "g6.xlarge", "too_small"),
    ],
)
def test_types_like_those_it_has(have: list[str], name: str, reason: str) -> None:
    assert unfit(need(*have), name, SHAPES[name]) == reason


def test_patterns_and_sizes_of_the_settings_come_first() -> None:
    """Who names the types knows which processors will do; sizes count still."""
    told = need("m5.large", types=("m7g.*", "c6i.*", "t3.*"), least_vcpus=4, least_memory=8 * GIB)
    assert [unfit(told, name, SHAPES[name]) for name in ("m7g.large", "c6i.xlarge", "t3.large", "m5.large")] == [
        "too_small",
        "",
        "too_small",
        "type_excluded",
    ]


def test_a_workload_of_which_nothing_is_known_needs_nothing() -> None:
    assert need_of("new", [], SHAPES, most_risk=60, rework_hours=0.5) is None
    assert need_of("new", [], SHAPES, least_vcpus=2, most_risk=60, rework_hours=0.5) is None
    assert need_of("new", machines("x9.large"), SHAPES, most_risk=60, rework_hours=0.5) is None
    found = need_of("new", [], SHAPES, types=("m6i.*",), least_vcpus=2, most_risk=60, rework_hours=0.5)
    assert found is not None
    assert [name for name, shape in SHAPES.items() if not unfit(found, name, shape)] == ["m6i.large", "m6i.xlarge"]


def test_types_whose_prices_are_wanted() -> None:
    """Cheapest expected first: list price less advised savings, per processor; those without a list price not."""
    lists = {("us-east-1", name, "Linux/UNIX"): ListPrice(SHAPES[name].vcpus * 50 * CENT, 0) for name in SHAPES}
    del lists["us-east-1", "r6i.large", "Linux/UNIX"]
    advice = {
        ("us-east-1", "m6i.xlarge", "Linux"): Advice(0, 0.70, 0),
        ("us-east-1", "m6i.large", "Linux"): Advice(0, 0.60, 0),
        ("us-east-1", "m5.large", "Windows"): Advice(0, 0.90, 0),
    }
    told = need(*["m5.large"] * 8)
    found = wanted(told, "us-east-1", "Linux/UNIX", SHAPES, list_prices=lists, advice=advice)
    assert found == ["m6i.xlarge", "m6i.large", "m5.large", "m6id.large"]
    assert wanted(told, "us-east-1", "Linux/UNIX", SHAPES, list_prices=lists, advice=advice, most=1) == ["m6i.xlarge"]


# --- the ranking


def test_each_pool_is_told_with_its_first_reason() -> None:
    found = look(
        need(*["m5.large"] * 8),
        [
            candidate("m5.large", 40),
            candidate("m6i.large", None),
            candidate("m6i.large", 101, ZONES[1]),
            candidate("m6i.large", 100, ZONES[2], hazard=0.1),
            candidate("m6i.large", 40, ZONES[3], risk=60.1),
            candidate("m6i.xlarge", 79, risk=60.0),
            candidate("m7g.large", None, risk=99),
            candidate("r6i.large", 41, risk=None),
        ],
    )
    assert found.filtered == {"no_price": 1, "dearer_than_on_demand": 2, "risk": 1, "architecture": 1, "diversity": 1}
    assert [(item.pool.instance_type, item.price / CENT) for item in found.scored] == [
        ("m6i.xlarge", 19.75),
        ("m5.large", 20),
    ]
    assert found.counts(chosen=1) == (
        ("candidate", "", 8),
        ("filtered", "architecture", 1),
        ("filtered", "dearer_than_on_demand", 2),
        ("filtered", "diversity", 1),
        ("filtered", "no_price", 1),
        ("filtered", "risk", 1),
        ("scored", "", 2),
        ("chosen", "", 1),
    )


def test_rework_can_turn_the_order() -> None:
    """One cent less a processor is no bargain where each tenth hour half an hour of work is lost."""
    pools = [candidate("m5.large", 40, hazard=0.1), candidate("m6i.large", 41, hazard=0.001)]
    assert [item.pool.instance_type for item in look(need("m5.large"), pools).scored] == ["m6i.large", "m5.large"]
    careless = need("m5.large", rework_hours=0.0)
    assert [item.pool.instance_type for item in look(careless, pools).scored] == ["m5.large", "m6i.large"]


def test_of_equal_prices_the_calmer_comes_first() -> None:
    """By risk, an unknown one last; then by hazard, where rework costs nothing; then by name."""
    pools = [
        candidate("m5.large", 40, ZONES[0], risk=None),
        candidate("m6i.large", 40, ZONES[1], risk=20, hazard=0.2),
        candidate("m6id.large", 40, ZONES[2], risk=20, hazard=0.1),
        candidate("r6i.large", 40, ZONES[3], risk=10),
    ]
    found = look(need("m5.large", rework_hours=0.0), pools)
    assert [item.pool.az_id for item in found.scored] == [ZONES[3], ZONES[2], ZONES[1], ZONES[0]]


def test_gpus_are_what_their_price_is_compared_by() -> None:
    """The larger machine is dearer by the processor, and cheaper by the GPU."""
    pools = [candidate("g6.12xlarge", 3600), candidate("g5.xlarge", 950)]
    pools = [item._replace(on_demand=None) for item in pools]
    found = look(need("g5.xlarge", types=("g*",), least_vcpus=4)._replace(most_vcpus=0), pools)
    assert [(item.pool.instance_type, item.price / CENT) for item in found.scored] == [
        ("g6.12xlarge", 900),
        ("g5.xlarge", 950),
    ]


def test_two_of_a_family_and_two_of_a_zone() -> None:
    pools = [candidate("m6i.large", 40 + place, zone) for place, zone in enumerate(ZONES)]
    pools += [candidate(name, 50, ZONES[0]) for name in ("m5.large", "m6id.large", "r6i.large")]
    pools += [candidate("r6i.large", 60, zone) for zone in ZONES[1:]]
    found = look(need("m5.large"), pools)
    assert [(item.pool.instance_type, item.pool.az_id[-1]) for item in found.alternates] == [
        ("m6i.large", "1"),
        ("m6i.large", "2"),
        ("m5.large", "1"),
        ("r6i.large", "2"),
        ("r6i.large", "4"),
    ]
    # Two m6i of other zones, and m6id and r6i in a zone that was full.
    assert found.filtered == {"diversity": 4}
    assert [item.pool.az_id[-1] for item in found.scored[MOST:]] == ["6"]


# --- what a workload has, and could have


def machine(name: str, price: int | None, lifecycle: Any = "spot", on_demand: int | None = 100) -> Machine:
    own = None if price is None else price * CENT
    return Machine(
        pool(name), lifecycle, SHAPES[name], own, None if on_demand is None else on_demand * CENT, hazard=0.2
    )


def test_what_a_workload_costs_now() -> None:
    """Spot with a tenth on top for rework, on demand at its list price; what has no price is left out whole."""
    found = standing(
        need("m5.large"),
        [
            machine("m5.large", 40),
            machine("m5.large", None, "on_demand"),
            machine("m5.large", None),
            machine("m5.large", 40, on_demand=None),
        ],
    )
    assert (found.units, found.on_demand, found.unpriced) == (4, 200 * CENT, 2)
    assert found.cost == pytest.approx(144 * CENT)
    assert found.price == pytest.approx(36 * CENT)
    assert standing(need("m5.large"), []).price is None


def found_at(*prices: float) -> Look:
    """Pools of one processor each at so many cents."""
    scored = tuple(Scored(pool("m6i.large", ZONES[place]), price * CENT, 1.0) for place, price in enumerate(prices))
    return Look("index", len(scored), {}, scored)


def test_the_optimisation_rate_by_hand() -> None:
    """On demand 100, pays 40, could pay 4 x 5 = 20: it saves 60 of 80."""
    now = Standing(4, 100 * CENT, 40.0 * CENT, 0)
    assert optimisation(found_at(5, 7), now) == pytest.approx(0.75)
    assert optimisation(found_at(10), now) == pytest.approx(1)
    # It runs on a pool that its own rules exclude.
    assert optimisation(found_at(15), now) == pytest.approx(1.5)
    # Spot costs more than on demand would.
    assert optimisation(found_at(5), now._replace(cost=110.0 * CENT)) == pytest.approx(-0.125)


def test_no_optimisation_rate_where_nothing_could_be_saved() -> None:
    now = Standing(4, 100 * CENT, 40.0 * CENT, 0)
    assert optimisation(found_at(25), now) is None
    assert optimisation(found_at(30), now) is None
    assert optimisation(found_at(), now) is None
    assert optimisation(found_at(5), Standing(0, 0, 0.0, 3)) is None


def test_a_move_is_recommended_where_it_gains_enough() -> None:
    now = Standing(4, 100 * CENT, 40.0 * CENT, 0)
    found = found_at(8, 8.5, 9.1)
    assert recommended(found, now, [], 0.1) == found.scored[0]
    assert recommended(found, now, [found.scored[0].pool], 0.1) == found.scored[1]
    assert recommended(found, now, [item.pool for item in found.scored[:2]], 0.1) is None
    assert recommended(found_at(10), now, [], 0.0) is None
    assert recommended(found, Standing(0, 0, 0.0, 1), [], 0.1) is None


# --- any pools

names = st.sampled_from(sorted(SHAPES))
common = st.sampled_from(["m5.large", "m6i.large", "m6i.xlarge", "m6id.large", "r6i.large"])
"""What fits, mostly: else few pools would be scored."""
candidates = st.builds(
    Candidate,
    st.builds(pool, common | names, st.sampled_from(ZONES)),
    st.just(Shape(0, 0)),
    st.none() | st.integers(0, 10**10),
    st.none() | st.integers(1, 10**10),
    st.floats(0, 2),
    st.none() | st.floats(0, 100),
).map(lambda item: item._replace(shape=SHAPES[item.pool.instance_type]))
sets = st.lists(candidates, max_size=16, unique_by=lambda item: item.pool)
needs = st.builds(
    need,
    common | names,
    types=st.sampled_from([(), ("*",), ("m*", "g*"), ("*6*",)]),
    least_vcpus=st.just(0) | st.integers(0, 4),
    least_memory=st.just(0) | st.integers(0, 16 * GIB),
    most_risk=st.just(100.0) | st.floats(0, 100),
    rework_hours=st.floats(0, 10),
)


@given(needs, sets)
def test_every_candidate_ends_in_one_place(told: Need, pools: list[Candidate]) -> None:
    found = look(told, pools)
    assert found.candidates == len(pools) == len(found.scored) + sum(found.filtered.values())
    assert set(found.filtered) <= set(STAGE_REASON.one_of)
    assert all(number > 0 for number in found.filtered.values())
    assert len({item.pool for item in found.scored}) == len(found.scored)
    assert {stage for stage, _, _ in found.counts(1)} <= set(STAGE.one_of)


@given(needs, sets)
def test_alternates_are_few_fit_and_differ(told: Need, pools: list[Candidate]) -> None:
    found = look(told, pools)
    shown = found.alternates
    assert len(shown) <= MOST
    assert max(Counter(family(item.pool.instance_type) for item in shown).values(), default=0) <= MOST_PER_FAMILY
    assert max(Counter(item.pool.az_id for item in shown).values(), default=0) <= MOST_PER_ZONE
    assert [item.price for item in found.scored] == sorted(item.price for item in found.scored)
    known = {item.pool: item for item in pools}
    for item in found.scored:
        source = known[item.pool]
        assert not unfit(told, item.pool.instance_type, source.shape)
        assert item.risk is None or item.risk <= told.most_risk
        assert source.price is not None
        assert source.on_demand is None or source.price <= source.on_demand


@given(needs, sets, st.randoms(use_true_random=False))
def test_the_order_in_which_pools_come_does_not_matter(told: Need, pools: list[Candidate], random: Any) -> None:
    shuffled = list(pools)
    random.shuffle(shuffled)
    assert look(told, shuffled) == look(told, pools)


@given(needs, sets, candidates, st.tuples(*[st.floats(0, 1)] * 3))
def test_who_is_cheaper_and_less_risky_never_ranks_behind(
    told: Need, pools: list[Candidate], bad: Candidate, better: tuple[float, float, float]
) -> None:
    """Of two pools of one type, one is better by these shares, in price, hazard and risk."""
    bad = bad._replace(price=bad.price or 7)
    good = bad._replace(
        pool=bad.pool._replace(az_id="use1-az9"),
        price=int((bad.price or 7) * better[0]),
        hazard=bad.hazard * better[1],
        risk=None if bad.risk is None else bad.risk * better[2],
    )
    others = [item for item in pools if item.pool != bad.pool]
    scored = [item.pool for item in look(told, [*others, bad, good]).scored]
    if bad.pool in scored and bad[2:] != good[2:]:
        # The better one can be missing where its family's places were taken by better ones still; then they were so
        # for the worse one too, which comes after all that are shown.
        assert scored.index(bad.pool) > (scored.index(good.pool) if good.pool in scored else MOST - 1)


@given(needs, sets, st.integers(0, MOST - 1), st.floats(0, 1))
def test_a_lower_price_never_costs_a_pool_places(told: Need, pools: list[Candidate], which: int, share: float) -> None:
    before = [item.pool for item in look(told, pools).alternates]
    if not before:
        return
    chosen = before[which % len(before)]
    lower = [item._replace(price=int((item.price or 0) * share)) if item.pool == chosen else item for item in pools]
    after = [item.pool for item in look(told, lower).alternates]
    assert chosen in after
    assert after.index(chosen) <= before.index(chosen)


@given(needs, sets, st.floats(0, 100))
def test_a_looser_cap_never_drops_the_best_price(told: Need, pools: list[Candidate], cap: float) -> None:
    strict, loose = sorted([told.most_risk, cap])
    a, b = (look(told._replace(most_risk=limit), pools) for limit in (strict, loose))
    assert a.filtered.get("risk", 0) >= b.filtered.get("risk", 0)
    assert not a.scored or b.scored[0].price <= a.scored[0].price


@given(st.integers(1, 99), st.integers(1, 99), st.integers(0, 200))
def test_nothing_is_left_exactly_where_it_runs_on_the_best(units: int, price: int, on_demand: int) -> None:
    """Prices are cents of one unit."""
    now = Standing(units, on_demand * CENT * units, float(units * price * CENT), 0)
    rate = optimisation(found_at(price), now)
    assert rate is None if on_demand <= price else rate == pytest.approx(1)
    if rate is not None:
        dearer = optimisation(found_at(price), now._replace(cost=now.cost * 1.01))
        assert dearer is not None
        assert dearer < rate
