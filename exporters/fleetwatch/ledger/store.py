"""The ledger's writer: one transaction per group of records, each record counted once."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from fleetwatch.catalogue.metric import OTHER
from fleetwatch.ledger import roster, schema
from fleetwatch.ledger.answers import Answers
from fleetwatch.ledger.errors import LedgerError, explain
from fleetwatch.ledger.file import hold, open_checked
from fleetwatch.ledger.totals import LABELS, QUARTER, CallLabels, Total
from fleetwatch.ledger.usage import Usage
from fleetwatch.records.hosts import Host
from fleetwatch.records.llm import LlmCall, UsagePoint

if TYPE_CHECKING:
    from fleetwatch.reckon.price import PriceBook, Quote

QUARTERS_KEPT_DAYS = 400
PRUNE_ROWS = 1000
"""Calls forgotten in one transaction: 70 ms in a ledger of a gigabyte, where each lies on a page of its own."""
MOST_LABEL_SETS = 50_000
"""Label sets kept apart, about 2 KB of memory each. An agent named after its session makes a new one every time."""
MOST_NANO_USD = 10**15
"""What one record may cost, a million dollars: more is a sender's mistake, and nobody could say what it did cost."""
_DAY = 86400 * 10**9

_INSERT_LABELS = (
    "INSERT INTO label_sets (agent, team, provider, model, operation, outcome, error_type, confidence) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_WRITE_TOTAL = f"INSERT OR REPLACE INTO totals VALUES ({', '.join('?' * (len(schema.SUMS) + 5))})"
_COUNT_DUPLICATES = (
    "INSERT INTO duplicates VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET calls = calls + excluded.calls"
)

T = TypeVar("T")


class Committed(NamedTuple):
    """What one commit did."""

    calls: int
    """Rows that were new."""
    points: int
    """Usage points that were kept."""
    duplicates: dict[str, int]
    """Sightings that were not counted, by reason."""


class Ledger:
    """One ledger file and its only writer. Not for use by several threads.

    prices: what a call costs; asked once per record.
    """

    def __init__(
        self,
        path: Path,
        prices: PriceBook,
        *,
        keep_days: int = 60,
        usage: Usage | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Open or create the file, check it and fold in the rows since the last checkpoint. Raises LedgerError."""
        self.path = path
        self._quote = prices.quote
        self._keep = keep_days * _DAY
        self._usage = usage or Usage()
        self._clock = clock
        self._label_ids: dict[tuple[str, ...], int] = {}
        self._labels: dict[int, CallLabels] = {}
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
            self._load()
        except (sqlite3.Error, OSError) as error:
            self._lock.close()
            raise explain(path, error) from None
        except LedgerError:
            self._lock.close()
            raise

    def commit(self, records: Sequence[LlmCall | UsagePoint]) -> Committed:
        """Write the records in one transaction, each key once. On return they are on disk. Raises LedgerError.

        After an error nothing of the group is kept, in the file or in memory.
        """
        calls = [record for record in records if type(record) is LlmCall]
        points: list[UsagePoint] = []
        if len(calls) != len(records):
            points = [record for record in records if type(record) is UsagePoint]
        return self._write(calls, points)

    def settle(self) -> Committed:
        """Count usage points whose time to wait is over. Raises LedgerError."""
        try:
            if not self._usage.any_due(self._db, self._clock()):
                return Committed(0, 0, {})
        except sqlite3.Error as error:
            raise explain(self.path, error) from None
        return self._write([], [])

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

    def host_requests(self) -> list[roster.Request]:
        """What other processes ask of the roster. Raises LedgerError."""
        try:
            return roster.read_requests(self._db)
        except sqlite3.Error as error:
            raise explain(self.path, error) from None

    def checkpoint(
        self, released: Iterable[tuple[str, tuple[str, ...]]] = (), hosts: roster.Changes = roster.NO_CHANGES
    ) -> None:
        """Write totals and quarters up to the last commit that was taken, newly released series, and the roster."""
        if self._fresh:
            raise RuntimeError("take() before checkpoint(): the file would know of calls that the meter does not")
        now = self._clock()
        self._transaction(lambda: self._write_checkpoint(list(released), hosts, now))
        self._dirty.clear()
        self.checkpoint_at = now

    def prune(self) -> int:
        """Forget some single calls past their time; returns how many. Totals stay."""
        return self._transaction(self._prune)

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

    def _write(self, calls: list[LlmCall], points: list[UsagePoint]) -> Committed:
        now = self._clock()

        known = len(self._label_ids)

        def work() -> tuple[list[tuple[Any, ...]], int, dict[str, int]]:
            kept, duplicates = self._usage.keep(self._db, points, now)
            # Spans first: after a downtime they may come in the very commit in which the points' time is over.
            self._usage.see_spans(self._db, calls, now)
            due, seen_as_spans = self._usage.due(self._db, now)
            duplicates += Counter(seen_as_spans)
            rows = [self._row(call, self._quote(call)) for call in calls]
            rows += [self._row(call, self._quote(call, estimated=True)) for call in due]
            new, again = self._insert(rows)
            if again:
                self._drop_unused_labels(known, new)
            duplicates += again
            self._db.executemany(_COUNT_DUPLICATES, duplicates.items())
            return new, kept, dict(duplicates)

        new, kept, duplicates = self._transaction(work)
        self._duplicates.update(duplicates)
        for row in new:
            fresh = self._fresh.get(row[LABELS])
            if fresh is None:
                fresh = self._fresh[row[LABELS]] = Total()
            fresh.fold(row)
        return Committed(len(new), kept, duplicates)

    def _row(self, call: LlmCall, quote: Quote) -> tuple[Any, ...]:
        tokens = call.tokens
        confidence, cost = quote.confidence, quote.nano_usd
        if cost > MOST_NANO_USD:
            confidence, cost = "unpriced", 0
        return (
            call.key,
            call.span,
            call.at,
            self._labels_id(
                (
                    call.agent,
                    call.team,
                    call.provider,
                    self._answers.model(call),
                    call.operation,
                    call.outcome,
                    call.error_type,
                    confidence,
                )
            ),
            call.requests,
            cost,
            tokens[0],
            tokens[1],
            tokens[2],
            tokens[3],
            tokens[4],
            tokens[5],
            tokens[6],
            tokens[7],
            call.duration,
            call.first_token,
        )

    def _labels_id(self, labels: tuple[str, ...]) -> int:
        number = self._label_ids.get(labels)
        if number is None and len(self._label_ids) >= MOST_LABEL_SETS:
            labels = self._coarser(labels)
            number = self._label_ids.get(labels)
        if number is None:
            number = self._db.execute(_INSERT_LABELS, labels).lastrowid or 0
            self._label_ids[labels] = number
            self._labels[number] = CallLabels(*labels)
        return number

    def _coarser(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The labels with those that people make up replaced; where that is not enough, all without a closed list."""
        names = {"agent", "error_type"}
        if len(self._label_ids) >= 2 * MOST_LABEL_SETS:
            names |= {"team", "provider", "model"}
        pairs = zip(CallLabels._fields, labels, strict=True)
        return tuple(OTHER if name in names and value else value for name, value in pairs)

    def _insert(self, rows: list[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], Counter[str]]:
        """Insert rows whose key is new. Returns those, and the number of the others by reason."""
        if not rows:
            return [], Counter()
        changes = self._db.total_changes
        last = self._last_call()
        self._db.executemany(schema.INSERT_CALL, rows)
        if self._db.total_changes - changes == len(rows):
            return rows, Counter()
        inserted = {key for (key,) in self._db.execute("SELECT key FROM llm_calls WHERE id > ?", (last,))}
        new: list[tuple[Any, ...]] = []
        again: Counter[str] = Counter()
        for row in rows:
            if row[0] in inserted:
                inserted.remove(row[0])
                new.append(row)
            else:
                found = self._db.execute("SELECT span FROM llm_calls WHERE key = ?", (row[0],)).fetchone()
                again["resent" if found[0] == row[1] else "other_instrumentation"] += 1
        return new, again

    def _drop_unused_labels(self, known: int, new: list[tuple[Any, ...]]) -> None:
        """Take back label sets that only duplicates brought: their numbers are the order of first counting."""
        used = {row[LABELS] for row in new}
        for labels in list(self._label_ids)[known:]:
            if (number := self._label_ids[labels]) not in used:
                self._db.execute("DELETE FROM label_sets WHERE id = ?", (number,))
                del self._label_ids[labels], self._labels[number]

    def _write_checkpoint(self, released: list[tuple[str, tuple[str, ...]]], hosts: roster.Changes, now: int) -> None:
        last = self._last_call()
        before = self._meta("checkpoint")
        self._db.execute(schema.FOLD_QUARTERS, (before, last))
        rows = [self._totals[number].to_row(number) for number in self._dirty]
        self._db.executemany(_WRITE_TOTAL, rows)
        names = [(metric, json.dumps(labels)) for metric, labels in released]
        self._db.executemany("INSERT OR IGNORE INTO released VALUES (?, ?)", names)
        roster.write(self._db, hosts)
        meta = (("checkpoint", last), ("checkpoint_at", now))
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta)

    def _prune(self) -> int:
        now = self._clock()
        known = self._mark(now)
        # The newest row stays: SQLite gives the number of a last row that is gone to the next one, and a number below
        # the checkpoint's would never be folded.
        deleted = self._db.execute(
            "DELETE FROM llm_calls WHERE id IN (SELECT id FROM llm_calls WHERE id <= ? AND id < ? ORDER BY id LIMIT ?)",
            (known, self._meta("checkpoint"), PRUNE_ROWS),
        ).rowcount
        old = (now - QUARTERS_KEPT_DAYS * _DAY) // QUARTER
        if self._db.execute("SELECT 1 FROM quarters WHERE quarter > 0 AND quarter < ? LIMIT 1", (old,)).fetchone():
            self._db.execute(schema.FOLD_OLD_QUARTERS, (old,))
            self._db.execute("DELETE FROM quarters WHERE quarter > 0 AND quarter < ?", (old,))
        self._usage.prune(self._db, now)
        return deleted

    def _mark(self, now: int) -> int:
        """Note once a day which call came last; returns the last call that came before the time that calls are kept.

        What counts is when a call came and not when it was made: a trace of last year can be resent tomorrow.
        """
        self._db.execute("INSERT OR IGNORE INTO marks VALUES (?, ?)", (now // _DAY, self._last_call()))
        oldest = (now - self._keep) // _DAY
        found = self._db.execute(
            "SELECT day, call FROM marks WHERE day < ? ORDER BY day DESC LIMIT 1", (oldest,)
        ).fetchone()
        if found is None:
            return 0
        day, call = found
        self._db.execute("DELETE FROM marks WHERE day < ?", (day,))
        # A call may lead our clock by some minutes: one quarter more is in doubt.
        before = (day + 1) * _DAY + QUARTER
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('pruned_before', ?)", (before,))
        return int(call)

    def _meta(self, name: str) -> int:
        return int(self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])

    def _last_call(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM llm_calls").fetchone()[0])

    def _load(self) -> None:
        for number, *labels in self._db.execute("SELECT * FROM label_sets"):
            self._labels[number] = CallLabels(*labels)
            self._label_ids[self._labels[number]] = number
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
        self._transaction(lambda: self._usage.resume(self._db, self._clock()))

    def _transaction(self, work: Callable[[], T]) -> T:
        known = len(self._label_ids)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            result = work()
            self._db.execute("COMMIT")
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
        for labels in list(self._label_ids)[known:]:
            del self._labels[self._label_ids.pop(labels)]
        self._usage.forget()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._answers.reload()
