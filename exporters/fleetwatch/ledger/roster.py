"""The roster of hosts in the ledger's file: written at checkpoints, read at start.

Another process never writes to a roster itself, be it that of hosts or that of agents: it leaves a request in a table,
which the one writer takes at its next checkpoint. So the writer's memory and the file cannot come apart.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote

from fleetwatch.ledger import schema
from fleetwatch.ledger.errors import LedgerError, explain
from fleetwatch.records.hosts import Host

Wish = Literal["confirm", "forget", "forget_agent", "forget_pipeline"]
"""confirm, forget: a host."""

_COLUMNS = ", ".join(Host._fields)
_WRITE = f"INSERT OR REPLACE INTO hosts ({_COLUMNS}) VALUES ({', '.join('?' * len(Host._fields))})"


class Request(NamedTuple):
    """What somebody asked of a roster. number: in the order of asking; name: of the host, agent or pipeline."""

    number: int
    name: str
    wish: Wish


class Changes(NamedTuple):
    """What a checkpoint writes of the roster. done: number of the last request that was taken, of any; 0 for none."""

    hosts: Sequence[Host] = ()
    forgotten: Sequence[str] = ()
    done: int = 0


NO_CHANGES = Changes()


def read_hosts(db: sqlite3.Connection) -> list[Host]:
    """All hosts, by name."""
    return [Host(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM hosts ORDER BY name")]


def read_requests(db: sqlite3.Connection) -> list[Request]:
    """What is asked for, in order."""
    return [Request(*row) for row in db.execute("SELECT number, host, wish FROM host_requests ORDER BY number")]


def write(db: sqlite3.Connection, changes: Changes) -> None:
    """Inside the writer's transaction."""
    if changes.forgotten:
        db.executemany("DELETE FROM hosts WHERE name = ?", [(name,) for name in changes.forgotten])
    if changes.hosts:
        db.executemany(_WRITE, changes.hosts)
    if changes.done:
        db.execute("DELETE FROM host_requests WHERE number <= ?", (changes.done,))


def ask(path: Path, name: str, wish: Wish, timeout: float = 5.0) -> int:
    """Leave a request in the ledger of a writer that may be running; returns its number. Raises LedgerError.

    timeout: seconds to wait for the writer's transaction to end; they take milliseconds.
    """
    with _opened(path, "rw", timeout) as db:
        now = time.time_ns()
        done = db.execute("INSERT INTO host_requests (host, wish, at) VALUES (?, ?, ?)", (name, wish, now))
        return int(done.lastrowid or 0)


def is_waiting(path: Path, number: int) -> bool:
    """Whether a request has not been taken yet. Raises LedgerError."""
    with _opened(path, "ro", 1.0) as db:
        return db.execute("SELECT 1 FROM host_requests WHERE number = ?", (number,)).fetchone() is not None


@contextlib.contextmanager
def _opened(path: Path, mode: Literal["ro", "rw"], timeout: float) -> Iterator[sqlite3.Connection]:
    """A connection beside the writer's, for one statement. Raises LedgerError."""
    if not path.exists():
        raise LedgerError(path, "other", "there is no such file yet: the exporter makes it when it starts")
    try:
        db = sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None, timeout=timeout)
        with contextlib.closing(db):
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != schema.VERSION:
                raise LedgerError(path, "other", schema.told(version))
            yield db
    except sqlite3.Error as error:
        raise explain(path, error) from None
