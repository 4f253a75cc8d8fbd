"""A small replay of `scripts/bench backtest`: predictions and judgements are better than the obvious ones."""

from __future__ import annotations

import statistics

from bench.backtest import guesses, ours, series_of, sigmas
from bench.histories import as_of, history, shape
from fleetwatch.reckon.regression import sample


def test_the_time_of_arrival_is_nearer_than_that_of_mean_and_median() -> None:
    found = [guess for seed in (7, 8, 9) for _, guess in guesses(shape(seed, "plain"), 60, seed)]
    ours_off, mean_off, median_off = (
        statistics.median(getattr(guess, who) for guess in found) for who in ("ours", "mean", "median")
    )
    assert ours_off < 0.8 * min(mean_off, median_off)
    assert 0.8 < statistics.fmean(guess.is_within for guess in found) <= 1


def test_where_nothing_changed_there_are_fewer_alarms_than_by_three_sigma() -> None:
    found = list(series_of([sample(run) for run in history(shape(3, "plain"), 150, 3)]))
    alarms, peers = (sum(alarm.is_new for one in found for alarm in judge(one)) for judge in (ours, sigmas))
    assert peers > 10
    assert alarms < peers / 5


def test_a_run_is_replayed_as_it_was_seen() -> None:
    pipeline = shape(7, "plain")
    whole = next(run for run in history(pipeline, 20, 7) if len(run.phases) > 2)
    second = whole.phases[1]
    before = as_of(whole, pipeline, second.started - 1)
    after = as_of(whole, pipeline, second.started)
    assert second.execution not in {phase.execution for phase in before.phases}
    seen = next(phase for phase in after.phases if phase.execution == second.execution)
    assert (seen.ended, seen.result, seen.tally.items_out) == (None, "", 0)
    assert (before.run.ended, before.run.result) == (None, "")
