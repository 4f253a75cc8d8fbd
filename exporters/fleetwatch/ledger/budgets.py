"""What the budgets have left: spending per budget and quarter of an hour, judged by reckon.budget."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fleetwatch.catalogue import llm
from fleetwatch.ledger.totals import CallLabels, Total
from fleetwatch.reckon import budget as reckon

if TYPE_CHECKING:
    from fleetwatch.catalogue.metric import Sample
    from fleetwatch.ledger.store import Ledger

HISTORY = 9 * 7 * 86400
"""Seconds of spending that are looked at: eight weeks of the same weekdays, and the current one."""


class Budget(NamedTuple):
    """A limit for the calls that match. limit: nano-USD; agent, team, model: a name, or a pattern with * and ?."""

    name: str
    limit: int
    period: str
    timezone: str
    agent: str | None = None
    team: str | None = None
    model: str | None = None

    def covers(self, labels: CallLabels) -> bool:
        """Whether a call with these labels is charged to the budget."""
        return all(
            pattern is None or fnmatch.fnmatchcase(value, pattern)
            for pattern, value in ((self.agent, labels.agent), (self.team, labels.team), (self.model, labels.model))
        )


class BudgetBook:
    """Spending of each budget, kept up with the ledger."""

    def __init__(self, budgets: Sequence[Budget], ledger: Ledger, now: float) -> None:
        """Reads the ledger as of its last checkpoint; what came after it arrives by `add`. now: Unix seconds."""
        self._budgets = list(budgets)
        self._spend: dict[str, dict[int, int]] = {item.name: {} for item in budgets}
        self._charged: dict[str, int] = {item.name: 0 for item in budgets}
        if not budgets:
            return
        covered = {
            number: [item.name for item in budgets if item.covers(CallLabels(*labels))]
            for number, *labels in ledger.query("SELECT * FROM label_sets")
        }
        for number, cost in ledger.query("SELECT labels, cost FROM totals"):
            for name in covered[number]:
                self._charged[name] += cost
        since = int(now - HISTORY) // 900
        rows = ledger.query("SELECT quarter, labels, cost FROM quarters WHERE quarter >= ? AND cost > 0", (since,))
        for quarter, number, cost in rows:
            for name in covered[number]:
                self._spend[name][quarter] = self._spend[name].get(quarter, 0) + cost

    def charged(self) -> dict[str, int]:
        """Nano-USD charged to each budget since the ledger began."""
        return dict(self._charged)

    def add(self, labels: CallLabels, total: Total) -> Iterator[tuple[str, int]]:
        """Take in what was just committed; yields (budget, nano-USD charged)."""
        for budget in self._budgets:
            if total.cost and budget.covers(labels):
                spend = self._spend[budget.name]
                for quarter, cost in total.spend.items():
                    spend[quarter] = spend.get(quarter, 0) + cost
                self._charged[budget.name] += total.cost
                yield budget.name, total.cost

    def states(self, now: float) -> list[tuple[str, reckon.BudgetState]]:
        """(name, state) of each budget. now: Unix seconds."""
        oldest = int(now - HISTORY) // 900
        states = []
        for budget in self._budgets:
            spend = self._spend[budget.name]
            for quarter in [quarter for quarter in spend if quarter < oldest]:
                del spend[quarter]
            history = [(quarter * 900, cost) for quarter, cost in sorted(spend.items())]
            states.append((budget.name, reckon.judge(budget.limit, history, now, budget.period, budget.timezone)))
        return states

    def samples(self, now: float) -> list[Sample]:
        """The gauges of all budgets. now: Unix seconds."""
        samples = []
        for name, state in self.states(now):
            samples += [
                llm.BUDGET_LIMIT(state.limit / 1e9, budget=name),
                llm.BUDGET_SPENT(state.spent / 1e9, budget=name),
                llm.BUDGET_REMAINING(state.remaining / 1e9, budget=name),
                llm.BUDGET_FORECAST(state.forecast / 1e9, budget=name),
                llm.BUDGET_PERIOD_START(state.start, budget=name),
                llm.BUDGET_PERIOD_END(state.end, budget=name),
            ]
            if state.exhaustion is not None:
                samples.append(llm.BUDGET_EXHAUSTION(state.exhaustion, budget=name))
        return samples
