"""Budgets: how much is spent, what the rest of the period will cost, and when the money is gone.

Spending comes as slots (start, nano-USD): Unix seconds of a slot's start, ascending, and what was spent in the `step`
seconds from then on; slots without spending may be left out. Spent money is an exact integer; expectations are float
arithmetic, rounded to whole nano-USD.

Expectation. The rest of today costs what the same stretch of the day cost on the same weekday in up to 8 weeks before;
each later day costs what its weekday cost. Days are local days of the budget's time zone. Each figure is a mean in
which the largest of three or more values counts at most three times the second largest: one runaway night does not come
back every week, real growth is followed, and more spending never gives a smaller forecast. Days before the first day
that was seen whole do not count.

With less than a week of whole days, the period's own pace goes on: what was spent in it, by the time since its start or
since the first spending ever seen. That time is at least an hour for a day and a day for a month, so that the first
minutes of a period forecast no fortune.
"""

from __future__ import annotations

import bisect
import datetime
import zoneinfo
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

Slots = Sequence[tuple[int, int]]

DAY = 86400
WEEKS = 8
SPIKE = 3
"""How many times the second largest value the largest one counts at most."""


class Period(NamedTuple):
    """Unix seconds; the end belongs to the next period."""

    start: int
    end: int


class BudgetState(NamedTuple):
    """Money in nano-USD, times in Unix seconds."""

    limit: int
    spent: int
    remaining: int
    """Negative when overspent."""
    forecast: int
    """Expected spending at the end of the period; never less than spent."""
    exhaustion: float | None
    """Seconds until the limit is reached at the expected pace: 0 when it is, None when it lasts past the period."""
    start: int
    end: int


def period_of(now: float, period: str, timezone: str) -> Period:
    """The local `day` or `month` that holds `now` (Unix seconds). ValueError for another period."""
    zone = zoneinfo.ZoneInfo(timezone)
    today = datetime.datetime.fromtimestamp(now, zone).date()
    if period == "day":
        return Period(int(_unix(today, 0, zone)), int(_unix(today, DAY, zone)))
    if period == "month":
        first = today.replace(day=1)
        following = (first + datetime.timedelta(days=31)).replace(day=1)
        return Period(int(_unix(first, 0, zone)), int(_unix(following, 0, zone)))
    raise ValueError(f'expected period "day" or "month", got "{period}"')


def judge(limit: int, history: Slots, now: float, period: str, timezone: str, *, step: int = 900) -> BudgetState:
    """Everything about one budget at `now`, Unix seconds.

    limit: nano-USD; history: slots of the last 9 weeks, this period's among them; period: `day` or `month`.
    """
    start, end = period_of(now, period, timezone)
    first = bisect.bisect_left(history, (start, 0))
    spent = sum(nano for slot, nano in history[first:] if slot < end)
    pace = Pace(history, now, Period(start, end), timezone, spent, step=step)
    forecast = spent + round(pace.expected())
    return BudgetState(limit, spent, limit - spent, forecast, time_to_exhaustion(limit, spent, pace), start, end)


def time_to_exhaustion(limit: int, spent: int, pace: Pace) -> float | None:
    """Seconds until `limit` is reached: 0 when it is, None when not before the end of the period."""
    if spent >= limit:
        return 0.0
    return pace.time_to_spend(limit - spent)


class Pace:
    """What the rest of a period is expected to cost."""

    def __init__(
        self, history: Slots, now: float, period: Period, timezone: str, spent: int, *, step: int = 900
    ) -> None:
        """spent: nano-USD in this period so far; history: see the top of this file."""
        self._now, self._period, self._spent, self._step = now, period, spent, step
        self._zone = zoneinfo.ZoneInfo(timezone)
        local = datetime.datetime.fromtimestamp(now, self._zone)
        self._today = local.date()
        self._clock = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
        self._starts = [start for start, _ in history]
        self._sums = [0, *accumulate(nano for _, nano in history)]

    def expected(self) -> float:
        """Nano-USD from now to the end of the period."""
        if not self._known_weekdays:
            return self._own_rate * max(self._period.end - self._now, 0)
        return sum(self._on(day, since, DAY) for day, since in self._days_left())

    def time_to_spend(self, nano: int) -> float | None:
        """Seconds until so much more is spent; None when not before the end of the period."""
        if not self._known_weekdays:
            rate, left = self._own_rate, self._period.end - self._now
            return nano / rate if rate and nano <= rate * left else None
        before = 0.0
        for day, since in self._days_left():
            whole = self._on(day, since, DAY)
            if whole and before + whole >= nano:
                return max(_unix(day, self._clock_at(day, since, nano - before), self._zone) - self._now, 0.0)
            before += whole
        return None

    def _clock_at(self, day: datetime.date, since: float, nano: float) -> float:
        """Seconds after local midnight, to the second, at which a day that reaches `nano` after `since` does so."""
        low, high = since, float(DAY)
        while high - low > 1:
            middle = (low + high) / 2
            if self._on(day, since, middle) < nano:
                low = middle
            else:
                high = middle
        return high

    @cached_property
    def _own_rate(self) -> float:
        """Nano-USD per second of this period so far."""
        seen = max(self._period.start, self._starts[0]) if self._starts else self._period.start
        least = 3600 if self._period.end - self._period.start < 2 * DAY else DAY
        return self._spent / max(self._now - seen, least)

    @cached_property
    def _samples(self) -> dict[int, list[datetime.date]]:
        """Past days by weekday, those of the last 8 weeks that were seen whole."""
        if not self._starts:
            return {}
        first = datetime.datetime.fromtimestamp(self._starts[0], self._zone).date() + datetime.timedelta(days=1)
        past = [self._today - datetime.timedelta(days=back) for back in range(1, WEEKS * 7 + 1)]
        samples: dict[int, list[datetime.date]] = {}
        for day in past:
            if day >= first:
                samples.setdefault(day.weekday(), []).append(day)
        return samples

    @property
    def _known_weekdays(self) -> bool:
        return len(self._samples) == 7

    def _days_left(self) -> list[tuple[datetime.date, float]]:
        """(local day, seconds after its midnight from which it is left) to the end of the period."""
        last = datetime.datetime.fromtimestamp(self._period.end - 1, self._zone).date()
        later = [self._today + datetime.timedelta(days=ahead) for ahead in range(1, (last - self._today).days + 1)]
        return [(self._today, self._clock), *((day, 0.0) for day in later)]

    def _on(self, day: datetime.date, since: float, until: float) -> float:
        """Expected nano-USD on a local day between two times, seconds after midnight."""
        return _mean(
            [
                max(self._before(_unix(past, until, self._zone)) - self._before(_unix(past, since, self._zone)), 0.0)
                for past in self._samples[day.weekday()]
            ]
        )

    def _before(self, time: float) -> float:
        """Nano-USD of the history before `time`; a slot is spent evenly over its length."""
        place = bisect.bisect_right(self._starts, time)
        if not place:
            return 0.0
        nano = self._sums[place] - self._sums[place - 1]
        return self._sums[place - 1] + nano * min((time - self._starts[place - 1]) / self._step, 1.0)


def _mean(values: Sequence[float]) -> float:
    """The mean; of three or more values the largest counts at most SPIKE times the second largest."""
    total = sum(values)
    if len(values) >= 3:
        second, largest = sorted(values)[-2:]
        total -= max(largest - SPIKE * second, 0.0)
    return total / len(values)


def _unix(day: datetime.date, seconds: float, zone: zoneinfo.ZoneInfo) -> float:
    """Unix time of a local clock time; of a time that clocks skip, the same distance after the skip."""
    if seconds >= DAY:
        day, seconds = day + datetime.timedelta(days=1), 0
    midnight = datetime.datetime.combine(day, datetime.time(), zone)
    return (midnight + datetime.timedelta(seconds=seconds)).timestamp()
