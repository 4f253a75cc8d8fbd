"""What was counted by its key, so that it counts once. Only digests are kept: a sender's key may be of any length."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Final

MOST: Final = 500_000
"""Keys remembered, about 40 MB of file; past it those that would be forgotten first go."""
PRUNE_ROWS: Final = 5000


class Keys:
    """The table `spot_keys`. All is called inside the writer's transaction."""

    def __init__(self, db: sqlite3.Connection, most: int = MOST) -> None:
        self._db = db
        self._most = most
        self._known: int | None = None

    def is_new(self, kind: str, key: str, until: int) -> bool:
        """Whether such a key comes for the first time. until: how long it is remembered, Unix nanoseconds."""
        digest = hashlib.blake2b(f"{kind}\0{key}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        put = self._db.execute("INSERT OR IGNORE INTO spot_keys VALUES (?, ?)", (digest, until))
        if not put.rowcount:
            return False
        if self._known is None:
            (self._known,) = self._db.execute("SELECT count(*) FROM spot_keys").fetchone()
        else:
            self._known += 1
        if self._known > self._most:
            self._drop("1", (), max(self._most // 100, 1))
        return True

    def prune(self, now: int) -> int:
        """Forget some whose time is over; returns how many."""
        return self._drop("until < ?", (now,), PRUNE_ROWS)

    def undo(self) -> None:
        """Drop what is remembered beside the file."""
        self._known = None

    def _drop(self, where: str, given: tuple[int, ...], most: int) -> int:
        which = f"SELECT key FROM spot_keys WHERE {where} ORDER BY until LIMIT ?"
        gone = self._db.execute(f"DELETE FROM spot_keys WHERE key IN ({which})", (*given, most)).rowcount
        self._known = None
        return gone
