"""Runs and phases of pipelines as rows of the ledger, and back; for the writer and for readers alike."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from fleetwatch.records.pipelines import Phase, Run, RunWithPhases, Tally, Usage

_RUN_FLAGS = {"settled", "is_start_told", "is_judged", "is_counted"}
_PHASE_FLAGS = {"is_start_told", "is_judged", "is_counted"}

_USAGE = Usage._fields
_TALLY = tuple(name for name in Tally._fields if name not in ("errors", "signals"))
RUN_COLUMNS = (*(name for name in Run._fields if name != "usage"), *_USAGE)
"""Of `pipeline_runs`, but its number and when it is due."""
_PHASE_OWN = tuple(
    name
    for name in Phase._fields
    if name not in ("pipeline", "run", "execution", "usage", "tally", "told", "signals_at")
)
PHASE_COLUMNS = ("number", "execution", *_PHASE_OWN, "told", *_USAGE, *_TALLY, "errors", "signals")
"""Of `pipeline_phases`. number: of its run in `pipeline_runs`; signals: JSON of [name, value, when it was told]."""

_own_of = attrgetter(*_PHASE_OWN)

_RUNS = f"SELECT {', '.join(RUN_COLUMNS)} FROM pipeline_runs"
_PHASES = f"SELECT r.pipeline, r.run, {', '.join(f'p.{name}' for name in PHASE_COLUMNS)} FROM pipeline_phases p "
_JOINED = "JOIN pipeline_runs r ON r.number = p.number "


class Known(NamedTuple):
    """What is remembered of a pipeline beyond its runs. Times are Unix nanoseconds, None where it never was so."""

    pipeline: str
    first_seen: int
    last_success: int | None
    last_completion: int | None
    phases: tuple[KnownPhase, ...]
    seen: int = 0
    """When anything of it came last, by this machine's clock; may lag behind by a minute."""


class KnownPhase(NamedTuple):
    """A phase, or a part of one, whose name was let in."""

    phase: str
    subphase: str
    last_success: int | None
    last_completion: int | None
    memory_peak: int | None
    """Bytes, of the execution that ended last."""


def run_row(run: Run) -> tuple[Any, ...]:
    """Values of RUN_COLUMNS."""
    values = run._replace(told=json.dumps(run.told, separators=(",", ":")))  # type: ignore[arg-type] # text on disk
    place = Run._fields.index("usage")
    return (*values[:place], *values[place + 1 :], *run.usage)


def run_of(row: Sequence[Any]) -> Run:
    """The run of a row of RUN_COLUMNS."""
    place = Run._fields.index("usage")
    own = len(Run._fields) - 1
    values = dict(zip(Run._fields, (*row[:place], Usage(*row[own:]), *row[place:own]), strict=True))
    for name in _RUN_FLAGS:
        values[name] = bool(values[name])
    values["told"] = tuple(json.loads(values["told"]))
    return Run(**values)


def phase_row(number: int, phase: Phase) -> tuple[Any, ...]:
    """Values of PHASE_COLUMNS. number: of its run."""
    tally = phase.tally
    signals = [[name, value, at] for (name, value), at in zip(tally.signals, phase.signals_at, strict=True)]
    return (
        number,
        phase.execution,
        *_own_of(phase),
        json.dumps(phase.told, separators=(",", ":")),
        *phase.usage,
        *tally[: len(_TALLY)],
        json.dumps(tally.errors, separators=(",", ":")) if tally.errors else "",
        json.dumps(signals, separators=(",", ":")) if signals else "",
    )


def phase_of(row: Sequence[Any]) -> Phase:
    """The phase of a row of pipeline, run and PHASE_COLUMNS."""
    pipeline, run, _, execution, *rest = row
    own = dict(zip(_PHASE_OWN, rest, strict=False))
    rest = rest[len(_PHASE_OWN) :]
    for name in _PHASE_FLAGS:
        own[name] = bool(own[name])
    told, numbers, (errors, signals) = rest[0], rest[1:-2], rest[-2:]
    kept = json.loads(signals) if signals else []
    tally = Tally(*numbers[len(_USAGE) :])._replace(
        errors=tuple((name, number) for name, number in json.loads(errors)) if errors else (),
        signals=tuple((name, value) for name, value, _ in kept),
    )
    return Phase(
        pipeline=pipeline,
        run=run,
        execution=execution,
        usage=Usage(*numbers[: len(_USAGE)]),
        tally=tally,
        told=tuple(json.loads(told)),
        signals_at=tuple(at for _, _, at in kept),
        **own,
    )


def runs(
    db: sqlite3.Connection,
    *,
    pipeline: str | None = None,
    run: str | None = None,
    begins: str | None = None,
    since: int | None = None,
    until: int | None = None,
    open_only: bool = False,
    results: Sequence[str] = (),
    most: int = -1,
) -> Iterator[Run]:
    """Runs, newest first, one at a time. begins: how the id begins; since, until: Unix nanoseconds, of their start."""
    wishes: list[tuple[str, Any]] = [
        ("pipeline = ?", pipeline),
        ("run = ?", run),
        ("run >= ?", begins),
        ("run < ?", None if begins is None else begins + chr(sys.maxunicode)),
        ("started >= ?", since),
        ("started < ?", until),
    ]
    given = [(condition, value) for condition, value in wishes if value is not None]
    conditions = [condition for condition, _ in given] + ["state <> 'ended'"] * open_only
    if results:
        conditions.append(f"result IN ({', '.join('?' * len(results))})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    sql = f"{_RUNS}{where} ORDER BY started DESC, number DESC LIMIT ?"
    yield from map(run_of, db.execute(sql, (*(value for _, value in given), *results, most)))


def phases(db: sqlite3.Connection, pipeline: str, run: str) -> list[Phase]:
    """Executions of phases of one run, by start."""
    sql = f"{_PHASES}{_JOINED}WHERE r.pipeline = ? AND r.run = ? ORDER BY p.started, p.execution"
    return [phase_of(row) for row in db.execute(sql, (pipeline, run))]


def with_phases(db: sqlite3.Connection, found: Iterable[Run]) -> list[RunWithPhases]:
    """The runs with their phases."""
    return [RunWithPhases(run, tuple(phases(db, run.pipeline, run.run))) for run in found]


def history(db: sqlite3.Connection, pipeline: str, most: int) -> list[RunWithPhases]:
    """Runs of a pipeline that ended, newest first."""
    sql = f"{_RUNS} WHERE pipeline = ? AND state = 'ended' ORDER BY started DESC, number DESC LIMIT ?"
    return with_phases(db, [run_of(row) for row in db.execute(sql, (pipeline, most))])


def pipelines(db: sqlite3.Connection) -> list[Known]:
    """What is remembered of each pipeline, by name."""
    inside: dict[str, list[KnownPhase]] = {}
    columns = ", ".join(KnownPhase._fields)
    for pipeline, *row in db.execute(f"SELECT pipeline, {columns} FROM pipeline_names ORDER BY phase, subphase"):
        inside.setdefault(pipeline, []).append(KnownPhase(*row))
    rows = db.execute("SELECT pipeline, first_seen, last_success, last_completion, seen FROM pipelines ORDER BY 1")
    return [Known(row[0], row[1], row[2], row[3], tuple(inside.get(row[0], ())), row[4]) for row in rows]
