"""When somebody who reports was last heard, whatever is on the way and however wrong clocks are.

Times are Unix nanoseconds. Order is by the sender's clock, silence by ours.
"""

from __future__ import annotations

SECOND = 10**9
SHORTEST = SECOND
LONGEST = 3600 * SECOND
"""Bounds of a sender's own interval: 0 would make it missing at once, a year never."""
ON_THE_WAY = 60 * SECOND
"""Longer than a report takes to come, where nothing holds it back."""


def heard(last: int, lag: int, interval: int, at: int, now: int) -> tuple[int, int]:
    """(when it was last heard, its lag) after a report that was made `at` by its own clock.

    last, lag: as known before. A queue may hold a report back for long: what counts is when it was made.
    """
    # The shortest delay seen tells a slow clock from a late report; it may grow a little, because clocks drift.
    lag = min(now - at, lag + interval // 10)
    # Nothing was heard after now: a clock of ours that led and was set right must not keep it alive until then.
    return max(min(last, now), at + lag), lag


def lead(started: int, first_heard: int, sent: int, heard_at: int) -> int:
    """How far our clock is before the one by which something under way tells its times; below 0: behind it.

    started, sent: its beginning and its newest report, by its clock; first_heard, heard_at: when it was first heard of
    and when anything came last, by ours. Its clock is slow, or stood still while its machine slept, or is fast.
    """
    if started > first_heard:
        return first_heard - started
    return heard_at - sent if heard_at - sent > ON_THE_WAY else 0


def bounded(interval: int) -> int:
    """An interval as somebody may have it."""
    return min(max(interval, SHORTEST), LONGEST)
