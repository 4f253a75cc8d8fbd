"""Bills on disk, one file per provider: what was read last survives a restart, and nothing is asked for twice.

    {"version": 1, "read_at": 1.7950032e9,
     "days": {"2026-11-20": {"read_at": 1.79e9, "rows": [["proj_a", "gpt-4o, input", 1250000000]], …}},
     "tokens": {"2026-11-20": {"read_at": 1.79e9, "kinds": {"input": 1000}, "uncosted": 0}}}

The file can be made again from the provider's answers, so a damaged one is an empty one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from fleetwatch.collect.files import replace
from fleetwatch.records.bills import Bill, BillDay, BillRow, TokenDay

VERSION = 1
KEEP_DAYS = 100
"""Days that stay on file; the longest report of a provider has 31."""

_EPOCH = date(1970, 1, 1)


def iso(day: int) -> str:
    """`2026-11-20`."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def number_of(text: str) -> int:
    """The inverse of `iso`. Raises ValueError."""
    return (date.fromisoformat(text) - _EPOCH).days


def file_of(folder: Path, provider: str) -> Path:
    return folder / f"{provider}.json"


def read(file: Path) -> Bill:
    """What is on file; nothing where there is none, or one that cannot be understood. Raises OSError."""
    try:
        found = json.loads(file.read_bytes())
        if found["version"] != VERSION:
            return Bill({}, {})
        days = {number_of(text): _day(number_of(text), one) for text, one in found["days"].items()}
        tokens = {number_of(text): _tokens(number_of(text), one) for text, one in found["tokens"].items()}
        return Bill(days, tokens, float(found["read_at"]))
    except FileNotFoundError:
        return Bill({}, {})
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return Bill({}, {})


def write(file: Path, bill: Bill) -> None:
    """Put a bill on file, whole or not at all, readable by the owner alone. Raises OSError."""
    oldest = max(bill.days, default=0) - KEEP_DAYS
    text = json.dumps(
        {
            "version": VERSION,
            "read_at": bill.read_at,
            "days": {iso(day): _of_day(one) for day, one in sorted(bill.days.items()) if day > oldest},
            "tokens": {iso(day): _of_tokens(one) for day, one in sorted(bill.tokens.items()) if day > oldest},
        },
        separators=(",", ":"),
    )
    replace(file, text.encode())


def _of_day(day: BillDay) -> dict[str, Any]:
    rows = [list(row) for row in day.rows]
    return {"read_at": day.read_at, "rows": rows, "estimated": day.estimated, "first": day.first}


def _day(number: int, found: Mapping[str, Any]) -> BillDay:
    rows = tuple(BillRow(str(account), str(line), int(nano)) for account, line, nano in found["rows"])
    first = None if found["first"] is None else int(found["first"])
    return BillDay(number, float(found["read_at"]), rows, bool(found["estimated"]), first)


def _of_tokens(day: TokenDay) -> dict[str, Any]:
    return {"read_at": day.read_at, "kinds": day.kinds, "uncosted": day.uncosted}


def _tokens(number: int, found: Mapping[str, Any]) -> TokenDay:
    kinds = {str(kind): int(count) for kind, count in found["kinds"].items()}
    return TokenDay(number, float(found["read_at"]), kinds, int(found["uncosted"]))
