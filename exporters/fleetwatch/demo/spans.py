"""Calls as spans of the OpenTelemetry SDK, with the newest attribute names of the GenAI conventions."""

from __future__ import annotations

import time
from collections.abc import Iterable

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from fleetwatch.demo.calls import Call

_SECOND = 1_000_000_000
_MASK = (1 << 64) - 1


class _CallIds(IdGenerator):
    """Ids that follow from the call: the same call of the same run has the same ids, so a receiver knows it again."""

    seed = 1

    def generate_trace_id(self) -> int:
        return (self.seed << 64) | (self.seed ^ _MASK) or 1

    def generate_span_id(self) -> int:
        return self.seed or 1


class _Collector(SpanProcessor):
    """Keeps ended spans until they are taken.

    The SDK's BatchSpanProcessor drops spans when its queue is full and when its exporter's deadline passes; a replay
    must lose none.
    """

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing to do."""

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)

    def shutdown(self) -> None:
        """Nothing is held that must be closed."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's signature
        """True: nothing waits here."""
        return True


class SpanMaker:
    """Makes finished spans of calls; one tracer provider for each team, as one service of it would have."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._ids = _CallIds()
        self._collector = _Collector()
        self._tracers: dict[str, Tracer] = {}

    def spans(self, calls: Iterable[Call]) -> list[ReadableSpan]:
        """Spans of the calls, which all end now."""
        now = time.time_ns()
        for call in calls:
            self._ids.seed = call.seed
            span = self._tracer(call.agent.team).start_span(
                f"{call.model.operation} {call.model.requested}",
                context=Context(),
                kind=SpanKind.CLIENT,
                attributes=attributes_of(call),
                start_time=now - int(call.duration * _SECOND),
            )
            if call.error_type:
                span.set_status(Status(StatusCode.ERROR, "the demo's share of failures"))
            span.end(now)
        taken, self._collector.ended = self._collector.ended, []
        return taken

    def _tracer(self, team: str) -> Tracer:
        if team not in self._tracers:
            resource = Resource(
                {
                    "service.name": f"{team}-agents",
                    "service.namespace": team,
                    "service.instance.id": f"replay-{self._run_id}",
                    "team": team,
                }
            )
            provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
            provider.add_span_processor(self._collector)
            self._tracers[team] = provider.get_tracer("fleetwatch.replay")
        return self._tracers[team]


def attributes_of(call: Call) -> dict[str, AttributeValue]:
    """A call in the words of the conventions."""
    model = call.model
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": model.operation,
        "gen_ai.provider.name": model.provider,
        "gen_ai.request.model": model.requested,
        "gen_ai.agent.name": call.agent.name,
        "server.address": model.address,
    }
    if model.region:
        attributes["aws.region"] = model.region
    if call.error_type:
        attributes["error.type"] = call.error_type
        return attributes
    attributes |= {
        "gen_ai.response.model": model.answered,
        "gen_ai.response.id": f"replay-{call.seed:016x}",
        "gen_ai.usage.input_tokens": call.input,
    }
    if model.operation == "embeddings":
        return attributes
    attributes["gen_ai.usage.output_tokens"] = call.output
    attributes["gen_ai.response.finish_reasons"] = [call.finish_reason]
    if call.cache_read:
        attributes["gen_ai.usage.cache_read.input_tokens"] = call.cache_read
    if call.cache_write:
        attributes["gen_ai.usage.cache_write.input_tokens"] = call.cache_write
    if call.reasoning:
        attributes["gen_ai.usage.reasoning.output_tokens"] = call.reasoning
    if call.first_token is not None:
        attributes["gen_ai.request.stream"] = True
        attributes["gen_ai.response.time_to_first_chunk"] = call.first_token
    if call.service_tier:
        attributes["openai.response.service_tier"] = call.service_tier
    return attributes
