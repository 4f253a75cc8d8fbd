"""Quantiles of the last minutes from histograms that only ever grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping

from fleetwatch.reckon.quantile import quantile

SECONDS = 300.0
"""What a quantile looks back on."""
SHARES = ("0.5", "0.95", "0.99")

Buckets = Mapping[float, float]
"""Upper bound -> observations at or below it, since the server's start."""


class Window:
    """Histograms of one server by key."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, deque[tuple[float, dict[float, float]]]] = {}

    def quantiles(self, key: Hashable, buckets: Buckets, now: float) -> Iterator[tuple[str, float]]:
        """(share, value) of what came since the newest look that is SECONDS old, or the first one; now: seconds.

        Nothing at the first look: what a server did before is no matter of the last minutes.
        """
        seen = self._seen.setdefault(key, deque())
        newest = dict(sorted(buckets.items()))
        if seen and _began_anew(seen[-1][1], newest):
            seen.clear()
        while len(seen) > 1 and seen[1][0] <= now - SECONDS:
            seen.popleft()
        if seen:
            before = seen[0][1]
            counts = [count - before[bound] for bound, count in newest.items()]
            for share in SHARES:
                value = quantile(float(share), list(newest), counts)
                if value is not None:
                    yield share, value
        seen.append((now, newest))


def _began_anew(before: Buckets, now: Buckets) -> bool:
    return before.keys() != now.keys() or any(now[bound] < count for bound, count in before.items())
