from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.robust import median, next_below, quantile, ranks_differ, slope, spread

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50)


@given(VALUES)
def test_median_and_quantile_are_those_of_the_standard_library(values: list[float]) -> None:
    assert median(values) == pytest.approx(statistics.median(values))
    if len(values) > 1:
        expected = statistics.quantiles(values, n=10, method="inclusive")
        assert [quantile(share / 10, values) for share in range(1, 10)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("reckon", [median, spread, lambda values: quantile(0.5, values)])
def test_of_nothing_there_is_none(reckon: object) -> None:
    with pytest.raises(ValueError, match="of nothing"):
        reckon([])  # type: ignore[operator]


def test_an_outlier_moves_the_spread_little() -> None:
    values = [random.Random(1).gauss(0, 2) for _ in range(1)] + [random.Random(seed).gauss(0, 2) for seed in range(999)]
    assert spread(values) == pytest.approx(2, rel=0.1)
    assert spread([*values, 1e9]) == pytest.approx(spread(values), rel=0.01)


@given(VALUES, st.floats(0.05, 0.95))
def test_with_equal_weights_the_next_value_has_its_rank_among_one_more(values: list[float], share: float) -> None:
    ordered = sorted(values)
    rank = share * (len(values) + 1)
    below = ordered[max(0, min(len(ordered) - 1, int(rank) - 1))]
    above = ordered[max(0, min(len(ordered) - 1, int(rank)))]
    assert below - 1e-3 <= next_below(share, [(value, 0.25) for value in values]) <= above + 1e-3


def test_nine_of_ten_next_values_are_below_the_p90_even_of_few() -> None:
    draw = random.Random(7)
    below = sum(draw.random() <= next_below(0.9, [(draw.random(), 1) for _ in range(19)]) for _ in range(4000))
    assert below / 4000 == pytest.approx(0.9, abs=0.015)


def test_what_weighs_little_counts_little() -> None:
    values: list[tuple[float, float]] = [(10, 1), (11, 1), (12, 1), (100, 0.001), (200, 0.001)]
    assert next_below(0.5, values) == pytest.approx(11, abs=0.01)


@pytest.mark.parametrize(
    ("some", "others", "expected"),
    [
        # The example in the documentation of SciPy's mannwhitneyu, method "asymptotic".
        ([19, 22, 16, 29, 24], [20, 11, 17, 12], 0.11134688653314041),
        ([1, 1, 1], [1, 1, 1, 1], 1),
        ([], [1, 2], 1),
        ([1, 2], [], 1),
    ],
)
def test_ranks_by_known_values(some: Sequence[float], others: Sequence[float], expected: float) -> None:
    assert ranks_differ(some, others) == pytest.approx(expected)
    assert ranks_differ(others, some) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m"), [(5, 6), (4, 8), (6, 6)])
def test_the_chance_is_near_that_of_all_orders(n: int, m: int) -> None:
    """Against every way to deal n + m ranks, counted one by one."""
    everything = range(n + m)
    centre = n * (n + m - 1) / 2
    sums = [sum(dealt) for dealt in itertools.combinations(everything, n)]
    for some in ([*range(n)], [*range(1, n), n + 2], [*range(0, 2 * n, 2)]):
        far = abs(sum(some) - centre)
        exact = sum(abs(total - centre) >= far for total in sums) / len(sums)
        others = [rank for rank in everything if rank not in some]
        assert ranks_differ(some, others) == pytest.approx(exact, abs=0.02)


def test_a_slope_is_cut_by_how_sure_it_is() -> None:
    xs = [float(x) for x in range(20)]
    assert slope(xs, [0.5 * x for x in xs]) == pytest.approx(0.5)
    draw = random.Random(3)
    noisy = slope(xs, [0.5 * x + draw.gauss(0, 3) for x in xs])
    assert 0.2 < noisy < 0.6
    alone = [abs(slope(xs, [draw.gauss(0, 1) for _ in xs])) for _ in range(200)]
    assert statistics.median(alone) == 0
    assert slope(xs, [-x for x in xs]) == 0
    assert slope(xs[:2], xs[:2]) == 0
    assert slope([1.0] * 9, xs[:9]) == 0
