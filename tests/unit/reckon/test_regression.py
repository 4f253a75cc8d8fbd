"""The last runs against those before them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetwatch.reckon.measures import MEASURES
from fleetwatch.reckon.regression import FLOORS, Finding, regress
from fleetwatch.records.pipelines import RunWithPhases, Tally, Usage
from support_runs import execution, run

DAY = 86_400


def history(
    seconds: Callable[[int, random.Random], float], runs: int = 60, items: Callable[[int], int] = lambda age: 1000
) -> list[RunWithPhases]:
    """One phase each; age 0 is the newest run."""
    draw = random.Random(11)
    found = []
    for age in range(runs):
        start = -age * DAY
        took = seconds(age, draw)
        phase = execution("train", start, start + took, tally=Tally(items_out=items(age)))
        found.append(run(f"r{age}", start + took + 1, [phase], start=start))
    return found


def noisy(median: float, draw: random.Random, noise: float = 0.1) -> float:
    return median * math.exp(draw.gauss(0, noise))


def finding(runs: Sequence[RunWithPhases], phase: str = "train", measure: str = "duration") -> Finding:
    return next(one for one in regress(runs, 5) if (one.phase, one.measure) == (phase, measure))


def test_a_phase_that_takes_half_as_long_again_is_slower_and_so_is_its_run() -> None:
    runs = history(lambda age, draw: noisy(150 if age < 5 else 100, draw))
    for phase in ("train", ""):
        found = finding(runs, phase)
        assert found.is_change
        assert found.change == pytest.approx(1.5, rel=0.1)
        assert (found.recent_n, found.baseline_n) == (5, 55)
        assert found.recent == pytest.approx(150, rel=0.1)
        assert found.baseline == pytest.approx(100, rel=0.1)
    assert finding(runs, measure="throughput").change == pytest.approx(1 / 1.5, rel=0.1)
    assert finding(runs, measure="throughput").is_change


def test_one_that_became_faster_is_told_as_well() -> None:
    found = finding(history(lambda age, draw: noisy(50 if age < 5 else 100, draw)))
    assert (found.is_change, found.change < 0.6) == (True, True)


def test_noise_is_no_change() -> None:
    found = finding(history(lambda age, draw: noisy(100, draw, 0.3)))
    assert not found.is_change
    assert not found.explained_by_items


def test_one_outlier_is_no_change() -> None:
    assert not finding(history(lambda age, draw: 2000 if age == 1 else noisy(100, draw))).is_change


def test_two_outliers_are_none_either() -> None:
    assert not finding(history(lambda age, draw: 2000 if age in {0, 1} else noisy(100, draw))).is_change


def test_what_was_as_slow_for_days_before_is_no_change() -> None:
    """Slow weeks come and go: five slow runs in a row are nothing new."""
    runs = history(lambda age, draw: noisy(150 if age // 5 % 3 == 0 else 100, draw, 0.05), runs=100)
    found = finding(runs)
    assert found.change > 1.3
    assert not found.is_change


def test_a_smaller_change_is_seen_when_it_lasts() -> None:
    runs = history(lambda age, draw: noisy(140 if age < 15 else 100, draw, 0.15), runs=100)
    found = finding(runs)
    assert (found.is_change, found.recent_n) == (True, 15)


def test_a_new_level_becomes_the_usual_one() -> None:
    assert not finding(history(lambda age, draw: noisy(150 if age < 50 else 100, draw), runs=100)).is_change


@pytest.mark.parametrize(("factor", "is_change"), [(1.1, False), (1.4, True)])
def test_less_than_a_fifth_is_not_worth_a_word(factor: float, is_change: bool) -> None:
    runs = history(lambda age, draw: noisy(100 * factor if age < 5 else 100, draw, 0.001))
    assert finding(runs).is_change is is_change


def test_seconds_are_not_worth_a_word_either() -> None:
    found = finding(history(lambda age, draw: 4 if age < 5 else 2))
    assert (found.change, found.is_change) == (2, False)


def test_too_few_runs_say_nothing() -> None:
    assert regress(history(lambda age, draw: 100, runs=19), 5) == []
    assert finding(history(lambda age, draw: 100, runs=20)).baseline_n == 15


def test_twice_the_items_explain_twice_the_time() -> None:
    """Its size varied before too, and its time with it."""
    sizes = [round(1000 * math.exp(random.Random(age).gauss(0, 0.15))) for age in range(60)]

    def items(age: int) -> int:
        return sizes[age] * (2 if age < 5 else 1)

    found = finding(history(lambda age, draw: noisy(items(age) / 10, draw, 0.03), items=items))
    assert found.change == pytest.approx(2, rel=0.2)
    assert (found.is_change, found.explained_by_items) == (False, True)


def test_a_slower_phase_is_seen_behind_the_noise_of_its_items() -> None:
    sizes = [round(1000 * math.exp(random.Random(age).gauss(0, 0.5))) for age in range(60)]
    found = finding(
        history(lambda age, draw: noisy(sizes[age] / (6 if age < 5 else 10), draw, 0.03), items=lambda age: sizes[age])
    )
    assert (found.is_change, found.explained_by_items) == (True, False)


def test_failed_runs_count_for_errors_alone() -> None:
    def one(age: int) -> RunWithPhases:
        is_bad = age < 5
        phase = execution(
            "load",
            -age * DAY,
            -age * DAY + (900 if is_bad else 100),
            "failure" if is_bad else "success",
            tally=Tally(items_out=1000, errors=(("E", 200 if is_bad else 10),)),
        )
        return run(f"r{age}", -age * DAY + 1000, [phase], "failure" if is_bad else "success", -age * DAY)

    found = regress([one(age) for age in range(40)], 5)
    assert [(each.phase, each.measure) for each in found if each.is_change] == [("load", "error_rate")]
    assert not next(each for each in found if each.measure == "duration").is_change


def test_errors_that_never_were_are_a_change_without_bound() -> None:
    def one(age: int) -> RunWithPhases:
        errors = (("E", 50),) if age < 5 else ()
        phase = execution("load", -age * DAY, -age * DAY + 10, tally=Tally(items_out=1000, errors=errors))
        return run(f"r{age}", -age * DAY + 10, [phase], start=-age * DAY)

    found = finding([one(age) for age in range(40)], "load", "error_rate")
    assert found.change == math.inf
    assert found.is_change


def test_a_few_errors_of_few_items_are_chance() -> None:
    draw = random.Random(2)

    def one(age: int) -> RunWithPhases:
        errors = sum(draw.random() < 0.02 for _ in range(100))
        phase = execution("load", -age * DAY, -age * DAY + 10, tally=Tally(items_out=100, errors=(("E", errors),)))
        return run(f"r{age}", -age * DAY + 10, [phase], start=-age * DAY)

    runs = [one(age) for age in range(300)]
    assert not any(finding(runs[newest : newest + 100], "load", "error_rate").is_change for newest in range(200))


def test_a_phase_that_is_gone_is_told_no_more() -> None:
    runs = history(lambda age, draw: noisy(150 if age < 25 else 100, draw))
    without = [run(f"n{n}", 10 + n * DAY, start=n * DAY) for n in range(20, 0, -1)]
    assert {one.phase for one in regress([*without, *runs], 5)} == {""}


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.floats(0, 1e5), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**12)),
        min_size=20,
        max_size=60,
    )
)
def test_whatever_the_values_a_finding_holds_what_it_says(values: list[tuple[float, int, int, int]]) -> None:
    runs = [
        run(
            f"r{age}",
            took - age * DAY,
            [
                execution(
                    "x",
                    -age * DAY,
                    took - age * DAY,
                    tally=Tally(items_out=items, errors=(("E", errors),)),
                    usage=Usage(cpu=memory, memory_peak=memory),
                    machine_cost=memory,
                )
            ],
            start=-age * DAY,
        )
        for age, (took, items, errors, memory) in enumerate(values)
    ]
    for found in regress(runs, 5):
        assert found.measure in MEASURES
        assert found.recent_n + found.baseline_n <= len(values)
        assert not (found.is_change and found.explained_by_items)
        if found.is_change:
            assert not 1 / 1.2 < found.change < 1.2
            assert abs(found.recent - found.baseline) >= FLOORS[found.measure]
        if math.isfinite(found.change):
            assert found.change * found.baseline == pytest.approx(found.recent, rel=1e-9, abs=1e-9)
