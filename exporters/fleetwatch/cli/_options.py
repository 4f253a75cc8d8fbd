"""Options and output that several verbs share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fleetwatch.settings import load

if TYPE_CHECKING:  # SQLite is loaded only where a ledger is opened
    from fleetwatch.ledger.query import Reader

F = TypeVar("F", bound=Callable[..., Any])


def config_option(function: F) -> F:
    """`--config FILE`, as a Path or None."""
    return click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Settings file. [default: $FLEETWATCH_CONFIG, else fleetwatch.yml here]",
    )(function)


@contextmanager
def open_ledger(config: Path | None) -> Iterator[Reader]:
    """The ledger of the settings, for reading; what is wrong with it ends the program with one line."""
    from fleetwatch.ledger.errors import LedgerError  # noqa: PLC0415 - see above
    from fleetwatch.ledger.query import Reader  # noqa: PLC0415 - see above

    try:
        with Reader(load(config).ledger_path) as ledger:
            yield ledger
    except LedgerError as error:
        raise click.ClickException(str(error)) from None


def format_option(function: F) -> F:
    """`--format table|json|csv`."""
    return click.option(
        "--format", "style", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
    )(function)


def show(style: str, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "", note: str = "") -> None:
    """Print rows: a table for people, JSON objects or CSV for programs."""
    if style == "json":
        import json  # noqa: PLC0415 - most verbs print none

        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2, default=str))
    elif style == "csv":
        import csv  # noqa: PLC0415 - most verbs print none
        import io  # noqa: PLC0415 - most verbs print none

        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        click.echo(out.getvalue(), nl=False)
    else:
        _table(columns, rows, title, note)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str, note: str) -> None:
    # Only a person waits for a table: programs are not made to load rich.
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.markup import escape  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415 - see above

    numeric = [all(_is_number(row[place]) for row in rows) for place in range(len(columns))]
    table = Table(
        title=escape(printable(title)) or None, title_justify="left", box=None, pad_edge=False, header_style="bold"
    )
    for name, right in zip(columns, numeric, strict=True):
        # A number is never broken: half of it reads as another one.
        table.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        table.add_row(*(escape(printable(value)) for value in row))
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    console.print(table)
    if note:
        console.print(escape(note))


def printable(value: object) -> str:
    """Text without control characters: names come from outside and a terminal obeys them."""
    return "".join(char if char.isprintable() else "\ufffd" for char in str(value))


def _is_number(value: object) -> bool:
    text = str(value).replace(",", "").replace(".", "", 1).lstrip("-")
    return not text or text.isdigit()
