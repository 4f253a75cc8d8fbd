"""Which model answers to a name.

A call of `gpt-4o` is answered by `gpt-4o-2024-08-06`, but a failed call names only what was asked for. Counted under
that name, every model would look as if it never failed and every alias as if it always did. So failed calls count under
the model that answered to their name last.
"""

from __future__ import annotations

import sqlite3

from fleetwatch.records.llm import LlmCall

MOST_NAMES = 10_000
"""Names remembered; more than that are no models but a sender's mistake."""


class Answers:
    """What was learned of names, in memory and in the table `answers`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._models: dict[tuple[str, str], str] = {}
        self.reload()

    def reload(self) -> None:
        """Know what the file knows: at start, and when a transaction was undone."""
        rows = self._db.execute("SELECT provider, asked, model FROM answers")
        self._models = {(provider, asked): model for provider, asked, model in rows}

    def model(self, call: LlmCall) -> str:
        """The model to count the call under. Learns from calls that were answered; inside the writer's transaction."""
        if call.asked:
            name = (call.provider, call.asked)
            if self._models.get(name) != call.model and len(self._models) < MOST_NAMES:
                self._models[name] = call.model
                self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (*name, call.model))
            return call.model
        if call.outcome == "ok":
            return call.model
        return self._models.get((call.provider, call.model), call.model)
