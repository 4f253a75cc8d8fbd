"""Pipelines for a fleet on loopback: the demo's (see support_fleet_agents) and a nightly one with a past.

Its past is in the ledger as an exporter leaves it: runs of the past days, of which the last ones were slower. Now it
runs again and again, by the instrument and the SDK, in a process of its own; one of its runs does not come to an end.

with past_runs(folder) as settings:  # before the exporter starts, whose data is in folder / "data"
    with nightly_runs(house.http, folder): ...
"""

from __future__ import annotations

import contextlib
import platform
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleetwatch.demo.pipe import Pipe
from fleetwatch.demo.pipeline import LONG_PROMPTS, TOKEN_RATE
from fleetwatch.instrument import Phase, pipeline
from fleetwatch.ledger import Ledger
from fleetwatch.records.pipelines import PhaseReport, RunReport, Tally, Usage
from support_instrument import PYTHON_PATH
from support_ledger import BOOK
from support_program import environment
from support_prometheus import Prometheus
from support_stack import running

NIGHTLY = "nightly"
NEVER = "never-run"
"""Expected, and nobody has it."""
WEEKLY = "weekly"
"""It ran once, on a machine whose price nobody knows."""
SETTINGS: dict[str, Any] = {
    "pipelines": {
        "signals": [
            {"name": LONG_PROMPTS},
            {"name": TOKEN_RATE, "kind": "gauge"},
            {"name": "pressure", "kind": "gauge"},
            {"name": "irrigations"},
        ],
        "expected": [{"pipeline": NIGHTLY, "every": 60}, {"pipeline": NEVER, "every": 10}],
        "machines": [{"host": host, "usd_per_hour": 3600} for host in (platform.node(), "batch-7")],
    }
}
PAST = 45
SLOW = 6
"""Runs of the past, and how many of the last of them were slow."""
ITEMS = 1000
_BEFORE = (("extract", 0.6), ("transform", 1.0), ("load", 0.6))
"""Phases and their seconds, before they became slower."""
_LATELY = 7.0
"""Seconds of `transform`."""
_SECOND = 10**9


@contextlib.contextmanager
def past_runs(folder: Path) -> Iterator[dict[str, Any]]:
    """Sections for the exporter whose ledger then has the past."""
    now = time.time_ns()
    ledger = Ledger(folder / "data" / "ledger.db", BOOK)
    for number in range(PAST, 0, -1):
        ledger.commit(list(_run(number, now - number * 6 * 3600 * _SECOND)))
    ledger.commit([_ended(WEEKLY, "past-1", "batch-8", now - 60 * _SECOND, now)])
    ledger.close()
    yield SETTINGS


def _run(number: int, started: int) -> Iterator[RunReport | PhaseReport]:
    """number: 1 for the last one."""
    run, at = f"past-{number}", started
    is_slow = number <= SLOW
    for name, usual in _BEFORE:
        begun = at
        seconds = _LATELY if is_slow and name == "transform" else usual * (1 + number % 5 / 50)
        at += round(seconds * _SECOND)
        errors = (("ValueError", ITEMS // 20),) if is_slow and name == "transform" else ()
        yield PhaseReport(
            NIGHTLY, run, name, name, at=at, state="ended", result="success", reason="completed", started=begun,
            ended=at, source="instrument", usage=Usage(cpu=_SECOND // 20, memory_peak=50_000_000),
            tally=Tally(items_out=ITEMS, artifacts=1, artifact_bytes=1000, errors=errors),
        )  # fmt: skip
    yield _ended(NIGHTLY, run, "batch-7", started, at)


def _ended(of: str, run: str, host: str, started: int, ended: int) -> RunReport:
    return RunReport(
        of, run, ended, "ended", "success", "completed", started=started, ended=ended, source="instrument",
        version="7", host=host, cores=8,
    )  # fmt: skip


@contextlib.contextmanager
def nightly_runs(sink: str, folder: Path) -> Iterator[None]:
    """Until the block ends. sink: HOST:PORT of OTLP over HTTP."""
    folder.mkdir(parents=True, exist_ok=True)
    env = {**environment(), "PYTHONPATH": PYTHON_PATH}
    with running([sys.executable, __file__, f"http://{sink}"], folder / "nightly.log", env):
        yield


def open_slot(prometheus: Prometheus) -> str:
    """The place of the run that does not come to an end: of those under way the one that began first."""
    is_open = "on (pipeline, slot) pipeline_slot_run_state < 3.5"
    [slot] = _slots(prometheus, f"bottomk(1, {_BEGAN} and {is_open})")
    return slot


def priced_slots(prometheus: Prometheus) -> tuple[str, str]:
    """The places of the last two runs that have ended and whose cost is known."""
    one, two = _slots(prometheus, f"topk(2, {_BEGAN} and on (pipeline, slot) pipeline_slot_run_spent_usd)")
    return one, two


_BEGAN = f'pipeline_slot_run_start_timestamp_seconds{{pipeline="{NIGHTLY}"}}'


def _slots(prometheus: Prometheus, expression: str) -> list[str]:
    return [dict(series)["slot"] for series in prometheus.query(expression)]


class Nightly:
    """The application."""

    def __init__(self, endpoint: str) -> None:
        self._pipe = Pipe(endpoint, {}, "nightly", beat=1.0, service=NIGHTLY)

    def run(self, *, ends: bool = True) -> None:
        with pipeline(
            NIGHTLY,
            version="7",
            tracer_provider=self._pipe.tracers,
            meter_provider=self._pipe.meters,
            logger_provider=self._pipe.loggers,
        ) as run:
            with run.phase("extract", expect=ITEMS) as phase:
                with phase.part("read") as part:
                    self._work(part, 0.4)
                with phase.part("decode"):
                    time.sleep(0.2)
                phase.artifact(size=1000)
            with run.phase("transform", expect=ITEMS) as phase:
                phase.error("ValueError", ITEMS // 20)
                phase.warning(2)
                self._work(phase, _LATELY, until=1.0 if ends else 0.6)
                phase.artifact(size=1000)
                if not ends:
                    phase.signal("pressure", 2.1)
                    threading.Event().wait()
            with run.phase("load", expect=ITEMS) as phase:
                self._work(phase, 0.6)
                phase.artifact(size=1000)
                phase.signal("pressure", 2.2)
                phase.count("irrigations", 3)

    @staticmethod
    def _work(phase: Phase, seconds: float, until: float = 1.0) -> None:
        for _ in range(round(20 * until)):
            phase.items(ITEMS // 20)
            time.sleep(seconds / 20)


def main(endpoint: str) -> None:
    """One run after the other, and from the second one on another that does not end, until it is stopped."""
    nightly = Nightly(endpoint)
    nightly.run()
    threading.Thread(target=nightly.run, kwargs={"ends": False}, daemon=True).start()
    while True:
        nightly.run()


if __name__ == "__main__":
    main(sys.argv[1])
