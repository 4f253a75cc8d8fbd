"""`fleetwatch run`: the exporter."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from fleetwatch.cli._options import config_option
from fleetwatch.cli._serve import prepare
from fleetwatch.settings import load


@click.command("run")
@config_option
def command(config: Path | None) -> None:
    """Run the exporter: receive OTLP, keep the ledger, serve /metrics."""
    import uvloop  # noqa: PLC0415 - only this verb needs an event loop

    from fleetwatch.app.exporter import Exporter  # noqa: PLC0415 - see above

    settings = load(config)
    prepare()

    async def serve() -> None:
        exporter = Exporter(settings)
        await exporter.start()
        for name, address in exporter.addresses().items():
            click.echo(f"{name:8} {address}")
        await exporter.run_until_told()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
