"""How good predictions were, and which of them are remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.app.pipelines.ring import Ends
from fleetwatch.app.pipelines.score import MOMENTS, MOST, Told
from fleetwatch.reckon.pulse import SECOND
from support_pipeline_house import START


def told(*predictions: tuple[float, float, float]) -> Told:
    """predictions: (made at, p50, p90), all in seconds after the start."""
    found = Told()
    for at, p50, p90 in predictions:
        found.add(START + int(at * SECOND), Ends(START + int(p50 * SECOND), START + int(p90 * SECOND)))
    return found


def test_a_quarter_half_and_three_quarters_are_judged() -> None:
    predictions = told((1, 500, 900), (26, 80, 120), (49, 110, 112), (74, 100, 100), (99, 1, 2))
    scores = list(predictions.scores(START, START + 100 * SECOND))
    assert [score.error for score in scores] == pytest.approx([0.2, 0.1, 0.0])
    assert [score.within for score in scores] == [True, True, True]


def test_an_end_past_the_p90_was_not_within() -> None:
    assert [score.within for score in told((50, 80, 99)).scores(START, START + 100 * SECOND)] == [False]


def test_a_moment_without_a_prediction_near_it_is_not_judged() -> None:
    """The exporter was started when most of the run was over; or the sender's clock is off by hours."""
    assert len(list(told((70, 100, 100), (90, 100, 100)).scores(START, START + 100 * SECOND))) == 1
    assert list(told((7200, 7300, 7300)).scores(START, START + 100 * SECOND)) == []


def test_a_run_that_took_no_time_is_not_judged() -> None:
    assert list(told((0, 1, 1)).scores(START, START)) == []
    assert list(Told().scores(START, START + SECOND)) == []


@given(st.integers(1, 20_000), st.floats(0.1, 60))
def test_few_are_remembered_and_yet_one_is_near_each_moment(number: int, step: float) -> None:
    predictions = told(*((place * step, number * step, number * step) for place in range(number + 1)))
    assert len(predictions._told) <= MOST
    whole = round(number * step * SECOND)
    scores = list(predictions.scores(START, START + whole))
    if number >= 10:
        assert len(scores) == len(MOMENTS)
    assert all(score.error < 1e-6 for score in scores)
