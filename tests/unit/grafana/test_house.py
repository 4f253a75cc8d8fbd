"""Panels, rows and boards: what comes out for Grafana."""

from __future__ import annotations

import json
from typing import Any

import pytest
from grafana.house import (
    Column,
    Facts,
    Limits,
    Scope,
    Variable,
    answer,
    bars,
    board,
    row,
    stat,
    table,
    timeseries,
    units,
)
from grafana.house.board import Board
from grafana.house.layout import Row
from grafana.house.panels import Panel

from fleetwatch.catalogue import hosts, llm

scope = Scope(llm.TEAM, llm.MODEL)
cost = scope.increase(llm.COST)


def figure(width: int = 0) -> Panel:
    return stat("Spent", cost, unit=units.USD, help="Cost.", width=width)


def page(*rows: Row) -> Board:
    variables = [Variable(llm.TEAM, llm.REQUESTS), Variable(llm.MODEL, llm.REQUESTS)]
    return board("test", "Test", question="What?", rows=rows, variables=variables)


def places(made: Board) -> list[tuple[int, int, int, int]]:
    grid = [panel["gridPos"] for panel in made.data["panels"]]
    return [(place["x"], place["y"], place["w"], place["h"]) for place in grid]


def test_panels_share_a_row_evenly_and_rows_follow_each_other() -> None:
    made = page(answer(figure(), figure(), figure()), row("Why", figure(), figure()))
    question, header = (0, 0, 24, 2), (0, 6, 24, 1)
    assert places(made) == [
        question,
        (0, 2, 8, 4),
        (8, 2, 8, 4),
        (16, 2, 8, 4),
        header,
        (0, 7, 12, 4),
        (12, 7, 12, 4),
    ]


def test_a_panel_with_a_width_leaves_the_rest_to_the_others() -> None:
    made = page(row("", figure(), figure(width=5), figure()))
    assert [(x, w) for x, _, w, _ in places(made)[1:]] == [(0, 9), (9, 5), (14, 10)]


def test_widths_that_do_not_fill_the_row_are_refused() -> None:
    with pytest.raises(ValueError, match="row 'Why': widths must fill 24 columns"):
        page(row("Why", figure(width=20), figure(width=10)))
    with pytest.raises(ValueError, match="widths must fill"):
        page(row("Why", figure(width=20)))


def test_a_board_leads_with_its_question_and_knows_where_its_data_is() -> None:
    data = page(answer(figure())).data
    assert data["uid"] == "fw-test"
    assert data["description"] == "What?"
    assert "What?" in data["panels"][0]["options"]["content"]
    assert data["templating"]["list"][0]["current"]["value"] == "fleetwatch-prometheus"
    assert data["schemaVersion"] >= 39


def test_a_variable_offers_what_the_ones_before_it_leave_over() -> None:
    variables = page(answer(figure())).data["templating"]["list"][1:]
    assert [variable["query"]["query"] for variable in variables] == [
        "label_values(llm_requests_total{}, team)",
        'label_values(llm_requests_total{team=~"$team"}, model)',
    ]
    assert all(variable["multi"] and variable["includeAll"] for variable in variables)


def test_no_field_of_an_old_grafana_and_no_null_is_left() -> None:
    text = page(answer(figure()), row("Why", bars("By team", cost, unit=units.USD, help="h"))).text()
    for word in (": null", "maxDataPoints", "intervalFactor", "hideTimeOverride", "sharedCrosshair", "__inputs"):
        assert word not in text


def test_the_same_board_is_the_same_bytes() -> None:
    assert page(answer(figure())).text() == page(answer(figure())).text()
    assert json.loads(page(answer(figure())).text()) == page(answer(figure())).data


def test_figures_ask_for_the_end_of_the_range_and_charts_for_all_of_it() -> None:
    made = page(answer(figure(), timeseries("Pace", scope.rate(llm.COST), unit=units.USD_PER_HOUR, help="h")))
    instant, ranged = (panel["targets"][0] for panel in made.data["panels"][1:])
    assert (instant["instant"], instant["range"], instant["exemplar"]) == (True, False, False)
    assert (ranged["instant"], ranged["range"], ranged["exemplar"]) == (False, True, False)


def test_a_panel_says_which_filters_do_not_reach_it() -> None:
    panel = stat("Failed", scope.increase(llm.ERRORS), unit=units.COUNT, help="Failed calls.")
    assert panel.body.description == "Failed calls.\n\nThe team filter does not apply to every figure here."
    assert figure().body.description == "Cost."


def columns(count: int) -> list[Column]:
    return [Column(f"C{n}", scope.increase(llm.COST, by=llm.TEAM), units.USD) for n in range(count)]


def organised(made: Panel) -> Any:
    return made.body.transformations[1]["options"]


def test_a_table_names_its_columns_whatever_grafana_calls_the_values() -> None:
    """A lone query's number is called Value, those of several Value #A, Value #B."""
    two = organised(table("T", ["team"], columns(2), sort="C0", help="h"))
    assert two["renameByName"] == {"team": "Team", "Value #A": "C0", "Value #B": "C1"}
    one = organised(table("T", ["team"], columns(1), sort="C0", help="h"))
    assert one["renameByName"] == {"team": "Team", "Value #A": "C0", "Value": "C0"}


def test_a_table_whose_queries_have_other_labels_is_refused() -> None:
    """Rows could not be joined: the table would show each number in a row of its own."""
    with pytest.raises(ValueError, match="expected labels team, model in C0"):
        table("T", ["team", "model"], columns(1), sort="C0", help="h")
    with pytest.raises(ValueError, match="has no column Cost"):
        table("T", ["team"], columns(1), sort="Cost", help="h")


def test_limits_colour_from_good_to_bad_in_both_directions() -> None:
    assert [step["color"] for step in Limits(warn=0.8, bad=1).steps()] == ["green", "orange", "red"]
    assert Limits(warn=7, bad=1, falling=True).steps() == [
        {"color": "red"},
        {"color": "orange", "value": 1},
        {"color": "green", "value": 7},
    ]
    assert Limits(warn=1, bad=1, falling=True).steps() == [{"color": "red"}, {"color": "green", "value": 1}]


def test_a_table_shows_words_beside_its_numbers() -> None:
    fleet = Scope()
    made = table(
        "Hosts",
        [hosts.HOST.name],
        [Column("Silent for", fleet.age(hosts.LAST_REPORT, by=hosts.HOST), units.SECONDS)],
        facts=[
            Facts(
                fleet.last(hosts.STATE, by=(hosts.HOST, hosts.HOST_STATE)) > 0,
                {hosts.HOST_STATE.name: "State"},
                {"missing": ("Missing", "red")},
            )
        ],
        titles={hosts.HOST.name: "Host"},
        sort="Silent for",
        help="Who is there.",
    ).body.to_json_data()
    organize = made["transformations"][1]["options"]
    assert organize["renameByName"] == {"host_name": "Host", "state": "State", "Value #B": "Silent for"}
    assert organize["excludeByName"] == {"Time": True, "Value #A": True}
    state = next(item for item in made["fieldConfig"]["overrides"] if item["matcher"]["options"] == "State")
    assert {"id": "unit", "value": "string"} in state["properties"]
    assert [p["value"][0]["options"]["missing"]["color"] for p in state["properties"] if p["id"] == "mappings"] == [
        "red"
    ]


def test_words_of_a_query_without_the_tables_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="expected labels host_name beside state"):
        table(
            "Hosts",
            [hosts.HOST.name],
            [Column("Up", Scope().last(hosts.UPTIME, by=hosts.HOST), units.SECONDS)],
            facts=[Facts(Scope().last(hosts.STATE, by=hosts.HOST_STATE), {hosts.HOST_STATE.name: "State"})],
            sort="Up",
            help="Who is there.",
        )


def test_a_board_about_one_thing_offers_exactly_one() -> None:
    variables = [Variable(hosts.HOST, hosts.INFO, title="Host", one=True)]
    made = board("test", "Test", question="What?", rows=[answer(figure())], variables=variables)
    [host] = [item for item in made.data["templating"]["list"] if item["type"] == "query"]
    assert (host["label"], host["multi"], host["includeAll"]) == ("Host", False, False)
    assert "allValue" not in host


def test_marks_of_alerts_are_those_that_the_board_asks_for() -> None:
    made = board(
        "test", "Test", question="What?", rows=[answer(figure())], alerts="hosts", alerts_where='severity="page"'
    )
    [marks] = made.data["annotations"]["list"]
    assert marks["expr"] == 'ALERTS{domain="hosts",alertstate="firing",severity="page"}'
