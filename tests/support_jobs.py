"""Jobs as processes of their own: a run of a pipeline each, `fleetwatch.instrument` and OpenTelemetry's SDK.

with started_job("127.0.0.1:4318", "nightly", log, host="node-1") as job:
    job.tell("phase P00", "items 100")
    job.kill9()

A job does what lines on its standard input say, one after the other, and answers each with a line: see ORDERS in
support_work_of_jobs.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import support_work_of_jobs
from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import NANO, Metric
from fleetwatch.places import PROJECT
from support_program import environment, samples
from support_work_of_jobs import BEAT, Key

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


def counted(exposition: str) -> Counter[Key]:
    """What the exporter shows, as a job's `Truth` has it: durations in nanoseconds."""
    shown = samples(exposition)
    found: Counter[Key] = Counter()

    def take(metric: Metric, suffix: str = "", scale: int = 1) -> None:
        for series, value in shown.get(metric.prometheus + suffix, {}).items():
            told = dict(series)
            found[metric.prometheus + suffix, *(told[name] for name in metric.label_names)] += round(value * scale)

    for metric in COUNTED:
        take(metric)
    for metric in TIMED:
        take(metric, "_count")
        take(metric, "_sum", NANO)
    return +found


START = 500
"""Nanoseconds that a heartbeat's float may be off the start of a run or phase."""


def differences(found: Counter[Key], truth: Counter[Key]) -> dict[Key, tuple[int, int]]:
    """What is not as it should be: (found, true). Durations may differ by START for each run or phase."""

    def bound(key: Key) -> int:
        name = key[0].removesuffix("_sum")
        return START * truth[name + "_count", *key[1:]] if name != key[0] else 0

    pairs = {key: (found[key], truth[key]) for key in found | truth}
    return {key: pair for key, pair in pairs.items() if abs(pair[0] - pair[1]) > bound(key)}


class Job:
    """One process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def tell(self, *orders: str) -> str:
        """Let it do something; its answer to the last order."""
        answer = ""
        for order in orders:
            self.begin(order)
            answer = self._out.readline()
            assert answer.endswith("\n"), f"{order!r}: the job ended with {self._process.wait(10)}"
        return answer.strip()

    def begin(self, order: str) -> None:
        """Let it do what it does not come back from."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()

    @property
    def _out(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def kill9(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        """Let it stand still, as a machine that hangs does, until `go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self, timeout: float = 60) -> int:
        """Wait for its end; the exit status."""
        return self._process.wait(timeout)


@contextmanager
def started_job(
    sink: str, name: str, log: Path, *, host: str = "", play: str = "obeys", seed: int = 0
) -> Iterator[Job]:
    """Until the block ends. sink: HOST:PORT of OTLP over HTTP; name: of the pipeline; play: one of PLAYS."""
    path = os.pathsep.join([str(PROJECT / "exporters"), str(Path(__file__).parent)])
    order = json.dumps({"otlp": f"http://{sink}", "host": host, "name": name, "play": play, "seed": seed})
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, support_work_of_jobs.__file__, order],
            # Its first beat cannot know how often it beats; it believes what SDKs are told by the environment.
            env={**environment(), "PYTHONPATH": path, "OTEL_METRIC_EXPORT_INTERVAL": f"{1000 * BEAT:g}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
        )
    try:
        yield Job(process)
    finally:
        process.kill()
        process.communicate()
