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

import pytest

from fleetwatch.catalogue import pipelines
from support import wait_for
from support_house import House
from support_jobs import counted, differences, started_job
from support_program import Series, samples
from support_work_of_jobs import Key

pytestmark = pytest.mark.stack

SETTINGS = {
    "host": {"enabled": False},
    "pipelines": {"signals": [{"name": "water.events"}]},
    "web": {"scrape_interval": 0.2},
}
JOBS = 3
KILLS = 5
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


def shown(house: House) -> Counter[Key]:
    return counted(house.get("/metrics")[1])


def ring(house: House) -> dict[str, dict[Series, float]]:
    found = samples(house.get("/metrics")[1])
    return {metric.prometheus: found.get(metric.prometheus, {}) for metric in RING}


def runs_of(house: House, names: list[str]) -> list[float]:
    runs = house.metrics(pipelines.RUNS.prometheus)
    return [sum(value for series, value in runs.items() if ("pipeline", name) in series) for name in names]


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
        assert not (wrong := differences(shown(house), truth)), wrong
        return True

    wait_for(equal, 40, "the truth on /metrics")
    listed = house.run("runs", "export").stdout.splitlines()
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
        before, figures = ring(house), shown(house)
        assert dict(next(iter(before[pipelines.SLOT_INFO.prometheus])))["run_id"] == run
        for _ in range(2):
            house.kill9()
            house.start()
            assert ring(house) == before
            assert shown(house) == figures
        job.go_on()
        job.tell("items 2")
        job.begin("end")
        assert job.end() == 0
    wait_for(
        lambda: shown(house)[pipelines.RUNS.prometheus, "long", "success", "completed"] == 1,
        20,
        "its end",
    )
    figures = shown(house)
    items = pipelines.PHASE_ITEMS.prometheus
    assert (figures[items, "long", "P00", "out"], figures[items, "long", "P01", "out"]) == (100, 42)
    assert house.value(pipelines.RUN_ACTIVE.prometheus) == 0
    assert house.value(pipelines.SLOT_INFO.prometheus) == 1
