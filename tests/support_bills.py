"""Bills of OpenAI and Anthropic on loopback: requests are checked, answers are made of their SDKs' types.

Paths, parameters and fields: the SDKs' `types.admin.organization` (OpenAI) and `types.beta.organization` (Anthropic).
Anthropic's own cost report has three fields more than the SDK's twin of it (description, workspace_id, service_tier);
they are as in "Get Cost Report" of its API reference.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints
from urllib.parse import parse_qsl, urlsplit

from anthropic.types.beta import organization as anthropic_types
from anthropic.types.beta.organization.analytics import CostReportListParams
from openai.types.admin import organization as openai_types

from fleetwatch.collect.bills._shelf import iso
from fleetwatch.collect.here import BillAccess, Here

DAY = 86400
TODAY = 20778
"""2026-11-21."""
NOON = TODAY * DAY + DAY / 2
ADMIN_KEY = "sk-admin-loopback-0123456789"

Row = dict[str, Any]


class Asked(NamedTuple):
    """A request as it came; parameters in their order."""

    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]


class Provider(ThreadingHTTPServer):
    """What one provider has on its books, by path and UTC day. A day that nobody named has a bucket without rows."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.books: dict[str, dict[int, list[Row]]] = {}
        self.asked: list[Asked] = []
        self.page_size = 31
        self.reversed_pages = False
        self.repeat_pages = False
        """Whether each page after the first begins with the last bucket of the one before it."""
        self.odd: dict[int, tuple[int, dict[str, str], bytes]] = {}
        """Number of a request (from 0) -> what is answered instead."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(asked)
        number = len(self.asked) - 1
        if number in self.odd:
            return self.odd[number]
        refusal = self.refusal(asked)
        if refusal is not None:
            return refusal[0], {}, json.dumps(refusal[1]).encode()
        query = dict(asked.query)
        first, end = self.days(query)
        days = list(range(first, end))[:: -1 if self.reversed_pages else 1]
        size = min(int(query["limit"]), self.page_size)
        start = int(query.get("page", "page_0").removeprefix("page_"))
        back = 1 if self.repeat_pages and start else 0
        chosen = days[start - back : start + size]
        more = start + size < len(days)
        page = {
            "data": [self.bucket(asked.path, day, self.books.get(asked.path, {}).get(day, [])) for day in chosen],
            "has_more": more,
            "next_page": f"page_{start + size}" if more else None,
        }
        return 200, {}, json.dumps(page | self.extras(), default=str).encode()

    def refusal(self, asked: Asked) -> tuple[int, Any] | None:
        raise NotImplementedError

    def days(self, query: dict[str, str]) -> tuple[int, int]:
        raise NotImplementedError

    def bucket(self, path: str, day: int, rows: list[Row]) -> Any:
        raise NotImplementedError

    def extras(self) -> Row:
        return {}


PARAMETERS = {
    "/v1/organization/costs": openai_types.UsageCostsParams,
    "/v1/organization/usage/completions": openai_types.UsageCompletionsParams,
    "/v1/organization/usage/embeddings": openai_types.UsageEmbeddingsParams,
}


class Openai(Provider):
    def refusal(self, asked: Asked) -> tuple[int, Any] | None:
        given = asked.headers.get("authorization", "")
        if given != f"Bearer {ADMIN_KEY}":
            # The real one repeats the key, with stars in its middle.
            error = {"message": f"Incorrect API key provided: {given}", "code": "invalid_api_key"}
            return 401, {"error": error}
        if asked.path not in PARAMETERS:
            return 404, {"error": {"code": "unknown_url"}}
        hints = get_type_hints(PARAMETERS[asked.path])
        for name, value in asked.query:
            hint = hints.get(name.removesuffix("[]"))
            if hint is None or (name.endswith("[]") and not _allows(hint, value)):
                return 400, {"error": {"code": "unknown_parameter", "param": name}}
        most = 180 if asked.path.endswith("costs") else 31
        if not 1 <= int(dict(asked.query)["limit"]) <= most or dict(asked.query)["bucket_width"] != "1d":
            return 400, {"error": {"code": "invalid_limit"}}
        return None

    def days(self, query: dict[str, str]) -> tuple[int, int]:
        return int(query["start_time"]) // DAY, int(query["end_time"]) // DAY

    def bucket(self, path: str, day: int, rows: list[Row]) -> Any:
        return {"object": "bucket", "start_time": day * DAY, "end_time": (day + 1) * DAY, "results": rows}

    def extras(self) -> Row:
        return {"object": "page"}


GROUPS = {
    "/v1/organizations/cost_report": {"workspace_id", "description"},
    "/v1/organizations/usage_report/messages": {"service_tier", "workspace_id", "model"},
}


class Anthropic(Provider):
    def refusal(self, asked: Asked) -> tuple[int, Any] | None:
        # The reference says X-Api-Key; the SDK sends a bearer token.
        given = asked.headers.get("x-api-key") or asked.headers.get("authorization", "").removeprefix("Bearer ")
        if given != ADMIN_KEY:
            error = {"type": "authentication_error", "message": f"invalid x-api-key {given}"}
            return 401, {"type": "error", "error": error}
        if asked.headers.get("anthropic-version") not in ("2023-06-01", "2026-10-21"):
            return 400, {"type": "error", "error": {"type": "invalid_request_error"}}
        if asked.path not in GROUPS:
            return 404, {"type": "error", "error": {"type": "not_found_error"}}
        names = get_type_hints(CostReportListParams)
        for name, value in asked.query:
            bad = name.removesuffix("[]") not in names
            if bad or (name == "group_by[]" and value not in GROUPS[asked.path]):
                return 400, {"type": "error", "error": {"type": "invalid_request_error"}}
        if not 1 <= int(dict(asked.query)["limit"]) <= 31:
            return 400, {"type": "error", "error": {"type": "invalid_request_error"}}
        return None

    def days(self, query: dict[str, str]) -> tuple[int, int]:
        first, end = (datetime.fromisoformat(query[name]) for name in ("starting_at", "ending_at"))
        return int(first.timestamp()) // DAY, int(end.timestamp()) // DAY

    def bucket(self, path: str, day: int, rows: list[Row]) -> Any:
        times = {"starting_at": f"{iso(day)}T00:00:00Z", "ending_at": f"{iso(day + 1)}T00:00:00Z"}
        return {**times, "results": rows}


def _allows(hint: Any, value: str) -> bool:
    """Whether a list of literals holds the value."""
    literals = {word for part in get_args(hint) for word in (*get_args(part), *_inner(part))}
    return value in literals


def _inner(part: Any) -> tuple[Any, ...]:
    return tuple(word for one in get_args(part) for word in get_args(one))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else head and body of an answer come 40 ms apart
    server: Provider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(parts.path, parse_qsl(parts.query, keep_blank_values=True), headers)
        status, fields, body = self.server.answer(asked)
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **fields}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def serving(provider: Provider) -> Iterator[Provider]:
    with provider as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)


class Clock:
    """A time that a test moves."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def here(folder: Path, name: str, url: str, clock: Clock, **fields: Any) -> Here:
    """A machine that reads one bill, settled 24 h after its day, at most once an hour."""
    key = folder / "admin.key"
    if not key.exists():
        key.write_text(f"{ADMIN_KEY}\n", encoding="utf-8")
    access = BillAccess(url, **{"lag": 86400.0, "refresh": 3600.0, "key_file": key, **fields})
    return Here(bills={name: access}, bills_folder=folder / "bills", bills_days=5, clock=clock)


def openai_cost(usd: object, line: str | None = "gpt-4o, input", project: str | None = "proj_a") -> Row:
    """A row of OpenAI's costs, checked by its SDK's type. usd: as JSON has it."""
    row = {
        "object": "organization.costs.result",
        "amount": {"value": usd, "currency": "usd"},
        "line_item": line,
        "project_id": project,
        "quantity": 1000,
        "quantity_unit": "tokens",
    }
    openai_types.usage_costs_response.DataResultOrganizationCostsResult.model_validate(row)
    return row


def openai_tokens(**counts: int) -> Row:
    """A row of OpenAI's usage of completions, checked by its SDK's type."""
    row = {"object": "organization.usage.completions.result", "num_model_requests": 1, **counts}
    row = {"input_tokens": 0, "output_tokens": 0, **row}
    openai_types.usage_completions_response.DataResultOrganizationUsageCompletionsResult.model_validate(row)
    return row


def openai_embedded(tokens: int) -> Row:
    row = {"object": "organization.usage.embeddings.result", "num_model_requests": 1, "input_tokens": tokens}
    openai_types.usage_embeddings_response.DataResultOrganizationUsageEmbeddingsResult.model_validate(row)
    return row


def anthropic_cost(cents: object, line: str | None = "Claude Sonnet 4 Usage - Input Tokens", **fields: Any) -> Row:
    """A row of Anthropic's cost report, checked by its SDK's type where that has the field."""
    row = {
        "amount": cents,
        "list_amount": cents,
        "currency": "USD",
        "description": line,
        "cost_type": "tokens",
        "context_window": "0-200k",
        "model": "claude-sonnet-4-20250514",
        "token_type": "uncached_input_tokens",
        "service_tier": "standard",
        "inference_geo": "global",
        "workspace_id": "wrkspc_01",
        **fields,
    }
    anthropic_types.BetaAnalyticsCostBucketedResult.model_validate(row)
    return row


def anthropic_tokens(tier: str = "standard", **counts: int) -> Row:
    """A row of Anthropic's usage of messages, checked by its SDK's type where that has the field."""
    row = {
        "uncached_input_tokens": counts.get("input", 0),
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.get("written", 0),
            "ephemeral_1h_input_tokens": counts.get("written_long", 0),
        },
        "cache_read_input_tokens": counts.get("read", 0),
        "output_tokens": counts.get("output", 0),
        "server_tool_use": {"web_search_requests": 0},
        "service_tier": tier,
    }
    anthropic_types.BetaAnalyticsUsageBucketedResult.model_validate(row)
    return row


def utc(day: int, hour: float = 0) -> float:
    """Unix time of an hour of a UTC day."""
    return datetime.fromtimestamp(day * DAY + hour * 3600, UTC).timestamp()
