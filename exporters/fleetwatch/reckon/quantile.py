"""Quantiles from counts per bucket."""

from __future__ import annotations

import math
from collections.abc import Sequence


def quantile(share: float, bounds: Sequence[float], counts: Sequence[float]) -> float | None:
    """The value below which a share (0 to 1) of all observations lies; None where there are none.

    bounds: upper bounds, ascending, the last may be infinite; counts: observations at or below each, ascending.
    Linear inside a bucket, as Prometheus' histogram_quantile: the first begins at 0 where its bound is above 0, and
    what lies in the infinite one is at its lower bound.
    """
    total = counts[-1] if counts else 0
    if total <= 0:
        return None
    rank = share * total
    place = next(place for place, count in enumerate(counts) if count >= rank)
    upper = bounds[place]
    if math.isinf(upper):
        return bounds[place - 1] if place else None
    if not place and upper <= 0:
        return upper
    lower, below = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0)
    inside = counts[place] - below
    return upper if inside <= 0 else lower + (upper - lower) * (rank - below) / inside
