"""Calls on disk that are not decided yet: a better sighting of the same call may come, and then they do not count.

Their senders have been answered, so they outlive the process; which sighting is the better one is the firewall's
business.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence

from fleetwatch.ledger.traces import MOST_PARAMETERS, NO_TRACE
from fleetwatch.records.llm import LlmCall, Tokens

_BYTES = tuple(LlmCall._fields.index(name) for name in ("key", "span", "parent"))
_TOKENS = LlmCall._fields.index("tokens")
MOST_EARLY = 200
"""Calls looked at again before their time is over; all calls of a day may be in one trace, and many of them wait."""
_OF_TRACES = (
    f"SELECT number, call FROM calls_waiting WHERE trace IN ({', '.join('?' * MOST_PARAMETERS)}) ORDER BY number "
    "LIMIT ?"
)


class Waiting:
    """The table `calls_waiting`. grace: nanoseconds that a call waits."""

    def __init__(self, db: sqlite3.Connection, grace: int) -> None:
        self._db = db
        self.grace = grace
        self._next_due: int | None = None

    def resume(self, now: int) -> None:
        """Go on with what an earlier process left: senders may still hold what they could not deliver meanwhile."""
        self._db.execute("UPDATE calls_waiting SET due = max(due, ?)", (now + self.grace,))
        self.undo()

    def keep(self, call: LlmCall, now: int) -> bytes | None:
        """Put a call on disk. Where another sighting of it waits already, that one's span."""
        due = now + self.grace
        row = (call.key, call.span[:16], due, dump_call(call))
        kept = self._db.execute("INSERT OR IGNORE INTO calls_waiting (key, trace, due, call) VALUES (?, ?, ?, ?)", row)
        if kept.rowcount:
            self._next_due = None
            return None
        known = load_call(self._db.execute("SELECT call FROM calls_waiting WHERE key = ?", (call.key,)).fetchone()[0])
        if any(call.tokens) and not any(known.tokens):
            # The same answer: what the sighting that waits did not tell, this one does.
            told = dump_call(known._replace(tokens=call.tokens))
            self._db.execute("UPDATE calls_waiting SET call = ? WHERE key = ?", (told, call.key))
        return known.span

    def any_waits(self) -> bool:
        """Whether any call waits."""
        if self._next_due is None:
            # After a start, a change or an error the file knows better than we do; 0 stands for "nothing waits".
            self._next_due = int(self._db.execute("SELECT coalesce(min(due), 0) FROM calls_waiting").fetchone()[0])
        return self._next_due > 0

    def any_due(self, now: int) -> bool:
        """Whether a call's time to wait is over."""
        return self.any_waits() and (self._next_due or 0) <= now

    def due(self, now: int) -> dict[int, LlmCall]:
        """Number and call of those whose time is over, in the order of their coming."""
        if not self.any_due(now):
            return {}
        rows = self._db.execute("SELECT number, call FROM calls_waiting WHERE due <= ? ORDER BY number", (now,))
        return {number: load_call(text) for number, text in rows}

    def of_traces(self, traces: Collection[bytes]) -> dict[int, LlmCall]:
        """Number and call of those of some traces, in the order of their coming; of very many the first."""
        found: dict[int, LlmCall] = {}
        wanted: Sequence[bytes] = list(traces)
        for start in range(0, len(wanted), MOST_PARAMETERS):
            chunk = [*wanted[start : start + MOST_PARAMETERS]]
            chunk += [NO_TRACE] * (MOST_PARAMETERS - len(chunk))
            rows = self._db.execute(_OF_TRACES, [*chunk, MOST_EARLY - len(found)])
            found |= {number: load_call(text) for number, text in rows}
        return found

    def done(self, number: int) -> None:
        """Forget a call that is decided."""
        self._db.execute("DELETE FROM calls_waiting WHERE number = ?", (number,))
        self._next_due = None

    def undo(self) -> None:
        """Drop what is remembered beside the file."""
        self._next_due = None


def dump_call(call: LlmCall) -> str:
    """A call as JSON; `load_call` makes it whole again."""
    return json.dumps([value.hex() if isinstance(value, bytes) else value for value in call])


def load_call(text: str) -> LlmCall:
    """The inverse of dump_call, also for what was written when calls had fewer fields."""
    fields = json.loads(text)
    for place in _BYTES:
        if place < len(fields):
            fields[place] = bytes.fromhex(fields[place])
    fields[_TOKENS] = Tokens(*fields[_TOKENS])
    return LlmCall(*fields)
