"""`fleetwatch cost`: what was spent, from the ledger."""

from __future__ import annotations

from pathlib import Path

import click

from fleetwatch.app.told import exact
from fleetwatch.cli._options import config_option, format_option, open_ledger, show
from fleetwatch.ledger.query import GROUPS, Spending, parse_when

COLUMNS = ("requests", "input", "cached", "output", "cost_usd", "priced", "reported", "estimated", "unpriced_requests")


@click.command("cost")
@click.option(
    "--by", type=click.Choice(GROUPS), multiple=True, default=("model",), show_default=True, help="May be repeated."
)
@click.option("--since", help="A time such as 2026-11-01, 2026-11-01T08:00 (UTC), or an age such as 30m, 24h, 7d.")
@click.option("--until", help="As --since. Times are taken to the full quarter of an hour.")
@config_option
@format_option
def command(by: tuple[str, ...], since: str | None, until: str | None, config: Path | None, style: str) -> None:
    """Requests, tokens and US dollars by model, agent, team … from the ledger, exact to the nano-dollar."""
    try:
        start, end = parse_when(since), parse_when(until)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with open_ledger(config) as ledger:
        spending = ledger.spending(by, start, end)
    rows = [(*item.group, *_numbers(item)) for item in spending]
    total = sum((item.cost for item in spending), 0)
    missing = sum(item.unpriced_requests for item in spending)
    note = f"Total {exact(total)} USD"
    if missing:
        note += f"; {missing} requests have no known price and are missing from it (fleetwatch price MODEL says why)"
    show(style, (*by, *COLUMNS), rows, note=note)


def _numbers(item: Spending) -> tuple[object, ...]:
    return (
        item.requests,
        item.tokens["input"] + item.tokens["audio_in"] + item.tokens["image"] + item.tokens["cache_write"],
        item.tokens["cache_read"],
        item.tokens["output"] + item.tokens["reasoning"] + item.tokens["audio_out"],
        exact(item.cost),
        exact(item.by_confidence.get("priced", 0)),
        exact(item.by_confidence.get("reported", 0)),
        exact(item.by_confidence.get("estimated", 0)),
        item.unpriced_requests,
    )
