"""How money and times are told to people and programs."""

from __future__ import annotations

import time
from decimal import Decimal


def exact(billionths: int) -> str:
    """Nano-USD as dollars, nanoseconds as seconds: every digit."""
    return f"{Decimal(billionths).scaleb(-9):.9f}"


def utc(ns: int | None) -> str:
    """A time, Unix nanoseconds, to the second; empty for none."""
    return "" if ns is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ns / 1e9))
