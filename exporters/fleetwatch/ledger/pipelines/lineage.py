"""Who is part of whom: OpenLineage's events -> runs and phases, inside the ledger's transaction.

    lineage_runs    a row per run of a job that was told or named as a parent, for a week after its last news
    lineage_names   which namespace has the plain name of a pipeline

A child may come before its parent. An event that names a root as its parent, or no parent at all, has its place at
once. Otherwise it waits in its row until the parent's own events tell whose part that one is, at most WAIT: then the
parent is taken for a run of a pipeline, or for a phase of the root that the event names. What has a place keeps it.

A run or phase that never tells anything itself is made by its parts. It ends as they did, when all of them have ended
and nothing came for QUIET, a phase also when its run has told its end; its own word, should it come, corrects that.

Nothing is kept in memory, so there is nothing to undo.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fleetwatch.reckon.lineage import (
    MOST,
    Node,
    Sums,
    as_run,
    below,
    earlier,
    judged,
    merged,
    pipeline_name,
    reports,
    untold,
)
from fleetwatch.records.lineage import DataUse, Job, LineageEvent
from fleetwatch.records.pipelines import PhaseReport, RunReport

Report = RunReport | PhaseReport

WAIT: Final = 60 * 10**9
"""Nanoseconds that a run waits for the first word of its parent."""
QUIET: Final = 900 * 10**9
"""Nanoseconds without news after which what is known from its parts alone ends with them."""
KEEP: Final = 7 * 86_400 * 10**9
KEEP_NAMES: Final = 90 * 86_400 * 10**9
"""Nanoseconds since the last news after which a run or a name is forgotten."""
MOST_RUNS: Final = 100_000
MOST_NAMES: Final = 10_000
_DEEPEST: Final = 64
"""Parents above each other that are looked at."""
_AT_ONCE: Final = 1000
"""Rows that are decided or forgotten in one transaction."""

_NUMBERS = {"told", "first_seen", "seen", "sent", "judged", "attempt", "items_in", "items_out", "files", "size"}
_OPTIONAL = {"started", "ended", "due"}


def _column(name: str) -> str:
    if name == "run":
        return "run TEXT PRIMARY KEY"
    return f"{name} INTEGER" if name in _OPTIONAL else f"{name} {'INTEGER' if name in _NUMBERS else 'TEXT'} NOT NULL"


SCHEMA: Final = f"""
CREATE TABLE lineage_runs ({", ".join(map(_column, Node._fields))}) WITHOUT ROWID;
CREATE INDEX lineage_waiting ON lineage_runs (parent) WHERE top = '';
CREATE INDEX lineage_parts ON lineage_runs (top);
CREATE INDEX lineage_phase_parts ON lineage_runs (phase_run);
CREATE INDEX lineage_due ON lineage_runs (due) WHERE due IS NOT NULL;
CREATE INDEX lineage_seen ON lineage_runs (seen);
CREATE TABLE lineage_names (name TEXT PRIMARY KEY, namespace TEXT NOT NULL, seen INTEGER NOT NULL) WITHOUT ROWID;
"""
_READ = f"SELECT {', '.join(Node._fields)} FROM lineage_runs"
_WRITE = f"INSERT OR REPLACE INTO lineage_runs VALUES ({', '.join('?' * len(Node._fields))})"
_DATA = Node._fields.index("data")
# sum() fails past 2^63, which a few senders of nonsense can reach; total() does not.
_SUMS = ", ".join(f"CAST(min(total({name}), {MOST}) AS INTEGER)" for name in ("items_in", "items_out", "files", "size"))
_FLAGS = tuple(Node._fields.index(name) for name in ("told", "judged"))


class Lineage:
    """The memory of one ledger. All methods run inside the ledger's transaction, but any_due()."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._told: dict[tuple[str, str], Report] = {}

    def resolve(self, events: Iterable[LineageEvent], now: int) -> list[Report]:
        """What is known, after these events, of all runs and phases that they concern. now: Unix ns."""
        self._told = {}
        for event in events:
            node = merged(self._get(event.me.run), event, now)
            self._settle(node if node.top else self._placed(node, now), now)
        return self._take()

    def any_due(self, now: int) -> bool:
        """Whether due() has something to do."""
        return self._db.execute("SELECT 1 FROM lineage_runs WHERE due <= ? LIMIT 1", (now,)).fetchone() is not None

    def due(self, now: int) -> list[Report]:
        """What is decided without further news: places of those that waited, ends of those that never tell."""
        self._told = {}
        # Phases before runs: a run ends with its phases.
        late = self._all("WHERE due <= ? ORDER BY top = run, due LIMIT ?", (now, _AT_ONCE))
        for run in [node.run for node in late]:
            node = self._get(run)
            if node is None or node.due is None or node.due > now:
                continue  # settled with one before it
            if node.top:
                self._end(node)
            else:
                self._assume(node, now)
        return self._take()

    def prune(self, now: int) -> int:
        """Forget some of what is past its time or too much; returns how much."""
        gone = self._db.execute(
            "DELETE FROM lineage_runs WHERE run IN (SELECT run FROM lineage_runs WHERE seen < ? ORDER BY seen LIMIT ?)",
            (now - KEEP, _AT_ONCE),
        ).rowcount
        for table, key, most in (("lineage_runs", "run", MOST_RUNS), ("lineage_names", "name", MOST_NAMES)):
            (number,) = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()
            if number > most:
                surplus = f"SELECT {key} FROM {table} ORDER BY seen LIMIT {min(number - most, _AT_ONCE)}"
                gone += self._db.execute(f"DELETE FROM {table} WHERE {key} IN ({surplus})").rowcount
        self._db.execute("DELETE FROM lineage_names WHERE seen < ?", (now - KEEP_NAMES,))
        return gone

    def _placed(self, node: Node, now: int) -> Node:
        """The node in its place, or with the time until which it waits for one."""
        if not node.parent:
            return as_run(node, self._name(node, now))
        parent = self._get(node.parent)
        if parent is None and node.root == node.parent:
            parent = self._unheard_run(_parent(node), now)
        if parent is None or not parent.top:
            return node._replace(due=node.due or now + WAIT)
        return below(parent, node)

    def _assume(self, node: Node, now: int) -> None:
        """A place for a node that has waited long enough."""
        passed = {node.run}
        while (parent := self._get(node.parent)) is not None and not parent.top:
            if parent.run in passed or len(passed) > _DEEPEST:
                self._settle(as_run(parent, self._name(parent, now)), now)  # they name each other as parents
                return
            passed.add(parent.run)
            node = parent
        if parent is None:
            parent = untold(_parent(node), now)
            if node.root and node.root != node.parent:
                root = self._get(node.root)
                if root is None or not root.top:
                    root = self._unheard_run(Job(node.root, node.root_name, node.root_namespace), now, root)
                parent = below(root, parent)
            else:
                parent = as_run(parent, self._name(parent, now))
            self._settle(parent, now)  # and with it all that waited for it
        else:
            self._settle(below(parent, node), now)

    def _unheard_run(self, job: Job, now: int, known: Node | None = None) -> Node:
        run = known or untold(job, now)
        run = as_run(run, self._name(run, now))
        self._settle(run, now)
        return run

    def _settle(self, node: Node, now: int) -> None:
        """Write a node, report it and those that are made by it, and give places to those that waited for it."""
        open_ = [node]
        while open_:
            node = open_.pop()
            self._write(node)
            if not node.top:
                continue
            self._report(node)
            if node.is_run and node.told and node.state == "ended":
                self._db.execute(
                    "UPDATE lineage_runs SET due = ? WHERE top = ? AND told = 0 AND judged = 0 AND run != ?",
                    (now, node.run, node.run),
                )
            for above in {node.phase_run, node.top} - {node.run, ""}:
                self._touch(above, node, now)
            waiting = self._all("WHERE top = '' AND parent = ?", (node.run,))
            open_ += [below(node, child) for child in waiting if child.run != node.run]

    def _touch(self, above: str, part: Node, now: int) -> None:
        """News of a part, to the run or phase that it belongs to."""
        node = self._get(above)
        if node is None:
            return
        if not node.told and not node.judged:
            node = node._replace(
                seen=now,
                sent=max(node.sent, part.sent),
                started=earlier(node.started, part.started),
                due=now if self._is_over(node) else now + QUIET,
            )
            self._write(node)
        elif not (node.is_phase and any((part.items_in, part.items_out, part.files, part.size))):
            return
        self._report(node)

    def _is_over(self, phase: Node) -> bool:
        """Whether the run of a phase has told its end: nothing more is to come."""
        run = None if phase.is_run else self._get(phase.top)
        return run is not None and run.told and run.state == "ended"

    def _end(self, node: Node) -> None:
        """End what never told anything itself, if its parts have ended."""
        of = "phase_run" if node.is_phase else "top"
        parts = self._all(f"WHERE {of} = ? AND run != ?", (node.run, node.run))
        if any(part.state != "ended" for part in parts):
            # The end of each of them asks again. One that never ends is given up with the whole run, and not here.
            self._write(node._replace(due=None))
            return
        direct = [part for part in parts if part.is_phase or node.is_phase]
        node = judged(node, ((part.subphase or part.phase, part.result, part.ended or 0) for part in direct))
        self._write(node)
        self._report(node)

    def _report(self, node: Node) -> None:
        if not node.state:
            return  # facts about a run that nobody has begun or ended
        sums: Sums = (0, 0, 0, 0)
        if node.is_phase:
            sums = self._db.execute(
                f"SELECT {_SUMS} FROM lineage_runs WHERE phase_run = ? AND run != ?", (node.run, node.run)
            ).fetchone()
        for report in reports(node, sums):
            self._told[type(report).__name__, node.run] = report

    def _take(self) -> list[Report]:
        found, self._told = list(self._told.values()), {}
        return found

    def _name(self, node: Node, now: int) -> str:
        """Name of the pipeline: that of the job, unless another namespace has it. Only own words claim a name."""
        row = self._db.execute("SELECT namespace FROM lineage_names WHERE name = ?", (node.name,)).fetchone()
        if row is not None and node.namespace and row[0] != node.namespace:
            return pipeline_name(node.name, node.namespace)
        if node.told and node.namespace:
            self._db.execute("INSERT OR REPLACE INTO lineage_names VALUES (?, ?, ?)", (node.name, node.namespace, now))
        return node.name

    def _get(self, run: str) -> Node | None:
        return next(self._rows("WHERE run = ?", (run,)), None)

    def _all(self, where: str, values: Sequence[str | int]) -> list[Node]:
        return list(self._rows(where, values))

    def _rows(self, where: str, values: Sequence[str | int]) -> Iterator[Node]:
        for row in self._db.execute(f"{_READ} {where}", values):
            cells = list(row)
            cells[_DATA] = tuple(DataUse(*use) for use in json.loads(cells[_DATA]))
            for flag in _FLAGS:
                cells[flag] = bool(cells[flag])
            yield Node(*cells)

    def _write(self, node: Node) -> None:
        cells = list(node)
        cells[_DATA] = json.dumps(node.data, separators=(",", ":"))
        self._db.execute(_WRITE, cells)


def _parent(node: Node) -> Job:
    return Job(node.parent, node.parent_name, node.parent_namespace)
