"""Who has taken on which alert: what is counted of it. Nothing tells the person or the reason."""

from __future__ import annotations

from typing import NamedTuple


class Acknowledgement(NamedTuple):
    """An acknowledgement, known by the silence that keeps it."""

    silence: str
    """Id of the silence; counts once."""
    alertname: str
    severity: str
    """One of the values of the label."""
    ends: int
    """Unix nanoseconds."""
    is_first: bool = True
    """Not where it goes on from another one of the same alerts."""
    waited: int | None = None
    """Nanoseconds from the alert's beginning; None where nobody knows."""
