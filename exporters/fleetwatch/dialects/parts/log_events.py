"""Log records that are events: those that a dialect asks for, with the attributes that it reads and no others.

Coding agents put prompts, commands and file contents beside the counts. What a dialect does not read is never looked
at: neither bodies nor other attributes leave this module.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs

from fleetwatch.dialects.parts.dialect import EARLIEST, MAX_LEAD, Batch
from fleetwatch.dialects.parts.identity import span_ids
from fleetwatch.dialects.parts.text import MAX_TOKENS, BadCountError, plain, whole

NAME: Final = "event.name"
TIMESTAMP: Final = "event.timestamp"
_LONGEST: Final = 30 * 86400 * 1000
"""Milliseconds that anything may take."""


class Event(NamedTuple):
    """One event. at: Unix nanoseconds. ids: trace and span in which it was logged, 24 bytes; empty outside a trace."""

    name: str
    at: int
    ids: bytes
    found: dict[str, AnyValue]

    def text(self, key: str) -> str:
        """A text, cleaned; a number as text; empty for anything else."""
        value = self.found.get(key)
        return plain(value) if value is not None else ""

    def count(self, key: str) -> int:
        """Tokens; 0 where not told. Raises BadCountError for what is no count."""
        value = self.found.get(key)
        count = whole(value) if value is not None else 0
        if not 0 <= count <= MAX_TOKENS:
            raise BadCountError
        return count

    def nanoseconds(self, key: str) -> int | None:
        """A duration that was sent in milliseconds, as number or text; None where not told or impossible."""
        try:
            milliseconds = float(self.text(key))
        except ValueError:
            return None
        return round(milliseconds * 1e6) if math.isfinite(milliseconds) and 0 <= milliseconds <= _LONGEST else None

    def is_true(self, key: str) -> bool:
        return self.text(key).lower() == "true"


def events_of(scope: ScopeLogs, names: Collection[str], keys: Collection[str], batch: Batch) -> Iterator[Event]:
    """The events of some names, each with its attributes of some keys. One with an impossible time is refused."""
    for record in scope.log_records:
        # The attribute first: Codex has the place in its source in the field, which is the newer way to say it.
        name = next((item.value.string_value for item in record.attributes if item.key == NAME), record.event_name)
        if name not in names:
            continue
        found: dict[str, AnyValue] = {}
        for item in record.attributes:
            if item.key in keys:
                found.setdefault(item.key, item.value)
        at = _time(record)
        batch.newest = max(batch.newest, at)
        if EARLIEST <= at <= batch.now + MAX_LEAD:
            yield Event(name, at, span_ids(record.trace_id, record.span_id), found)
        else:
            batch.reject("bad_time")


def _time(record: LogRecord) -> int:
    """When it happened, else when it was seen, else what its attribute says; Unix nanoseconds, 0 for never."""
    at = record.time_unix_nano or record.observed_time_unix_nano
    if at:
        return at
    text = next((item.value.string_value for item in record.attributes if item.key == TIMESTAMP), "")
    try:
        time = datetime.datetime.fromisoformat(text)
        return int(time.timestamp() * 1e6) * 1000 if time.tzinfo else 0
    except (ValueError, OverflowError):
        return 0
