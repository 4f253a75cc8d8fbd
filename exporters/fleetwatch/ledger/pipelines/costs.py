"""What runs cost. LLM calls of their traces are booked on runs and phases, each once, by a flag on its span."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from fleetwatch.ledger.pipelines.held import HeldRun, HeldRuns, Key
from fleetwatch.ledger.traces import OF_TRACE, PRICED_SPANS, Traces
from fleetwatch.reckon.run_cost import MachineRule, machine_cost, owners, price_of
from fleetwatch.reckon.span_tree import CALL, WAITING, Span
from fleetwatch.reckon.tasks import UNDECIDED_WAIT
from fleetwatch.records.pipelines import Run, RunWithPhases

CHARGED = 64
"""Flag of LLM calls: booked on a run; the flags of reckon.tasks stand beside it."""
WHOLE = 10_000
"""Spans up to which a trace is read as a whole. Of a longer one calls are read in pieces, and no booked ones."""
PIECE = 3000
"""Calls of a piece; with so many spans between them as a trace may have whole, some 0.1 s."""

MOST_IN_TRACE = 50
"""Runs of one trace that are told apart."""

_WHOLE = f"{PRICED_SPANS} WHERE {OF_TRACE} LIMIT ?2"
_BETWEEN = f"{PRICED_SPANS} WHERE {OF_TRACE} AND s.kind IN ('agent', 'tool', 'step', 'waiting') LIMIT ?2"
_CALLS = f"{PRICED_SPANS} WHERE {OF_TRACE} AND s.kind = 'call' AND s.flags & {CHARGED} = 0 AND s.seen < ?3 LIMIT ?2"


class Charge(NamedTuple):
    """What came to a run, or within it to an execution of a phase. cost: known nano-USD."""

    cost: int = 0
    calls: int = 0
    unpriced: int = 0

    def plus(self, call: Span) -> Charge:
        return Charge(
            self.cost + call.cost, self.calls + call.requests, self.unpriced + call.requests * call.is_unpriced
        )


class Charged(NamedTuple):
    """What one look at a trace found for a run, by execution of a phase; all of it by the empty one."""

    charges: dict[str, Charge]
    again: int | None


class RunCosts:
    """Books what is not booked yet. Called inside the writer's transaction."""

    def __init__(self, db: sqlite3.Connection, traces: Traces, runs: HeldRuns, machines: Sequence[MachineRule]) -> None:
        self._db = db
        self._traces = traces
        self._runs = runs
        self._machines = machines

    def settle(self, held: HeldRun, now: int) -> int | None:
        """Tell what an ended run cost; returns nanoseconds until there is more to do, None for nothing."""
        again = self.charge(held, now, now)
        run = held.run
        cost, shares = machine_cost(held.whole(), price_of(run.host, self._machines))
        llm_cost = 0 if run.llm_cost is None and run.trace else run.llm_cost
        machine = _larger(run.machine_cost, cost)
        self._runs.change(held, run._replace(settled=True, llm_cost=llm_cost, machine_cost=machine))
        for execution, share in shares.items():
            phase = held.phases[execution]
            self._runs.set_phase(held, phase._replace(machine_cost=_larger(phase.machine_cost, share)))
        held.touch_phases()
        return again

    def charge(self, held: HeldRun, now: int, before: int) -> int | None:
        """Book LLM calls on a run; returns as `settle` does. before: only calls that came until then."""
        run = held.run
        if not run.trace:
            return None
        runs = [other.whole() for other in self._runs.of_trace(run.trace, MOST_IN_TRACE)]
        charged = self._charge(run.trace, runs, held.key, now, before)
        for execution, charge in charged.charges.items():
            if execution:
                phase = held.phases[execution]
                self._runs.set_phase(held, phase._replace(llm_cost=(phase.llm_cost or 0) + charge.cost))
            else:
                self._runs.change(held, _charged(held.run, charge))
        return charged.again

    def _charge(self, trace: bytes, runs: Sequence[RunWithPhases], due: Key, now: int, before: int) -> Charged:
        """Book the calls of a trace that are those of one run. runs: all whose trace it is."""
        self._traces.index()
        spans = [Span(*row) for row in self._db.execute(_WHOLE, (trace, WHOLE + 1))]
        is_whole = len(spans) <= WHOLE
        if not is_whole:
            spans = [Span(*row) for row in self._db.execute(_BETWEEN, (trace, WHOLE))]
            spans += [Span(*row) for row in self._db.execute(_CALLS, (trace, PIECE, before))]
        fresh = [span for span in spans if span.kind == CALL and not span.flags & CHARGED and span.seen < before]
        undecided = any(span.kind == WAITING and now - span.seen < UNDECIDED_WAIT for span in spans)
        charges: dict[str, Charge] = {}
        booked: list[Span] = []
        whose = owners(spans, runs, now) if fresh else {}
        for call in fresh:
            *owner, execution = whose[call.span]
            if tuple(owner) != due:
                continue
            booked.append(call)
            for place in {"", execution}:
                charges[place] = charges.get(place, Charge()).plus(call)
        self._traces.set_flags((call.flags | CHARGED, trace, call.span) for call in booked)
        if not is_whole and booked and len(fresh) == PIECE:
            return Charged(charges, 0)
        return Charged(charges, 10**9 if undecided else None)


def _larger(old: int | None, new: int | None) -> int | None:
    return old if new is None else new if old is None else max(old, new)


def _charged(run: Run, charge: Charge) -> Run:
    return run._replace(
        llm_cost=(run.llm_cost or 0) + charge.cost,
        llm_calls=run.llm_calls + charge.calls,
        llm_unpriced=run.llm_unpriced + charge.unpriced,
    )
