"""What a setting's value may be: how each kind is read, and what is said when it is something else.

A reader takes a value as YAML, the environment or a program gives it and returns the value of the setting's type.
It raises ValueError with a text that begins with "expected"; whoever calls it adds the place and the value.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import Meta

_NUMBER = re.compile(r"[+-]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[+-]?[0-9][0-9_]{0,30}(\.0*)?")
_DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([smhd]?)")
_FACTORS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_ON = ("true", "yes", "on", "y", "t", "1")
_OFF = ("false", "no", "off", "n", "f", "0")
_LARGEST = 2**62
"""Of whole numbers: half of what SQLite holds, so that a float near it does not round past that."""
_RICHEST = Decimal(10) ** 15
"""Of US dollars: 1e999999999 in nano-USD would fill the memory."""


def why(reason: str, *, gt: float | None = None, ge: float | None = None, le: float | None = None) -> Meta:
    """The reason to turn a knob, and the bounds of its number."""
    if gt is not None:
        return Meta(description=reason, gt=gt, le=le)
    return Meta(description=reason, ge=ge, le=le)


def _read_by(reader: Callable[[Any], Any], gt: float | None = None, **schema: object) -> Meta:
    return Meta(gt=gt, extra={"read": reader}, extra_json_schema=schema)


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected a valid string")
    return value


def whole(value: object) -> int:
    """`60`, `60.0` or `5_000`, also as text."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError("expected a whole number")
    # The size is looked at before the digits: 1e999999999 as an int would fill the memory.
    if abs(_finite(value)) > _LARGEST or value != int(value):
        raise ValueError("expected a whole number")
    return int(value)


def number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise ValueError("expected a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError("expected a number")
    return _finite(value)


def seconds(value: object) -> float:
    """`15`, `15s`, `2m`, `1h` or `1d`, as seconds."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        if found is None:
            raise ValueError("expected a duration such as 15s, 2m or 1h")
        return _finite(found[1]) * _FACTORS[found[2]]
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError("expected a duration such as 15s, 2m or 1h")
    return _finite(value)


def _finite(value: float | str | Decimal) -> float:
    try:
        found = float(value)
    except (OverflowError, ValueError):  # a signalling NaN is the ValueError
        found = math.inf
    if not math.isfinite(found):
        raise ValueError("expected a finite number")
    return found


def usd(value: object) -> Decimal:
    """Money never passes through a float: YAML's 12.10 is read as its text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise ValueError("expected a number of US dollars")
    try:
        found = Decimal(str(value))
    except ArithmeticError:
        raise ValueError("expected a number of US dollars") from None
    if not found.is_finite() or found < 0:
        raise ValueError("expected a number of US dollars, zero or more")
    if found > _RICHEST:
        raise ValueError("expected a number of US dollars below 10^15")
    return found


def switch(value: object) -> bool:
    """YAML's own words, also as text: an environment has nothing else."""
    word = str(int(value)) if isinstance(value, (bool, int)) else str(value).lower()
    if word not in (*_ON, *_OFF):
        raise ValueError("expected true or false")
    return word in _ON


def path(value: object) -> Path:
    if not isinstance(value, (str, Path)) or "\0" in str(value):
        raise ValueError("expected a path")
    return Path(value)


def day(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("expected a valid date such as 2026-01-31") from None


def address(value: object) -> str:
    host, colon, port = text(value).rpartition(":")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("expected HOST:PORT, for example 127.0.0.1:9464")
    return text(value)


def zone(value: object) -> str:
    # Only settings with budgets pay for the time zones.
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - see above

    try:
        ZoneInfo(text(value))
    except (KeyError, ValueError, OSError):  # not found, not a name, a folder such as Europe
        raise ValueError("expected a time zone such as Europe/Berlin or UTC") from None
    return text(value)


def pattern(value: object) -> str:
    try:
        re.compile(text(value))
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error}") from None
    return text(value)


Address = Annotated[str, _read_by(address)]
Pattern = Annotated[str, _read_by(pattern, format="regex")]
Zone = Annotated[str, _read_by(zone)]
Seconds = Annotated[float, _read_by(seconds, gt=0, type=["number", "string"])]
Usd = Annotated[Decimal, _read_by(usd)]

READERS: Mapping[type, Callable[[Any], Any]] = {
    str: text,
    int: whole,
    float: number,
    bool: switch,
    Path: path,
    date: day,
}
"""How values of plain types are read."""


def reader(kind: type, notes: tuple[Meta, ...]) -> Callable[[Any], Any]:
    """How values of a setting's type with these notes are read."""
    own = [note.extra["read"] for note in notes if note.extra]
    found: Callable[[Any], Any] = own[0] if own else READERS[kind]
    return found


def unfold(hint: Any) -> tuple[Any, tuple[Meta, ...], bool]:
    """A setting's type without its notes, the notes (inner ones first), and whether it may be None."""
    if get_origin(hint) is Annotated:
        inner, *outer = get_args(hint)
        kind, notes, optional = unfold(inner)
        return kind, (*notes, *outer), optional
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (item for item in get_args(hint) if item is not type(None))
        kind, notes, _ = unfold(inner)
        return kind, notes, True
    return hint, (), False


_BOUNDS = (("gt", operator.gt, "greater than"), ("ge", operator.ge, "of at least"), ("le", operator.le, "of at most"))


def check_bounds(value: float, notes: tuple[Meta, ...]) -> None:
    """Raises ValueError for a number that the notes do not allow."""
    for note in notes:
        for name, fits, words in _BOUNDS:
            bound = getattr(note, name)
            if bound is not None and not fits(value, bound):
                raise ValueError(f"expected a number {words} {bound}")
