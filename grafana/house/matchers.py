"""What a selector is narrowed by: label values, some or all but some, and the variables of a board."""

from __future__ import annotations

import re
from typing import NamedTuple

from fleetwatch.catalogue.metric import Label


class Not(NamedTuple):
    """A matcher for all values but these."""

    values: tuple[str, ...]


class Matches(NamedTuple):
    """A matcher by Grafana variable or regular expression."""

    pattern: str


class Choice(NamedTuple):
    """A matcher by a Grafana variable with exactly one value, which may look like a pattern and is none."""

    variable: str


Matcher = str | tuple[str, ...] | Not | Matches | Choice


def matcher(label: Label, value: Matcher) -> str:
    """In PromQL. Raises ValueError for a value that the label never has."""
    if isinstance(value, Matches):
        return f'{label.name}=~"{value.pattern}"'
    if isinstance(value, Choice):
        return f'{label.name}="${value.variable}"'
    values = value.values if isinstance(value, Not) else (value,) if isinstance(value, str) else value
    if label.one_of and (wrong := set(values) - set(label.one_of)):
        raise ValueError(
            f"label {label.name}: is never {', '.join(sorted(wrong))}; it is one of {', '.join(label.one_of)}"
        )
    equal, like = ("!=", "!~") if isinstance(value, Not) else ("=", "=~")
    if len(values) == 1:
        return f'{label.name}{equal}"{_quoted(values[0])}"'
    pattern = "|".join(_quoted(re.escape(item)) for item in values)
    return f'{label.name}{like}"{pattern}"'


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
