"""Texts and numbers as senders write them, made harmless."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

MAX_TEXT = 200
"""Characters of a label value: the longest real names (Bedrock profile ARNs) have about 150."""
UNKNOWN = "unknown"
MAX_TOKENS = 10**9
"""Tokens of one call; the largest context windows hold 10**7, so more is a mistake or an attack."""

# Control characters, line and paragraph separators, bidirectional overrides and lone surrogates: invisible, or they
# change how the rest of a line looks on a terminal, in a chat message or in an exposition.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_REPLACEMENT = "\ufffd"

_NANO = Decimal(10**9)
_MAX_COST = Decimal(10**6)
"""US dollars of one call; more is a mistake in the unit."""


class BadCountError(ValueError):
    """A token count that is no whole number."""


def clean(text: str) -> str:
    """`text` as a label value: at most MAX_TEXT visible characters, always valid UTF-8."""
    return _UNSAFE.sub(_REPLACEMENT, text[:MAX_TEXT].strip())


def texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """The attributes that are texts, cleaned. The first of equal keys wins."""
    found: dict[str, str] = {}
    for attribute in attributes:
        if text := clean(attribute.value.string_value):
            found.setdefault(attribute.key, text)
    return found


def plain(value: AnyValue) -> str:
    """A text, number or truth value as a label's text; empty for anything else."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return clean(value.string_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "int_value":
        return str(value.int_value)
    return repr(value.double_value) if kind == "double_value" else ""


def whole(value: AnyValue) -> int:
    """A whole number sent as integer, double or text; 0 for the empty value. Raises BadCountError for anything else."""
    kind = value.WhichOneof("value")
    if kind == "int_value":
        return value.int_value
    if kind == "double_value":
        if not value.double_value.is_integer():
            raise BadCountError
        return int(value.double_value)
    if kind == "string_value":
        text = value.string_value.strip()
        if len(text) > 20 or not (text.isascii() and text.isdigit()):
            raise BadCountError
        return int(text)
    if kind is None:
        return 0
    raise BadCountError


def number(value: AnyValue) -> float | None:
    """A number sent as double or integer; None for anything else."""
    kind = value.WhichOneof("value")
    if kind == "double_value":
        return value.double_value
    return float(value.int_value) if kind == "int_value" else None


def first_text(value: AnyValue) -> str:
    """The first text of a list, the text itself, or the first text of a list that was written as JSON."""
    values = value.array_value.values
    text = values[0].string_value if values else value.string_value
    return text[2:].partition('"')[0] if text.startswith('["') else text


def nano_usd(value: AnyValue) -> int | None:
    """US dollars as integer nano-dollars, exactly as written: a double counts as its shortest decimal text.

    None for what is no amount: not a number, negative, or more than a call can cost.
    """
    kind = value.WhichOneof("value")
    if kind == "double_value":
        text = repr(value.double_value)
    elif kind == "int_value":
        text = str(value.int_value)
    else:
        text = value.string_value
    if not text or len(text) > 40:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    if not amount.is_finite() or not 0 <= amount <= _MAX_COST:
        return None
    return int((amount * _NANO).to_integral_value(ROUND_HALF_EVEN))
