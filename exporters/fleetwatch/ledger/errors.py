"""What can be wrong with a ledger, in words for people and as a label for the metric."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

# Primary result codes of SQLite (https://www.sqlite.org/rescode.html); extended codes carry them in the low byte.
_REASONS = {
    sqlite3.SQLITE_FULL: "disk_full",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_CANTOPEN: "read_only",
    sqlite3.SQLITE_PERM: "read_only",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
}
_ADVICE = {
    "disk_full": "free space on its disk; senders are told to try again meanwhile",
    "read_only": "make the file and its folder writable for this user",
    "damaged": "move it away and restore a copy made by `fleetwatch ledger backup`",
    "locked": "another process holds it; stop that one or give this one a ledger.url of its own",
}


class LedgerError(Exception):
    """The ledger cannot do what was asked. `reason` is one of the catalogue's LEDGER_ERROR values."""

    def __init__(self, path: Path, reason: str, detail: str) -> None:
        known = f"{reason.replace('_', ' ')} ({detail}): {_ADVICE[reason]}" if reason in _ADVICE else detail
        super().__init__(f"ledger {path}: {known}")
        self.reason = reason


def explain(path: Path, error: sqlite3.Error | OSError) -> LedgerError:
    """The LedgerError for an error of SQLite or the operating system."""
    if isinstance(error, OSError):
        known = {errno.ENOSPC: "disk_full", errno.EDQUOT: "disk_full", errno.EROFS: "read_only"}
        reason = known.get(error.errno or 0) or ("read_only" if isinstance(error, PermissionError) else "other")
        return LedgerError(path, reason, error.strerror or str(error))
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return LedgerError(path, _REASONS.get(code, "other"), str(error))


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """An error of SQLite inside the block leaves it as a LedgerError. path: of the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(path, error) from None
