"""`fleetwatch runs list|show|compare|export|forget`: runs of pipelines and their phases, from the ledger."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetwatch.app.pipelines import rows as run_rows
from fleetwatch.app.pipelines import tables as run_tables
from fleetwatch.app.told import utc
from fleetwatch.cli._options import config_option, format_option, open_ledger, printable, show
from fleetwatch.cli._roster import ask, staleness
from fleetwatch.ledger.query import parse_when
from fleetwatch.records.pipelines import RESULTS
from fleetwatch.settings import load

if TYPE_CHECKING:  # SQLite is loaded only where a ledger is opened
    from collections.abc import Iterator, Sequence

    from fleetwatch.ledger.query import Reader
    from fleetwatch.records.pipelines import Run, RunWithPhases

_SECOND = 10**9
_HISTORY = 100
"""Past runs that say what is usual."""
_AMBIGUOUS = 20
"""Runs looked at that begin as was told."""
_WORDS = ("last", "previous", "last-success")
_pipeline_option = click.option(
    "--pipeline", "-p", help="Where several pipelines have it, or the run is told by a word."
)


@click.group("runs")
def command() -> None:
    """Runs of pipelines: what runs, how it ended, what it took and cost, and what changed."""


@command.command("list")
@click.argument("pipeline", required=False)
@click.option("--since", help="Began since then: 2026-11-01, 2026-11-01T08:00 (UTC), or an age such as 30m, 24h, 7d.")
@click.option("--until", help="Began before then.")
@click.option("--result", "results", type=click.Choice(RESULTS), multiple=True, help="May be repeated.")
@click.option("--running", is_flag=True, help="Only those under way.")
@click.option("--most", type=click.IntRange(1, 1000), default=50, show_default=True, help="For all of them: export.")
@config_option
@format_option
def list_runs(
    *,
    pipeline: str | None,
    since: str | None,
    until: str | None,
    results: tuple[str, ...],
    running: bool,
    most: int,
    config: Path | None,
    style: str,
) -> None:
    """Runs of PIPELINE, or of all, newest first."""
    start, end = _times(since, until)
    with open_ledger(config) as ledger:
        found = list(
            ledger.runs(pipeline=pipeline, since=start, until=end, open_only=running, results=results, most=most + 1)
        )
        runs = [ledger.with_phases(run) for run in found[:most]]
        at = ledger.checkpoint_at()
        if not found and pipeline is not None:
            _check_known(ledger, pipeline)
        is_empty = not found and not ledger.pipelines()
    if is_empty:
        note = "Nobody has told of a run so far; exporters/INSTRUMENT.md and exporters/README.md say how."
    else:
        note = run_tables.counted(runs) if runs else "No run is like that."
    if len(found) > most:
        note += f" There are more: --most {most}."
    rows = run_tables.listed(runs, time.time_ns())
    _show(style, run_tables.LIST, rows, note + (staleness(at) if runs else ""))


@command.command("show")
@click.argument("run")
@_pipeline_option
@config_option
@format_option
def show_run(run: str, pipeline: str | None, config: Path | None, style: str) -> None:
    """RUN with its phases: its id, the beginning of it, or last, previous, last-success."""
    with open_ledger(config) as ledger:
        found = _find(ledger, run, pipeline)
        history = _others(ledger, found)
    now = time.time_ns()
    if style == "json":
        click.echo(json.dumps(run_rows.as_object(found), indent=2))
    elif style == "csv":
        show(style, run_rows.PHASES, [run_rows.phase_row(phase) for phase in found.phases])
    else:
        for line in run_tables.told(found, history, now):
            click.echo(printable(line))
        _show(style, run_tables.SHOW, run_tables.shown(found, history, now), "")


@command.command("compare")
@click.argument("a", default="previous")
@click.argument("b", default="last")
@_pipeline_option
@click.option("--all", "everything", is_flag=True, help="Also what is noise.")
@config_option
@format_option
def compare(*, a: str, b: str, pipeline: str | None, everything: bool, config: Path | None, style: str) -> None:
    """What run B did otherwise than run A, and whether that is more than past runs differ among themselves.

    Without arguments: the last run of --pipeline against the one before it. A and B are told as in `show`.
    """
    with open_ledger(config) as ledger:
        one, other = _find(ledger, a, pipeline), _find(ledger, b, pipeline)
        if one.run.pipeline != other.run.pipeline:
            names = f"{one.run.pipeline} and {other.run.pipeline}"
            raise click.UsageError(printable(f"expected two runs of one pipeline, got runs of {names}"))
        history = _others(ledger, other)
    rows, others = run_tables.compared(one, other, history, everything=everything or style != "table")
    told = (f"{name} = {run.run} ({utc(run.started)})" for name, run in (("a", one.run), ("b", other.run)))
    title = f"{one.run.pipeline}: {', '.join(told)}"
    others = [printable(line) for line in others]
    note = "\n".join([*others, *([] if rows else ["Nothing changed by more than past runs differ among themselves."])])
    show(style, run_tables.COMPARE, rows, title=title, note=note)


@command.command("export")
@click.argument("pipeline", required=False)
@click.option("--since", help="Began since then; as in list.")
@click.option("--until", help="Began before then.")
@click.option("--level", type=click.Choice(["runs", "phases", "signals"]), default="runs", show_default=True)
@click.option("--format", "style", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@config_option
def export(
    *, pipeline: str | None, since: str | None, until: str | None, level: str, style: str, config: Path | None
) -> None:
    """A row for each run, phase or signal of PIPELINE, or of all: CSV, or a JSON object a line. Money is exact."""
    start, end = _times(since, until)
    columns = {"runs": run_rows.RUNS, "phases": run_rows.PHASES, "signals": run_rows.SIGNALS}[level]
    with open_ledger(config) as ledger:
        rows = _rows(ledger, level, pipeline, start, end)
        if style == "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
        else:
            for row in rows:
                click.echo(json.dumps(dict(zip(columns, row, strict=True))))


@command.command("forget")
@click.argument("pipeline")
@config_option
def forget(pipeline: str, config: Path | None) -> None:
    """Take PIPELINE's series away, as if it had never run; a run that comes begins anew. Its history stays."""
    settings = load(config)
    with open_ledger(config) as ledger:
        _check_known(ledger, pipeline)
    if pipeline in {item.pipeline for item in settings.pipelines.expected}:
        shown = printable(pipeline)
        raise click.ClickException(f"{shown}: pipelines.expected names it, so it stays; take it out there first")
    ask(settings.ledger_path, pipeline, "forget_pipeline", "is forgotten", "will be forgotten")


def _show(style: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str) -> None:
    """As `show`, with as many columns as the terminal has room for."""
    if style == "table" and rows:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 200
        columns, rows, left_out = run_tables.fitting(columns, rows, width)
        if left_out:
            note += f"{' ' * bool(note)}No room for {', '.join(left_out)}: a wider terminal, or --format csv."
    show(style, columns, rows, note=note)


def _rows(
    ledger: Reader, level: str, pipeline: str | None, since: int | None, until: int | None
) -> Iterator[tuple[object, ...]]:
    for run in ledger.runs(pipeline=pipeline, since=since, until=until):
        if level == "runs":
            yield run_rows.run_row(run)
            continue
        for phase in ledger.with_phases(run).phases:
            if level == "phases":
                yield run_rows.phase_row(phase)
            else:
                yield from run_rows.signal_rows(phase)


def _times(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """Unix nanoseconds."""
    try:
        times = parse_when(since), parse_when(until)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    start, end = (None if when is None else when * _SECOND for when in times)
    return start, end


def _check_known(ledger: Reader, pipeline: str) -> None:
    known = [item.pipeline for item in ledger.pipelines()]
    if pipeline not in known:
        names = ", ".join(known[:20]) or "none"
        raise click.ClickException(printable(f"{pipeline}: no such pipeline; known: {names}"))


def _find(ledger: Reader, told: str, pipeline: str | None) -> RunWithPhases:
    """The run that is meant."""
    if pipeline is not None:
        _check_known(ledger, pipeline)
    if told in _WORDS:
        return ledger.with_phases(_by_word(ledger, told, pipeline))
    found = list(ledger.runs(pipeline=pipeline, begins=told, most=_AMBIGUOUS))
    exact = [run for run in found if run.run == told]
    found = exact or found
    if len(found) != 1:
        listed = "; ".join(f"{run.pipeline} {run.run}" for run in found[:5])
        many = f"{len(found)}{' or more' * (len(found) == _AMBIGUOUS)}"
        what = f"{many} runs begin so: {listed}" if found else "no such run; `fleetwatch runs list` shows them"
        raise click.ClickException(printable(f"{told}: {what}"))
    return ledger.with_phases(found[0])


def _by_word(ledger: Reader, word: str, pipeline: str | None) -> Run:
    if pipeline is None:
        known = [item.pipeline for item in ledger.pipelines()]
        if len(known) != 1:
            raise click.UsageError(printable(f"--pipeline: expected one of {', '.join(known[:20]) or 'none so far'}"))
        pipeline = known[0]
    results = ("success",) if word == "last-success" else ()
    runs = list(ledger.runs(pipeline=pipeline, results=results, most=2))
    place = 1 if word == "previous" else 0
    if len(runs) <= place:
        raise click.ClickException(printable(f"{word}: {pipeline} has {len(runs)} such runs"))
    return runs[place]


def _others(ledger: Reader, found: RunWithPhases) -> Sequence[RunWithPhases]:
    """Past runs of the same pipeline, newest first."""
    past = ledger.run_history(found.run.pipeline, _HISTORY + 1)
    return [run for run in past if run.run.run != found.run.run][:_HISTORY]
