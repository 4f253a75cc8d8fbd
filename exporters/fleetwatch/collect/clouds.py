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
    found: dict[str, list[Trouble]] = {}
    for item in troubles:
        if item.permission:
            found.setdefault(item.permission, []).append(item)
    denied = (Denied(name, _whys(items), items[0].fix) for name, items in found.items())
    return Incomplete(" | ".join(texts[:SHOWN]) + more, denied)


def _whys(troubles: Sequence[Trouble]) -> str:
    """The first, and how many others there are: a policy without a line is one mistake in 30 regions."""
    others = len({item.why for item in troubles}) - 1
    return f"{troubles[0].why} (and {others} more of this kind)" if others else troubles[0].why
