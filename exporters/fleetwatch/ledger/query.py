"""Reading a ledger from another process than its writer's: sums, verification, backup."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from fleetwatch.ledger import agent_roster, roster, schema
from fleetwatch.ledger.errors import LedgerError, explain
from fleetwatch.ledger.pipelines import rows as pipeline_rows
from fleetwatch.ledger.spot import tables as spot
from fleetwatch.ledger.totals import QUARTER
from fleetwatch.records.agents import AgentProcess
from fleetwatch.records.hosts import Host
from fleetwatch.records.pipelines import Run, RunWithPhases
from fleetwatch.records.spot import Instance, Interruption, Pool, Switch

GROUPS = ("agent", "team", "provider", "model", "operation", "outcome", "confidence", "day", "hour")

_TIME_GROUPS = {
    # `quarter` counts quarters of an hour since 1970.
    "day": "strftime('%Y-%m-%d', quarter * 900, 'unixepoch')",
    "hour": "strftime('%Y-%m-%dT%H:00Z', quarter * 900, 'unixepoch')",
}
_AGE = re.compile(r"(\d+)([mhd])")


class Spending(NamedTuple):
    """Sums of one group. Money in nano-USD."""

    group: tuple[str, ...]
    requests: int
    tokens: dict[str, int]
    cost: int
    by_confidence: dict[str, int]
    unpriced_requests: int


def parse_when(text: str | None, now: float | None = None) -> int | None:
    """Unix seconds of `2026-11-01`, `2026-11-01T08:00` (UTC) or an age such as `24h`. Raises ValueError."""
    if text is None:
        return None
    if age := _AGE.fullmatch(text):
        return int((time.time() if now is None else now) - int(age[1]) * {"m": 60, "h": 3600, "d": 86400}[age[2]])
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'expected a time such as 2026-11-01T08:00 or an age such as 24h, got "{text}"') from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())


class Reader:
    """A read-only view of a ledger; what it shows is one moment, exact while the writer goes on.

    with Reader(path) as ledger: an error of SQLite inside the block leaves it as a LedgerError.
    """

    def __init__(self, path: Path) -> None:
        """Raises LedgerError."""
        self.path = path
        if not path.exists():
            raise LedgerError(path, "other", "there is no such file yet: the exporter makes it when it starts")
        try:
            self._db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
            self._db.execute("BEGIN")
            self._db.execute("SELECT value FROM meta").fetchall()
        except sqlite3.Error as error:
            raise explain(path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        if isinstance(error, sqlite3.Error):
            raise explain(self.path, error) from None

    def spending(self, by: Sequence[str], since: int | None = None, until: int | None = None) -> list[Spending]:
        """Sums per group, dearest first. since, until: Unix seconds, taken to the quarter of an hour."""
        names = [_TIME_GROUPS.get(name, name) for name in by]
        columns = ", ".join(schema.SUMS)
        rows = self._db.execute(
            f"""
            SELECT {", ".join(names)}, confidence, {", ".join(f"sum({name})" for name in schema.SUMS)} FROM (
                SELECT quarter, labels, {columns} FROM quarters
                UNION ALL SELECT at / {QUARTER}, labels, {columns} FROM llm_calls
                WHERE id > (SELECT value FROM meta WHERE name = 'checkpoint')
            ) JOIN label_sets ON label_sets.id = labels
            WHERE quarter >= ? AND quarter < ? GROUP BY {", ".join(names)}, confidence
            """,
            (0 if since is None else since // 900, 1 << 40 if until is None else -(-until // 900)),
        )
        groups: dict[tuple[str, ...], list[tuple[str, list[int]]]] = {}
        for row in rows:
            group = tuple(str(value) for value in row[: len(by)])
            groups.setdefault(group, []).append((row[len(by)], list(row[len(by) + 1 :])))
        spending = [_spending(group, parts) for group, parts in groups.items()]
        return sorted(spending, key=lambda item: (-item.cost, -item.requests, item.group))

    def began(self) -> int | None:
        """Start of the quarter of an hour of the first call, Unix seconds; None before it.

        Calls older than a year have no time any more and are left out.
        """
        row = self._db.execute(
            f"""
            SELECT min(quarter) FROM (
                SELECT min(quarter) AS quarter FROM quarters WHERE quarter > 0
                UNION ALL SELECT min(at) / {QUARTER} FROM llm_calls
                WHERE id > (SELECT value FROM meta WHERE name = 'checkpoint')
            )
            """
        ).fetchone()
        return None if row[0] is None else int(row[0]) * 900

    def hosts(self) -> list[Host]:
        """The roster as of the writer's last checkpoint. Raises LedgerError for a file without one."""
        self._check_version()
        return roster.read_hosts(self._db)

    def processes(self) -> list[AgentProcess]:
        """The roster of agents' processes, likewise. Raises LedgerError for a file without one."""
        self._check_version()
        return agent_roster.read_processes(self._db)

    def pipelines(self) -> list[pipeline_rows.Known]:
        """What is remembered of each pipeline, by name. Raises LedgerError, as all that tells of pipelines."""
        self._check_version()
        return pipeline_rows.pipelines(self._db)

    def runs(self, **which: Any) -> Iterator[Run]:
        """Runs, newest first, one at a time; `which`: as pipeline_rows.runs() has it."""
        self._check_version()
        yield from pipeline_rows.runs(self._db, **which)

    def with_phases(self, run: Run) -> RunWithPhases:
        """The run and its phases by start."""
        return RunWithPhases(run, tuple(pipeline_rows.phases(self._db, run.pipeline, run.run)))

    def run_history(self, pipeline: str, most: int) -> list[RunWithPhases]:
        """Runs of a pipeline that ended, newest first."""
        self._check_version()
        return pipeline_rows.history(self._db, pipeline, most)

    def interruptions(self, since: int = 0) -> list[Interruption]:
        """Takings of machines that began since then, Unix nanoseconds, oldest first. Raises LedgerError."""
        self._check_version()
        return spot.interruptions(self._db, "began >= ?", (since,))

    def switches(self, since: int = 0, most: int = 1000) -> list[Switch]:
        """Workloads that moved to another pool since then, newest first."""
        self._check_version()
        return spot.switches(self._db, since, most)

    def instances(self) -> list[Instance]:
        """Machines that had not ended when the exporter looked last, by id."""
        self._check_version()
        return spot.instances(self._db)

    def exposure(self, since: int) -> dict[Pool, spot.Exposure]:
        """Spot machine time and interruptions by pool, of whole days (UTC), the first is that of `since`."""
        self._check_version()
        return spot.exposure(self._db, since)

    def machine_days(self, since: int) -> list[spot.Day]:
        """Money and machine time by workload, of whole days (UTC), the first is that of `since`."""
        self._check_version()
        return spot.days(self._db, since)

    def slices(self) -> dict[tuple[str, str], int]:
        """(account, region) -> up to when its machine time is counted, Unix nanoseconds."""
        self._check_version()
        return {(row[0], row[1]): row[2] for row in self._db.execute("SELECT account, region, until FROM spot_slices")}

    def counter(self, name: str) -> dict[tuple[str, ...], int]:
        """A durable counter by its name in the catalogue: label values -> integer count of 1/scale units."""
        self._check_version()
        rows = self._db.execute("SELECT labels, value FROM counts WHERE metric = ?", (name,))
        return {tuple(json.loads(labels)): int(value) for labels, value in rows}

    def _check_version(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != schema.VERSION:
            raise LedgerError(self.path, "other", schema.told(version))

    def checkpoint_at(self) -> int:
        """When the writer wrote its last checkpoint, Unix nanoseconds; 0 for never."""
        return int(self._db.execute("SELECT value FROM meta WHERE name = 'checkpoint_at'").fetchone()[0])

    def verify(self) -> list[str]:
        """What is wrong with the ledger, a sentence each; empty when all sums agree."""
        problems = [f"file: {row[0]}" for row in self._db.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
        if problems:
            return problems
        sums = ", ".join(f"sum({name})" for name in schema.SUMS)
        in_totals = dict(self._sums(f"SELECT labels, {sums} FROM totals GROUP BY 1"))
        in_quarters = dict(self._sums(f"SELECT labels, {sums} FROM quarters GROUP BY 1"))
        problems += [
            f"label set {labels}: totals say {in_totals.get(labels)}, quarters say {in_quarters.get(labels)}"
            for labels in sorted({*in_totals, *in_quarters})
            if in_totals.get(labels) != in_quarters.get(labels)
        ]
        # Whole quarters of which no call has been forgotten yet must equal the calls themselves.
        meta = dict(self._db.execute("SELECT name, value FROM meta"))
        first = meta["pruned_before"] // QUARTER + 1
        calls = f"SELECT at / {QUARTER}, {sums} FROM llm_calls WHERE id <= {meta['checkpoint']} GROUP BY 1"
        in_calls = dict(self._sums(calls))
        in_quarters = dict(self._sums(f"SELECT quarter, {sums} FROM quarters WHERE quarter >= {first} GROUP BY 1"))
        problems += [
            f"quarter of {_utc(quarter * 900)}: its calls add up to {in_calls.get(quarter)}, "
            f"the ledger says {in_quarters.get(quarter)}"
            for quarter in sorted({*in_calls, *in_quarters})
            if quarter >= first and in_calls.get(quarter) != in_quarters.get(quarter)
        ]
        return problems

    def backup(self, target: Path) -> int:
        """Copy the ledger to `target` while the writer goes on; returns bytes. Raises LedgerError."""
        partial = target.with_name(f"{target.name}.partial")
        try:
            if target.exists() and target.samefile(self.path):
                raise LedgerError(target, "other", "the copy would take the place of the ledger in use")
            partial.unlink(missing_ok=True)
            # As private as the ledger itself, whatever the umask is.
            partial.touch(mode=0o600)
            self._db.execute("COMMIT")
            with contextlib.closing(sqlite3.connect(partial)) as copy:
                self._db.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
                damage = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise LedgerError(partial, "damaged", str(damage))
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(target)
        except (sqlite3.Error, OSError) as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise explain(target, error) from None
        return target.stat().st_size

    def _sums(self, sql: str) -> list[tuple[int, tuple[int, ...]]]:
        return [(row[0], tuple(row[1:])) for row in self._db.execute(sql)]


def _spending(group: tuple[str, ...], parts: list[tuple[str, list[int]]]) -> Spending:
    by_confidence: dict[str, int] = {}
    sums = [0] * len(schema.SUMS)
    unpriced = 0
    for confidence, values in parts:
        sums = [mine + theirs for mine, theirs in zip(sums, values, strict=True)]
        by_confidence[confidence] = by_confidence.get(confidence, 0) + values[1]
        if confidence == "unpriced":
            unpriced += values[0]
    tokens = dict(zip(schema.TOKEN_KINDS, sums[2:], strict=True))
    return Spending(group, sums[0], tokens, sums[1], by_confidence, unpriced)


def _utc(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
