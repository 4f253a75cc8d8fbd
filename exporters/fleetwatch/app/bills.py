"""Bills and ledger side by side.

The sources of bills keep what they read on a shelf, one file per provider; the ledger has what was metered. Neither
knows the other: here they are joined, for the series of a running exporter and for the verb alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from fleetwatch.app.here import bills_folder, here_of
from fleetwatch.app.told import exact
from fleetwatch.catalogue import bills, llm
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.collect.bills import _shelf as shelf
from fleetwatch.collect.runner import NoData, Source
from fleetwatch.ledger.errors import LedgerError
from fleetwatch.ledger.query import Reader, Spending
from fleetwatch.reckon import bills as reckon
from fleetwatch.records.bills import Bill, MeteredDay
from fleetwatch.settings import Settings
from fleetwatch.settings.bills import AnthropicBill, AwsBill, OpenaiBill

PROVIDERS = {"openai": ("openai",), "anthropic": ("anthropic",), "aws": ("aws.*",)}
"""Provider of a bill -> providers of calls that are on it. Calls of `azure.ai.openai` and `gcp.*` are on bills that are
not read; a gateway's own name can be added in the settings."""

INTERVAL = 10.0
"""Seconds between two looks at the shelf."""
AGAIN = 900.0
"""Seconds after which the ledger is asked again though no bill has changed: late calls count for past days. A month of
300 label sets is 900,000 quarters of an hour, which take 2 s of processor time."""


class Side(NamedTuple):
    """A provider's bill and what was metered of it."""

    bill: Bill
    metered: dict[int, MeteredDay]
    rules: reckon.Rules


class Sides(NamedTuple):
    """All bills. began: Unix time of the first metered call, None without a ledger or a call."""

    by_provider: dict[str, Side]
    began: float | None
    no_ledger: str
    """Why there is nothing metered; empty where there is a ledger."""


def sides(settings: Settings, names: Iterable[str] = PROVIDERS) -> Sides:
    """The bills of these names that are on the shelf, with what was metered of them. Raises OSError, LedgerError."""
    known = {name: shelf.read(shelf.file_of(bills_folder(settings), name)) for name in names}
    known = {name: bill for name, bill in known.items() if bill.days}
    found = {name: Side(bill, {}, _rules(settings, name)) for name, bill in known.items()}
    if not settings.ledger_path.exists():
        return Sides(found, None, f"{settings.ledger_path}: there is no ledger here")
    if not known:
        return Sides(found, None, "")
    first = min(day for bill in known.values() for day in bill.days)
    last = max(day for bill in known.values() for day in bill.days)
    with Reader(settings.ledger_path) as ledger:
        began = ledger.began()
        spending = ledger.spending(("provider", "day"), first * reckon.DAY, (last + 1) * reckon.DAY)
    patterns = _patterns(settings)
    for one in spending:
        provider = bill_of(one.group[0], patterns)
        if provider in found:
            metered, day = found[provider].metered, shelf.number_of(one.group[1])
            metered[day] = _added(metered.get(day, MeteredDay()), one)
    return Sides(found, began, "")


def bill_of(provider: str, patterns: Mapping[str, Iterable[str]]) -> str:
    """On whose bill the calls of a provider are; empty for none that is known."""
    found = (bill for bill, ours in patterns.items() if any(fnmatchcase(provider, pattern) for pattern in ours))
    return next(found, "")


def _patterns(settings: Settings) -> dict[str, tuple[str, ...]]:
    return {name: tuple(section.providers) or PROVIDERS[name] for name, section in _sections(settings).items()}


def _sections(settings: Settings) -> dict[str, OpenaiBill | AnthropicBill | AwsBill]:
    given = settings.bills
    return {"openai": given.openai, "anthropic": given.anthropic, "aws": given.aws}


def _rules(settings: Settings, provider: str) -> reckon.Rules:
    given = settings.bills
    return reckon.Rules(_sections(settings)[provider].lag, given.tolerance, int(given.least_usd * NANO))


def _added(day: MeteredDay, one: Spending) -> MeteredDay:
    confidences = {*day.by_confidence, *one.by_confidence}
    return MeteredDay(
        day.requests + one.requests,
        {name: day.by_confidence.get(name, 0) + one.by_confidence.get(name, 0) for name in confidences},
        day.unpriced_requests + one.unpriced_requests,
        {kind: day.tokens.get(kind, 0) + count for kind, count in one.tokens.items()},
    )


class BillCheck:
    """The series of the comparison, made anew when a bill was read or a quarter of an hour has passed.

    A source of its own beside those of the bills: the runner keeps it off the exporter's loop and tells its failures.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        # A bill that is not read any more stays on the shelf, and is not compared.
        self._names = sorted(here_of(settings).bills)
        self._clock = clock
        self._seen: tuple[int, ...] | None = None
        self._made_at = 0.0
        self._samples: list[Sample] = []

    def source(self) -> Source:
        return Source("bill_check", INTERVAL, 60.0, self)

    def __call__(self) -> Iterable[Sample]:
        """Raises NoData before the first bill, OSError, LedgerError."""
        stamps = tuple(_stamp(shelf.file_of(bills_folder(self._settings), name)) for name in self._names)
        now = self._clock()
        if stamps != self._seen or now - self._made_at >= AGAIN:
            found = sides(self._settings, self._names)
            if found.no_ledger and found.by_provider:
                raise LedgerError(self._settings.ledger_path, "other", "nothing was metered: there is no ledger here")
            self._samples = list(samples(found))
            self._seen, self._made_at = stamps, now
        if not self._samples:
            raise NoData
        return self._samples


def _stamp(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def samples(found: Sides) -> Iterator[Sample]:
    """The series of all windows of all bills."""
    for provider, side in found.by_provider.items():
        for window, length in reckon.WINDOWS.items():
            both = reckon.compare_window(side.bill, side.metered, found.began, side.rules, length)
            if both is not None:
                yield from _window(provider, window, side, both)


def _window(provider: str, window: str, side: Side, both: reckon.Comparison) -> Iterator[Sample]:
    at = {"provider": provider, "window": window}
    yield bills.WINDOW_DAYS(len(both.days), **at)
    yield bills.USD(both.billed / NANO, **at)
    # What has no price costs an unknown amount, which is not shown as 0.
    for confidence in (name for name in llm.CONFIDENCE.one_of if name != "unpriced"):
        yield bills.METERED_USD(both.by_confidence.get(confidence, 0) / NANO, **at, confidence=confidence)
    yield bills.UNMETERED_USD(both.unmetered / NANO, **at)
    if both.drift is not None:
        yield bills.DRIFT(both.drift, **at)
    for verdict in bills.VERDICT.one_of:
        yield bills.VERDICT_STATE(float(verdict == both.verdict), **at, verdict=verdict)
    yield bills.ESTIMATED_USD(both.estimated / NANO, **at)
    yield bills.UNPRICED_REQUESTS(both.unpriced_requests, **at)
    yield bills.UNCOSTED_TOKENS(both.uncosted, **at)
    yield from _tokens(at, side, both.days)


def _tokens(at: Mapping[str, str], side: Side, days: Iterable[int]) -> Iterator[Sample]:
    """Tokens of a window; none where the bill tells none, as AWS' does, or not of all its days."""
    if not all(day in side.bill.tokens for day in days):
        return
    for kind in bills.KIND.one_of:
        # A call that only thinks is output on every bill.
        ours = ("output", "reasoning") if kind == "output" else (kind,)
        metered = (side.metered.get(day, MeteredDay()).tokens for day in days)
        yield bills.TOKENS(sum(side.bill.tokens[day].kinds.get(kind, 0) for day in days), **at, kind=kind)
        yield bills.METERED_TOKENS(sum(day.get(one, 0) for day in metered for one in ours), **at, kind=kind)


class Table(NamedTuple):
    """What the verb shows. rows: in the order of its columns."""

    rows: list[tuple[object, ...]]
    note: str


def table(settings: Settings, days: int) -> Table:
    """The newest days of each bill. Raises OSError, LedgerError."""
    found = sides(settings)
    rows: list[tuple[object, ...]] = []
    for provider, side in found.by_provider.items():
        compared = reckon.compare_days(side.bill, side.metered, found.began, side.rules)[:days]
        rows += [_row(provider, both) for both in compared]
    return Table(rows, found.no_ledger if rows else _nothing(settings))


def _row(provider: str, both: reckon.Comparison) -> tuple[object, ...]:
    drift = "" if both.drift is None else f"{both.drift * 100:.2f}"
    money = (exact(both.billed), exact(both.metered), exact(both.unmetered))
    return (provider, shelf.iso(both.days[0]), *money, drift, both.verdict, both.requests, ", ".join(_remarks(both)))


def _remarks(both: reckon.Comparison) -> Iterator[str]:
    """What makes either side less sure."""
    if both.unpriced_requests:
        yield f"{both.unpriced_requests} call{'s' if both.unpriced_requests > 1 else ''} without a price"
    for confidence in ("reported", "estimated"):
        if both.by_confidence.get(confidence):
            yield f"{exact(both.by_confidence[confidence])} metered is {confidence}"
    if both.uncosted:
        yield f"the bill leaves out {both.uncosted} tokens (Priority Tier)"
    if both.estimated:
        yield "the bill is an estimate"


def _nothing(settings: Settings) -> str:
    if here_of(settings).bills:
        return "No bill was read yet: the exporter does it within seconds of its start, and says in its log what failed"
    return "No bill is read: set bills.openai.key_file, bills.anthropic.key_file or bills.aws.enabled"
