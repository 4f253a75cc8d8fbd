"""Stretches of time in which prices stand still."""

from __future__ import annotations

import datetime

from genai_prices.types import StartDateConstraint, TimeOfDateConstraint
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.periods import DAY, EARLIEST, LATEST, changes, day_start, moment
from support_prices import nanoseconds

NIGHT = TimeOfDateConstraint(datetime.time(22), datetime.time(4, 30))  # without zone: UTC
EAST = TimeOfDateConstraint(
    datetime.time(8, tzinfo=datetime.timezone(datetime.timedelta(hours=8))),
    datetime.time(18, tzinfo=datetime.timezone(datetime.timedelta(hours=8))),
)
SPRING = StartDateConstraint(datetime.date(2026, 3, 1))


def test_without_constraints_prices_never_change() -> None:
    assert changes([]).around(0) == (EARLIEST, LATEST)


def test_a_start_date_divides_time_at_midnight_utc() -> None:
    first = nanoseconds("2026-03-01T00:00")
    assert changes([SPRING]).around(first - 1) == (EARLIEST, first)
    assert changes([SPRING]).around(first) == (first, LATEST)


def test_a_time_of_day_comes_round_daily() -> None:
    for day in ("2026-11-20", "2026-11-21"):
        stretch = changes([NIGHT]).around(nanoseconds(f"{day}T12:00"))
        assert stretch == (nanoseconds(f"{day}T04:30"), nanoseconds(f"{day}T22:00"))


@given(at=st.integers(day_start(datetime.date(2026, 2, 26)) // 10**9, day_start(datetime.date(2026, 3, 4)) // 10**9))
def test_no_constraint_changes_within_a_stretch(at: int) -> None:
    """First and last second of the stretch see the same conditions as the moment itself."""
    constraints = (NIGHT, EAST, SPRING)
    start, end = changes(constraints).around(at * 10**9)
    assert start <= at * 10**9 < end
    assert end - start <= DAY
    seen = {tuple(item.active(moment(time)) for item in constraints) for time in (start, at * 10**9, end - 1)}
    assert len(seen) == 1


def test_moments_out_of_range_are_the_nearest() -> None:
    assert moment(-1) == datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert moment(10**40) == datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
