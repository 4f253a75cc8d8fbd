"""Sets of labels that calls are counted under, and their numbers: the order of first counting."""

from __future__ import annotations

import sqlite3
from collections.abc import Container

from fleetwatch.catalogue.metric import OTHER
from fleetwatch.ledger.totals import CallLabels

MOST_LABEL_SETS = 50_000
"""Label sets kept apart, about 2 KB of memory each. An agent named after its session makes a new one every time."""

_INSERT = (
    "INSERT INTO label_sets (agent, team, provider, model, operation, outcome, error_type, confidence) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class LabelSets:
    """The table `label_sets`, and all of it in memory."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._numbers: dict[tuple[str, ...], int] = {}
        self._labels: dict[int, CallLabels] = {}
        for number, *labels in db.execute("SELECT * FROM label_sets"):
            self._remember(number, CallLabels(*labels))

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: int) -> CallLabels:
        return self._labels[number]

    def number(self, labels: tuple[str, ...]) -> int:
        """The number of a set; a new one gets a row. Inside the writer's transaction."""
        number = self._numbers.get(labels)
        if number is None and len(self._numbers) >= MOST_LABEL_SETS:
            labels = self._coarser(labels)
            number = self._numbers.get(labels)
        if number is None:
            number = self._db.execute(_INSERT, labels).lastrowid or 0
            self._remember(number, CallLabels(*labels))
        return number

    def drop_unused(self, known: int, used: Container[int]) -> None:
        """Take back sets that came after the first `known` and that only duplicates brought."""
        for labels in list(self._numbers)[known:]:
            if (number := self._numbers[labels]) not in used:
                self._db.execute("DELETE FROM label_sets WHERE id = ?", (number,))
                del self._numbers[labels], self._labels[number]

    def undo(self, known: int) -> None:
        """Forget what came after the first `known`: the transaction was undone."""
        for labels in list(self._numbers)[known:]:
            del self._labels[self._numbers.pop(labels)]

    def _remember(self, number: int, labels: CallLabels) -> None:
        self._numbers[labels] = number
        self._labels[number] = labels

    def _coarser(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The labels with those that people make up replaced; where that is not enough, all without a closed list."""
        names = {"agent", "error_type"}
        if len(self._numbers) >= 2 * MOST_LABEL_SETS:
            names |= {"team", "provider", "model"}
        pairs = zip(CallLabels._fields, labels, strict=True)
        return tuple(OTHER if name in names and value else value for name, value in pairs)
