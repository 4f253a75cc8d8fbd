"""`fleetwatch check`: is everything that is configured well-formed?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import yaml

from fleetwatch import catalogue, places
from fleetwatch.cli._options import config_option
from fleetwatch.settings import Settings, load
from fleetwatch.stack import programs


class Finding(NamedTuple):
    """Outcome of one check. problem: empty when all is well; skipped: why it could not be made."""

    what: str
    problem: str = ""
    skipped: str = ""


@click.command("check")
@config_option
def command(config: Path | None) -> None:
    """Check settings, catalogue, Prometheus rules, Alertmanager routes, Collector configuration and boards.

    Exit status 1 when something is wrong. What needs a program that is not here is skipped and named.
    """
    settings = load(config)
    failed = False
    for finding in _findings(settings):
        failed = failed or bool(finding.problem)
        state = "skipped" if finding.skipped else "wrong" if finding.problem else "ok"
        detail = finding.skipped or finding.problem
        click.echo(f"{state:8}{finding.what}{': ' + detail if detail else ''}")
    if failed:
        sys.exit(1)


def _findings(settings: Settings) -> Iterator[Finding]:
    yield _settings(settings)
    yield _prices(settings)
    yield _catalogue()
    prometheus = places.PROJECT / "prometheus"
    yield _with("promtool", "prometheus.yml, rules and alerts", "check", "config", str(prometheus / "prometheus.yml"))
    yield _runbooks(prometheus)
    yield _with("amtool", "alertmanager.yml", "check-config", str(places.PROJECT / "alertmanager" / "alertmanager.yml"))
    gateway = places.PROJECT / "otel-collector" / "gateway.yaml"
    yield _with("otelcol-contrib", "gateway.yaml", "validate", f"--config={gateway}")
    for board in sorted((places.PROJECT / "grafana" / "generated").glob("*.json")):
        yield _board(board)


def _settings(settings: Settings) -> Finding:
    """What only the exporter knows of them: names of sources and labels, files that must hold something."""
    from fleetwatch.app.exporter import Exporter  # noqa: PLC0415 - the exporter is slow to load

    Exporter(settings)  # raises SettingsError as `run` would; it opens nothing before it is started
    return Finding("settings")


def _prices(settings: Settings) -> Finding:
    from fleetwatch.app.prices import price_book  # noqa: PLC0415 - the price table is slow to load

    book = price_book(settings)
    return Finding(f"prices: {book.source} {book.version}, {len(settings.prices.overrides)} contract prices")


def _catalogue() -> Finding:
    names = [metric.prometheus for _, metric in catalogue.all_metrics()]
    twice = sorted({name for name in names if names.count(name) > 1})
    return Finding(f"catalogue: {len(names)} metrics", f"{', '.join(twice)} stand twice" if twice else "")


def _runbooks(folder: Path) -> Finding:
    alerts: list[str] = []
    for file in sorted((folder / "alerts").glob("*.yml")):
        try:
            groups = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
            alerts += [rule["alert"] for group in groups for rule in group["rules"]]
        except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
            return Finding(f"alerts in {file.name}", f"expected groups of rules: {' '.join(str(error).split())}")
    missing = [name for name in alerts if not (folder / "runbooks" / f"{name}.md").is_file()]
    return Finding(f"runbooks of {len(alerts)} alerts", f"none for {', '.join(missing)}" if missing else "")


def _with(program: str, what: str, *arguments: str) -> Finding:
    """Let the program judge its own file."""
    path = programs.locate(program, os.environ)
    if path is None:
        return Finding(what, skipped=f"{program} is not on PATH or in FLEETWATCH_TOOLS")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return Finding(what, "" if done.returncode == 0 else f"{program} says: {' | '.join(lines[-5:])}")


def _board(file: Path) -> Finding:
    try:
        board = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        return Finding(f"board {file.name}", f"no JSON: {error}")
    if not isinstance(board, dict):
        return Finding(f"board {file.name}", f"expected an object, got {type(board).__name__}")
    expected = f"fw-{file.stem}"
    problem = "" if board.get("uid") == expected else f"uid: expected {expected}, got {board.get('uid')}"
    return Finding(f"board {file.name}", problem)
