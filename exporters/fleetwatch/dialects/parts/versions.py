"""Senders' versions that say something: which were tried, and which need care."""

from __future__ import annotations

import functools
import re

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
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})")


def cache_outside_input(scope: InstrumentationScope) -> bool:
    return scope.name in CACHE_OUTSIDE


def count_unknown(batch: Batch, dialect: str, items: int) -> None:
    """Counts the items of a scope whose conventions, or whose own version where it needs care, are newer than tried."""
    if items and (_newer_schema(batch.schema_url[:200]) or _newer_scope(batch.scope)):
        batch.unknown_version(dialect, items)


@functools.lru_cache(maxsize=256)
def _newer_schema(url: str) -> bool:
    found = _SCHEMA.match(url)
    return found is not None and (int(found[1]), int(found[2])) > NEWEST_CONVENTIONS


def _newer_scope(scope: InstrumentationScope) -> bool:
    tried = CACHE_OUTSIDE.get(scope.name)
    found = _VERSION.match(scope.version) if tried else None
    return tried is not None and found is not None and (int(found[1]), int(found[2])) > tried
