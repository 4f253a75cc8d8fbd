"""Who calls whom, drawn: circles and arrows from two sets of queries.

Grafana's node graph takes a table of nodes (id, title, subtitle, mainstat, secondarystat, arc__*) and one of edges (id,
source, target, mainstat, secondarystat). Each column of numbers is a query of its own here; those of one table are
merged by the labels that they share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from grafana.house.colours import NEUTRAL, steps
from grafana.house.links import board_url
from grafana.house.panels import DATASOURCE, Json, Modern, Panel, described, targets
from grafana.house.promql import Expr

NODE = ("id", "title", "subtitle")
EDGE = ("id", "source", "target")
STAT = "stat"


def relabelled(expr: Expr, name: str, *sources: str, prefix: str = "", suffix: str = "", separator: str = ":") -> Expr:
    """With one label more, made of others: `prefix` and their values with the separator between them."""
    if len(sources) == 1:
        text = f'label_replace({expr.text}, "{name}", "{prefix}$1{suffix}", "{sources[0]}", "(.*)")'
    elif sources and not prefix:
        quoted = ", ".join(f'"{one}"' for one in sources)
        text = f'label_join({expr.text}, "{name}", "{separator}", {quoted})'
    elif not sources:
        text = f'label_replace({expr.text}, "{name}", "{prefix}", "", "")'
    else:
        raise ValueError(f"{name}: a prefix goes with one label")
    return replace(expr, text=text, by=(*(label for label in expr.by if label != name), name), infix=False)


def only(expr: Expr, labels: Sequence[str]) -> Expr:
    """Summed over all labels but these."""
    return replace(expr, text=f"sum by ({', '.join(labels)}) ({expr.text})", by=tuple(labels), infix=False)


def node_graph(
    title: str,
    *,
    nodes: Mapping[str, Expr],
    edges: Mapping[str, Expr],
    words: Mapping[str, tuple[str, float]],
    arcs: Mapping[str, str],
    help: str,
    links: Mapping[str, tuple[str, str]],
    no_data: str = "No data",
    height: int = 22,
    width: int = 0,
) -> Panel:
    """nodes, edges: field -> query with the labels NODE or EDGE. arcs: node field -> colour; they add up to 1.

    words: field that is shown -> (its unit, the step that it is rounded to). links: title of a link in the menu of a
    node -> (board, variable), which gets the node's title.
    """
    if wrong := [field for field, expr in nodes.items() if set(expr.by) != set(NODE)]:
        raise ValueError(f"{title}: expected labels {', '.join(NODE)} in nodes' {', '.join(wrong)}")
    if wrong := [field for field, expr in edges.items() if set(expr.by) != set(EDGE)]:
        raise ValueError(f"{title}: expected labels {', '.join(EDGE)} in edges' {', '.join(wrong)}")
    exprs = [_column(field, expr, words) for field, expr in [*nodes.items(), *edges.items()]]
    body = Modern(
        kind="nodeGraph",
        title=title,
        dataSource=DATASOURCE,
        targets=targets(exprs, instant=True),
        description=described(help, exprs),
        transformations=_two_tables(len(nodes), len(edges)),
        thresholds=steps(NEUTRAL),
        defaults={"noValue": no_data},
        # The panel takes links from here, and nothing else.
        overrides=[
            {
                "matcher": {"id": "byName", "options": "title"},
                "properties": [{"id": "links", "value": [_menu(*item) for item in links.items()]}],
            }
        ],
        options={
            "nodes": {"arcs": [{"field": f"arc__{name}", "color": colour} for name, colour in arcs.items()]},
            "edges": {},
            "zoomMode": "cooperative",
        },
    )
    return Panel(body, height=height, width=width)


def _column(field: str, expr: Expr, words: Mapping[str, tuple[str, float]]) -> Expr:
    """The query with the name of its column in a label. What is shown in words is a text in a label itself: the panel
    gives a number two decimals, whatever it counts.
    """
    if field not in words:
        return relabelled(expr, STAT, prefix=field)
    unit, step = words[field]
    text = f'count_values by ({", ".join(expr.by)}) ("{field}", round({expr.text}, {step:g}))'
    told = relabelled(replace(expr, text=text, by=(*expr.by, field), infix=False), field, field, suffix=f" {unit}")
    return relabelled(told, STAT, prefix=f"{field} of")


def _two_tables(nodes: int, edges: int) -> list[Json]:
    """Labels become columns; a number's column gets the name that its query put into the label `stat`.

    Renaming a column would change only what it is called, and the panel goes by what it is.
    """
    letters = [chr(ord("A") + number) for number in range(nodes + edges)]
    made: list[Json] = []
    for group in (letters[:nodes], letters[nodes:]):
        of_group = {"id": "byRefId", "options": f"/^({'|'.join(group)})$/"}
        made += [
            {"id": "labelsToFields", "options": {"mode": "columns", "valueLabel": STAT}, "filter": of_group},
            {"id": "merge", "options": {}, "filter": of_group},
        ]
    return made


def _menu(title: str, target: tuple[str, str]) -> Json:
    board, variable = target
    return {
        "title": title,
        "url": f"{board_url(board)}?${{__url_time_range}}&var-{variable}=${{__data.fields.title}}",
    }
