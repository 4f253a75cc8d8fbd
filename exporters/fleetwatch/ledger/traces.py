"""The spans of agents' work, by trace: what the firewall, the costs of tasks and "once each" are reckoned from.

A row per span that was read, for a day after it came. `kind` is

    call    an LLM call that was counted; `call` is its number in llm_calls, which knows all else of it
    again   a sighting that was not counted; where it has a number in `call`, that is the same response, counted
            elsewhere
    waiting   a sighting that is not decided yet: it becomes `call` or `again` within `receive.proxy_grace`
    agent, tool, step   records.agents.AgentRun, ToolCall and Step

What has no trace has no row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from fleetwatch.reckon.span_tree import CALL, WAITING

AGAIN = "again"
"""The other kinds are those of reckon.span_tree."""

DOUBTFUL = 1
"""Flag of a sighting that waits because of the spans around it, and not for one from a better point."""

KEPT = 86400 * 10**9
"""Nanoseconds that a span is remembered: agents' work that lasts longer is not seen as a whole."""
MOST_INDEXED = 1_000_000
"""Spans remembered, 60 MB of memory; of more than that in a day the oldest are forgotten sooner."""
LATE = 20_000
"""Calls whose rows the index may lag behind: many at once, in order, cost a third of as many one by one."""
PRUNE_SPANS = 2000
"""Spans forgotten in one transaction."""
MOST_PARAMETERS = 200
"""Traces asked for in one statement; statements of one length are prepared once."""

NO_TRACE = bytes(16)
NO_SPAN = bytes(8)


class SpanRow(NamedTuple):
    """One span. Times are Unix nanoseconds; texts and numbers that its kind does not use are empty and 0."""

    trace: bytes
    """16 bytes."""
    span: bytes
    parent: bytes
    """8 bytes each; the parent of a root is empty."""
    kind: str
    start: int
    at: int
    """Start and end."""
    seen: int
    """When it came, by this machine's clock."""
    call: int = 0
    agent: str = ""
    team: str = ""
    what: str = ""
    """The tool; of an agent's run its exit reason; of a sighting that does not count its key in hexadecimal."""
    outcome: str = ""
    flags: int = 0
    """What has been settled, as its kind has it."""


OF_TRACE = "s.id IN (SELECT id FROM temp.trace_index WHERE trace = ?1)"
"""Condition that finds the rows `s` of the trace in the first parameter."""
SINCE = "s.id IN (SELECT id FROM temp.trace_index WHERE trace = ?1 AND at >= ?2)"
"""Likewise, those that ended at the time in the second parameter or later."""
ONE_SPAN = "s.id = (SELECT id FROM temp.trace_index WHERE trace = ?1 AND span = ?2)"
"""Likewise, the span in the second parameter."""

SPAN = "s.span, s.parent, s.kind, s.start, s.at, s.seen"
# The labels of a call are those of its row: what its span said may have been too much for a label.
PRICED_SPANS = (
    f"SELECT {SPAN}, coalesce(l.agent, s.agent), s.team, s.what, s.outcome, s.flags, 0, coalesce(c.requests, 0), "
    "coalesce(c.cost, 0), coalesce(l.provider, ''), coalesce(l.model, ''), coalesce(l.confidence = 'unpriced', 0) "
    "FROM trace_spans s LEFT JOIN llm_calls c ON s.kind = 'call' AND c.id = s.call "
    "LEFT JOIN label_sets l ON l.id = c.labels"
)
"""Rows `s` as reckon.span_tree.Span, calls with what they cost."""

# An index on disk would write a page of it for every call: a fifth of all that the exporter does.
# With span and end: a trace may go on for days, and is not to be read for each of its spans.
_INDEX = (
    "CREATE TEMP TABLE trace_index (trace BLOB, span BLOB, at INTEGER, id INTEGER, PRIMARY KEY (trace, span)) "
    "WITHOUT ROWID"
)
_FILL = (
    "INSERT OR IGNORE INTO temp.trace_index SELECT trace, span, at, id FROM trace_spans "
    "WHERE id > (SELECT coalesce(max(id), 0) - ? FROM trace_spans) ORDER BY trace, span"
)
_INDEX_NEW = (
    "INSERT OR IGNORE INTO temp.trace_index SELECT trace, span, at, id FROM trace_spans WHERE id > ? "
    "ORDER BY trace, span"
)
_LAST = "SELECT coalesce(max(id), 0) FROM trace_spans"
_COLUMNS = ", ".join(SpanRow._fields)
_PLACES = ", ".join(f"?{number + 1}" for number in range(len(SpanRow._fields)))
_SELECT = f"SELECT {_COLUMNS.replace(' ', ' s.').replace('trace', 's.trace', 1)} FROM trace_spans AS s"
_INSERT = (
    f"INSERT INTO trace_spans ({_COLUMNS}) SELECT {_PLACES} "
    "WHERE NOT EXISTS (SELECT 1 FROM temp.trace_index WHERE trace = ?1 AND span = ?2)"
)
# One statement for a group: a row that goes through Python costs three times as much.
_INSERT_CALLS = (
    f"INSERT INTO trace_spans ({_COLUMNS}) SELECT substr(span, 1, 16), substr(span, 17), parent, '{CALL}', "
    "at - coalesce(duration, 0), at, ?, id, '', '', '', '', 0 FROM llm_calls WHERE id >= ? AND id <= ?"
)
_DECIDE = f"UPDATE trace_spans AS s SET kind = ?3, call = ?4, flags = 0 WHERE {ONE_SPAN} AND s.kind = '{WAITING}'"
_MANY = f"{_SELECT} WHERE s.id IN (SELECT id FROM temp.trace_index WHERE trace IN ({', '.join('?' * MOST_PARAMETERS)}))"


def pseudo_span(key: bytes) -> bytes:
    """A span id for a call that has none of its own: 8 bytes, the same for the same call."""
    return blake2b(key, digest_size=8).digest()


class Traces:
    """The table `trace_spans`. All that writes is called inside the writer's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Indexes the rows: 0.1 s for 100,000."""
        self._db = db
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute(_INDEX)
        db.execute(_FILL, (MOST_INDEXED,))
        self._indexed = self._last()
        """Number of the last row that the index has."""
        self._late: set[bytes] = set()
        """Traces of rows that it has not."""
        self._before: tuple[int, set[bytes]] | None = None
        """Both as they were when the index was brought up to date in this transaction."""

    def index(self) -> None:
        """Bring the index up to date; whoever reads by it calls this before."""
        if not self._late:
            return
        if self._before is None:
            self._before = self._indexed, self._late
        self._index_new()
        self._late = set()

    def committed(self) -> None:
        """The transaction is on disk."""
        self._before = None

    def undo(self) -> None:
        """The transaction was undone, and the index with it."""
        if self._before is not None:
            self._indexed, late = self._before
            self._late |= late
        self._before = None

    def add(self, rows: Iterable[SpanRow]) -> list[SpanRow]:
        """Insert rows; returns those whose span was not known yet."""
        new: dict[bytes, SpanRow] = {}
        for row in rows:
            if not new:
                self.index()
            # The index does not know of the others yet.
            if row.trace + row.span not in new and self._db.execute(_INSERT, row).rowcount:
                new[row.trace + row.span] = row
        if new:
            self._index_new()
        return list(new.values())

    def add_new(self, rows: Sequence[SpanRow]) -> None:
        """Insert rows whose spans are certainly new."""
        if rows:
            self.index()
            self._db.executemany(f"INSERT INTO trace_spans ({_COLUMNS}) VALUES ({_PLACES})", rows)
            self._index_new()

    def add_calls(self, first: int, last: int, now: int, traces: Iterable[bytes]) -> None:
        """Insert the calls with these numbers, which all have a span of which no sighting has a row."""
        self._db.execute(_INSERT_CALLS, (now, first, last))
        self._late.update(traces)
        if len(self._late) >= LATE:
            self.index()

    def decide(self, row: SpanRow) -> None:
        """Write what became of a sighting that waited."""
        self.index()
        if not self._db.execute(_DECIDE, (row.trace, row.span, row.kind, row.call)).rowcount:
            self.add([row])

    def find(self, trace: bytes, span: bytes) -> SpanRow | None:
        """One span."""
        self.index()
        row = self._db.execute(f"{_SELECT} WHERE {ONE_SPAN}", (trace, span)).fetchone()
        return SpanRow(*row) if row else None

    def of(self, trace: bytes) -> list[SpanRow]:
        """All spans of a trace, in the order of their coming."""
        self.index()
        return [SpanRow(*row) for row in self._db.execute(f"{_SELECT} WHERE {OF_TRACE}", (trace,))]

    def of_many(self, traces: Iterable[bytes]) -> dict[bytes, list[SpanRow]]:
        """All spans of some traces; a trace that has none is left out."""
        found: dict[bytes, list[SpanRow]] = {}
        wanted = list(traces)
        if not self._late.isdisjoint(wanted):
            self.index()
        for start in range(0, len(wanted), MOST_PARAMETERS):
            chunk = wanted[start : start + MOST_PARAMETERS]
            chunk += [NO_TRACE] * (MOST_PARAMETERS - len(chunk))
            for row in self._db.execute(_MANY, chunk):
                found.setdefault(row[0], []).append(SpanRow(*row))
        return found

    def set_flags(self, flags: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Set the flags of spans: (flags, trace, span) each."""
        rows = [(trace, span, flag) for flag, trace, span in flags]
        if rows:
            self.index()
        self._db.executemany(f"UPDATE trace_spans AS s SET flags = ?3 WHERE {ONE_SPAN}", rows)

    def prune(self, now: int) -> int:
        """Forget some spans past their time; returns how many."""
        self.index()
        last = self._last()
        found = self._db.execute(
            "SELECT max(id) FROM (SELECT id, seen FROM trace_spans ORDER BY id LIMIT ?) WHERE seen < ? OR id <= ?",
            (PRUNE_SPANS, now - KEPT, last - MOST_INDEXED),
        ).fetchone()[0]
        old = (found or 0,)
        self._db.execute(
            "DELETE FROM temp.trace_index WHERE (trace, span) IN (SELECT trace, span FROM trace_spans WHERE id <= ?)",
            old,
        )
        deleted = self._db.execute("DELETE FROM trace_spans WHERE id <= ?", old).rowcount
        # Where none is left, numbers begin anew.
        self._set_indexed()
        return deleted

    def _index_new(self) -> None:
        self._db.execute(_INDEX_NEW, (self._indexed,))
        self._set_indexed()

    def _set_indexed(self) -> None:
        if self._before is None:
            self._before = self._indexed, set()
        self._indexed = self._last()

    def _last(self) -> int:
        return int(self._db.execute(_LAST).fetchone()[0])
