"""Colours by meaning: a colour says what to think of a value, never just which series it is."""

from __future__ import annotations

from typing import NamedTuple

NEUTRAL = "blue"  # an amount, neither good nor bad: spend, calls, tokens
GOOD = "green"
WARN = "orange"
BAD = "red"
QUIET = "#8e8e8e"  # unknown, cancelled, off

OUTCOMES = {"ok": GOOD, "error": BAD, "timeout": WARN, "refused": "purple", "cancelled": QUIET}
CONFIDENCES = {"priced": GOOD, "reported": NEUTRAL, "estimated": WARN, "unpriced": BAD}
ANSWERS = {
    "ok": GOOD,
    "bad_request": WARN,
    "unauthorized": "purple",
    "too_large": "yellow",
    "unsupported": QUIET,
    "timeout": "light-orange",
    "throttled": "light-red",
    "unavailable": BAD,
}


class Limits(NamedTuple):
    """From which value on a figure is worth a thought (warn) and wrong (bad); below it is good.

    falling: small values are the bad ones: below `bad` is wrong, below `warn` is worth a thought.
    """

    warn: float
    bad: float
    falling: bool = False

    def steps(self) -> list[dict[str, object]]:
        """Grafana's thresholds, ascending; the first has no value: it begins at minus infinity."""
        low, high = (BAD, GOOD) if self.falling else (GOOD, BAD)
        if self.warn == self.bad:
            return [{"color": low}, {"color": high, "value": self.bad}]
        between, last = sorted((self.warn, self.bad))
        return [{"color": low}, {"color": WARN, "value": between}, {"color": high, "value": last}]


class Scale(NamedTuple):
    """Colours of a map, from `least` up: (from which value on, colour), ascending."""

    least: str
    above: tuple[tuple[float, str], ...]

    def steps(self) -> list[dict[str, object]]:
        """Grafana's thresholds."""
        return [{"color": self.least}, *({"color": colour, "value": value} for value, colour in self.above)]


Meaning = str | Limits | Scale
"""One colour, colours by limits, or a scale of them."""


def steps(meaning: Meaning) -> list[dict[str, object]]:
    """Grafana's thresholds of a meaning."""
    return [{"color": meaning}] if isinstance(meaning, str) else meaning.steps()
