"""Keeps ledger, meter and budgets in step: what is committed shows, what shows is on disk."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from fleetwatch.app import agent_series, llm_series
from fleetwatch.app.agents import Agents
from fleetwatch.app.here import host_name
from fleetwatch.app.hosts import Hosts
from fleetwatch.app.loops import Loops
from fleetwatch.app.models import IN_USE, Models
from fleetwatch.app.own_series import OwnSeries
from fleetwatch.app.pipelines.pipelines import Pipelines
from fleetwatch.app.pipelines.rules import rules_of
from fleetwatch.app.writer import Writer
from fleetwatch.catalogue import agents, alerting, exporter, llm, pipelines, spot
from fleetwatch.catalogue.hosts import HOST
from fleetwatch.catalogue.metric import NANO, metrics_of
from fleetwatch.collect.runner import source_names
from fleetwatch.dialects import Record
from fleetwatch.ledger import Ledger, LedgerError
from fleetwatch.ledger.agents import AgentRules
from fleetwatch.ledger.budgets import Budget, BudgetBook
from fleetwatch.ledger.firewall import Rules
from fleetwatch.ledger.spot.book import SpotRules
from fleetwatch.ledger.store import Committed
from fleetwatch.ledger.store import Record as LedgerRecord
from fleetwatch.ledger.usage import Usage
from fleetwatch.meter import Meter
from fleetwatch.reckon.price import PriceBook
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.agents import AgentBeat, AgentRun
from fleetwatch.records.alerting import Acknowledgement
from fleetwatch.records.hosts import HostReport
from fleetwatch.settings import Settings

_REPORTS = frozenset({HostReport, AgentBeat})
"""Records that are not the ledger's."""


class Books:
    """One ledger and the series made of it. clock: Unix nanoseconds."""

    def __init__(self, settings: Settings, prices: PriceBook, clock: Callable[[], int] = time.time_ns) -> None:
        self._settings = settings
        self._prices = prices
        self._clock = clock
        own = host_name(settings)
        self.meter = Meter(
            limits=_limits(settings),
            most=settings.labels.max_series,
            hold=2 * settings.web.scrape_interval,
            durable=[
                metric
                for module in (llm, agents, pipelines, alerting, spot)
                for metric in metrics_of(module)
                if metric.durable
            ],
            overflow=exporter.LABEL_OVERFLOW,
            implied={HOST.name: own},
            clock=self._seconds,
        )
        self.own = OwnSeries(self.meter)
        self.writer = Writer(self._open_ledger, opened=self._opened, committed=self._committed, failed=self.own.failed)
        # The domain of sources that run whether or not this machine's facts are collected.
        self.hosts = Hosts(settings, self.meter, own, source_names("exporter"), clock)
        self.agents = Agents(settings, self.meter, self.hosts.state_of, clock)
        self.pipelines = Pipelines(settings, self.meter, self.hosts.machine, clock)
        self.loops = Loops(self.meter, settings.agents.loop_limit)
        self.models = Models(self.meter, prices)
        self.acknowledged: deque[Acknowledgement] = deque(maxlen=10_000)
        """Acknowledgements of alerts that a source has seen, in its own thread, and that are not written yet."""
        self.broken_off: deque[AgentRun] = deque(maxlen=10_000)
        """Agents' tasks that did not end well and tell their host, for whoever asks what went with a machine."""
        self._budgets: BudgetBook | None = None
        self._duplicates: dict[str, int] = {}
        info = llm.PRICES_INFO(1, source=prices.source, version=prices.version)
        self.meter.replace("prices", [info, llm.PRICES_CHECKED(prices.checked)])

    async def sink(self, records: Sequence[Record]) -> None:
        """Return when all is safe: what happened on disk; who is there in memory, since the next report says it again.

        Raises what the writer raises.
        """
        durable = [record for record in records if type(record) not in _REPORTS]
        if len(durable) < len(records):
            for record in records:
                if type(record) is HostReport:
                    self.hosts.take(record)
                elif type(record) is AgentBeat:
                    self.agents.take(record)
        await self.writer.sink(cast(Sequence[LedgerRecord], durable))

    def tick(self) -> None:
        """Move what was committed into the meter; let series whose time at zero is over show."""
        self.writer.tick()
        self._acknowledge()
        self.take()
        self._watch_runs()
        if self.meter.due():
            self.checkpoint()

    def _acknowledge(self) -> None:
        """Count acknowledgements of alerts; what cannot be written now stays for the next time."""
        told = list(self.acknowledged)
        if told and self.writer.judge(told):
            for _ in told:
                self.acknowledged.popleft()

    def _watch_runs(self) -> None:
        """Give up runs that fell silent, and predict the ends of the others."""
        ledger = self.writer.ledger
        # While nobody's reports can be taken, nobody is silent.
        if ledger is None or self.writer.trouble is not None:
            return
        lost = self.pipelines.lost()
        if lost and self.writer.judge(lost):
            self.take()
        try:
            self.pipelines.reckon(ledger.pipelines)
        except LedgerError as error:
            self.writer.failing(error)

    def take(self) -> None:
        """Move what was committed into the meter and the budgets."""
        ledger = self.writer.ledger
        if ledger is None:
            return
        agent_series.count(self.meter, ledger.counts(), ledger.overflows())
        for labels, total in ledger.take():
            llm_series.count(self.meter, labels, total)
            if labels.outcome == "ok":
                self.models.use(labels.provider, labels.model)
            if self._budgets is not None:
                for name, nano in self._budgets.add(labels, total):
                    self.meter.add(llm.BUDGET_CHARGED, (name,), nano)
        for reason, calls in ledger.duplicates().items():
            self.meter.add(llm.DUPLICATE_CALLS, (reason,), calls - self._duplicates.get(reason, 0))
            self._duplicates[reason] = calls
        try:
            self.pipelines.take(ledger.pipelines)
        except LedgerError as error:
            self.writer.failing(error)

    def checkpoint(self) -> None:
        """Write totals, then show series whose birth is now on disk."""
        ledger = self.writer.ledger
        if ledger is None:
            return
        self.take()
        try:
            requests = ledger.host_requests()
            self.pipelines.obey(requests, ledger.pipelines)
            # After it: what is forgotten shows no value any more.
            due = self.meter.due()
            self.hosts.obey(requests)
            self.agents.obey(requests)
            self.hosts.watch()
            self.agents.watch()
            changes, agent_changes = self.hosts.changes(), self.agents.changes()
            ledger.checkpoint(((series.metric.prometheus, series.labels) for series in due), changes, agent_changes)
        except LedgerError as error:
            self.writer.failing(error)
        else:
            self.writer.working()
            self.meter.release(due)
            self.hosts.written(changes)
            self.agents.written(agent_changes)

    def prune(self) -> bool:
        """Forget some calls that are past their time; returns whether there may be more."""
        ledger = self.writer.ledger
        try:
            return ledger is not None and ledger.prune() > 0
        except LedgerError as error:
            self.writer.failing(error)
            return False

    def show_budgets(self) -> None:
        """Judge the budgets as of now."""
        if self._budgets is not None:
            self.meter.replace("budgets", self._budgets.samples(self._seconds()))

    def refresh(self) -> None:
        """Bring everything up to the moment; before each scrape and export."""
        self.take()
        self.hosts.watch()
        self.agents.watch()
        if self.writer.ledger is not None:
            self.pipelines.show(self.writer.ledger.pipelines)
        self.loops.show()
        self.models.show()
        self.own.refresh(self.writer)

    def close(self) -> None:
        """Write what waits and a last checkpoint."""
        self.writer.finish()
        self.checkpoint()
        self.writer.close()

    def _seconds(self) -> float:
        return self._clock() / SECOND

    def _open_ledger(self) -> Ledger:
        settings = self._settings
        receive = settings.receive
        return Ledger(
            settings.ledger_path,
            self._prices,
            keep_days=settings.ledger.keep_days,
            usage=Usage(receive.usage_metrics, receive.usage_metrics_grace),
            rules=Rules(receive.count_at, frozenset(receive.proxies), receive.proxy_grace),
            agents=AgentRules(settings.agents.trace_grace, settings.agents.trace_quiet, settings.labels.limits),
            pipelines=rules_of(settings),
            spot=SpotRules(settings.spot.keep_days),
            clock=self._clock,
        )

    def _committed(self, committed: Committed, seconds: float) -> None:
        """What is on disk now, for all that look at single records."""
        self.own.committed(committed, seconds)
        self.loops.take(committed.fresh_calls, committed.fresh_tools, committed.fresh_runs)
        for records in (committed.fresh_calls, committed.fresh_tools, committed.fresh_runs):
            self.agents.work(records)
        self.models.take(committed.fresh_calls)
        if self._settings.spot.enabled:
            self.broken_off.extend(run for run in committed.fresh_runs if run.host and run.outcome != "ok")

    def _opened(self, ledger: Ledger) -> None:
        """Rebuild meter and budgets as of the ledger's checkpoint, then take what came after it."""
        self._budgets = BudgetBook(budgets(self._settings), ledger, self._seconds())
        # A budget that is new to an old ledger begins with what it would have been charged; growing to that from zero
        # would look as if all of it had been spent just now.
        charged = {(llm.BUDGET_CHARGED.prometheus, (name,)) for name in self._budgets.charged()}
        self.meter.resume(ledger.released() | charged)
        for reason in llm.DUPLICATE_REASON.one_of:
            self.meter.add(llm.DUPLICATE_CALLS, (reason,), 0)
        for labels, total in ledger.totals():
            llm_series.count(self.meter, labels, total)
        for name, nano in self._budgets.charged().items():
            self.meter.add(llm.BUDGET_CHARGED, (name,), nano)
        self.pipelines.open(ledger.pipelines)
        for provider, model, at in ledger.models(int(self._seconds()) - IN_USE):
            self.models.use(provider, model, at)
        self.take()
        self.show_budgets()
        self.hosts.load(ledger.hosts())
        self.agents.load(ledger.processes())


def _limits(settings: Settings) -> dict[str, int]:
    """Bounds of labels; the roster needs room for all hosts that it takes, and for this machine."""
    given = settings.labels.limits
    hosts = settings.roster.max_hosts + len(settings.roster.expected) + 1
    return {**given, HOST.name: max(given.get(HOST.name, HOST.at_most), hosts)}


def budgets(settings: Settings) -> Sequence[Budget]:
    """The settings' budgets with limits in nano-USD."""
    return [
        Budget(item.name, int(item.limit_usd * NANO), item.period, item.timezone, item.agent, item.team, item.model)
        for item in settings.budgets
    ]
