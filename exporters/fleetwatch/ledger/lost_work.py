"""Reading what ended before its time: runs of pipelines, and what the LLM calls of a trace cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Ledger.query, or where it says so Ledger.query_traces."""

REASONS = ("host_gone", "died", "lost", "killed")
"""Why a run ended that may have gone with its machine; `lost` where the machine itself told nothing of itself."""

_RUNS = (
    "SELECT pipeline, run, host, started, ended, coalesce(llm_cost, 0), settled FROM pipeline_runs "
    f"WHERE seen >= ? AND state = 'ended' AND host <> '' AND reason IN ({', '.join('?' * len(REASONS))})"
)
_TRACE = (
    "SELECT coalesce(sum(c.cost), 0) FROM trace_spans s JOIN llm_calls c ON s.kind = 'call' AND c.id = s.call "
    "WHERE s.id IN (SELECT id FROM temp.trace_index WHERE trace = ?) AND s.at >= ? AND s.at <= ?"
)


class EndedRun(NamedTuple):
    """A run of a pipeline. Times: Unix nanoseconds; llm: nano-USD, so far where it is not settled."""

    pipeline: str
    run: str
    host: str
    started: int
    ended: int
    llm: int
    settled: bool


def ended_runs(query: Query, since: int) -> list[EndedRun]:
    """Runs of which anything came since then, and which may have gone with their machine. Raises LedgerError."""
    return [EndedRun._make(row)._replace(settled=bool(row[6])) for row in query(_RUNS, (since, *REASONS))]


def cost_of_calls(query: Query, trace: bytes, since: int, until: int) -> int:
    """Nano-USD of the LLM calls of a trace that ended within that time. query: query_traces. Raises LedgerError."""
    return int(query(_TRACE, (trace, since, until))[0][0])
