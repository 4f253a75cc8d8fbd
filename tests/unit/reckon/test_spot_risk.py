"""Risk of a pool: rates and their bounds by their definitions, and what holds for any inputs."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.spot_risk import (
    BUCKETS,
    CHANGE_CAP,
    DAY,
    HOUR,
    NO_ADVICE,
    Exposure,
    Inputs,
    Risk,
    Weights,
    advised,
    hazard,
    inputs,
    risk,
    upper_bound,
    variation,
    within,
)
from fleetwatch.records.spot import Advice, ListPrice, PriceStep, SpotPrices

NOW = 1_790_000_000 * 10**9
PRIOR = 720.0


def advice(bucket: int) -> Advice:
    return Advice(bucket, 0.6, NOW)


# --- rates


def at_most(count: int, mean: float) -> float:
    """Chance of so many or fewer events, a Poisson distribution summed term by term in 60 digits."""
    with localcontext(prec=60):
        told, term, total = Decimal(mean), Decimal(1), Decimal(0)
        for k in range(count + 1):
            term = term * told / k if k else term
            total += term
        return float(total * (-told).exp())


@pytest.mark.parametrize(
    ("count", "bound"),
    [(0, 2.995732274), (1, 4.743864518), (2, 6.295793622), (3, 7.753656528), (7, 13.148113802), (20, 29.062018840)],
)
def test_the_upper_bound_is_that_of_the_tables(count: int, bound: float) -> None:
    """Half of the 95 % quantile of chi-squared with 2 n + 2 degrees of freedom."""
    assert upper_bound(count, 1.0) == pytest.approx(bound, abs=1e-9)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 150, 3000])
def test_at_the_upper_bound_so_few_are_just_as_unlikely_as_told(count: int, level: float) -> None:
    bound = upper_bound(count, 1.0, level)
    assert bound is not None
    assert at_most(count, bound) == pytest.approx(1 - level, rel=1e-9)


@given(st.integers(0, 200), st.floats(0.01, 1e6))
def test_the_upper_bound_scales_with_the_hours(count: int, hours: float) -> None:
    bound, of_one = upper_bound(count, hours), upper_bound(count, 1.0)
    assert bound is not None
    assert of_one is not None
    assert bound == pytest.approx(of_one / hours)
    assert bound > count / hours


def test_no_interruption_is_the_rule_of_three() -> None:
    assert upper_bound(0, 300.0) == pytest.approx(3 / 300, rel=0.002)
    assert upper_bound(0, 0.0) is None


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"level: expected 0\.5 or more and less than 1, got 95"):
        upper_bound(1, 1.0, 95)


def test_advice_is_a_share_of_a_month() -> None:
    """Someone told 7.5 % a month: 7.5 % are gone after 720 hours at that rate."""
    assert within(advised(advice(1)), 720) == pytest.approx(0.075)
    assert within(advised(None), 720) == pytest.approx(NO_ADVICE)
    rates = [advised(advice(bucket)) for bucket in range(len(BUCKETS))]
    assert rates == sorted(rates)


def test_the_posterior_by_hand() -> None:
    """12.5 % a month are 0.13353 in 720 hours; four more in 1000 hours more."""
    found = hazard(Exposure(1000.0, 4), advice(2), PRIOR)
    assert found.posterior == pytest.approx((0.1335313926 + 4) / 1720)
    assert found.observed == pytest.approx(0.004)
    assert found.upper == pytest.approx(9.1535190 / 1000)


def test_advice_alone_is_the_posterior_where_nothing_ran() -> None:
    assert hazard(Exposure(), advice(3), PRIOR) == (None, None, advised(advice(3)))


@given(st.integers(0, 50), st.floats(1e-3, 1e6), st.integers(0, 4), st.floats(1, 1e5))
def test_the_posterior_lies_between_advice_and_what_was_seen(
    count: int, hours: float, bucket: int, prior: float
) -> None:
    found = hazard(Exposure(hours, count), advice(bucket), prior)
    assert found.observed is not None
    ends = sorted([found.observed, advised(advice(bucket))])
    assert ends[0] * (1 - 1e-9) <= found.posterior <= ends[1] * (1 + 1e-9)
    more = hazard(Exposure(hours, count + 1), advice(bucket), prior)
    assert more.posterior > found.posterior


# --- how much a price varied


def steps(*told: tuple[float, int]) -> tuple[PriceStep, ...]:
    """(days before now, price)."""
    return tuple(PriceStep(NOW - int(days * DAY), price) for days, price in told)


def test_a_price_that_stays_does_not_vary() -> None:
    assert variation(steps((9, 5)), NOW) == 0


def test_each_price_weighs_as_long_as_it_held() -> None:
    """Two days at 20, five at 10: mean 90/7; what was before the seven days does not matter."""
    mean = 90 / 7
    spread = math.sqrt((2 * (20 - mean) ** 2 + 5 * (10 - mean) ** 2) / 7)
    assert variation(steps((9, 999), (8, 20), (5, 10)), NOW) == pytest.approx(spread / mean)


def test_less_than_a_day_says_nothing() -> None:
    assert variation(steps((0.9, 5), (0.5, 50)), NOW) is None
    assert variation((), NOW) is None
    assert variation(steps((3, 0)), NOW) is None


# --- inputs


def test_inputs_of_what_is_known() -> None:
    prices = SpotPrices(steps((9, 40), (3.5, 60)), NOW)
    found = inputs(
        Exposure(100.0, 1),
        advice(3),
        PRIOR,
        NOW,
        prices=prices,
        list_price=ListPrice(120, NOW),
        score=4,
        capacity_error=NOW - HOUR,
        is_used=True,
    )
    rate = (advised(advice(3)) * PRIOR + 1) / (PRIOR + 100)
    assert found == pytest.approx((0.75, 1 - math.exp(-24 * rate), 6 / 9, 0.5, 0.2 / CHANGE_CAP, 1))


def test_nothing_known_is_no_risk_told() -> None:
    nothing = inputs(Exposure(), None, PRIOR, NOW)
    assert nothing == Inputs()
    assert risk(nothing) == Risk(None, 0)
    # One that was never seen to fail there, where nobody has asked, is not known to be good.
    assert inputs(Exposure(), None, PRIOR, NOW, is_used=True).capacity == 0
    assert inputs(Exposure(), None, PRIOR, NOW, capacity_error=NOW - 4 * HOUR).capacity is None


def test_inputs_beyond_their_range_are_held_within() -> None:
    found = inputs(
        Exposure(), None, PRIOR, NOW, prices=SpotPrices(steps((9, 40)), NOW), list_price=ListPrice(10, NOW), score=1
    )
    assert (found.price_level, found.placement) == (1, 1)


# --- the score

shares = st.floats(0, 1)
weights = st.builds(Weights, *[st.floats(0, 1)] * 6)
known = st.builds(Inputs, *[st.none() | shares] * 6)
NAMES = st.sampled_from(Inputs._fields)


def test_the_score_by_hand() -> None:
    everything = Inputs(1, 0.1, 0.5, 0.4, 0.2, 0)
    assert risk(everything).score == pytest.approx(30 + 3 + 7.5 + 4 + 2)
    assert risk(everything).present == 6
    some = risk(everything._replace(placement=None, capacity=None))
    assert some.score == pytest.approx(39 / 0.8)
    assert some.present == 4
    assert risk(Inputs(*[1.0] * 6)).score == 100
    assert risk(Inputs(*[0.0] * 6)).score == 0


@given(known, weights)
def test_the_score_is_between_0_and_100(some: Inputs, by: Weights) -> None:
    found = risk(some, by)
    assert found.present == sum(value is not None for value in some)
    is_weighed = any(value is not None and weight > 0 for value, weight in zip(some, by, strict=True))
    assert (found.score is None) is not is_weighed
    assert found.score is None or 0 <= found.score <= 100


@given(known, weights, NAMES, shares, shares)
def test_a_worse_input_never_makes_the_score_better(some: Inputs, by: Weights, name: str, x: float, y: float) -> None:
    a, b = (risk(some._replace(**{name: value}), by).score for value in sorted((x, y)))
    assert a is b is None or (a is not None and b is not None and b >= a - 1e-9)


@given(st.lists(st.tuples(shares, shares), min_size=6, max_size=6), weights, st.sets(NAMES, max_size=5))
def test_who_is_worse_in_everything_known_is_never_less_risky(
    pairs: list[tuple[float, float]], by: Weights, missing: set[str]
) -> None:
    """Also where the same inputs are missing of both."""
    gone = dict.fromkeys(missing)
    good = Inputs(*[min(pair) for pair in pairs])._replace(**gone)
    bad = Inputs(*[max(pair) for pair in pairs])._replace(**gone)
    a, b = risk(good, by).score, risk(bad, by).score
    assert a is b is None or (a is not None and b is not None and b >= a - 1e-9)


@given(st.lists(known, min_size=2, max_size=6), weights, NAMES, shares)
def test_what_is_not_known_of_any_does_not_move_their_order(
    pools: list[Inputs], by: Weights, name: str, value: float
) -> None:
    """Pools of which the same inputs are known come in one order, whether one more is missing or equal for all."""
    pattern = [of is not None for of in pools[0]]
    pools = [Inputs(*[(of or 0.0) if told else None for of, told in zip(pool, pattern, strict=True)]) for pool in pools]
    without = [risk(pool._replace(**{name: None}), by).score for pool in pools]
    equal = [risk(pool._replace(**{name: value}), by).score for pool in pools]
    for place in range(len(pools) - 1):
        a, b, c, d = *without[place : place + 2], *equal[place : place + 2]
        if a is not None and b is not None and c is not None and d is not None:
            # A difference that rounding could make is none.
            assert (a - b) * (c - d) >= -1e-9


@given(st.integers(0, 3), st.floats(0, 1e5), st.integers(0, 20), st.integers(1, 9), st.integers(1, 999))
def test_worse_news_of_any_sort_never_lower_the_risk(
    bucket: int, hours: float, count: int, score: int, price: int
) -> None:
    def score_of(bucket: int, count: int, score: int, price: int, error: int | None) -> float:
        found = risk(
            inputs(
                Exposure(hours, count),
                advice(bucket),
                PRIOR,
                NOW,
                prices=SpotPrices(steps((9, price)), NOW),
                list_price=ListPrice(1000, NOW),
                score=score + 1,
                capacity_error=error,
                is_used=True,
            )
        ).score
        assert found is not None
        return found

    base = score_of(bucket, count, score, price, None)
    worse = [
        score_of(bucket + 1, count, score, price, None),
        score_of(bucket, count + 1, score, price, None),
        score_of(bucket, count, score - 1, price, None),
        score_of(bucket, count, score, price + 1, None),
        score_of(bucket, count, score, price, NOW - 1),
    ]
    assert min(worse) > base
