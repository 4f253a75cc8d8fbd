"""What OpenLineage events say: a run of a job, and whose part it is.

Whose run a job belongs to may only be known from its parent's events, which may come later: the ledger makes RunReport
and PhaseReport of these, see ledger/pipelines/lineage.py. Times are Unix nanoseconds by the sender's clock, at most
when they arrived.
"""

from __future__ import annotations

from typing import NamedTuple


class Job(NamedTuple):
    """A run of a job. Texts have at most 200 characters."""

    run: str
    name: str
    namespace: str = ""


class DataUse(NamedTuple):
    """What a run read from or wrote to one dataset so far; 0 where not told."""

    dataset: str
    """Digest of direction, namespace and name: 16 hexadecimal digits."""
    items_in: int = 0
    items_out: int = 0
    files: int = 0
    size: int = 0
    """Bytes written."""


class LineageEvent(NamedTuple):
    """One run event."""

    me: Job
    at: int
    state: str = ""
    """executing, ended, or empty for an event that only adds facts."""
    result: str = ""
    """success, failure or cancellation, where it ended."""
    begins: bool = False
    """Whether it begins at `at`."""
    error_type: str = ""
    parent: Job | None = None
    root: Job | None = None
    attempt: int = 1
    version: str = ""
    data: tuple[DataUse, ...] = ()
