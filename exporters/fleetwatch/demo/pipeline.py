"""One run of the demo's pipeline: ten phases that do real work on a real trace, instrumented as an application is.

    P00-fetch -> P01-verify -> P02-parse -> P03-split -> P04-minutes (each shard at once), P05-ranks
              -> P06-pack (child processes) -> P07-forecast -> P08-comment (a model writes) -> P09-report

Only the pace is made up: it waits between blocks, so that a run can be watched. What goes wrong follows from the number
of the run: a block is damaged, the model is busy, a child process is killed, or this one is.

    python -m fleetwatch.demo.pipeline '{"endpoint": "http://127.0.0.1:4318", "number": 3}'
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider

from fleetwatch.demo import report
from fleetwatch.demo.calls import MODELS, Agent, Call, Model
from fleetwatch.demo.pipe import Pipe
from fleetwatch.demo.report import BusyError, ChecksumError, Row
from fleetwatch.demo.spans import attributes_of
from fleetwatch.instrument import Phase, Run, pipeline

T = TypeVar("T")

NAME: Final = "usage-report"
WRITER: Final = Agent("report-writer", "service", 1)
MODEL: Final = next(model for model in MODELS if model.requested == "gpt-4o")
SLOWER_FROM: Final = 22
"""Number of the run from which P07 takes more than three times as long: somebody changed it, and nobody noticed."""
LONG_PROMPTS: Final = "prompts.long"
TOKEN_RATE: Final = "tokens.rate"  # noqa: S105 - tokens of a language model


class Order(NamedTuple):
    """What one run is started with. speed: times real time; beat: seconds between two exports of the metrics."""

    endpoint: str
    number: int
    token_file: str = ""
    seed: int = 1
    speed: float = 1.0
    beat: float = 10.0

    @property
    def block_is_damaged(self) -> bool:
        return self.number % 5 == 2

    @property
    def model_is_busy(self) -> bool:
        return self.number % 4 == 1

    @property
    def packer_is_killed(self) -> bool:
        return self.number % 9 == 4

    @property
    def is_killed(self) -> bool:
        return self.number % 13 == 11


class WayOut(Protocol):
    """How an application's telemetry leaves it."""

    @property
    def tracers(self) -> TracerProvider: ...
    @property
    def meters(self) -> MeterProvider: ...
    @property
    def loggers(self) -> LoggerProvider: ...


class Job:
    """One run. folder: for its files; who made it removes it."""

    def __init__(self, order: Order, way_out: WayOut, folder: Path) -> None:
        self._order, self._out, self._folder = order, way_out, folder
        self._dice = random.Random(f"{order.seed}/{order.number}")  # noqa: S311 - a demo must repeat, not surprise
        self._load = self._dice.lognormvariate(0, 0.15)
        """How much slower than usual the machine is in this run."""
        self.stop = threading.Event()

    def play(self) -> None:
        """Raises what the run fails with."""
        providers: dict[str, Any] = {
            "tracer_provider": self._out.tracers,
            "meter_provider": self._out.meters,
            "logger_provider": self._out.loggers,
        }
        with pipeline(NAME, version="2.3" if self._order.number >= SLOWER_FROM else "2.2", **providers) as run:
            files = self._fetch(run)
            rows = self._parse(run, self._verify(run, files))
            shards = self._split(run, rows)
            minutes, ranks = self._look(run, shards, rows)
            self._pack(run, shards)
            trend = self._forecast(run, minutes)
            words = self._comment(run)
            self._report(run, {**ranks, **trend._asdict(), "words": words})

    def _fetch(self, run: Run) -> list[Path]:
        with run.phase("P00-fetch") as phase:
            with phase.part("read"):
                found = report.lines(self._dice.uniform(0.7, 1), self._dice)
                self._wait(0.4)
            phase.expect(len(found))
            files = []
            with phase.part("cut") as part:
                for number, block in enumerate(self._paced(report.blocks(found), 2 / 18)):
                    file = self._folder / f"block-{number:02}.csv"
                    report.write(file, block)
                    part.artifact(file)
                    part.items(len(block))
                    files.append(file)
            if self._order.block_is_damaged:
                report.damage(self._dice.choice(files))
            return files

    def _verify(self, run: Run, files: list[Path]) -> list[str]:
        with run.phase("P01-verify") as phase:
            found: list[str] = []
            for file in self._paced(files, 1.5 / 18):
                block = report.verified(file)
                phase.items(len(block))
                found += block
            return found

    def _parse(self, run: Run, lines: list[str]) -> list[Row]:
        with run.phase("P02-parse", expect=len(lines)) as phase:
            rows: list[Row] = []
            with phase.part("fields") as part:
                for block in self._paced(report.blocks(lines), 2.5 / 18):
                    part.items(len(block), "in")
                    for line in block:
                        try:
                            row, is_mended = report.parsed(line)
                        except ValueError as error:
                            part.error(error)
                            continue
                        rows.append(row)
                        if is_mended:
                            part.warning()
                    part.items(len(block))
            with phase.part("order"):
                rows.sort()
                self._wait(0.5)
            return rows

    def _split(self, run: Run, rows: list[Row]) -> dict[str, list[Row]]:
        with run.phase("P03-split") as phase:
            shards: dict[str, list[Row]] = {"short": [], "long": []}
            for row in rows:
                shards["long" if row.context >= report.LONG else "short"].append(row)
            phase.items(len(rows), "in")
            phase.count(LONG_PROMPTS, len(shards["long"]))
            for name, shard in self._paced(shards.items(), 0.7):
                file = self._folder / f"{name}.csv"
                file.write_text("\n".join(f"{row.minute},{row.context},{row.generated}" for row in shard))
                phase.artifact(file)
                phase.items(len(shard))
            return shards

    def _look(
        self, run: Run, shards: dict[str, list[Row]], rows: list[Row]
    ) -> tuple[list[dict[int, int]], dict[str, int]]:
        """Two phases side by side, one of them for both shards at once."""

        def minutes(shard: list[Row]) -> dict[int, int]:
            with run.phase("P04-minutes", expect=len(shard)) as phase:
                found: list[Row] = []
                for start in self._paced(range(0, len(shard), report.BLOCK), 0.2):
                    found += shard[start : start + report.BLOCK]
                    phase.items(min(report.BLOCK, len(shard) - start))
                return report.by_minute(found)

        def ranks() -> dict[str, int]:
            with run.phase("P05-ranks") as phase:
                phase.items(len(rows), "in")
                self._wait(1.5)
                found = report.quantiles(rows)
                phase.items(len(found))
                return found

        with ThreadPoolExecutor(3) as threads:
            ranked = threads.submit(ranks)
            counted = list(threads.map(minutes, shards.values()))
            return counted, ranked.result()

    def _pack(self, run: Run, shards: dict[str, list[Row]]) -> None:
        for attempt in run.attempts("P06-pack", most=2, wait=0.5 / self._order.speed, optional=True):
            with attempt as phase:
                ends = "killed" if self._order.packer_is_killed and phase.attempt == 1 else "well"
                for name in self._paced(shards, 0.6):
                    file = self._folder / f"{name}.csv"
                    phase.run([sys.executable, "-S", "-c", report.PACKER, str(file), ends])
                    phase.artifact(file.with_suffix(".csv.gz"))
                    phase.items()

    def _forecast(self, run: Run, minutes: list[dict[int, int]]) -> report.Trend:
        with run.phase("P07-forecast", expect=len(minutes)) as phase:
            together: dict[int, int] = {}
            for found in self._paced(minutes, 7 if self._order.number >= SLOWER_FROM else 2):
                for minute, tokens in found.items():
                    together[minute] = together.get(minute, 0) + tokens
                phase.items()
                if self._order.is_killed:
                    os.kill(os.getpid(), signal.SIGKILL)
            trend = report.trend(together)
            phase.signal(TOKEN_RATE, sum(together.values()) / (60 * len(together)))
            return trend

    def _comment(self, run: Run) -> int:
        for attempt in run.attempts("P08-comment", most=3, on=BusyError, wait=1 / self._order.speed):
            with attempt as phase:
                words = 0
                for chapter in range(3):
                    is_busy = self._order.model_is_busy and phase.attempt == 1 and chapter == 1
                    words += self._ask(phase, MODEL, 3000 + 500 * chapter, 80, is_busy=is_busy)
                    phase.items()
                return words
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, phase: Phase, model: Model, context: int, answer: int, *, is_busy: bool) -> int:
        """Tokens that a model answered, more or less as many as that. Raises BusyError."""
        answer = int(answer * self._dice.lognormvariate(0, 0.3))
        error = "429" if is_busy else ""
        call = Call(
            0.0,
            int.from_bytes(os.urandom(8)),
            WRITER,
            model,
            "error" if error else "ok",
            error,
            "" if error else "stop",
            context,
            0,
            0,
            answer,
            0,
            model.first + answer / model.speed,
            model.first / self._order.speed,
            "",
        )  # fmt: skip - in the order of the record
        tracer = self._out.tracers.get_tracer("fleetwatch.demo")
        attributes = attributes_of(call)
        with tracer.start_as_current_span(
            f"chat {model.requested}", kind=SpanKind.CLIENT, attributes=attributes, record_exception=False
        ) as span:
            self._wait(0.2 if error else call.duration)
            if error:
                span.set_status(Status(StatusCode.ERROR))
                phase.warning()
                raise BusyError
        return answer

    def _report(self, run: Run, found: dict[str, float]) -> None:
        with run.phase("P09-report") as phase:
            file = self._folder / "report.json"
            file.write_text(json.dumps(found))
            self._wait(0.7)
            phase.artifact(file)
            phase.items(len(found))

    def _paced(self, things: Iterable[T], seconds: float) -> Iterator[T]:
        """Each after so many seconds."""
        for thing in things:
            self._wait(seconds)
            yield thing

    def _wait(self, seconds: float) -> None:
        """Raises asyncio.CancelledError, by which its threads know like a task that they are not to go on."""
        if self.stop.wait(seconds * self._load * self._dice.uniform(0.8, 1.2) / self._order.speed):
            raise asyncio.CancelledError


def main(told: str) -> int:
    """Status of the process: 0 where the run ended well, 1 where not, 143 where it was stopped."""
    order = Order(**json.loads(told))
    headers = {}
    if order.token_file:
        headers["authorization"] = f"Bearer {Path(order.token_file).read_text(encoding='utf-8').strip()}"
    pipe = Pipe(order.endpoint, headers, os.urandom(4).hex(), order.beat, service="demo-pipeline")
    with tempfile.TemporaryDirectory(prefix="fleetwatch-demo-") as folder:
        job = Job(order, pipe, Path(folder))

        def stopped(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's shape
            job.stop.set()  # also for its threads
            sys.exit(128 + number)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stopped)
        try:
            job.play()
        except (ChecksumError, BusyError) as error:
            sys.stderr.write(f"run {order.number} failed: {type(error).__name__}\n")
            return 1
        finally:
            pipe.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
