"""Token counters of senders with names of their own: points as UsagePoints, whatever the kinds are called.

A sender tells the kinds of tokens of one set of calls in several points that differ in one attribute. Where a kind is
inside another (cached in input), the points of one whole are put together, so that kinds do not overlap. Each whole is
a record of its own: a Collector that cuts requests anywhere seldom cuts between a whole and its parts, and where it
does the parts count once on top.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from fleetwatch.dialects.otel_genai_tokens import Parts, tokens_of
from fleetwatch.dialects.parts.dialect import Batch
from fleetwatch.dialects.parts.identity import digest
from fleetwatch.dialects.parts.metric_points import observations_of, points_of, value_of
from fleetwatch.dialects.parts.resource import Resource, attributes_digest
from fleetwatch.dialects.parts.text import clean, plain
from fleetwatch.records.llm import LlmCall, Tokens, UsagePoint

NO_TOKENS = Tokens()


class Kind(NamedTuple):
    """fields: of Parts, to which such tokens are added; inside: the kind that they are part of, or empty."""

    fields: tuple[str, ...]
    inside: str = ""


class TokenMetric(NamedTuple):
    """attribute: tells the kind. kinds: its values; others repeat tokens and are left out."""

    name: str
    attribute: str
    kinds: Mapping[str, Kind]


Describe = Callable[[Mapping[str, str]], LlmCall]
"""A call with the labels of a point's attributes; key, time, tokens and requests are filled in here."""


def blank_call(agent: str, team: str, provider: str, model: str, service: str) -> LlmCall:
    """A call of which nothing is known but its labels."""
    return LlmCall(b"", b"", 0, agent, team, provider, model, "chat", "ok", "", NO_TOKENS, None, None, service=service)


class _Whole:
    """The points of one kind and of those inside it, at one time."""

    def __init__(self, call: LlmCall) -> None:
        self.call = call
        self.tokens: dict[str, int] = {}
        self.starts: dict[bool, int] = {}

    def add(self, name: str, *, is_part: bool, tokens: int, start: int) -> None:
        self.tokens[name] = tokens
        # The first start stays: parts may start a millisecond later.
        self.starts[not is_part] = min(self.starts.get(not is_part, start), start)

    @property
    def anchor(self) -> tuple[bool, int]:
        """(whether the whole is here, the start of its stream or else of the parts')."""
        return True in self.starts, self.starts[True in self.starts]


def token_points(metric: Metric, meaning: TokenMetric, resource: Resource, describe: Describe, batch: Batch) -> int:
    """The points of a token counter into the batch; returns how many points were read."""
    read = 0
    groups: dict[tuple[str, bool, int, bytes], list[_Whole]] = {}
    times: Counter[tuple[tuple[str, bool, int, bytes], str]] = Counter()
    for point, cumulative in points_of(metric, batch):
        found = _texts(point.attributes)
        name = found.get(meaning.attribute, "")
        kind = meaning.kinds.get(name)
        value = value_of(point, batch) if kind is not None else None
        if kind is None or value is None:
            continue
        read += 1
        rest = attributes_digest(item for item in point.attributes if item.key != meaning.attribute)
        group = (kind.inside or name, cumulative, point.time_unix_nano, rest)
        same = groups.setdefault(group, [])
        # A kind that comes again is of a second stream of the same attributes: two processes with one identity.
        place = times[group, name]
        times[group, name] += 1
        if place == len(same):
            same.append(_Whole(describe(found)))
        same[place].add(name, is_part=bool(kind.inside), tokens=value[0], start=point.start_time_unix_nano)
    for (family, cumulative, at, rest), same in groups.items():
        for whole in same:
            if any(whole.tokens.values()):
                has_whole, start = whole.anchor
                own = b"%d %d" % (has_whole, start)
                stream = digest(16, resource.digest, metric.name, family, rest, own)
                key = digest(16, stream, str(at), repr(sorted(whole.tokens)))
                call = whole.call._replace(key=key, at=at, tokens=tokens_of(_parts(whole, meaning)), requests=0)
                batch.records.append(UsagePoint(stream, cumulative, start, at, call, clean(batch.family)))
    return read


def call_points(
    metric: Metric, resource: Resource, describe: Callable[[Mapping[str, str]], LlmCall | None], batch: Batch
) -> int:
    """The points of a counter of calls, or of a histogram that has one observation a call, into the batch.

    describe: None for a point that repeats others. Returns how many points were read.
    """
    read = 0
    for point, cumulative in points_of(metric, batch):
        call = describe(_texts(point.attributes))
        value = observations_of(point, batch) if call is not None else None
        if call is None or value is None:
            continue
        read += 1
        start, at = point.start_time_unix_nano, point.time_unix_nano
        stream = digest(16, resource.digest, metric.name, attributes_digest(point.attributes), str(start))
        if value:
            counted = call._replace(key=digest(16, stream, str(at)), at=at, requests=value)
            batch.records.append(UsagePoint(stream, cumulative, start, at, counted, clean(batch.family)))
    return read


def _parts(whole: _Whole, meaning: TokenMetric) -> Parts:
    sums = dict.fromkeys(Parts._fields, 0)
    for name, tokens in whole.tokens.items():
        for field in meaning.kinds[name].fields:
            sums[field] += tokens
    return Parts(**sums)


def _texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """The attributes as texts; the first of equal keys wins."""
    found: dict[str, str] = {}
    for attribute in attributes:
        if text := plain(attribute.value):
            found.setdefault(attribute.key, text)
    return found
