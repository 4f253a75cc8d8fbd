"""Tables: one row per thing, words and numbers about it in columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from grafana.house.colours import NEUTRAL, QUIET, Meaning, steps
from grafana.house.links import RowLink, cell_link, runbook_link
from grafana.house.panels import DATASOURCE, Json, Modern, Panel, described, targets, value_mappings, when_empty
from grafana.house.promql import Expr
from grafana.house.units import CLOCK, FROM_NOW, USD_ANY, WORDS, Unit

QUIET_CELL = "–"
NARROW = 64
"""Least width of a column in pixels."""
LEAST = {"alertname": 176, "slot": 48, "instance_id": 176, "instance_type": 112}
"""Of keys whose values have a known length."""
WIDE = {CLOCK: 158, FROM_NOW: 140, USD_ANY: 100}


class Column(NamedTuple):
    """A column of numbers in a table, one query."""

    title: str
    expr: Expr
    unit: Unit
    meaning: Meaning | None = None
    mappings: Mapping[str, tuple[str, str]] | None = None
    """Number -> (text, colour), where the number stands for a word."""

    hidden: bool = False
    """Only there for the links of its row."""


class Facts(NamedTuple):
    """Columns of words in a table: labels of one query that the table's keys do not have."""

    expr: Expr
    titles: Mapping[str, str]
    """Label -> title of its column."""

    mappings: Mapping[str, tuple[str, str]] | None = None
    """Value -> (text, colour), for all columns of these facts."""


def table(
    title: str,
    keys: Sequence[str],
    columns: Sequence[Column],
    *,
    help: str,
    sort: str,
    facts: Sequence[Facts] = (),
    titles: Mapping[str, str] | None = None,
    no_data: str = "No data",
    link: str = "",
    row_links: Sequence[RowLink] = (),
    ascending: bool = False,
    narrow: bool = False,
    words: Mapping[str, tuple[str, str]] | None = None,
    runbook: str = "",
    height: int = 8,
    width: int = 0,
) -> Panel:
    """One row per set of label values (`keys`), one query per column. sort: title of the column, largest first.

    facts: words beside the keys. titles: key -> its column's title; by default the label's name.
    link: board opened by a click on a key, with the key as its variable. row_links: likewise by a click on a word, with
    what else stands in the row. ascending: smallest first, of a column without empty cells.
    narrow: the facts need the room, not the keys. words: value of a key -> (text, colour).
    """
    _check(title, keys, columns, facts, sort)
    exprs = [*(fact.expr for fact in facts), *(column.expr for column in columns)]
    named = {key: (titles or {}).get(key, key.capitalize()) for key in keys}
    body = Modern(
        kind="table",
        title=title,
        dataSource=DATASOURCE,
        targets=targets(exprs, instant=True, format="table"),
        description=described(help, exprs),
        links=runbook_link(runbook),
        transformations=[*_as_one_table(named, facts, columns), *([_ascending(sort)] if ascending else [])],
        thresholds=steps(NEUTRAL),
        defaults={"noValue": no_data, "custom": {"align": "auto", "filterable": False, "minWidth": NARROW}},
        overrides=[
            *_key_columns(named, link, row_links, narrow, words),
            *_word_columns(facts, row_links, narrow),
            *(_number_column(column) for column in columns),
        ],
        options={
            "showHeader": True,
            "cellHeight": "sm",
            "frameIndex": 0,
            # By itself a table puts empty cells before the smallest.
            "sortBy": [] if ascending else [{"displayName": sort, "desc": True}],
        },
    )
    return Panel(body, height=height, width=width)


def _check(title: str, keys: Sequence[str], columns: Sequence[Column], facts: Sequence[Facts], sort: str) -> None:
    """Raises ValueError where rows could not be joined or sorted."""
    if wrong := [column.title for column in columns if tuple(column.expr.by) != tuple(keys)]:
        raise ValueError(f"table {title}: expected labels {', '.join(keys)} in {', '.join(wrong)}")
    if wrong := [", ".join(fact.titles) for fact in facts if set(fact.expr.by) != {*keys, *fact.titles}]:
        raise ValueError(f"table {title}: expected labels {', '.join(keys)} beside {'; '.join(wrong)}")
    if sort not in [column.title for column in columns]:
        raise ValueError(f"table {title}: has no column {sort}")


def _as_one_table(keys: Mapping[str, str], facts: Sequence[Facts], columns: Sequence[Column]) -> list[Json]:
    """Queries joined on their labels. A lone query's number is called Value, several are Value #A, Value #B …

    keys: label -> title. Facts come first, and their numbers say nothing.
    """
    values = [f"Value #{chr(ord('A') + number)}" for number in range(len(facts) + len(columns))]
    names = {**keys, **{label: name for fact in facts for label, name in fact.titles.items()}}
    names |= dict(zip(values[len(facts) :], (column.title for column in columns), strict=True))
    if len(values) == 1:
        names["Value"] = columns[0].title
    order = {name: number for number, name in enumerate(names)}
    hidden = dict.fromkeys(["Time", *values[: len(facts)]], True)
    return [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {"excludeByName": hidden, "indexByName": order, "renameByName": names},
        },
    ]


def _ascending(column: str) -> Json:
    return {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": column, "desc": False}]}}


def _key_columns(
    keys: Mapping[str, str],
    link: str,
    row_links: Sequence[RowLink],
    narrow: bool,
    words: Mapping[str, tuple[str, str]] | None,
) -> Iterator[Json]:
    """The last key is the row's own name and gets the most room."""
    last = list(keys)[-1]
    for key, name in keys.items():
        width = LEAST.get(key, NARROW if narrow else 190 if key == last else 100)
        properties: list[Json] = [{"id": "custom.minWidth", "value": width}]
        if link:
            properties.append({"id": "links", "value": [cell_link(link, key)]})
        if row_links:
            properties.append({"id": "links", "value": [one.link() for one in row_links]})
        if words:
            properties += _as_words(words)
            # Other values, and none, are words too and mean nothing bad.
            properties += [
                {"id": "unit", "value": WORDS.id},
                {"id": "noValue", "value": QUIET_CELL},
                {"id": "color", "value": {"mode": "fixed", "fixedColor": "text"}},
            ]
        yield {"matcher": {"id": "byName", "options": name}, "properties": properties}


def _word_columns(facts: Sequence[Facts], row_links: Sequence[RowLink], narrow: bool) -> Iterator[Json]:
    """Where the keys are narrow, the first word is the row's own name and gets the most room."""
    first = True
    for fact in facts:
        for name in fact.titles.values():
            yield _word_column(name, fact, row_links, 228 if narrow and first else 70 if narrow else 0)
            first = False


def _word_column(name: str, fact: Facts, row_links: Sequence[RowLink], width: int) -> Json:
    properties: list[Json] = [{"id": "unit", "value": WORDS.id}, {"id": "noValue", "value": QUIET_CELL}]
    if width:
        properties.append({"id": "custom.minWidth", "value": width})
    if row_links:
        properties.append({"id": "links", "value": [one.link() for one in row_links]})
    if fact.mappings:
        properties += _as_words(fact.mappings)
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def _as_words(mappings: Mapping[str, tuple[str, str]]) -> list[Json]:
    return [
        {"id": "mappings", "value": value_mappings(mappings)},
        {"id": "custom.cellOptions", "value": {"type": "color-text"}},
    ]


def _number_column(column: Column) -> Json:
    properties: list[Json] = [{"id": "unit", "value": column.unit.id}, {"id": "noValue", "value": QUIET_CELL}]
    if column.unit.decimals is not None:
        properties.append({"id": "decimals", "value": column.unit.decimals})
    if column.unit in WIDE:
        properties.append({"id": "custom.minWidth", "value": WIDE[column.unit]})
    if column.hidden:
        properties.append({"id": "custom.hidden", "value": True})
    if column.mappings:
        properties.append({"id": "custom.minWidth", "value": 84})
        properties += [
            {"id": "custom.cellOptions", "value": {"type": "color-text"}},
            {"id": "mappings", "value": [*value_mappings(column.mappings), when_empty(QUIET_CELL, QUIET)]},
        ]
    if column.meaning is not None:
        properties += [
            {"id": "custom.cellOptions", "value": {"type": "color-text"}},
            {"id": "thresholds", "value": {"mode": "absolute", "steps": steps(column.meaning)}},
            {"id": "color", "value": {"mode": "thresholds"}},
            # Else a cell without a value gets the colour of the least value, which is often the worst.
            {"id": "mappings", "value": [when_empty(QUIET_CELL, QUIET)]},
        ]
    return {"matcher": {"id": "byName", "options": column.title}, "properties": properties}
