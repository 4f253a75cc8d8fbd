"""`fleetwatch bills`: what the providers billed, beside what was metered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import click

from fleetwatch.cli._options import config_option, format_option, show

COLUMNS = (
    "provider",
    "day",
    "billed_usd",
    "metered_usd",
    "unmetered_usd",
    "drift_percent",
    "verdict",
    "requests",
    "remarks",
)

FOR_PEOPLE = ("provider", "day", "billed", "metered", "difference", "drift %", "verdict")
CENT = Decimal("0.01")


@click.command("bills")
@click.option("--days", type=click.IntRange(1, 100), default=14, show_default=True, help="Newest days of each bill.")
@config_option
@format_option
def command(days: int, config: Path | None, style: str) -> None:
    """Billed and metered US dollars per provider and UTC day, as the exporter read the bills last.

    A table has US dollars to the cent, JSON and CSV have every digit. A day is judged when the provider has had its
    time to settle it. Nobody is asked: the exporter does that.
    """
    from fleetwatch.app import bills  # noqa: PLC0415 - only this verb needs ledger and bills
    from fleetwatch.ledger.errors import LedgerError  # noqa: PLC0415 - see above
    from fleetwatch.settings import load  # noqa: PLC0415 - see above

    settings = load(config)
    try:
        told = bills.table(settings, days)
    except (LedgerError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if style == "table":
        show(style, FOR_PEOPLE, list(_for_people(told.rows)), note="\n".join([*_remarks(told.rows), told.note]).strip())
    else:
        show(style, COLUMNS, told.rows, note=told.note)


def _for_people(rows: Sequence[Sequence[object]]) -> Iterator[tuple[str, ...]]:
    """Cents, where no amount is less than one: nano-dollars are for programs, and wider than a terminal."""
    money = [[Decimal(str(amount)) for amount in row[2:5]] for row in rows]
    decimals = 2 if all(not amount or abs(amount) >= CENT for amounts in money for amount in amounts) else 6
    for row, amounts in zip(rows, money, strict=True):
        provider, day, drift, verdict = (str(row[place]) for place in (0, 1, 5, 6))
        yield (
            provider,
            day,
            *(f"{amount:.{decimals}f}" for amount in amounts),
            drift,
            verdict.removesuffix("_provider").replace("_", " "),
        )


def _remarks(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Below the table, which has no room for them; the same remark on several days once."""
    days: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row[8]:
            days.setdefault((str(row[0]), str(row[8])), []).append(str(row[1]))
    for (provider, remark), found in days.items():
        when = found[0] if len(found) == 1 else f"{len(found)} days from {min(found)} to {max(found)}"
        yield f"{provider}, {when}: {remark}"
