"""Statistics that a few odd values do not move: medians, spreads, quantiles with weights, a test of ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence

MAD_OF_NORMAL = 1.4826
"""Standard deviation over median absolute deviation, of normal values."""


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two; ValueError where there are none."""
    if not values:
        raise ValueError("median of nothing")
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def spread(values: Sequence[float], centre: float | None = None) -> float:
    """Standard deviation, estimated by the median distance from the median; 0 where half of the values are equal."""
    middle = median(values) if centre is None else centre
    return MAD_OF_NORMAL * median([abs(value - middle) for value in values])


def quantile(share: float, values: Sequence[float]) -> float:
    """The value below which a share (0 to 1) lies, linear between values; ValueError where there are none.

    Hyndman and Fan (1996), type 7, as spreadsheets have it.
    """
    if not values:
        raise ValueError("quantile of nothing")
    ordered = sorted(values)
    rank = share * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def next_below(share: float, values: Sequence[tuple[float, float]]) -> float:
    """The value that the next one will not be above with a chance of `share`; values: (value, weight), weights > 0.

    Of n values without weights it is the one of rank share * (n + 1): the next value is as likely to fall into any of
    the n + 1 gaps (Hyndman and Fan (1996), type 6). With weights n is the effective number, (sum w)^2 / sum w^2. Never
    beyond the largest and smallest value. ValueError where there are none.
    """
    if not values:
        raise ValueError("quantile of nothing")
    ordered = sorted(values)
    total = sum(weight for _, weight in ordered)
    # Each value stands at the middle of its weight: of equal ones at rank - 1/2.
    count = total * total / sum(weight * weight for _, weight in ordered)
    wanted = total * (share * (count + 1) - 0.5) / count
    reached = 0.0
    before: tuple[float, float] | None = None
    for value, weight in ordered:
        here = reached + weight / 2
        if here >= wanted:
            if before is None:
                return value
            place, earlier = before
            return earlier + (value - earlier) * (wanted - place) / (here - place)
        before = here, value
        reached += weight
    return ordered[-1][0]


def ranks_differ(some: Sequence[float], others: Sequence[float]) -> float:
    """Chance that samples of one population differ so much in rank, two-sided (Mann and Whitney, 1947).

    By the normal approximation with the corrections for ties and continuity; 1 where either is empty or all are equal.
    """
    n, m = len(some), len(others)
    if not n or not m:
        return 1.0
    merged = sorted([(value, True) for value in some] + [(value, False) for value in others])
    rank_sum, ties, place = 0.0, 0.0, 0
    while place < len(merged):
        end = place
        while end < len(merged) and merged[end][0] == merged[place][0]:
            end += 1
        equal = end - place
        rank_sum += (place + end + 1) / 2 * sum(is_some for _, is_some in merged[place:end])
        ties += equal**3 - equal
        place = end
    u = rank_sum - n * (n + 1) / 2
    total = n + m
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def slope(xs: Sequence[float], ys: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """Of y on x, both logarithms, by weighted least squares; cut by how sure it is: times adjusted R^2 over R^2.

    0 to 1.2; 0 where there is nothing to fit (x or y vary by less than 0.1 %), or y falls with x.
    """
    if len(xs) < 3:
        return 0.0
    weights = weights or [1.0] * len(xs)
    total = sum(weights)
    x_mean = sum(x * weight for x, weight in zip(xs, weights, strict=True)) / total
    y_mean = sum(y * weight for y, weight in zip(ys, weights, strict=True)) / total
    xx = xy = yy = 0.0
    for x, y, weight in zip(xs, ys, weights, strict=True):
        dx, dy = x - x_mean, y - y_mean
        xx += weight * dx * dx
        xy += weight * dx * dy
        yy += weight * dy * dy
    if min(xx, yy) <= 1e-6 * total or xy <= 0:
        return 0.0
    explained = xy * xy / (xx * yy)
    adjusted = max(0.0, 1 - (1 - explained) * (len(xs) - 1) / (len(xs) - 2))
    return min(1.2, xy / xx * adjusted / explained)
