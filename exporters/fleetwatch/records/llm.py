"""What is known of LLM calls."""

from __future__ import annotations

from typing import NamedTuple


class Tokens(NamedTuple):
    """Token counts of one call. The kinds do not overlap: their sum is the total.

    cache_write_long is the part of cache_write with the long (1 h) lifetime; it is not added to the total again.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    image: int = 0
    cache_write_long: int = 0


ECHO = "echo"
"""Point of a call that the same caller may tell better elsewhere."""


class LlmCall(NamedTuple):
    """One LLM call, or (source "metrics") the calls that one data point of a metrics-only sender stands for.

    A NamedTuple and not a dataclass because one is made per span: it costs a quarter of the time.
    """

    key: bytes
    """Stable identity, 16 to 24 bytes: a second record with the same key is a duplicate."""
    span: bytes
    """Trace id and span id of the sighting (24 bytes); tells a resent span from another instrumentation's.

    An event is no span: it has a digest of its key in place of the span id, and the span that it was told in as parent.
    """
    at: int
    """End of the call, Unix nanoseconds."""
    agent: str
    team: str
    provider: str
    model: str
    """The model that answered, else the model asked for."""
    operation: str
    outcome: str
    error_type: str
    """Empty when the call succeeded."""
    tokens: Tokens
    duration: int | None
    """Nanoseconds."""
    first_token: int | None
    """Nanoseconds from sending to the first output token; None when not streamed or not told."""
    service_tier: str = ""
    region: str = ""
    batch: bool = False
    reported_cost: int | None = None
    """Cost that the sender gave, nano-USD; used where no price is known."""
    requests: int = 1
    """Calls that this record stands for; more than one only from metrics."""
    service: str = ""
    """Identity of the sending process (namespace, name, instance): tells a service's metrics from its spans."""
    asked: str = ""
    """The model that was asked for, where the one that answered has another name."""
    parent: bytes = b""
    """Span id of the parent, 8 bytes; empty for the root of a trace and for what is no span."""
    point: str = ""
    """Where the call was seen, where that is not the best place: `proxy` for a gateway between caller and provider;
    `echo` for what the caller itself may tell better elsewhere, such as an event of a call that has a span, or a span
    without token counts.
    """
    temperature: float | None = None
    """As asked for; None where not told."""


class UsagePoint(NamedTuple):
    """One data point of a token-usage metric, of a sender that may or may not send spans as well."""

    stream: bytes
    """Identity of the stream: resource, metric, attributes, start time; 16 bytes."""
    cumulative: bool
    start: int
    at: int
    """Unix nanoseconds of the point's start and time."""
    call: LlmCall
    """Labels and the point's own values: its tokens, and its count as `requests`. `key` is that of (stream, time)."""
    family: str = ""
    """The instrumentation that measured: what one family tells of a service adds up, two tell the same calls."""
