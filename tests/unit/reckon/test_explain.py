"""Explanations agree with quotes, and say where a price is from."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fleetwatch.reckon.explain import explain
from fleetwatch.reckon.price import ESTIMATED, PRICED, UNPRICED, Names, Override, PriceBook
from fleetwatch.records.llm import Tokens
from support_prices import call, nanoseconds

NOW = nanoseconds("2026-11-20T12:00")
MIXED = Tokens(100, 2_000, 500, 300, 200, 7, 9, 11, 400)
BOOK = PriceBook([], {})


@pytest.mark.parametrize(
    ("book", "names"),
    [
        (BOOK, Names("openai", "gpt-4o")),
        (BOOK, Names("openai", "gpt-5.4", "flex")),
        (BOOK, Names("anthropic", "claude-sonnet-4-5", batch=True)),
        (BOOK, Names("perplexity", "sonar")),
        (BOOK, Names("openai", "text-embedding-3-small")),
        (PriceBook([Override("gpt-4o", input=Decimal("1.23"))], {}), Names("openai", "gpt-4o")),
        (PriceBook([Override("gpt*", discount_percent=Decimal("7.5"))], {}), Names("openai", "gpt-4o")),
    ],
)
def test_the_lines_add_up_to_the_quote(book: PriceBook, names: Names) -> None:
    for tokens in (MIXED, MIXED._replace(input=400_000)):
        found = explain(book, names, tokens, NOW)
        quote = book.quote(
            call(names.provider, names.model, tokens, NOW, service_tier=names.service_tier, batch=names.batch)
        )
        assert (found.nano_usd, found.confidence) == quote
        exact = sum((line.usd for line in found.lines), Decimal(0)) * 10**9
        assert abs(exact - quote.nano_usd) <= Decimal("0.5")


def test_a_borrowed_price_names_its_kind() -> None:
    borrowed = {line.kind: line.same_as for line in explain(BOOK, Names("openai", "gpt-4o"), Tokens(), NOW).lines}
    assert borrowed["cache_read"] == ""
    assert borrowed["cache_write"] == "input"
    assert borrowed["reasoning"] == "output"


def test_long_context_prices_are_told_before_and_after_their_threshold() -> None:
    below = explain(BOOK, Names("openai", "gpt-5.4"), Tokens(input=272_000), NOW)
    above = explain(BOOK, Names("openai", "gpt-5.4"), Tokens(input=272_001), NOW)
    assert (below.band, below.next_band, below.lines[0].usd_per_million) == (None, 272_000, Decimal("2.5"))
    assert (above.band, above.next_band, above.lines[0].usd_per_million) == (272_000, None, Decimal(5))


def test_an_unknown_model_comes_with_names_that_look_alike() -> None:
    found = explain(BOOK, Names("openai", "gtp-4o"), Tokens(input=1), NOW)
    assert (found.confidence, found.nano_usd, found.lines) == (UNPRICED, 0, ())
    assert "openai/gpt-4o" in found.candidates


@pytest.mark.parametrize(
    ("model", "provider", "confidence"),
    [
        ("gpt-4o", "openai", PRICED),
        ("aws.bedrock/amazon.nova-pro-v1:0", "aws.bedrock", PRICED),
        ("llama9", "", UNPRICED),
    ],
)
def test_without_a_provider_the_maker_is_meant(model: str, provider: str, confidence: str) -> None:
    found = explain(BOOK, Names("", model), Tokens(input=1), NOW)
    assert (found.names.provider, found.confidence) == (provider, confidence)


def test_it_says_when_a_price_is_the_contracts() -> None:
    book = PriceBook(
        [Override("gpt-4o", input=Decimal(1), output=Decimal(2)), Override("gpt-4*", input=Decimal(3))], {}
    )
    assert explain(book, Names("openai", "gpt-4o"), Tokens(), NOW).source == "contract"
    assert explain(book, Names("openai", "gpt-4.1"), Tokens(), NOW).source == "contract, list"
    assert explain(book, Names("openai", "gpt-4o", batch=True), Tokens(), NOW).confidence == ESTIMATED
    assert explain(book, Names("openai", "o3"), Tokens(), NOW).source == "list"
