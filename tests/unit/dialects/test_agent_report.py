"""Gauges of agents in, beats out."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from fleetwatch.catalogue import agents
from fleetwatch.dialects import translate_metrics
from fleetwatch.dialects.agent_report import AGENT, GOODBYE, STATE
from fleetwatch.records.agents import AgentBeat
from support_instrument import Application
from support_otlp import NOW, RESOURCE, SECOND, key_values, metrics_of

LATER = NOW + SECOND


def gauge(name: str, value: float, at: int = NOW, **attributes: Any) -> Metric:
    """One point about the agent `researcher`; `attributes` have underscores for dots and replace its own."""
    metric = Metric(name=name)
    named = {AGENT: "researcher", **{key.replace("__", "."): item for key, item in attributes.items()}}
    point = metric.gauge.data_points.add(time_unix_nano=at, as_double=value)
    point.attributes.extend(key_values(named))
    return metric


def beats(*metrics: Metric, resource: dict[str, Any] = RESOURCE) -> list[AgentBeat]:
    records = translate_metrics(metrics_of(metrics, resource), LATER).records
    return [record for record in records if isinstance(record, AgentBeat)]


def rejected(*metrics: Metric) -> dict[str, int]:
    found = translate_metrics(metrics_of(metrics), LATER)
    assert found.records == []
    return found.rejected


def test_what_an_application_tells_is_one_beat() -> None:
    app = Application()
    me = app.agent(version="1.2", framework="langgraph", model="gpt-4o")
    with me.task():
        me.state("waiting_human")
        me.queue(3, oldest_age=7)
        request = app.beat()
    [beat] = translate_metrics(request).records
    assert isinstance(beat, AgentBeat)
    assert (beat.agent, beat.team, beat.instance) == ("researcher", "support", "one")
    assert (beat.state, beat.open_tasks, beat.queue_depth, beat.goodbye) == ("waiting_human", 1, 3, False)
    assert (beat.version, beat.framework, beat.model) == ("1.2", "langgraph", "gpt-4o")
    assert beat.interval == 60 * SECOND
    assert beat.progress is not None
    assert 0 <= beat.at - beat.progress < 10 * SECOND
    assert beat.queue_age is not None
    assert 7 <= beat.queue_age < 17


def test_a_goodbye_arrives() -> None:
    app = Application()
    with app.agent():
        pass
    [beat] = translate_metrics(app.beat()).records
    assert isinstance(beat, AgentBeat)
    assert (beat.goodbye, beat.state, beat.open_tasks) == (True, None, None)


def test_agents_times_and_processes_are_beats_of_their_own() -> None:
    found = beats(
        gauge(agents.OPEN_TASKS.name, 1),
        gauge(agents.QUEUE_DEPTH.name, 2),
        gauge(agents.OPEN_TASKS.name, 3, NOW + 1),
        gauge(agents.OPEN_TASKS.name, 4, gen_ai__agent__name="writer"),
        gauge(agents.OPEN_TASKS.name, 5, host__name="node-1"),
    )
    assert [(beat.agent, beat.host, beat.at - NOW, beat.open_tasks, beat.queue_depth) for beat in found] == [
        ("researcher", "", 0, 1, 2),
        ("researcher", "", 1, 3, None),
        ("writer", "", 0, 4, None),
        ("researcher", "node-1", 0, 5, None),
    ]


def test_an_export_that_was_cut_is_beats_that_add_up() -> None:
    [one] = beats(gauge(agents.OPEN_TASKS.name, 1))
    [two] = beats(gauge(agents.QUEUE_DEPTH.name, 2))
    assert one == two._replace(open_tasks=1, queue_depth=None)


def test_the_resource_knows_best_who_and_where_and_the_point_helps_out() -> None:
    told = gauge(agents.OPEN_TASKS.name, 1, host__name="pod", process__pid=42, team="search")
    [beat] = beats(told, resource={"service.name": "app", "host.name": "node-1", "service.instance.id": "a"})
    assert (beat.host, beat.instance, beat.team) == ("node-1", "a", "search")
    [beat] = beats(told, resource={"service.name": "app"})
    assert (beat.host, beat.instance) == ("pod", "42")


def test_a_clock_that_leads_is_held_back() -> None:
    [beat] = beats(gauge(agents.LAST_PROGRESS.name, (NOW + 3600 * SECOND) / 1e9, NOW + 3600 * SECOND))
    assert (beat.at, beat.progress) == (LATER, LATER)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (agents.OPEN_TASKS.name, -1),
        (agents.OPEN_TASKS.name, 1e300),
        (agents.OPEN_TASKS.name, math.nan),
        (agents.QUEUE_DEPTH.name, math.inf),
        (agents.QUEUE_AGE.name, -0.5),
        (agents.HEARTBEAT_INTERVAL.name, 0),
        (agents.HEARTBEAT_INTERVAL.name, 86_401),
        (agents.LAST_PROGRESS.name, -math.inf),
        (agents.LAST_PROGRESS.name, -1e308),
        (agents.LAST_PROGRESS.name, 1e308),
        (agents.LAST_PROGRESS.name, 5),
        (GOODBYE, math.nan),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: float) -> None:
    assert rejected(gauge(name, value)) == {"bad_point": 1}


def test_a_state_that_nobody_knows_is_refused_and_one_that_is_not_is_left_out() -> None:
    assert rejected(gauge(agents.STATE.name, 1, fleetwatch__agent__state="asleep")) == {"bad_point": 1}
    [beat] = beats(gauge(agents.STATE.name, 0, fleetwatch__agent__state="idle"))
    assert beat.state is None


def test_a_time_that_is_none_is_refused() -> None:
    assert rejected(gauge(agents.OPEN_TASKS.name, 1, 1_800_000_000)) == {"bad_time": 1}


def test_a_sum_and_a_histogram_are_no_gauges() -> None:
    metric = Metric(name=agents.OPEN_TASKS.name)
    metric.sum.data_points.add(as_int=1, time_unix_nano=NOW)
    assert rejected(metric) == {"bad_point": 1}


def test_another_program_s_agents_are_none_of_ours() -> None:
    metric = gauge(agents.INFO.name, 1)
    del metric.gauge.data_points[0].attributes[:]
    assert rejected(metric, Metric(name="agent.uptime")) == {}


def test_labels_are_bounded_and_visible() -> None:
    [beat] = beats(
        gauge(
            agents.INFO.name,
            1,
            gen_ai__agent__name="a\n\u202e" + "b" * 500,
            gen_ai__agent__version="v" * 500,
            process__pid="x" * 500,
        ),
        resource={"service.name": "app"},
    )
    assert beat.agent.startswith("a\ufffd\ufffdb")
    assert {len(beat.agent), len(beat.version), len(beat.instance)} == {200}


VALUES = st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    agents.INFO.name,
                    agents.STATE.name,
                    agents.LAST_PROGRESS.name,
                    agents.QUEUE_AGE.name,
                    agents.HEARTBEAT_INTERVAL.name,
                    agents.OPEN_TASKS.name,
                    GOODBYE,
                    "agent.other",
                ]
            ),
            VALUES,
            st.sampled_from([0, NOW - 1, NOW, LATER, 2**64 - 1]),
            st.sampled_from(["idle", "failed", "", "x"]),
        ),
        max_size=12,
    )
)  # fmt: skip - one table
def test_whatever_comes_makes_beats_that_can_be(points: list[tuple[str, float, int, str]]) -> None:
    metrics = []
    for name, value, at, state in points:
        metric = gauge(name, 0, at, **{STATE: state})
        if isinstance(value, int):
            metric.gauge.data_points[0].as_int = value
        else:
            metric.gauge.data_points[0].as_double = value
        metrics.append(metric)
    for beat in beats(*metrics):
        assert beat.at <= LATER
        assert beat.progress is None or beat.progress <= beat.at
        assert beat.interval is None or 0 < beat.interval <= 86_400 * SECOND
        assert beat.open_tasks is None or beat.open_tasks >= 0
        assert beat.queue_age is None or (math.isfinite(beat.queue_age) and beat.queue_age >= 0)
        assert beat.state in {None, "idle", "failed"}
