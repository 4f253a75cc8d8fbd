"""Billed against metered, per UTC day and for windows of days. Pure: money in nano-USD, days since 1970.

A day is judged only when it is settled: read at a time when the provider's lag after its end had passed. A bill that is
not read any more does not settle by the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

from fleetwatch.records.bills import Bill, BillDay, BillRow, MeteredDay

DAY = 86400
"""Seconds. UTC days have no others: leap seconds are not in Unix time."""

WINDOWS = {"1d": 1, "7d": 7, "30d": 30}
"""Names of windows and their days."""

OTHER = "_other"
"""Stands for the lines that are too many."""

DEAREST = 10
"""Times the average that a token left out of the bill may cost: all of them output, at the price of a faster tier. What
more is missing from the bill is not explained by them."""

_LARGEST = Decimal(10) ** 12
"""US dollars of one line; more is a mistake in the unit, and 1e999999999 would fill the memory."""
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_LONGEST = 60
"""Characters of an amount."""


class Rules(NamedTuple):
    """How one bill is judged. lag: seconds; tolerance: share of the larger side; least: nano-USD nobody minds."""

    lag: float
    tolerance: float
    least: int


class Comparison(NamedTuple):
    """Billed and metered side by side, for one day or several. Money in nano-USD."""

    days: tuple[int, ...]
    """Newest first."""
    billed: int
    by_confidence: dict[str, int]
    requests: int
    unpriced_requests: int
    tokens: int
    """As the provider counted them."""
    uncosted: int
    """Those of them whose cost the bill leaves out."""
    estimated: int
    """Part of the billed that is an estimate."""
    verdict: str

    @property
    def metered(self) -> int:
        return sum(self.by_confidence.values())

    @property
    def unmetered(self) -> int:
        """Billed less metered."""
        return self.billed - self.metered

    @property
    def drift(self) -> float | None:
        """Billed / metered - 1; None where nothing was metered."""
        return self.unmetered / self.metered if self.metered else None


def nano(amount: object, per_usd: int = 1) -> int:
    """Nano-USD of an amount, a number or a decimal text, in 1/per_usd US dollars; rounded once, half to even.

    A float is refused: it has lost digits already. Raises ValueError.
    """
    wrong = f"expected an amount of money, got {str(amount)[:_LONGEST]!r}"
    if isinstance(amount, bool) or not isinstance(amount, int | str | Decimal) or len(str(amount)) > _LONGEST:
        raise ValueError(wrong)
    try:
        usd = _EXACT.divide(_EXACT.create_decimal(amount), Decimal(per_usd))
    except ArithmeticError:
        raise ValueError(wrong) from None
    if not usd.is_finite() or abs(usd) > _LARGEST:
        raise ValueError(wrong)
    return int(usd.scaleb(9, _EXACT).to_integral_value(ROUND_HALF_EVEN))


def day_of(seconds: float) -> int:
    """The UTC day of a Unix time."""
    return int(seconds // DAY)


def is_settled(day: BillDay, lag: float) -> bool:
    return day.read_at >= (day.day + 1) * DAY + lag


def last_settled(bill: Bill, lag: float) -> int | None:
    return max((day.day for day in bill.days.values() if is_settled(day, lag)), default=None)


def taken_in(old: BillDay | None, new: BillDay, lag: float) -> BillDay:
    """A day as read now, with what it came to when it first counted as settled."""
    first = old.first if old is not None else None
    if first is None and is_settled(new, lag):
        first = new.nano
    return new._replace(first=first)


def revised(days: Iterable[BillDay]) -> int:
    """What was changed on days after they had counted as settled, up and down added."""
    return sum(abs(day.nano - day.first) for day in days if day.first is not None)


def first_whole_day(began: float | None) -> int | None:
    """The first day of which everything could be metered. began: Unix time of the first metered call."""
    return None if began is None else day_of(began) + 1


def compare_days(bill: Bill, metered: Mapping[int, MeteredDay], began: float | None, rules: Rules) -> list[Comparison]:
    """Each day of the bill, newest first. A day that is not judged has the verdict not_settled or before_metering."""
    start = first_whole_day(began)
    found = []
    for day in sorted(bill.days, reverse=True):
        sides = _sides(bill, metered, [day])
        if start is None or day < start:
            sides = sides._replace(verdict="before_metering")
        elif is_settled(bill.days[day], rules.lag):
            sides = sides._replace(verdict=judge(sides, rules))
        found.append(sides)
    return found


def compare_window(
    bill: Bill, metered: Mapping[int, MeteredDay], began: float | None, rules: Rules, length: int
) -> Comparison | None:
    """The settled days among the `length` days that end with the last settled one; None without such a day.

    Days before metering began, and days that the bill does not know, are left out on both sides.
    """
    start, last = first_whole_day(began), last_settled(bill, rules.lag)
    if start is None or last is None:
        return None
    window = range(last, max(start, last - length + 1) - 1, -1)
    days = [day for day in window if day in bill.days and is_settled(bill.days[day], rules.lag)]
    if not days:
        return None
    sides = _sides(bill, metered, days)
    return sides._replace(verdict=judge(sides, rules))


def judge(sides: Comparison, rules: Rules) -> str:
    """One of the catalogue's verdicts."""
    gap = sides.unmetered
    if abs(gap) <= max(rules.least, rules.tolerance * max(abs(sides.billed), sides.metered)):
        return "ok"
    if gap < 0 < sides.uncosted and -gap * sides.tokens <= sides.metered * sides.uncosted * DEAREST:
        return "incomplete"
    if not sides.requests:
        return "unmetered_provider"
    return "drift" if sides.billed else "unbilled"


def _sides(bill: Bill, metered: Mapping[int, MeteredDay], days: Sequence[int]) -> Comparison:
    """Both sides added up, not judged."""
    by_confidence: dict[str, int] = {}
    ours = [metered[day] for day in days if day in metered]
    for day in ours:
        for confidence, cost in day.by_confidence.items():
            by_confidence[confidence] = by_confidence.get(confidence, 0) + cost
    return Comparison(
        days=tuple(days),
        billed=sum(bill.days[day].nano for day in days),
        by_confidence=by_confidence,
        requests=sum(day.requests for day in ours),
        unpriced_requests=sum(day.unpriced_requests for day in ours),
        tokens=sum(sum(bill.tokens[day].kinds.values()) for day in days if day in bill.tokens),
        uncosted=sum(bill.tokens[day].uncosted for day in days if day in bill.tokens),
        estimated=sum(bill.days[day].nano for day in days if bill.days[day].estimated),
        verdict="not_settled",
    )


def top_rows(days: Iterable[BillDay], accounts: int, lines: int) -> list[BillRow]:
    """Rows of several days added up, largest first. Past the bounds an account or a line becomes `_other`.

    The sum stays what it is.
    """
    sums: dict[tuple[str, str], int] = {}
    for row in (row for day in days for row in day.rows):
        sums[row.account, row.line] = sums.get((row.account, row.line), 0) + row.nano
    known = (_largest(sums, 0, accounts), _largest(sums, 1, lines))
    folded: dict[tuple[str, str], int] = {}
    for (account, line), cost in sums.items():
        key = (account if account in known[0] else OTHER, line if line in known[1] else OTHER)
        folded[key] = folded.get(key, 0) + cost
    rows = [BillRow(*key, cost) for key, cost in folded.items()]
    return sorted(rows, key=lambda row: (-abs(row.nano), row.account, row.line))


def _largest(sums: Mapping[tuple[str, str], int], place: int, most: int) -> set[str]:
    """The names at this place of the key with the most money; one is left for all others together."""
    by_name: dict[str, int] = {}
    for key, cost in sums.items():
        by_name[key[place]] = by_name.get(key[place], 0) + abs(cost)
    if len(by_name) <= most:
        return set(by_name)
    return set(sorted(by_name, key=lambda name: (-by_name[name], name))[: most - 1])
