"""`fleetwatch doctor`: what is reachable, which permission is missing, and the fix."""

from __future__ import annotations

import json
import sys
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
    for finding in examine(load(config), paid=paid):
        findings.append(finding)
        if style == "text":
            _show(finding, everything)
    troubles = sum(finding.state == "trouble" for finding in findings)
    if style == "json":
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        well = sum(finding.state == "ok" for finding in findings)
        click.echo(f"{_number(troubles, 'trouble')}, {_number(well, 'thing')} in order")
    if troubles:
        sys.exit(1)


def _show(finding: Finding, everything: bool) -> None:
    if finding.state not in ("trouble", "note") and not everything:
        return
    detail = f": {printable(finding.detail)}" if finding.detail else ""
    click.echo(f"{finding.state:10}{finding.area}, {finding.what}{detail}")
    if finding.permission:
        click.echo(f"{INDENT}missing: {finding.permission}")
    if finding.fix:
        click.echo(f"{INDENT}fix: {printable(finding.fix)}")


def _number(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
