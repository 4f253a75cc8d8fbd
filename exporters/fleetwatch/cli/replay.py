"""`fleetwatch replay`: a real trace as standard OpenTelemetry spans."""

from __future__ import annotations

import json
import secrets
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fleetwatch.demo import calls as demo_calls
from fleetwatch.demo import trace
from fleetwatch.demo.send import DEFAULT_ENDPOINTS, Protocol_, RefusedError, Sender, replay
from fleetwatch.demo.spans import SpanMaker


class _Screen:
    """A progress bar on a terminal; in a pipe only a line when the receiver is away."""

    def __init__(self, total: int) -> None:
        self._console = Console(stderr=True)
        self._away = False
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("spans"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("sending", total=total)

    def __enter__(self) -> _Screen:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def acknowledged(self, spans: int) -> None:
        self._away = False
        self._bar.update(self._task, advance=spans, description="sending")

    def waiting(self, reason: str) -> None:
        self._bar.update(self._task, description="waiting for the receiver")
        if not self._away:
            self._away = True
            printable = "".join(char if char.isprintable() else " " for char in reason)[:300]
            click.echo(f"not acknowledged, trying until it is: {printable}", err=True)


@click.command("replay")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--speed", type=click.FloatRange(0.1, 1000), default=20, show_default=True, help="Times the trace's pace."
)
@click.option("--limit", type=click.IntRange(1), help="Only so many calls.")
@click.option("--protocol", type=click.Choice(["http", "grpc"]), default="http", show_default=True)
@click.option("--endpoint", help="OTLP address. [default: http://127.0.0.1:4318, or :4317 for grpc]")
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Bearer token to show."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides agents, models, failures.")
@click.option("--run-id", help="Decides the ids: the same again sends nothing but duplicates. [default: a new one]")
@click.option("--truth", type=click.Path(path_type=Path, dir_okay=False), help="Write the exact expected sums as JSON.")
def command(
    *,
    file: Path | None,
    speed: float,
    limit: int | None,
    protocol: Protocol_,
    endpoint: str | None,
    token_file: Path | None,
    seed: int,
    run_id: str | None,
    truth: Path | None,
) -> None:
    """Send a real trace of LLM calls as OpenTelemetry spans.

    FILE is a CSV with TIMESTAMP, ContextTokens, GeneratedTokens; without it a bundled production trace of 8,819 calls
    in 57 minutes. Agents, teams and models are spread over the calls. Every span is sent until it is acknowledged.
    """
    run_id = run_id or secrets.token_hex(4)
    try:
        rows = trace.read(file or trace.BUNDLED, limit)
    except trace.TraceError as error:
        raise click.ClickException(str(error)) from None
    calls = list(demo_calls.spread(rows, seed, run_id))
    headers = {"authorization": f"Bearer {token_file.read_text().strip()}"} if token_file else {}
    sender = Sender(protocol, endpoint or DEFAULT_ENDPOINTS[protocol], headers)
    start = time.monotonic()
    try:
        with _Screen(len(calls)) as screen:
            counts = replay(calls, maker=SpanMaker(run_id), sender=sender, watcher=screen, speed=speed)
    except RefusedError as error:
        raise click.ClickException(f"the receiver refuses: {error}") from None
    except KeyboardInterrupt:
        click.echo(f"stopped; `--run-id {run_id}` continues without counting anything twice", err=True)
        sys.exit(130)
    finally:
        sender.close()
    if truth:
        truth.write_text(json.dumps(demo_calls.truth(calls, run_id), indent=1) + "\n", encoding="utf-8")
    click.echo(
        f"sent {counts.sent}, acknowledged {counts.acknowledged}, rejected {counts.rejected}, "
        f"retries {counts.retries}; {time.monotonic() - start:.1f} s; run id {run_id}"
    )
