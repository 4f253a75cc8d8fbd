"""Sums per period become counters: each period once, what comes late as well."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue import ai_services
from fleetwatch.collect.ai_services._counts import Counts, Key
from fleetwatch.collect.ai_services._meaning import SCALES
from fleetwatch.collect.ai_services._state import METRICS

KEY = Key(ai_services.UNPRICED, ("bedrock", "a", "prod", "eu-west-1"))


def total(counts: Counts) -> float:
    """What is shown for good: the first look shows 0."""
    list(counts.samples())
    [sample] = counts.samples()
    return sample.value


def test_a_period_that_is_read_again_is_not_counted_again() -> None:
    counts = Counts(SCALES)
    counts.take(KEY, {0: 5, 60: 7}, 0)
    counts.take(KEY, {0: 5, 60: 9, 120: 1}, 0)
    assert total(counts) == 15


def test_a_sum_that_shrinks_takes_nothing_back() -> None:
    counts = Counts(SCALES)
    counts.take(KEY, {0: 5}, 0)
    counts.take(KEY, {0: 3}, 0)
    counts.take(KEY, {0: 6}, 0)
    assert total(counts) == 6


def test_periods_before_the_first_are_not_counted() -> None:
    counts = Counts(SCALES)
    counts.take(KEY, {0: 5, 60: 7}, 60)
    assert total(counts) == 7


def test_a_settled_period_is_not_counted_again_even_when_it_is_read() -> None:
    counts = Counts(SCALES)
    counts.take(KEY, {0: 5, 60: 7}, 0)
    counts.settle(60)
    counts.take(KEY, {0: 5, 60: 8}, 0)
    assert total(counts) == 13


def test_a_new_counter_shows_zero_first() -> None:
    counts = Counts(SCALES)
    counts.take(KEY, {0: 5}, 0)
    assert [sample.value for _ in range(2) for sample in counts.samples()] == [0, 5]


def test_parts_of_a_unit_are_counted_as_whole_numbers() -> None:
    counts = Counts(SCALES)
    labels = ("comprehend", "e", "", "prod", "eu", "unit_consumed")
    counts.take(Key(ai_services.ITEMS, labels), {0: 350, 60: 1}, 0)
    assert total(counts) == 0.351


def test_a_restart_goes_on_with_what_was_counted() -> None:
    counts = Counts(SCALES)
    counts.take(KEY, {0: 5, 60: 7}, 0)
    again = Counts(SCALES)
    again.load(json.loads(json.dumps(counts.dump())), METRICS)
    again.take(KEY, {0: 5, 60: 8}, 0)
    [sample] = again.samples()
    assert (sample.labels, sample.value) == (KEY.labels, 13)


def test_a_counter_whose_series_is_gone_is_forgotten_and_begins_anew() -> None:
    counts = Counts(SCALES)
    counts.take(KEY, {0: 5}, 0, now=60)
    counts.forget(60)
    assert total(counts) == 5
    counts.forget(61)
    assert list(counts.samples()) == []
    counts.take(KEY, {1000: 2}, 900, now=1000)
    assert total(counts) == 2


def test_counters_of_another_version_begin_anew() -> None:
    counts = Counts(SCALES)
    counts.load([["ai_service.gone", ["a"], 0, 5, 0, []], [KEY.metric.name, ["too", "few"], 0, 5, 0, []]], METRICS)
    assert list(counts.samples()) == []


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.integers(0, 8)), max_size=60),
    st.integers(1, 9),
    st.sets(st.integers(0, 30)),
)
def test_whatever_comes_when_each_call_is_counted_once(
    calls: list[tuple[int, int, int]], step: int, restarts: set[int]
) -> None:
    """calls: (period, number, how many looks late). A look reads the ten newest periods; the exporter may restart."""
    counts = Counts(SCALES)
    counts.take(KEY, {}, 0)
    for look in range(31):
        start = max(0, look * step - 10)
        sums: dict[int, int] = {}
        for period, number, late in calls:
            seen_at = -(-(period + 1) // step) + late
            if seen_at <= look and start <= period < look * step:
                sums[period] = sums.get(period, 0) + number
        counts.take(KEY, sums, 0)
        counts.settle(max(0, (look + 1) * step - 10))
        if look in restarts:
            again = Counts(SCALES)
            again.load(json.loads(json.dumps(counts.dump())), METRICS)
            counts = again
    # What comes while its period is still read again is counted, and nothing else.
    in_time = 0
    for period, number, late in calls:
        first = -(-(period + 1) // step) + late
        if any(max(0, look * step - 10) <= period < look * step for look in range(first, 31)):
            in_time += number
    assert total(counts) == in_time
