"""What tokens cost that CloudWatch has counted: estimated, for an aggregate hides the size of each request."""

from __future__ import annotations

from fleetwatch.collect.ai_services._meaning import Price, Tokens
from fleetwatch.collect.ai_services._select import shown
from fleetwatch.reckon.price import UNPRICED, PriceBook
from fleetwatch.records import llm


def pricing(book: PriceBook, region: str) -> Price:
    """Prices by the book, in one region. An ARN may be named in the book as it is, or by what follows the account."""

    def price(provider: str, model: str, tokens: Tokens, calls: int, period: int) -> int | None:
        for name in dict.fromkeys((model, shown((model,)))):
            quote = book.quote(_call(provider, name, region, tokens, (calls, period)), estimated=True)
            if quote.confidence != UNPRICED:
                return quote.nano_usd
        return None

    return price


def _call(provider: str, model: str, region: str, tokens: Tokens, of: tuple[int, int]) -> llm.LlmCall:
    """One record for the calls of a period, `of` (calls, start); their mean decides on the context tier."""
    return llm.LlmCall(
        key=b"",
        span=b"",
        at=of[1] * 10**9,
        agent="",
        team="",
        provider=provider,
        model=model,
        operation="chat",
        outcome="ok",
        error_type="",
        tokens=llm.Tokens(**tokens),
        duration=None,
        first_token=None,
        region=region,
        requests=max(1, of[0]),
    )
