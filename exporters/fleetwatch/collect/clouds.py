"""What went wrong in a cloud, as the runner and people are told."""

from __future__ import annotations

from collections.abc import Sequence

from fleetwatch.aws.calls import Trouble
from fleetwatch.collect.runner import Denied, Incomplete

SHOWN = 5
"""Troubles that a message names; the others are counted."""


def incomplete(troubles: Sequence[Trouble]) -> Incomplete:
    """For the end of a source's cycle: what of it failed, and which permissions are missing."""
    texts = list(dict.fromkeys(str(item) for item in troubles))
    more = f" | and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    found = {item.permission: Denied(item.permission, item.why, item.fix) for item in troubles if item.permission}
    return Incomplete(" | ".join(texts[:SHOWN]) + more, found.values())
