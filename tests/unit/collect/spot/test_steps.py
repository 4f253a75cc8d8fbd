"""Prices as AWS writes them, and their steps over time."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue.metric import NANO
from fleetwatch.collect.spot._steps import MOST, merged, price_at
from fleetwatch.collect.spot._usd import nano_usd
from fleetwatch.records.spot import PriceStep


@given(st.integers(0, 10**16 - 1), st.integers(0, 11))
def test_a_price_is_exact_however_many_zeros_follow(nano: int, zeros: int) -> None:
    assert nano_usd(f"{nano // NANO}.{nano % NANO:09d}{'0' * zeros}"[:29]) == nano


@given(st.text(max_size=20))
def test_what_is_no_price_is_an_error_and_never_a_number(text: str) -> None:
    plain = text.replace(".", "", 1)
    if plain.isascii() and plain.isdigit() and not text.startswith(".") and not text.endswith("."):
        return
    with pytest.raises(ValueError, match="expected US dollars"):
        nano_usd(text)


@pytest.mark.parametrize(
    "text", ["1e3", "0x1", "1_000", " 1", "1 ", "+1", "-1", "NaN", "inf", "٣", "1.", ".5", "", None, 1, 0.5]
)
def test_other_ways_to_write_a_number_are_no_price(text: object) -> None:
    with pytest.raises(ValueError, match="expected US dollars"):
        nano_usd(text)


steps_of = st.lists(st.builds(PriceStep, st.integers(0, 50), st.integers(1, 5)), max_size=30)


@given(st.lists(steps_of, max_size=6), st.integers(0, 50), st.randoms())
def test_any_grouping_and_order_of_pages_gives_the_same_steps(
    pages: list[list[PriceStep]], since: int, random: Any
) -> None:
    whole = merged(itertools.chain(*pages), since=since)
    rows = [step for page in pages for step in page]
    random.shuffle(rows)
    at_once: tuple[PriceStep, ...] = ()
    for step in rows:
        at_once = merged(at_once, [step], since=since)
    by_page: tuple[PriceStep, ...] = ()
    for page in random.sample(pages, len(pages)):
        by_page = merged(page, by_page, page, since=since)
    assert whole == at_once == by_page


@given(st.lists(steps_of, min_size=1, max_size=6), st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_looks_that_follow_each_other_keep_what_one_look_would(pages: list[list[PriceStep]], starts: list[int]) -> None:
    """Each look forgets what is too old by then."""
    starts = sorted(itertools.islice(itertools.cycle(starts), len(pages)))
    known: tuple[PriceStep, ...] = ()
    for page, since in zip(pages, starts, strict=True):
        known = merged(known, page, since=since)
    assert known == merged(itertools.chain(*pages), since=starts[-1])


@given(steps_of.filter(bool), st.integers(0, 50), st.integers(0, 60))
def test_forgetting_changes_no_price_since_then(steps: list[PriceStep], since: int, later: int) -> None:
    kept, whole = merged(steps, since=since), merged(steps, since=0)
    assert price_at(kept, since + later) == price_at(whole, since + later)


def test_steps_are_bounded() -> None:
    steps = merged([PriceStep(at, 1 + at % 7) for at in range(2 * MOST)], since=0)
    assert len(steps) == MOST
    assert steps[-1].at == 2 * MOST - 1
