"""Every board is fresh, in the schema of today's Grafana, complete, and names no metric or label that nobody emits.

Each rule is also shown a board that breaks it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from grafana.house import build
from grafana.house.links import ABOUT_ONE

from fleetwatch.catalogue import all_metrics
from fleetwatch.places import PROJECT
from support_boards import (
    FOLDER,
    RULES,
    STEMS,
    Json,
    Rule,
    charts,
    data_source,
    described,
    identity,
    layout,
    links,
    load,
    lost_in_schema,
    modern_panels,
    names,
    queries,
    units_of_the_vocabulary,
    variables,
    windows,
)
from support_promql import Series, known_series, rules_of


@pytest.fixture(scope="module")
def series() -> Series:
    return known_series(sorted((PROJECT / "prometheus" / "rules").glob("*.yml")))


def test_the_generated_files_are_fresh() -> None:
    stale = [str(path.relative_to(PROJECT)) for path in build.stale(FOLDER)]
    assert not stale, f"{', '.join(stale)}: out of date; run: fleetwatch boards build"


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_board_keeps_the_rule(stem: str, rule: Rule) -> None:
    assert not list(rule(load(stem)))


def test_boards_that_know_exactly_one_are_those_that_links_take_no_choice_of_all_to() -> None:
    def chooses_one(stem: str) -> bool:
        return any(item["type"] == "query" and not item["multi"] for item in load(stem)["templating"]["list"])

    assert {stem for stem in STEMS if chooses_one(stem)} == ABOUT_ONE


@pytest.mark.parametrize("stem", STEMS)
def test_the_schema_package_reads_all_of_the_board(stem: str) -> None:
    """grafana-foundation-sdk is generated from Grafana's own schema: what it drops, Grafana does not know."""
    assert not lost_in_schema(load(stem))


@pytest.mark.parametrize("stem", STEMS)
def test_every_metric_and_label_exists(stem: str, series: Series) -> None:
    assert not list(names(load(stem), series))


def test_each_board_has_the_stem_of_a_domain() -> None:
    """Or shows a domain from another side: models is the llm domain, model by model; host is one of many."""
    # A stem is part of an address, where words are parted by hyphens.
    domains = {domain.replace("_", "-") for domain, _ in all_metrics()}
    assert set(STEMS) - domains == {"agent", "compare", "heatmap", "host", "models", "pools", "run", "topology"}


def linked_boards() -> dict[str, str]:
    """Alert -> the address of its board."""
    files = sorted((PROJECT / "prometheus" / "alerts").glob("*.yml"))
    return {rule["alert"]: rule["annotations"]["dashboard_url"] for file in files for rule in rules_of(file)}


@pytest.mark.parametrize(("alert", "url"), linked_boards().items(), ids=linked_boards())
def test_the_board_behind_an_alert_knows_the_links_variables(alert: str, url: str) -> None:
    """Grafana ignores an unknown variable: the reader would look at everything instead of what is on fire."""
    board = load(url.partition("/d/fw-")[2].partition("?")[0])
    known = {item["name"] for item in board["templating"]["list"]}
    assert set(re.findall(r"var-(\w+)=", url)) <= known, alert


# --- the rules themselves


def first(board: Json, kind: str) -> Json:
    return next(panel for panel in board["panels"] if panel["type"] == kind)


def set_in(*path: str | int, value: Any) -> Callable[[Json], None]:
    """Puts `value` at `path` of a board."""

    def change(board: Json) -> None:
        inner: Any = board
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = value

    return change


def remove(kind: str, key: str) -> Callable[[Json], None]:
    def change(board: Json) -> None:
        del first(board, kind)[key]

    return change


def expr(text: str) -> Callable[[Json], None]:
    """Makes `text` the query of the first chart."""

    def change(board: Json) -> None:
        charts(board)[0]["targets"][0]["expr"] = text

    return change


FIRST = ("panels", 1)  # the first figure: after the question's text comes the answer
BROKEN: list[tuple[Rule, str, Callable[[Json], None]]] = [
    (identity, "uid", set_in("uid", value="kx81Zq")),
    (identity, "editable", set_in("editable", value=True)),
    (identity, "schemaVersion", set_in("schemaVersion", value=12)),
    (identity, "question", set_in("description", value="LLM cost")),
    (described, "has no description", set_in(*FIRST, "description", value="")),
    (described, "emptiness", set_in(*FIRST, "fieldConfig", "defaults", "noValue", value="")),
    (described, "title used twice", set_in(*FIRST, "title", value="Calls")),
    (units_of_the_vocabulary, "not in the vocabulary", set_in(*FIRST, "fieldConfig", "defaults", "unit", value="m³")),
    (units_of_the_vocabulary, "not into the title", set_in(*FIRST, "title", value="Spent (USD)")),
    (modern_panels, "not of today's Grafana", set_in(*FIRST, "type", value="graph")),
    (modern_panels, "coarse", set_in(*FIRST, "maxDataPoints", value=100)),
    (data_source, "panel does not use", set_in(*FIRST, "datasource", value="Prometheus")),
    (data_source, "query A does not use", set_in(*FIRST, "targets", 0, "datasource", "uid", value="P18F45E9DC7E75912")),
    (data_source, "no datasource variable", set_in("templating", "list", value=[])),
    (windows, "looks at [5m]", expr("sum(rate(llm_requests_total[5m]))")),
    (windows, "as it stands", expr('sum(llm_cost_usd_total{team="a"})')),
    (windows, "as it stands", expr("sum(llm_cost_usd_total - llm_requests_total offset $__interval)")),
    (windows, "either instant or", set_in(*FIRST, "targets", 0, "range", value=True)),
    (windows, "exemplars", set_in(*FIRST, "targets", 0, "exemplar", value=True)),
    (links, "no link to another board", set_in("links", value=[])),
    (links, "no such board", set_in("links", 0, "url", value="/d/fw-nothing")),
    (links, "no such file", set_in(*FIRST, "links", value=[{"title": "Help", "url": "http://x/runbooks/LlmNothing"}])),
    (layout, "lies over", set_in(*FIRST, "gridPos", "y", value=0)),
    (layout, "over the edge", set_in(*FIRST, "gridPos", "w", value=30)),
    (layout, "same id", set_in(*FIRST, "id", value=1)),
    (layout, "holes", set_in(*FIRST, "gridPos", "h", value=1)),
    (variables, "$user is no variable", expr('sum(increase(llm_cost_usd_total{team="$user"}[$__range]))')),
    (variables, "several values", set_in("templating", "list", 1, "multi", value=False)),
    (variables, "several values", set_in("templating", "list", 1, "includeAll", value=False)),
]


@pytest.mark.parametrize(("rule", "problem", "breaking"), BROKEN, ids=[f"{r.__name__}: {p}" for r, p, _ in BROKEN])
def test_a_board_that_breaks_the_rule_is_found(rule: Rule, problem: str, breaking: Callable[[Json], None]) -> None:
    board = copy.deepcopy(load("llm"))
    breaking(board)
    assert [line for line in rule(board) if problem in line]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sum(increase(llm_requests_count_total[$__range]))", "no such metric: llm_requests_count_total"),
        ('sum(increase(llm_requests_total{user="a"}[$__range]))', "no label user on llm_requests_total"),
        ("sum by (session) (increase(llm_requests_total[$__range]))", "no label session"),
        ("sum(increase(llm_requests_total[$__range])", "not PromQL"),
    ],
)
def test_a_name_that_nobody_emits_is_found(text: str, problem: str, series: Series) -> None:
    board = copy.deepcopy(load("llm"))
    expr(text)(board)
    assert [line for line in names(board, series) if problem in line]


def test_a_variable_over_a_label_that_nobody_emits_is_found(series: Series) -> None:
    board = copy.deepcopy(load("llm"))
    board["templating"]["list"][1]["query"]["query"] = "label_values(llm_requests_total{}, user)"
    assert [line for line in names(board, series) if line.startswith("variable team: no label user on ")]


@pytest.mark.parametrize(
    "breaking",
    [
        set_in(*FIRST, "fieldOptions", value={}),
        set_in(*FIRST, "options", "gaugeMode", value="old"),
        set_in(*FIRST, "targets", 0, "step", value=10),
        set_in(*FIRST, "fieldConfig", "defaults", "valueMaps", value=[]),
        set_in("hideControls", value=False),
    ],
)
def test_a_field_that_the_schema_does_not_know_is_found(breaking: Callable[[Json], None]) -> None:
    board = copy.deepcopy(load("llm"))
    breaking(board)
    assert lost_in_schema(board)


def test_a_generated_file_that_was_edited_by_hand_is_found(tmp_path: Any) -> None:
    (tmp_path / "boards").symlink_to(FOLDER / "boards")
    build.write(tmp_path)
    assert not build.stale(tmp_path)
    edited, gone = tmp_path / "generated" / "llm.json", tmp_path / "generated" / "old.json"
    edited.write_text(edited.read_text().replace("LLM cost", "My cost"))
    gone.write_text("{}")
    assert list(build.stale(tmp_path)) == [edited, gone]
    build.write(tmp_path)
    assert not gone.exists()


def test_every_board_asks_something() -> None:
    assert all(len(list(queries(load(stem)))) > 10 for stem in STEMS)


def test_a_list_of_runs_whose_query_names_what_nobody_emits_is_found(series: Series) -> None:
    """Its values come out of the text of series, not from the values of a label."""
    board = copy.deepcopy(load("run"))
    chosen = next(item for item in board["templating"]["list"] if item["name"] == "slot")
    assert not [line for line in names(board, series) if line.startswith("variable")]
    chosen["query"]["query"] = chosen["query"]["query"].replace("pipeline_slot_info", "pipeline_slot_inf")
    assert "variable slot: no such metric: pipeline_slot_inf" in list(names(board, series))
