"""Budgets against sums done by hand."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.reckon.budget import Pace, Period, judge, period_of, time_to_exhaustion

HOUR, DAY, WEEK = 3600, 86400, 7 * 86400
USD = 10**9
BERLIN = "Europe/Berlin"


def unix(text: str, zone: str = "UTC") -> int:
    """`2026-11-20T12:00` there, as Unix seconds."""
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone)).timestamp())


def hourly(start: str, end: str, spend: Callable[[datetime.datetime], int], zone: str = "UTC") -> list[tuple[int, int]]:
    """A slot for each hour between two local times, with what `spend` says of its local start; without empty ones."""
    place = zoneinfo.ZoneInfo(zone)
    slots = [
        (time, spend(datetime.datetime.fromtimestamp(time, place)))
        for time in range(unix(start, zone), unix(end, zone), HOUR)
    ]
    return [(time, nano) for time, nano in slots if nano]


def office_hours(time: datetime.datetime) -> int:
    """A dollar an hour from 8 to 18 on workdays."""
    return USD if time.weekday() < 5 and 8 <= time.hour < 18 else 0


@pytest.mark.parametrize(
    ("now", "period", "zone", "start", "end", "hours"),
    [
        ("2026-11-20T12:00", "day", "UTC", "2026-11-20T00:00", "2026-11-21T00:00", 24),
        ("2026-11-20T12:00", "month", "UTC", "2026-11-01T00:00", "2026-12-01T00:00", 30 * 24),
        ("2026-12-31T23:59", "month", BERLIN, "2026-12-01T00:00", "2027-01-01T00:00", 31 * 24),
        ("2028-02-29T12:00", "month", "UTC", "2028-02-01T00:00", "2028-03-01T00:00", 29 * 24),
        ("2027-02-28T12:00", "month", "UTC", "2027-02-01T00:00", "2027-03-01T00:00", 28 * 24),
        ("2026-03-29T12:00", "day", BERLIN, "2026-03-29T00:00", "2026-03-30T00:00", 23),
        ("2026-10-25T12:00", "day", BERLIN, "2026-10-25T00:00", "2026-10-26T00:00", 25),
        ("2026-03-15T12:00", "month", BERLIN, "2026-03-01T00:00", "2026-04-01T00:00", 31 * 24 - 1),
        ("2026-10-31T23:59", "month", BERLIN, "2026-10-01T00:00", "2026-11-01T00:00", 31 * 24 + 1),
        ("2026-11-20T00:00", "day", BERLIN, "2026-11-20T00:00", "2026-11-21T00:00", 24),
        ("2026-11-20T03:00", "day", "Asia/Kathmandu", "2026-11-20T00:00", "2026-11-21T00:00", 24),
    ],
)
def test_periods_are_local_days_and_months(
    *, now: str, period: str, zone: str, start: str, end: str, hours: int
) -> None:
    got = period_of(unix(now, zone), period, zone)
    assert got == Period(unix(start, zone), unix(end, zone))
    assert got.end - got.start == hours * HOUR


def test_a_day_begins_where_clocks_skip_midnight() -> None:
    """In Beirut on 2026-03-29 the clock goes from 24:00 to 1:00."""
    day = period_of(unix("2026-03-29T12:00", "Asia/Beirut"), "day", "Asia/Beirut")
    assert day.end - day.start == 23 * HOUR
    assert period_of(day.start, "day", "Asia/Beirut") == day
    assert period_of(day.start - 1, "day", "Asia/Beirut").end == day.start


def test_an_unknown_period_is_refused() -> None:
    with pytest.raises(ValueError, match='expected period "day" or "month", got "year"'):
        period_of(0, "year", "UTC")


def test_a_month_of_office_hours_is_forecast_to_the_dollar() -> None:
    """Friday 2026-11-20, 13:00: 5 dollars today and 5 x 10 + 10 for 23 to 27 and Monday 30; weekends cost nothing."""
    history = hourly("2026-09-21T00:00", "2026-11-20T13:00", office_hours)
    state = judge(300 * USD, history, unix("2026-11-20T13:00"), "month", "UTC", step=HOUR)
    assert state.spent == (14 * 10 + 5) * USD
    assert state.remaining == 300 * USD - state.spent
    assert state.forecast == state.spent + (5 + 60) * USD
    assert state.exhaustion is None
    assert (state.start, state.end) == (unix("2026-11-01T00:00"), unix("2026-12-01T00:00"))


def test_exhaustion_is_told_to_the_minute_across_a_weekend() -> None:
    """Spent 145 of 152: 5 more go today by 18:00, the other 2 on Monday from 8 to 10."""
    history = hourly("2026-09-21T00:00", "2026-11-20T13:00", office_hours)
    now = unix("2026-11-20T13:00")
    state = judge(152 * USD, history, now, "month", "UTC", step=HOUR)
    assert state.exhaustion == pytest.approx(unix("2026-11-23T10:00") - now, abs=2)


def test_a_day_budget_follows_the_same_hours_of_the_same_weekday() -> None:
    """Half past 16 on a Friday: an hour and a half of office time is left."""
    history = hourly("2026-10-05T00:00", "2026-11-20T16:00", office_hours)
    state = judge(9 * USD, history, unix("2026-11-20T16:30"), "day", "UTC", step=HOUR)
    assert (state.spent, state.forecast) == (8 * USD, 9_500_000_000)
    assert state.exhaustion == pytest.approx(HOUR, abs=2)


def test_days_are_local_days() -> None:
    """Spending from 8 to 18 in Berlin, before and after the clock change of 2026-10-25, is the same office day."""
    history = hourly("2026-09-07T00:00", "2026-11-20T08:00", office_hours, BERLIN)
    state = judge(100 * USD, history, unix("2026-11-20T08:00", BERLIN), "day", BERLIN, step=HOUR)
    assert (state.spent, state.forecast) == (0, 10 * USD)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_forecasts_on_days_when_the_clock_changes(day: str, hours: int) -> None:
    """A dollar an hour on usual days of 24 hours is expected; the day's own 23 or 25 hours are its period."""
    start = datetime.datetime.fromisoformat(day) - datetime.timedelta(weeks=5)
    history = hourly(start.isoformat(), f"{day}T00:00", lambda _: USD, BERLIN)
    state = judge(100 * USD, history, unix(f"{day}T00:00", BERLIN), "day", BERLIN, step=HOUR)
    assert state.end - state.start == hours * HOUR
    assert state.forecast == 24 * USD


def test_one_spike_does_not_come_back_every_week() -> None:
    """Seven Fridays of 10 and one of 10,000: the spike counts as 30, so a Friday is (7 x 10 + 30) / 8 = 12.5."""
    spike = unix("2026-10-30T00:00")

    def spend(time: datetime.datetime) -> int:
        return (10_000 if time.timestamp() == spike else 10) * USD if time.hour == 0 and time.weekday() == 4 else 0

    history = hourly("2026-09-18T00:00", "2026-11-20T00:00", spend)
    state = judge(USD, history, unix("2026-11-20T00:00"), "day", "UTC", step=HOUR)
    assert state.forecast == 12_500_000_000


def test_only_eight_weeks_count() -> None:
    """Spending doubled eight weeks ago."""
    change = unix("2026-09-25T00:00")
    history = hourly(
        "2026-09-01T00:00", "2026-11-20T00:00", lambda time: USD * (2 if time.timestamp() >= change else 1)
    )
    assert judge(USD, history, unix("2026-11-20T00:00"), "day", "UTC", step=HOUR).forecast == 48 * USD


def test_without_any_spending_nothing_is_expected() -> None:
    for period in ("day", "month"):
        state = judge(USD, [], unix("2026-11-20T12:00"), period, "UTC")
        assert (state.spent, state.remaining, state.forecast, state.exhaustion) == (0, USD, 0, None)


def test_with_less_than_a_week_the_own_pace_goes_on() -> None:
    """30 dollars in the 6 hours since midnight; or since 4 o'clock, when the first spending was seen."""
    now = unix("2026-11-20T06:00")
    steady = hourly("2026-11-18T00:00", "2026-11-20T06:00", lambda _: 5 * USD)
    state = judge(60 * USD, steady, now, "day", "UTC", step=HOUR)
    assert (state.spent, state.forecast) == (30 * USD, 120 * USD)
    assert state.exhaustion == pytest.approx(6 * HOUR)
    new = hourly("2026-11-20T04:00", "2026-11-20T06:00", lambda _: 5 * USD)
    assert judge(60 * USD, new, now, "day", "UTC", step=HOUR).forecast == (10 + 18 * 5) * USD


def test_the_first_minutes_of_a_period_forecast_no_fortune() -> None:
    """A dollar in the first five minutes counts as a dollar an hour, in a month as a dollar a day."""
    now = unix("2026-11-01T00:05")
    history = [(unix("2026-11-01T00:00"), USD)]
    for period, length in (("day", DAY / HOUR), ("month", 30.0)):
        share = length * (1 - 300 / (30 * DAY if period == "month" else DAY))
        assert judge(USD, history, now, period, "UTC").forecast == pytest.approx(USD * (1 + share), abs=2)


def test_a_week_counts_from_the_first_day_seen_whole() -> None:
    """Begun on a Thursday at 3: the Friday eight days later is the first with seven whole days behind it."""
    for today, by_weekdays in (("2026-11-19", False), ("2026-11-20", True)):
        history = hourly("2026-11-12T03:00", f"{today}T06:00", lambda time: USD if time.hour < 6 else 0)
        got = judge(USD, history, unix(f"{today}T06:00"), "day", "UTC", step=HOUR).forecast
        assert got == (6 * USD if by_weekdays else 24 * USD)


@pytest.mark.parametrize(("limit", "exhaustion"), [(0, 0), (5 * USD, 0), (4 * USD, 0)])
def test_a_spent_budget_is_exhausted_now(limit: int, exhaustion: float) -> None:
    now = unix("2026-11-20T06:00")
    state = judge(limit, [(now - HOUR, 5 * USD)], now, "day", "UTC")
    assert state.exhaustion == exhaustion
    assert state.remaining == limit - 5 * USD


def test_a_slot_is_spent_evenly_over_its_length() -> None:
    """20 minutes into a quarter-hour pattern: 40 minutes at a dollar per quarter are left of this hour."""
    history = [(time, USD) for time in range(unix("2026-11-02T00:00"), unix("2026-11-20T00:00"), 900)]
    pace = Pace(history, unix("2026-11-20T23:20"), Period(*period_of(unix("2026-11-20T23:20"), "day", "UTC")), "UTC", 0)
    assert pace.expected() == pytest.approx(USD * 40 / 15)
    assert time_to_exhaustion(USD, 0, pace) == pytest.approx(900, abs=2)
    assert time_to_exhaustion(3 * USD, 0, pace) is None


SLOTS = st.dictionaries(st.integers(0, 8 * WEEK // HOUR), st.integers(0, 10**15), max_size=40)


@given(
    slots=SLOTS,
    hours=st.integers(0, 8 * WEEK // HOUR),
    seconds=st.integers(0, HOUR - 1),
    more=st.integers(0, 10**12),
    which=st.integers(0, 39),
    period=st.sampled_from(["day", "month"]),
    zone=st.sampled_from(["UTC", BERLIN, "America/New_York", "Asia/Kolkata"]),
)
def test_more_spending_never_gives_a_smaller_forecast(  # type: ignore[no-untyped-def]  # see @given
    *, slots, hours, seconds, more, which, period, zone
) -> None:
    """In any slot, past or present; and no forecast is below what is spent."""
    begin = unix("2026-02-02T00:00")
    now = begin + hours * HOUR + seconds
    past = {begin + hour * HOUR: nano for hour, nano in slots.items() if hour <= hours}
    before = judge(10**15, sorted(past.items()), now, period, zone, step=HOUR)
    assert before.forecast >= before.spent
    assert before.exhaustion is None or 0 <= before.exhaustion <= before.end - now
    if past:
        changed = sorted(past)[which % len(past)]
        past[changed] += more
        after = judge(10**15, sorted(past.items()), now, period, zone, step=HOUR)
        assert after.spent >= before.spent
        assert after.forecast >= before.forecast - 1  # rounding of float sums
