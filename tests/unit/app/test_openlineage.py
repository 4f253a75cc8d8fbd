"""OpenLineage's events up to the exposition: what is counted does not depend on how they come."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.catalogue import pipelines
from fleetwatch.dialects import Record
from fleetwatch.dialects.openlineage import translate_lineage
from fleetwatch.ledger.pipelines.lineage import QUIET, WAIT
from fleetwatch.reckon.pulse import SECOND
from support_openlineage import Night, as_json
from support_pipeline_house import START, PipelineHouse
from support_program import labels

Make = Callable[..., PipelineHouse]

DAG = "nightly_sales"
ENDED = 300.0
"""When all nights have ended."""


def records(*nights: Night, without: tuple[str, ...] = ()) -> list[Record]:
    """without: jobs that tell nothing themselves."""
    events = [as_json(event) for night in nights for event in night.events() if event.job.name not in without]
    translation, why = translate_lineage(events, START + 400 * SECOND)
    assert why == {}
    return translation.records


def night(salt: str = "", *, with_root: bool = True) -> Night:
    return Night(salt, datetime.fromtimestamp(START / SECOND, UTC), with_root=with_root)


def counters(house: PipelineHouse) -> list[str]:
    """All that was counted of pipelines, line by line."""
    house.after(30)
    durable = [metric for metric in vars(pipelines).values() if getattr(metric, "durable", False)]
    # What a phase lacks is said at its end: what its parts made may be told later.
    names = [metric.prometheus for metric in durable if metric is not pipelines.PHASE_WITHOUT_ARTIFACTS]
    lines = [line for line in house.text().splitlines() if line.startswith(tuple(names)) and not line.endswith(" 0")]
    return sorted(map(_with_sorted_labels, lines))


def _with_sorted_labels(line: str) -> str:
    name, brace, rest = line.partition("{")
    given, _, value = rest.rpartition("}")
    return f"{name}{brace}{','.join(sorted(given.split(',')))}}}{value}" if brace else line


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    houses: list[PipelineHouse] = []

    def one(name: str, **sections: Any) -> PipelineHouse:
        houses.append(PipelineHouse(tmp_path / name, **sections))
        houses[-1].now = ENDED
        return houses[-1]

    yield one
    for house in houses:
        house.books.writer.close()


@pytest.mark.parametrize("with_root", [True, False], ids=["with root", "without root"])
@pytest.mark.parametrize("seed", range(5))
def test_the_same_is_counted_in_any_order_twice_and_over_crashes(make: Make, seed: int, with_root: bool) -> None:
    chance = random.Random(seed)
    nights = [night(salt, with_root=with_root) for salt in "abc"]
    ordered, mixed = make("ordered"), make("mixed")
    for record in records(*nights):
        ordered.tell(record)
    order = records(*nights)
    order += chance.sample(order, 20)
    chance.shuffle(order)
    while order:
        size = chance.randint(1, 8)
        mixed.tell(*order[:size])
        del order[:size]
        if chance.random() < 0.2:
            mixed.crash()
    expected = counters(ordered)
    assert f'pipeline_runs_total{{pipeline="{DAG}",reason="completed",result="success"}} 3' in expected
    assert counters(mixed) == expected


def test_tasks_that_nobody_told_come_from_what_is_below_them(make: Make) -> None:
    """The scheduler's own events are lost: its run is there a minute later, and ends a quarter of an hour on."""
    house = make("house")
    silent = (DAG, f"{DAG}.extract", f"{DAG}.transform", f"{DAG}.build")
    house.tell(*records(night(), without=silent))
    assert house.value(pipelines.RUN_ACTIVE, pipeline=DAG, state="executing") is None
    house.after(WAIT / SECOND + 2)
    assert house.value(pipelines.RUN_ACTIVE, pipeline=DAG, state="executing") == 1
    assert house.value(pipelines.PHASE_ITEMS, pipeline=DAG, phase="transform", direction="out") == 990
    house.after(QUIET / SECOND + 30)
    assert house.value(pipelines.RUNS, pipeline=DAG, result="success", reason="completed") == 1
    assert house.value(pipelines.RUN_DURATION, "_sum", pipeline=DAG, result="success") == 210 - 85
    assert house.value(pipelines.PHASE_DURATION, "_sum", pipeline=DAG, phase="transform", result="success") == 128 - 85
    assert house.value(pipelines.RUN_ACTIVE, pipeline=DAG, state="executing") in (0, None)
    house.tell(*records(night()))
    house.after(30)
    assert house.value(pipelines.RUNS, pipeline=DAG, result="success", reason="completed") == 1
    assert house.value(pipelines.RUNS_CORRECTED, pipeline=DAG, result="success") is None, "it was not taken for lost"


def test_a_run_id_or_a_job_per_event_stays_bounded(make: Make) -> None:
    house = make("house", pipelines={"max_phases": 5, "max_open": 50})
    events = []
    for number in range(300):
        facet = {"run": {"runId": "dag"}, "job": {"name": "dag"}}
        events += [
            {
                "eventTime": "2027-01-15T08:00:00Z", "eventType": "COMPLETE",
                "run": {"runId": f"task {number}", "facets": {"parent": {**facet, "root": facet}}},
                "job": {"name": f"dag.task {number}"},
            },
            {
                "eventTime": "2027-01-15T08:00:00Z", "eventType": "START",
                "run": {"runId": f"run {number}"}, "job": {"name": f"job {number}"},
            },
        ]  # fmt: skip
    found, why = translate_lineage(events, START + 400 * SECOND)
    assert why == {}
    house.tell(*found.records)
    house.after(30)
    phases = {dict(series)["phase"] for series in house.shown(pipelines.PHASE_DURATION, "_count")}
    assert len(phases) == 6
    assert "_other" in phases
    known = {dict(series)["pipeline"] for series in house.shown(pipelines.RUN_ACTIVE)}
    assert len(known) <= pipelines.PIPELINE.at_most + 1
    assert house.shown(pipelines.REJECTED)[labels(reason="too_many")] >= 249
