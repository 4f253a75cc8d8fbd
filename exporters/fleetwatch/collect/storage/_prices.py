"""The price table: the dated one that comes with the exporter, or a file of yours.

    region,kind,type,unit,usd_per_month,confirmed
    us-east-1,volume,gp3,gib,0.08,yes

What is not in it has no price. The column confirmed may be missing: then all are.
"""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from fleetwatch.reckon.bills import nano
from fleetwatch.records.storage import Price, PriceList

BUNDLED = "ebs-prices-2026-07-17.csv"
DAY = datetime(2026, 7, 17, tzinfo=UTC).timestamp()

COLUMNS = ("region", "kind", "type", "unit", "usd_per_month")
ALLOWED = {"kind": {"volume", "snapshot"}, "unit": {"gib", "iops", "mibps", "iops_32000", "iops_64000"}}
LARGEST = 1 << 20
"""Characters of a file: 30 regions are 50 kB."""


class Table(NamedTuple):
    """Prices and the day that they are of, Unix time. source: as in the catalogue."""

    prices: PriceList
    day: float
    source: str


def table(file: Path | None) -> Table:
    """Raises ValueError, naming file and line, for a file that cannot be read or has something else in it."""
    if file is None:
        return _bundled()
    try:
        day = file.stat().st_mtime
        with file.open(encoding="utf-8") as out:
            text = out.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"storage.prices_file: {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"storage.prices_file: {file}: expected text in UTF-8") from None
    if len(text) > LARGEST:
        raise ValueError(f"storage.prices_file: {file}: expected at most {LARGEST} characters, got more")
    return Table(read(text, str(file)), day, "settings")


@cache
def _bundled() -> Table:
    text = files(__package__).joinpath(BUNDLED).read_text(encoding="utf-8")
    return Table(read(text, BUNDLED), DAY, "bundled")


def read(text: str, name: str) -> PriceList:
    """The prices of a CSV text. Raises ValueError."""
    rows = csv.DictReader(text.splitlines())
    missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        raise ValueError(f"{name}:1: expected the columns {','.join(COLUMNS)}, got none called {missing[0]}")
    found: dict[tuple[str, str, str, str], Price] = {}
    try:
        for row in rows:
            key, price = _row(row, f"{name}:{rows.line_num}")
            if key in found:
                raise ValueError(f"{name}:{rows.line_num}: expected one price of {' '.join(key)}, got a second one")
            found[key] = price
    except csv.Error as error:
        raise ValueError(f"{name}:{rows.line_num}: {error}") from None
    return found


def _row(row: dict[str, str | None], where: str) -> tuple[tuple[str, str, str, str], Price]:
    texts = {column: (row.get(column) or "").strip() for column in (*COLUMNS, "confirmed")}
    for column, allowed in ALLOWED.items():
        if texts[column] not in allowed:
            raise ValueError(f"{where}: {column}: expected one of {', '.join(sorted(allowed))}, got {texts[column]!r}")
    if texts["confirmed"] not in ("", "yes", "no"):
        raise ValueError(f"{where}: confirmed: expected yes or no, got {texts['confirmed']!r}")
    try:
        usd = nano(texts["usd_per_month"])
        if usd < 0 or Decimal(texts["usd_per_month"]) * 10**9 != usd:
            raise ValueError
    except ValueError:
        got = texts["usd_per_month"]
        raise ValueError(f"{where}: usd_per_month: expected US dollars with at most 9 decimals, got {got!r}") from None
    key = (texts["region"], texts["kind"], texts["type"], texts["unit"])
    return key, Price(usd, texts["confirmed"] != "no")
