"""Providers that bill a fleet for the past days, and the ledger of an exporter that has run for as long.

The bills are made up, their way is the real one: the exporter reads them over HTTP from interfaces made of the vendors'
own types. OpenAI's agrees with what was metered, Anthropic's does not and leaves a part out.

with billing_providers(folder) as settings:
    ...  # settings: sections for the exporter, whose data is in folder / "data"
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from fleetwatch.app import llm_series
from fleetwatch.collect.bills.anthropic import COSTS, USAGE
from fleetwatch.ledger import Ledger
from fleetwatch.meter import Meter
from fleetwatch.reckon.bills import day_of
from fleetwatch.records.llm import LlmCall
from support_bills import (
    ADMIN_KEY,
    Anthropic,
    Openai,
    anthropic_cost,
    anthropic_tokens,
    openai_cost,
    openai_tokens,
    serving,
    utc,
)
from support_ledger import BOOK
from support_llm import call

OPENAI_COSTS = "/v1/organization/costs"
CHATS = "/v1/organization/usage/completions"
DAYS = 10
CALLS = 20
"""Of each provider on each day."""
EARLIER = 2 * DAYS * CALLS
"""Calls that the ledger knows before the fleet makes its first."""
OF_OPENAI = Decimal("0.00035")
"""US dollars of one call; see support_ledger."""


@contextlib.contextmanager
def billing_providers(folder: Path) -> Iterator[dict[str, Any]]:
    """Until the block ends."""
    days = range(day_of(time.time()) - DAYS, day_of(time.time()))
    data, key = folder / "data", folder / "admin.key"
    key.parent.mkdir(parents=True, exist_ok=True)
    key.write_text(ADMIN_KEY, encoding="utf-8")
    _run_for(data, [_call(day, name) for day in days for name in ("openai", "anthropic") for _ in range(CALLS)])
    with serving(Openai()) as openai, serving(Anthropic()) as anthropic:
        dear, cheap = CALLS * OF_OPENAI * Decimal("0.7"), CALLS * OF_OPENAI * Decimal("0.3")
        chats = openai_tokens(input_tokens=100 * CALLS, output_tokens=10 * CALLS, num_model_requests=CALLS)
        openai.books = {
            OPENAI_COSTS: {
                day: [openai_cost(str(dear)), openai_cost(str(cheap), "gpt-4o, output", "proj_b")] for day in days
            },
            CHATS: {day: [chats] for day in days},
        }
        anthropic.books = {
            COSTS: {day: [anthropic_cost("0.2")] for day in days},
            USAGE: {day: [anthropic_tokens(input=1500), anthropic_tokens("priority", output=200)] for day in days},
        }
        yield {
            "bills": {
                "openai": {"key_file": str(key), "url": openai.address, "lag": "1s"},
                "anthropic": {"key_file": str(key), "url": anthropic.address, "lag": "1s"},
                "least_usd": 0,
            }
        }


def _run_for(data: Path, calls: list[LlmCall]) -> None:
    """The ledger of an exporter that counted these calls, and whose series Prometheus has seen: they are no growth."""
    data.mkdir(parents=True)
    ledger = Ledger(data / "ledger.db", BOOK)
    ledger.commit(calls)
    meter = Meter()
    for labels, total in ledger.take():
        llm_series.count(meter, labels, total)
    shown = [series for _, known, _ in meter.snapshot() for series in known]
    ledger.checkpoint([(series.metric.prometheus, series.labels) for series in shown])
    ledger.close()


def _call(day: int, provider: str) -> LlmCall:
    model = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5"}[provider]
    return call(at=int(utc(day, 12) * 10**9), provider=provider, model=model)
