"""A ledger with known prices, for tests."""

from __future__ import annotations

from fleetwatch.ledger import Ledger
from fleetwatch.reckon.price import PriceBook

BOOK = PriceBook()
# 100 input tokens at 2.50 and 10 output tokens at 10.00 US dollars per million (list price of gpt-4o), in nano-USD.
COST = 100 * 2_500 + 10 * 10_000


def requests_and_cost(ledger: Ledger) -> tuple[int, int]:
    """Sums of all totals, nano-USD."""
    ledger.take()
    totals = [total for _, total in ledger.totals()]
    return sum(total.requests for total in totals), sum(total.cost for total in totals)
