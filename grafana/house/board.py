"""A board: a question, its answer and the evidence; and the JSON that Grafana 10 to 13 load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana.house.layout import Row, place
from grafana.house.links import ABOUT_ONE, board_url
from grafana.house.panels import DATASOURCE, text
from grafanalib import core
from grafanalib._gen import DashboardEncoder

from fleetwatch.catalogue.metric import Label, Metric

UID_PREFIX = "fw-"
DATASOURCE_UID = "fleetwatch-prometheus"
"""Uid of the provisioned data source, where the datasource variable starts."""

SCHEMA_VERSION = 41
"""The classic model of Grafana 12. Grafana 10 ignores the number, 13 migrates from it."""

# What grafanalib still writes for Grafana 6 and older, or what only repeats a default.
_OLD_DASHBOARD = ("__inputs", "gnetId", "hideControls", "id", "rows", "sharedCrosshair", "style")
_OLD_PANEL = ("cacheTimeout", "editable", "error", "hideTimeOverride", "minSpan", "span", "height")
COARSE = frozenset({"status-history", "heatmap"})
"""Kinds of panels that may ask for fewer points than they have pixels."""
_OLD_TARGET = ("intervalFactor", "metric", "query", "step", "target", "interval", "hide")

Json = dict[str, Any]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of the board: values of a label, several or all at once."""

    label: Label
    metric: Metric
    """The metric whose series know the values."""

    title: str = ""
    """What stands beside the choice; by default the label's name."""

    one: bool = False
    """Exactly one value, at first the first: for a board about one thing."""

    name: str = ""
    """What queries call it; by default the label's name."""

    shown: Label | None = None
    """The label whose value stands in the list instead; the metric has it too."""

    newest: Metric | None = None
    """With `shown`: the gauge that the list is sorted by, largest first."""

    other_than: str = ""
    """With `shown`: name of the variable whose value is left out."""

    above: tuple[Metric, float] | None = None
    """With `shown`: only those whose gauge is above the number."""

    @property
    def id(self) -> str:
        return self.name or self.label.name


@dataclass(frozen=True)
class Board:
    stem: str
    data: Json

    def text(self) -> str:
        """The generated file's content: the same bytes for the same board."""
        return json.dumps(self.data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def board(
    stem: str,
    title: str,
    *,
    question: str,
    rows: Sequence[Row],
    variables: Sequence[Variable] = (),
    leads_to: Sequence[tuple[str, str]] = (),
    alerts: str = "",
    alerts_where: str = 'severity!="info"',
    since: str = "now-6h",
) -> Board:
    """The board of a domain. leads_to: (stem, title) of boards with the details. alerts: domain whose alerts show.

    alerts_where: which of them, as matchers; on a board about one thing, those about that thing.
    """
    subtitle = Row("", (text(f"### {question}"),))
    dashboard = core.Dashboard(
        title=title,
        uid=UID_PREFIX + stem,
        description=question,
        tags=["fleetwatch"],
        editable=False,
        graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
        panels=place([subtitle, *rows]),
        templating=core.Templating([_datasource(), *_chained(variables)]),
        links=[_link(other, name, variables) for other, name in leads_to],
        annotations=core.Annotations([_firing(alerts, alerts_where)] if alerts else []),
        time=core.Time(since, "now"),
        timePicker=core.TimePicker([], []),
        timezone="browser",
        refresh="30s",
        schemaVersion=SCHEMA_VERSION,
        version=1,
    )
    return Board(stem, _modern(json.loads(json.dumps(dashboard.to_json_data(), cls=DashboardEncoder))))


def _modern(data: Json) -> Json:
    """What grafanalib wrote, without what no Grafana of today reads."""
    data["timepicker"] = {}
    data = _without(data, _OLD_DASHBOARD)
    data["panels"] = [_modern_panel(panel) for panel in data["panels"]]
    stripped: Json = _without_nulls(data)
    return stripped


def _modern_panel(panel: Json) -> Json:
    panel = _without(panel, _OLD_PANEL)
    # grafanalib's default makes lines coarse; cells must be few enough to be seen.
    if panel["type"] not in COARSE:
        panel = _without(panel, ("maxDataPoints",))
    panel["targets"] = [_modern_target(target) for target in panel["targets"]]
    if panel["type"] == "row":
        panel = _without(panel, ("fieldConfig", "targets", "transformations", "links", "transparent", "datasource"))
    elif not panel["targets"]:
        panel = _without(panel, ("targets", "transformations", "fieldConfig"))
    return panel


def _modern_target(target: Json) -> Json:
    """A query is asked either for the whole time range or for its end, never both."""
    instant = target["instant"]
    flags = {"range": not instant, "instant": instant, "exemplar": False, "editorMode": "code"}
    return _without(target, _OLD_TARGET) | flags


def _without(data: Json, keys: Sequence[str]) -> Json:
    return {key: value for key, value in data.items() if key not in keys}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _datasource() -> Json:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
        "current": {"selected": True, "text": "fleetwatch", "value": DATASOURCE_UID},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }


def _chained(variables: Sequence[Variable]) -> list[Json]:
    """Each variable offers the values that the ones before it leave over."""
    made: list[Json] = []
    for number, variable in enumerate(variables):
        before = [other for other in variables[:number] if other.label in variable.metric.labels and not other.name]
        narrowed = ",".join(f'{one.id}{"=" if one.one and variable.shown else "=~"}"${one.id}"' for one in before)
        query = f"label_values({variable.metric.prometheus}{{{narrowed}}}, {variable.label.name})"
        regex = ""
        if variable.shown:
            query, regex = _shown(variable, narrowed)
        # .* and not the list of values: series without the label, and values newer than the page, count.
        every = {"allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
        made.append(
            {
                "type": "query",
                "name": variable.id,
                "label": variable.title or variable.id.capitalize(),
                "description": variable.label.help,
                "datasource": DATASOURCE,
                "definition": query,
                "query": {"query": query, "refId": f"variable-{variable.id}"},
                **({"current": {}} if variable.one else every),
                "hide": 0,
                "includeAll": not variable.one,
                "multi": not variable.one,
                "options": [],
                "refresh": 2,
                "regex": regex,
                "sort": 0 if variable.shown else 1,
            }
        )
    return made


def _shown(variable: Variable, narrowed: str) -> tuple[str, str]:
    """Query and pattern of a variable whose list shows another label than its own.

    Grafana gets the series as text, labels in the order of the alphabet, and takes text and value out of it.
    """
    shown, order = variable.shown, variable.newest
    if shown is None or order is None:
        raise ValueError(f"variable {variable.id}: needs `newest` beside `shown`")
    label = variable.label.name
    left_out = f',{label}!="${variable.other_than}"' if variable.other_than else ""
    kept = ""
    if variable.above:
        gauge, least = variable.above
        kept = f" and on ({label}) (max by ({label}) ({gauge.prometheus}{{{narrowed}}}) > {least:g})"
    names = sorted([label, shown.name])
    by = ", ".join(names)
    query = (
        f"query_result(sort_desc(max by ({by}) ({variable.metric.prometheus}{{{narrowed}{left_out}}}) "
        f"* on ({label}) group_left () max by ({label}) ({order.prometheus}{{{narrowed}}}){kept}))"
    )
    groups = {label: "value", shown.name: "text"}
    return query, "/" + ",".join(f'{name}="(?<{groups[name]}>[^"]*)"' for name in names) + "/"


def _link(stem: str, title: str, variables: Sequence[Variable]) -> Any:
    """Takes the choices along, but not "all" to a board that knows exactly one and would show nothing."""
    keep_choices = stem not in ABOUT_ONE or all(variable.one for variable in variables)
    return core.DashboardLink(
        title=title, type="link", uri=board_url(stem), icon="dashboard", includeVars=keep_choices, keepTime=True
    )


def _firing(domain: str, where: str) -> Json:
    """Alerts that fire, as marks in every chart."""
    return {
        "name": "Alerts that fire",
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "expr": f'ALERTS{{domain="{domain}",alertstate="firing",{where}}}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}}",
        "step": "30s",
    }
