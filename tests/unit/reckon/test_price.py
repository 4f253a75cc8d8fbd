"""Costs of calls: against prices written out by hand, against the library, and how sure they are."""

from __future__ import annotations

import datetime
from decimal import ROUND_HALF_UP, Decimal

import genai_prices
import pytest
from genai_prices.data import providers
from hypothesis import example, given
from hypothesis import strategies as st

from fleetwatch.reckon.price import (
    CACHE_SIZE,
    ESTIMATED,
    PRICED,
    RELEASED,
    REPORTED,
    UNPRICED,
    Override,
    PriceBook,
    Quote,
    released,
)
from fleetwatch.records.llm import Tokens
from support_prices import call, library_usage, nanoseconds

NANO = Decimal(10**9)
BOOK = PriceBook([], {})
TEN_K = Tokens(input=10_000, output=1_000)


def nano(usd: str) -> int:
    return int((Decimal(usd) * NANO).quantize(Decimal(1), ROUND_HALF_UP))


def usd(*parts: tuple[int, str]) -> int:
    """Nano-USD of (tokens, US dollars per token) pairs."""
    return nano(str(sum(tokens * Decimal(price) for tokens, price in parts)))


# provider, model, tokens, what else the call says, (tokens, US dollars per token) by hand
BY_HAND = [
    ("openai", "gpt-4o", Tokens(input=86, cache_read=1_920, output=300), {},
     [(86, "0.0000025"), (1_920, "0.00000125"), (300, "0.00001")]),
    ("openai", "gpt-4o-mini", Tokens(input=1_001, output=7), {}, [(1_001, "0.00000015"), (7, "0.0000006")]),
    ("openai", "gpt-4o-mini", TEN_K, {"batch": True}, [(10_000, "0.000000075"), (1_000, "0.0000003")]),
    ("openai", "o3", Tokens(input=500, output=20, reasoning=900), {}, [(500, "0.000002"), (920, "0.000008")]),
    ("openai", "gpt-5.4", Tokens(input=300_000, output=1_000), {}, [(300_000, "0.000005"), (1_000, "0.0000225")]),
    ("openai", "gpt-5.4", Tokens(input=272_000, output=1_000), {}, [(272_000, "0.0000025"), (1_000, "0.000015")]),
    ("openai", "gpt-5.4", TEN_K, {"service_tier": "flex"}, [(10_000, "0.00000125"), (1_000, "0.0000075")]),
    ("openai", "gpt-5.4", TEN_K, {"service_tier": "priority"}, [(10_000, "0.000005"), (1_000, "0.00003")]),
    ("openai", "text-embedding-3-small", Tokens(input=8_191), {}, [(8_191, "0.00000002")]),
    ("anthropic", "claude-sonnet-4-5-20250929", Tokens(100, 2_000, 500, 300, 200, cache_write_long=150), {},
     [(100, "0.000003"), (2_000, "0.0000003"), (350, "0.00000375"), (150, "0.000006"), (500, "0.000015")]),
    ("anthropic", "claude-sonnet-4-5", Tokens(input=1, cache_read=199_999, cache_write=1, output=10), {},
     [(1, "0.000006"), (199_999, "0.0000006"), (1, "0.0000075"), (10, "0.0000225")]),
    ("anthropic", "claude-haiku-4-5", TEN_K, {"service_tier": "batch"}, [(10_000, "0.0000005"), (1_000, "0.0000025")]),
    ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", TEN_K, {},
     [(10_000, "0.0000033"), (1_000, "0.0000165")]),
    ("aws.bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", TEN_K, {"region": "eu-central-1"},
     [(10_000, "0.000003"), (1_000, "0.000015")]),
    ("aws.bedrock", "amazon.nova-pro-v1:0", Tokens(10, 20, 0, 30), {"region": "us-east-1"},
     [(10, "0.0000008"), (20, "0.0000002"), (30, "0.0000032")]),
    ("gcp.gemini", "gemini-2.5-pro", Tokens(input=5_005, cache_read=257_955), {},
     [(5_005, "0.0000025"), (257_955, "0.00000025")]),
    ("gcp.vertex_ai", "gemini-2.5-flash", Tokens(50, audio_in=1_000, image=258, output=9), {"region": "europe-west4"},
     [(308, "0.0000003"), (1_000, "0.000001"), (9, "0.0000025")]),
    ("azure.ai.openai", "gpt-4o", TEN_K, {}, [(10_000, "0.0000025"), (1_000, "0.00001")]),
    ("mistral_ai", "mistral-large-2512", TEN_K, {}, [(10_000, "0.0000005"), (1_000, "0.0000015")]),
    ("x_ai", "grok-4", Tokens(3, 5, 0, 7), {}, [(3, "0.000003"), (5, "0.00000075"), (7, "0.000015")]),
    ("groq", "llama-3.3-70b-versatile", TEN_K, {}, [(10_000, "0.00000059"), (1_000, "0.00000079")]),
    ("perplexity", "sonar", Tokens(input=11, output=13), {}, [(24, "0.000001"), (1, "0.012")]),
    ("deepseek", "deepseek-v4-pro", TEN_K, {}, [(10_000, "0.00000066"), (1_000, "0.00000198")]),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "model", "tokens", "more", "parts"), BY_HAND)
def test_calls_cost_what_the_price_pages_say(provider, model, tokens, more, parts) -> None:  # type: ignore[no-untyped-def]  # a table's columns
    assert BOOK.quote(call(provider, model, tokens, **more)) == Quote(usd(*parts), PRICED)


@pytest.mark.parametrize(
    ("provider", "model", "tokens", "tier", "dollars"),
    [
        ("openai", "gpt-4o", Tokens(86, 1_920, 0, 300), "", ".005615"),
        ("openai", "gpt-5.4", Tokens(input=300_000, output=1_000), "", "1.5225"),
        ("openai", "gpt-5.4", TEN_K, "", ".040"),
        ("openai", "gpt-5.4", TEN_K, "flex", ".020"),
        ("openai", "gpt-5.4", TEN_K, "priority", ".080"),
        ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", TEN_K, "", ".0495"),
    ],
)
def test_published_comparisons_come_out(provider: str, model: str, tokens: Tokens, tier: str, dollars: str) -> None:
    assert BOOK.quote(call(provider, model, tokens, service_tier=tier)) == Quote(nano(dollars), PRICED)


def test_half_a_nano_dollar_is_rounded_up_once_per_call() -> None:
    """Two tokens at 0.25 nano-USD are half a nano-USD."""
    book = PriceBook([Override("m", input=Decimal("0.00025"), output=Decimal(0))], {})
    assert [book.quote(call("", "m", Tokens(input=n))).nano_usd for n in (1, 2, 5, 6)] == [0, 1, 1, 2]


COUNTS = st.one_of(st.just(0), st.integers(0, 400), st.integers(0, 400_000))
CONTEXTS = [
    ("", False, {}),
    ("default", False, {"service_tier": "default"}),
    ("flex", False, {"service_tier": "flex"}),
    ("priority", False, {"service_tier": "priority"}),
    ("", True, {"processing": "batch"}),
    ("flex", True, {"service_tier": "flex", "processing": "batch"}),
]
MODELS = [(provider.id, model.id) for provider in providers for model in provider.models]


@given(
    names=st.sampled_from(MODELS),
    kinds=st.tuples(*[COUNTS] * 8),
    long=COUNTS,
    seconds=st.integers(1_600_000_000, 1_850_000_000),
    context=st.sampled_from(CONTEXTS),
)
@example(names=("deepseek", "deepseek-v4-pro"), kinds=(9,) * 8, long=0, seconds=1_795_143_599, context=CONTEXTS[0])
@example(names=("deepseek", "deepseek-v4-pro"), kinds=(9,) * 8, long=0, seconds=1_795_143_600, context=CONTEXTS[0])
def test_every_quote_equals_the_library(names, kinds, long, seconds, context) -> None:  # type: ignore[no-untyped-def]  # see @given
    """Random models, tokens, times and tiers; within half a nano-USD, and never a price where the library has none."""
    provider, model = names
    tier, batch, price_context = context
    tokens = Tokens(*kinds)._replace(cache_write_long=min(long, kinds[2]))
    got = BOOK.quote(call(provider, model, tokens, seconds * 10**9, service_tier=tier, batch=batch))
    try:
        expected = genai_prices.calc_price(
            library_usage(tokens),
            model,
            provider_id=provider,
            genai_request_timestamp=datetime.datetime.fromtimestamp(seconds, datetime.UTC),
            price_context=price_context,
        ).total_price
    except LookupError:
        assert got.confidence != PRICED
        return
    if got.confidence == UNPRICED:
        assert expected == 0
    assert abs(got.nano_usd - expected * NANO) <= Decimal("0.5")


def test_a_price_change_applies_from_midnight_utc_of_its_day() -> None:
    model = "claude-opus-4-6"  # long context lost its surcharge on 2026-03-13
    tokens = Tokens(input=300_000)
    before = BOOK.quote(call("anthropic", model, tokens, nanoseconds("2026-03-13T00:00") - 1))
    after = BOOK.quote(call("anthropic", model, tokens, "2026-03-13T00:00"))
    assert (before.nano_usd, after.nano_usd) == (nano("3"), nano("1.5"))
    assert BOOK.quote(call("anthropic", model, tokens, "2026-03-12T23:59")) == before


@pytest.mark.parametrize(
    ("time", "dollars"), [("00:59", "0.66"), ("01:00", "1.32"), ("03:59", "1.32"), ("04:00", "0.66")]
)
def test_off_peak_prices_follow_the_time_of_day(time: str, dollars: str) -> None:
    tokens = Tokens(input=1_000_000)
    for day in ("2026-11-20", "2026-11-21"):
        assert BOOK.quote(call("deepseek", "deepseek-v4-pro", tokens, f"{day}T{time}")).nano_usd == nano(dollars)


@pytest.mark.parametrize("at", [-(10**30), 0, 2**63 - 1, 10**30])
def test_absurd_times_are_priced_by_the_nearest_prices(at: int) -> None:
    for model in ("deepseek-v4-pro", "deepseek-v3.2"):
        assert BOOK.quote(call("deepseek", model, TEN_K, at)).confidence == PRICED


@pytest.mark.parametrize(
    ("provider", "model", "more"),
    [
        ("openai", "gpt-5.4", {"service_tier": "scale"}),
        ("openai", "gpt-4o", {"service_tier": "flex"}),
        # The table's flex prices begin later.
        ("openai", "gpt-5.4", {"service_tier": "flex", "at": "2026-01-05T00:00"}),
        ("azure.ai.openai", "gpt-5.4", {"service_tier": "flex"}),  # a reseller's tiers are not the maker's
        ("azure.ai.openai", "gpt-5.4", {"batch": True}),
        ("anthropic", "claude-haiku-4-5", {"service_tier": "priority"}),
        ("aws.bedrock", "amazon.nova-pro-v1:0", {"service_tier": "flex"}),
        ("aws.bedrock", "amazon.nova-pro-v1:0", {"region": "eu-central-1"}),
        ("aws.bedrock", "amazon.nova-pro-v1:0", {"region": "us-gov-west-1"}),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", {"region": "europe-west1"}),
    ],
)
def test_ways_of_calling_without_a_price_of_their_own_are_estimated(provider, model, more) -> None:  # type: ignore[no-untyped-def]  # a table's columns
    plain = BOOK.quote(call(provider, model, TEN_K, **{key: value for key, value in more.items() if key == "at"}))
    assert plain.confidence == PRICED
    assert BOOK.quote(call(provider, model, TEN_K, **more)) == Quote(plain.nano_usd, ESTIMATED)


@pytest.mark.parametrize("tier", ["", "default", "standard", "auto", "Default", "ON_DEMAND"])
def test_names_of_the_standard_tier_are_priced(tier: str) -> None:
    assert BOOK.quote(call("openai", "gpt-5.4", TEN_K, service_tier=tier)) == Quote(nano(".04"), PRICED)


def test_anthropics_fast_mode_has_its_own_price() -> None:
    assert BOOK.quote(call("anthropic", "claude-opus-5", TEN_K, service_tier="fast")) == Quote(nano(".15"), PRICED)


def test_vertex_names_of_tiers_are_known() -> None:
    flex = BOOK.quote(call("gcp.vertex_ai", "gemini-3.8-flash", TEN_K, service_tier="ON_DEMAND_FLEX"))
    assert flex == BOOK.quote(call("gcp.gemini", "gemini-3.8-flash", TEN_K, service_tier="flex"))


def test_audio_on_a_text_model_is_billed_as_text_and_said_to_be_estimated() -> None:
    assert BOOK.quote(call("openai", "gpt-4o", Tokens(input=1, audio_in=9))) == Quote(10 * 2_500, ESTIMATED)
    assert BOOK.quote(call("openai", "gpt-4o", Tokens(audio_out=9))) == Quote(9 * 10_000, ESTIMATED)


def test_long_cache_writes_beyond_all_cache_writes_are_not_believed() -> None:
    sent, sane = (Tokens(cache_write=10, cache_write_long=long) for long in (1_000, 10))
    quotes = [BOOK.quote(call("anthropic", "claude-haiku-4-5", tokens)) for tokens in (sent, sane)]
    assert quotes == [Quote(10 * 2_000, PRICED)] * 2


def test_images_and_uncached_models_cost_plain_input() -> None:
    assert BOOK.quote(call("openai", "gpt-4o", Tokens(image=9))) == Quote(9 * 2_500, PRICED)
    assert BOOK.quote(call("mistral_ai", "mistral-nemo", Tokens(cache_read=9, cache_write=1))) == Quote(1_500, PRICED)


def test_output_of_a_model_that_sells_only_input_is_not_silently_free() -> None:
    model = "text-embedding-3-small"
    assert BOOK.quote(call("openai", model, Tokens(input=10, output=5))) == Quote(200, ESTIMATED)
    assert BOOK.quote(call("openai", model, Tokens(output=5))) == Quote(0, UNPRICED)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "my-fine-tune"),
        ("openai", ""),
        ("openai", "claude-sonnet-4-5"),
        ("ibm.watsonx.ai", "mistral-large"),
        ("ollama", "deepseek-r1"),
        ("unknown", "gtp-4o"),
        ("openai", "gpt-4o\x00\n<!channel>" * 100),
        ("mistral_ai", "mistral-ocr-2503"),  # sold by the page
        ("groq", "whisper-large-v3"),  # sold by the hour
        ("google", "gemma-3"),  # listed without any price
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"),
    ],
)
def test_what_has_no_price_is_unpriced_or_as_reported(provider: str, model: str) -> None:
    assert BOOK.quote(call(provider, model, TEN_K)) == Quote(0, UNPRICED)
    assert BOOK.quote(call(provider, model, TEN_K, reported_cost=123)) == Quote(123, REPORTED)


def test_a_known_price_wins_over_a_reported_one() -> None:
    assert BOOK.quote(call("openai", "gpt-4o", TEN_K, reported_cost=1)).confidence == PRICED


def test_a_model_listed_as_free_costs_nothing_and_is_priced() -> None:
    assert BOOK.quote(call("mistral_ai", "mistral-nemo:free", TEN_K)) == Quote(0, PRICED)


def test_aggregated_sources_are_never_more_than_estimated() -> None:
    quote = BOOK.quote(call("openai", "gpt-4o", TEN_K), estimated=True)
    assert quote == Quote(nano(".035"), ESTIMATED)
    assert BOOK.quote(call("openai", "nothing", TEN_K), estimated=True).confidence == UNPRICED


def test_the_context_tier_of_an_aggregate_is_that_of_its_mean_request() -> None:
    """Ten calls of 30,000 tokens are not one call of 300,000."""
    tokens = Tokens(input=300_000)
    assert BOOK.quote(call("openai", "gpt-5.4", tokens, requests=10)).nano_usd == nano(".75")
    assert BOOK.quote(call("openai", "gpt-5.4", tokens, requests=1)).nano_usd == nano("1.5")
    assert BOOK.quote(call("openai", "gpt-5.4", tokens, requests=0)).nano_usd == nano(".75")
    assert BOOK.quote(call("perplexity", "sonar", Tokens(), requests=10)).nano_usd == nano(".12")


def test_hostile_names_do_not_grow_memory() -> None:
    book = PriceBook([], {})
    for number in range(CACHE_SIZE + 10):
        book.quote(call("openai", f"text-davinci-edit-{number}", Tokens(input=1)))
        book.quote(call("anthropic", "claude-haiku-4-5", Tokens(input=1), service_tier=f"tier-{number}"))
    assert len(book._current) <= CACHE_SIZE
    assert len(book._plans) <= 3
    before = len(book._current)
    book.quote(call("openai", "x" * 10_000_000, Tokens(input=1)))
    assert len(book._current) == before


def test_a_miss_is_remembered() -> None:
    book = PriceBook([], {})
    names = ("openai", "nothing", "", False, "")
    book.quote(call("openai", "nothing", Tokens(input=1)))
    assert book._current[names].card is None


def test_the_table_says_where_it_is_from_and_when_it_was_released() -> None:
    assert BOOK.source == "genai-prices"
    assert BOOK.version == genai_prices.__version__
    assert BOOK.version in RELEASED, "add the release time of this version, as its package index tells it"
    assert released("0.0") <= BOOK.checked, "a table of unknown age must not seem newer than it is"
    assert released("0.0") > nanoseconds("2026-06-01") // 10**9


def test_a_failed_call_without_tokens_lacks_no_price() -> None:
    """A mistyped model name fails and costs nothing; a failed call with tokens of an unknown model does lack one."""
    book = PriceBook()
    failed = call("openai", "gpt-mistyped", Tokens())._replace(outcome="error")
    assert book.quote(failed) == Quote(0, "priced")
    assert book.quote(failed._replace(tokens=Tokens(input=5))) == Quote(0, "unpriced")
    assert book.quote(failed._replace(outcome="ok")) == Quote(0, "unpriced")


def test_the_cost_of_a_call_whose_tokens_are_not_told_is_unknown() -> None:
    """Some senders tell none of streams; that is no call for nothing."""
    untold = call("openai", "gpt-4o", Tokens())
    assert BOOK.quote(untold) == Quote(0, UNPRICED)
    assert BOOK.quote(untold._replace(reported_cost=7)) == Quote(7, REPORTED)
    assert BOOK.quote(untold._replace(outcome="error")) == Quote(0, PRICED)
    assert BOOK.quote(untold._replace(outcome="refused")) == Quote(0, PRICED)


def test_a_price_that_does_not_depend_on_tokens_needs_none() -> None:
    free = PriceBook([Override("mine", input=Decimal(0), output=Decimal(0))])
    assert free.quote(call("openai", "mine", Tokens())) == Quote(0, PRICED)
    assert BOOK.quote(call("perplexity", "sonar", Tokens())) == Quote(nano(".012"), PRICED)


def test_a_point_of_a_metric_that_counts_calls_alone_lacks_no_tokens() -> None:
    """They come in a point of their own."""
    assert BOOK.quote(call("openai", "gpt-4o", Tokens(), requests=3), estimated=True) == Quote(0, ESTIMATED)
