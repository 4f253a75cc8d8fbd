"""How likely a pool's machines are taken away: from what was seen, from AWS' advice, and both as one figure.

Rates are per hour of one machine. Sources stand at the functions; SPOT.md has the definitions for readers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fleetwatch.records.spot import Advice, ListPrice, PriceStep, SpotPrices

HOUR = 3600 * 10**9
DAY = 24 * HOUR
MONTH_HOURS = 720.0
"""Of AWS' trailing month."""
BUCKETS = (0.025, 0.075, 0.125, 0.175, 0.30)
"""Share of machines interrupted within a month, the middle of each of the Spot Advisor's buckets.

The last one, over 20 %, is open. 0.30 is a choice: its lower end is 0.20, and few pools lose most machines in a month.
"""
NO_ADVICE = 0.05
"""The same where AWS says nothing of the type: the middle of its figure for all types together, under 10 %."""
CAPACITY_MEMORY = 3 * HOUR
PRICE_WINDOW = 7 * DAY
CHANGE_CAP = 0.25
"""Coefficient of variation of a price that counts as the most; spot prices have moved slowly since 2017."""


class Exposure(NamedTuple):
    """What was seen of a pool. hours: machine hours run on spot; interruptions: machines taken meanwhile."""

    hours: float = 0.0
    interruptions: int = 0


class Hazard(NamedTuple):
    """Interruptions per machine hour. None without hours. posterior: with AWS' advice as what is believed before."""

    observed: float | None
    upper: float | None
    posterior: float


class Weights(NamedTuple):
    """Of the inputs, as in the settings `spot.risk_weights`, at least 0."""

    advisor: float = 0.30
    interruption: float = 0.30
    placement: float = 0.15
    price_level: float = 0.10
    price_change: float = 0.10
    capacity: float = 0.05


class Inputs(NamedTuple):
    """Of a pool's risk, each from 0 (good) to 1 (bad); None where it is not known. The same names as Weights."""

    advisor: float | None = None
    interruption: float | None = None
    placement: float | None = None
    price_level: float | None = None
    price_change: float | None = None
    capacity: float | None = None


class Risk(NamedTuple):
    """score: 0 to 100, None where no input with a weight is known; present: how many of the six inputs are known."""

    score: float | None
    present: int


def hazard(exposure: Exposure, advice: Advice | None, prior_hours: float) -> Hazard:
    """Interruptions per machine hour: observed n/H, its upper 95 % bound, and the posterior mean.

    The prior is a gamma distribution worth `prior_hours` of machine time (above 0), with the advice as its mean.
    """
    hours, seen = exposure.hours, exposure.interruptions
    return Hazard(
        seen / hours if hours > 0 else None,
        upper_bound(seen, hours),
        (advised(advice) * prior_hours + seen) / (prior_hours + max(hours, 0.0)),
    )


def upper_bound(interruptions: int, hours: float, level: float = 0.95) -> float | None:
    """The rate that, were it true, would give so few interruptions with a chance of only 1 - level; None without hours.

    One-sided and exact (Garwood, Biometrika 28, 1936). Without any interruption it is 3.0 / hours, the rule of three.
    """
    if not 0.5 <= level < 1:
        raise ValueError(f"level: expected 0.5 or more and less than 1, got {level}")
    if hours <= 0:
        return None
    low = float(interruptions)  # at least half of all counts are at or below their mean
    high = low + 1
    while _at_most(interruptions, high) > 1 - level:
        high += high - low + 1
    for _ in range(100):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _at_most(interruptions, middle) > 1 - level:
            low = middle
        else:
            high = middle
    return high / hours


def advised(advice: Advice | None) -> float:
    """Interruptions per machine hour by AWS' advice: a monthly share m of its bucket becomes -ln(1 - m) / 720 h."""
    share = NO_ADVICE if advice is None else BUCKETS[min(max(advice.bucket, 0), len(BUCKETS) - 1)]
    return -math.log1p(-share) / MONTH_HOURS


def within(rate: float, hours: float) -> float:
    """Chance of at least one interruption within these hours, 1 - exp(-rate x hours)."""
    return -math.expm1(-rate * hours)


def variation(steps: tuple[PriceStep, ...], now: int) -> float | None:
    """Coefficient of variation of a price over the last 7 days, each price weighted by how long it held.

    None where the known steps cover less than one day of them.
    """
    begin = now - PRICE_WINDOW
    held: list[tuple[int, int]] = []
    for place, step in enumerate(steps):
        until = steps[place + 1].at if place + 1 < len(steps) else now
        length = min(until, now) - max(step.at, begin)
        if length > 0:
            held.append((length, step.price))
    total = sum(length for length, _ in held)
    if total < DAY:
        return None
    mean = sum(length * price for length, price in held) / total
    if mean <= 0:
        return None
    return math.sqrt(sum(length * (price - mean) ** 2 for length, price in held) / total) / mean


def inputs(
    exposure: Exposure,
    advice: Advice | None,
    prior_hours: float,
    now: int,
    *,
    prices: SpotPrices | None = None,
    list_price: ListPrice | None = None,
    score: int | None = None,
    capacity_error: int | None = None,
    is_used: bool = False,
) -> Inputs:
    """The inputs of a pool's risk from what is known of it.

    score: placement score, 1 to 10; capacity_error: when the pool last had no capacity, Unix nanoseconds; is_used: the
    workplace has machines there, so an error would have been seen: without one the capacity is known to be good.
    """
    level = change = None
    if prices is not None and prices.steps:
        if list_price is not None and list_price.price > 0:
            level = _share(prices.steps[-1].price / list_price.price)
        varied = variation(prices.steps, now)
        change = None if varied is None else _share(varied / CHANGE_CAP)
    is_anything_known = advice is not None or exposure.hours > 0 or exposure.interruptions > 0
    return Inputs(
        None if advice is None else _share(advice.bucket / (len(BUCKETS) - 1)),
        within(hazard(exposure, advice, prior_hours).posterior, 24) if is_anything_known else None,
        None if score is None else _share((10 - score) / 9),
        level,
        change,
        _capacity(capacity_error, now, is_used=is_used),
    )


def risk(known: Inputs, weights: Weights = Weights()) -> Risk:  # noqa: B008 - a tuple cannot change
    """100 x the weighted mean of the known inputs, each held within 0 and 1."""
    weight = total = 0.0
    for value, its_weight in zip(known, weights, strict=True):
        if value is not None:
            weight += its_weight
            total += its_weight * _share(value)
    present = sum(value is not None for value in known)
    # Sums of floats may end a hair above the sum of the weights.
    return Risk(100 * _share(total / weight) if weight > 0 else None, present)


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _capacity(error: int | None, now: int, *, is_used: bool) -> float | None:
    if error is not None and now - error < CAPACITY_MEMORY:
        return 1.0
    return 0.0 if is_used else None


def _at_most(count: int, mean: float) -> float:
    """Chance that a Poisson count is at most this, for means of at least `count`: its terms fall from there down."""
    term = total = 1.0
    for k in range(count, 0, -1):
        term *= k / mean
        total += term
        if term < 1e-17 * total:
            break
    return total * math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) if mean > 0 else 1.0
