"""A price, spelled out for people: each kind's price, where it is from and how sure it is."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from fleetwatch.reckon import model_names
from fleetwatch.reckon.price import Names, PriceBook
from fleetwatch.reckon.rate_card import (
    CACHE_WRITE,
    CACHE_WRITE_LONG,
    PRICE_KEYS,
    REQUESTS_KEY,
    price_above,
    price_key,
    thresholds,
)
from fleetwatch.records.llm import LlmCall, Tokens

KINDS = Tokens._fields
REQUEST = "request"


class Line(NamedTuple):
    """One kind of token, or the fee per request."""

    kind: str
    """As in records.Tokens, or `request`."""
    usd_per_million: Decimal | None
    """At this size of request, after the discount; None without a price. Of `request`: per million requests."""
    same_as: str
    """The kind whose price it is, where it has none of its own; else empty."""
    tokens: int
    usd: Decimal
    """Exact, not rounded."""


class Explanation(NamedTuple):
    """What a call costs and why."""

    names: Names
    entry: str
    """The price table's `provider/model`; empty when it has none."""
    confidence: str
    source: str
    """`list`, `contract`, `contract, list`; empty when unpriced."""
    discount_percent: Decimal
    band: int | None
    """The threshold of total input whose prices apply; None: those of short requests."""
    next_band: int | None
    """The total input above which other prices apply."""
    lines: tuple[Line, ...]
    nano_usd: int
    candidates: tuple[str, ...]
    """Names in the table that look alike, where there is no price."""


def explain(book: PriceBook, names: Names, tokens: Tokens, at: int) -> Explanation:
    """Price `tokens` (any of them may be 0) as one call at `at`, Unix nanoseconds.

    An empty provider is taken from the model's name, and is as good as one that was told.
    """
    if not names.provider:
        names = _with_provider(names)
    match, priced = book.match(names), book.priced(names, at)
    quote = book.quote(_call(names, tokens, at))
    entry = f"{match.provider.id}/{match.model.id}" if match is not None else ""
    if priced is None:
        near = tuple(model_names.candidates(names.provider, names.model)) if match is None else ()
        return Explanation(names, entry, quote.confidence, "", Decimal(0), None, None, (), quote.nano_usd, near)
    total = tokens.input + tokens.cache_read + tokens.cache_write + tokens.audio_in + tokens.image
    bands = thresholds(priced.prices)
    band = max((threshold for threshold in bands if total > threshold), default=None)
    share = 1 - priced.discount_percent / 100
    # Long cache writes are among the cache writes: each line shows its own part.
    counts = list(tokens)
    counts[CACHE_WRITE_LONG] = min(tokens.cache_write_long, tokens.cache_write)
    counts[CACHE_WRITE] -= counts[CACHE_WRITE_LONG]
    lines = []
    for kind, count in enumerate(counts):
        key = price_key(priced.prices, kind)
        price = price_above(priced.prices[key], band) * share if key else None
        own = key in (None, PRICE_KEYS[kind][0])
        same_as = "" if own else next(KINDS[other] for other, keys in enumerate(PRICE_KEYS) if keys[0] == key)
        lines.append(Line(KINDS[kind], price, same_as, count, (price or Decimal(0)) * count / 1_000_000))
    if REQUESTS_KEY in priced.prices:
        fee = price_above(priced.prices[REQUESTS_KEY], None) * share
        lines.append(Line(REQUEST, fee * 1000, "", 1, fee / 1000))
    return Explanation(
        names=names,
        entry=entry,
        # Of no tokens the price list's own: here nobody failed to tell them.
        confidence=quote.confidence if any(tokens) else priced.confidence,
        source=priced.source,
        discount_percent=priced.discount_percent,
        band=band,
        next_band=min((threshold for threshold in bands if total <= threshold), default=None),
        lines=tuple(lines),
        nano_usd=quote.nano_usd,
        candidates=(),
    )


def _with_provider(names: Names) -> Names:
    front, model = model_names.split_provider(names.model)
    if front:
        return names._replace(provider=front, model=model)
    maker = model_names.maker_of(model_names.plain_name(names.model))
    return names._replace(provider=maker.id) if maker is not None else names


def _call(names: Names, tokens: Tokens, at: int) -> LlmCall:
    return LlmCall(
        key=b"",
        span=b"",
        at=at,
        agent="",
        team="",
        provider=names.provider,
        model=names.model,
        operation="chat",
        outcome="ok",
        error_type="",
        tokens=tokens,
        duration=None,
        first_token=None,
        service_tier=names.service_tier,
        region=names.region,
        batch=names.batch,
    )
