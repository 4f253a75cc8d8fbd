"""Senders that confuse: reports out of order, twice and late, clocks that jump, names without end. A real exporter."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from fleetwatch.catalogue import pipelines
from support import wait_for
from support_house import House
from support_instrument import Application, run
from support_jobs import counted, differences
from support_stack import post
from support_work_of_jobs import Key, Truth, works

pytestmark = pytest.mark.stack

PIPELINES = 20
"""Names of pipelines that the exporter takes."""
PHASES = 10
NAMES = 5000
BATCH = 500
"""Runs in a request."""
SETTINGS = {
    "host": {"enabled": False},
    "labels": {"limits": {"pipeline": PIPELINES}},
    "pipelines": {"signals": [{"name": "water.events"}], "max_phases": PHASES},
    "web": {"scrape_interval": 0.2},
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("exporter"), SETTINGS) as running:
        yield running


def send(house: House, bodies: list[tuple[str, bytes]]) -> None:
    for path, body in bodies:
        assert post(f"http://{house.http}/v1/{path}", body) == 200


def of(house: House, name: str) -> Counter[Key]:
    """What is counted of one pipeline."""
    return Counter({key: value for key, value in counted(house.get("/metrics")[1]).items() if key[1] == name})


def test_reports_out_of_order_twice_and_late_are_each_counted_once(house: House) -> None:
    """Seconds of work, recorded as the SDK sends it: beats, events and single spans, shuffled, each twice."""
    truth = Truth("shuffled")
    app = Application(truth)
    enough = threading.Event()
    worker = threading.Thread(target=works, args=("shuffled", 1, truth, enough), kwargs=app.providers)
    worker.start()
    beats = []
    for _ in range(20):
        enough.wait(0.1)
        beats.append(("metrics", app.beat().SerializeToString()))
    enough.set()
    worker.join()
    spans = [("traces", encode_spans([span]).SerializeToString()) for span in app.spans]
    bodies = 2 * [*beats, *spans, ("logs", app.logs().SerializeToString())]
    random.Random(3).shuffle(bodies)
    send(house, bodies)

    def equal() -> bool:
        assert not (wrong := differences(of(house, "shuffled"), truth.counts)), wrong
        return True

    wait_for(equal, 20, "the truth on /metrics")
    assert truth.counts[pipelines.PHASE_ITEMS.prometheus, "shuffled", "P01", "out"] > 0
    assert house.value(pipelines.RUN_ACTIVE.prometheus, pipeline="shuffled") == 0
    # And hours later some of it once more.
    send(house, bodies[: len(bodies) // 4])
    threading.Event().wait(1)
    assert equal()


JUMPS = """
import sys, time
real, jump = time.time_ns, 0
time.time_ns = lambda: real() + jump
time.time = lambda: time.time_ns() / 1e9
from opentelemetry import metrics
import support_work_of_jobs
from fleetwatch.instrument import pipeline

support_work_of_jobs.configure(sys.argv[1], "")
hour = 3600 * 10**9
with pipeline("jumpy") as run:
    for number, leap in enumerate([0, hour, -hour, 0, -hour, hour]):
        jump = leap
        with run.phase(f"P0{number}") as p:
            for _ in range(3):
                p.items(1)
                time.sleep(0.1)
                metrics.get_meter_provider().force_flush()
"""


def test_a_clock_that_jumps_by_an_hour_either_way_changes_nothing(house: House) -> None:
    done = run(f"import sys; sys.argv[1:] = ['http://{house.http}']\n{JUMPS}")
    assert done.code == 0, done.err
    wait_for(lambda: house.value(pipelines.RUNS.prometheus, pipeline="jumpy"), 20, "its end")
    wait_for(lambda: house.value(pipelines.PHASE_ITEMS.prometheus, pipeline="jumpy") == 18, 20, "its items")
    found = of(house, "jumpy")
    assert found[pipelines.RUNS.prometheus, "jumpy", "success", "completed"] == 1
    assert found[pipelines.RUN_DURATION.prometheus + "_sum", "jumpy", "success"] < 60 * 10**9
    for number in range(6):
        phase = "jumpy", f"P0{number}"
        assert found[pipelines.PHASE_ITEMS.prometheus, *phase, "out"] == 3
        assert 0 < found[pipelines.PHASE_DURATION.prometheus + "_sum", *phase, "success"] < 60 * 10**9
    assert house.value(pipelines.SLOT_RUN_STATE.prometheus, pipeline="jumpy") == 4
    assert 0 < house.value(pipelines.SLOT_RUN_DURATION.prometheus, pipeline="jumpy") < 60
    assert house.value(pipelines.RUN_ACTIVE.prometheus, pipeline="jumpy") == 0


def flood(house: House, pipeline: str, phase: str, numbers: range) -> None:
    """A run for each number, with a phase and a part of it. NUMBER in the names: six digits.

    One run is what the SDK made; the others are the same bytes with other names and ids of the same length.
    """
    app = Application()
    with app.pipeline(pipeline, run_id=f"NUMBER-{'x' * 40}") as job, job.phase(phase) as p, p.part("NUMBER") as part:
        part.items(1)
    body = app.traces().SerializeToString()
    spans = [span for group in app.traces().resource_spans for scope in group.scope_spans for span in scope.spans]
    ids = {spans[0].trace_id, *(span.span_id for span in spans)}
    bodies = []
    for number in numbers:
        other = body.replace(b"NUMBER", b"%06d" % number)
        for old in ids:
            other = other.replace(old, os.urandom(len(old)))
        bodies.append(other)
    for start in range(0, len(bodies), BATCH):
        # Messages one after the other are one message with all that they repeat.
        send(house, [("traces", b"".join(bodies[start : start + BATCH]))])


def lines(house: House, pipeline: str) -> list[str]:
    """Its series, without their values."""
    found = house.get("/metrics")[1].splitlines()
    return sorted(line.rpartition(" ")[0] for line in found if f'pipeline="{pipeline}"' in line)


def rows(house: House, table: str) -> int:
    with closing(sqlite3.connect(f"file:{house.ledger}?mode=ro", uri=True)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_name_of_a_phase_for_each_run_is_bounded(house: House) -> None:
    """Series, and what is kept of them, are as many after 5,000 runs as after 500; and all runs are counted."""
    runs = partial(house.value, pipelines.RUNS.prometheus, pipeline="attack")
    flood(house, "attack", "P-NUMBER", range(500))
    wait_for(lambda: runs() == 500, 30, "the first runs")
    few, sums, names = lines(house, "attack"), rows(house, "counts"), rows(house, "pipeline_names")
    flood(house, "attack", "P-NUMBER", range(500, NAMES))
    wait_for(lambda: runs() == NAMES, 60, "all runs", 0.5)
    many = lines(house, "attack")
    # What runs have the ten slots differs, and so which of their phases are shown under their own name.
    ring = "pipeline_slot_"
    assert [line for line in many if not line.startswith(ring)] == [line for line in few if not line.startswith(ring)]
    assert max(len(few), len(many)) < 1000
    assert (rows(house, "counts"), rows(house, "pipeline_names")) == (sums, names)
    shown = {
        dict(series)["phase"]
        for series in house.metrics(pipelines.PHASE_ITEMS.prometheus)
        if ("pipeline", "attack") in series
    }
    assert shown == {*(f"P-{number:06}" for number in range(PHASES)), "_other"}
    assert house.value(pipelines.PHASE_ITEMS.prometheus, pipeline="attack") == NAMES


def test_a_pipeline_that_is_renamed_again_and_again_is_bounded_and_forgetting_makes_room(house: House) -> None:
    known = {dict(series)["pipeline"] for series in house.metrics(pipelines.FIRST_SEEN.prometheus)}
    flood(house, "renamed-NUMBER", "P00", range(3 * PIPELINES))

    def runs() -> dict[str, float]:
        shown = house.metrics(pipelines.RUNS.prometheus).items()
        return {dict(series)["pipeline"]: value for series, value in shown if value}

    def others() -> dict[str, float]:
        return {name: number for name, number in runs().items() if name not in known}

    wait_for(lambda: sum(others().values()) == 3 * PIPELINES, 30, "all runs")
    room = PIPELINES - len(known)
    assert others() == {**{f"renamed-{number:06}": 1 for number in range(room)}, "_other": 3 * PIPELINES - room}
    assert len(house.metrics(pipelines.FIRST_SEEN.prometheus)) == PIPELINES
    assert house.run("runs", "forget", "renamed-000000").returncode == 0
    flood(house, "the last name", "P00", range(1))
    wait_for(lambda: runs().get("the last name") == 1, 10, "the last name in the room of the first")
    assert "renamed-000000" not in runs()
    assert len(house.metrics(pipelines.FIRST_SEEN.prometheus)) == PIPELINES
