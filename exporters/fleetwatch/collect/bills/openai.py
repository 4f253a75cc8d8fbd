"""The bill of an OpenAI organisation: costs by project and line item, and the tokens of chats and embeddings.

bill_line_usd{provider="openai",account="proj_abc",line="gpt-4o-2024-08-06, input"} 12.5
bill_settled_timestamp_seconds{provider="openai"} 1.7950464e+09

Interface: "Costs" and "Usage" of OpenAI's administration API. Costs come by UTC day only. Needs an admin key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fleetwatch.collect.bills._api import Api, Query
from fleetwatch.collect.bills._keyed import KeyedSource
from fleetwatch.collect.bills._reading import (
    NO_ACCOUNT,
    Reading,
    Span,
    added,
    buckets_of,
    check_currency,
    count,
    named,
    rows_of,
    take_costs,
)
from fleetwatch.collect.runner import source
from fleetwatch.reckon.bills import DAY, nano

COSTS = "/v1/organization/costs"
USAGE = ("/v1/organization/usage/completions", "/v1/organization/usage/embeddings")
MOST_DAYS = 31
"""Buckets that a page of the usage may have."""


@source(interval=300, timeout=120)
class Openai(KeyedSource):
    """Reads all days of the span each time: a provider changes past days."""

    provider = "openai"
    permission = "api.usage.read"
    fix = (
        "Make an admin key with the right to read usage (platform.openai.com, Organization, Admin keys) and put it into"
    )

    def headers(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def report(self, api: Api, found: Reading) -> None:
        found.part(lambda: _costs(api, found))
        found.part(lambda: _tokens(api, found))


def _query(span: Span, *more: tuple[str, str]) -> Query:
    days = str(min(span.end - span.start, MOST_DAYS))
    times = [("start_time", str(span.start * DAY)), ("end_time", str(span.end * DAY))]
    return [*times, ("bucket_width", "1d"), *more, ("limit", days)]


def _costs(api: Api, found: Reading) -> None:
    query = _query(found.span, ("group_by[]", "project_id"), ("group_by[]", "line_item"))
    take_costs(api.pages(COSTS, query), COSTS, found, _day, _cost_rows)


def _cost_rows(bucket: Mapping[str, Any]) -> Iterable[tuple[str, str, int]]:
    for row in rows_of(bucket):
        amount = row.get("amount")
        if not isinstance(amount, dict):
            raise ValueError(f"amount: expected a value and a currency, got {amount!r:.60}")
        check_currency(amount.get("currency"))
        yield named(row, "project_id", NO_ACCOUNT), named(row, "line_item", "all"), nano(amount.get("value"))


def _tokens(api: Api, found: Reading) -> None:
    """Chats and embeddings together: one without the other would be too little."""
    by_report: list[dict[int, dict[str, int]]] = []
    for path in USAGE:
        days: dict[int, dict[str, int]] = {}
        for page in api.pages(path, _query(found.span)):
            for bucket in buckets_of(page, path):
                # A day that comes again on another page takes its own place.
                days[_day(bucket, path, found)] = added(map(_kinds, rows_of(bucket)))
        by_report.append(days)
    every = sorted({day for days in by_report for day in days})
    found.tokens = {day: (added(days.get(day, {}) for days in by_report), 0) for day in every}


def _kinds(row: Mapping[str, Any]) -> dict[str, int]:
    """Kinds that do not overlap: what was read from or written to a cache, and audio, are part of input_tokens.

    Answers of older kinds have neither input_uncached_tokens nor cache writes.
    """
    cache_read = count(row, "input_cached_tokens")
    retained = count(row, "input_cache_write_30m_tokens") + count(row, "input_cache_write_12h_tokens")
    cache_write = max(count(row, "input_cache_write_tokens"), retained)
    uncached = max(0, count(row, "input_tokens") - cache_read - cache_write)
    if row.get("input_uncached_tokens") is not None:
        uncached = count(row, "input_uncached_tokens")
    audio_in = min(count(row, "input_audio_tokens"), uncached)
    image = min(count(row, "input_image_tokens"), uncached - audio_in)
    output = count(row, "output_tokens")
    audio_out = min(count(row, "output_audio_tokens"), output)
    return {
        "input": uncached - audio_in - image,
        "cache_read": cache_read,
        "cache_write": cache_write,
        "output": output - audio_out,
        "audio_in": audio_in,
        "audio_out": audio_out,
        "image": image,
    }


def _day(bucket: Mapping[str, Any], where: str, found: Reading) -> int:
    start, end = bucket.get("start_time"), bucket.get("end_time")
    if not isinstance(start, int) or not isinstance(end, int):
        raise ValueError(f"{where}: start_time, end_time: expected Unix seconds, got {start!r:.30}, {end!r:.30}")
    return found.whole_day(start, end, where)
