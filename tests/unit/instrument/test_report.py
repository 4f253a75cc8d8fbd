"""Heartbeats: who is there, how often it beats, and who said goodbye."""

from __future__ import annotations

import asyncio
import time

import pytest

from fleetwatch.instrument import names
from fleetwatch.instrument.beat import Spacing
from support_instrument import Application


def test_one_collection_tells_all_there_is() -> None:
    app = Application()
    me = app.agent(version="1.2", framework="langgraph", team="search", model="gpt-4o")
    before = time.time()
    me.queue(2, oldest_age=1)
    gauges = app.gauges()
    assert gauges.keys() == {
        "agent.info",
        "agent.state",
        "agent.last_heartbeat.timestamp",
        "agent.last_progress.timestamp",
        "agent.heartbeat.interval",
        "agent.open_tasks",
        "agent.queue.depth",
        "agent.queue.oldest_age",
    }
    [(attributes, one)] = gauges[names.INFO]
    assert one == 1
    assert {key: value for key, value in attributes.items() if key not in {names.HOST, names.PROCESS}} == {
        "gen_ai.agent.name": "researcher",
        "team": "search",
        "gen_ai.agent.version": "1.2",
        "gen_ai.request.model": "gpt-4o",
        "fleetwatch.agent.framework": "langgraph",
    }
    assert len(gauges[names.STATE]) == len(names.STATES)
    [(_, heartbeat)] = gauges[names.HEARTBEAT]
    assert before <= heartbeat <= time.time()


def test_the_same_name_is_the_same_agent_and_facts_add_up() -> None:
    app = Application()
    me = app.agent(version="1")
    assert app.agent(framework="langgraph") is me
    assert (me.version, me.framework) == ("1", "langgraph")
    assert app.agent("other") is not me


def test_an_agent_that_stands_still_beats_and_makes_no_progress() -> None:
    app = Application()
    with app.agent().task():
        first, second = app.gauges(), app.gauges()
    assert second[names.HEARTBEAT][0][1] > first[names.HEARTBEAT][0][1]
    assert second[names.PROGRESS] == first[names.PROGRESS]


@pytest.mark.parametrize(
    ("environment", "expected"), [("", 60), ("5000", 5), ("soon", 60), ("-1", 60), ("inf", 60), ("nan", 60)]
)
def test_the_first_interval_is_the_environment_s(
    monkeypatch: pytest.MonkeyPatch, environment: str, expected: float
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", environment)
    assert Spacing().collected(1, 100.0) == expected


def test_the_interval_is_learned_from_the_reader_s_collections() -> None:
    spacing = Spacing()
    told = [spacing.collected(1, at) for at in (0.0, 10.0, 20.1, 30.0, 3630.0, 3640.0)]
    assert told == pytest.approx([60, 10, 10.05, 10, 10.1, 10], abs=0.11)


def test_readers_do_not_mix() -> None:
    """A page that is scraped every 15 s beside an export every 60 s; a flush asks once, from a thread of its own."""
    spacing = Spacing()
    for second in range(0, 300, 15):
        spacing.collected(1, second)
        if second % 60 == 0:
            told = spacing.collected(2, second + 1)
    assert told == 60
    assert spacing.collected(3, 290) in {15, 60}
    assert spacing.collected(2, 301) == 60


def test_the_readers_that_are_remembered_are_bounded() -> None:
    spacing = Spacing()
    for reader in range(10_000):
        spacing.collected(reader, float(reader))
    assert len(spacing._seen) <= 64


def test_who_ends_on_purpose_says_goodbye_some_times_and_is_gone() -> None:
    app = Application()
    me = app.agent()
    with me:
        assert names.GOODBYE not in app.gauges()
    ended = time.time()
    for _ in range(3):
        gauges = app.gauges()
        assert gauges.keys() == {names.INFO, names.INTERVAL, names.HEARTBEAT, names.GOODBYE}
        assert ended - 5 < gauges[names.GOODBYE][0][1] <= ended
    assert app.gauges() == {}


def test_who_comes_again_is_there_again() -> None:
    app = Application()
    me = app.agent()
    with me:
        pass
    assert names.GOODBYE in app.gauges()
    with me:
        gauges = app.gauges()
    assert names.GOODBYE not in gauges
    assert names.STATE in gauges


def test_the_last_of_several_blocks_says_goodbye() -> None:
    app = Application()
    with app.agent():
        with app.agent():
            pass
        assert names.GOODBYE not in app.gauges()
    assert names.GOODBYE in app.gauges()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_who_is_stopped_says_goodbye(error: type[BaseException]) -> None:
    app = Application()
    with pytest.raises(error), app.agent():
        raise error
    assert names.GOODBYE in app.gauges()


def test_who_fails_tells_that_once_and_falls_silent() -> None:
    app = Application()
    with pytest.raises(ValueError, match="broken"), app.agent():
        raise ValueError("broken")
    gauges = app.gauges()
    assert names.GOODBYE not in gauges
    assert [attributes[names.STATE_VALUE] for attributes, value in gauges[names.STATE] if value] == ["failed"]
    assert app.gauges() == {}


def test_those_whose_goodbye_nobody_collects_are_bounded() -> None:
    app = Application()
    for number in range(1500):
        with app.agent(f"agent-{number}"):
            pass
    data = app.reader.get_metrics_data()
    assert data is not None
    points = [
        point
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == names.GOODBYE
        for point in metric.data.data_points
    ]
    assert len(points) == 1000
