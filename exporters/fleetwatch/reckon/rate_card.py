"""From price lists to integers: pricing a call is then a few multiplications.

A price list is what genai-prices gives for one model, time and request context: price key (`input_mtok`, ...) to US
dollars per million tokens, or to prices that change once a request's total input passes a threshold (then for *all*
its tokens). A rate card holds the same prices per disjoint kind of token as whole numbers of 1/denominator nano-USD,
so that a call's cost is exact until its one rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from genai_prices.types import TieredPrices

from fleetwatch.records.llm import Tokens

PriceList = Mapping[str, Decimal | TieredPrices]

NANO = 10**9
MILLION = 10**6

INPUT, CACHE_READ, CACHE_WRITE, OUTPUT, REASONING, AUDIO_IN, AUDIO_OUT, IMAGE, CACHE_WRITE_LONG = range(9)
"""Places in records.Tokens."""

# The price that a kind has, nearest first. genai-prices counts tokens of a kind without a price of its own with the
# kind that contains it (cached or audio input is input, reasoning is output); kinds outside every price cost nothing.
PRICE_KEYS: tuple[tuple[str, ...], ...] = (
    ("input_mtok",),
    ("cache_read_mtok", "input_mtok"),
    ("cache_write_mtok", "input_mtok"),
    ("output_mtok",),
    ("output_reasoning_mtok", "output_mtok"),
    ("input_audio_mtok", "input_mtok"),
    ("output_audio_mtok", "output_mtok"),
    ("input_image_mtok", "input_mtok"),
    ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
)
REQUESTS_KEY = "requests_kcount"

Rates = tuple[int, int, int, int, int, int, int, int, int]


class RateCard(NamedTuple):
    """Prices of one model at one time as integers; one unit is 1/denominator nano-USD."""

    rates: Rates
    """Per token, in the order of records.Tokens. The last is what the long lifetime adds to a cache write."""
    bands: tuple[tuple[int, Rates], ...]
    """(threshold, rates), highest first: the rates once the request's input is above the threshold."""
    denominator: int
    half: int
    """Half the denominator, for rounding half up."""
    per_request: int
    unsure: tuple[int, ...]
    """Kinds priced like one that usually costs less (audio as text, long cache writes as short ones) or not at all."""
    unsure_text: tuple[int, ...]
    """Those of `unsure` besides audio and long cache writes: of most models none."""
    missing: tuple[int, ...]
    """Kinds without any price; they cost nothing here."""

    def knows_none_of(self, tokens: Tokens) -> bool:
        """Whether the card has no price at all for the tokens that are there."""
        return not self.per_request and not any(count for kind, count in enumerate(tokens) if kind not in self.missing)


def price_key(prices: PriceList, kind: int) -> str | None:
    """The key of the price that tokens of `kind` have in this list; None without one."""
    return next((key for key in PRICE_KEYS[kind] if key in prices), None)


def thresholds(prices: PriceList) -> list[int]:
    """Total inputs above which some price of the list changes, ascending."""
    keys = {key for keys in PRICE_KEYS for key in keys}
    tiered = [value for key, value in prices.items() if key in keys and isinstance(value, TieredPrices)]
    return sorted({tier.start for value in tiered for tier in value.tiers})


def price_above(value: Decimal | TieredPrices, threshold: int | None) -> Decimal:
    """US dollars per million tokens just above `threshold` tokens of total input; None: of the smallest request."""
    if not isinstance(value, TieredPrices):
        return value
    if threshold is None:
        return value.base
    reached = [tier.price for tier in value.tiers if tier.start <= threshold]
    return reached[-1] if reached else value.base


def compile_card(prices: PriceList, factor: Fraction = Fraction(1)) -> RateCard | None:
    """The card of a price list, each price times `factor`; None when the list prices no kind of token."""
    keys = [price_key(prices, kind) for kind in range(len(PRICE_KEYS))]
    if not any(keys) and REQUESTS_KEY not in prices:
        return None
    levels = [_exact_rates(prices, keys, threshold, factor) for threshold in (None, *thresholds(prices))]
    per_request = Fraction(price_above(prices.get(REQUESTS_KEY, Decimal(0)), None)) * NANO / 1000 * factor
    denominator = math.lcm(per_request.denominator, *(rate.denominator for level in levels for rate in level))
    # An odd denominator has no half: twice as many units of half the size have.
    denominator *= 2 if denominator > 1 and denominator % 2 else 1
    base, *above = [_integers(level, denominator) for level in levels]
    missing = tuple(kind for kind, key in enumerate(keys) if key is None)
    unsure = [*missing, *(kind for kind in (AUDIO_IN, AUDIO_OUT) if keys[kind] not in (PRICE_KEYS[kind][0], None))]
    if keys[CACHE_WRITE_LONG] == "cache_write_mtok":
        unsure.append(CACHE_WRITE_LONG)
    return RateCard(
        rates=base,
        bands=tuple(zip(thresholds(prices), above, strict=True))[::-1],
        denominator=denominator,
        half=denominator // 2,
        per_request=int(per_request * denominator),
        unsure=tuple(unsure),
        unsure_text=tuple(kind for kind in unsure if kind not in (AUDIO_IN, AUDIO_OUT, CACHE_WRITE_LONG)),
        missing=missing,
    )


def _exact_rates(
    prices: PriceList, keys: Sequence[str | None], threshold: int | None, factor: Fraction
) -> list[Fraction]:
    """Nano-USD per token and kind."""
    rates = [
        Fraction(price_above(prices[key], threshold)) * NANO / MILLION * factor if key else Fraction(0) for key in keys
    ]
    rates[CACHE_WRITE_LONG] -= rates[CACHE_WRITE]  # its tokens are counted as cache writes already
    return rates


def _integers(rates: Sequence[Fraction], denominator: int) -> Rates:
    a, b, c, d, e, f, g, h, i = (int(rate * denominator) for rate in rates)
    return a, b, c, d, e, f, g, h, i
