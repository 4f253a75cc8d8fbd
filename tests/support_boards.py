"""What a board must be: rules over the generated JSON, each a function that says what is wrong, one line each."""

from __future__ import annotations

import itertools
import json
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from grafana.house import units

from fleetwatch.catalogue import all_metrics
from fleetwatch.places import PROJECT
from support_promql import Series, check

FOLDER = PROJECT / "grafana"
GENERATED = FOLDER / "generated"
STEMS = sorted(path.name.removesuffix(".dashboard.py") for path in (FOLDER / "boards").glob("*.dashboard.py"))

Json = dict[str, Any]
Rule = Callable[[Json], Iterator[str]]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
PANELS = {
    "stat",
    "timeseries",
    "bargauge",
    "barchart",
    "table",
    "heatmap",
    "state-timeline",
    "status-history",
    "nodeGraph",
    "text",
    "row",
}
UNITS = {unit.id for unit in vars(units).values() if isinstance(unit, units.Unit)}
# (board, panel) -> a window that is fixed because the figure is defined over it.
FIXED_WINDOWS = {("fw-llm", "Burn rate"): "1h"}
# Boards about one thing -> the variables that choose it.
ONE_OF = {
    "fw-host": ("host_name",),
    "fw-agent": ("agent",),
    "fw-run": ("pipeline", "slot"),
    "fw-compare": ("pipeline", "a", "b"),
    "fw-heatmap": ("pipeline", "phase"),
}
UNIT_WORDS = re.compile(
    r"\b(usd|dollars?|percent|seconds?|ms|minutes?|bytes?|per (second|minute|hour))\b|[%$]|/s\b", re.IGNORECASE
)
COUNTER = re.compile(r"\b(\w+_(?:total|bucket|sum|count))\b(?:\{[^}]*\})?")
# Of the catalogue's making, and no counters for all that their names end like some.
GAUGES = {metric.prometheus for _, metric in all_metrics() if metric.kind == "gauge"}
STEPPED = re.compile(
    r"(\w+\{[^}]*\}|\w+) - \1 offset \$__(?:interval|range)\b"
    # What was not there at the earlier reading, though its exporter was, has grown from nothing.
    r"(?: or \1 and on \(job, instance\) \w+ offset \$__range\b)?"
)
WINDOW = re.compile(r"\[([^\]]+)\]")


def load(stem: str) -> Json:
    board: Json = json.loads((GENERATED / f"{stem}.json").read_text(encoding="utf-8"))
    return board


def charts(board: Json) -> list[Json]:
    """Panels that show data."""
    return [panel for panel in board["panels"] if panel["type"] not in {"row", "text"}]


def queries(board: Json) -> Iterator[tuple[Json, Json]]:
    """(panel, target) of every query."""
    for panel in charts(board):
        for target in panel["targets"]:
            yield panel, target


def identity(board: Json) -> Iterator[str]:
    if not re.fullmatch(r"fw-[a-z]+(-[a-z]+)*", board.get("uid", "")):
        yield f"uid: expected fw-<stem>, got {board.get('uid')!r}"
    if board.get("editable") is not False:
        yield "editable: a change in the browser would be lost"
    if board["schemaVersion"] < 39:
        yield f"schemaVersion: {board['schemaVersion']} is read as an old board"
    if not board.get("description", "").endswith("?"):
        yield "description: expected the question that the board answers"
    if board.get("description", "no question") not in board["panels"][0].get("options", {}).get("content", ""):
        yield "the first panel does not show the question"
    if board["panels"][1]["type"] != "stat":
        yield "the answer in big figures must come first"


def described(board: Json) -> Iterator[str]:
    for panel in charts(board):
        name = panel.get("title") or f"panel {panel['id']}"
        if not panel.get("title"):
            yield f"{name}: has no title"
        if len(panel.get("description", "")) < 20:
            yield f"{name}: has no description"
        if not panel["fieldConfig"]["defaults"].get("noValue"):
            yield f"{name}: does not say what its emptiness means"
    titles = [panel["title"] for panel in charts(board) if panel.get("title")]
    yield from (f"{title}: title used twice" for title in set(titles) if titles.count(title) > 1)


def units_of_the_vocabulary(board: Json) -> Iterator[str]:
    for panel in charts(board):
        for unit in _units(panel):
            if unit not in UNITS:
                yield f"{panel['title']}: unit {unit!r} is not in the vocabulary"
        if UNIT_WORDS.search(panel["title"]):
            yield f"{panel['title']}: the unit belongs to the values, not into the title"


def _units(panel: Json) -> list[str | None]:
    if panel["type"] == "table":
        numbers = [o for o in panel["fieldConfig"]["overrides"] if any(p["id"] == "noValue" for p in o["properties"])]
        return [next((p["value"] for p in o["properties"] if p["id"] == "unit"), None) for o in numbers]
    if panel["type"] == "heatmap":
        return [panel["options"]["yAxis"].get("unit")]
    if panel["type"] == "nodeGraph":  # its queries write the units
        return []
    return [panel["fieldConfig"]["defaults"].get("unit")]


def modern_panels(board: Json) -> Iterator[str]:
    for panel in board["panels"]:
        if panel["type"] not in PANELS:
            yield f"{panel.get('title')}: panel type {panel['type']} is not of today's Grafana"
        # Cells must be few enough to be seen.
        if panel["type"] not in {"row", "status-history", "heatmap"} and "maxDataPoints" in panel:
            yield f"{panel['title']}: maxDataPoints makes coarse lines"


def data_source(board: Json) -> Iterator[str]:
    variable = next((item for item in board["templating"]["list"] if item["type"] == "datasource"), None)
    if variable is None or variable["current"]["value"] != "fleetwatch-prometheus":
        yield "no datasource variable that starts with the provisioned data source"
    for panel in charts(board):
        if panel.get("datasource") != DATASOURCE:
            yield f"{panel['title']}: panel does not use ${{datasource}}"
    for panel, target in queries(board):
        if target.get("datasource") != DATASOURCE:
            yield f"{panel['title']}: query {target['refId']} does not use ${{datasource}}"


def windows(board: Json) -> Iterator[str]:
    for panel, target in queries(board):
        wanted = FIXED_WINDOWS.get((board["uid"], panel["title"]))
        wanted = wanted or ("$__range" if target["instant"] else "$__rate_interval")
        for window in WINDOW.findall(target["expr"]):
            if window != wanted:
                yield f"{panel['title']}: query {target['refId']} looks at [{window}], expected [{wanted}]"
        if target["instant"] == target["range"]:
            yield f"{panel['title']}: query {target['refId']} must be either instant or over a range"
        if target.get("exemplar") is not False:
            yield f"{panel['title']}: query {target['refId']} asks for exemplars"
        # A growth takes two readings of the same series.
        expr = STEPPED.sub("", target["expr"])
        for found in COUNTER.finditer(expr):
            if expr[found.end() : found.end() + 1] != "[" and found[1] not in GAUGES:
                yield f"{panel['title']}: query {target['refId']} reads a counter as it stands: {found.group()}"


def links(board: Json) -> Iterator[str]:
    stems = {f"/d/fw-{stem}" for stem in STEMS}
    others = [link["url"] for link in board.get("links", [])]
    if not others:
        yield "no link to another board"
    inside = re.findall(r'"(/d/[^"?]*)', json.dumps(board))
    yield from (f"link to {url}: no such board" for url in sorted({*others, *inside}) if url not in stems)
    runbooks = set(re.findall(r"/runbooks/(\w+)", json.dumps(board)))
    if not runbooks:
        yield "no panel links to a runbook"
    for name in sorted(runbooks):
        if not (PROJECT / "prometheus" / "runbooks" / f"{name}.md").exists():
            yield f"runbook {name}: no such file in prometheus/runbooks"


def layout(board: Json) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        name = panel.get("title") or panel["type"]
        if place["x"] + place["w"] > 24:
            yield f"{name}: reaches over the edge"
        columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = list(itertools.product(columns, lines))
        if over := {taken[cell] for cell in cells if cell in taken}:
            yield f"{name}: lies over {', '.join(sorted(over))}"
        taken |= dict.fromkeys(cells, name)
    ids = [panel["id"] for panel in board["panels"]]
    if len(set(ids)) < len(ids):
        yield "two panels have the same id"
    bottom = max(y for _, y in taken) + 1
    if len(taken) != 24 * bottom:
        yield "there are holes between the panels"


def variables(board: Json) -> Iterator[str]:
    known = {item["name"] for item in board["templating"]["list"]} | {"__range", "__rate_interval", "__interval"}
    for panel, target in queries(board):
        for name in re.findall(r"\$\{?([a-z_]\w*)", target["expr"]):
            if name not in known:
                yield f"{panel['title']}: ${name} is no variable of the board"
    for item in board["templating"]["list"]:
        one = item["name"] in ONE_OF.get(board["uid"], ())
        if item["type"] == "query" and {item["multi"], item["includeAll"]} != {not one}:
            yield f"variable {item['name']}: must offer {'one value' if one else 'several values and all'}"


def names(board: Json, series: Series) -> Iterator[str]:
    """Every metric and label of panels, variables and annotations exists."""
    for panel, target in queries(board):
        for problem in check(target["expr"], series).problems:
            yield f"{panel['title']}: query {target['refId']}: {problem}"
    for item in board["templating"]["list"]:
        if item["type"] == "query":
            for problem in check(_of_variable(item), series).problems:
                yield f"variable {item['name']}: {problem}"
    for annotation in board["annotations"]["list"]:
        for problem in check(annotation["expr"], series).problems:
            yield f"annotation {annotation['name']}: {problem}"


def _of_variable(item: Json) -> str:
    """The query behind a variable's values as an expression that names all that it needs."""
    query = item["query"]["query"]
    if values := re.fullmatch(r"label_values\((.*), (\w+)\)", query):
        return f"sum by ({values[2]}) ({values[1]})"
    # Its list shows one label and chooses by another: Grafana takes both out of the series' text.
    inner = re.fullmatch(r"query_result\((.*)\)", query)[1]  # type: ignore[index]  # a query of another form must fail here
    labels = re.findall(r'(\w+)="\(\?<', item["regex"])
    return f"sum by ({', '.join(labels)}) ({inner})"


RULES: list[Rule] = [
    identity,
    described,
    units_of_the_vocabulary,
    modern_panels,
    data_source,
    windows,
    links,
    layout,
    variables,
]


def lost_in_schema(board: Json) -> list[str]:
    """Paths of ours that the schema package's models do not know, or read as something else."""
    with warnings.catch_warnings():
        # The package wants the newest model; files of Grafana 10 to 13 are in the classic one.
        warnings.simplefilter("ignore", DeprecationWarning)
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.cog.plugins import register_default_plugins
        from grafana_foundation_sdk.models import dashboard as schema

        register_default_plugins()
        parsed = schema.Dashboard.from_json(board)
    return list(_lost(board, json.loads(JSONEncoder().encode(parsed)), ""))


def _lost(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key not in theirs:
                yield f"{path}.{key}"
            else:
                yield from _lost(value, theirs[key], f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (left, right) in enumerate(zip(ours, theirs, strict=True)):
            yield from _lost(left, right, f"{path}[{number}]")
    elif ours != theirs:
        yield f"{path}: {ours!r} became {theirs!r}"
