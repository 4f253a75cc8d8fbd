"""What is known of provider bills. Money is an integer count of nano-USD; a day counts UTC days since 1970."""

from __future__ import annotations

from typing import NamedTuple


class BillRow(NamedTuple):
    """What one account was billed for one line on one day."""

    account: str
    line: str
    nano: int


class BillDay(NamedTuple):
    """One day of a bill, as it was read last."""

    day: int
    read_at: float
    """Unix time."""
    rows: tuple[BillRow, ...]
    estimated: bool = False
    """Whether the provider calls it an estimate."""
    first: int | None = None
    """What it came to when it first counted as settled; None before that."""

    @property
    def nano(self) -> int:
        return sum(row.nano for row in self.rows)


class TokenDay(NamedTuple):
    """The tokens that a provider counted on one day."""

    day: int
    read_at: float
    kinds: dict[str, int]
    """By the catalogue's kinds; reasoning is in output."""
    uncosted: int = 0
    """Tokens whose cost is not on the bill."""


class Bill(NamedTuple):
    """Everything that is known of one provider's bill."""

    days: dict[int, BillDay]
    tokens: dict[int, TokenDay]
    read_at: float = 0.0
    """When it was last read to its end, Unix time; 0 for never."""


class MeteredDay(NamedTuple):
    """What was metered of one bill's providers on one day."""

    requests: int = 0
    by_confidence: dict[str, int] = {}  # noqa: RUF012 - nobody writes to it
    """Nano-USD."""
    unpriced_requests: int = 0
    tokens: dict[str, int] = {}  # noqa: RUF012 - nobody writes to it

    @property
    def nano(self) -> int:
        return sum(self.by_confidence.values())
