"""OpenTelemetry GenAI semantic conventions: token usage of senders that have metrics only.

The conventions tell the kinds of tokens of one set of calls in several data points: one per token type (1.27 to 1.41),
or one per metric and modality (newest). Cache, reasoning and modality counts are inside the input or output count, so a
point alone cannot be told without overlap. The points of one resource, scope, attribute set and time become two
records: one of the input with its parts, one of the output with its parts.

Why two: a Collector that limits its batches cuts requests anywhere. Input and output are told apart whatever the cut;
most senders have no more than these two, and are exact. A cut between a whole and its parts, which only the newest
senders tell, counts these parts once on top of their whole.

The stream of a record is that of its whole, so that the record stays the same stream with and without its parts.

Calls are counted by the input points of the old histogram (a call has one input and one output point, so counting both
would double them), and by `gen_ai.client.inference.operation.input_tokens` of the newest conventions, whose counters
have no call count: that record has requests and no tokens, the counters' records tokens and no requests. Failed calls
of the old histogram have no tokens and are not in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics

from fleetwatch.dialects.otel_genai_names import ATTRIBUTES, Labels, Words, labels_of
from fleetwatch.dialects.otel_genai_tokens import Parts, tokens_of
from fleetwatch.dialects.parts.dialect import Batch
from fleetwatch.dialects.parts.identity import digest
from fleetwatch.dialects.parts.metric_points import Point, points_of, value_of
from fleetwatch.dialects.parts.resource import Resource, attributes_digest
from fleetwatch.dialects.parts.text import clean, texts
from fleetwatch.records.llm import LlmCall, Tokens, UsagePoint

_OLD: Final = "gen_ai.client.token.usage"
_CALLS: Final = "gen_ai.client.inference.operation.input_tokens"
_COUNTERS: Final = {
    "gen_ai.client.inference.usage.input_tokens": "input",
    "gen_ai.client.inference.usage.output_tokens": "output",
    "gen_ai.client.inference.usage.cache_read.input_tokens": "cache_read",
    "gen_ai.client.inference.usage.cache_write.input_tokens": "cache_write",
    "gen_ai.client.inference.usage.reasoning.output_tokens": "reasoning",
}
_READ: Final = frozenset({_OLD, _CALLS, *_COUNTERS})
_TYPES: Final = {
    # gen_ai.token.type -> field of Parts. Other values (`total`, `tool` …) would repeat tokens and are left out.
    "input": "input",
    "prompt": "input",
    "output": "output",
    "completion": "output",
    "cache_read": "cache_read",
    "cache_write": "cache_write",
    "cache_creation": "cache_write",
    "reasoning": "reasoning",
}
_MODALITIES: Final = {
    # (field, gen_ai.token.modality) -> the part of Parts that such a point fills as well
    ("input", "audio"): "audio_in",
    ("input", "image"): "image",
    ("output", "audio"): "audio_out",
    ("cache_read", "audio"): "cached_audio",
    ("cache_read", "image"): "cached_image",
}
_SIDES: Final = {
    # field -> (the whole that it belongs to, whether it is that whole)
    "input": ("input", True),
    "cache_read": ("input", False),
    "cache_write": ("input", False),
    "output": ("output", True),
    "reasoning": ("output", False),
    "": ("calls", True),
}
_TYPE, _MODALITY = "gen_ai.token.type", "gen_ai.token.modality"
READ: Final = frozenset({_TYPE, _MODALITY, *(name for names in ATTRIBUTES.values() for name in names)})
"""Attributes of points that are read."""


class _Reading(NamedTuple):
    """One good data point. field: of Parts, empty for a point that only counts calls."""

    field: str
    modality: str
    tokens: int
    requests: int


class _Group:
    """The readings of one whole and its parts at one time, by field and modality."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.readings: dict[tuple[str, str], _Reading] = {}
        self._starts: dict[bool, int] = {}

    def add(self, reading: _Reading, start: int) -> None:
        self.readings[reading[:2]] = reading
        _, whole = _SIDES[reading.field]
        # The first start stays: a modality that comes later starts later.
        self._starts[whole] = min(self._starts.get(whole, start), start)

    @property
    def anchor(self) -> tuple[bool, int]:
        """(whether the whole is here, the start of its stream or else of the parts')."""
        whole = True in self._starts
        return whole, self._starts[whole]

    def parts(self) -> Parts:
        sums = dict.fromkeys(Parts._fields, 0)
        for field, modality, tokens, _ in self.readings.values():
            if field:
                sums[field] += tokens
            if part := _MODALITIES.get((field, modality)):
                sums[part] += tokens
        return Parts(**sums)


def read_metrics(resource: Resource, scope: ScopeMetrics, batch: Batch) -> bool:
    """Token usage of one scope into the batch."""
    names = {metric.name for metric in scope.metrics}
    # A sender that emits both generations while it migrates means the same calls.
    skipped = _OLD if not names.isdisjoint(_COUNTERS) else _CALLS if _OLD in names else ""
    reader = _ScopeReader(resource, batch)
    for metric in scope.metrics:
        if metric.name in _READ and metric.name != skipped:
            for point, cumulative in points_of(metric, batch):
                reader.read(metric.name, point, cumulative)
    origin = f"{scope.scope.name}\x1f{scope.scope.version}".encode()
    batch.records.extend(reader.records(origin))
    return False


_Key = tuple[str, str, bool, int, bytes]
"""(family of metrics, side, cumulative, time, digest of attributes) of what belongs together."""


class _ScopeReader:
    """Gathers the points of one scope into groups."""

    def __init__(self, resource: Resource, batch: Batch) -> None:
        self.resource, self.batch = resource, batch
        self.groups: dict[_Key, list[_Group]] = {}
        self._times: Counter[tuple[_Key, tuple[str, str]]] = Counter()
        """How often a reading of the same kind came for a group's key."""

    def read(self, name: str, point: Point, cumulative: bool) -> None:
        """One data point into its group, or its refusal."""
        value = value_of(point, self.batch)
        if value is None:
            return
        start, at = point.start_time_unix_nano, point.time_unix_nano
        found = texts(point.attributes)
        reading = _reading(name, found, *value)
        labels = labels_of(_words(found, self.resource), self.resource)
        if reading is None or not labels.counted:
            return
        rest = attributes_digest(item for item in point.attributes if item.key not in {_TYPE, _MODALITY})
        family = "counters" if name in _COUNTERS else name
        side, _ = _SIDES[reading.field]
        key = (family, side, cumulative, at, rest)
        same = self.groups.setdefault(key, [])
        # A reading that comes again is of a second stream of the same attributes: two processes with one identity.
        place = self._times[key, reading[:2]]
        self._times[key, reading[:2]] += 1
        if place == len(same):
            same.append(_Group(labels))
        same[place].add(reading, start)

    def records(self, origin: bytes) -> Iterator[UsagePoint]:
        """The groups that hold something. origin: what tells this scope from others."""
        for (family, side, cumulative, at, rest), same in self.groups.items():
            for group in same:
                parts = group.parts()
                requests = sum(reading.requests for reading in group.readings.values())
                if not requests and not any(parts):
                    continue
                whole, start = group.anchor
                stream = digest(
                    16, self.resource.digest, origin, family.encode(), side.encode(), rest, b"%d %d" % (whole, start)
                )
                # The kinds that came are in the key: parts of a split export are no duplicates of each other.
                key = digest(16, stream, str(at), repr(sorted(group.readings)))
                call = _call(key, at, group.labels, tokens_of(parts), requests, service=self.resource.service)
                yield UsagePoint(stream, cumulative, start, at, call, clean(self.batch.family))


def _reading(name: str, found: dict[str, str], tokens: int, count: int) -> _Reading | None:
    """What a point says; None for token types that repeat others."""
    if name == _CALLS:
        return _Reading("", "", 0, count)
    modality = found.get(_MODALITY, "")
    if name in _COUNTERS:
        return _Reading(_COUNTERS[name], modality, tokens, 0)
    field = _TYPES.get(found.get(_TYPE, "").lower())
    return _Reading(field, modality, tokens, count if field == "input" else 0) if field else None


def _words(found: dict[str, str], resource: Resource) -> Words:
    named = {field: next((found[name] for name in names if name in found), "") for field, names in ATTRIBUTES.items()}
    return Words(resource=resource.number, status=0, finish_reason="", **named)


def _call(key: bytes, at: int, labels: Labels, tokens: Tokens, requests: int, *, service: str) -> LlmCall:
    return LlmCall(
        key=key,
        span=b"",
        at=at,
        agent=labels.agent,
        team=labels.team,
        provider=labels.provider,
        model=labels.model,
        operation=labels.operation,
        outcome=labels.outcome,
        error_type=labels.error_type,
        tokens=tokens,
        duration=None,
        first_token=None,
        service_tier=labels.service_tier,
        region=labels.region,
        batch=labels.batch,
        requests=requests,
        service=service,
    )
