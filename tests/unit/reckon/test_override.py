"""Contract prices and the mapping of deployments."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from fleetwatch.reckon.override import Override
from fleetwatch.reckon.price import ESTIMATED, PRICED, UNPRICED, PriceBook, Quote
from fleetwatch.records.llm import Tokens
from support_prices import call

CALL = Tokens(input=1_000, cache_read=1_000, cache_write=1_000, output=1_000, reasoning=1_000)
USD = 10**9


def quote(*overrides: Override, tokens: Tokens = CALL, model: str = "gpt-4o", **more: object) -> Quote:
    return PriceBook(overrides, {}).quote(call("openai", model, tokens, **more))  # type: ignore[arg-type]  # `at` among them


def test_contract_prices_replace_list_prices() -> None:
    contract = Override("gpt-4o", "openai", Decimal(1), Decimal("0.1"), Decimal(2), Decimal(3))
    assert quote(contract) == Quote(1_000_000 + 100_000 + 2_000_000 + 2 * 3_000_000, PRICED)


def test_kinds_left_out_cost_the_list_price() -> None:
    """gpt-4o lists 1.25 for cache reads, and no price for cache writes: these follow input."""
    contract = Override("gpt-4o", input=Decimal(1), output=Decimal(3))
    assert quote(contract) == Quote(1_000_000 + 1_250_000 + 1_000_000 + 2 * 3_000_000, PRICED)


def test_a_contract_for_a_model_without_list_price_covers_what_it_names() -> None:
    contract = Override("house-model", input=Decimal(1))
    assert quote(contract, tokens=Tokens(input=1, cache_read=1), model="house-model") == Quote(2_000, PRICED)
    assert quote(contract, tokens=Tokens(input=1, output=1), model="house-model") == Quote(1_000, ESTIMATED)
    assert quote(contract, tokens=Tokens(output=1), model="house-model") == Quote(0, UNPRICED)


def test_a_whole_contract_makes_a_near_model_priced() -> None:
    tokens = Tokens(input=10)
    whole = Override("gpt-4o*", input=Decimal(1), output=Decimal(3))
    assert PriceBook([whole], {}).quote(call("", "gpt-4o", tokens)) == Quote(10_000, PRICED)
    part = Override("gpt-4o*", output=Decimal(3))
    assert PriceBook([part], {}).quote(call("", "gpt-4o", tokens)) == Quote(25_000, ESTIMATED)


def test_a_contract_says_nothing_sure_about_batches_and_special_tiers() -> None:
    contract = Override("gpt-4o", input=Decimal(1), output=Decimal(3))
    assert quote(contract, tokens=Tokens(input=1), batch=True) == Quote(1_000, ESTIMATED)
    assert quote(contract, tokens=Tokens(input=1), service_tier="default") == Quote(1_000, PRICED)


def test_a_discount_applies_to_every_tier() -> None:
    contract = Override("gpt-5.4*", discount_percent=Decimal("12.5"))
    tokens = Tokens(input=300_000)
    assert quote(contract, tokens=tokens, model="gpt-5.4") == Quote(1_500_000_000 * 875 // 1000, PRICED)
    assert quote(contract, tokens=Tokens(input=100), model="gpt-5.4", service_tier="flex") == Quote(109_375, PRICED)
    assert quote(contract, model="gpt-5.4-unheard-of").confidence == UNPRICED


def test_an_exact_name_beats_an_earlier_prefix_and_the_first_of_equals_wins() -> None:
    tokens = Tokens(input=1)
    prefix, first, second = (
        Override(name, input=Decimal(price), output=Decimal(0))
        for name, price in (("gpt*", 1), ("GPT-4o", 2), ("gpt-4o", 3))
    )
    assert quote(prefix, first, second, tokens=tokens).nano_usd == 2_000
    assert quote(prefix, second, first, tokens=tokens).nano_usd == 3_000
    assert quote(prefix, first, tokens=tokens, model="gpt-4.1").nano_usd == 1_000


def test_another_providers_contract_does_not_count() -> None:
    contract = Override("gpt-4o", "azure.ai.openai", Decimal(1), output=Decimal(1))
    assert quote(contract, tokens=Tokens(input=1)).nano_usd == 2_500


@pytest.mark.parametrize(
    ("at", "nano"),
    [
        ("2026-02-28T23:59", 2_500),
        ("2026-03-01T00:00", 1_000),
        ("2026-03-31T23:59", 1_000),
        ("2026-04-01T00:00", 2_000),
        ("2027-01-01T00:00", 2_000),
    ],
)
def test_contracts_hold_from_their_first_to_their_last_day(at: str, nano: int) -> None:
    march = Override(
        "gpt-4o",
        input=Decimal(1),
        output=Decimal(1),
        valid_from=datetime.date(2026, 3, 1),
        valid_to=datetime.date(2026, 3, 31),
    )
    later = Override("gpt-4o", input=Decimal(2), output=Decimal(1), valid_from=datetime.date(2026, 4, 1))
    for before in ([], ["2026-03-15T00:00"]):  # asked at once, and after another answer was remembered
        book = PriceBook([march, later], {})
        answers = [book.quote(call("openai", "gpt-4o", Tokens(input=1), time)) for time in [*before, at]]
        assert answers[-1] == Quote(nano, PRICED)


def test_deployments_are_priced_as_the_model_behind_them() -> None:
    book = PriceBook([], {"My-GPT": "gpt-4o", "other": "azure.ai.openai/gpt-4o-mini", "path": "meta-llama/nothing"})
    tokens = Tokens(input=1_000_000)
    assert book.quote(call("azure.ai.openai", "my-gpt", tokens)) == Quote(5 * USD // 2, PRICED)
    assert book.quote(call("unknown", "other", tokens)) == Quote(USD * 15 // 100, PRICED)
    assert book.quote(call("openai", "path", tokens)).confidence == UNPRICED


def test_contracts_find_deployments_by_either_name() -> None:
    for name in ("my-gpt", "gpt-4o"):
        book = PriceBook([Override(name, input=Decimal(1), output=Decimal(1))], {"my-gpt": "gpt-4o"})
        assert book.quote(call("azure.ai.openai", "my-gpt", Tokens(input=1))) == Quote(1_000, PRICED)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (Override("m"), r"overrides\[1\]: expected either prices or discount_percent"),
        (Override("m", input=Decimal(1), discount_percent=Decimal(1)), "expected either prices or discount_percent"),
        (Override("", input=Decimal(1)), "expected a model name"),
        (Override("m", discount_percent=Decimal(101)), "expected 0 to 100, got 101"),
        (Override("m", input=Decimal("NaN")), r"overrides\[1\].input: expected US dollars, zero or more, got NaN"),
        (Override("m", output=Decimal(-1)), r"overrides\[1\].output: expected US dollars, zero or more, got -1"),
        (
            Override("m", input=Decimal(1), valid_from=datetime.date(2026, 2, 1), valid_to=datetime.date(2026, 1, 1)),
            "valid_to: expected a day not before valid_from, got 2026-01-01",
        ),
    ],
)
def test_contracts_that_cannot_be_meant_are_refused_by_name(override: Override, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PriceBook([Override("fine", input=Decimal(1)), override], {})
