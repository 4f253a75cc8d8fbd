"""Traces of LLM calls: when each was made and how many tokens went in and out.

TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
"""

from __future__ import annotations

import csv
import datetime
from pathlib import Path
from typing import NamedTuple

BUNDLED = Path(__file__).with_name("azure-llm-inference-2023-code.csv")
COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


class TraceError(Exception):
    """The trace cannot be read; the text names the file, the line and what was expected."""


class Row(NamedTuple):
    """One call of the trace. at: seconds after the first call."""

    at: float
    context_tokens: int
    generated_tokens: int


def read(path: Path = BUNDLED, limit: int | None = None) -> list[Row]:
    """The first `limit` calls in the order of their times. Raises TraceError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = _rows(path, csv.DictReader(file), limit)
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: expected CSV as UTF-8 text: {error}") from None
    if not rows:
        raise TraceError(f"{path}: expected at least one call, got none")
    start = rows[0].at
    return [row._replace(at=row.at - start) for row in rows]


def _rows(path: Path, reader: csv.DictReader[str], limit: int | None) -> list[Row]:
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise TraceError(f"{path}:1: expected the columns {', '.join(COLUMNS)}; {', '.join(missing)} is missing")
    rows: list[Row] = []
    for record in reader:
        if limit is not None and len(rows) >= limit:
            break
        try:
            time, context, generated = (record[name] for name in COLUMNS)
            # The trace has seven decimals; Python reads six.
            at = datetime.datetime.fromisoformat(time[:26]).replace(tzinfo=datetime.UTC).timestamp()
            row = Row(at, int(context), int(generated))
        except (ValueError, TypeError):
            raise TraceError(
                f"{path}:{reader.line_num}: expected a time and two numbers of tokens, "
                f"got {[record[name] for name in COLUMNS]}"
            ) from None
        if row.context_tokens < 0 or row.generated_tokens < 0:
            raise TraceError(f"{path}:{reader.line_num}: expected numbers of tokens from 0 on, got {row[1:]}")
        rows.append(row)
    rows.sort()
    return rows
