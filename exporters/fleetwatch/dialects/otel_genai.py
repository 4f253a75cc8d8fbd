"""OpenTelemetry GenAI semantic conventions: spans of LLM calls.

Spans cost most of the receiver's time, so the reader touches each attribute once, decodes only those it needs, and
remembers what the texts of a call say: calls of one agent to one model share them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_genai_metrics import read_metrics
from fleetwatch.dialects.otel_genai_names import ATTRIBUTES, STATUS_ERROR, Labels, Words, is_wrapper, labels_of
from fleetwatch.dialects.otel_genai_tokens import Parts, tokens_of
from fleetwatch.dialects.parts.dialect import EARLIEST, MAX_LEAD, Batch, Dialect
from fleetwatch.dialects.parts.evaluation import evaluated_by_span
from fleetwatch.dialects.parts.identity import NO_SPAN, NO_TRACE, response_key
from fleetwatch.dialects.parts.resource import Resource
from fleetwatch.dialects.parts.text import MAX_TOKENS, BadCountError, first_text, nano_usd, number, whole
from fleetwatch.dialects.parts.versions import cache_outside_input, count_unknown
from fleetwatch.records.llm import ECHO, LlmCall, Tokens

MAX_TEMPERATURE = 100
"""Providers take up to 2; more is no temperature."""

USAGE = {
    # field of Parts: names of the attribute, newest first. Input and output include all their parts.
    "input": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cache_read": ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    "cache_write": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
    ),
    "reasoning": ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
    "audio_in": ("gen_ai.usage.audio.input_tokens",),
    "audio_out": ("gen_ai.usage.audio.output_tokens",),
    "image": ("gen_ai.usage.image.input_tokens",),
    "cached_audio": ("gen_ai.usage.audio.cache_read.input_tokens",),
    "cached_image": ("gen_ai.usage.image.cache_read.input_tokens",),
    # In no convention yet; several senders agree on the name.
    "cache_write_long": ("gen_ai.usage.cache_creation.ephemeral_1h_input_tokens",),
}
FIRST_CHUNK = ("gen_ai.response.time_to_first_chunk", "gen_ai.response.time_to_first_token")
"""Seconds."""
FIRST_TOKEN = "gen_ai.server.time_to_first_token"  # noqa: S105 - the name of an attribute
"""In no convention for spans: some senders write seconds as a double, some milliseconds as an integer."""
TEMPERATURE = "gen_ai.request.temperature"
FIRST_EVENTS = frozenset(
    {"gen_ai.first_token", "gen_ai.content.first_token", "first_token", "gen_ai.content.completion.chunk"}
)
"""Span events at the first token; the last one comes with every chunk."""

# Where an attribute goes, by its code: a position in Words, or _COUNTS + a position in Parts; those from _ID on need
# care. From _RARE on: older names, which fill a place only while it is empty, and what few spans have.
_COUNTS: Final = 16
_ID: Final = 32
_FINISH: Final = 33
_TEMPERATURE: Final = 34
_RARE: Final = 35

_BLANK_WORDS: Final[list[str | int]] = [0, 0, *[""] * (len(Words._fields) - 2)]
_BLANK_COUNTS: Final = [0] * len(Parts._fields)
_NO_PARTS: Final = _BLANK_COUNTS[2:]
_OPERATION, _RESPONSE_MODEL, _REQUEST_MODEL, _ERROR_TYPE, _FINISH_REASON = map(
    Words._fields.index, ("operation", "response_model", "request_model", "error_type", "finish_reason")
)


def _codes() -> tuple[dict[str, int], list[tuple[str, int]]]:
    """Attribute -> code; and for each code from _RARE on: (what it is, position that it fills)."""
    codes = {"gen_ai.response.id": _ID, "gen_ai.response.finish_reasons": _FINISH, TEMPERATURE: _TEMPERATURE}
    rare: list[tuple[str, int]] = []

    def add(name: str, what: str, position: int = 0) -> None:
        codes[name] = _RARE + len(rare)
        rare.append((what, position))

    for field, (newest, *older) in ATTRIBUTES.items():
        codes[newest] = Words._fields.index(field)
        for name in older:
            add(name, "word", codes[newest])
    for field, (newest, *older) in USAGE.items():
        position = Parts._fields.index(field)
        codes[newest] = _COUNTS + position
        for name in older:
            add(name, "count", position)
    for name in FIRST_CHUNK:
        add(name, "first")
    add(FIRST_TOKEN, "first_ms")
    add("gen_ai.usage.cost", "cost")
    add("gen_ai.usage.cost.amount", "amount")
    add("gen_ai.usage.cost.currency", "currency")
    return codes, rare


_CODES, _RARE_CARE = _codes()
READ: Final = frozenset(_CODES)
"""Attributes that are read, of spans and of the event that tells a call."""

_MOST_KNOWN: Final = 8192
_LONGEST_KNOWN: Final = 2000
"""Label sets remembered, and characters of one: at most some 20 MB, however hostile the texts."""
_known: dict[tuple[str | int, ...], Labels] = {}


class _Told:
    """What few spans tell. first: seconds to the first token. The costs are in nano-USD if they are in dollars."""

    __slots__ = ("amount", "currency", "first", "plain_cost")

    def __init__(self) -> None:
        self.first: float | None = None
        self.plain_cost: int | None = None
        self.amount: int | None = None
        self.currency = ""

    @property
    def cost(self) -> int | None:
        """An amount counts only when it is said to be in US dollars."""
        return self.amount if self.amount is not None and self.currency.upper() == "USD" else self.plain_cost


def read_spans(resource: Resource, spans: Iterable[Span], batch: Batch) -> list[Span]:
    """LLM calls of the spans into the batch; returns the spans that are no calls."""
    rest: list[Span] = []
    before = len(batch.records)
    outside = cache_outside_input(batch.scope)
    for span in spans:
        try:
            if not read_span(span, resource, batch, outside):
                rest.append(span)
        except BadCountError:
            if _of_a_wrapper(span):
                rest.append(span)
            else:
                batch.reject("bad_tokens")
    count_unknown(batch, DIALECT.name, len(batch.records) - before)
    return rest


def read_span(  # noqa: PLR0912 - one pass over the attributes; a function per kind would cost more than the work
    span: Span, resource: Resource, batch: Batch, cache_outside: bool
) -> bool:
    """Whether the span is a call; it goes into the batch, or its refusal does. Raises BadCountError.

    cache_outside: the sender leaves cached tokens out of the input.
    """
    words, counts = _BLANK_WORDS.copy(), _BLANK_COUNTS.copy()
    words[0], words[1] = resource.number, span.status.code
    response_id = ""
    temperature: float | None = None
    told: _Told | None = None
    for attribute in span.attributes:
        code = _CODES.get(attribute.key)
        if code is None:
            continue
        value = attribute.value
        if code < _COUNTS:
            words[code] = value.string_value
        elif code < _ID:
            count = value.int_value or whole(value)
            if not 0 <= count <= MAX_TOKENS:
                raise BadCountError
            counts[code - _COUNTS] = count
        elif code == _ID:
            response_id = value.string_value
        elif code == _FINISH:
            words[_FINISH_REASON] = first_text(value)
        elif code == _TEMPERATURE:
            temperature = value.double_value or number(value)
        else:
            if told is None:
                told = _Told()
            _read_rare(code, value, words, counts, told)
    if not (words[_OPERATION] or words[_RESPONSE_MODEL] or words[_REQUEST_MODEL]):
        return False
    if words[1] == STATUS_ERROR and not words[_ERROR_TYPE]:
        words[_ERROR_TYPE] = exception_type(span)
    labels = _known.get(tuple(words)) or _learn(words, resource)
    if not labels.counted or (labels.needs_usage and not any(counts)):
        return False
    if cache_outside:
        counts[0] += counts[2] + counts[3]
    _add_call(span, labels, counts, response_id, temperature, told, resource.service, batch)
    if span.events:
        evaluated_by_span(span, labels.agent, labels.team, labels.provider, labels.model, batch)
    return True


def _of_a_wrapper(span: Span) -> bool:
    """Whether the span's operation is none of a model: its token counts do not matter."""
    return any(item.key == "gen_ai.operation.name" and is_wrapper(item.value.string_value) for item in span.attributes)


def _add_call(  # noqa: PLR0917 - called once a span: keywords cost time
    span: Span,
    labels: Labels,
    counts: list[int],
    response_id: str,
    temperature: float | None,
    told: _Told | None,
    service: str,
    batch: Batch,
) -> None:
    """One call into the batch, or its refusal."""
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    if end > batch.newest:  # noqa: PLR1730 - max() takes three times as long
        batch.newest = end
    if not EARLIEST <= start <= end <= batch.now + MAX_LEAD:
        batch.reject("bad_time")
        return
    own, parent = span.span_id, span.parent_span_id
    ids = span.trace_id + own
    if len(ids) != 24 or ids[:16] == NO_TRACE or own == NO_SPAN:
        if not response_id:
            batch.reject("no_id")
            return
        ids, parent = NO_TRACE + NO_SPAN, b""
    if len(parent) != 8 or parent == own or parent == NO_SPAN:  # noqa: PLR1714, SIM109 - a set takes three times as long
        parent = b""
    batch.records.append(
        LlmCall(
            response_key(response_id, ids[:16], labels.model, counts[0], counts[1]) if response_id else ids,
            ids,
            end,
            labels.agent,
            labels.team,
            labels.provider,
            labels.model,
            labels.operation,
            labels.outcome,
            labels.error_type,
            Tokens(counts[0], 0, 0, counts[1]) if counts[2:] == _NO_PARTS else tokens_of(counts),
            end - start,
            _first_token(told, span, end - start) if told or span.events else None,
            labels.service_tier,
            labels.region,
            labels.batch,
            told.cost if told else None,
            1,
            service,
            labels.asked,
            parent,
            "" if counts[0] or counts[1] else _point_of_untold(labels, counts, told),
            temperature if temperature is None or 0 <= temperature <= MAX_TEMPERATURE else None,
        )
    )


def _point_of_untold(labels: Labels, counts: list[int], told: _Told | None) -> str:
    """`echo` for a call that went well without tokens or cost being told: another sighting may tell them."""
    is_whole = labels.outcome != "ok" or any(counts) or (told is not None and told.cost is not None)
    return "" if is_whole else ECHO


def _learn(words: list[str | int], resource: Resource) -> Labels:
    """The labels of `words`, remembered."""
    labels = labels_of(Words(*words), resource)  # type: ignore[arg-type]  # the first two are numbers, the rest texts
    if sum(len(word) for word in words if isinstance(word, str)) <= _LONGEST_KNOWN:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[tuple(words)] = labels
    return labels


def _read_rare(code: int, value: AnyValue, words: list[str | int], counts: list[int], told: _Told) -> None:
    what, position = _RARE_CARE[code - _RARE]
    if what == "word":
        words[position] = words[position] or value.string_value
    elif what == "count":
        count = whole(value)
        if not 0 <= count <= MAX_TOKENS:
            raise BadCountError
        counts[position] = counts[position] or count
    elif what == "first":
        told.first = value.double_value or number(value) or told.first
    elif what == "first_ms":
        told.first = told.first or value.double_value or value.int_value / 1000 or None
    elif what == "cost":
        told.plain_cost = nano_usd(value)
    elif what == "amount":
        told.amount = nano_usd(value)
    else:
        told.currency = value.string_value


def _first_token(told: _Told | None, span: Span, duration: int) -> int | None:
    """Nanoseconds to the first token, by attribute or span event; None when impossible or not told."""
    if told and told.first is not None:
        # Compared before rounding: an infinity or NaN has no integer.
        return _within(round(told.first * 1e9), duration) if 0 < told.first < 1e9 else None
    for event in span.events:
        if event.name in FIRST_EVENTS:
            return _within(event.time_unix_nano - span.start_time_unix_nano, duration)
    return None


def _within(first: int, duration: int) -> int | None:
    """The first token comes before the end; clocks of span and stream may differ by a millisecond."""
    return min(first, duration) if 0 < first <= duration + 1_000_000 else None


def exception_type(span: Span) -> str:
    """Type of the last exception that the span recorded; empty when it recorded none."""
    found = ""
    for event in span.events:
        for attribute in event.attributes:
            if attribute.key == "exception.type":
                found = attribute.value.string_value
    return found


DIALECT = Dialect("otel_genai", 100, read_spans, read_metrics)
