"""How good predictions were: told while a run lasts, judged when it has ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fleetwatch.app.pipelines.ring import Ends

MOST = 64
"""Predictions remembered of one run. Past it every other one is dropped: which of them were made at a quarter, half and
three quarters of it is known only at its end."""
MOMENTS = (0.25, 0.5, 0.75)
NEAR = 0.1
"""Of the run's duration: a prediction made farther than this from a moment is not taken for it."""

EXACT = 10**6
"""Nanoseconds by which an end that was foretold exactly may differ: no clock is read more finely for this."""


class Score(NamedTuple):
    """error: of the p50, as a share of the run's duration. within: whether the run ended before the p90."""

    error: float
    within: bool


class Told:
    """Predictions for one run, on an even grid."""

    __slots__ = ("_spacing", "_told")

    def __init__(self) -> None:
        self._told: list[tuple[int, Ends]] = []
        self._spacing = 0

    def add(self, at: int, ends: Ends) -> None:
        if self._told and at - self._told[-1][0] < self._spacing:
            return
        self._told.append((at, ends))
        if len(self._told) >= MOST:
            self._spacing = 2 * (self._told[-1][0] - self._told[0][0]) // (len(self._told) - 1)
            del self._told[1::2]

    def scores(self, started: int, ended: int) -> Iterator[Score]:
        """Of a run that ended well: at each moment the prediction nearest to it, if one is near."""
        took = ended - started
        if took <= 0 or not self._told:
            return
        for moment in MOMENTS:
            wanted = started + moment * took
            at, ends = min(self._told, key=lambda told: abs(told[0] - wanted))
            if abs(at - wanted) <= NEAR * took:
                yield Score(abs(ends.p50 - ended) / took, ended <= ends.p90 + EXACT)
