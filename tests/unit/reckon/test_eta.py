"""When a run will be done."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwatch.reckon.eta import Past, Prediction, Quantiles
from fleetwatch.records.pipelines import Phase, RunWithPhases, Tally
from support_runs import SECOND, at, execution, line, run

DAY = 86_400


def past(*phases: tuple[str, float], runs: int = 20, noise: float = 0.0) -> list[RunWithPhases]:
    """Runs of phases one after the other, a day apart."""
    draw = random.Random(1)
    return [
        line(f"r{day}", *((name, took * (1 + noise * draw.uniform(-1, 1))) for name, took in phases), start=-day * DAY)
        for day in range(1, runs + 1)
    ]


def predict(history: Iterable[RunWithPhases], now: float, *phases: Phase) -> Prediction:
    told = Past.of(history).predict(run("now", None, phases), at(now))
    assert told is not None
    return told


def seconds(quantiles: Quantiles) -> tuple[float, float]:
    return quantiles.p50 / SECOND, quantiles.p90 / SECOND


THREE = (("load", 100.0), ("train", 300.0), ("write", 50.0))


def test_what_is_left_is_the_rest_of_the_phase_and_what_comes_after_it() -> None:
    told = predict(past(*THREE), 120, execution("load", 0, 100), execution("train", 100, None))
    assert seconds(told.run) == pytest.approx((330, 330))
    assert seconds(told.phases["train"]) == pytest.approx((280, 280))
    assert (told.overdue, told.past_runs, list(told.phases)) == (0, 20, ["train"])


def test_between_two_phases_and_before_the_first_it_goes_on_as_well() -> None:
    assert seconds(predict(past(*THREE), 110, execution("load", 0, 100)).run) == pytest.approx((350, 350))
    assert seconds(predict(past(*THREE), 40).run) == pytest.approx((410, 410))


def test_fewer_than_five_runs_that_ended_well_predict_nothing() -> None:
    failed = [run(f"f{n}", 10, result="failure", start=-n) for n in range(20)]
    four = past(*THREE, runs=4)
    assert Past.of([*failed, *four]).predict(run("now", None), at(1)) is None
    assert Past.of([*failed, *past(*THREE, runs=5)]).predict(run("now", None), at(1)) is not None
    assert Past.of(past(*THREE)).predict(run("done", 10), at(11)) is None


def test_parallel_phases_are_waited_for_by_what_needs_them() -> None:
    """A and b begin together, c needs both; in the past a was the last one, now it is b."""

    def one(name: str, start: float) -> RunWithPhases:
        a, b = execution("a", start, start + 100), execution("b", start, start + 60)
        return run(name, start + 150, [a, b, execution("c", start + 100, start + 150)], start=start)

    history = [one(f"r{day}", -day * DAY) for day in range(1, 20)]
    told = predict(history, 110, execution("a", 0, 80), execution("b", 70, None))
    # b takes 60 from 70 on, then c takes 50.
    assert seconds(told.run) == pytest.approx((70, 70))


def test_of_two_branches_the_one_that_it_took_counts() -> None:
    full = [line(f"f{d}", ("load", 10), ("full", 1000), ("write", 10), start=-d * DAY) for d in range(2, 42, 2)]
    quick = [line(f"q{d}", ("load", 10), ("quick", 30), ("write", 10), start=-d * DAY) for d in range(1, 41, 2)]
    told = predict([*full, *quick], 20, execution("load", 0, 10), execution("quick", 10, None))
    assert seconds(told.run) == pytest.approx((30, 30))
    skipped = predict([*full, *quick], 15, execution("load", 0, 10), execution("write", 10, None))
    assert skipped.run.p90 < 20 * SECOND


def test_a_phase_that_was_passed_over_does_not_come_again() -> None:
    told = predict(past(*THREE), 110, execution("load", 0, 100), execution("write", 100, None))
    assert seconds(told.run) == pytest.approx((40, 40))


def test_p50_and_p90_are_quantiles_of_the_past() -> None:
    history = [line(f"r{n}", ("only", float(n)), start=-n * DAY) for n in range(100, 200)]
    p50, p90 = seconds(predict(history, 0, execution("only", 0, None)).run)
    assert 110 < p50 < 150 < p90 < 199


def test_a_phase_that_took_so_long_already_takes_no_less() -> None:
    history = [line(f"r{n}", ("only", 100.0 if n % 2 else 1000.0), start=-n * DAY) for n in range(1, 41)]
    before = predict(history, 50, execution("only", 0, None))
    after = predict(history, 200, execution("only", 0, None))
    assert seconds(before.run)[1] == pytest.approx(950)
    assert seconds(after.run) == pytest.approx((800, 800))


def test_past_the_p90_nothing_is_left_and_it_is_overdue() -> None:
    told = predict(past(("only", 100), noise=0.1), 130, execution("only", 0, None))
    assert told.run == Quantiles(0, 0)
    assert told.phases == {"only": Quantiles(0, 0)}
    assert 18 * SECOND < told.overdue < 30 * SECOND


def test_a_phase_past_its_p90_leaves_what_comes_after_it() -> None:
    told = predict(past(*THREE, noise=0.05), 130, execution("load", 0, None))
    assert told.phases["load"] == Quantiles(0, 0)
    assert told.overdue == 0
    assert seconds(told.run)[0] == pytest.approx(350, rel=0.05)


def test_a_run_without_phases_is_predicted_as_a_whole() -> None:
    history = [run(f"r{n}", 60 - n * DAY, start=-n * DAY) for n in range(1, 10)]
    assert seconds(predict(history, 20).run) == pytest.approx((40, 40))
    assert predict(history, 100).overdue == 40 * SECOND


def test_phases_that_nobody_knows_change_nothing_and_tell_their_own_items() -> None:
    told = predict(past(*THREE), 50, execution("strange", 0, None))
    assert seconds(told.run) == pytest.approx((400, 400))
    busy = execution("strange", 0, None, tally=Tally(items_out=100, expected=2000))
    told = predict(past(*THREE), 50, busy)
    assert seconds(told.phases["strange"]) == pytest.approx((950, 1309), rel=0.01)
    assert seconds(told.run) == pytest.approx((950, 950))


@pytest.mark.parametrize(("items", "least", "most"), [(40, 279, 281), (100, 230, 250), (900, 130, 145)])
def test_items_are_believed_the_more_the_further_they_are(items: int, least: float, most: float) -> None:
    """20 s of usually 300, or 1,200 where it is nearly done; 1,000 items are expected."""
    now = 20 if items < 900 else 1200
    told = predict(
        past(("train", 300.0)), now, execution("train", 0, None, tally=Tally(items_out=items, expected=1000))
    )
    if items < 900:
        assert least <= told.run.p50 / SECOND <= most
    else:
        # History says it should be over; its items say that a tenth is left.
        assert told.run.p50 / SECOND == pytest.approx(1200 / 9 * 0.9 / 1.05, rel=0.03)
        assert told.overdue == 900 * SECOND


def test_attempts_and_parallel_executions_of_a_phase_are_one() -> None:
    """The last of the shards counts; a second attempt has been under way since the first."""
    shards = [execution("map", 0, 20), execution("map", 0, None), execution("map", 5, None)]
    told = predict(past(("map", 100), ("reduce", 10)), 50, *shards)
    assert seconds(told.run) == pytest.approx((60, 60))


def test_a_slow_run_stays_slow_where_past_ones_did() -> None:
    draw = random.Random(5)
    pace = [draw.uniform(0.5, 2) for _ in range(40)]
    alike = [
        line(f"r{n}", ("a", 100 * factor), ("b", 300 * factor), start=-n * DAY) for n, factor in enumerate(pace, 1)
    ]
    loose = [
        line(f"r{n}", ("a", 100 * factor), ("b", 300 * other), start=-n * DAY)
        for n, (factor, other) in enumerate(zip(pace, pace[20:] + pace[:20], strict=True), 1)
    ]
    here = execution("a", 0, 180)
    assert predict(alike, 180, here).run.p50 / SECOND == pytest.approx(540, rel=0.05)
    assert predict(loose, 180, here).run.p50 / SECOND == pytest.approx(350, rel=0.25)


def test_last_weeks_runs_weigh_more_than_those_long_ago() -> None:
    old = [line(f"o{n}", ("only", 100.0), start=-n * DAY) for n in range(41, 101)]
    new = [line(f"n{n}", ("only", 200.0), start=-n * DAY) for n in range(1, 41)]
    assert seconds(predict([*old, *new], 0, execution("only", 0, None)).run)[0] == pytest.approx(200)


def test_a_clock_that_jumped_back_predicts_still() -> None:
    told = predict(past(*THREE), -500, execution("load", 0, None))
    assert told.run.p50 >= 450 * SECOND


PHASES = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.floats(0, 1e4), st.floats(0, 1e4), st.booleans()), max_size=12
)


@settings(deadline=None)
@given(st.lists(PHASES, min_size=5, max_size=12), PHASES, st.floats(-1e3, 1e5))
def test_whatever_came_before_it_says_something_sane(
    history: list[list[tuple[str, float, float, bool]]], now: list[tuple[str, float, float, bool]], clock: float
) -> None:
    """Phases in any order, overlapping, repeated; ends before the last phase's end."""
    runs = [
        run(
            f"r{n}",
            5000 - n * DAY,
            [execution(p, s - n * DAY, s + d - n * DAY) for p, s, d, _ in one],
            start=-n * DAY,
        )
        for n, one in enumerate(history, 1)
    ]
    here = [execution(p, s, None if still else s + d) for p, s, d, still in now]
    told = predict(runs, clock, *here)
    for quantiles in (told.run, *told.phases.values()):
        assert 0 <= quantiles.p50 <= quantiles.p90
    assert told.overdue >= 0
    assert told.overdue == 0 or told.run == Quantiles(0, 0)
    known = {p for phases in history for p, *_ in phases}
    assert set(told.phases) == {p for p, _, _, still in now if still} & known


def test_a_name_of_a_phase_for_each_run_does_not_grow_without_bound() -> None:
    names = itertools.count()
    history = [
        line(f"r{n}", ("load", 10), *((f"x{next(names)}", 1.0) for _ in range(20)), start=-n * DAY)
        for n in range(1, 101)
    ]
    told = predict(history, 5, execution("load", 0, None))
    assert told.run.p50 >= 5 * SECOND
