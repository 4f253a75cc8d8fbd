from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.quantile import quantile

INF = math.inf


@pytest.mark.parametrize(
    ("share", "bounds", "counts", "expected"),
    [
        (0.5, [1, 2, INF], [0, 0, 0], None),
        (0.5, [], [], None),
        (0.5, [1, 2, INF], [10, 10, 10], 0.5),  # half of the first bucket, which begins at 0
        (0.95, [1, 2, INF], [0, 100, 100], 1.95),
        (0.5, [1, 2, INF], [0, 0, 10], 2),  # in the infinite one: at least so much
        (0.5, [INF], [10], None),
        (0.5, [-1, 1, INF], [10, 10, 10], -1),
        (1, [1, 2, INF], [5, 10, 10], 2),
        (0, [1, 2, INF], [0, 10, 10], 1),
    ],
)
def test_as_prometheus_reckons_it(
    share: float, bounds: list[float], counts: list[float], expected: float | None
) -> None:
    assert quantile(share, bounds, counts) == (None if expected is None else pytest.approx(expected))


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_is_never_smaller_and_all_lie_within_the_bounds(
    steps: list[int], one: float, other: float
) -> None:
    bounds = [*range(1, len(steps)), INF]
    counts = [sum(steps[: place + 1]) for place in range(len(steps))]
    low, high = quantile(min(one, other), bounds, counts), quantile(max(one, other), bounds, counts)
    if counts[-1]:
        assert low is not None
        assert high is not None
        assert 0 <= low <= high <= len(steps) - 1
