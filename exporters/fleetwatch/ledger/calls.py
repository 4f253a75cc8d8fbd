"""Calls become rows: priced, labelled, and inserted where their key is new."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fleetwatch.ledger import schema
from fleetwatch.ledger.answers import Answers
from fleetwatch.ledger.labels import LabelSets
from fleetwatch.ledger.totals import LABELS
from fleetwatch.reckon.price import Quote
from fleetwatch.records.llm import LlmCall

MOST_NANO_USD = 10**15
"""What one record may cost, a million dollars: more is a sender's mistake, and nobody could say what it did cost."""


class Inserted(NamedTuple):
    """What became of some calls, each in its place."""

    rows: list[tuple[Any, ...]]
    """As they went into llm_calls, the new ones only."""
    numbers: list[int]
    """For each call the number of its row, or of the row that has its key."""
    spans: dict[int, bytes]
    """Place of a call that was not new -> span of the sighting that was counted."""


class Calls:
    """The table `llm_calls`."""

    def __init__(
        self, db: sqlite3.Connection, quote: Callable[..., Quote], labels: LabelSets, answers: Answers
    ) -> None:
        self._db = db
        self._quote = quote
        self._labels = labels
        self._answers = answers

    def last(self) -> int:
        """Number of the last row; 0 for none."""
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM llm_calls").fetchone()[0])

    def insert(self, calls: Sequence[LlmCall], estimated: Sequence[LlmCall]) -> Inserted:
        """Insert calls whose key is new; those of `estimated` come last and are priced as that."""
        known = len(self._labels)
        rows = [self._row(call, self._quote(call)) for call in calls]
        rows += [self._row(call, self._quote(call, estimated=True)) for call in estimated]
        if not rows:
            return Inserted([], [], {})
        changes = self._db.total_changes
        last = self.last()
        self._db.executemany(schema.INSERT_CALL, rows)
        if self._db.total_changes - changes == len(rows):
            return Inserted(rows, list(range(last + 1, last + 1 + len(rows))), {})
        found = self._new_ones(rows, last)
        self._labels.drop_unused(known, {row[LABELS] for row in found.rows})
        return found

    def _new_ones(self, rows: list[tuple[Any, ...]], last: int) -> Inserted:
        """Tell the rows that were inserted after `last` from those whose key was known."""
        inserted = dict(self._db.execute("SELECT key, id FROM llm_calls WHERE id > ?", (last,)))
        new: list[tuple[Any, ...]] = []
        numbers: list[int] = []
        spans: dict[int, bytes] = {}
        for place, row in enumerate(rows):
            number = inserted.pop(row[0], None)
            if number is not None:
                new.append(row)
            else:
                number, spans[place] = self._db.execute(
                    "SELECT id, span FROM llm_calls WHERE key = ?", (row[0],)
                ).fetchone()
            numbers.append(number)
        return Inserted(new, numbers, spans)

    def _row(self, call: LlmCall, quote: Quote) -> tuple[Any, ...]:
        tokens = call.tokens
        confidence, cost = quote.confidence, quote.nano_usd
        if cost > MOST_NANO_USD:
            confidence, cost = "unpriced", 0
        return (
            call.key,
            call.span,
            call.at,
            self._labels.number(
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
            call.parent,
        )
