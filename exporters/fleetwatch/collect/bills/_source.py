"""What the sources of bills have in common: when to ask, what to keep, what to show."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from fleetwatch.catalogue import bills
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.bills import _shelf
from fleetwatch.collect.bills._reading import Reading, Span
from fleetwatch.collect.here import BillAccess, Here
from fleetwatch.collect.runner import Incomplete, NoData
from fleetwatch.reckon import bills as reckon
from fleetwatch.records.bills import Bill, BillDay, TokenDay

FIRST_PAUSE, LONGEST_PAUSE = 300.0, 3600.0
"""Seconds to the next try after a failure, doubled each time."""
LINE_DAYS = 7
"""Days of which accounts and lines are shown."""


_NOWHERE = BillAccess("", 0.0, 0.0)


class BillSource(ABC):
    """Asks its provider at most every `refresh` seconds, also over restarts, and shows what it knows in each cycle.

    What was read stays on the shelf for as long as nothing newer came, with its age; a failure is told in each cycle
    until a reading ends well.
    """

    provider: ClassVar[str]

    def __init__(self, here: Here) -> None:
        self._here = here
        self.access = here.bills.get(self.provider, _NOWHERE)
        self._file = _shelf.file_of(here.bills_folder, self.provider)
        self._bill: Bill | None = None
        self._failure: Reading | None = None
        self._failures = 0
        self._tried_at = 0.0
        self._next_at = 0.0

    @abstractmethod
    def read(self, found: Reading) -> None:
        """Ask the provider for the days of the reading's span. Raises nothing that a `part` of the reading takes."""

    @abstractmethod
    def requests(self) -> Iterator[Sample]:
        """The requests that were made."""

    def __call__(self) -> Iterator[Sample]:
        """Raises NoData where the settings name no such bill, OSError where the shelf cannot be read, Incomplete for
        what the provider did not tell.
        """
        if self.access is _NOWHERE:
            raise NoData
        if self._bill is None:
            self._bill = _shelf.read(self._file)
        now = self._here.clock()
        if self._is_due(now, self._bill.read_at):
            self._bill = self._look(now, self._bill)
        yield from self.requests()
        yield from self._samples(self._bill)
        if self._failure is not None:
            denied = {item.permission: item for item in self._failure.denied}
            raise Incomplete("; ".join(dict.fromkeys(self._failure.problems)), denied.values())

    def _is_due(self, now: float, read_at: float) -> bool:
        """A clock that was set back asks again."""
        if self._failure is not None:
            return not self._tried_at <= now < self._next_at
        return not read_at <= now < read_at + self.access.refresh

    def _look(self, now: float, known: Bill) -> Bill:
        """Read, put what came on the shelf, and decide when to try again."""
        today = reckon.day_of(now)
        found = Reading(Span(today - self._here.bills_days, today))
        found.part(lambda: self.read(found))
        bill = self._merged(known, found, now)
        try:
            _shelf.write(self._file, bill)
        except OSError as error:
            found.problems.append(f"{self._file} cannot be written: {error.strerror}")
        self._tried_at = now
        if found.problems:
            self._failures += 1
            # Up to `refresh`, where that is longer: a bill that costs money is not asked more often for being broken.
            pause = min(FIRST_PAUSE * 2 ** min(self._failures - 1, 10), max(LONGEST_PAUSE, self.access.refresh))
            self._next_at = now + max(pause, found.wait or 0.0)
        else:
            self._failures = 0
        self._failure = found if found.problems else None
        return bill

    def _merged(self, known: Bill, found: Reading, now: float) -> Bill:
        """What is known now: days that came take the place of older ones."""
        days, tokens = dict(known.days), dict(known.tokens)
        if not found.problems:
            # A clock that was ahead has read days that have not been: they would stay the last settled ones.
            days = {day: one for day, one in days.items() if day < found.span.end}
            tokens = {day: one for day, one in tokens.items() if day < found.span.end}
        for day, rows in found.rows():
            read = BillDay(day, now, rows, day in found.estimated)
            days[day] = reckon.taken_in(days.get(day), read, self.access.lag)
        for day, (kinds, uncosted) in found.tokens.items():
            tokens[day] = TokenDay(day, now, kinds, uncosted)
        return Bill(days, tokens, known.read_at if found.problems else now)

    def _samples(self, bill: Bill) -> Iterator[Sample]:
        provider, lag = self.provider, self.access.lag
        yield bills.LAG(lag, provider=provider)
        if bill.read_at:
            yield bills.READ(bill.read_at, provider=provider)
        last = reckon.last_settled(bill, lag)
        if last is None:
            return
        yield bills.SETTLED((last + 1) * reckon.DAY, provider=provider)
        yield bills.REVISED_USD(reckon.revised(bill.days.values()) / 1e9, provider=provider)
        week = [bill.days[day] for day in range(last, last - LINE_DAYS, -1) if day in bill.days]
        # Bounded here and not by the meter alone: of rows past a bound it would show one instead of their sum.
        limits = self._here.ai_services.limits
        most = [limits.get(label.name, label.at_most) for label in (bills.ACCOUNT, bills.LINE)]
        for row in reckon.top_rows(week, *most):
            yield bills.LINE_USD(row.nano / 1e9, provider=provider, account=row.account, line=row.line)
