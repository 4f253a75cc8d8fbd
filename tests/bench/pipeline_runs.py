"""Made-up runs of pipelines, as their senders tell of them: ten phases with parts, attempts, items, errors, artifacts.

Each run has an id, a host and a version of its own or nearly so, as in a cluster: none of them may cost more than the
one series that names a run. What goes wrong goes wrong in turn, so that a week has every phase and every way of it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple

from fleetwatch.records.pipelines import PhaseReport, RunReport, Tally, Usage

SECOND = 10**9
BEAT = 60 * SECOND
PHASES = [f"P{number:02d}" for number in range(10)]
PIPELINES = ["nightly", "training", "ingest", "release", "reports"]
PARTS = {"P02": ("load", "check"), "P07": ("sort", "write")}
ENDS = (("failure", "exception"), ("error", "killed"), ("timeout", "exception"))
ERRORS = ("ValueError", "TimeoutError", "ConnectionResetError")
FAILS, RETRIES, DIES = 8, 10, 50
"""Of so many runs of a pipeline one fails, one tries a phase again, and one falls silent."""

Report = RunReport | PhaseReport


class Event(NamedTuple):
    """What a sender says. at: when, Unix nanoseconds."""

    at: int
    report: Report


class _Run(NamedTuple):
    pipeline: str
    id: str
    number: int
    """Of its pipeline, from 0."""
    begin: int
    seed: random.Random


def told(pipeline: str, number: int, begin: int) -> list[Event]:
    """All that is said of one run, by time. number: of its pipeline's runs, from 0; begin: Unix nanoseconds."""
    run = _Run(pipeline, f"{pipeline}-{number:06d}", number, begin, random.Random(f"{pipeline} {number}"))
    failing = number // FAILS % len(PHASES) if number % FAILS == FAILS - 1 else None
    events: list[Event] = []
    at = begin
    for place, name in enumerate(PHASES):
        is_retried = number % RETRIES == 0 and place == number // RETRIES % len(PHASES)
        if is_retried:
            at = _add(events, run, name, at, attempt=1, end=("failure", "exception"))
        end = ENDS[number // (FAILS * len(PHASES)) % len(ENDS)] if place == failing else ("success", "completed")
        ended = _add(events, run, name, at, attempt=1 + is_retried, end=end)
        if place == failing:
            at = ended
            break
        # P04 runs beside P03.
        at = at if name == "P03" else ended
    result = "success" if failing is None else end[0]
    events += _of_run(run, at, result)
    events.sort(key=lambda event: event.at)
    if number % DIES == DIES // 2:
        return events[: len(events) * 2 // 3]
    return events


def _of_run(run: _Run, ended: int, result: str) -> Iterator[Event]:
    host = f"pod-{run.id}"
    report = RunReport(
        run.pipeline, run.id, run.begin, "executing", started=run.begin, source="instrument", host=host,
        trace=run.seed.randbytes(16), span=run.seed.randbytes(8), instance=f"{host}:1", interval=BEAT, cores=4,
        version=f"1.{run.number // 5}",
    )  # fmt: skip
    for at in range(run.begin, ended, BEAT):
        yield Event(at, report._replace(at=at))
    reason = "completed" if result == "success" else "phase"
    yield Event(ended, report._replace(at=ended, state="ended", result=result, reason=reason, ended=ended))


def _add(events: list[Event], run: _Run, name: str, begin: int, *, attempt: int, end: tuple[str, str]) -> int:
    """Add what is said of one execution of a phase; returns when it ended."""
    took = round(run.seed.lognormvariate(0, 0.15) * 42 * SECOND)
    ended = begin + took
    report = PhaseReport(
        run.pipeline, run.id, f"{name}-{attempt}", name, at=begin, attempt=attempt, state="executing", started=begin,
        source="instrument", span=run.seed.randbytes(8),
    )  # fmt: skip
    items = run.seed.randrange(900, 1100)
    for at in range(begin, ended, BEAT):
        share = (at - begin) / took
        tally = _tally(run, name, round(items * share), items, share >= 0.5)
        events.append(Event(at, report._replace(at=at, tally=tally, usage=_usage(at - begin))))
    is_well = end[0] == "success"
    tally = _tally(run, name, items if is_well else items // 2, items, True, is_failed=not is_well)
    last = report._replace(
        at=ended, state="ended", result=end[0], reason=end[1], error_type="" if is_well else "ValueError",
        ended=ended, usage=_usage(took), tally=tally,
    )  # fmt: skip
    events.append(Event(ended, last))
    for place, part in enumerate(PARTS.get(name, ())):
        since, until = begin + took * place // 2, begin + took * (place + 1) // 2
        inner = last._replace(
            execution=f"{name}-{attempt}-{part}", subphase=part, at=until, started=since, ended=until, usage=None,
            tally=None,
        )  # fmt: skip
        events.append(Event(until, inner))
    return ended


def _usage(took: int) -> Usage:
    return Usage(took * 7 // 10, 300 * 2**20 + took // 1000, took // 100, took // 200)


def _tally(run: _Run, name: str, items: int, expected: int, is_late: bool, *, is_failed: bool = False) -> Tally:
    kind = ERRORS[(run.number + int(name[1:])) % len(ERRORS)]
    errors = ((kind, 1 + run.number % 3),) if is_failed or (is_late and run.number % 4 == 0) else ()
    return Tally(
        items, items, expected, warnings=int(is_late), artifacts=int(is_late), artifact_bytes=10_000 * is_late,
        errors=errors, signals=(("rows.dropped", float(items // 100)), ("rows.rate", float(items % 97))),
    )  # fmt: skip


def schedule(start: int, a_day: int, days: float) -> Iterator[Event]:
    """All that is said within the days, by time; runs of the pipelines begin in turn, evenly."""
    waiting: list[Event] = []
    step = 86400 * SECOND // a_day
    for number in itertools.count():
        begin = start + number * step
        if begin >= start + days * 86400 * SECOND:
            break
        waiting += told(PIPELINES[number % len(PIPELINES)], number // len(PIPELINES), begin)
        waiting.sort(key=lambda event: event.at)
        cut = next((place for place, event in enumerate(waiting) if event.at >= begin + step), len(waiting))
        yield from waiting[:cut]
        del waiting[:cut]
    yield from (event for event in waiting if event.at < start + days * 86400 * SECOND)
