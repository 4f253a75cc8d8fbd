"""How often AWS may be asked: a share of what it allows an account, since autoscalers ask it, too.

AWS gives each account, region and operation a bucket of tokens that fills again at a steady rate: for most of EC2's
Describe and Get operations 100 tokens and 20 a second, for those that ask for all without pages 50 and 10 (EC2
developer guide, "Request throttling for the Amazon EC2 API"). The buckets here are a tenth of that or less. When AWS
turns a request away all the same, somebody else needs the rest: the bucket is emptied and fills at half its rate, down
to an eighth, and each answer gives a tenth of it back. The SDK repeats such a request at once; where that fails, too,
nothing is asked for a while, twice as long each time, so that all these attempts are no more than the usual requests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

WAIT = 5.0
"""Seconds that a request waits for its turn; where it would be longer it is not made."""

SLOWEST = 1 / 8
"""Share of its rate that a bucket keeps when AWS goes on turning requests away."""

FIRST_PAUSE, LONGEST_PAUSE = 15.0, 240.0
"""Seconds without a request after the second attempt in a row that was turned away; doubled with each further one."""


class Size(NamedTuple):
    """burst: requests at once; rate: requests a second in the long run."""

    burst: float
    rate: float


EC2 = Size(20, 1.0)
"""Of EC2's operations that are not below: 20,000 machines in a minute."""

SIZES: Mapping[str, Size] = {
    "ec2:DescribeAvailabilityZones": Size(5, 0.1),
    "ec2:DescribeInstanceTypes": Size(20, 0.5),
    # A week of prices of many types is many pages, once.
    "ec2:DescribeSpotPriceHistory": Size(60, 1.0),
    # AWS limits the number of different requests a day, and counts generously.
    "ec2:GetSpotPlacementScores": Size(12, 0.02),
    "ec2:GetCapacityManagerMetricData": Size(20, 0.1),
    "ec2:DescribeSnapshots": Size(40, 1.0),
    "ec2:DescribeVolumes": Size(40, 1.0),
    "pricing:GetProducts": Size(60, 2.0),
}
"""By the operation as IAM calls it. What is neither here nor of EC2 has no bound."""


def size_of(action: str) -> Size | None:
    return SIZES.get(action) or (EC2 if action.startswith("ec2:") else None)


class _Bucket:
    def __init__(self, size: Size, now: float) -> None:
        self.size, self.tokens, self.share, self.at = size, size.burst, 1.0, now
        self.refused, self.closed_until = 0, 0.0

    @property
    def rate(self) -> float:
        return self.size.rate * self.share

    def fill(self, now: float) -> None:
        self.tokens = min(self.size.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now


class Budget:
    """The buckets of all targets; for use by several threads at once. clock, sleep: of one clock that only grows."""

    def __init__(
        self,
        sizes: Callable[[str], Size | None] = size_of,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sizes, self._clock, self._sleep = sizes, clock, sleep
        self._lock = threading.Lock()
        self._buckets: dict[tuple[Hashable, str], _Bucket] = {}

    def take(self, where: Hashable, action: str) -> tuple[bool, float]:
        """Whether a request may be made, and the seconds that it has waited for it or would have to wait."""
        with self._lock:
            bucket = self._bucket(where, action)
            if bucket is None:
                return True, 0.0
            closed = bucket.closed_until - bucket.at if bucket.refused > 1 else 0.0
            wait = max(0.0, (1 - bucket.tokens) / bucket.rate, closed)
            if wait > WAIT:
                return False, wait
            # Below zero where several wait: each has its own turn.
            bucket.tokens -= 1
        if wait:
            self._sleep(wait)
        return True, wait

    def answered(self, where: Hashable, action: str, *, throttled: bool) -> None:
        """What came of an attempt."""
        with self._lock:
            bucket = self._bucket(where, action)
            if bucket is None:
                return
            if throttled:
                bucket.tokens = min(bucket.tokens, 0.0)
                bucket.share = max(SLOWEST, bucket.share / 2)
                bucket.refused += 1
                if bucket.refused > 1:
                    pause = min(FIRST_PAUSE * 2.0 ** min(bucket.refused - 2, 16), LONGEST_PAUSE)
                    bucket.closed_until = bucket.at + pause
            else:
                bucket.refused, bucket.closed_until = 0, 0.0
                bucket.share = min(1.0, bucket.share + 0.1)

    def _bucket(self, where: Hashable, action: str) -> _Bucket | None:
        now = self._clock()
        found = self._buckets.get((where, action))
        if found is None:
            size = self._sizes(action)
            if size is None:
                return None
            found = self._buckets[where, action] = _Bucket(size, now)
        found.fill(now)
        return found
