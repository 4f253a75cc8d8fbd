"""Lists and numbers that senders write, made harmless."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.dialects.parts.pipeline_facts import (
    MOST_COUNTED,
    MOST_ENTRIES,
    amount,
    count,
    errors_of,
    signals_of,
    tally_of,
    usage_of,
)
from support_genai import VALUES
from support_otlp import any_value


def test_errors_and_signals_are_names_and_numbers() -> None:
    told = any_value(["b=2", "a=1", "x=y=3", " padded =4"])
    assert errors_of(told) == (("a", 1), ("b", 2), ("padded", 4), ("x=y", 3))
    assert signals_of(any_value(["p=-2.5", "n=1e3"])) == (("n", 1000.0), ("p", -2.5))


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "=",
        "a",
        "=1",
        "a=",
        "a=x",
        "a=-1",
        "a=0",
        "a=1.5",
        "a=nan",
        "a=inf",
        "a=1e16",
        "a=1_0",
        "a=" + "1" * 50,
        5,
        None,
    ],
)  # fmt: skip - one table
def test_an_error_that_is_not_like_that_is_left_out(entry: Any) -> None:
    assert errors_of(any_value([entry, "good=1"])) == (("good", 1),)


@pytest.mark.parametrize("entry", ["a=nan", "a=-inf", "a=1e19", "a=", "=1"])
def test_a_signal_that_is_none_is_left_out(entry: str) -> None:
    assert signals_of(any_value([entry])) == ()


def test_lists_end() -> None:
    assert len(errors_of(any_value([f"E{n}=1" for n in range(10_000)]))) == MOST_ENTRIES


def test_of_equal_names_the_first_counts() -> None:
    assert errors_of(any_value(["a=1", "a=2"])) == (("a", 1),)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        (5.9, 5),
        ("5", 5),
        (" 7 ", 7),
        (0, 0),
        (-1, None),
        (10**16, None),
        ("five", None),
        (True, None),
        ([5], None),
        (math.nan, None),
        (math.inf, None),
        ("1" * 41, None),
    ],
)  # fmt: skip - one table
def test_counts(value: Any, number: int | None) -> None:
    assert count(any_value(value)) == number
    assert count(None) is None


def test_nothing_told_is_not_zero() -> None:
    assert tally_of({}) is None
    assert usage_of({}) is None


@given(VALUES)
def test_whatever_comes_is_bounded(value: Any) -> None:
    sent = any_value(value)
    number = amount(sent)
    assert number is None or 0 <= number <= MOST_COUNTED
    for name, times in errors_of(sent):
        assert name
        assert 0 < times <= MOST_COUNTED


@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), max_size=300) | st.from_regex(r"[a-z]{0,3}=[-0-9.e]{0,8}"), max_size=80
    )
)
def test_whatever_stands_in_a_list_is_bounded(entries: list[str]) -> None:
    sent = any_value(entries)
    errors, signals = errors_of(sent), signals_of(sent)
    assert max(len(errors), len(signals)) <= MOST_ENTRIES
    assert all(0 < len(name) <= 200 for name, _ in (*errors, *signals))
    assert all(math.isfinite(value) for _, value in signals)
    assert (errors, signals) == (tuple(sorted(errors)), tuple(sorted(signals)))
