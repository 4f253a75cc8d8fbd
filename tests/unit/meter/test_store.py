"""Bounds of labels, exact sums, and series that are born at zero."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from fleetwatch.catalogue.metric import NANO, OTHER, counter, gauge, histogram, label
from fleetwatch.meter import Meter
from fleetwatch.meter.otlp import export_request
from fleetwatch.meter.store import shown, shown_histogram
from fleetwatch.meter.text import exposition

AGENT = label("agent", "An agent.", at_most=2)
OUTCOME = label("outcome", "How it ended.", one_of=("ok", "error"))
CALLS = counter("test.calls", unit="{call}", help="Calls.", labels=(AGENT, OUTCOME))
COST = counter("test.cost.usd", unit="{USD}", help="Cost.", labels=(AGENT,), scale=NANO)
WAIT = histogram("test.wait", unit="s", help="Wait.", buckets=(0.1, 1.0))
LEVEL = gauge("test.level", unit="By", help="Level.", labels=(AGENT,))
HOST = label("host_name", "A host.", at_most=5, implied=True)
LOAD = gauge("test.load", unit="1", help="Load.", labels=(HOST, label("cpu", "A processor.", at_most=9)))
OVERFLOW = counter(
    "test.overflow",
    unit="{value}",
    help="Overflow.",
    labels=(label("metric", "m", at_most=9), label("label", "l", at_most=9)),
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lines(meter: Meter) -> list[str]:
    return [line for line in exposition(meter, openmetrics=False).splitlines() if not line.startswith("#")]


def test_money_adds_up_without_rounding() -> None:
    meter = Meter()
    for _ in range(10):
        meter.add(COST, ("a",), 100_000_001)
    assert lines(meter) == ['test_cost_usd_total{agent="a"} 1.00000001']


def test_past_its_bound_a_label_becomes_other_and_the_other_labels_stay_exact() -> None:
    meter = Meter(overflow=OVERFLOW)
    for number in range(5000):
        meter.add(CALLS, (f"agent-{number}", "error" if number % 10 == 0 else "ok"), 1)
    assert lines(meter) == [
        'test_calls_total{agent="agent-0",outcome="error"} 1',
        'test_calls_total{agent="agent-1",outcome="ok"} 1',
        f'test_calls_total{{agent="{OTHER}",outcome="ok"}} 4499',
        f'test_calls_total{{agent="{OTHER}",outcome="error"}} 499',
        'test_overflow_total{metric="test_calls_total",label="agent"} 4998',
    ]


def test_an_agent_that_was_let_in_is_let_in_everywhere() -> None:
    meter = Meter()
    meter.add(CALLS, ("a", "ok"), 1)
    meter.add(COST, ("b",), 1)
    meter.add(COST, ("c",), 1)
    assert lines(meter) == [
        'test_calls_total{agent="a",outcome="ok"} 1',
        'test_cost_usd_total{agent="b"} 0.000000001',
        f'test_cost_usd_total{{agent="{OTHER}"}} 0.000000001',
    ]


def test_what_counters_show_needs_no_room_among_gauges() -> None:
    """Else the gauge of an agent that everything else names would be found under _other."""
    meter = Meter(overflow=OVERFLOW)
    meter.add(CALLS, ("a", "ok"), 1)
    meter.replace("s", [LEVEL(1, agent=name) for name in ("x", "y", "z", "a")])
    assert lines(meter)[1:] == [
        'test_level_bytes{agent="x"} 1',
        'test_level_bytes{agent="y"} 1',
        f'test_level_bytes{{agent="{OTHER}"}} 1',
        'test_level_bytes{agent="a"} 1',
        'test_overflow_total{metric="test_level_bytes",label="agent"} 1',
    ]


def test_devices_that_come_and_go_never_use_up_the_room() -> None:
    meter = Meter(overflow=OVERFLOW)
    for number in range(100):
        meter.replace("s", [LEVEL(number, agent=f"disk-{number}"), LEVEL(number, agent=f"disk-{number + 1}")])
    assert lines(meter) == ['test_level_bytes{agent="disk-99"} 99', 'test_level_bytes{agent="disk-100"} 99']
    meter.add(COST, ("a",), 0)
    assert lines(meter)[0] == 'test_cost_usd_total{agent="a"} 0', "nor that of counters"


def test_one_source_does_not_use_the_room_of_another() -> None:
    meter = Meter()
    meter.replace("host-1", [LEVEL(1, agent=f"a{number}") for number in range(5)])
    meter.replace("host-2", [LEVEL(2, agent="b0"), LEVEL(2, agent="b1")])
    assert [line.split('"')[1] for line in lines(meter)] == ["a0", "a1", OTHER, "b0", "b1"]


def test_the_implied_label_is_filled_in_where_a_source_leaves_it_out() -> None:
    meter = Meter(implied={"host_name": "here"})
    meter.replace("own", [LOAD(1, cpu="0"), LOAD(2, cpu="0", host_name="there")])
    assert lines(meter) == [
        'test_load_ratio{host_name="here",cpu="0"} 1',
        'test_load_ratio{host_name="there",cpu="0"} 2',
    ]
    meter.replace("own", [LOAD(3, cpu="0"), LOAD(4, cpu="0", host_name="there")])
    assert lines(meter) == [
        'test_load_ratio{host_name="here",cpu="0"} 3',
        'test_load_ratio{host_name="there",cpu="0"} 4',
    ]
    meter.replace("own", [LOAD(5, cpu="0"), LOAD(6, cpu="0", host_name="here")])
    assert lines(meter) == ['test_load_ratio{host_name="here",cpu="0"} 6'], "the same series twice: the last one stays"


REPORTS = st.lists(st.tuples(st.sampled_from("abcd_"), st.sampled_from(["", "h", "i"]), st.integers(0, 9)), max_size=6)


@given(st.lists(REPORTS, max_size=6))
def test_what_is_shown_depends_on_the_last_report_alone(reports: list[list[tuple[str, str, int]]]) -> None:
    """However much of the one before is used again."""
    old = Meter(implied={"host_name": "h"}, limits={"cpu": 2})
    for report in reports:
        samples = [LOAD(value, cpu=cpu, host_name=host) for cpu, host, value in report]
        new = Meter(implied={"host_name": "h"}, limits={"cpu": 2})
        assert old.replace("s", samples) == new.replace("s", samples) == len(old)
        assert lines(old) == lines(new)
        assert export_request(old, {}, 1, "") == export_request(new, {}, 1, "")


def test_a_closed_list_lets_in_nothing_else() -> None:
    meter = Meter()
    meter.add(CALLS, ("a", "exploded"), 1)
    assert lines(meter) == [f'test_calls_total{{agent="a",outcome="{OTHER}"}} 1']


def test_the_settings_may_widen_a_bound() -> None:
    meter = Meter(limits={"agent": 100})
    for number in range(100):
        meter.add(COST, (f"a{number}",), 1)
    assert OTHER not in "".join(lines(meter))


def test_many_label_sets_past_the_bound_take_no_memory() -> None:
    meter = Meter()
    for number in range(10_000):
        meter.add(COST, (f"a{number}",), 1)
    assert len(meter._known) == 2


def test_a_new_series_shows_zero_until_two_scrapes_have_seen_it() -> None:
    clock = Clock()
    meter = Meter(hold=10, clock=clock)
    meter.scraped()
    meter.add(COST, ("a",), 5 * NANO)
    assert lines(meter) == ['test_cost_usd_total{agent="a"} 0']
    clock.now += 11
    meter.scraped()
    assert lines(meter) == ['test_cost_usd_total{agent="a"} 0'], "only one scrape has seen it"
    meter.scraped()
    assert lines(meter) == ['test_cost_usd_total{agent="a"} 5']


def test_without_a_prometheus_time_alone_decides() -> None:
    clock = Clock()
    meter = Meter(hold=10, clock=clock)
    meter.add(COST, ("a",), NANO)
    clock.now += 11
    assert lines(meter) == ['test_cost_usd_total{agent="a"} 1']


def test_a_durable_series_waits_until_its_release_is_on_disk() -> None:
    clock = Clock()
    meter = Meter(hold=10, durable=[COST], clock=clock)
    meter.add(COST, ("a",), NANO)
    clock.now += 11
    due = meter.due()
    assert [shown(series) for series in due] == [0]
    assert lines(meter) == ['test_cost_usd_total{agent="a"} 0']
    meter.release(due)
    assert lines(meter) == ['test_cost_usd_total{agent="a"} 1']
    assert meter.due() == []


def test_after_a_restart_a_series_that_was_shown_is_shown_at_once() -> None:
    meter = Meter(hold=10, durable=[COST], clock=Clock())
    meter.resume(frozenset({("test_cost_usd_total", ("a",))}))
    meter.add(COST, ("a",), NANO)
    meter.add(COST, ("b",), NANO)
    assert lines(meter) == ['test_cost_usd_total{agent="a"} 1', 'test_cost_usd_total{agent="b"} 0']


def test_a_gauge_that_its_source_no_longer_reports_is_gone() -> None:
    meter = Meter()
    meter.replace("s", [LEVEL(1, agent="a"), LEVEL(2, agent="b")])
    meter.replace("s", [LEVEL(3, agent="b")])
    assert lines(meter) == ['test_level_bytes{agent="b"} 3']


def test_a_value_on_a_bucket_s_bound_belongs_to_that_bucket() -> None:
    meter = Meter()
    for value in (100_000_000, 100_000_001, 5 * NANO):
        meter.observe(WAIT, (), value)
    assert lines(meter) == [
        'test_wait_seconds_bucket{le="0.1"} 1',
        'test_wait_seconds_bucket{le="1.0"} 2',
        'test_wait_seconds_bucket{le="+Inf"} 3',
        "test_wait_seconds_count 3",
        "test_wait_seconds_sum 5.200000001",
    ]


def test_an_unreleased_histogram_shows_empty_buckets() -> None:
    meter = Meter(hold=10, clock=Clock())
    meter.observe(WAIT, (), NANO)
    [(_, [series], _)] = list(meter.snapshot())
    assert shown_histogram(series).counts == [0, 0, 0]


def test_a_counter_is_no_histogram() -> None:
    with pytest.raises(TypeError, match=r"test\.cost\.usd is no histogram"):
        Meter().observe(COST, ("a",), 1)


def test_the_number_of_series_is_the_number_of_lines() -> None:
    meter = Meter()
    meter.add(COST, ("a",), 1)
    meter.observe(WAIT, (), 1)
    meter.replace("s", [LEVEL(1, agent="a")])
    assert len(meter) == len(lines(meter))


class TestAFullStore:
    """Prometheus drops a whole scrape past its sample_limit: that must never happen."""

    def test_past_the_bound_a_new_series_is_counted_under_other(self) -> None:
        meter = Meter(limits={"agent": 1000}, most=5, overflow=OVERFLOW)
        for number in range(100):
            meter.add(CALLS, (f"a{number}", "ok"), 1)
        meter.observe(WAIT, (), 1)
        assert [line for line in lines(meter) if "calls" in line][-2:] == [
            f'test_calls_total{{agent="{OTHER}",outcome="ok"}} 95',
            'test_overflow_total{metric="test_calls_total",label="agent"} 95',
        ]
        assert sum("test_wait_seconds_count 1" in line for line in lines(meter)) == 1, "without open labels: let in"

    def test_a_series_that_was_let_in_counts_on(self) -> None:
        meter = Meter(limits={"agent": 1000}, most=2)
        for _ in range(2):
            for agent in "abc":
                meter.add(COST, (agent,), NANO)
        assert lines(meter) == [
            'test_cost_usd_total{agent="a"} 2',
            'test_cost_usd_total{agent="b"} 2',
            f'test_cost_usd_total{{agent="{OTHER}"}} 2',
        ]

    def test_after_a_restart_the_series_that_were_shown_keep_their_places(self) -> None:
        """In whatever order they come: a value that moved into _other and back would be a reset of both."""
        meter = Meter(limits={"agent": 1000}, most=3, durable=[COST])
        meter.resume(frozenset({("test_cost_usd_total", (name,)) for name in ("x", "y", OTHER)}))
        for agent in ("new", "y", "other", "x"):
            meter.add(COST, (agent,), NANO)
        assert lines(meter) == [
            f'test_cost_usd_total{{agent="{OTHER}"}} 2',
            'test_cost_usd_total{agent="y"} 1',
            'test_cost_usd_total{agent="x"} 1',
        ]

    def test_sets_past_the_bound_take_no_memory(self) -> None:
        meter = Meter(limits={"agent": 10**6}, most=10)
        for number in range(10_000):
            meter.add(COST, (f"a{number}",), 1)
        assert len(meter._known) == 10


def test_a_clock_that_is_set_back_holds_no_series() -> None:
    clock = Clock()
    meter = Meter(hold=10, clock=clock)
    meter.add(COST, ("a",), NANO)
    clock.now -= 3600
    assert lines(meter) == ['test_cost_usd_total{agent="a"} 1']


def test_otlp_tells_no_new_start_for_a_series_that_goes_on_after_a_restart() -> None:
    """A receiver would take it for a counter that began again at zero, and count its whole value once more."""
    meter = Meter(durable=[COST], clock=Clock())
    meter.resume(frozenset({("test_cost_usd_total", ("a",))}))
    meter.add(COST, ("a",), NANO)
    meter.add(COST, ("b",), NANO)
    request = ExportMetricsServiceRequest.FromString(export_request(meter, {}, 2000 * NANO, "1"))
    [metric] = request.resource_metrics[0].scope_metrics[0].metrics
    points = {point.attributes[0].value.string_value: point.start_time_unix_nano for point in metric.sum.data_points}
    assert points == {"a": 0, "b": 1000 * NANO}


class TestForgetting:
    """What is forgotten leaves nothing behind, and makes room."""

    def test_its_series_are_gone_and_others_take_the_room(self) -> None:
        meter = Meter(overflow=OVERFLOW, durable=[COST])
        for agent in ("a", "b", "c"):
            meter.add(COST, (agent,), NANO)
            meter.add(CALLS, (agent, "ok"), 1)
        assert meter.forget(AGENT, "a") == 2
        assert lines(meter)[:2] == [
            'test_calls_total{agent="b",outcome="ok"} 1',
            f'test_calls_total{{agent="{OTHER}",outcome="ok"}} 1',
        ]
        meter.add(COST, ("d",), 2 * NANO)
        meter.add(COST, ("a",), NANO)
        assert [line for line in lines(meter) if line.startswith("test_cost")] == [
            'test_cost_usd_total{agent="b"} 0',
            f'test_cost_usd_total{{agent="{OTHER}"}} 0',
            'test_cost_usd_total{agent="d"} 0',
        ]
        assert [series.labels for series in meter.due()] == [("b",), (OTHER,), ("d",)]
        assert len(meter) == len(lines(meter))

    def test_other_labels_keep_the_values_that_others_have(self) -> None:
        meter = Meter()
        seats = counter("test.seats", unit="{seat}", help="Seats.", labels=(AGENT, label("row", "A row.", at_most=2)))
        for agent, row in (("a", "1"), ("a", "2"), ("b", "1")):
            meter.add(seats, (agent, row), 1)
        meter.forget(AGENT, "a")
        for row in ("1", "2", "3"):
            meter.add(seats, ("b", row), 1)
        assert lines(meter) == [
            'test_seats_total{agent="b",row="1"} 2',
            'test_seats_total{agent="b",row="2"} 1',
            f'test_seats_total{{agent="b",row="{OTHER}"}} 1',
        ]

    def test_one_that_comes_again_is_born_at_zero(self) -> None:
        """Also where an earlier process had shown it: Prometheus saw its end."""
        clock = Clock()
        meter = Meter(limits={"agent": 9}, most=2, hold=10, durable=[COST], clock=clock)
        meter.resume(frozenset(("test_cost_usd_total", (agent,)) for agent in ("shown", "left")))
        meter.add(COST, ("shown",), NANO)
        meter.forget(AGENT, "shown")
        meter.forget(AGENT, "left")
        meter.add(COST, ("shown",), NANO)
        meter.add(COST, ("new",), NANO)
        assert lines(meter) == ['test_cost_usd_total{agent="shown"} 0', 'test_cost_usd_total{agent="new"} 0']

    def test_names_that_come_and_go_for_years_leave_nothing(self) -> None:
        meter = Meter(overflow=OVERFLOW, durable=[COST])
        for number in range(2000):
            meter.add(COST, (f"agent-{number}",), NANO)
            meter.observe(WAIT, (), NANO)
            meter.replace("levels", [LEVEL(1, agent=f"run-{number}")])
            meter.forget(AGENT, f"agent-{number}")
        meter.forget(AGENT, "never-there")
        shown = [line for line in lines(meter) if "wait" not in line]
        assert shown == ['test_level_bytes{agent="run-1999"} 1']
        assert (len(meter._known), len(meter._waiting), len(meter._bounds._labels[AGENT].admitted)) == (1, 0, 0)
