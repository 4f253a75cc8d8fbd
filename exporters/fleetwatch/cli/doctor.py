"""`fleetwatch doctor`: what is reachable, which permission is missing, and the fix."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import click

from fleetwatch.app.doctor import Finding, examine
from fleetwatch.cli._options import config_option, printable
from fleetwatch.settings import load

INDENT = " " * 10


@click.command("doctor")
@config_option
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--paid", is_flag=True, help="Also ask what costs more than a cent: AWS Cost Explorer.")
@click.option("--all", "everything", is_flag=True, help="Show what is well, too, line by line.")
def command(config: Path | None, style: str, paid: bool, everything: bool) -> None:
    """Look at settings, files, ledger, ports, programs, AWS and every enabled source, and say what to do.

    Every source is asked once; nothing is changed. Exit status 1 when something is wrong.
    """
    findings = []
    for _, group in groupby(examine(load(config), _tell, paid=paid), key=lambda finding: finding.area):
        area = list(group)
        findings += area
        if style == "text":
            _show([item for item in area if everything or item.state in ("trouble", "note")])
    troubles = sum(finding.state == "trouble" for finding in findings)
    if style == "json":
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        well = sum(finding.state == "ok" for finding in findings)
        hint = "" if everything else " (--all shows them)"
        click.echo(f"{_number(troubles, 'trouble')}, {_number(well, 'thing')} in order{hint}")
    if troubles:
        sys.exit(1)


def _tell(what: str) -> None:
    """For a person who waits; a pipe does not."""
    if sys.stderr.isatty():
        click.echo(f"{what} …", err=True)


def _show(findings: Sequence[Finding]) -> None:
    """Of one area. What all sources have alike is said once, and a fix that several share after the last of them."""
    names: dict[Finding, list[str]] = {}
    for item in findings:
        alike = item._replace(what="" if item.state == "trouble" else item.what)
        names.setdefault(alike, []).append(item.what)
    shown = list(names)
    for place, item in enumerate(shown):
        detail = f": {printable(item.detail)}" if item.detail else ""
        _line(f"{item.state:10}{item.area}, {', '.join(names[item])}{detail}")
        if any((item.fix, item.permission) == (other.fix, other.permission) for other in shown[place + 1 : place + 2]):
            continue
        if item.permission:
            _line(f"{INDENT}missing: {item.permission}")
        if item.fix:
            _line(f"{INDENT}fix: {printable(item.fix)}")


def _line(text: str) -> None:
    """Folded for a person, whole for a pipe, where people search."""
    if sys.stdout.isatty():
        width = max(40, shutil.get_terminal_size().columns)
        text = textwrap.fill(text, width, subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False)
    click.echo(text)


def _number(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
