"""Spans of the GenAI conventions for tests, what becomes of them, and records as lines to compare."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects import Record, Translation, translate_logs, translate_traces
from fleetwatch.receive.body import from_json
from fleetwatch.records.agents import AgentRun, Evaluation, Step, ToolCall
from fleetwatch.records.llm import LlmCall, UsagePoint
from fleetwatch.records.pipelines import PhaseReport, RunReport
from support_otlp import FIXTURES, NOW, key_values, span, traces_of

M = TypeVar("M", bound=Message)
R = TypeVar("R")

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
USED = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
DIALECTS = FIXTURES.parent / "dialects"

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=30)
    | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
"""Attribute values of every kind."""


def read(*spans: Span, **resource: str) -> Translation:
    return translate_traces(traces_of(spans, resource) if resource else traces_of(spans), NOW)


def call(attributes: dict[str, Any], **fields: Any) -> LlmCall:
    """The one call of a span with these attributes."""
    return only(LlmCall, read(span(attributes, **fields)).records)


def only(kind: type[R], records: Iterable[Record]) -> R:
    """The one record, which is of this kind."""
    (record,) = records
    assert isinstance(record, kind)
    return record


def read_events(*events: LogRecord, scope: str = "") -> Translation:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(
        key_values({"service.name": "triage", "service.namespace": "support", "service.instance.id": "pod-1"})
    )
    logs = group.scope_logs.add()
    logs.scope.name = scope
    logs.log_records.extend(events)
    return translate_logs(request, NOW)


def captured(name: str, kind: type[M]) -> M:
    """The request in tests/fixtures/dialects/NAME.json, through the receiver's own reader."""
    return from_json(Path(DIALECTS / f"{name}.json").read_bytes(), kind)


def lines(found: Translation) -> str:
    """A line for each record, and what was refused. Ids are the numbers that they hold; digests are counted."""
    seen: dict[bytes, int] = {}

    def mark(digest: bytes) -> str:
        return f"#{seen.setdefault(digest, len(seen) + 1)}" if digest else "-"

    told = [
        _report_line(record, mark) if isinstance(record, RunReport | PhaseReport) else _line(record, mark)
        for record in found.records
    ]
    told += [f"refused {reason} {items}" for reason, items in sorted(found.rejected.items())]
    told += [f"unknown version {dialect} {items}" for dialect, items in sorted(found.unknown_versions.items())]
    return "".join(f"{line}\n" for line in told)


def _line(record: Record, mark: Any) -> str:
    if isinstance(record, UsagePoint):
        return f"usage {mark(record.stream)} {record.cumulative} {_call_line(record.call, mark)}"
    if isinstance(record, Evaluation):
        what: tuple[object, ...] = (
            record.agent,
            record.provider,
            record.model,
            record.name,
            record.score,
            record.verdict,
        )
        return f"evaluation {mark(record.key)} {what}"
    assert isinstance(record, LlmCall | AgentRun | ToolCall | Step), record
    place = "/".join(_short(span_id, mark) for span_id in (record.parent, record.span[16:]))
    if isinstance(record, Step):
        return f"step {place}"
    who = f"{place} {record.agent}/{record.team}"
    if isinstance(record, AgentRun):
        return f"run {who} {record.outcome} {record.exit_reason}"
    if isinstance(record, ToolCall):
        digests = f"arguments {mark(record.arguments)} result {mark(record.result)} id {mark(record.call_id)}"
        return f"tool {who} {record.tool} {record.outcome} {record.error_type or '-'} {digests}"
    return f"call {who} {_call_line(record, mark)}"


def _report_line(record: RunReport | PhaseReport, mark: Any) -> str:
    """Fields that are told, by name; times in nanoseconds before NOW."""
    fields = record._asdict()
    for name in ("trace", "span", "parent"):
        if fields.get(name):
            fields[name] = _short(fields[name][-8:], mark)
    for name in ("at", "started", "ended"):
        if fields[name] is not None:
            fields[name] -= NOW
    told = " ".join(f"{name}={value!r}" for name, value in fields.items() if value not in {None, "", b"", False, ()})
    return f"{type(record).__name__} {told}"


def _short(span_id: bytes, mark: Any) -> str:
    """An id of a fixture, which counts up, as its number; any other counted."""
    return str(int.from_bytes(span_id)) if span_id and span_id[:4] == bytes(4) else str(mark(span_id))


def _call_line(record: LlmCall, mark: Any) -> str:
    tokens = " ".join(f"{name} {count}" for name, count in record.tokens._asdict().items() if count)
    more = "".join(
        f" {name} {value}"
        for name, value in (
            ("point", record.point),
            ("temperature", record.temperature),
            ("tier", record.service_tier),
            ("reported", record.reported_cost),
            ("requests", record.requests if record.requests != 1 else None),
        )
        if value not in {"", None}
    )
    how = f"{record.outcome} {record.error_type or '-'}"
    return f"{mark(record.key)} {record.provider} {record.model} {record.operation} {how}: {tokens}{more}"
