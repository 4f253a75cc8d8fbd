"""What agents did: tasks, tool calls and evaluations, each counted once, and what tasks cost.

Tasks, tool calls and evaluations are counted in the transaction that brings them; costs when they are settled. What is
the same and what belongs together is reckoned in reckon.tasks; here are the rows and the counts.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from fleetwatch.catalogue import agents
from fleetwatch.catalogue.metric import NANO, metrics_of
from fleetwatch.ledger.counts import Counts
from fleetwatch.ledger.labels import LabelSets
from fleetwatch.ledger.totals import DURATION, LABELS
from fleetwatch.ledger.traces import KEPT, NO_TRACE, PRICED_SPANS, SINCE, SPAN, SpanRow, Traces
from fleetwatch.reckon import tasks
from fleetwatch.reckon.span_tree import AGENT, STEP, TOOL, Span
from fleetwatch.records.agents import AgentRun, Evaluation, Step, ToolCall

LEAST_AT_ONCE = 100
MOST_AT_ONCE = 2000
SETTLE_SECONDS = 0.05
"""Traces looked at in one transaction, and how long past the least: the loop stands still for it."""
WHOLE_TRACE = 300
"""Spans up to which a trace is read as a whole. Of a longer one only what is about the time in question is read."""
MOST_SPANS = 50_000
"""Spans read of one trace."""
ABOUT = 60 * 10**9
"""Nanoseconds that clocks of different machines may differ, and work may outlast whoever asked for it."""
PER_SPAN = 1_000_000
"""Nanoseconds for which a trace is left alone for each of its spans: an endless one takes 1 % of a core at most."""
MOST_SCORE = 10**6
"""Score of an evaluation; what is beyond it is no score."""
PRUNE_ROWS = 2000

METRICS = tuple(metric for metric in metrics_of(agents) if metric.durable)
"""What is counted here."""

_PLAIN = f"SELECT {SPAN}, s.agent, s.team, s.what, s.outcome, s.flags, s.call FROM trace_spans s WHERE {SINCE} LIMIT ?3"
_PRICED = f"{PRICED_SPANS} WHERE {SINCE} LIMIT ?3"
_OPEN = (
    "INSERT INTO traces_open (trace, due, since, seen) VALUES (?, ?, ?, ?) ON CONFLICT (trace) DO UPDATE SET "
    "since = CASE WHEN due = 0 THEN excluded.since ELSE min(since, excluded.since) END, "
    "due = CASE WHEN due = 0 THEN excluded.due ELSE min(due, excluded.due) END, seen = excluded.seen"
)
_OPEN_AGAIN = (
    "UPDATE traces_open SET since = CASE WHEN due = 0 THEN ?2 ELSE min(since, ?2) END, "
    "due = CASE WHEN due = 0 THEN ?1 ELSE due END WHERE trace = ?3"
)

T = TypeVar("T", AgentRun, ToolCall, Step)


class AgentRules(NamedTuple):
    """When a task is settled, seconds, and the bounds of labels where they differ from the catalogue's.

    grace: after it came; exporters of OpenTelemetry's SDKs send every 5 s, and a Collector that was refused comes again
    after up to 7.5 s. quiet: a task of which nobody knows whether another is around it waits until nothing came of its
    trace for so long.
    """

    grace: float = 10.0
    quiet: float = 30.0
    limits: Mapping[str, int] = MappingProxyType({})


class Kept(NamedTuple):
    """What of a group was new. tools: without second sightings of one call."""

    runs: Sequence[AgentRun] = ()
    tools: Sequence[ToolCall] = ()
    steps: int = 0
    evaluations: int = 0


class Agents:
    """All of it is called inside the writer's transaction, but undo."""

    def __init__(self, db: sqlite3.Connection, traces: Traces, counts: Counts, rules: AgentRules) -> None:
        """counts: keeps METRICS; whoever holds it writes it."""
        self._db = db
        self._traces = traces
        self._rules = tasks.Rules(round(rules.grace * 10**9), round(rules.quiet * 10**9))
        self._counts = counts
        self._next_due: int | None = None
        self._any_known: bool | None = None

    def resume(self, now: int) -> None:
        """Go on with what an earlier process left: what was under way while nobody listened comes again."""
        due = now + self._rules.grace
        self._db.execute("UPDATE traces_open SET due = max(due, ?) WHERE due > 0", (due,))
        self._next_due = None

    def keep(
        self,
        runs: Sequence[AgentRun],
        tools: Sequence[ToolCall],
        steps: Sequence[Step],
        evaluations: Sequence[Evaluation],
        now: int,
        *,
        late: Iterable[tuple[bytes, int]] = (),
    ) -> Kept:
        """Count what is new. late: (trace, start) of the LLM calls that were counted in this transaction."""
        new_runs = self._insert(runs, _run_row, now)
        new_tools = self._insert(tools, _tool_row, now)
        new_steps = self._insert(steps, _step_row, now)
        repeated = self._mark_repeats([*new_runs, *new_tools]) if new_runs or new_tools else set()
        for run in new_runs:
            if run.span not in repeated:
                self._count_run(run)
        once = [tool for tool in new_tools if tool.span not in repeated]
        for tool in once:
            self._count_tool(tool)
        inside: list[ToolCall | Step] = [*new_tools, *new_steps]
        self._open(new_runs, chain(((item.span[:16], item.start) for item in inside), late), now)
        new_evaluations = [item for item in evaluations if self._is_new(item, now)]
        for evaluation in new_evaluations:
            self._count_evaluation(evaluation)
        return Kept(new_runs, once, len(new_steps), len(new_evaluations))

    def count_calls(self, rows: Iterable[tuple[Any, ...]], labels: LabelSets) -> None:
        """Count the edges to models. rows: new ones of llm_calls; labels: by their numbers. Before `keep`."""
        sums: dict[int, list[int]] = {}
        for row in rows:
            mine = sums.get(row[LABELS])
            if mine is None:
                mine = sums[row[LABELS]] = [0, 0]
            mine[0] += row[LABELS + 1]
            mine[1] += row[DURATION] or 0
        for number, (requests, duration) in sums.items():
            known = labels[number]
            edge = (known.agent, known.provider, "model")
            self._counts.add(agents.EDGE_REQUESTS, (*edge, known.outcome), requests)
            self._counts.add(agents.EDGE_TIME, edge, duration)

    def any_due(self, now: int) -> bool:
        """Whether a trace is to be looked at."""
        if self._next_due is None:
            # After a start or an error the file knows better than we do; 0 stands for "nothing is open".
            found = self._db.execute("SELECT min(due) FROM traces_open WHERE due > 0").fetchone()[0]
            self._next_due = found or 0
        return 0 < self._next_due <= now

    def settle(self, now: int) -> int:
        """Tell the cost of tasks whose time has come; returns how many traces were looked at."""
        if not self.any_due(now):
            return 0
        rows = self._db.execute(
            "SELECT trace, since FROM traces_open WHERE due > 0 AND due <= ? ORDER BY due LIMIT ?",
            (now, MOST_AT_ONCE),
        ).fetchall()
        started = time.perf_counter()
        flags: list[tuple[int, bytes, bytes]] = []
        dues: list[tuple[int, int, bytes]] = []
        for trace, since in rows:
            if len(dues) >= LEAST_AT_ONCE and time.perf_counter() - started > SETTLE_SECONDS:
                break
            spans = self._read(_PRICED, trace, since)
            settled = tasks.settle(spans, now, self._rules)
            self._count_settled(settled)
            flags += [(value, trace, span) for span, value in settled.flags.items()]
            due = settled.due and max(settled.due, now + len(spans) * PER_SPAN)
            dues.append((due, settled.since, trace))
        self._traces.set_flags(flags)
        self._db.executemany("UPDATE traces_open SET due = ?, since = ? WHERE trace = ?", dues)
        self._next_due = None
        return len(dues)

    def undo(self) -> None:
        """The transaction was undone."""
        self._next_due = self._any_known = None

    def prune(self, now: int) -> None:
        """Forget what is past its time."""
        old = (now - KEPT, PRUNE_ROWS)
        self._db.execute(
            "DELETE FROM traces_open WHERE trace IN (SELECT trace FROM traces_open WHERE seen < ? LIMIT ?)", old
        )
        self._db.execute(
            "DELETE FROM evaluations WHERE key IN (SELECT key FROM evaluations WHERE seen < ? LIMIT ?)", old
        )
        self._next_due = self._any_known = None

    def _insert(self, records: Sequence[T], row: Callable[[T, int], SpanRow], now: int) -> list[T]:
        """Insert what is a span of a trace; returns what was not known yet."""
        new = {
            item.trace + item.span
            for item in self._traces.add(row(item, now) for item in records if _is_span(item.span))
        }
        fresh = []
        for record in records:
            if record.span in new:
                new.remove(record.span)
                fresh.append(record)
        return fresh

    def _mark_repeats(self, fresh: Sequence[AgentRun | ToolCall]) -> set[bytes]:
        """Which of the fresh runs and tool calls are second sightings: trace and span ids."""
        by_trace: dict[bytes, list[AgentRun | ToolCall]] = {}
        for record in fresh:
            by_trace.setdefault(record.span[:16], []).append(record)
        found: set[bytes] = set()
        for trace, records in by_trace.items():
            spans = self._read(_PLAIN, trace, min(record.start for record in records))
            repeats = tasks.repeats(spans, {record.span[16:] for record in records})
            if repeats:
                self._traces.set_flags((tasks.REPEAT, trace, span) for span in repeats)
                found.update(trace + span for span in repeats)
        return found

    def _read(self, sql: str, trace: bytes, since: int) -> list[Span]:
        """The spans of a trace; of a long one those that ended about `since` or later."""
        self._traces.index()
        rows = self._db.execute(sql, (trace, 0, WHOLE_TRACE + 1)).fetchall()
        if len(rows) > WHOLE_TRACE:
            rows = self._db.execute(sql, (trace, since - ABOUT, MOST_SPANS)).fetchall()
        return [Span(*row) for row in rows]

    def _count_run(self, run: AgentRun) -> None:
        self._counts.add(agents.TASKS, (run.agent, run.outcome, run.exit_reason))
        self._counts.observe(agents.TASK_DURATION, (run.agent,), max(run.at - run.start, 0))

    def _count_tool(self, tool: ToolCall) -> None:
        duration = max(tool.at - tool.start, 0)
        self._counts.add(agents.TOOL_CALLS, (tool.agent, tool.tool, tool.outcome))
        self._counts.observe(agents.TOOL_DURATION, (tool.tool,), duration)
        self._count_edge(tool.agent, tool.tool, "tool", tool.outcome, duration)

    def _count_edge(self, source: str, target: str, kind: str, outcome: str, duration: int) -> None:
        self._counts.add(agents.EDGE_REQUESTS, (source, target, kind, outcome))
        self._counts.add(agents.EDGE_TIME, (source, target, kind), duration)

    def _is_new(self, evaluation: Evaluation, now: int) -> bool:
        row = (evaluation.key, now)
        return self._db.execute("INSERT OR IGNORE INTO evaluations VALUES (?, ?)", row).rowcount > 0

    def _count_evaluation(self, item: Evaluation) -> None:
        self._counts.add(agents.EVALUATIONS, (item.agent, item.model, item.name, item.verdict))
        score = item.score
        if score is not None and math.isfinite(score) and abs(score) <= MOST_SCORE:
            self._counts.observe(agents.EVALUATION_SCORE, (item.agent, item.model, item.name), round(score * NANO))

    def _open(self, runs: Sequence[AgentRun], others: Iterable[tuple[bytes, int]], now: int) -> None:
        """Note which traces are to be looked at. others: (trace, start) of what may come late to a settled task."""
        due = now + self._rules.grace
        if runs:
            self._db.executemany(_OPEN, [(run.span[:16], due, run.start, now) for run in runs])
            self._any_known = True
        elif self._any_known is None:
            self._any_known = self._db.execute("SELECT 1 FROM traces_open LIMIT 1").fetchone() is not None
        changes = self._db.total_changes
        if self._any_known:
            self._db.executemany(_OPEN_AGAIN, [(due, start, trace) for trace, start in others])
        if runs or self._db.total_changes != changes:
            self._next_due = min(self._next_due, due) if self._next_due else None

    def _count_settled(self, settled: tasks.Settled) -> None:
        for task in settled.tasks:
            if task.is_unpriced:
                # What it cost is not known; the part that is would make the mean too low.
                self._counts.add(agents.TASKS_UNPRICED, (task.agent,))
            else:
                self._counts.observe(agents.TASK_COST, (task.agent,), task.cost)
            self._counts.observe(agents.TASK_LLM_CALLS, (task.agent,), task.llm_calls * NANO)
            self._counts.observe(agents.TASK_TOOL_CALLS, (task.agent,), task.tool_calls * NANO)
        for agent, team, outcome, cost in settled.spent:
            self._counts.add(agents.TASK_SPENT, (agent, team, outcome), cost)
        for share in settled.models:
            labels = (share.provider, share.model, share.outcome)
            self._counts.add(agents.MODEL_TASKS, labels, share.tasks)
            self._counts.add(agents.MODEL_TASK_SPENT, labels, share.cost)
            self._counts.add(agents.MODEL_TOOL_CALLS, labels, share.tool_calls)
        for edge in settled.edges:
            self._count_edge(edge.source, edge.target, "agent", edge.outcome, edge.duration)


def _is_span(identity: bytes) -> bool:
    return len(identity) == 24 and not identity.startswith(NO_TRACE)


def _run_row(run: AgentRun, now: int) -> SpanRow:
    words = (run.agent, run.team, run.exit_reason, run.outcome)
    return SpanRow(run.span[:16], run.span[16:], run.parent, AGENT, run.start, run.at, now, 0, *words)


def _tool_row(tool: ToolCall, now: int) -> SpanRow:
    call = int.from_bytes(tool.call_id, "big", signed=True)
    words = (tool.agent, tool.team, tool.tool, tool.outcome)
    return SpanRow(tool.span[:16], tool.span[16:], tool.parent, TOOL, tool.start, tool.at, now, call, *words)


def _step_row(step: Step, now: int) -> SpanRow:
    return SpanRow(step.span[:16], step.span[16:], step.parent, STEP, step.start, step.at, now)
