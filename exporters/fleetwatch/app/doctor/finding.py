"""One thing that was looked at."""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["ok", "note", "trouble", "skipped"]
"""note: worth knowing, nothing is broken."""


class Finding(NamedTuple):
    """area, what: where it is. detail: what was seen. fix: what a person does, for trouble and notes."""

    area: str
    what: str
    state: State
    detail: str = ""
    fix: str = ""
    permission: str = ""
    """That is missing, as its vendor calls it."""
