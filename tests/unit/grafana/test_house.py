"""Panels, rows and boards: what comes out for Grafana."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from grafana.house import (
    Column,
    Expr,
    Facts,
    Limits,
    RowLink,
    Scale,
    Scope,
    Variable,
    answer,
    bars,
    board,
    gantt,
    heatmap,
    matrix,
    row,
    side_by_side,
    stat,
    status_history,
    table,
    timeseries,
    units,
)
from grafana.house.board import Board
from grafana.house.layout import Row
from grafana.house.panels import Panel

from fleetwatch.catalogue import hosts, llm, pipelines

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


# --- runs and their phases

run = Scope(pipelines.PIPELINE, one=True)
PHASE, SLOT, RUN_ID = pipelines.PHASE, pipelines.SLOT, pipelines.RUN_ID
took = run.last(pipelines.SLOT_PHASE_DURATION, by=PHASE)
cells = run.last(pipelines.SLOT_PHASE_DURATION, by=(SLOT, PHASE))


def runs(**more: Any) -> Variable:
    return Variable(SLOT, pipelines.SLOT_INFO, "Run", one=True, shown=RUN_ID, newest=pipelines.SLOT_RUN_START, **more)


def offered(*variables: Variable) -> Any:
    made = board("test", "Test", question="What?", rows=[answer(figure())], variables=variables)
    return made.data["templating"]["list"][1:]


def test_a_run_is_chosen_by_its_id_newest_first_and_known_by_its_slot() -> None:
    _, chosen = offered(Variable(pipelines.PIPELINE, pipelines.FIRST_SEEN, one=True), runs())
    assert chosen["query"]["query"] == (
        'query_result(sort_desc(max by (run_id, slot) (pipeline_slot_info{pipeline="$pipeline"}) '
        "* on (slot) group_left () max by (slot) "
        '(pipeline_slot_run_start_timestamp_seconds{pipeline="$pipeline"})))'
    )
    series = '{run_id="nightly-7",slot="3"} 1763000000 1763000000000'
    found = re.search(chosen["regex"].strip("/").replace("?<", "?P<"), series)
    assert found is not None
    assert found.groupdict() == {"text": "nightly-7", "value": "3"}
    assert (chosen["sort"], chosen["multi"], chosen["includeAll"]) == (0, False, False)


def test_two_runs_are_two_choices_under_names_of_their_own() -> None:
    ended = (pipelines.SLOT_RUN_STATE, 3.5)
    one, other = offered(runs(name="a", above=ended), runs(name="b", other_than="a"))
    assert (one["name"], other["name"]) == ("a", "b")
    assert "and on (slot) (max by (slot) (pipeline_slot_run_state{}) > 3.5)" in one["query"]["query"]
    assert 'slot!="$a"' in other["query"]["query"]


def test_a_list_by_another_label_needs_an_order() -> None:
    with pytest.raises(ValueError, match="variable slot: needs `newest` beside `shown`"):
        offered(Variable(SLOT, pipelines.SLOT_INFO, one=True, shown=RUN_ID))


def test_a_gantt_chart_is_bars_that_begin_where_their_part_began() -> None:
    made = gantt("When", took, took, unit=units.SECONDS, help="h").body.to_json_data()
    assert made["options"]["stacking"] == "normal"
    before, bar = ({p["id"]: p["value"] for p in item["properties"]} for item in made["fieldConfig"]["overrides"])
    assert (before["color"]["fixedColor"], before["custom.fillOpacity"]) == ("transparent", 0)
    assert bar["color"]["fixedColor"] == "blue"
    assert made["transformations"][-1]["options"]["sort"] == [{"field": "Began after", "desc": False}]


def test_bars_side_by_side_have_one_label_and_the_colours_that_they_are_given() -> None:
    colours = {"Run": "blue", "Against": "grey"}
    made = side_by_side("Both", {"Run": took, "Against": took}, unit=units.SECONDS, colours=colours, help="h")
    assert made.body.options["xField"] == "phase"
    names = [item["matcher"]["options"] for item in made.body.field_config["overrides"]]
    assert names == ["Run", "Against"]
    with pytest.raises(ValueError, match="expected one label, the same in all, in Run"):
        side_by_side("Both", {"Run": cells}, unit=units.SECONDS, colours=colours, help="h")


def grid(value: Expr, order: Expr) -> Panel:
    return matrix(
        "Grid", value, order, row="phase", column="slot", row_title="Phase", unit=units.TIMES, help="h",
        meaning=Scale("blue", ((1, "green"), (2, "red"))),
        link=RowLink("run", "Show", {}, keep=["pipeline"], column="slot"),
    )  # fmt: skip


def test_a_matrix_puts_one_label_into_rows_and_the_other_into_columns() -> None:
    made = grid(cells, cells).body.to_json_data()
    last = made["transformations"][-1]
    assert last["id"] == "groupingToMatrix"
    assert (last["options"]["rowField"], last["options"]["columnField"]) == ("phase", "slot")
    numbers, corner = made["fieldConfig"]["overrides"]
    steps = next(p["value"]["steps"] for p in numbers["properties"] if p["id"] == "thresholds")
    assert steps == [{"color": "blue"}, {"color": "green", "value": 1}, {"color": "red", "value": 2}]
    [link] = next(p["value"] for p in numbers["properties"] if p["id"] == "links")
    assert link["url"] == "/d/fw-run?${__url_time_range}&${pipeline:queryparam}&var-slot=${__field.name}"
    assert corner["matcher"]["options"] == "phase\\slot"
    with pytest.raises(ValueError, match="Grid: expected labels phase, slot"):
        grid(took, cells)


def test_cells_are_few_enough_to_be_seen_and_lines_are_not_coarse() -> None:
    history = status_history("History", took, unit=units.TIMES, meaning="green", help="h", columns=30)
    spread = heatmap("Spread", run.buckets(pipelines.RUN_DURATION), unit=units.SECONDS, help="h", columns=60)
    lines = timeseries("Lines", took, unit=units.SECONDS, help="h")
    panels = page(answer(figure()), row("Why", history, spread, lines)).data["panels"]
    assert [panel.get("maxDataPoints") for panel in panels if panel["type"] not in ("row", "text")] == [
        None, 30, 60, None,
    ]  # fmt: skip


def phases(**more: Any) -> Any:
    columns = [
        Column("State", took, units.PLAIN, mappings={"4": ("Success", "green")}),
        Column("Order", took, units.SECONDS, hidden=True),
    ]
    return table("Phases", ["phase"], columns, sort="Order", help="h", **more).body.to_json_data()


def of_column(made: Any, name: str) -> dict[str, Any]:
    [found] = [item for item in made["fieldConfig"]["overrides"] if item["matcher"]["options"] == name]
    return {item["id"]: item["value"] for item in found["properties"]}


def test_a_row_leads_to_its_board_with_what_stands_in_it_and_the_time_that_it_names() -> None:
    whole = RowLink("run", "Show", {"slot": "Slot"}, since="Began", until="Until", keep=["pipeline"])
    assert whole.link()["url"] == (
        "/d/fw-run?from=${__data.fields['Began'].numeric}&to=${__data.fields['Until'].numeric}"
        "&var-slot=${__data.fields['Slot'].text}&${pipeline:queryparam}"
    )
    assert "&to=now" in RowLink("run", "Show", {}, since="Began").link()["url"]
    [link] = of_column(phases(row_links=[RowLink("heatmap", "Show", {"phase": "Phase"})]), "Phase")["links"]
    assert link["url"] == "/d/fw-heatmap?${__url_time_range}&var-phase=${__data.fields['Phase'].text}"


def test_a_column_of_states_shows_words_and_one_that_only_sorts_is_hidden() -> None:
    made = phases(ascending=True)
    words, empty = of_column(made, "State")["mappings"]
    assert words["options"]["4"]["text"] == "Success"
    assert empty["options"]["match"] == "null"
    assert of_column(made, "Order")["custom.hidden"] is True
    assert made["transformations"][-1] == {
        "id": "sortBy",
        "options": {"fields": {}, "sort": [{"field": "Order", "desc": False}]},
    }
    assert made["options"]["sortBy"] == []


@pytest.mark.parametrize(("one", "kept"), [(False, [True, False]), (True, [True, True])])
def test_links_take_the_choices_along_but_not_all_to_a_board_that_knows_only_one(one: bool, kept: list[bool]) -> None:
    made = board(
        "a",
        "A",
        question="What?",
        rows=[answer(figure())],
        variables=[Variable(pipelines.PIPELINE, pipelines.FIRST_SEEN, one=one)],
        leads_to=[("exporter", "The exporter"), ("run", "One run")],
    )
    assert [link["includeVars"] for link in made.data["links"]] == kept
