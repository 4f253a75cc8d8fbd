"""What one look at a provider's bill found: days, tokens, and what could not be had."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from fleetwatch.collect.bills._api import ApiError
from fleetwatch.collect.bills._shelf import iso
from fleetwatch.collect.runner import Denied
from fleetwatch.reckon.bills import DAY
from fleetwatch.records.bills import BillRow

Key = tuple[str, str]
"""Account and line, as the provider calls them."""

NO_ACCOUNT = "default"
MAX_TEXT = 120
"""Characters of a label value: line items are names of models with a few words."""

# As in dialects.parts.text, which is another room: control characters, separators, overrides of direction, surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class Span(NamedTuple):
    """UTC days since 1970 from start to before end: closed days only."""

    start: int
    end: int


class Reading:
    """What was found of the days of a span; filled in by the reader of one provider.

    A day is known when it was in the answer, even without a row: then nothing was billed. A day with a row that cannot
    be understood is refused whole, and what was known of it stays.
    """

    def __init__(self, span: Span) -> None:
        self.span = span
        self.costs: dict[int, dict[Key, int]] = {}
        """Nano-USD by day."""
        self.estimated: set[int] = set()
        self.tokens: dict[int, tuple[dict[str, int], int]] = {}
        """Tokens by day: kinds, and those whose cost is not on the bill."""
        self.problems: list[str] = []
        self.denied: list[Denied] = []
        self.wait: float | None = None
        """Seconds that the provider asked us to stay away."""
        self._refused: set[int] = set()

    def part(self, work: Callable[[], None]) -> None:
        """Do one part; what it found before it failed stays."""
        try:
            work()
        except Denied as error:
            self.denied.append(error)
            self.problems.append(str(error))
        except ApiError as error:
            self.problems.append(str(error))
            if error.retry_after is not None:
                self.wait = max(self.wait or 0.0, error.retry_after)
        except ValueError as error:
            self.problems.append(str(error))

    def whole_day(self, start: float, end: float, where: str) -> int:
        """The UTC day from start to end, Unix seconds. Raises ValueError for no day, and for one not asked for."""
        day = start // DAY
        if start % DAY or end - start != DAY or not self.span.start <= day < self.span.end:
            first, last = iso(self.span.start), iso(self.span.end - 1)
            what = f"{start!r:.30} to {end!r:.30}"
            raise ValueError(f"{where}: expected buckets of UTC days from {first} to {last}, got {what}")
        return int(day)

    def bill(self, day: int, where: str, rows: Callable[[], Iterable[tuple[str, str, int]]]) -> None:
        """Take in a day of one page. rows: account, line, nano-USD; may raise ValueError, which refuses the day.

        Rows of one page with the same key add up. A day on several pages is joined, and a key that comes again takes
        the place of the first: a page that was sent twice is no double bill.
        """
        page: dict[Key, int] = {}
        try:
            for account, line, nano in rows():
                page[account, line] = page.get((account, line), 0) + nano
        except ValueError as error:
            self.problems.append(f"{where}: {iso(day)}: {error}")
            self._refused.add(day)
        if day in self._refused:
            self.costs.pop(day, None)
            return
        self.costs.setdefault(day, {}).update(page)

    def rows(self) -> Iterator[tuple[int, tuple[BillRow, ...]]]:
        """Each day with its rows, in order. Names that are the same when cut short are one row: no money is lost."""
        for day, costs in self.costs.items():
            sums: Counter[Key] = Counter()
            for (account, line), nano in costs.items():
                sums[clean(account), clean(line)] += nano
            yield day, tuple(BillRow(*key, nano) for key, nano in sorted(sums.items()))


def clean(text: str) -> str:
    """A name as a label value: at most MAX_TEXT visible characters."""
    return _UNSAFE.sub("\ufffd", text.strip())[:MAX_TEXT]


def named(row: Mapping[str, Any], field: str, otherwise: str) -> str:
    """A name of a row that may be null. Raises ValueError."""
    found = row.get(field)
    if found is None or found == "":
        return otherwise
    if not isinstance(found, str):
        raise ValueError(f"{field}: expected a text or null, got {found!r:.60}")
    return found


def count(row: Mapping[str, Any], field: str) -> int:
    """A number of a row; 0 where it is null or absent. Raises ValueError."""
    found = row.get(field)
    if found is None:
        return 0
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 1 << 60:
        raise ValueError(f"{field}: expected a count, got {found!r:.60}")
    return found


def rows_of(bucket: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results of a bucket. Raises ValueError."""
    found = bucket.get("results")
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError(f"results: expected a list of objects, got {found!r:.60}")
    return found


def check_currency(found: object) -> None:
    """Raises ValueError for anything but US dollars: a sum of several currencies is no sum."""
    if not isinstance(found, str) or found.upper() != "USD":
        raise ValueError(f"currency: expected USD, got {found!r:.60}")


def buckets_of(page: Mapping[str, Any], where: str) -> Iterable[dict[str, Any]]:
    """The buckets of a page. Raises ValueError."""
    for bucket in page["data"]:
        if not isinstance(bucket, dict):
            raise ValueError(f"{where}: data: expected objects, got {bucket!r:.60}")
        yield bucket


def take_costs(
    pages: Iterable[Mapping[str, Any]],
    where: str,
    found: Reading,
    day_of: Callable[[Mapping[str, Any], str, Reading], int],
    rows: Callable[[Mapping[str, Any]], Iterable[tuple[str, str, int]]],
) -> None:
    """A report of costs, bucket by bucket. Raises ValueError for a bucket that is no day of the span."""
    for page in pages:
        for bucket in buckets_of(page, where):
            found.bill(day_of(bucket, where, found), where, partial(rows, bucket))


def added(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Tokens by kind, of all parts together."""
    sums: dict[str, int] = {}
    for part in parts:
        for kind, tokens in part.items():
            sums[kind] = sums.get(kind, 0) + tokens
    return sums


def moment(found: object, where: str) -> float:
    """Unix time of a time such as 2026-11-01T00:00:00Z. Raises ValueError."""
    try:
        at = datetime.fromisoformat(found if isinstance(found, str) else "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{where}: expected a time such as 2026-11-01T00:00:00Z, got {found!r:.60}") from None
