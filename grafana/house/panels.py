"""The kinds of panels that boards are made of, in one taste: values from zero, one tooltip for all series.

Every panel says what it shows (`help`), in which unit, and what its emptiness means (`no_data`).
grafanalib's Table, Heatmap and BarGauge still write fields of old Grafana versions; these are `_Modern` here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from grafana.house.colours import BAD, GOOD, NEUTRAL, QUIET, Limits, Meaning, steps
from grafana.house.links import cell_link, runbook_link, series_link
from grafana.house.promql import Expr
from grafana.house.units import Unit
from grafanalib import core

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
QUIET_CELL = "–"

Json = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """A panel before it has a place. height in grid units of about 38 pixels; width of 24, 0 for an even share."""

    body: Any  # a grafanalib panel; the library has no types
    height: int = 8
    width: int = 0


class Column(NamedTuple):
    """A column of numbers in a table, one query."""

    title: str
    expr: Expr
    unit: Unit
    meaning: Meaning | None = None


def stat(
    title: str,
    expr: Expr,
    *,
    unit: Unit,
    help: str,
    no_data: str = "No data",
    empty: str = QUIET,
    meaning: Meaning = NEUTRAL,
    mappings: Mapping[str, tuple[str, str]] | None = None,
    show: str = "value",
    runbook: str = "",
    width: int = 0,
) -> Panel:
    """One big figure: the value now, or over the range. mappings: value -> (text, colour). show: value or name.

    empty: colour of `no_data`, which without it would have the colour of the lowest value.
    """
    body = core.Stat(
        title=title,
        dataSource=DATASOURCE,
        targets=_targets([expr], instant=True),
        description=_help(help, [expr]),
        format=unit.id,
        decimals=unit.decimals,
        noValue=no_data,
        mappings=[*_mappings(mappings), _when_empty(no_data, empty)],
        color={"mode": "thresholds"},
        colorMode="value",
        graphMode="none",
        reduceCalc="lastNotNull",
        textMode=show,
        thresholds=steps(meaning),
        links=runbook_link(runbook),
    )
    return Panel(body, height=4, width=width)


def timeseries(
    title: str,
    *exprs: Expr,
    unit: Unit,
    help: str,
    no_data: str = "No data",
    stacked: bool = False,
    colours: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    runbook: str = "",
    width: int = 0,
) -> Panel:
    """Lines over time; stacked where the sum means something. limits: drawn as lines."""
    body = core.TimeSeries(
        title=title,
        dataSource=DATASOURCE,
        targets=_targets(exprs),
        description=_help(help, exprs),
        unit=unit.id,  # without decimals: an axis needs as many as its steps have
        lineWidth=2,
        fillOpacity=25 if stacked else 8,
        showPoints="auto",
        pointSize=4,
        stacking={"mode": "normal" if stacked else "none", "group": "A"},
        tooltipMode="multi",
        tooltipSort="desc",
        thresholds=steps(limits) if limits else [{"color": NEUTRAL}],
        thresholdsStyleMode="dashed" if limits else "off",
        overrides=[_colour(name, colour) for name, colour in (colours or {}).items()],
        links=runbook_link(runbook),
        extraJson={
            "fieldConfig": {"defaults": {"noValue": no_data, "custom": {"axisSoftMin": 0}}},
            "options": {"legend": {"showLegend": True}},
        },
    )
    return Panel(body, width=width)


def bars(
    title: str,
    *exprs: Expr,
    unit: Unit,
    help: str,
    no_data: str = "No data",
    meaning: Meaning = NEUTRAL,
    colours: Mapping[str, str] | None = None,
    link: str = "",
    runbook: str = "",
    width: int = 0,
) -> Panel:
    """One horizontal bar per series, sorted as the query sorts: use `top`. link: board opened by a click on a bar."""
    # A single bar goes without a name unless it is asked for. Colours match names, and need none to be set.
    labels = [] if colours or len(exprs) > 1 else [f"${{__field.labels.{label}}}" for label in exprs[0].by]
    body = _Modern(
        kind="bargauge",
        title=title,
        dataSource=DATASOURCE,
        targets=_targets(exprs, instant=True),
        description=_help(help, exprs),
        links=runbook_link(runbook),
        thresholds=steps(meaning),
        defaults={
            "unit": unit.id,
            "decimals": unit.decimals,
            "min": 0,
            "noValue": no_data,
            "color": {"mode": "thresholds"},
            "links": [series_link(link, exprs[0].by)] if link else [],
            **({"displayName": " · ".join(labels)} if labels else {}),
        },
        overrides=[_colour(name, colour) for name, colour in (colours or {}).items()],
        options={
            "displayMode": "basic",
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showUnfilled": False,
            "valueMode": "text",
            "namePlacement": "left",
            "sizing": "manual",
            "minVizHeight": 18,
            "minVizWidth": 8,
            "maxVizHeight": 32,
            "text": {"titleSize": 13, "valueSize": 15},
        },
    )
    return Panel(body, width=width)


def table(
    title: str,
    keys: Sequence[str],
    columns: Sequence[Column],
    *,
    help: str,
    sort: str,
    no_data: str = "No data",
    link: str = "",
    runbook: str = "",
    height: int = 8,
    width: int = 0,
) -> Panel:
    """One row per set of label values (`keys`), one query per column. sort: title of the column, largest first.

    link: board opened by a click on a key, with the key as its variable.
    """
    if wrong := [column.title for column in columns if tuple(column.expr.by) != tuple(keys)]:
        raise ValueError(f"table {title}: expected labels {', '.join(keys)} in {', '.join(wrong)}")
    if sort not in [column.title for column in columns]:
        raise ValueError(f"table {title}: has no column {sort}")
    exprs = [column.expr for column in columns]
    body = _Modern(
        kind="table",
        title=title,
        dataSource=DATASOURCE,
        targets=_targets(exprs, instant=True, format="table"),
        description=_help(help, exprs),
        links=runbook_link(runbook),
        transformations=_as_one_table(keys, columns),
        thresholds=steps(NEUTRAL),
        defaults={"noValue": no_data, "custom": {"align": "auto", "filterable": False, "minWidth": 64}},
        overrides=[*_key_columns(keys, link), *(_number_column(column) for column in columns)],
        options={
            "showHeader": True,
            "cellHeight": "sm",
            "frameIndex": 0,
            "sortBy": [{"displayName": sort, "desc": True}],
        },
    )
    return Panel(body, height=height, width=width)


def heatmap(title: str, expr: Expr, *, unit: Unit, help: str, no_data: str = "No data", width: int = 0) -> Panel:
    """A histogram's buckets over time: the scale below says which colour is many. expr: from `Scope.buckets`."""
    body = _Modern(
        kind="heatmap",
        title=title,
        dataSource=DATASOURCE,
        targets=_targets([expr], format="heatmap"),
        description=_help(help, [expr]),
        thresholds=steps(NEUTRAL),
        defaults={"noValue": no_data, "custom": {"hideFrom": {"legend": False, "tooltip": False, "viz": False}}},
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {
                "mode": "scheme",
                "scheme": "Blues",
                "fill": NEUTRAL,
                "scale": "exponential",
                "exponent": 0.5,
                "steps": 32,
                "reverse": False,
            },
            "exemplars": {"color": BAD},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"mode": "single", "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "unit": unit.id, "reverse": False},
        },
    )
    return Panel(body, width=width)


def state_timeline(
    title: str,
    *exprs: Expr,
    help: str,
    no_data: str = "No data",
    mappings: Mapping[str, tuple[str, str]] | None = None,
    runbook: str = "",
    height: int = 8,
    width: int = 0,
) -> Panel:
    """States over time, a lane per series. mappings: value -> (text, colour); default 1 is Up and 0 is Down."""
    body = core.StateTimeline(
        title=title,
        dataSource=DATASOURCE,
        targets=_targets(exprs),
        description=_help(help, exprs),
        mappings=_mappings(mappings or {"1": ("Up", GOOD), "0": ("Down", BAD)}),
        thresholds=steps(Limits(1, 1, falling=True)),
        legendDisplayMode="list",
        showValue="never",
        links=runbook_link(runbook),
        extraJson={
            "fieldConfig": {"defaults": {"noValue": no_data, "unit": "none"}},
            "options": {"legend": {"showLegend": False}},
        },
    )
    return Panel(body, height=height, width=width)


def text(markdown: str, *, height: int = 2) -> Panel:
    """Words across the board, without a frame."""
    body = core.Text(content=markdown, description=markdown, transparent=True, dataSource=None)
    return Panel(body, height=height, width=24)


class _Modern(core.Panel):  # type: ignore[misc]  # grafanalib has no types
    """A panel kind in the schema of today: options and field defaults as Grafana 8 and newer read them."""

    def __init__(self, kind: str, options: Json, defaults: Json, overrides: Sequence[Json] = (), **common: Any) -> None:
        super().__init__(**common)
        self.kind = kind
        self.options = options
        self.field_config = {"defaults": defaults, "overrides": list(overrides)}

    def to_json_data(self) -> Any:
        return self.panel_json({"type": self.kind, "options": self.options, "fieldConfig": self.field_config})


def _targets(exprs: Iterable[Expr], *, instant: bool = False, format: str = "time_series") -> list[Any]:
    return [
        core.Target(
            expr=expr.text,
            legendFormat="{{le}}" if format == "heatmap" else expr.legend,
            refId=chr(ord("A") + number),
            instant=instant,
            format=format,
            datasource=DATASOURCE,
        )
        for number, expr in enumerate(exprs)
    ]


def _help(help: str, exprs: Iterable[Expr]) -> str:
    """The description, with a word on the board's filters where they cannot narrow the figures."""
    unscoped = sorted(frozenset[str]().union(*(expr.unscoped for expr in exprs)))
    if not unscoped:
        return help
    filters = f"{', '.join(unscoped)}: these filters do" if len(unscoped) > 1 else f"The {unscoped[0]} filter does"
    return f"{help}\n\n{filters} not apply to every figure here."


def _mappings(mappings: Mapping[str, tuple[str, str]] | None) -> list[Json]:
    if not mappings:
        return []
    options = {
        value: {"text": words, "color": colour, "index": number}
        for number, (value, (words, colour)) in enumerate(mappings.items())
    }
    return [{"type": "value", "options": options}]


def _when_empty(words: str, colour: str) -> Json:
    return {"type": "special", "options": {"match": "null", "result": {"text": words, "color": colour, "index": 99}}}


def _colour(name: str, colour: str) -> Json:
    """The series with this legend in one colour."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
    }


def _as_one_table(keys: Sequence[str], columns: Sequence[Column]) -> list[Json]:
    """Queries joined on their labels. A lone query's number is called Value, several are Value #A, Value #B …"""
    names = {key: key.capitalize() for key in keys}
    names |= {f"Value #{chr(ord('A') + number)}": column.title for number, column in enumerate(columns)}
    if len(columns) == 1:
        names["Value"] = columns[0].title
    order = {name: number for number, name in enumerate(names)}
    return [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names},
        },
    ]


def _key_columns(keys: Sequence[str], link: str) -> Iterator[Json]:
    """The last key is the row's own name and gets the most room."""
    for key in keys:
        properties: list[Json] = [{"id": "custom.minWidth", "value": 190 if key == keys[-1] else 100}]
        if link:
            properties.append({"id": "links", "value": [cell_link(link, key)]})
        yield {"matcher": {"id": "byName", "options": key.capitalize()}, "properties": properties}


def _number_column(column: Column) -> Json:
    properties: list[Json] = [{"id": "unit", "value": column.unit.id}, {"id": "noValue", "value": QUIET_CELL}]
    if column.unit.decimals is not None:
        properties.append({"id": "decimals", "value": column.unit.decimals})
    if column.meaning is not None:
        properties += [
            {"id": "custom.cellOptions", "value": {"type": "color-text"}},
            {"id": "thresholds", "value": {"mode": "absolute", "steps": steps(column.meaning)}},
            {"id": "color", "value": {"mode": "thresholds"}},
        ]
    return {"matcher": {"id": "byName", "options": column.title}, "properties": properties}
