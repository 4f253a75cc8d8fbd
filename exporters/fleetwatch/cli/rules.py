"""`fleetwatch rules`: rules and alerts for a Prometheus that is not ours."""

from __future__ import annotations

from pathlib import Path

import click

from fleetwatch.cli._options import config_option
from fleetwatch.settings import load


@click.command("rules")
@config_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(["prometheus", "kubernetes"]),
    default="prometheus",
    help="One rule file, or PrometheusRule objects for the Prometheus operator.",
)
@click.option("--namespace", default="fleetwatch", show_default=True, help="Of the objects.")
def command(config: Path | None, kind: str, namespace: str) -> None:
    """Print rules and alerts with the links of the settings, for a Prometheus of your own."""
    from fleetwatch.stack.render import links  # noqa: PLC0415 - only this verb needs it
    from fleetwatch.stack.rules import for_operator, for_prometheus  # noqa: PLC0415 - see above

    bases = links(load(config))
    try:
        text = for_prometheus(bases) if kind == "prometheus" else for_operator(bases, namespace)
    except FileNotFoundError as error:
        raise click.ClickException(str(error)) from None
    click.echo(text, nl=False)
