"""`fleetwatch price`: what a model costs, and a call of it."""

from __future__ import annotations

import datetime
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from fleetwatch.app.prices import price_book
from fleetwatch.cli._options import config_option, format_option, printable, show
from fleetwatch.reckon.explain import Explanation, Line, explain
from fleetwatch.reckon.price import UNPRICED, Names, PriceBook
from fleetwatch.records.llm import Tokens
from fleetwatch.settings import load

COLUMNS = ("kind", "usd_per_million", "same_as", "tokens", "usd")
HELP = {
    "input": "Input tokens that no cache served or stored.",
    "output": "Output tokens without reasoning.",
    "cache_write_long": "The part of --cache-write that is kept for an hour.",
}


def _token_options(function: Any) -> Any:
    """`--input N`, `--cache-read N` …: one per kind of token."""
    for kind in reversed(Tokens._fields):
        name = f"--{kind.replace('_', '-')}"
        function = click.option(name, kind, type=click.IntRange(min=0), default=0, help=HELP.get(kind))(function)
    return function


@click.command("price")
@click.argument("model")
@click.option("--provider", default="", help="As in the label, e.g. aws.bedrock; left out: the model's maker.")
@_token_options
@click.option("--tier", default="", help="Service tier: flex, priority …")
@click.option("--batch", is_flag=True, help="Processed as a batch.")
@click.option("--region", default="", help="Region of the call.")
@click.option("--at", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="When, UTC. [default: now]")
@config_option
@format_option
def command(
    *,
    model: str,
    provider: str,
    tier: str,
    batch: bool,
    region: str,
    at: datetime.datetime | None,
    config: Path | None,
    style: str,
    **tokens: int,
) -> None:
    """Prices of MODEL per million tokens, with the contract prices of the settings, and what a call costs.

    The kinds of tokens do not overlap: a call with 2,006 input tokens of which 1,920 came from the cache is
    --input 86 --cache-read 1920. Ends with status 1 when there is no price.
    """
    book = price_book(load(config))
    time = (at or datetime.datetime.now(datetime.UTC)).replace(tzinfo=datetime.UTC)
    counted = Tokens(**tokens)
    counted = counted._replace(cache_write=max(counted.cache_write, counted.cache_write_long))
    found = explain(book, Names(provider, model, tier, batch, region), counted, int(time.timestamp()) * 10**9)
    if style == "json":
        click.echo(json.dumps(_data(found, book), indent=2))
    elif found.lines:
        name = " ".join(filter(None, [*found.names[:3], "batch" if batch else "", region]))
        show(style, COLUMNS, [_cells(line) for line in found.lines], title=name, note="\n".join(_notes(found, book)))
    else:
        near = f"; near names: {', '.join(found.candidates)}" if found.candidates else ""
        table = f"{book.source} {book.version}"
        click.echo(printable(f"{provider} {model}: no price in {table}{near}".lstrip()), err=True)
    if found.confidence == UNPRICED:
        sys.exit(1)


def _data(found: Explanation, book: PriceBook) -> dict[str, object]:
    """Money is text: a JSON reader may make floats of numbers."""
    return {
        **found.names._asdict(),
        "entry": found.entry,
        "confidence": found.confidence,
        "source": found.source,
        "discount_percent": str(found.discount_percent),
        "long_context_above": found.band,
        "other_prices_above": found.next_band,
        "prices": [dict(zip(COLUMNS, _cells(line), strict=True)) for line in found.lines],
        "nano_usd": found.nano_usd,
        "usd": _plain(Decimal(found.nano_usd).scaleb(-9)),
        "candidates": found.candidates,
        "table": {"source": book.source, "version": book.version, "released": _day(book.checked)},
    }


def _notes(found: Explanation, book: PriceBook) -> list[str]:
    discount = f", {found.discount_percent} % off" if found.discount_percent else ""
    table = f"{book.source} {book.version} of {_day(book.checked)}"
    notes = [f"{found.confidence}: {found.source} price of {found.entry or found.names.model}{discount} ({table})"]
    if found.band is not None:
        notes.append(f"Prices for more than {found.band:,} tokens of input.")
    if found.next_band is not None:
        notes.append(f"Other prices above {found.next_band:,} tokens of input.")
    if any(line.tokens for line in found.lines):
        notes.append(f"The call costs {_plain(Decimal(found.nano_usd).scaleb(-9))} USD.")
    return [printable(note) for note in notes]


def _cells(line: Line) -> tuple[str, str, str, int, str]:
    known = "" if line.usd_per_million is None else _plain(line.usd_per_million)
    return line.kind, known, line.same_as, line.tokens, _plain(line.usd)


def _plain(number: Decimal) -> str:
    """1E+1 as 10, 0.500 as 0.5."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _day(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
