"""What hosts say of themselves, and what is remembered of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Labels = tuple[tuple[str, str], ...]
"""Names and values as they came, without the host's name."""


@dataclass(frozen=True, eq=False, slots=True)
class Form:
    """Which series of a host: the metric's OpenTelemetry name and the labels.

    Hosts of one kind share them, and whoever looks one up does so by identity, which costs next to nothing; a series
    may have several.
    """

    name: str
    labels: Labels


class HostReport(NamedTuple):
    """One report of one host's sidecar, or a piece of it: pieces of one report have the same time."""

    host: str
    at: int
    """When it was made by the host's clock, but at most when it arrived; Unix nanoseconds."""
    forms: list[Form]
    values: list[float]
    """One for each form."""
    strangers: int = 0
    """Points that named another host; they are not among these."""


class Host(NamedTuple):
    """A host of the roster. Times are Unix nanoseconds by this machine's clock unless told otherwise."""

    name: str
    first_seen: int
    since: int
    """Start of the time for which it has been reporting without a break that was noticed."""
    last_report: int
    sent: int
    """Time of the newest report by the host's own clock: an older report changes nothing any more."""
    lag: int
    """How far the host's clock is behind, with the shortest time that a report is under way."""
    interval: int
    """Nanoseconds between two of its reports."""
    confirmed_at: int | None = None
    goodbye_at: int | None = None
    """When it said goodbye; None for a host that did not or has reported since."""
    notice_at: int | None = None
    """When the cloud will take it away, by its last report."""
    silent_at: int | None = None
    """When it was found silent; None for a host that reports or said goodbye."""
    instance_type: str = ""
    region: str = ""
    lifecycle: str = ""
