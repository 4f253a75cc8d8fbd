"""Every price list of the table gives the same cost through the card as through the library."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import pytest
from genai_prices.data import providers
from genai_prices.types import ModelInfo, Provider, Tier, TieredPrices

from fleetwatch.reckon.rate_card import PriceList, compile_card
from fleetwatch.records.llm import Tokens
from support_prices import library_usage

NANO = 10**9
DAYS = [
    datetime.datetime(year, month, 17, 8, tzinfo=datetime.UTC)
    for year, month in ((2024, 1), (2026, 9), (2026, 11), (2027, 6))
]
CONTEXTS: tuple[dict[str, str], ...] = (
    {},
    {"service_tier": "flex"},
    {"service_tier": "priority"},
    {"processing": "batch"},
    {"speed": "fast"},
)


def cost(prices: PriceList, tokens: Tokens, factor: Fraction = Fraction(1)) -> Fraction:
    """Nano-USD by the card, unrounded."""
    card = compile_card(prices, factor)
    if card is None:
        return Fraction(0)
    total = sum(tokens) - tokens.output - tokens.reasoning - tokens.audio_out - tokens.cache_write_long
    rates = next((above for threshold, above in card.bands if total > threshold), card.rates)
    units = card.per_request + sum(count * rate for count, rate in zip(tokens, rates, strict=True))
    return Fraction(units, card.denominator)


def every_model() -> Iterator[tuple[Provider, ModelInfo]]:
    return ((provider, model) for provider in providers for model in provider.models)


def test_every_price_list_of_the_table_costs_what_the_library_says() -> None:
    """All models, at four times and in five contexts, small and long requests: exactly equal, before any rounding."""
    dice = random.Random(3)
    compared = 0
    for provider, model in every_model():
        for day in DAYS:
            for context in CONTEXTS if model.price_variants else CONTEXTS[:1]:
                prices = {
                    key: value for key, value in vars(model.get_prices(day, context)).items() if value is not None
                }
                kinds = [dice.choice((0, 1, dice.randrange(5_000), dice.randrange(400_000))) for _ in range(8)]
                tokens = Tokens(*kinds)._replace(cache_write_long=dice.randint(0, kinds[2]))
                expected = model.calc_price(
                    library_usage(tokens), provider, genai_request_timestamp=day, price_context=context
                ).total_price
                assert cost(prices, tokens) == Fraction(expected) * NANO, (provider.id, model.id, day, context, tokens)
                compared += 1
    assert compared > 9_000


@pytest.mark.parametrize(("total", "rate"), [(199_999, 3), (200_000, 3), (200_001, 6)])
def test_a_context_tier_starts_above_its_threshold_and_then_holds_for_all_tokens(total: int, rate: int) -> None:
    prices = {"input_mtok": TieredPrices(base=Decimal(3), tiers=[Tier(start=200_000, price=Decimal(6))])}
    assert cost(prices, Tokens(input=total)) == total * rate * 1000


def test_cached_input_counts_towards_the_context_tier() -> None:
    prices: PriceList = {
        "input_mtok": TieredPrices(base=Decimal(3), tiers=[Tier(start=200_000, price=Decimal(6))]),
        "cache_read_mtok": Decimal("0.3"),
    }
    assert cost(prices, Tokens(input=1, cache_read=200_000)) == 6_000 + 200_000 * 300


def test_prices_far_below_a_nano_dollar_stay_exact() -> None:
    prices = {"input_mtok": Decimal("0.000000000000000123")}
    assert cost(prices, Tokens(input=10**9)) == Fraction(123, 10**6)


def test_a_discount_is_exact_too() -> None:
    third = Fraction(Decimal("66.6")) / 100
    assert cost({"output_mtok": Decimal("0.07")}, Tokens(output=7), third) == Fraction(7 * 70 * 666, 1000)


def test_long_cache_writes_are_not_counted_twice() -> None:
    prices = {"input_mtok": Decimal(3), "cache_write_mtok": Decimal("3.75"), "cache_write_1h_mtok": Decimal(6)}
    assert cost(prices, Tokens(cache_write=1000, cache_write_long=400)) == 600 * 3_750 + 400 * 6_000


def test_a_list_without_a_price_for_tokens_gives_no_card() -> None:
    assert compile_card({"audio_hours": Decimal("0.1")}) is None
    assert compile_card({}) is None
