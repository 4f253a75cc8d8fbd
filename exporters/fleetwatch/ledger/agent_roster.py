"""The roster of agents' processes in the ledger's file: written at checkpoints, read at start."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from fleetwatch.records.agents import AgentProcess

_COLUMNS = ", ".join(AgentProcess._fields)
_WRITE = f"INSERT OR REPLACE INTO agent_processes ({_COLUMNS}) VALUES ({', '.join('?' * len(AgentProcess._fields))})"


class AgentChanges(NamedTuple):
    """What a checkpoint writes of the roster. forgotten: (agent, host, instance)."""

    processes: Sequence[AgentProcess] = ()
    forgotten: Sequence[tuple[str, str, str]] = ()


NO_AGENT_CHANGES = AgentChanges()


def read_processes(db: sqlite3.Connection) -> list[AgentProcess]:
    """All processes, by agent, host and instance."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM agent_processes ORDER BY agent, host, instance")
    return [AgentProcess(*row) for row in rows]


def write(db: sqlite3.Connection, changes: AgentChanges) -> None:
    """Inside the writer's transaction."""
    if changes.forgotten:
        db.executemany("DELETE FROM agent_processes WHERE (agent, host, instance) = (?, ?, ?)", changes.forgotten)
    if changes.processes:
        db.executemany(_WRITE, changes.processes)
