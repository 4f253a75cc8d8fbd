"""What one LLM call costs.

Contract prices first, then the list prices of genai-prices at the call's own time: token kinds, context tiers, service
tier, batch, time of day. A call's cost is exact to half a nano-USD: integer arithmetic, rounded once, half up.

How sure a cost is (`confidence`):

- `priced`: list or contract price of this model and this way of calling it.
- `reported`: no price known; the sender's own figure.
- `estimated`: a price that may be off. A near model (name without its date, `-latest` or `-preview`); a provider told
  by nothing but the model's name; a maker's price for a model that Azure sells at its own; a service tier or batch for
  which the table has only the standard price; audio where only text has a price, long cache writes where only short
  ones have; a region whose price the table does not have; a contract price used for a batch or special tier;
  aggregated sources.
- `unpriced`: no price, or no token counts of a call that went well and is priced by its tokens (some senders tell none
  of streams); the cost is 0 and must not be shown as known. A call that failed without a token costs nothing.

Cached input without a cache price costs what input costs and image tokens what text tokens cost, as the providers bill
it; both are `priced`. A model that the table lists with no price at all is free when its name ends with `:free`, else
unpriced.

Regions: the table knows Bedrock's `global.` and regional inference profiles, by their names, at the prices of AWS's US
regions: other Bedrock models called elsewhere are `estimated`. It has no regional price of Vertex AI: models that
Google resells (Claude) cost 10 % more outside `global` and are `estimated` there. It has none of Azure's either, and
Azure's deployment type (global, data zone, region) is not in telemetry: Azure costs are the global list price.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import partial
from importlib.metadata import version
from operator import itemgetter
from typing import NamedTuple

from genai_prices.data import providers as PROVIDERS  # noqa: N812 - the table is a constant

from fleetwatch.reckon import model_names, periods
from fleetwatch.reckon.override import Override
from fleetwatch.reckon.rate_card import PriceList, RateCard, compile_card
from fleetwatch.records.llm import LlmCall

__all__ = [
    "ESTIMATED",
    "PRICED",
    "REPORTED",
    "UNPRICED",
    "Names",
    "Override",
    "PriceBook",
    "Priced",
    "Quote",
    "released",
]

PRICED, REPORTED, ESTIMATED, UNPRICED = "priced", "reported", "estimated", "unpriced"

CACHE_SIZE = 8192
"""Names (of provider, model, tier, region together) remembered, known and unknown; then all are forgotten at once."""
LONGEST_KEY = 1024
"""Characters of names together that are worth remembering."""

# Names of the ordinary price. `auto` is what the request asked; OpenAI answers with the tier that was used.
STANDARD_TIERS = frozenset({"", "default", "standard", "auto", "standard_only", "on_demand"})
TIER_NAMES = {"on_demand_flex": "flex", "on_demand_priority": "priority"}  # Vertex AI's traffic types

# When the versions of the price table were published, by their package index: the data itself carries no date.
RELEASED = {"0.2.3": datetime.datetime(2026, 11, 10, 21, 51, 41, tzinfo=datetime.UTC)}


class Quote(NamedTuple):
    """What a call costs."""

    nano_usd: int
    confidence: str


class Names(NamedTuple):
    """All of a call that decides which prices it gets, besides its time."""

    provider: str
    model: str
    service_tier: str = ""
    batch: bool = False
    region: str = ""


class Priced(NamedTuple):
    """The prices of some names at some time."""

    prices: PriceList
    """US dollars by the price table's keys, before the discount."""
    confidence: str
    source: str
    """`list`, `contract`, or `contract, list` when a contract names only some of the kinds."""
    discount_percent: Decimal = Decimal(0)


class _Current(NamedTuple):
    """What is remembered for some names: valid for start <= time < end, Unix nanoseconds."""

    start: int
    end: int
    card: RateCard | None
    confidence: str
    plan: _Plan | None


# Quote(...) would pass through a Python function: a tenth of the time of a quote.
_quote: Callable[[tuple[int, str]], Quote] = partial(tuple.__new__, Quote)
# One call in C instead of five attribute look-ups.
_names_of: Callable[[LlmCall], tuple[str, str, str, bool, str]] = itemgetter(*map(LlmCall._fields.index, Names._fields))
_UNKNOWN = _Current(periods.EARLIEST, periods.LATEST, None, UNPRICED, None)


class PriceBook:
    """Prices calls. Not for use by several threads at once.

    overrides: contract prices. models: deployment or alias to `model` or `provider/model`.
    ValueError for an override that cannot be meant.
    """

    source = "genai-prices"

    def __init__(self, overrides: Sequence[Override] = (), models: Mapping[str, str] | None = None) -> None:
        for number, override in enumerate(overrides):
            override.check(f"prices.overrides[{number}]")
        # A stable sort: the order of the settings within exact names and within prefixes.
        self._overrides = sorted(overrides, key=lambda item: item.is_prefix)
        self._models = {name.lower(): target for name, target in (models or {}).items()}
        self._current: dict[tuple[str, str, str, bool, str], _Current] = {}
        self._plans: dict[object, _Plan] = {}
        self.version = version("genai-prices")
        self.checked = released(self.version)
        """When this version of the price table was released, Unix seconds."""

    def quote(self, call: LlmCall, *, estimated: bool = False) -> Quote:
        """Cost of a call. estimated: its tokens come from an aggregate, so say no more than `estimated`.

        Where a record stands for several requests, the context tier is that of their mean; where nobody knows how many
        they are (0), the lowest: the tokens of a day are not one long request.
        """
        names = _names_of(call)
        current = self._current.get(names)
        if current is None or not current[0] <= call.at < current[1]:
            current = self._look_up(Names(*names), call.at, current)
        card = current[2]
        if card is None:
            return _without_price(call)
        rates, bands, denominator, half, per_request, all_unsure, unsure, _ = card
        tokens = call.tokens
        fresh, cached, written, output, reasoning, audio_in, audio_out, image, written_long = tokens
        if bands and call.requests:
            total = fresh + cached + written + audio_in + image
            for threshold, above in bands:
                if total > threshold * call.requests:
                    rates = above
                    break
        cost = fresh * rates[0] + cached * rates[1] + output * rates[3]
        if written or reasoning or image:
            cost += written * rates[2] + reasoning * rates[4] + image * rates[7]
        if audio_in or audio_out or written_long:
            long = min(written, written_long)
            cost += audio_in * rates[5] + audio_out * rates[6] + long * rates[8]
            unsure = all_unsure
        if per_request:
            cost += per_request * call.requests
        elif not cost and not estimated and _untold(call) and any(rates):
            return _without_price(call)
        confidence = current[3]
        for kind in unsure:
            if tokens[kind]:
                if card.knows_none_of(tokens):
                    return _without_price(call)
                confidence = ESTIMATED
                break
        return _quote(((cost + half) // denominator, ESTIMATED if estimated else confidence))

    def priced(self, names: Names, at: int) -> Priced | None:
        """The price list behind `quote`, for people. at: Unix nanoseconds."""
        plan = self._plan(names)
        return plan.priced(at) if plan is not None else None

    def match(self, names: Names) -> model_names.Match | None:
        """The price table's entry for these names, after the mapping of deployments."""
        return model_names.find(*self._mapped(names))

    def _look_up(self, names: Names, at: int, known: _Current | None) -> _Current:
        plan = known.plan if known is not None else self._plan(names)
        current = plan.current(at) if plan is not None else _UNKNOWN
        if len(self._current) >= CACHE_SIZE:
            self._current.clear()
        if sum(map(len, (names.provider, names.model, names.service_tier, names.region))) <= LONGEST_KEY:
            self._current[names] = current
        return current

    def _mapped(self, names: Names) -> tuple[str, str]:
        target = self._models.get(names.model.lower())
        if target is None:
            return names.provider, names.model
        provider, model = model_names.split_provider(target)
        return provider or names.provider, model

    def _plan(self, names: Names) -> _Plan | None:
        """The plan of these names; plans are shared, so their number is bounded by the table and the overrides."""
        provider, model = self._mapped(names)
        match = model_names.find(provider, model)
        spellings = {names.model.lower(), model.lower(), model_names.plain_name(model).lower()}
        providers = {names.provider.lower(), provider.lower()}
        overrides = tuple(item for item in self._overrides if item.names(providers, spellings))
        if match is None and not overrides:
            return None
        context, special = _context(match, names)
        sure = match is not None and match.exact and not _region_in_doubt(match, names.region)
        identity = (match and (match.provider.id, id(match.model)), overrides, tuple(context.items()), special, sure)
        plan = self._plans.get(identity)
        if plan is None:
            plan = self._plans[identity] = _Plan(match, overrides, context, special, sure)
        return plan


class _Plan:
    """Prices of one model in one request context over time, compiled when first asked for."""

    def __init__(
        self,
        match: model_names.Match | None,
        overrides: tuple[Override, ...],
        context: Mapping[str, str],
        special: frozenset[str],
        sure: bool,
    ) -> None:
        """special: request context beside the standard, which the table may not price; sure: the entry is exact."""
        self._match, self._overrides, self._sure = match, overrides, sure
        self._context, self._special = context, special
        self._constraints: list[periods.Constraint] = []
        if match is not None:
            bases = match.model.prices if isinstance(match.model.prices, list) else []
            conditions = [item.constraint for item in (*bases, *(match.model.price_variants or ()))]
            self._constraints = [item for item in conditions if item is not None]
        one_day = datetime.timedelta(days=1)
        starts = [item.valid_from for item in overrides if item.valid_from]
        ends = [item.valid_to + one_day for item in overrides if item.valid_to and item.valid_to < datetime.date.max]
        self._changes = periods.changes(self._constraints, (*starts, *ends))
        # One card per combination of conditions met, however often a time of day comes round.
        self._cards: dict[object, tuple[RateCard | None, str]] = {}

    def current(self, at: int) -> _Current:
        start, end = self._changes.around(at)
        time = periods.moment(at)
        combination = (self._override(time.date()), *(item.active(time) for item in self._constraints))
        if combination not in self._cards:
            priced = self.priced(at)
            factor = Fraction(1)
            if priced is not None:
                factor -= Fraction(priced.discount_percent) / 100
            card = compile_card(priced.prices, factor) if priced is not None else None
            self._cards[combination] = (card, priced.confidence if priced is not None else UNPRICED)
        card, confidence = self._cards[combination]
        return _Current(start, end, card, confidence, self)

    def priced(self, at: int) -> Priced | None:
        time = periods.moment(at)
        prices, confidence = self._list_prices(time)
        override = self._override(time.date())
        if override is None:
            return Priced(prices, confidence, "list") if prices else None
        if override.discount_percent is not None:
            return Priced(prices, confidence, "contract", override.discount_percent) if prices else None
        whole = override.input is not None and override.output is not None
        sure = not self._special and (whole or not prices or confidence == PRICED)
        source = "contract" if whole or not prices else "contract, list"
        return Priced({**prices, **override.prices}, PRICED if sure else ESTIMATED, source)

    def _override(self, day: datetime.date) -> Override | None:
        return next((item for item in self._overrides if item.valid_on(day)), None)

    def _list_prices(self, time: datetime.datetime) -> tuple[PriceList, str]:
        if self._match is None:
            return {}, UNPRICED
        model = self._match.model
        context = self._context if self._match.own else {}  # the maker's variants are not the reseller's
        found = model.get_prices(time, context)
        prices = {key: value for key, value in vars(found).items() if value is not None}
        if not prices and model.id.endswith(":free"):
            prices = {"input_mtok": Decimal(0), "output_mtok": Decimal(0)}
        variants = [
            item for item in model.price_variants or () if item.constraint is None or item.constraint.active(time)
        ]
        answered = {key for item in variants if item.when.items() <= context.items() for key in item.when}
        return prices, PRICED if self._sure and self._special <= answered else ESTIMATED


def released(table_version: str) -> int:
    """When a version of the price table was released, Unix seconds.

    For a version that RELEASED does not know, the newest day on which the table's notes say that a price was checked:
    it was released on that day or later, so its age is never understated.
    """
    known = RELEASED.get(table_version)
    if known is None:
        comments = [item.price_comments for item in PROVIDERS]
        comments += [model.price_comments for item in PROVIDERS for model in item.models]
        notes = " ".join(filter(None, comments))
        days = re.findall(r"(?:[Cc]hecked|[Aa]s of)(?: on)? (20\d\d-[01]\d-[0-3]\d)", notes)
        known = datetime.datetime.fromisoformat(max(days, default="1970-01-01")).replace(tzinfo=datetime.UTC)
    return int(known.timestamp())


def _without_price(call: LlmCall) -> Quote:
    if call.reported_cost is not None:
        return Quote(call.reported_cost, REPORTED)
    # A call that failed without a token costs nothing, whatever the model: a mistyped name lacks no price.
    return Quote(0, PRICED if call.outcome != "ok" and not any(call.tokens) else UNPRICED)


def _untold(call: LlmCall) -> bool:
    """Whether the tokens of a call that went well are not told. (One point of an aggregate tells calls or tokens.)"""
    return call.outcome == "ok" and not any(call.tokens)


def _context(match: model_names.Match | None, names: Names) -> tuple[dict[str, str], frozenset[str]]:
    """(request context in the price table's words, its keys that ask for more than the standard price)."""
    tier = names.service_tier.strip().lower()
    tier = TIER_NAMES.get(tier, tier)
    wanted = {"processing": "batch"} if names.batch or tier == "batch" else {}
    if tier not in STANDARD_TIERS and tier != "batch":
        anthropic_speed = tier == "fast" and match is not None and match.provider.id == "anthropic"
        wanted["speed" if anthropic_speed else "service_tier"] = tier
    variants = match.model.price_variants or () if match is not None else ()
    known = {pair for item in variants for pair in item.when.items()}
    return {key: value for key, value in wanted.items() if (key, value) in known}, frozenset(wanted)


def _region_in_doubt(match: model_names.Match, region: str) -> bool:
    """Whether the table lacks the price of this region; see the top of this file."""
    region = region.strip().lower()
    if not region:
        return False
    if match.provider.id == "google":
        return match.model.id.startswith("claude") and region != "global"
    if match.provider.id == "aws":
        named = match.model.id.startswith(("global.", "regional."))
        return not named and (not region.startswith("us-") or region.startswith("us-gov"))
    return False
