"""The bill of an Anthropic organisation: costs by workspace and description, and the tokens of messages.

bill_line_usd{provider="anthropic",account="wrkspc_01",line="Claude Sonnet 4 Usage - Input Tokens"} 1.2378912
bill_uncosted_tokens{provider="anthropic",window="1d"} 0

Interface: "Usage and Cost API" of Anthropic's administration API. Amounts are cents as decimal texts. What the Priority
Tier costs is on no cost report; its tokens are on the usage report and are shown apart. Needs an admin key, which only
organisations have.
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
    moment,
    named,
    rows_of,
    take_costs,
)
from fleetwatch.collect.bills._shelf import iso
from fleetwatch.collect.runner import source
from fleetwatch.reckon.bills import nano

COSTS = "/v1/organizations/cost_report"
USAGE = "/v1/organizations/usage_report/messages"
VERSION = "2023-06-01"
"""The one that the reports are documented with. What a version answers stays as it is."""
MOST_DAYS = 31
"""Buckets that a page may have."""
CENTS = 100

_NO_COST = "priority"
"""The service tier that is billed by commitment."""


@source(interval=300, timeout=120)
class Anthropic(KeyedSource):
    """Reads all days of the span each time: a provider changes past days."""

    provider = "anthropic"
    permission = "admin_api_key"
    fix = "Make an admin key (sk-ant-admin…; Claude Console, Settings, Admin keys; organisations only) and put it into"

    def headers(self, key: str) -> dict[str, str]:
        return {"X-Api-Key": key, "anthropic-version": VERSION}

    def report(self, api: Api, found: Reading) -> None:
        found.part(lambda: _costs(api, found))
        found.part(lambda: _tokens(api, found))


def _query(span: Span, *more: tuple[str, str]) -> Query:
    days = str(min(span.end - span.start, MOST_DAYS))
    times = [("starting_at", f"{iso(span.start)}T00:00:00Z"), ("ending_at", f"{iso(span.end)}T00:00:00Z")]
    return [*times, ("bucket_width", "1d"), *more, ("limit", days)]


def _costs(api: Api, found: Reading) -> None:
    query = _query(found.span, ("group_by[]", "workspace_id"), ("group_by[]", "description"))
    take_costs(api.pages(COSTS, query), COSTS, found, _day, _cost_rows)


def _cost_rows(bucket: Mapping[str, Any]) -> Iterable[tuple[str, str, int]]:
    for row in rows_of(bucket):
        check_currency(row.get("currency"))
        amount = row.get("amount")
        if not isinstance(amount, str):
            raise ValueError(f"amount: expected cents as a decimal text, got {amount!r:.60}")
        yield named(row, "workspace_id", NO_ACCOUNT), named(row, "description", "all"), nano(amount, CENTS)


def _tokens(api: Api, found: Reading) -> None:
    by_day: dict[int, tuple[dict[str, int], int]] = {}
    for page in api.pages(USAGE, _query(found.span, ("group_by[]", "service_tier"))):
        for bucket in buckets_of(page, USAGE):
            rows = rows_of(bucket)
            uncosted = added(_kinds(row) for row in rows if row.get("service_tier") == _NO_COST)
            # A day that comes again on another page takes its own place.
            by_day[_day(bucket, USAGE, found)] = (added(map(_kinds, rows)), sum(uncosted.values()))
    found.tokens = by_day


def _kinds(row: Mapping[str, Any]) -> dict[str, int]:
    """Anthropic's kinds do not overlap."""
    written = row.get("cache_creation")
    if written is not None and not isinstance(written, dict):
        raise ValueError(f"cache_creation: expected an object or null, got {written!r:.60}")
    lasting = written or {}
    return {
        "input": count(row, "uncached_input_tokens"),
        "cache_read": count(row, "cache_read_input_tokens"),
        "cache_write": count(lasting, "ephemeral_5m_input_tokens") + count(lasting, "ephemeral_1h_input_tokens"),
        "output": count(row, "output_tokens"),
    }


def _day(bucket: Mapping[str, Any], where: str, found: Reading) -> int:
    start = moment(bucket.get("starting_at"), f"{where}: starting_at")
    return found.whole_day(start, moment(bucket.get("ending_at"), f"{where}: ending_at"), where)
