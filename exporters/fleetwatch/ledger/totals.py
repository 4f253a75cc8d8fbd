"""Running sums per label set, as exact integers."""

from __future__ import annotations

import bisect
import json
from typing import Any, NamedTuple

from fleetwatch.catalogue import llm
from fleetwatch.ledger.schema import SUMS, TOKEN_KINDS

QUARTER = 900 * 10**9
"""A quarter of an hour in nanoseconds."""

DURATION_BOUNDS = [round(bound * 10**9) for bound in llm.REQUEST_DURATION.buckets]
FIRST_TOKEN_BOUNDS = [round(bound * 10**9) for bound in llm.TIME_TO_FIRST_TOKEN.buckets]

LABELS = 3
"""Place of the label set's number in a row as it goes into llm_calls: key, span, at, labels, *SUMS, duration,
first_token.
"""

DURATION = LABELS + 1 + len(SUMS)
"""Place of a call's duration in the same row; None where it was not told."""


class CallLabels(NamedTuple):
    """Labels of one set, as received."""

    agent: str
    team: str
    provider: str
    model: str
    operation: str
    outcome: str
    error_type: str
    confidence: str


class Total:
    """Sums of one label set. Money in nano-USD, durations in nanoseconds, counts per bucket not cumulative."""

    __slots__ = ("duration_counts", "duration_sum", "first_token_counts", "first_token_sum", "spend", "sums")

    def __init__(self) -> None:
        self.sums = [0] * len(SUMS)
        self.duration_sum = 0
        self.duration_counts = [0] * (len(DURATION_BOUNDS) + 1)
        self.first_token_sum = 0
        self.first_token_counts = [0] * (len(FIRST_TOKEN_BOUNDS) + 1)
        self.spend: dict[int, int] = {}
        """Cost per quarter of an hour (of the calls' own time); only what was added since it was last taken."""

    @property
    def requests(self) -> int:
        return self.sums[0]

    @property
    def cost(self) -> int:
        return self.sums[1]

    def tokens(self) -> zip[tuple[str, int]]:
        return zip(TOKEN_KINDS, self.sums[2:], strict=True)

    def fold(self, row: tuple[Any, ...]) -> None:
        """Add one row of llm_calls. Runs once per call: written for speed."""
        sums = self.sums
        sums[0] += row[4]
        cost = row[5]
        if cost:
            sums[1] += cost
            quarter = row[2] // QUARTER
            self.spend[quarter] = self.spend.get(quarter, 0) + cost
        sums[2] += row[6]
        sums[5] += row[9]
        # The other kinds are mostly absent.
        if row[7]:
            sums[3] += row[7]
        if row[8]:
            sums[4] += row[8]
        if row[10]:
            sums[6] += row[10]
        if row[11] or row[12] or row[13]:
            sums[7] += row[11]
            sums[8] += row[12]
            sums[9] += row[13]
        duration, first_token = row[14], row[15]
        if duration is not None:
            self.duration_sum += duration
            self.duration_counts[bisect.bisect_left(DURATION_BOUNDS, duration)] += 1
        if first_token is not None:
            self.first_token_sum += first_token
            self.first_token_counts[bisect.bisect_left(FIRST_TOKEN_BOUNDS, first_token)] += 1

    def merge(self, other: Total) -> None:
        """Add another total of the same labels; its `spend` is not carried over."""
        self.sums = [mine + theirs for mine, theirs in zip(self.sums, other.sums, strict=True)]
        self.duration_sum += other.duration_sum
        self.first_token_sum += other.first_token_sum
        self.duration_counts = [a + b for a, b in zip(self.duration_counts, other.duration_counts, strict=True)]
        self.first_token_counts = [
            a + b for a, b in zip(self.first_token_counts, other.first_token_counts, strict=True)
        ]

    def to_row(self, labels: int) -> tuple[Any, ...]:
        return (
            labels,
            *self.sums,
            str(self.duration_sum),
            json.dumps(self.duration_counts),
            str(self.first_token_sum),
            json.dumps(self.first_token_counts),
        )

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> Total:
        """The inverse of to_row without its first column."""
        total = cls()
        count = len(SUMS)
        total.sums = list(row[:count])
        total.duration_sum, total.first_token_sum = int(row[count]), int(row[count + 2])
        total.duration_counts = json.loads(row[count + 1])
        total.first_token_counts = json.loads(row[count + 3])
        return total
