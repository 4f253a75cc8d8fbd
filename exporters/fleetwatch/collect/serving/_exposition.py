"""Prometheus' text format, as far as others' metrics need it: samples of some names.

Format: "Exposition formats" of the Prometheus documentation, version 0.0.4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\s*\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?')
_ESCAPED = re.compile(r"\\(.)")


class Point(NamedTuple):
    """One sample."""

    name: str
    labels: Mapping[str, str]
    value: float


def points(text: str, names: Collection[str]) -> Iterator[Point]:
    """The samples of some names, without those that are NaN or infinite.

    Raises ValueError for a line of theirs that is no sample.
    """
    for number, line in enumerate(text.split("\n"), 1):
        head = line.partition("{")[0].split(None, 1)
        if not head or head[0] not in names:
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"line {number}: expected a sample, got {line!r:.80}")
        name, labels, text_value = found.groups()
        value = float(text_value)
        if math.isfinite(value):
            yield Point(name, _labels(labels or "", number), value)


def _labels(text: str, number: int) -> dict[str, str]:
    labels: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _LABEL.match(text, at)
        if found is None:
            if text[at:].strip(" ,"):
                raise ValueError(f"line {number}: expected labels, got {text[at:]!r:.80}")
            break
        labels[found[1]] = _ESCAPED.sub(lambda escaped: "\n" if escaped[1] == "n" else escaped[1], found[2])
        at = found.end()
    return labels
