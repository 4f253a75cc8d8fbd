"""Senders' versions that say something: which were tried, and which need care."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

from fleetwatch.dialects.parts.dialect import Batch

NEWEST_CONVENTIONS = (1, 44)
"""Newest version of OpenTelemetry's conventions that was tried; a scope names its own in its schema URL."""

CACHE_OUTSIDE = {
    # Scopes that tell the input as the provider does, without cached tokens, though the conventions want them in it,
    # and the newest version that was seen to do so.
    "opentelemetry.instrumentation.genai.bedrock": (1, 3),
    "opentelemetry.instrumentation.botocore.bedrock-runtime": (0, 66),
}

_SCHEMA = re.compile(r"https?://opentelemetry\.io/schemas/(?:[a-z-]+/)?(\d{1,4})\.(\d{1,4})(?:\.|$)")
_VERSION = re.compile(r"v?(\d{1,6})(?:\.(\d{1,6}))?")
_LONGEST = 40
"""Characters of a version that are looked at: what is remembered stays small."""

Version = tuple[int, int]
"""(major, minor)."""


def cache_outside_input(scope: InstrumentationScope) -> bool:
    return scope.name in CACHE_OUTSIDE


def count_unknown(batch: Batch, dialect: str, items: int) -> None:
    """Counts the items of a scope whose conventions, or whose own version where it needs care, are newer than tried."""
    if items and (_newer_schema(batch.schema_url[:200]) or _newer_scope(batch.scope)):
        batch.unknown_version(dialect, items)


def count_outside(batch: Batch, dialect: str, oldest: Version, newest: Version) -> None:
    """Counts one item if its scope's version is outside of what was tried. A scope without a version says nothing.

    From 1.0 on the minor number says nothing of what is sent: such bounds have 0 there.
    """
    sent = _version(batch.scope.version[:_LONGEST])
    if sent is not None and not oldest <= (sent if sent[0] == 0 else (sent[0], 0)) <= newest:
        batch.unknown_version(dialect)


def count_untried(batch: Batch, dialect: str, version: str, tried: Collection[Version], items: int) -> None:
    """Counts the items of a program's version that the dialect was not tried with; major and minor number tell."""
    if items and _version(version[:_LONGEST]) not in tried:
        batch.unknown_version(dialect, items)


@functools.lru_cache(maxsize=256)
def _newer_schema(url: str) -> bool:
    found = _SCHEMA.match(url)
    return found is not None and (int(found[1]), int(found[2])) > NEWEST_CONVENTIONS


def _newer_scope(scope: InstrumentationScope) -> bool:
    tried = CACHE_OUTSIDE.get(scope.name)
    sent = _version(scope.version[:_LONGEST]) if tried else None
    return tried is not None and sent is not None and sent > tried


@functools.lru_cache(maxsize=256)
def _version(text: str) -> Version | None:
    found = _VERSION.match(text)
    return (int(found[1]), int(found[2] or 0)) if found is not None else None
