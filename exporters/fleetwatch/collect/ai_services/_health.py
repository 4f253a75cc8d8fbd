"""How well a service does, from its calls of the past minutes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Limits(NamedTuple):
    """From which share of calls on. least: calls below which a share says nothing."""

    degraded: float = 0.05
    throttled: float = 0.05
    failing: float = 0.5
    least: float = 5


class Window(NamedTuple):
    """Calls of a resource. Throttled ones are neither ok nor failed."""

    ok: float = 0
    failed: float = 0
    throttled: float = 0

    @property
    def requests(self) -> float:
        return self.ok + self.failed + self.throttled

    @property
    def error_ratio(self) -> float:
        return self.failed / self.requests if self.requests else 0.0

    @property
    def throttled_ratio(self) -> float:
        return self.throttled / self.requests if self.requests else 0.0

    def plus(self, other: Window) -> Window:
        return Window(self.ok + other.ok, self.failed + other.failed, self.throttled + other.throttled)


ORDER = ("failing", "throttled", "degraded", "ok", "no_data")
"""Worst first."""


def state(window: Window, limits: Limits) -> str:
    """What one resource is in."""
    if not window.requests:
        return "no_data"
    if window.requests < limits.least:
        return "ok"
    if window.error_ratio >= limits.failing:
        return "failing"
    if window.throttled_ratio >= limits.throttled:
        return "throttled"
    return "degraded" if window.error_ratio >= limits.degraded else "ok"


def worst(states: Iterable[str]) -> str:
    """State of the service: that of its worst resource."""
    return min(states, key=ORDER.index, default="no_data")
