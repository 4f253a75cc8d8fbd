"""`fleetwatch sidecar`: this machine's facts, and a spool for its applications."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
from pathlib import Path

import click

from fleetwatch.cli._options import config_option
from fleetwatch.settings import load


@click.command("sidecar")
@config_option
def command(config: Path | None) -> None:
    """Run beside applications: report this machine, take OTLP over HTTP into a disk spool and forward it."""
    # What is loaded now stays to the end: looking through it for garbage would be a tenth of the start.
    gc.disable()
    from fleetwatch.app.sidecar import Sidecar  # noqa: PLC0415 - only this verb needs it

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = load(config)
    # What applications send is nobody else's business.
    os.umask(0o077)
    # Connections, and the files of a thousand processes that are looked at, need more than the usual 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def serve() -> None:
        sidecar = Sidecar(settings)
        await sidecar.start()
        gc.freeze()
        gc.enable()
        for name, address in sidecar.addresses().items():
            click.echo(f"{name:9} {address}")
        await sidecar.run_until_told()

    asyncio.run(serve())
