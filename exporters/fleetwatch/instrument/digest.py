"""Digests of arguments and results: enough to see that two are equal, and nothing else of them."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Final

_LARGEST: Final = 1 << 16
"""Characters of a text that is looked at as JSON; a longer one counts as it stands, for reading it takes time."""


def digest(value: object) -> str:
    """16 hex digits that are equal for equal JSON, in whatever order its keys are; a text that is JSON counts as such.

    What JSON does not know (dates, objects of a program) counts as its text, or as its class where the text would be an
    address in memory and so never the same twice. Never raises.
    """
    try:
        if isinstance(value, str) and len(value) <= _LARGEST:
            value = _parsed(value)
        raw = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_foreign).encode()
    except Exception:  # circular, too deep, keys that cannot be sorted, a __str__ that raises whatever it likes
        raw = repr(type(value)).encode()
    return blake2b(raw, digest_size=8).hexdigest()


def _parsed(text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _foreign(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    kind = type(value)
    if kind.__repr__ is object.__repr__ and kind.__str__ is object.__str__:
        return f"{kind.__module__}.{kind.__qualname__}"
    return str(value)
