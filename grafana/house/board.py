"""A board: a question, its answer and the evidence; and the JSON that Grafana 10 to 13 load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana.house.layout import Row, place
from grafana.house.links import board_url
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
_OLD_PANEL = ("cacheTimeout", "editable", "error", "hideTimeOverride", "maxDataPoints", "minSpan", "span", "height")
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
        links=[_link(other, name) for other, name in leads_to],
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
        before = [other.label for other in variables[:number] if other.label in variable.metric.labels]
        narrowed = ",".join(f'{label.name}=~"${label.name}"' for label in before)
        query = f"label_values({variable.metric.prometheus}{{{narrowed}}}, {variable.label.name})"
        # .* and not the list of values: series without the label, and values newer than the page, count.
        every = {"allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
        made.append(
            {
                "type": "query",
                "name": variable.label.name,
                "label": variable.title or variable.label.name.capitalize(),
                "description": variable.label.help,
                "datasource": DATASOURCE,
                "definition": query,
                "query": {"query": query, "refId": f"variable-{variable.label.name}"},
                **({"current": {}} if variable.one else every),
                "hide": 0,
                "includeAll": not variable.one,
                "multi": not variable.one,
                "options": [],
                "refresh": 2,
                "regex": "",
                "sort": 1,
            }
        )
    return made


def _link(stem: str, title: str) -> Any:
    return core.DashboardLink(
        title=title, type="link", uri=board_url(stem), icon="dashboard", includeVars=True, keepTime=True
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
