"""A span processor that tells other libraries' spans whose they are. Needs OpenTelemetry's SDK.

    provider.add_span_processor(AgentNames())

Instrumentations of LLM clients do not know which agent calls. This one gives every span inside an agent's task that
agent's name, before the library's own attributes; so tokens and costs carry the agent. Where another library has spans
of agents itself, the nearest agent around a span counts. What begins or ends inside a task is progress of that task.
"""

from __future__ import annotations

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from fleetwatch.instrument import names
from fleetwatch.instrument.spans import current_task


class AgentNames(SpanProcessor):
    """Add it before the processors that export."""

    def on_start(self, span: Span, parent_context: otel_context.Context | None = None) -> None:
        task = current_task(parent_context)
        if task is None:
            return
        task.progress()
        told = span.attributes or {}
        if names.AGENT in told:
            return
        around = getattr(trace.get_current_span(parent_context), "attributes", None) or {}
        span.set_attribute(names.AGENT, around.get(names.AGENT) or task.agent.name)
        if task.agent.team and names.TEAM not in told:
            span.set_attribute(names.TEAM, task.agent.team)

    def on_end(self, span: ReadableSpan) -> None:  # noqa: ARG002 - the SDK's signature
        task = current_task()
        if task is not None:
            task.progress()
