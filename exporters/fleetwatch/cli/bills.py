"""`fleetwatch bills`: what the providers billed, beside what was metered."""

from __future__ import annotations

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


@click.command("bills")
@click.option("--days", type=click.IntRange(1, 100), default=14, show_default=True, help="Newest days of each bill.")
@config_option
@format_option
def command(days: int, config: Path | None, style: str) -> None:
    """Billed and metered US dollars per provider and UTC day, as the exporter read the bills last.

    A day is judged when the provider has had its time to settle it. Nobody is asked: the exporter does that.
    """
    from fleetwatch.app import bills  # noqa: PLC0415 - only this verb needs ledger and bills
    from fleetwatch.ledger.errors import LedgerError  # noqa: PLC0415 - see above
    from fleetwatch.settings import load  # noqa: PLC0415 - see above

    settings = load(config)
    try:
        told = bills.table(settings, days)
    except (LedgerError, OSError) as error:
        raise click.ClickException(str(error)) from None
    show(style, COLUMNS, told.rows, note=told.note)
