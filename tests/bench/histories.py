"""Made-up histories of pipelines, for scoring what is predicted from them and judged by them.

No public history of pipelines with phases, items and memory can be had offline, so these are drawn. They have what
makes prediction hard: durations are lognormal (or gamma) and some have heavy tails; neighbouring runs are alike (load
of the machine and size of the input are AR(1), with a week's rhythm); phases wait for each other in all ways, some are
left out, fail or are tried again; and a new version may change one of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from fleetwatch.records.pipelines import Phase, Run, RunWithPhases, Tally, Usage

SECOND = 10**9
DAY = 86_400
START = 1_750_000_000

Family = Literal["plain", "hard", "other"]
"""plain: moderate noise; hard: caches, noisier loads, heavier tails, more branches; other: gamma noise, and every
seventh run is a full one of three times the size."""


class Step(NamedTuple):
    """One phase of a shape."""

    name: str
    waits: tuple[int, ...]
    seconds: float
    """Median at size 1 without load."""
    noise: float
    """Sigma of the duration's logarithm."""
    size: float
    """Exponent of the input's size."""
    tail: float
    """Chance of a run in which it takes 2 to 6 times as long."""
    absent: float
    """Chance that a run does not have it."""
    items: int
    """At size 1; 0: it tells none."""
    expects: bool
    slow_start: float
    """Items go with the share of its time to this power."""
    errors: float
    """Per item."""
    memory: float
    """Bytes at size 1."""
    fails: float
    retries: float
    cached: float
    """Chance that it takes a fifth: something was there already."""


class Shape(NamedTuple):
    name: str
    family: Family
    steps: tuple[Step, ...]
    per_day: float
    load: float
    """Sigma of the machine's load, in logarithm."""
    memory: float
    """Correlation of load and size from one run to the next."""
    weekday: float
    """How much slower on the busiest day, in logarithm."""
    sizes: float
    """Sigma of the input's size, in logarithm."""


class Change(NamedTuple):
    """One phase has `factor` times as much of something from run `at` on, or little by little over `over` runs."""

    at: int
    phase: int
    what: Literal["duration", "items"]
    factor: float
    over: int = 1

    def of(self, number: int) -> float:
        share = min(1.0, max(0, number - self.at + 1) / self.over)
        return math.exp(math.log(self.factor) * share)


def shape(seed: int, family: Family) -> Shape:
    """A pipeline drawn by its seed."""
    draw = random.Random(f"shape {family} {seed}")
    is_hard = family == "hard"
    return Shape(
        name=f"{family}-{seed}",
        family=family,
        steps=tuple(_step(place, draw, is_hard) for place in range(draw.randint(3, 12))),
        per_day=draw.choice((1, 4, 24)),
        load=draw.uniform(0.03, 0.25 if is_hard else 0.12),
        memory=draw.uniform(0.0, 0.8),
        weekday=draw.choice((0.0, 0.1, 0.2)),
        sizes=draw.choice((0.05, 0.15, 0.3)),
    )


def _step(place: int, draw: random.Random, is_hard: bool) -> Step:
    earlier = range(max(0, place - 3), place)
    waits = sorted(draw.sample(earlier, min(len(earlier), draw.choice((1, 1, 1, 2)))))
    items = draw.choice((0, 0, 100, 2000, 50_000))
    return Step(
        name=f"P{place:02}",
        waits=() if draw.random() < 0.1 else tuple(waits),
        seconds=math.exp(draw.uniform(math.log(3), math.log(1800))),
        noise=draw.uniform(0.04, 0.45 if is_hard else 0.3),
        size=draw.choice((0.0, 0.0, 0.7, 1.0)) if items else draw.choice((0.0, 0.0, 0.5)),
        tail=draw.choice((0.0, 0.0, 0.02, 0.12 if is_hard else 0.06)),
        absent=draw.choice((0.0, 0.0, 0.0, 0.4 if is_hard else 0.15)) if place else 0.0,
        items=items,
        expects=bool(items) and draw.random() < 0.5,
        slow_start=draw.choice((1.0, 1.0, 1.3, 0.8)),
        errors=draw.choice((0.0, 0.001, 0.02)),
        memory=math.exp(draw.uniform(math.log(5e7), math.log(8e9))),
        fails=draw.choice((0.0, 0.0, 0.01, 0.02)),
        retries=draw.choice((0.0, 0.0, 0.03)),
        cached=draw.choice((0.0, 0.0, 0.3)) if is_hard else 0.0,
    )


def history(pipeline: Shape, runs: int, seed: int, changes: Sequence[Change] = ()) -> Iterator[RunWithPhases]:
    """Ended runs, oldest first."""
    draw = random.Random(f"history {pipeline.name} {seed}")
    load = size = 0.0
    rest = math.sqrt(1 - pipeline.memory**2)
    for number in range(runs):
        load = pipeline.memory * load + rest * draw.gauss(0, pipeline.load)
        size = pipeline.memory * size + rest * draw.gauss(0, pipeline.sizes)
        at = START + number * DAY / pipeline.per_day
        week = pipeline.weekday * math.sin(2 * math.pi * at / (7 * DAY))
        full = 3.0 if pipeline.family == "other" and number % 7 == 6 else 1.0
        yield _Day(pipeline, number, draw, (load + week, math.exp(size) * full), changes).run(at)


class _Day:
    """What one run meets."""

    def __init__(
        self,
        pipeline: Shape,
        number: int,
        draw: random.Random,
        load_and_size: tuple[float, float],
        changes: Sequence[Change],
    ) -> None:
        self._pipeline = pipeline
        self._number = number
        self._draw = draw
        self._load, self._size = load_and_size
        self._changes = changes

    def run(self, at: float) -> RunWithPhases:
        phases: list[Phase] = []
        ends: list[float] = []
        result = "success"
        for place, step in enumerate(self._pipeline.steps):
            end = max([ends[other] for other in step.waits], default=at) + self._draw.expovariate(2)
            if self._draw.random() >= step.absent and result == "success":
                for phase in self._executions(place, step, end):
                    phases.append(phase)
                    end = (phase.ended or 0) / SECOND
                if phases[-1].result != "success":
                    result = "failure"
            ends.append(end)
        end = max([at, *((phase.ended or 0) / SECOND for phase in phases)]) + self._draw.expovariate(1)
        phases.sort(key=lambda phase: phase.started)
        return RunWithPhases(self._made(at, end, result), tuple(phases))

    def _factor(self, place: int, what: str) -> float:
        return math.prod(one.of(self._number) for one in self._changes if (one.phase, one.what) == (place, what))

    def _executions(self, place: int, step: Step, begin: float) -> Iterator[Phase]:
        size = self._size * self._factor(place, "items")
        slower = self._factor(place, "duration")
        for attempt in (1, 2):
            end = begin + self._seconds(step, size) * slower
            chance = self._draw.random()
            again = attempt == 1 and chance < step.retries
            result = "error" if again else "failure" if chance < step.retries + step.fails else "success"
            yield self._phase(step, (begin, end), attempt, result, size)
            if not again:
                return
            begin = end + 1

    def _seconds(self, step: Step, size: float) -> float:
        if self._pipeline.family == "other":
            shape_of = 1 / step.noise**2
            noise = self._draw.gammavariate(shape_of, 1 / shape_of)
        else:
            noise = math.exp(self._draw.gauss(0, step.noise))
        seconds: float = step.seconds * noise * math.exp(self._load) * size**step.size
        if self._draw.random() < step.tail:
            seconds *= self._draw.uniform(2, 6)
        if self._draw.random() < step.cached:
            seconds /= 5
        return seconds

    def _made(self, begin: float, end: float, result: str) -> Run:
        started, ended = round(begin * SECOND), round(end * SECOND)
        return Run(
            self._pipeline.name, str(self._number), "ended", result, "completed" if result == "success" else "phase",
            "", started, ended, ended, ended, started, None, "spans", b"", "node", "node", "1", 8, None, True, None, 0,
            0, round((end - begin) / 3600 * 0.2e9), "",
        )  # fmt: skip

    def _phase(self, step: Step, span: tuple[float, float], attempt: int, result: str, size: float) -> Phase:
        started, ended = (round(time * SECOND) for time in span)
        took = ended - started
        items = round(step.items * size)
        rate = step.errors * items
        errors = max(0, round(self._draw.gauss(rate, math.sqrt(rate))))
        usage = Usage(
            cpu=round(took * 0.7 * math.exp(self._draw.gauss(0, 0.05))),
            memory_peak=round(step.memory * math.sqrt(size) * math.exp(self._draw.gauss(0, 0.05))),
        )
        tally = Tally(
            items_out=items,
            expected=items if step.expects else None,
            errors=(("ValueError", errors),) if errors else (),
        )
        return Phase(
            self._pipeline.name, str(self._number), f"{step.name}.{attempt}", step.name, "", attempt, "ended", result,
            "completed" if result == "success" else "exception", "", started, ended, ended, b"", usage, tally, None,
            round(took / 3600 * 0.2),
        )  # fmt: skip


def as_of(run: RunWithPhases, pipeline: Shape, at: int) -> RunWithPhases:
    """What was known of the run at a time, Unix nanoseconds, while it was under way."""
    slow = {step.name: step.slow_start for step in pipeline.steps}
    phases = []
    for phase in run.phases:
        if phase.started > at:
            continue
        if phase.ended is not None and phase.ended > at:
            share = ((at - phase.started) / (phase.ended - phase.started)) ** slow[phase.phase]
            tally = phase.tally._replace(items_out=int(phase.tally.items_out * share), errors=())
            phases.append(phase._replace(ended=None, state="executing", result="", reason="", tally=tally))
        else:
            phases.append(phase)
    return RunWithPhases(run.run._replace(ended=None, state="executing", result="", reason=""), tuple(phases))
