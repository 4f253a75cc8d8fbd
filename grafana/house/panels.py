"""The kinds of panels that boards are made of, in one taste: values from zero, one tooltip for all series.

Every panel says what it shows (`help`), in which unit, and what its emptiness means (`no_data`).
grafanalib's Table, Heatmap and BarGauge still write fields of old Grafana versions; these are `Modern` here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana.house.colours import BAD, GOOD, NEUTRAL, QUIET, Limits, Meaning, steps
from grafana.house.links import runbook_link, series_link
from grafana.house.promql import Expr
from grafana.house.units import Unit
from grafanalib import core

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """A panel before it has a place. height in grid units of about 38 pixels; width of 24, 0 for an even share."""

    body: Any  # a grafanalib panel; the library has no types
    height: int = 8
    width: int = 0


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
        targets=targets([expr], instant=True),
        description=described(help, [expr]),
        format=unit.id,
        decimals=unit.decimals,
        noValue=no_data,
        mappings=[*value_mappings(mappings), when_empty(no_data, empty)],
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
    counts: bool = False,
    least: str = "",
    runbook: str = "",
    width: int = 0,
) -> Panel:
    """Lines over time; stacked where the sum means something. limits: drawn as lines.

    counts: bars, for what happens now and then and is counted per step. least: the shortest step, where the series are
    recorded no oftener.
    """
    body = core.TimeSeries(
        interval=least or None,
        title=title,
        dataSource=DATASOURCE,
        targets=targets(exprs),
        description=described(help, exprs),
        unit=unit.id,  # without decimals: an axis needs as many as its steps have
        drawStyle="bars" if counts else "line",
        lineWidth=1 if counts else 2,
        fillOpacity=80 if counts else 25 if stacked else 8,
        showPoints="never" if counts else "auto",
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
    body = Modern(
        kind="bargauge",
        title=title,
        dataSource=DATASOURCE,
        targets=targets(exprs, instant=True),
        description=described(help, exprs),
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


def heatmap(
    title: str,
    expr: Expr,
    *,
    unit: Unit,
    help: str,
    no_data: str = "No data",
    columns: int = 0,
    width: int = 0,
    least: str = "",
) -> Panel:
    """A histogram's buckets over time: the scale below says which colour is many. expr: from `Scope.buckets`.

    columns: steps at most, so that cells can be seen where little happens in a step. least: the shortest step.
    """
    body = Modern(
        kind="heatmap",
        title=title,
        dataSource=DATASOURCE,
        targets=targets([expr], format="heatmap"),
        description=described(help, [expr]),
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
                # Else one run in each cell would be the least there is, and white.
                **({"min": 0} if columns else {}),
            },
            "exemplars": {"color": BAD},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"mode": "single", "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "unit": unit.id, "reverse": False},
        },
        maxDataPoints=columns or None,
        interval=least or None,
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
    # By thresholds Grafana knows two colours and takes them from there, not from the mappings.
    colour = {"color": {"mode": "palette-classic"}} if mappings else {}
    body = core.StateTimeline(
        title=title,
        dataSource=DATASOURCE,
        targets=targets(exprs),
        description=described(help, exprs),
        mappings=value_mappings(mappings or {"1": ("Up", GOOD), "0": ("Down", BAD)}),
        thresholds=steps(Limits(1, 1, falling=True)),
        legendDisplayMode="list",
        showValue="auto" if mappings else "never",
        links=runbook_link(runbook),
        extraJson={
            "fieldConfig": {"defaults": {"noValue": no_data, "unit": "none", **colour}},
            "options": {"legend": {"showLegend": False}},
        },
    )
    return Panel(body, height=height, width=width)


def text(markdown: str, *, height: int = 2) -> Panel:
    """Words across the board, without a frame."""
    body = core.Text(content=markdown, description=markdown, transparent=True, dataSource=None)
    return Panel(body, height=height, width=24)


class Modern(core.Panel):  # type: ignore[misc]  # grafanalib has no types
    """A panel kind in the schema of today: options and field defaults as Grafana 8 and newer read them."""

    def __init__(self, kind: str, options: Json, defaults: Json, overrides: Sequence[Json] = (), **common: Any) -> None:
        super().__init__(**common)
        self.kind = kind
        self.options = options
        self.field_config: Json = {"defaults": defaults, "overrides": list(overrides)}

    def to_json_data(self) -> Any:
        return self.panel_json({"type": self.kind, "options": self.options, "fieldConfig": self.field_config})


def targets(exprs: Iterable[Expr], *, instant: bool = False, format: str = "time_series") -> list[Any]:
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


def described(help: str, exprs: Iterable[Expr]) -> str:
    """The description, with a word on the board's filters where they cannot narrow the figures."""
    unscoped = sorted(frozenset[str]().union(*(expr.unscoped for expr in exprs)))
    if not unscoped:
        return help
    filters = f"{', '.join(unscoped)}: these filters do" if len(unscoped) > 1 else f"The {unscoped[0]} filter does"
    return f"{help}\n\n{filters} not apply to every figure here."


def value_mappings(mappings: Mapping[str, tuple[str, str]] | None) -> list[Json]:
    if not mappings:
        return []
    options = {
        value: {"text": words, "color": colour, "index": number}
        for number, (value, (words, colour)) in enumerate(mappings.items())
    }
    return [{"type": "value", "options": options}]


def when_empty(words: str, colour: str) -> Json:
    """A mapping that shows words where there is no value."""
    return {"type": "special", "options": {"match": "null", "result": {"text": words, "color": colour, "index": 99}}}


def _colour(name: str, colour: str) -> Json:
    """The series with this legend in one colour."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
    }
