"""OTLP bodies for benchmarks: real token counts, fresh ids in every body."""

from __future__ import annotations

import csv
import os
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.demo.trace import BUNDLED

MODELS = (
    ("openai", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4o-mini-2024-07-18"),
    ("anthropic", "claude-sonnet-4-5-20250929"),
    ("gcp.gemini", "gemini-2.5-pro"),
)
AGENTS = 20
_ID = 16


class Bodies:
    """Makes bodies of `spans` spans with 13 attributes each; no two spans ever share an id."""

    def __init__(self, spans: int) -> None:
        with BUNDLED.open(encoding="utf-8") as file:
            rows = [row for _, row in zip(range(spans), csv.DictReader(file), strict=False)]
        self.spans = spans
        self._template = bytearray(_request(rows).SerializeToString())
        self._places = [self._find(number) for number in range(spans)]

    def make(self) -> bytes:
        """One body, ready to be sent."""
        body = self._template
        fresh = os.urandom(_ID * self.spans)
        for number, (trace, response) in enumerate(self._places):
            random = fresh[number * _ID : (number + 1) * _ID]
            body[trace : trace + _ID] = random
            body[response : response + 2 * _ID] = random.hex().encode()
        return bytes(body)

    def _find(self, number: int) -> tuple[int, int]:
        return self._template.index(_trace_id(number)), self._template.index(_response_id(number).encode())


def _trace_id(number: int) -> bytes:
    return b"trace" + f"{number:011d}".encode()


def _response_id(number: int) -> str:
    return f"response{number:024d}"


def _request(rows: list[dict[str, str]]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    _set(resource.resource, {"service.name": "bench", "service.instance.id": "1", "team": "platform"})
    scope = resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.genai"
    now = time.time_ns()
    for number, row in enumerate(rows):
        provider, model = MODELS[number % len(MODELS)]
        span = scope.spans.add(
            trace_id=_trace_id(number),
            span_id=number.to_bytes(8, "big") if number else b"firstone",
            name=f"chat {model}",
            kind=3,
            start_time_unix_nano=now - 2 * 10**9,
            end_time_unix_nano=now,
        )
        _set(
            span,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.response.model": model,
                "gen_ai.response.id": _response_id(number),
                "gen_ai.agent.name": f"agent-{number % AGENTS}",
                "gen_ai.usage.input_tokens": int(row["ContextTokens"]),
                "gen_ai.usage.output_tokens": int(row["GeneratedTokens"]),
                "gen_ai.usage.cache_read.input_tokens": int(row["ContextTokens"]) // 2,
                "gen_ai.response.finish_reasons": "stop",
                "gen_ai.request.max_tokens": 4096,
                "server.address": "api.example.com",
                "server.port": 443,
            },
        )
    return request


def _set(target: Resource | Span, attributes: dict[str, str | int]) -> None:
    for key, value in attributes.items():
        attribute = target.attributes.add(key=key)
        if isinstance(value, int):
            attribute.value.int_value = value
        else:
            attribute.value.string_value = value
