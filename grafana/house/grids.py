"""Panels about the parts of runs: exact bars, side by side or as a Gantt chart, and grids of coloured cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana.house.colours import NEUTRAL, QUIET, Meaning, steps
from grafana.house.links import RowLink, runbook_link
from grafana.house.panels import DATASOURCE, Json, Modern, Panel, described, targets, value_mappings, when_empty
from grafana.house.promql import Expr
from grafana.house.units import WORDS, Unit

EMPTY_CELL = "–"
_NO_LEGEND = {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []}


def gantt(
    title: str,
    after: Expr,
    took: Expr,
    *,
    unit: Unit,
    help: str,
    no_data: str = "No data",
    runbook: str = "",
    height: int = 8,
    width: int = 0,
) -> Panel:
    """A bar per part, from its beginning to its end, exact whatever the range on the screen.

    after: when each part began, from the beginning of the whole; took: how long it took. Both with one label.
    """
    overrides = [
        _series(
            "Began after",
            ("color", {"mode": "fixed", "fixedColor": "transparent"}),
            ("custom.fillOpacity", 0),
            ("custom.lineWidth", 0),
        ),
        _series("Took", ("color", {"mode": "fixed", "fixedColor": NEUTRAL})),
    ]
    named = {"Began after": after, "Took": took}
    body = _bar_chart(title, named, unit, help, overrides, no_data=no_data, runbook=runbook)
    body.transformations.append(
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": "Began after", "desc": False}]}}
    )
    body.options |= {"stacking": "normal", "legend": _NO_LEGEND}
    return Panel(body, height=height, width=width)


def side_by_side(
    title: str,
    named: Mapping[str, Expr],
    *,
    unit: Unit,
    colours: Mapping[str, str],
    help: str,
    no_data: str = "No data",
    runbook: str = "",
    height: int = 8,
    width: int = 0,
) -> Panel:
    """For each value of the one label that all expressions have, a bar per expression. named: name -> expression."""
    overrides = [_series(name, ("color", {"mode": "fixed", "fixedColor": colour})) for name, colour in colours.items()]
    body = _bar_chart(title, named, unit, help, overrides, no_data=no_data, runbook=runbook)
    return Panel(body, height=height, width=width)


def _bar_chart(
    title: str,
    named: Mapping[str, Expr],
    unit: Unit,
    help: str,
    overrides: Sequence[Json],
    *,
    no_data: str,
    runbook: str,
) -> Modern:
    exprs = list(named.values())
    if wrong := [name for name, expr in named.items() if len(expr.by) != 1 or expr.by != exprs[0].by]:
        raise ValueError(f"{title}: expected one label, the same in all, in {', '.join(wrong)}")
    key = exprs[0].by[0]
    names = {f"Value #{chr(ord('A') + number)}": name for number, name in enumerate(named)}
    organise: Json = {
        "excludeByName": {"Time": True},
        "indexByName": {name: number for number, name in enumerate([key, *names])},
        "renameByName": names,
    }
    transformations: list[Json] = [{"id": "merge", "options": {}}, {"id": "organize", "options": organise}]
    return Modern(
        kind="barchart",
        title=title,
        dataSource=DATASOURCE,
        targets=targets(exprs, instant=True, format="table"),
        description=described(help, exprs),
        links=runbook_link(runbook),
        transformations=transformations,
        thresholds=steps(NEUTRAL),
        defaults={
            "unit": unit.id,
            "noValue": no_data,
            "min": 0,
            "custom": {"lineWidth": 1, "fillOpacity": 80, "axisPlacement": "auto"},
        },
        overrides=overrides,
        options={
            "xField": key,
            "orientation": "horizontal",
            "stacking": "none",
            "showValue": "never",
            "barWidth": 0.9,
            "groupWidth": 0.8,
            "barRadius": 0,
            "fullHighlight": False,
            "xTickLabelRotation": 0,
            "xTickLabelMaxLength": 24,
            "xTickLabelSpacing": 0,
            "legend": {**_NO_LEGEND, "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "none"},
        },
    )


def matrix(
    title: str,
    value: Expr,
    order: Expr,
    *,
    row: str,
    column: str,
    unit: Unit,
    help: str,
    row_title: str,
    no_data: str = "No data",
    meaning: Meaning | None = None,
    mappings: Mapping[str, tuple[str, str]] | None = None,
    link: RowLink | None = None,
    runbook: str = "",
    height: int = 10,
    width: int = 0,
) -> Panel:
    """A coloured cell for each pair of a value of label `row` and one of label `column`.

    order: for the same cells, each; its smallest values come first, from the left and from above.
    meaning, mappings: colours by limits, or by value with words (value -> (text, colour)).
    """
    if not set(value.by) == set(order.by) == {row, column}:
        raise ValueError(f"{title}: expected labels {row}, {column}")
    corner = f"{row}\\{column}"
    words: list[Json] = [
        {"id": "unit", "value": WORDS.id},
        {"id": "noValue", "value": EMPTY_CELL},
        {"id": "displayName", "value": row_title},
        {"id": "custom.minWidth", "value": 110},
    ]
    body = Modern(
        kind="table",
        title=title,
        dataSource=DATASOURCE,
        targets=targets([value, order], instant=True, format="table"),
        description=described(help, [value, order]),
        links=runbook_link(runbook),
        transformations=[
            {"id": "merge", "options": {}},
            {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": "Value #B", "desc": False}]}},
            {
                "id": "groupingToMatrix",
                "options": {"columnField": column, "rowField": row, "valueField": "Value #A", "emptyValue": "null"},
            },
        ],
        thresholds=steps(NEUTRAL),
        defaults={"noValue": no_data, "custom": {"align": "auto", "filterable": False, "minWidth": 60}},
        overrides=[
            {"matcher": {"id": "byType", "options": "number"}, "properties": _cells(unit, meaning, mappings, link)},
            {"matcher": {"id": "byName", "options": corner}, "properties": words},
        ],
        options={"showHeader": True, "cellHeight": "sm", "frameIndex": 0},
    )
    return Panel(body, height=height, width=width)


def _cells(
    unit: Unit, meaning: Meaning | None, mappings: Mapping[str, tuple[str, str]] | None, link: RowLink | None
) -> list[Json]:
    colours: list[Json] = [
        {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}},
        {"id": "color", "value": {"mode": "thresholds"}},
        {"id": "thresholds", "value": {"mode": "absolute", "steps": steps(meaning or QUIET)}},
        {"id": "mappings", "value": [*value_mappings(mappings), when_empty(EMPTY_CELL, "transparent")]},
        {"id": "unit", "value": unit.id},
        {"id": "decimals", "value": unit.decimals or 0},
        {"id": "noValue", "value": EMPTY_CELL},
        {"id": "custom.align", "value": "center"},
    ]
    if link:
        colours.append({"id": "links", "value": [link.link()]})
    return colours


def status_history(
    title: str,
    expr: Expr,
    *,
    unit: Unit,
    meaning: Meaning,
    help: str,
    no_data: str = "No data",
    columns: int = 48,
    least: str = "",
    runbook: str = "",
    height: int = 10,
    width: int = 0,
) -> Panel:
    """A coloured cell for each series and step of time.

    columns: steps at most, so that cells can be seen. least: the shortest step.
    """
    body = Modern(
        kind="status-history",
        interval=least or None,
        title=title,
        dataSource=DATASOURCE,
        targets=targets([expr]),
        description=described(help, [expr]),
        links=runbook_link(runbook),
        maxDataPoints=columns,
        thresholds=steps(meaning),
        defaults={
            "unit": unit.id,
            "decimals": unit.decimals,
            "noValue": no_data,
            "color": {"mode": "thresholds"},
            "custom": {"lineWidth": 0, "fillOpacity": 80},
        },
        options={
            "showValue": "never",
            "rowHeight": 0.9,
            "colWidth": 0.95,
            "legend": _NO_LEGEND,
            "tooltip": {"mode": "single", "sort": "none"},
        },
    )
    return Panel(body, height=height, width=width)


def _series(name: str, *properties: tuple[str, object]) -> Json:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties],
    }
