"""Spans of pipelines that follow no conventions, by a mapping in the settings.

A root span whose name fits is a run. A phase is a span of its trace whose name fits; where any name does, a child of
the run that is no call of another service. Where the run's span is in another request, or comes hours later, the ledger
finds it by the trace.

Nothing is taken away from others: a span that is an agent's run or a call is told as that as well.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.parts import pipeline_facts as facts
from fleetwatch.dialects.parts.dialect import EARLIEST, MAX_LEAD, Batch
from fleetwatch.dialects.parts.identity import parent_of, span_ids
from fleetwatch.dialects.parts.pipeline_facts import Found, text
from fleetwatch.dialects.parts.pipeline_results import ended
from fleetwatch.dialects.parts.resource import Resource
from fleetwatch.dialects.parts.text import clean
from fleetwatch.records.agents import Step
from fleetwatch.records.pipelines import PhaseReport, RunReport, Tally

_ANY: Final = "*"
_CALLS: Final = frozenset({Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER})
_CICD: Final = "cicd.pipeline."
"""How attributes begin of spans that say themselves what they are."""


class SpanMapping(NamedTuple):
    """One mapping. Patterns: * and ? stand for other text; attributes: empty where there is none."""

    run: str
    service: str = _ANY
    phase: str = _ANY
    pipeline: str = ""
    run_id: str = ""
    phase_name: str = ""
    items: str = ""
    items_in: str = ""
    artifacts: str = ""


class Mappings:
    """Mappings, ready for use."""

    def __init__(self, mappings: Sequence[SpanMapping]) -> None:
        self._all = [_Mapping(mapping) for mapping in mappings]

    def read(self, resource: Resource, spans: Iterable[Span], batch: Batch) -> frozenset[bytes]:
        """Runs and phases of one scope into the batch; returns the ids of all spans that fit."""
        fitting = [mapping for mapping in self._all if mapping.service.match(resource.name)]
        if not fitting or batch.scope.name == facts.SCOPE:
            return frozenset()
        return frozenset(ids for span in spans if (ids := _read(span, resource, fitting, batch)))

    @staticmethod
    def keep_whole(spans: Iterable[Span], fitting: Collection[bytes], batch: Batch) -> None:
        """Steps for the runs and phases that no dialect knows. spans: what they left over; fitting: as of `read`."""
        for span in spans:
            ids = span.trace_id + span.span_id
            if ids not in fitting:
                continue
            batch.newest = max(batch.newest, span.end_time_unix_nano)
            if not _is_timely(span, batch):
                batch.reject("bad_time")
            elif not span_ids(span.trace_id, span.span_id):
                batch.reject("no_id")
            else:
                batch.records.append(Step(ids, parent_of(span), span.start_time_unix_nano, span.end_time_unix_nano))


class _Mapping:
    """A mapping with its patterns compiled."""

    def __init__(self, told: SpanMapping) -> None:
        self.told = told
        self.service, self.run, self.phase = map(_pattern, (told.service, told.run, told.phase))
        self.only_children = told.phase == _ANY
        self.attributes = frozenset(told[SpanMapping._fields.index("pipeline") :]) - {""} | {facts.ERROR_TYPE}

    def is_run(self, name: str, parent: bytes) -> bool:
        return not parent and bool(self.run.match(name))

    def is_phase(self, name: str, parent: bytes, kind: int) -> bool:
        return bool(parent) and bool(self.phase.match(name)) and not (self.only_children and kind in _CALLS)


def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def _read(span: Span, resource: Resource, mappings: Sequence[_Mapping], batch: Batch) -> bytes:
    """Ids of a span that fits, as they are; empty for any other one. What can be goes into the batch."""
    name, parent = clean(span.name), parent_of(span)
    if not name:
        return b""
    for mapping in mappings:
        is_run = mapping.is_run(name, parent)
        if is_run or mapping.is_phase(name, parent, span.kind):
            break
    else:
        return b""
    found: dict[str, AnyValue] = {}
    for item in span.attributes:
        if item.key in mapping.attributes:
            found[item.key] = item.value
        elif item.key.startswith(_CICD):
            return b""
    # What cannot be is refused by who reads the span in the end, once.
    if span_ids(span.trace_id, span.span_id) and _is_timely(span, batch):
        if is_run:
            batch.records.append(_run(span, name, resource, found, mapping.told, batch))
        else:
            batch.records.append(_phase(span, name, resource, found, mapping, batch))
    return span.trace_id + span.span_id


def _is_timely(span: Span, batch: Batch) -> bool:
    return EARLIEST <= span.start_time_unix_nano <= span.end_time_unix_nano <= batch.now + MAX_LEAD


def _run(span: Span, name: str, resource: Resource, found: Found, told: SpanMapping, batch: Batch) -> RunReport:  # noqa: PLR0917 - what it is made of
    return RunReport(
        **ended(span, found, "", batch.now),
        pipeline=_named(found, told.pipeline) or name,
        run=_named(found, told.run_id) or span.trace_id.hex(),
        source="spans",
        host=resource.host,
        instance=resource.instance,
    )


def _phase(span: Span, name: str, resource: Resource, found: Found, mapping: _Mapping, batch: Batch) -> PhaseReport:  # noqa: PLR0917 - as above
    told = mapping.told
    counted = [facts.count(found.get(key)) if key else None for key in (told.items_in, told.items, told.artifacts)]
    items_in, items_out, artifacts = (number or 0 for number in counted)
    is_counted = any(number is not None for number in counted)
    return PhaseReport(
        **ended(span, found, "", batch.now),
        pipeline="",
        run="",
        execution=span.span_id.hex(),
        phase=_named(found, told.phase_name) or name,
        source="spans",
        parent=parent_of(span),
        child_of_run=mapping.only_children,
        host=resource.host,
        tally=Tally(items_in=items_in, items_out=items_out, artifacts=artifacts) if is_counted else None,
    )


def _named(found: Found, attribute: str) -> str:
    return text(found, attribute) if attribute else ""
