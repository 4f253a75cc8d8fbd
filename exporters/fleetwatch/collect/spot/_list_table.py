"""List prices in a table: the dated one that comes with the exporter, or a file of yours.

    region,instance_type,usd_per_hour,product
    us-east-1,m7g.large,0.0816,Linux/UNIX

The column product may be missing: then all are Linux/UNIX. What is not in it has no price.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from fleetwatch.catalogue.metric import NANO
from fleetwatch.collect.spot._usd import nano_usd
from fleetwatch.records.spot import ListPrice

BUNDLED = "ec2-on-demand-2026-07-20.csv"
DAY = int(datetime(2026, 7, 20, tzinfo=UTC).timestamp()) * NANO
SETTING = "spot.prices_file"
COLUMNS = ("region", "instance_type", "usd_per_hour")
USUAL = "Linux/UNIX"
LARGEST = 8 << 20
"""Characters of a file: 30 regions with all types are 1.4 MB."""
SHOWN = 3
"""Lines with an error that are named; the others are counted."""

Key = tuple[str, str, str]
"""(region, instance type, product)."""


class Table(NamedTuple):
    """Prices, and what was wrong with lines of the file; those lines are left out."""

    prices: Mapping[Key, ListPrice]
    wrong: tuple[str, ...] = ()


@cache
def bundled() -> Table:
    text = files(__package__).joinpath(BUNDLED).read_text(encoding="utf-8")
    return read(text, BUNDLED, DAY)


def changed(file: Path) -> int:
    """When a file was written, Unix nanoseconds. Raises ValueError."""
    try:
        return file.stat().st_mtime_ns
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None


def of_file(file: Path, at: int) -> Table:
    """Raises ValueError for a file that cannot be read at all."""
    try:
        with file.open(encoding="utf-8") as source:
            text = source.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file}: expected text in UTF-8") from None
    if len(text) > LARGEST:
        raise ValueError(f"{file}: expected at most {LARGEST} characters, got more")
    return read(text, str(file), at)


def read(text: str, name: str, at: int) -> Table:
    """The prices of a CSV text. at: their age, Unix nanoseconds. Raises ValueError for a text without the columns."""
    rows = csv.DictReader(text.lstrip("\ufeff").splitlines())
    found: dict[Key, ListPrice] = {}
    wrong: list[str] = []
    try:
        names = rows.fieldnames or ()
        missing = [column for column in COLUMNS if column not in names]
        if missing:
            raise ValueError(f"{name}:1: expected the columns {','.join(COLUMNS)}, got none called {missing[0]}")
        for row in rows:
            try:
                key, price = _row(row)
                if key in found:
                    raise ValueError(f"expected one price of {' '.join(key)}, got a second one")
            except ValueError as error:
                wrong.append(f"{name}:{rows.line_num}: {error}")
                continue
            found[key] = ListPrice(price, at, "static")
    except csv.Error as error:
        wrong.append(f"{name}:{rows.line_num}: {error}")
    return Table(found, tuple(wrong))


def _row(row: Mapping[str, str | None]) -> tuple[Key, int]:
    region, kind, usd = ((row.get(column) or "").strip() for column in COLUMNS)
    product = (row.get("product") or "").strip() or USUAL
    for column, value in (("region", region), ("instance_type", kind)):
        if not value:
            raise ValueError(f"{column}: expected a name, got nothing")
    try:
        price = nano_usd(usd, "0.0816")
    except ValueError as error:
        raise ValueError(f"usd_per_hour: {error}") from None
    if not price:
        raise ValueError(f'usd_per_hour: expected more than 0, got "{usd}"')
    return (region, kind, product), price
