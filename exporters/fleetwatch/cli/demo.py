"""`fleetwatch demo`: a small fleet of agents that look busy, and a pipeline that is."""

from __future__ import annotations

import secrets
import signal
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import click

from fleetwatch.demo.agents import ROLES, Fleet
from fleetwatch.demo.jobs import Jobs
from fleetwatch.demo.pipe import Pipe
from fleetwatch.demo.pipeline import NAME, Order
from fleetwatch.demo.send import DEFAULT_ENDPOINTS


@click.command("demo")
@click.option("--endpoint", help=f"OTLP/HTTP address. [default: {DEFAULT_ENDPOINTS['http']}]")
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Bearer token to show."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides what each agent does.")
@click.option("--speed", type=click.FloatRange(0.1, 1000), default=1, show_default=True, help="Times real time.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="End after so long. [default: when stopped]")
@click.option(
    "--beat", type=click.FloatRange(0.1, 600), default=10, show_default=True, help="Seconds between two heartbeats."
)
def command(
    *, endpoint: str | None, token_file: Path | None, seed: int, speed: float, seconds: float | None, beat: float
) -> None:
    """Run eight demo agents of two teams and a pipeline of ten phases until stopped.

    The agents have sub-agents, tools, evaluations and troubles: one loops, one hangs, one waits for a person. They send
    real OpenTelemetry data about made-up work. The pipeline makes a report of a real trace every 30 seconds; some of
    its runs fail.
    """
    run_id = secrets.token_hex(4)
    sink = endpoint or DEFAULT_ENDPOINTS["http"]
    headers = {"authorization": f"Bearer {token_file.read_text().strip()}"} if token_file else {}
    pipe = Pipe(sink, headers, run_id, beat)
    fleet = Fleet(pipe.tracers, pipe.meters, seed=seed, run_id=run_id, speed=speed)
    jobs = Jobs(Order(sink, 0, str(token_file or ""), seed, speed, beat))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    _wait_for(sink, stop)
    if not stop.is_set():
        fleet.start()
        jobs.start()
        click.echo(f"{len(ROLES)} agents and pipeline {NAME} are at work; Ctrl-C stops them")
        stop.wait(seconds)
        jobs.end()
        fleet.end()
    pipe.close()
    click.echo("all agents have said goodbye")


def _wait_for(endpoint: str, stop: threading.Event) -> None:
    """Until the receiver takes connections: the SDK gives up after some seconds, and its spans are lost."""
    url = urlsplit(endpoint)
    address = (url.hostname or "127.0.0.1", url.port or (443 if url.scheme == "https" else 80))
    said = False
    while not stop.is_set():
        try:
            socket.create_connection(address, timeout=2).close()
        except OSError as error:
            if not said:
                said = True
                click.echo(f"waiting for {endpoint}: {error}", err=True)
            stop.wait(0.5)
        else:
            return
