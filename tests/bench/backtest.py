"""How good the time of arrival and the judgement of changes are: made-up histories, replayed with only the past known.

The bounds in `reckon/eta.py` and `reckon/regression.py` were set on seeds below TUNED of the families plain and hard;
what is scored here has other seeds, and the family `other` was not looked at before. Prints the tables of PIPELINES.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

sys.path.insert(0, str(Path(__file__).parent.parent))
from bench.histories import Change, Family, Shape, as_of, history, shape
from fleetwatch.reckon.eta import LEAST_RUNS, Past
from fleetwatch.reckon.measures import MEASURES
from fleetwatch.reckon.regression import LEAST_BASELINE, Sample, judge, sample
from fleetwatch.records.pipelines import RunWithPhases

TUNED = 1000
KNOWN = 100
"""Past runs that are looked at: `pipelines.history`."""
RECENT = 5
POINTS = (0.25, 0.5, 0.75)
CHANGED = 120
"""Run from which on a phase is changed."""
WITHIN = 30
"""Runs within which a change must be seen to count, from when it is complete."""
FAMILIES: tuple[Family, ...] = get_args(Family)
FACTORS = (1.1, 1.2, 1.3, 1.5, 2.0)
WORSE = {measure: (-1 if measure == "throughput" else 1) for measure in MEASURES}

# --- time of arrival


class Guess(NamedTuple):
    """Errors are shares of the run's duration."""

    ours: float
    mean: float
    median: float
    is_within: bool
    cpu: float
    """Seconds to predict."""


def guesses(pipeline: Shape, runs: int, seed: int) -> Iterator[tuple[float, Guess]]:
    """(share of the run that was over, guess) for every run that ended well."""
    # Half of the pipelines have a phase that becomes half as slow again on the way.
    changes = [Change(runs // 2, seed % len(pipeline.steps), "duration", 1.5)] if seed % 2 else []
    known: deque[RunWithPhases] = deque(maxlen=KNOWN)
    for run in history(pipeline, runs, seed, changes):
        took = [_took(other) for other in known if other.run.result == "success"]
        if run.run.result == "success" and len(took) >= LEAST_RUNS:
            past = Past.of(known)
            for point in POINTS:
                yield point, _guess(past, pipeline, run, point, took)
        known.append(run)


def _took(run: RunWithPhases) -> int:
    return (run.run.ended or 0) - run.run.started


def _guess(past: Past, pipeline: Shape, run: RunWithPhases, point: float, took: Sequence[int]) -> Guess:
    whole = _took(run)
    elapsed = round(whole * point)
    left = whole - elapsed
    now = run.run.started + elapsed
    seen = as_of(run, pipeline, now)
    begin = time.thread_time()
    prediction = past.predict(seen, now)
    cpu = time.thread_time() - begin
    if prediction is None:
        raise RuntimeError(f"no prediction from {len(took)} past runs")
    return Guess(
        abs(prediction.run.p50 - left) / whole,
        abs(max(0.0, statistics.fmean(took) - elapsed) - left) / whole,
        abs(max(0.0, statistics.median(took) - elapsed) - left) / whole,
        left <= prediction.run.p90,
        cpu,
    )


def eta(pipelines: int, runs: int) -> None:
    print("| histories | over | fleetwatch | mean duration | median duration | ended before the p90 | predictions |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    cpu: list[float] = []
    for family in FAMILIES:
        found: dict[float, list[Guess]] = {point: [] for point in POINTS}
        for seed in range(TUNED, TUNED + pipelines):
            for point, guess in guesses(shape(seed, family), runs, seed):
                found[point].append(guess)
        for point, those in found.items():
            errors = [statistics.median(getattr(guess, who) for guess in those) for who in ("ours", "mean", "median")]
            within = statistics.fmean(guess.is_within for guess in those)
            cells = " | ".join(f"{error:.1%}" for error in errors)
            print(f"| {family} | {point:.0%} | {cells} | {within:.1%} | {len(those)} |", flush=True)
            cpu.extend(guess.cpu for guess in those)
    print(f"\nA prediction takes {statistics.median(cpu) * 1e3:.2f} ms of processor time (median).")


# --- changes


class Alarm(NamedTuple):
    """An alarm of one series. number: of the run; up: 1 or -1; is_new: the run before had none."""

    number: int
    up: int
    is_new: bool


class Series(NamedTuple):
    """One measure of one phase, oldest first."""

    phase: str
    measure: str
    numbers: list[int]
    values: list[float]
    items: list[float | None]


def series_of(samples: Sequence[Sample]) -> Iterator[Series]:
    for phase, measure in sorted({key for one in samples for key in one.values}):
        having = [(number, one) for number, one in enumerate(samples) if (phase, measure) in one.values]
        yield Series(
            phase,
            measure,
            [number for number, _ in having],
            [one.values[phase, measure] for _, one in having],
            [one.items.get(phase) for _, one in having],
        )


def ours(series: Series) -> Iterator[Alarm]:
    was = 0
    for end in range(RECENT + LEAST_BASELINE, len(series.values) + 1):
        known = slice(max(0, end - KNOWN), end)
        found = judge((series.phase, series.measure), series.values[known][::-1], series.items[known][::-1], RECENT)
        up = (1 if found.change > 1 else -1) if found.is_change else 0
        if up:
            yield Alarm(series.numbers[end - 1], up, up != was)
        was = up


def sigmas(series: Series) -> Iterator[Alarm]:
    """The peer: the last run beyond the mean of those before by three of their standard deviations."""
    was = 0
    for end in range(RECENT + LEAST_BASELINE, len(series.values) + 1):
        before, last = series.values[max(0, end - KNOWN) : end - 1], series.values[end - 1]
        mean, sigma = statistics.fmean(before), statistics.stdev(before)
        up = 1 if last > mean + 3 * sigma else -1 if last < mean - 3 * sigma else 0
        if up:
            yield Alarm(series.numbers[end - 1], up, up != was)
        was = up


JUDGES = {"fleetwatch": ours, "mean + 3 sigma": sigmas}


def quiet(pipelines: int, runs: int) -> None:
    """False alarms."""
    print("| histories | judge | alarms | runs with one | " + " | ".join(MEASURES) + " | runs | series |")
    print("| --- | --- | " + "--: | " * (len(MEASURES) + 4))
    for family in FAMILIES:
        alarms: dict[str, Counter[str]] = {name: Counter() for name in JUDGES}
        bad_runs: Counter[str] = Counter()
        judged = number_of_series = 0
        for seed in range(TUNED, TUNED + pipelines):
            pipeline = shape(seed, family)
            all_series = list(series_of([sample(run) for run in history(pipeline, runs, seed)]))
            judged += runs - RECENT - LEAST_BASELINE
            number_of_series += len(all_series)
            for name, judge_of in JUDGES.items():
                bad = [
                    (alarm.number, series.measure)
                    for series in all_series
                    for alarm in judge_of(series)
                    if alarm.is_new and alarm.up == WORSE[series.measure]
                ]
                alarms[name].update(measure for _, measure in bad)
                bad_runs[name] += len({number for number, _ in bad})
        for name, counted in alarms.items():
            cells = " | ".join(f"{counted[measure] / judged * 1000:.1f}" for measure in MEASURES)
            print(
                f"| {family} | {name} | {counted.total() / judged * 1000:.1f} | {bad_runs[name] / judged * 1000:.1f} | "
                f"{cells} | {judged} | {number_of_series / pipelines:.0f} |",
                flush=True,
            )


class Seen(NamedTuple):
    """delay: runs of the phase from the change to the first alarm; lasts: from then until the last one."""

    delay: int
    lasts: int


def seen(series: Series, judge_of: Callable[[Series], Iterator[Alarm]], within: int) -> Seen | None:
    alarms = [alarm.number for alarm in judge_of(series) if alarm.up > 0 and alarm.number >= CHANGED]
    after = [number for number in series.numbers if number >= CHANGED]
    if not alarms or after.index(alarms[0]) >= within:
        return None
    return Seen(after.index(alarms[0]) + 1, after.index(alarms[-1]) - after.index(alarms[0]) + 1)


def changed(pipelines: int, runs: int) -> None:
    """Detection of changes of one phase's duration; items that grow are no change of it."""
    cases = [(f"x{factor}", "duration", factor, 1) for factor in (1.0, *FACTORS)]
    cases.append(("x1.5 in the course of 60 runs", "duration", 1.5, 60))
    cases.append(("x2 items", "items", 2.0, 1))
    print("| change | histories | fleetwatch sees | after runs | tells it for | mean + 3 sigma sees | after runs |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for name, what, factor, over in cases:
        for family in FAMILIES:
            found: dict[str, list[Seen | None]] = {judge_of: [] for judge_of in JUDGES}
            for seed in range(TUNED, TUNED + pipelines):
                pipeline = shape(seed, family)
                place = _place(pipeline, seed, what)
                if place is None:
                    continue
                change = Change(CHANGED, place, "items" if what == "items" else "duration", factor, over)
                samples = [sample(run) for run in history(pipeline, runs, seed, [change])]
                key = (pipeline.steps[place].name, "duration")
                alone = [Sample({key: one.values[key]} if key in one.values else {}, one.items) for one in samples]
                for series in series_of(alone):
                    for judge_name, judge_of in JUDGES.items():
                        found[judge_name].append(seen(series, judge_of, WITHIN + over - 1))
            print(f"| {name} | {family} | " + " | ".join(_cells(found)) + " |", flush=True)


def _place(pipeline: Shape, seed: int, what: str) -> int | None:
    """A phase that is long enough for the change to be worth a word, and for items one whose duration goes by them."""
    places = [
        place
        for place, step in enumerate(pipeline.steps)
        if (step.size > 0.5 and step.items if what == "items" else step.seconds > 60)
    ]
    return places[seed % len(places)] if places else None


def _cells(found: dict[str, list[Seen | None]]) -> Iterator[str]:
    for name, those in found.items():
        hits = [one for one in those if one is not None]
        yield f"{len(hits) / len(those):.0%}"
        yield f"{statistics.median(one.delay for one in hits):.0f}" if hits else "-"
        if name == "fleetwatch":
            yield f"{statistics.median(one.lasts for one in hits):.0f}" if hits else "-"


PARTS: dict[str, tuple[str, Callable[[int, int], None]]] = {
    "eta": ("Time of arrival: median error of the p50, as a share of the run's duration", eta),
    "quiet": ("Alarms for the worse per 1,000 runs, in histories without a change", quiet),
    "changed": (f"Changes of one phase that are seen within {WITHIN} runs of being complete", changed),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="of the tables; all of them unless told")
    parser.add_argument("--pipelines", type=int, default=20, help="of each family")
    parser.add_argument("--runs", type=int, default=250, help="of each pipeline")
    options = parser.parse_args()
    for name in options.parts or PARTS:
        title, part = PARTS[name]
        print(f"{title}\n")
        part(options.pipelines, options.runs)
        print()


if __name__ == "__main__":
    main()
