"""Steps of a price: from each on it is another one. Pages and looks may come in any grouping and order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from fleetwatch.records.spot import PriceStep

MOST = 5000
"""Steps of a pool that are kept, the latest: one every two minutes for seven days. AWS has some ten a day."""


def merged(*some: Iterable[PriceStep], since: int) -> tuple[PriceStep, ...]:
    """All steps from `since` (Unix nanoseconds) on, ascending, and before them the one that was valid then.

    Two prices of one moment, as of the two names of one product, are the higher one: savings are not overstated.
    Steps that change nothing stay: a late one may come between them.
    """
    prices: dict[int, int] = {}
    for steps in some:
        for step in steps:
            prices[step.at] = max(step.price, prices.get(step.at, 0))
    times = sorted(prices)
    first = max(0, bisect_right(times, since) - 1, len(times) - MOST)
    return tuple(PriceStep(at, prices[at]) for at in times[first:])


def price_at(steps: Sequence[PriceStep], at: int) -> int:
    """The price of a moment; before the first step, the first one's. There must be one."""
    place = bisect_right(steps, at, key=lambda step: step.at)
    return steps[max(0, place - 1)].price
