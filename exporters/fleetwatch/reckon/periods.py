"""When prices hold: the stretch of time around a moment in which no price of a list can change."""

from __future__ import annotations

import bisect
import datetime
from collections.abc import Iterable
from typing import NamedTuple

from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

Constraint = StartDateConstraint | TimeOfDateConstraint

SECOND = 10**9
DAY = 86400 * SECOND
EARLIEST, LATEST = -(1 << 80), 1 << 80
"""Before and after every time that a record can carry, Unix nanoseconds."""
_EPOCH = datetime.date(1970, 1, 1)
_LAST_DAY = (datetime.date.max - _EPOCH).days


class Changes(NamedTuple):
    """Moments at which prices may change."""

    days: tuple[int, ...]
    """Unix nanoseconds, ascending."""
    daily: tuple[int, ...]
    """Nanoseconds after midnight UTC, ascending; every day."""

    def around(self, at: int) -> tuple[int, int]:
        """(start, end) of the stretch without a change that holds `at`; Unix nanoseconds, the end excluded."""
        place = bisect.bisect_right(self.days, at)
        start = self.days[place - 1] if place else EARLIEST
        end = self.days[place] if place < len(self.days) else LATEST
        if self.daily:
            midnight = at - at % DAY
            moments = [midnight, *(midnight + moment for moment in self.daily), midnight + DAY]
            place = bisect.bisect_right(moments, at)
            start, end = max(start, moments[place - 1]), min(end, moments[place])
        return start, end


def changes(constraints: Iterable[Constraint], dates: Iterable[datetime.date] = ()) -> Changes:
    """All moments at which one of the constraints, or something that starts on one of the dates (UTC), changes."""
    days = {day_start(date) for date in dates}
    daily = set()
    for constraint in constraints:
        if isinstance(constraint, StartDateConstraint):
            days.add(day_start(constraint.start_date))
        else:
            daily |= {_since_midnight(constraint.start_time), _since_midnight(constraint.end_time)}
    return Changes(tuple(sorted(days)), tuple(sorted(daily)))


def day_start(date: datetime.date) -> int:
    """Midnight UTC, Unix nanoseconds."""
    return (date - _EPOCH).days * DAY


def moment(at: int) -> datetime.datetime:
    """Unix nanoseconds as UTC time, whole seconds; times outside 1970 to 9999 as the nearest of these."""
    seconds = min(max(at // SECOND, 0), (_LAST_DAY + 1) * 86400 - 1)
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _since_midnight(time: datetime.time) -> int:
    """As the price table reads it: a time without zone is UTC."""
    zone = time.tzinfo or datetime.UTC
    moved = datetime.datetime.combine(_EPOCH, time.replace(tzinfo=None), zone).astimezone(datetime.UTC)
    return (moved.hour * 3600 + moved.minute * 60 + moved.second) * SECOND + moved.microsecond * 1000
