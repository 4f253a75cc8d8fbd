"""Catalogue metrics as PromQL: the text that Prometheus gets, and the mistakes that no board can be built with."""

from __future__ import annotations

import pytest
from grafana.house.matchers import Choice, Not
from grafana.house.promql import Expr, Scope, first, joined, outside, top, total
from grafana.house.recorded import Recorded

from fleetwatch.catalogue import exporter, hosts, llm, pipelines

scope = Scope(llm.TEAM, llm.MODEL)


def test_a_counter_grows_over_the_range_on_the_screen_narrowed_by_the_boards_variables() -> None:
    assert scope.increase(llm.COST, by=llm.AGENT).text == (
        'sum by (agent) (max_over_time(llm_cost_usd_total{model=~"$model",team=~"$team"}[$__range])'
        ' - min_over_time(llm_cost_usd_total{model=~"$model",team=~"$team"}[$__range]))'
    )


def test_a_rate_uses_the_rate_interval() -> None:
    assert scope.rate(exporter.LEDGER_RECORDS).text == "sum(rate(fleetwatch_ledger_records_total[$__rate_interval]))"


def test_a_quantile_sums_buckets_before_it_interpolates() -> None:
    assert scope.quantile(0.95, llm.TIME_TO_FIRST_TOKEN, by=llm.MODEL).text == (
        "histogram_quantile(0.95, sum by (model, le) "
        '(rate(llm_time_to_first_token_seconds_bucket{model=~"$model"}[$__rate_interval])))'
    )


def test_a_gauge_is_taken_as_it_stands_and_two_exporters_are_not_added_up() -> None:
    assert Scope().last(llm.BUDGET_LIMIT, by=llm.BUDGET).text == "max by (budget) (llm_budget_usd)"


def test_a_recorded_series_is_asked_like_a_gauge_and_narrowed_by_the_labels_that_its_rule_keeps() -> None:
    recorded = Recorded("hosts:cpu_use:ratio_rate5m", (hosts.HOST,))
    text = Scope(hosts.HOST).last(recorded, by=hosts.HOST).text
    assert text == 'max by (host_name) (hosts:cpu_use:ratio_rate5m{host_name=~"$host_name"})'
    with pytest.raises(ValueError, match="hosts:cpu_use:ratio_rate5m: has no label model; it has host_name"):
        scope.last(recorded, by=llm.MODEL)


def test_a_slope_is_the_straight_line_through_the_range_on_the_screen() -> None:
    text = Scope().slope(hosts.FILESYSTEM_USAGE, by=hosts.MOUNTPOINT, system_filesystem_state="used").text
    assert text == (
        "max by (system_filesystem_mountpoint) "
        '(deriv(system_filesystem_usage_bytes{system_filesystem_state="used"}[$__range]))'
    )


def test_series_are_kept_where_another_expression_has_the_same_labels() -> None:
    temperature = Scope().last(hosts.TEMPERATURE, by=(hosts.HOST, hosts.HW))
    kept = temperature.where(Scope().last(hosts.GPU_INFO, by=hosts.HW)) < 90
    assert kept.text == (
        "(max by (host_name, hw_id) (hw_temperature_celsius) and on (hw_id) max by (hw_id) (hw_gpu_info)) < 90"
    )
    assert kept.by == ("host_name", "hw_id")


def test_many_series_are_scaled_by_the_one_value_of_each_host() -> None:
    states = Scope().last(hosts.STATE, by=(hosts.HOST, hosts.HOST_STATE)) > 0
    assert states.scaled(Scope().age(hosts.LAST_REPORT, by=hosts.HOST)).text == (
        "(max by (host_name, state) (host_state) > 0) * on (host_name) group_left () "
        "(time() - max by (host_name) (host_last_report_timestamp_seconds))"
    )


def test_an_age_is_the_time_since_a_timestamp() -> None:
    assert Scope().age(llm.PRICES_CHECKED).text == "time() - max(llm_prices_checked_timestamp_seconds)"


def test_a_histograms_sum_and_count_are_counters() -> None:
    text = Scope().increase(llm.REQUEST_DURATION, part="sum", window="1h").text
    assert text == "sum(increase(llm_request_duration_seconds_sum[1h]))"


def test_matchers_take_one_value_several_or_all_but_some() -> None:
    none = Scope()
    assert 'outcome="ok"' in none.rate(llm.REQUESTS, outcome="ok").text
    assert 'outcome=~"error|timeout"' in none.rate(llm.REQUESTS, outcome=("error", "timeout")).text
    assert 'confidence!="unpriced"' in none.rate(llm.COST, confidence=Not(("unpriced",))).text
    assert 'confidence!~"unpriced|reported"' in none.rate(llm.COST, confidence=Not(("unpriced", "reported"))).text


def test_text_in_a_matcher_cannot_end_it() -> None:
    assert r'agent="a\"} or up{b=\"\\"' in Scope().rate(llm.COST, agent='a"} or up{b="\\').text


def test_combined_expressions_keep_their_brackets() -> None:
    a, b = Expr("a"), Expr("b")
    assert ((a - b) / (a + b) * 100).text == "((a - b) / (a + b)) * 100"
    assert (a.otherwise(b * 0) / (b > 0)).text == "(a or (b * 0)) / (b > 0)"
    assert (1 - a / b).text == "1 - (a / b)"


def test_top_sorts_the_largest_first_and_total_aggregates_again() -> None:
    by_team = Scope().increase(llm.COST, by=(llm.TEAM, llm.AGENT))
    assert top(5, by_team).text.startswith("sort_desc(topk(5, sum by (team, agent) (")
    assert total(by_team, by=llm.TEAM, how="max").text.startswith("max by (team) (sum by (team, agent) (")


def test_the_legend_says_the_labels_and_the_name() -> None:
    assert Scope().quantile(0.5, llm.REQUEST_DURATION, by=llm.MODEL).legend == "p50 · {{model}}"
    assert Scope().increase(llm.COST).legend == "all"


def test_an_unknown_label_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"llm\.errors: has no label agent; it has provider, model, error_type"):
        Scope().rate(llm.ERRORS, by=llm.AGENT)
    with pytest.raises(ValueError, match="has no label colour"):
        Scope().rate(llm.ERRORS, colour="red")


def test_a_value_that_the_label_never_has_is_refused() -> None:
    with pytest.raises(ValueError, match="label outcome: is never failed"):
        Scope().rate(llm.REQUESTS, outcome="failed")


@pytest.mark.parametrize(
    "build",
    [
        lambda: Scope().rate(llm.BUDGET_LIMIT),
        lambda: Scope().rate(llm.REQUEST_DURATION),
        lambda: Scope().rate(llm.COST, part="sum"),
        lambda: Scope().last(llm.COST),
        lambda: Scope().quantile(0.5, llm.COST),
    ],
)
def test_a_metric_of_the_wrong_kind_is_refused(build: object) -> None:
    """A rate of a gauge or the last value of a counter is a number that means nothing."""
    assert callable(build)
    with pytest.raises(TypeError, match="this expression needs a"):
        build()


def test_series_of_others_are_a_short_list() -> None:
    assert outside("up", how="min", job="fleetwatch").text == 'min(up{job="fleetwatch"})'
    with pytest.raises(ValueError, match="node_load1: expected a catalogue metric or one of"):
        outside("node_load1")
    with pytest.raises(ValueError, match="up: has no label team"):
        outside("up", by=("team",))


def test_filters_that_cannot_narrow_a_metric_are_remembered() -> None:
    assert scope.quantile(0.5, llm.TIME_TO_FIRST_TOKEN).unscoped == {"team"}
    assert (scope.rate(llm.COST) / scope.rate(llm.DUPLICATE_CALLS)).unscoped == {"team", "model"}


one = Scope(pipelines.PIPELINE, one=True)


def test_a_board_about_one_thing_takes_its_name_as_it_stands_and_not_as_a_pattern() -> None:
    """A pipeline may be called `etl (daily)`."""
    assert one.last(pipelines.FIRST_SEEN).text == 'max(pipeline_first_seen_timestamp_seconds{pipeline="$pipeline"})'
    chosen = one.last(pipelines.RUN_OVERDUE, slot=Choice("a")).text
    assert chosen == 'max(pipeline_run_overdue_seconds{pipeline="$pipeline",slot="$a"})'


def test_a_chart_of_counts_takes_the_difference_of_two_readings_a_step_apart() -> None:
    runs = 'pipeline_runs_total{pipeline="$pipeline"}'
    assert one.counted(pipelines.RUNS, by=pipelines.RESULT).text == (
        f"sum by (result) ({runs} - {runs} offset $__interval or increase({runs}[$__rate_interval]))"
    )


def test_a_recorded_total_that_was_not_there_a_step_ago_counts_whole_where_it_has_grown_from_nothing() -> None:
    labels = (pipelines.PIPELINE,)
    total = Recorded("p:runs:total", labels, "counter", buckets=True, born_at_zero="and on (pipeline) p:x:known")
    one = Scope(pipelines.PIPELINE, one=True)
    series = 'p:runs:total{pipeline="$pipeline"}'
    assert one.counted(total).text == (
        f"sum by (le) ({series} - {series} offset $__interval or {series} and on (pipeline) p:x:known"
        f" or increase({series}[$__rate_interval]))"
    )
    assert one.buckets(total, window="$__range").text == f"sum by (le) (rate({series}[$__range]))"
    with pytest.raises(TypeError, match="p:runs:total: is a counter; this expression needs a gauge"):
        one.last(total)


def test_a_growth_over_a_long_range_reads_the_counter_at_its_ends_only() -> None:
    total = Recorded("p:retries:total", (pipelines.PIPELINE, pipelines.PHASE), "counter")
    grown = Scope(pipelines.PIPELINE, one=True).grown(pipelines.PHASE_RETRIES, total, by=pipelines.PHASE)
    raw, recorded = (f'{name}{{pipeline="$pipeline"}}' for name in ("pipeline_phase_retries_total", "p:retries:total"))
    assert grown.text == (
        f"sum by (phase) ({raw} - {raw} offset $__range"
        f" or {raw} and on (job, instance) fleetwatch_build_info offset $__range)"
        f" or sum by (phase) (max_over_time({recorded}[$__range]) - min_over_time({recorded}[$__range]))"
    )


def test_what_may_begin_again_at_zero_is_not_counted_from_step_to_step() -> None:
    with pytest.raises(ValueError, match="is not durable: its steps can go back"):
        Scope().counted(pipelines.REJECTED)
    with pytest.raises(TypeError, match="is a histogram"):
        one.counted(pipelines.RUN_DURATION)


def test_values_are_kept_while_they_are_what_they_are_at_the_end() -> None:
    start = one.last(pipelines.SLOT_RUN_START, slot=Choice("slot"))
    same = start.same_as(start.at_end())
    selector = 'pipeline_slot_run_start_timestamp_seconds{pipeline="$pipeline",slot="$slot"}'
    assert same.text == f"max({selector}) == max({selector} @ end())"
    with pytest.raises(ValueError, match="expected one selector"):
        same.at_end()


def test_many_series_meet_the_one_value_that_they_share_labels_with() -> None:
    took = one.last(pipelines.SLOT_PHASE_START, by=(pipelines.SLOT, pipelines.PHASE), subphase="")
    run = one.last(pipelines.SLOT_RUN_START, by=pipelines.SLOT)
    joins = {took.since(run): "-", took.plus(run): "+", took.over(run): "/"}
    for made, operator in joins.items():
        assert made.text == f"{took.text} {operator} on (slot) group_left () {run.text}"
        assert made.by == ("slot", "phase")


def test_a_series_gets_a_label_of_an_info_series() -> None:
    info = one.last(pipelines.SLOT_INFO, by=(pipelines.SLOT, pipelines.RUN_ID))
    made = one.last(pipelines.RUN_OVERDUE, by=pipelines.SLOT).labelled(info, "run_id")
    assert " * on (slot) group_left (run_id) max by (slot, run_id) (pipeline_slot_info{" in made.text
    assert made.by == ("slot", "run_id")


def test_a_part_is_named_after_what_it_is_a_part_of() -> None:
    """`load` of `P03` is `P03 / load`; `P03` itself has no part and no slash."""
    states = one.last(pipelines.SLOT_PHASE_STATE, by=(pipelines.PHASE, pipelines.SUBPHASE))
    made = joined(states, "part", "phase", "subphase")
    assert made.by == ("part",)
    assert made.text == (
        f'max by (part) (label_replace(label_join({states.text}, "part", " / ", "phase", "subphase"), '
        '"part", "$1", "part", "(.*) / "))'
    )


def test_the_largest_series_of_each_group_is_one_of_its_own() -> None:
    starts = one.last(pipelines.SLOT_RUN_START, by=(pipelines.PIPELINE, pipelines.SLOT))
    newest = first(starts, by=pipelines.PIPELINE)
    assert newest.text == f"topk by (pipeline) (1, {starts.text})"
    assert newest.by == ("pipeline", "slot")
