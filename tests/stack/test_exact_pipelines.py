"""Counters and ring of pipelines are exact, whenever the exporter is killed: real jobs whose SDK tries again."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import NANO
from support import wait_for
from support_house import House
from support_jobs import Key, started_job
from support_program import Series, samples

pytestmark = pytest.mark.stack

SETTINGS = {
    "host": {"enabled": False},
    "pipelines": {"signals": [{"name": "water.events"}]},
    "web": {"scrape_interval": 0.2},
}
JOBS = 3
KILLS = 6
COUNTED = (
    pipelines.RUNS,
    pipelines.RUNS_CORRECTED,
    pipelines.PHASE_ITEMS,
    pipelines.PHASE_ERRORS,
    pipelines.PHASE_WARNINGS,
    pipelines.PHASE_ARTIFACTS,
    pipelines.PHASE_ARTIFACT_SIZE,
    pipelines.PHASE_WITHOUT_ARTIFACTS,
    pipelines.PHASE_RETRIES,
    pipelines.SIGNAL_COUNT,
)
TIMED = (pipelines.RUN_DURATION, pipelines.PHASE_DURATION, pipelines.SUBPHASE_DURATION)
RING = (
    pipelines.SLOT_INFO,
    pipelines.SLOT_RUN_STATE,
    pipelines.SLOT_RUN_START,
    pipelines.SLOT_PHASE_STATE,
    pipelines.SLOT_PHASE_START,
    pipelines.SLOT_PHASE_ITEMS,
)
"""What stands still while a run does nothing."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path / "exporter", SETTINGS) as running:
        yield running


def counted(house: House) -> Counter[Key]:
    """What the exporter shows, as `Truth` has it: durations in nanoseconds."""
    shown = samples(house.get("/metrics")[1])
    found: Counter[Key] = Counter()

    def take(metric: Any, suffix: str = "", scale: int = 1) -> None:
        for series, value in shown.get(metric.prometheus + suffix, {}).items():
            told = dict(series)
            found[metric.prometheus + suffix, *(told[name] for name in metric.label_names)] += round(value * scale)

    for metric in COUNTED:
        take(metric)
    for metric in TIMED:
        take(metric, "_count")
        take(metric, "_sum", NANO)
    return +found


def ring(house: House) -> dict[str, dict[Series, float]]:
    shown = samples(house.get("/metrics")[1])
    return {metric.prometheus: shown.get(metric.prometheus, {}) for metric in RING}


def runs_of(house: House, names: list[str]) -> list[float]:
    shown = house.metrics(pipelines.RUNS.prometheus)
    return [sum(value for series, value in shown.items() if ("pipeline", name) in series) for name in names]


def all_went_on(house: House, names: list[str], before: list[float]) -> bool:
    return all(now > then for now, then in zip(runs_of(house, names), before, strict=True))


def test_kills_amid_runs_change_no_figure(house: House, tmp_path: Path) -> None:
    """Kills in the midst of three jobs' runs; each job says in the end what it did."""
    dice = random.Random(7)
    names = [f"mill-{number}" for number in range(JOBS)]
    with ExitStack() as stack:
        jobs = [
            stack.enter_context(started_job(house.http, name, tmp_path / "jobs.log", play="works", seed=number))
            for number, name in enumerate(names)
        ]
        for _ in range(KILLS):
            before = runs_of(house, names)
            # Of each: the SDK waits twice as long after each try that failed, and gives up after six.
            wait_for(partial(all_went_on, house, names, before), 60, f"runs of each since {before}")
            threading.Event().wait(dice.uniform(0, 0.3))
            house.kill9()
            house.start()
        told = [json.loads(job.tell("enough")) for job in jobs]
        assert [job.end() for job in jobs] == [0] * JOBS
    assert "Failed to export spans" not in (tmp_path / "jobs.log").read_text(), "an SDK gave up"
    truth: Counter[Key] = Counter()
    for _, counts in told:
        truth.update({tuple(key): number for key, number in counts})
    runs = sum(number for number, _ in told)
    assert runs > 2 * KILLS

    def equal() -> bool:
        found = counted(house)
        assert found == truth, {key: (found[key], truth[key]) for key in found | truth if found[key] != truth[key]}
        return True

    wait_for(equal, 40, "the truth on /metrics")
    listed = house.run("runs", "list", "--most", "10000", "--format", "csv").stdout.splitlines()
    assert len(listed) == 1 + runs, "each run is one row of the history"
    # And once more from the file alone.
    house.kill9()
    house.start()
    wait_for(equal, 40, "the truth on /metrics after a restart")
    assert house.stop() == 0
    verified = house.run("ledger", "verify")
    assert verified.returncode == 0, verified.stderr


def test_a_run_goes_on_over_a_kill_of_the_exporter(house: House, tmp_path: Path) -> None:
    """Its slot, its phases and what they counted are there again before it says another word."""
    with started_job(house.http, "long", tmp_path / "jobs.log") as job:
        run = job.tell("id")
        job.tell("phase P00", "items 100", "phase P01", "items 40")
        wait_for(lambda: house.value(pipelines.SLOT_PHASE_ITEMS.prometheus, phase="P01") == 40, 20, "its items")
        wait_for(lambda: house.value(pipelines.PHASE_ITEMS.prometheus, phase="P01") == 40, 20, "its items, counted")
        job.stop()
        before, figures = ring(house), counted(house)
        assert dict(next(iter(before[pipelines.SLOT_INFO.prometheus])))["run_id"] == run
        for _ in range(2):
            house.kill9()
            house.start()
            assert ring(house) == before
            assert counted(house) == figures
        job.go_on()
        job.tell("items 2")
        job.begin("end")
        assert job.end() == 0
    wait_for(lambda: counted(house)[pipelines.RUNS.prometheus, "long", "success", "completed"] == 1, 20, "its end")
    figures = counted(house)
    items = pipelines.PHASE_ITEMS.prometheus
    assert (figures[items, "long", "P00", "out"], figures[items, "long", "P01", "out"]) == (100, 42)
    assert house.value(pipelines.RUN_ACTIVE.prometheus) == 0
    assert house.value(pipelines.SLOT_INFO.prometheus) == 1
