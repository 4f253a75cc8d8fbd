"""The ledger's writer: one transaction per group of records, each record counted once."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fleetwatch.ledger import acknowledgements, agent_roster, roster, schema
from fleetwatch.ledger.acknowledgements import Acknowledgements
from fleetwatch.ledger.agent_roster import NO_AGENT_CHANGES, AgentChanges
from fleetwatch.ledger.agents import METRICS, AgentRules, Agents
from fleetwatch.ledger.answers import Answers
from fleetwatch.ledger.calls import Calls
from fleetwatch.ledger.counts import Change, Counts
from fleetwatch.ledger.errors import LedgerError, explain
from fleetwatch.ledger.file import hold, open_checked
from fleetwatch.ledger.firewall import Firewall, Rules
from fleetwatch.ledger.forget import prune_calls
from fleetwatch.ledger.group import Committed, Group, Record
from fleetwatch.ledger.labels import LabelSets
from fleetwatch.ledger.pipelines import counts as pipeline_counts
from fleetwatch.ledger.pipelines.lineage import Lineage
from fleetwatch.ledger.pipelines.pipelines import KeptReports, PipelineRules, Pipelines
from fleetwatch.ledger.spot import book as spot_book
from fleetwatch.ledger.spot.book import SpotBook, SpotRules
from fleetwatch.ledger.totals import LABELS, CallLabels, Total
from fleetwatch.ledger.traces import Traces
from fleetwatch.ledger.usage import Usage
from fleetwatch.records.agents import AgentProcess
from fleetwatch.records.hosts import Host
from fleetwatch.records.pipelines import PhaseReport, RunReport

if TYPE_CHECKING:
    from fleetwatch.reckon.price import PriceBook

__all__ = ["Committed", "Ledger", "Record"]

_DAY = 86400 * 10**9

_WRITE_TOTAL = f"INSERT OR REPLACE INTO totals VALUES ({', '.join('?' * (len(schema.SUMS) + 5))})"
_COUNT_DUPLICATES = (
    "INSERT INTO duplicates VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET calls = calls + excluded.calls"
)

T = TypeVar("T")


class Ledger:
    """One ledger file and its only writer. Not for use by several threads.

    prices: what a call costs; asked once per record. rules: which of several sightings of a call counts.
    agents: how tasks are counted; its limits hold for pipelines and spot too. pipelines, spot: how much is kept.
    """

    def __init__(
        self,
        path: Path,
        prices: PriceBook,
        *,
        keep_days: int = 60,
        usage: Usage | None = None,
        rules: Rules = Rules(),  # noqa: B008 - a tuple cannot change
        agents: AgentRules = AgentRules(),  # noqa: B008 - likewise
        pipelines: PipelineRules = PipelineRules(),  # noqa: B008 - likewise
        spot: SpotRules = SpotRules(),  # noqa: B008 - likewise
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Open or create the file, check it and fold in the rows since the last checkpoint. Raises LedgerError."""
        self.path = path
        self._keep = keep_days * _DAY
        self._usage = usage or Usage()
        self._clock = clock
        self._totals: dict[int, Total] = {}
        self._fresh: dict[int, Total] = {}
        self._dirty: set[int] = set()
        self._duplicates: Counter[str] = Counter()
        self.checkpoint_at = 0
        """When totals were last written, Unix nanoseconds; 0 for never."""
        self._lock = hold(path)
        try:
            self._db = open_checked(path)
            self._answers = Answers(self._db)
            self._labels = LabelSets(self._db)
            self._calls = Calls(self._db, prices.quote, self._labels, self._answers)
            self._traces = Traces(self._db)
            self._firewall = Firewall(self._db, self._traces, rules)
            self._counts = Counts(
                self._db,
                (*METRICS, *pipeline_counts.METRICS, *acknowledgements.METRICS, *spot_book.METRICS),
                agents.limits,
            )
            self._agents = Agents(self._db, self._traces, self._counts, agents)
            self._lineage = Lineage(self._db)
            self._acknowledgements = Acknowledgements(self._db, self._counts)
            self.pipelines = Pipelines(
                path,
                self._db,
                self._traces,
                self._counts,
                pipelines,
                limits=agents.limits,
                transact=self._change,
                clock=clock,
            )
            self.spot = SpotBook(path, self._db, self._counts, spot)
            self._load()
        except (sqlite3.Error, OSError) as error:
            self._lock.close()
            raise explain(path, error) from None
        except LedgerError:
            self._lock.close()
            raise

    def commit(self, records: Sequence[Record]) -> Committed:
        """Write the records in one transaction, each once. On return they are on disk. Raises LedgerError.

        After an error nothing of the group is kept, in the file or in memory.
        """
        return self._write(Group(records))

    def settle(self) -> Committed:
        """Count what has waited long enough, and settle tasks. Raises LedgerError."""
        now = self._clock()
        try:
            due = (
                self._usage.any_due(self._db, now)
                or self._firewall.waiting.any_due(now)
                or self._agents.any_due(now)
                or self._lineage.any_due(now)
                or self.pipelines.any_due(now)
                or self.spot.any_due(now)
            )
        except sqlite3.Error as error:
            raise explain(self.path, error) from None
        return self._write(Group(())) if due else Committed()

    def take(self) -> list[tuple[CallLabels, Total]]:
        """What was committed since the last call, per label set, in order of first appearance."""
        taken = []
        for number, fresh in sorted(self._fresh.items()):
            total = self._totals.get(number)
            if total is None:
                total = self._totals[number] = Total()
            total.merge(fresh)
            taken.append((self._labels[number], fresh))
        self._dirty.update(self._fresh)
        self._fresh = {}
        return taken

    def totals(self) -> Iterable[tuple[CallLabels, Total]]:
        """All taken totals, in order of first appearance."""
        return ((self._labels[number], total) for number, total in sorted(self._totals.items()))

    def duplicates(self) -> dict[str, int]:
        """Sightings that were not counted since the ledger began, by reason."""
        return dict(self._duplicates)

    def counts(self) -> list[Change]:
        """What was counted since the last call, but calls; after the start all that the file holds."""
        return self._counts.take()

    def overflows(self) -> dict[tuple[str, str], int]:
        """Such counts past a label's bound since the last call, by (Prometheus name, label)."""
        return self._counts.overflows()

    def models(self, since: int) -> list[tuple[str, str, int]]:
        """Models that answered since then, by the last checkpoint: provider, name, and when last. Unix seconds."""
        rows = self.query(
            "SELECT provider, model, max(quarter) FROM quarters JOIN label_sets ON id = labels "
            "WHERE quarter >= ? AND outcome = 'ok' GROUP BY 1, 2",
            (since // 900,),
        )
        return [(provider, model, quarter * 900) for provider, model, quarter in rows]

    def released(self) -> frozenset[tuple[str, tuple[str, ...]]]:
        """Series, as (Prometheus name, labels), whose value has been shown."""
        rows = self.query("SELECT metric, labels FROM released")
        return frozenset((metric, tuple(json.loads(labels))) for metric, labels in rows)

    def hosts(self) -> list[Host]:
        """The roster as of the last checkpoint. Raises LedgerError."""
        try:
            return roster.read_hosts(self._db)
        except sqlite3.Error as error:
            raise explain(self.path, error) from None

    def processes(self) -> list[AgentProcess]:
        """The roster of agents' processes as of the last checkpoint. Raises LedgerError."""
        try:
            return agent_roster.read_processes(self._db)
        except sqlite3.Error as error:
            raise explain(self.path, error) from None

    def query_traces(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """As `query`, for a statement that finds spans by the index of traces. Raises LedgerError."""
        self._transaction(self._traces.index)
        return self.query(sql, parameters)

    def host_requests(self) -> list[roster.Request]:
        """What other processes ask of the roster. Raises LedgerError."""
        try:
            return roster.read_requests(self._db)
        except sqlite3.Error as error:
            raise explain(self.path, error) from None

    def checkpoint(
        self,
        released: Iterable[tuple[str, tuple[str, ...]]] = (),
        hosts: roster.Changes = roster.NO_CHANGES,
        agents: AgentChanges = NO_AGENT_CHANGES,
    ) -> None:
        """Write totals and quarters up to the last commit that was taken, newly released series, and the rosters."""
        if self._fresh:
            raise RuntimeError("take() before checkpoint(): the file would know of calls that the meter does not")
        now = self._clock()
        self._transaction(lambda: self._write_checkpoint(list(released), now, hosts, agents))
        self._dirty.clear()
        self.checkpoint_at = now

    def prune(self) -> int:
        """Forget some single calls and spans past their time; returns how many. Totals stay."""
        return self._change(self._prune)

    def size(self) -> int:
        """Bytes of the ledger's files."""
        sizes = (Path(f"{self.path}{suffix}") for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in sizes if file.exists())

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a reading statement. Raises LedgerError."""
        try:
            return self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise explain(self.path, error) from None

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    def _write(self, group: Group) -> Committed:
        now = self._clock()
        committed, rows = self._transaction(lambda: self._write_group(group, now))
        self._committed()
        self._duplicates.update(committed.duplicates)
        for row in rows:
            fresh = self._fresh.get(row[LABELS])
            if fresh is None:
                fresh = self._fresh[row[LABELS]] = Total()
            fresh.fold(row)
        return committed

    def _write_group(self, group: Group, now: int) -> tuple[Committed, list[tuple[Any, ...]]]:
        """What was done, and the new rows of llm_calls; inside a transaction."""
        points, duplicates = self._usage.keep(self._db, group.points, now)
        # Spans first: after a downtime they may come in the very commit in which the points' time is over.
        self._usage.see_spans(self._db, group.calls, now)
        estimated, seen_as_spans = self._usage.due(self._db, now)
        duplicates.update(seen_as_spans)
        judged = self._firewall.judge(group.calls, group.structure(), now)
        inserted = self._calls.insert(judged.counted, estimated)
        duplicates += judged.again
        duplicates += self._firewall.write(judged, inserted, now)
        if known := sum(place >= len(judged.counted) for place in inserted.spans):
            duplicates["resent"] += known
        self._db.executemany(_COUNT_DUPLICATES, duplicates.items())
        fresh = judged.counted
        if inserted.spans:
            fresh = [call for place, call in enumerate(fresh) if place not in inserted.spans]
        late = [(call.span[:16], call.at - (call.duration or 0)) for call in fresh]
        self._agents.count_calls(inserted.rows, self._labels)
        kept = self._agents.keep(group.runs, group.tools, group.steps, group.evaluations, now, late=late)
        self._agents.settle(now)
        told = self._keep_pipelines(group, (trace for trace, _ in late), now)
        acknowledged = self._acknowledgements.keep(group.acknowledgements)
        kept_spot = self.spot.keep(group.spot, now)
        self._counts.write()
        return Committed(
            len(inserted.rows),
            points,
            dict(duplicates),
            fresh,
            kept.runs,
            kept.tools,
            kept.evaluations,
            *told,
            acknowledged,
            kept_spot,
        ), inserted.rows

    def _keep_pipelines(self, group: Group, calls: Iterable[bytes], now: int) -> KeptReports:
        """Merge what was told of pipelines. calls: traces of the LLM calls that were counted."""
        reports: list[RunReport | PhaseReport] = group.reports
        if group.lineage:
            reports = [*reports, *self._lineage.resolve(group.lineage, now)]
        if group.is_empty:
            reports = self._lineage.due(now)
        return self.pipelines.keep(reports, calls, now)

    def _write_checkpoint(
        self, released: list[tuple[str, tuple[str, ...]]], now: int, hosts: roster.Changes, agents: AgentChanges
    ) -> None:
        last = self._calls.last()
        before = self._meta("checkpoint")
        self._db.execute(schema.FOLD_QUARTERS, (before, last))
        rows = [self._totals[number].to_row(number) for number in self._dirty]
        self._db.executemany(_WRITE_TOTAL, rows)
        names = [(metric, json.dumps(labels)) for metric, labels in released]
        self._db.executemany("INSERT OR IGNORE INTO released VALUES (?, ?)", names)
        roster.write(self._db, hosts)
        agent_roster.write(self._db, agents)
        meta = (("checkpoint", last), ("checkpoint_at", now))
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta)

    def _prune(self) -> int:
        now = self._clock()
        deleted = prune_calls(self._db, now, self._keep)
        self._usage.prune(self._db, now)
        self._agents.prune(now)
        deleted += self._acknowledgements.prune(now) + self.spot.prune(now)
        return deleted + self._traces.prune(now) + self._lineage.prune(now) + self.pipelines.prune(now)

    def _meta(self, name: str) -> int:
        return int(self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])

    def _load(self) -> None:
        for number, *sums in self._db.execute("SELECT * FROM totals"):
            self._totals[number] = Total.from_row(tuple(sums))
        columns = ", ".join(schema.SUMS)
        rows = self._db.execute(
            f"SELECT key, span, at, labels, {columns}, duration, first_token FROM llm_calls WHERE id > ?",
            (self._meta("checkpoint"),),
        )
        for row in rows:
            self._fresh.setdefault(row[LABELS], Total()).fold(row)
        self._duplicates.update(dict(self._db.execute("SELECT reason, calls FROM duplicates")))
        self.checkpoint_at = self._meta("checkpoint_at")
        self._transaction(self._resume)

    def _resume(self) -> None:
        now = self._clock()
        self._usage.resume(self._db, now)
        self._firewall.waiting.resume(now)
        self._agents.resume(now)
        self.pipelines.resume(now)
        self.spot.resume(now)

    def _change(self, work: Callable[[], T]) -> T:
        """Do something that may count, in a transaction of its own."""

        def counted() -> T:
            result = work()
            self._counts.write()
            return result

        result = self._transaction(counted)
        self._committed()
        return result

    def _committed(self) -> None:
        self._counts.committed()
        self.pipelines.committed()
        self.spot.committed()

    def _transaction(self, work: Callable[[], T]) -> T:
        known = len(self._labels)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            result = work()
            self._db.execute("COMMIT")
            self._traces.committed()
        except BaseException as error:
            try:
                self._undo(known)
            except sqlite3.Error as worse:
                raise explain(self.path, worse) from None
            if isinstance(error, sqlite3.Error):
                raise explain(self.path, error) from None
            raise
        return result

    def _undo(self, known: int) -> None:
        self._labels.undo(known)
        self._usage.forget()
        self._firewall.undo()
        self._traces.undo()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._counts.undo()
        self._agents.undo()
        self.pipelines.undo()
        self.spot.undo()
        self._answers.reload()
