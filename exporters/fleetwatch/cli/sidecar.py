"""`fleetwatch sidecar`: this machine's facts, and a spool for its applications."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import click

from fleetwatch.cli._options import config_option
from fleetwatch.cli._serve import prepare
from fleetwatch.settings import load


@click.command("sidecar")
@config_option
def command(config: Path | None) -> None:
    """Run beside applications: report this machine, take OTLP over HTTP into a disk spool and forward it."""
    # What is loaded now stays to the end: looking through it for garbage would be a tenth of the start.
    gc.disable()
    from fleetwatch.app.sidecar import Sidecar  # noqa: PLC0415 - only this verb needs it

    settings = load(config)
    prepare()

    async def serve() -> None:
        sidecar = Sidecar(settings)
        await sidecar.start()
        gc.freeze()
        gc.enable()
        for name, address in sidecar.addresses().items():
            click.echo(f"{name:9} {address}")
        await sidecar.run_until_told()

    asyncio.run(serve())
