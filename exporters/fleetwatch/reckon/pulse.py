"""When somebody who reports was last heard, whatever is on the way and however wrong clocks are.

Times are Unix nanoseconds. Order is by the sender's clock, silence by ours.
"""

from __future__ import annotations

SECOND = 10**9
SHORTEST = SECOND
LONGEST = 3600 * SECOND
"""Bounds of a sender's own interval: 0 would make it missing at once, a year never."""


def heard(last: int, lag: int, interval: int, at: int, now: int) -> tuple[int, int]:
    """(when it was last heard, its lag) after a report that was made `at` by its own clock.

    last, lag: as known before. A queue may hold a report back for long: what counts is when it was made.
    """
    # The shortest delay seen tells a slow clock from a late report; it may grow a little, because clocks drift.
    lag = min(now - at, lag + interval // 10)
    # Nothing was heard after now: a clock of ours that led and was set right must not keep it alive until then.
    return max(min(last, now), at + lag), lag


def bounded(interval: int) -> int:
    """An interval as somebody may have it."""
    return min(max(interval, SHORTEST), LONGEST)
