"""Results of evaluations: the event `gen_ai.evaluation.result`, inside a span or as a log record."""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_genai_names import provider_of
from fleetwatch.dialects.parts.dialect import EARLIEST, MAX_LEAD, Batch
from fleetwatch.dialects.parts.text import UNKNOWN, clean, number
from fleetwatch.records.agents import Evaluation

EVALUATION: Final = "gen_ai.evaluation.result"
"""Name of the event."""
MAX_VERDICT: Final = 40
"""Characters of a verdict; a longer one is an explanation."""

_FIELDS: Final = {
    "gen_ai.evaluation.name": "name",
    "gen_ai.evaluation.score.value": "score",
    "gen_ai.evaluation.score.label": "verdict",
    "gen_ai.response.id": "response",
    "gen_ai.agent.name": "agent",
    "gen_ai.provider.name": "provider",
    "gen_ai.response.model": "model",
    "gen_ai.request.model": "asked",
}

READ: Final = frozenset(_FIELDS)
"""Attributes of the event that are read."""


def evaluated_by_span(span: Span, agent: str, team: str, provider: str, model: str, batch: Batch) -> None:  # noqa: PLR0917 - what is evaluated, in the order of the record
    """The evaluations among a span's events into the batch. agent … model: of the span, for what an event omits."""
    for event in span.events:
        if event.name == EVALUATION:
            ids = span.trace_id + span.span_id
            _add(
                event.attributes,
                ids,
                event.time_unix_nano,
                Evaluation(b"", 0, agent, team, provider, model, "", None, ""),
                batch,
            )


def evaluation_of_event(  # noqa: PLR0917 - as above
    attributes: Iterable[KeyValue], ids: bytes, at: int, agent: str, team: str, batch: Batch
) -> None:
    """The evaluation of a log record into the batch. ids: trace and span id as sent, may be empty."""
    _add(attributes, ids, at, Evaluation(b"", 0, agent, team, UNKNOWN, UNKNOWN, "", None, ""), batch)


def _add(attributes: Iterable[KeyValue], ids: bytes, at: int, base: Evaluation, batch: Batch) -> None:
    found: dict[str, AnyValue] = {}
    for item in attributes:
        if field := _FIELDS.get(item.key):
            found.setdefault(field, item.value)

    def text(field: str) -> str:
        return clean(found[field].string_value) if field in found else ""

    score = number(found["score"]) if "score" in found else None
    if score is not None and not math.isfinite(score):
        score = None
    verdict = text("verdict")[:MAX_VERDICT].lower()
    if score is None and not verdict:
        return  # the evaluator failed
    batch.newest = max(batch.newest, at)
    if not EARLIEST <= at <= batch.now + MAX_LEAD:
        batch.reject("bad_time")
        return
    name = text("name") or UNKNOWN
    # An evaluator may judge one span many times and say the same, so the time belongs to the identity. The bridge of
    # the SDKs from log records to span events keeps it.
    parts = (ids.hex(), text("response"), str(at), name, verdict, repr(score))
    batch.records.append(
        base._replace(
            key=blake2b("\0".join(parts).encode(), digest_size=24).digest(),
            at=at,
            agent=text("agent") or base.agent,
            provider=provider_of(found["provider"].string_value) if "provider" in found else base.provider,
            model=text("model") or text("asked") or base.model,
            name=name,
            score=score,
            verdict=verdict,
        )
    )
