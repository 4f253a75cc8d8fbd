"""`fleetwatch up`: the stack on this machine."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import click

from fleetwatch.cli._options import config_option
from fleetwatch.settings import SettingsError, load
from fleetwatch.stack import StackError, compose, up


def _say(text: str) -> None:
    click.echo(text)


def _show(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    click.echo("\n" + "\n".join(f"  {name:<{width}}  {place}" for name, place in rows) + "\n")


@click.command("up")
@config_option
@click.option("--native", "mode", flag_value="native", help="As processes of this machine.")
@click.option("--compose", "mode", flag_value="compose", help="In containers. [default: where a Docker engine answers]")
@click.option("--detach", "-d", is_flag=True, help="Return when everything is ready; `fleetwatch down` stops it.")
@click.option("--demo", is_flag=True, help="Also a bundled trace and demo agents, so that the boards have data.")
def command(*, config: Path | None, mode: str | None, detach: bool, demo: bool) -> None:
    """Start the exporter, Prometheus, Alertmanager, and Collector and Grafana where they are found.

    Runs until Ctrl-C. Everything listens on 127.0.0.1 and keeps its data in one folder; `up` again continues.
    """
    settings = load(config)
    try:
        if up.choose_mode(mode) == "compose":
            up.up_compose(settings, config, demo=demo, say=_say)
            _show(compose.table(settings))
            if not detach:
                click.echo("Ctrl-C stops it")
                _wait_for_signal()
                up.down_compose(settings)
        elif detach:
            options = [*(("--config", str(config)) if config else ()), *(("--demo",) if demo else ())]
            up.up_detached(settings, ["--native", *options], _say)
        else:
            up.up_native(settings, config, demo=demo, say=_say, show=_show)
    except StackError as error:
        # As wrong settings: one line for each reason, status 2.
        raise SettingsError(str(error)) from None


def _wait_for_signal() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(3600):
        sys.stdout.flush()
