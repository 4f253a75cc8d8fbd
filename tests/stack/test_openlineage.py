"""Nested runs that OpenLineage's public client sends: a DAG, a task tried again, Spark and dbt below tasks."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import RunEvent
from openlineage.client.transport.http import HttpConfig, HttpTransport

from support import wait_for
from support_house import House
from support_openlineage import Night

pytestmark = pytest.mark.stack

DAG = "nightly_sales"
NIGHT_TOOK = timedelta(seconds=250)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as running:
        yield running


def client(house: House, **config: Any) -> OpenLineageClient:
    return OpenLineageClient(transport=HttpTransport(HttpConfig.from_dict({"url": f"http://{house.http}", **config})))


def last_night(salt: str = "", *, with_root: bool = True) -> Night:
    """One that has just ended."""
    return Night(salt, datetime.now(UTC) - NIGHT_TOOK - timedelta(seconds=1), with_root=with_root)


def values(house: House, runs: int = 1) -> dict[str, float]:
    """What /metrics tells of the DAG, per run."""
    asked: dict[str, tuple[str, dict[str, str]]] = {
        "runs": ("pipeline_runs_total", {"result": "success", "reason": "completed"}),
        "all runs": ("pipeline_runs_total", {}),
        "run seconds": ("pipeline_run_duration_seconds_sum", {}),
        "extract out": ("pipeline_phase_items_total", {"phase": "extract", "direction": "out"}),
        "transform in": ("pipeline_phase_items_total", {"phase": "transform", "direction": "in"}),
        "transform out": ("pipeline_phase_items_total", {"phase": "transform", "direction": "out"}),
        "build out": ("pipeline_phase_items_total", {"phase": "build", "direction": "out"}),
        "files": ("pipeline_phase_artifacts_total", {"phase": "transform"}),
        "bytes": ("pipeline_phase_artifact_size_bytes_total", {"phase": "transform"}),
        "failed": ("pipeline_phase_duration_seconds_count", {"phase": "transform", "result": "failure"}),
        "done": ("pipeline_phase_duration_seconds_count", {"phase": "transform", "result": "success"}),
        "failed seconds": ("pipeline_phase_duration_seconds_sum", {"phase": "transform", "result": "failure"}),
        "done seconds": ("pipeline_phase_duration_seconds_sum", {"phase": "transform", "result": "success"}),
        "phases": ("pipeline_phase_duration_seconds_count", {}),
        "retries": ("pipeline_phase_retries_total", {"phase": "transform"}),
        "errors": ("pipeline_phase_errors_total", {"phase": "transform", "error_type": "UndefinedTable"}),
        "all errors": ("pipeline_phase_errors_total", {}),
        "parts": ("pipeline_subphase_duration_seconds_count", {}),
        "app seconds": ("pipeline_subphase_duration_seconds_sum", {"phase": "transform", "subphase": "sales_app"}),
        "job seconds": (
            "pipeline_subphase_duration_seconds_sum",
            {"phase": "transform", "subphase": "sales_app.insert_orders"},
        ),
        "model seconds": (
            "pipeline_subphase_duration_seconds_sum",
            {"phase": "build", "subphase": "shop.model.orders"},
        ),
    }
    found = {name: house.value(metric, pipeline=DAG, **labels) for name, (metric, labels) in asked.items()}
    return {name: value / runs for name, value in found.items()}


NIGHT = {
    "runs": 1,
    "all runs": 1,
    "run seconds": 250,
    "extract out": 1000,
    "transform in": 1000,
    "transform out": 990,
    "build out": 120,
    "files": 4,
    "bytes": 9900,
    "failed": 1,
    "done": 1,
    "failed seconds": 10,
    "done seconds": 50,
    "phases": 4,
    "retries": 1,
    "errors": 1,
    "all errors": 1,
    "parts": 4,
    "app seconds": 43,
    "job seconds": 40,
    "model seconds": 50,
}
"""Per run."""


def settled(house: House, runs: int = 1) -> dict[str, float]:
    """The values when new series have had their time at zero, or what they are after some time."""
    with contextlib.suppress(AssertionError):
        wait_for(lambda: values(house, runs) == NIGHT, timeout=15)
    return values(house, runs)


@pytest.mark.parametrize("config", [{}, {"compression": "gzip"}], ids=["plain", "gzip"])
def test_a_night_as_it_happens(house: House, config: dict[str, Any]) -> None:
    night = last_night()
    sender = client(house, **config)
    for event in night.events():
        sender.emit(event)
        if event.job.name == "sales_app.insert_orders" and event.eventType and event.eventType.value == "RUNNING":
            wait_for(lambda: house.value("pipeline_phase_active", phase="transform", state="executing") == 1, 10)
            wait_for(
                lambda: house.value("pipeline_phase_items_total", phase="transform", direction="out") == 400,
                10,
                "items while it lasts",
            )
            assert house.value("pipeline_run_active", pipeline=DAG, state="executing") == 1
    assert settled(house) == NIGHT
    [slot] = [dict(series) for series in house.metrics("pipeline_slot_info")]
    assert (slot["pipeline"], slot["run_id"], slot["version"]) == (DAG, night.run_id(DAG), "Airflow 3.1.0")
    assert house.value("pipeline_run_active", pipeline=DAG) == 0
    pipelines = {dict(series)["pipeline"] for series in house.metrics("pipeline_phase_duration_seconds_count")}
    assert pipelines == {DAG}
    assert "orders_secret" not in house.get("/metrics")[1]
    assert house.value("fleetwatch_receiver_requests_total", signal="lineage", status="ok") == 19


@pytest.mark.parametrize("with_root", [True, False], ids=["with root", "without root"])
def test_nights_in_any_order_twice_and_over_kill_9_are_the_same(house: House, with_root: bool) -> None:
    nights = [last_night(salt, with_root=with_root) for salt in "abc"]
    events = [event for night in nights for event in night.events()]
    order: list[RunEvent] = [*events, *events[::3]]
    random.Random(7).shuffle(order)
    for place, event in enumerate(order):
        if place in (len(order) // 3, len(order) // 2):
            house.kill9()
            house.start()
        client(house).emit(event)
    # A sender that does not know what was acknowledged sends all of it again.
    house.kill9()
    house.start()
    sender = client(house)
    for event in events:
        sender.emit(event)
    assert settled(house, len(nights)) == NIGHT
    runs = {dict(series)["run_id"] for series in house.metrics("pipeline_slot_info")}
    assert runs == {night.run_id(DAG) for night in nights}
