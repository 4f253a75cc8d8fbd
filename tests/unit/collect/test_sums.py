"""Sums stay exact past the bounds of labels."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue.metric import OTHER, Sample, gauge, label
from fleetwatch.collect.sums import Sums
from fleetwatch.meter import Meter

TEAM, LIFE = label("team", "A team.", at_most=3), label("life", "How.", one_of=("spot", "block"))
SIZE = gauge("some.size", unit="{thing}", help="How many.", labels=(TEAM, LIFE))


def shown(samples: list[Sample]) -> dict[tuple[str, ...], float]:
    found = {sample.labels: sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def test_what_is_past_a_bound_is_added_up_the_largest_stay() -> None:
    sizes = {"a": 1, "b": 5, "c": 2, "d": 7}
    samples = [SIZE(size, team=team, life="spot") for team, size in sizes.items()]
    sums = Sums({})
    assert shown(sums.of(samples)) == {("b", "spot"): 5, ("d", "spot"): 7, (OTHER, "spot"): 3}
    # Those that were shown stay, though others have become larger.
    samples[0] = SIZE(100, team="a", life="spot")
    assert shown(sums.of(samples)) == {("b", "spot"): 5, ("d", "spot"): 7, (OTHER, "spot"): 102}
    assert set(shown(sums.of(samples[:3]))) == {("a", "spot"), ("b", "spot"), ("c", "spot")}


def test_a_word_that_nobody_knew_is_other() -> None:
    samples = [SIZE(1, team="a", life="new"), SIZE(2, team="a", life="newer"), SIZE(4, team="a", life="spot")]
    assert shown(Sums({}).of(samples)) == {("a", OTHER): 3, ("a", "spot"): 4}


def test_the_settings_bound_goes_first() -> None:
    samples = [SIZE(1, team=team, life="spot") for team in "abcde"]
    assert len(Sums({"team": 5}).of(samples)) == 5
    assert shown(Sums({"team": 2}).of(samples)) == {("a", "spot"): 1, (OTHER, "spot"): 4}


@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.sampled_from(["spot", "block", "new"]), st.integers(0, 9))))
def test_the_sum_is_that_of_the_meter_s_series(rows: list[tuple[str, str, int]]) -> None:
    sums, meter = Sums({}), Meter()
    given_sum = Counter[str]()
    for _, life, size in rows:
        given_sum[life if life in LIFE.one_of else OTHER] += size
    meter.replace("x", sums.of(SIZE(size, team=team, life=life) for team, life, size in rows))
    found = Counter[str]()
    for sample in meter.reported_by("x"):
        found[sample.labels[1]] += int(sample.value)
    assert +found == +given_sum
