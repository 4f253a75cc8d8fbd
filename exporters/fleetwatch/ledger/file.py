"""The ledger's file: one writer holds it, what it holds is checked before it is trusted."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
from pathlib import Path
from typing import IO

from fleetwatch.ledger import schema
from fleetwatch.ledger.errors import LedgerError, explain

log = logging.getLogger(__name__)

CHECK_SECONDS = 3.0
"""Longest time that a start looks for damage; a disk reads about half a gigabyte in it."""

WAL_BYTES = 64 << 20
"""Size to which the write-ahead log is cut after a long reader let it grow."""


def hold(path: Path) -> IO[str]:
    """Hold PATH.lock: a second writer would count into totals that the first one does not know of."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(f"{path}.lock", "a+", encoding="utf-8")  # noqa: SIM115 - held until close()
    except OSError as error:
        raise explain(path, error) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise LedgerError(path, "locked", f"in use by process {holder}") from None
    # The number is only for the message above; a full disk is told by the database, and passes.
    with contextlib.suppress(OSError):
        os.ftruncate(lock.fileno(), 0)
        os.write(lock.fileno(), str(os.getpid()).encode())
    return lock


def open_checked(path: Path) -> sqlite3.Connection:
    """A checked connection with the current schema. Raises sqlite3.Error or LedgerError."""
    # Nobody else writes; should somebody, the loop must not stand still for long: senders come again.
    db = sqlite3.connect(path, isolation_level=None, timeout=0.2, cached_statements=64)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit is on the platter, not only in the page cache, before the sender is told.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -65536")
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        _check(path, db)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            db.executescript(f"BEGIN IMMEDIATE; {schema.SCHEMA} COMMIT;")
        elif version > schema.VERSION or version < min(schema.MIGRATIONS):
            raise LedgerError(path, "other", schema.told(version))
        else:
            _migrate(path, db, version)
        # A file that can be read but not written is found here and not at the first sender.
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE meta SET value = value WHERE name = 'checkpoint'")
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _migrate(path: Path, db: sqlite3.Connection, version: int) -> None:
    """Bring the file up to the current version, each step in a transaction of its own."""
    for step in range(version, schema.VERSION):
        db.executescript(f"BEGIN IMMEDIATE; {schema.MIGRATIONS[step]} PRAGMA user_version = {step + 1}; COMMIT;")
        log.info("%s: format %d is now %d", path, step, step + 1)


def _check(path: Path, db: sqlite3.Connection) -> None:
    """Look for damage, for CHECK_SECONDS at most: what lies beyond is found when it is read."""
    timer = threading.Timer(CHECK_SECONDS, db.interrupt)
    timer.start()
    try:
        damage = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        log.info("%s is too large to be checked whole at start: `fleetwatch ledger verify` does", path)
    else:
        if damage != "ok":
            raise LedgerError(path, "damaged", str(damage))
    finally:
        timer.cancel()
        timer.join()
