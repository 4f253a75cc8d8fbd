"""Contract prices, which go before the price list."""

from __future__ import annotations

import datetime
from collections.abc import Set
from decimal import Decimal
from typing import NamedTuple


class Override(NamedTuple):
    """A contract price. Prices are US dollars per million tokens.

    The first exact match in order wins, then the first prefix match; only overrides valid on the call's day (UTC)
    count. Names are compared without regard to case, with the model as sent, as mapped and as found inside an ARN or
    path. A kind that is left out costs its list price; where the list has none, cached input costs the override's input
    price and everything else is missing. Reasoning costs the override's output price; audio, images and long cache
    writes keep a list price of their own. Context tiers of a replaced price no longer count.
    """

    model: str
    """A model's name, or a prefix that ends with *."""
    provider: str = ""
    """As the call names it; empty for any."""
    input: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    output: Decimal | None = None
    discount_percent: Decimal | None = None
    """Instead of prices: discount on every list price, whatever the tier."""
    valid_from: datetime.date | None = None
    valid_to: datetime.date | None = None
    """The last day."""

    @property
    def prices(self) -> dict[str, Decimal]:
        """The prices given, by the price table's keys."""
        given = {
            "input_mtok": self.input,
            "cache_read_mtok": self.cache_read,
            "cache_write_mtok": self.cache_write,
            "output_mtok": self.output,
            "output_reasoning_mtok": self.output,
        }
        return {key: price for key, price in given.items() if price is not None}

    def names(self, providers: Set[str], models: Set[str]) -> bool:
        """Whether it is meant for one of these names, all in lower case."""
        if self.provider and self.provider.lower() not in providers:
            return False
        pattern = self.model.lower()
        if self.is_prefix:
            return any(name.startswith(pattern[:-1]) for name in models)
        return pattern in models

    @property
    def is_prefix(self) -> bool:
        return self.model.endswith("*")

    def valid_on(self, day: datetime.date) -> bool:
        return (self.valid_from or datetime.date.min) <= day <= (self.valid_to or datetime.date.max)

    def check(self, place: str) -> None:
        """ValueError, beginning with `place`, for an override that cannot be meant."""
        if not self.model:
            raise ValueError(f"{place}.model: expected a model name or a prefix that ends with *, got none")
        discount = self.discount_percent
        if (discount is None) == (not self.prices):
            raise ValueError(f"{place}: expected either prices or discount_percent")
        if discount is not None and not 0 <= discount <= 100:
            raise ValueError(f"{place}.discount_percent: expected 0 to 100, got {discount}")
        for name in ("input", "cache_read", "cache_write", "output"):
            price: Decimal | None = getattr(self, name)
            if price is not None and (not price.is_finite() or price < 0):
                raise ValueError(f"{place}.{name}: expected US dollars, zero or more, got {price}")
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError(f"{place}.valid_to: expected a day not before valid_from, got {self.valid_to}")
