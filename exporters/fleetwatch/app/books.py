"""Keeps ledger, meter and budgets in step: what is committed shows, what shows is on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

from fleetwatch.app import llm_series
from fleetwatch.app.here import host_name
from fleetwatch.app.hosts import Hosts
from fleetwatch.app.own_series import OwnSeries
from fleetwatch.app.writer import Record as LedgerRecord
from fleetwatch.app.writer import Writer
from fleetwatch.catalogue import exporter, llm
from fleetwatch.catalogue.hosts import HOST
from fleetwatch.catalogue.metric import NANO, metrics_of
from fleetwatch.collect.runner import source_names
from fleetwatch.dialects import Record
from fleetwatch.ledger import Ledger, LedgerError
from fleetwatch.ledger.budgets import Budget, BudgetBook
from fleetwatch.ledger.usage import Usage
from fleetwatch.meter import Meter
from fleetwatch.reckon.price import PriceBook
from fleetwatch.records.hosts import HostReport
from fleetwatch.settings import Settings


class Books:
    """One ledger and the series made of it."""

    def __init__(self, settings: Settings, prices: PriceBook) -> None:
        self._settings = settings
        self._prices = prices
        own = host_name(settings)
        self.meter = Meter(
            limits=_limits(settings),
            most=settings.labels.max_series,
            hold=2 * settings.web.scrape_interval,
            durable=[metric for metric in metrics_of(llm) if metric.durable],
            overflow=exporter.LABEL_OVERFLOW,
            implied={HOST.name: own},
        )
        self.own = OwnSeries(self.meter)
        self.writer = Writer(
            self._open_ledger, opened=self._opened, committed=self.own.committed, failed=self.own.failed
        )
        # The domain of sources that run whether or not this machine's facts are collected.
        self.hosts = Hosts(settings, self.meter, own, source_names("exporter"))
        self._budgets: BudgetBook | None = None
        self._duplicates: dict[str, int] = {}
        info = llm.PRICES_INFO(1, source=prices.source, version=prices.version)
        self.meter.replace("prices", [info, llm.PRICES_CHECKED(prices.checked)])

    async def sink(self, records: Sequence[Record]) -> None:
        """Return when all is safe: calls on disk, hosts in memory, since their next report says it all again.

        Raises what the writer raises.
        """
        reports = [record for record in records if type(record) is HostReport]
        for report in reports:
            self.hosts.take(report)
        calls = [record for record in records if not isinstance(record, HostReport)] if reports else records
        await self.writer.sink(cast(Sequence[LedgerRecord], calls))

    def tick(self) -> None:
        """Move what was committed into the meter; let series whose time at zero is over show."""
        self.writer.tick()
        self.take()
        if self.meter.due():
            self.checkpoint()

    def take(self) -> None:
        """Move what was committed into the meter and the budgets."""
        ledger = self.writer.ledger
        if ledger is None:
            return
        for labels, total in ledger.take():
            llm_series.count(self.meter, labels, total)
            if self._budgets is not None:
                for name, nano in self._budgets.add(labels, total):
                    self.meter.add(llm.BUDGET_CHARGED, (name,), nano)
        for reason, calls in ledger.duplicates().items():
            self.meter.add(llm.DUPLICATE_CALLS, (reason,), calls - self._duplicates.get(reason, 0))
            self._duplicates[reason] = calls

    def checkpoint(self) -> None:
        """Write totals, then show series whose birth is now on disk."""
        ledger = self.writer.ledger
        if ledger is None:
            return
        self.take()
        due = self.meter.due()
        try:
            self.hosts.obey(ledger.host_requests())
            self.hosts.watch()
            changes = self.hosts.changes()
            ledger.checkpoint(((series.metric.prometheus, series.labels) for series in due), changes)
        except LedgerError as error:
            self.writer.failing(error)
        else:
            self.writer.working()
            self.meter.release(due)
            self.hosts.written(changes)

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
            self.meter.replace("budgets", self._budgets.samples(time.time()))

    def refresh(self) -> None:
        """Bring everything up to the moment; before each scrape and export."""
        self.take()
        self.hosts.watch()
        self.own.refresh(self.writer)

    def close(self) -> None:
        """Write what waits and a last checkpoint."""
        self.writer.finish()
        self.checkpoint()
        self.writer.close()

    def _open_ledger(self) -> Ledger:
        settings = self._settings
        usage = Usage(settings.receive.usage_metrics, settings.receive.usage_metrics_grace)
        return Ledger(settings.ledger_path, self._prices, keep_days=settings.ledger.keep_days, usage=usage)

    def _opened(self, ledger: Ledger) -> None:
        """Rebuild meter and budgets as of the ledger's checkpoint, then take what came after it."""
        self._budgets = BudgetBook(budgets(self._settings), ledger, time.time())
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
        self.take()
        self.show_budgets()
        self.hosts.load(ledger.hosts())


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
