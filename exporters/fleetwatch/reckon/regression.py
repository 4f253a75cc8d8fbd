"""The last runs of a pipeline against those before them: what became slower, dearer or worse.

A change is told when the medians differ by more than noise and by enough to be worth a word. Noise is what medians of
as many neighbouring runs did before: runs that follow each other are alike (load, size of the input, day of the week),
so the spread of single runs would promise too much. Ranks are tested as well, which no outlier moves. A great change
shows in few runs, a smaller one in more: where the last runs show nothing, WIDER times as many are looked at.

What the number of items explains of a duration, cost, processor time or memory is taken out before, if it explained it
in the runs before. So a phase that takes longer because it has more to do is not slower, and a phase that is slower is
seen although its input varies.

The bounds were set on made-up histories and scored on others: PIPELINES.md, `scripts/bench backtest`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from fleetwatch.reckon.measures import Key, items_by_phase, measures_of
from fleetwatch.reckon.robust import median, ranks_differ, slope, spread
from fleetwatch.records.pipelines import RunWithPhases

LEAST_BASELINE = 15
"""Runs before the last ones that have a value, below which nothing is said."""
LEAST_EFFECT = 1.2
"""Change, up or down, below which it is not worth a word."""
FLOORS = {"duration": 5.0, "throughput": 0.0, "error_rate": 0.005, "cost": 0.01, "cpu": 5.0, "memory": 32e6}
"""Least difference that is worth a word, in the measure's unit. Of throughput any: its phase's duration has one."""
WIDER = 3
SCORE = 4.0
"""Spreads of noise that a change is larger than."""
FEW = 2.0
"""Over the number of independent medians: how much wider noise may be than it looks, as that number is small."""
CHANCE = 0.001
"""That ranks differ so by chance, at most."""
LEAST_SPREAD = 0.02
"""Of a logarithm: what repeated itself more exactly than to 2 % is no measure of noise."""
OF_MEDIAN = 1.2
"""Spread of a median of n over that of single values over root n: 1.25 for many, 1.2 for 5."""
BY_ITEMS = ("duration", "cost", "cpu", "memory")
"""Measures that may grow with the items."""


class Sample(NamedTuple):
    """What one run adds."""

    values: dict[Key, float]
    items: dict[str, float]
    """By phase."""


class Finding(NamedTuple):
    """One measure of one phase, now and before. Units: those of `measures`; phase "" is the run."""

    phase: str
    measure: str
    recent: float
    """Median of the last runs."""
    baseline: float
    """Median of those before them."""
    change: float
    """recent / baseline; infinite where the baseline is 0 and recent is not, 1 where both are."""
    recent_n: int
    baseline_n: int
    is_change: bool
    """More than noise, and worth a word; up or down."""
    explained_by_items: bool = False
    """It would be a change, but there were as many more items (or fewer); then `is_change` is False."""


def regress(history: Sequence[RunWithPhases], recent: int = 5) -> list[Finding]:
    """Findings on the phases and measures that have enough values, by phase and measure.

    history: ended runs, newest first; recent: how many of them are the last runs.
    """
    return findings([sample(run) for run in history], recent)


def sample(run: RunWithPhases) -> Sample:
    """Of an ended run; it does not change once the run is settled, so it may be kept."""
    return Sample(measures_of(run), items_by_phase(run))


def findings(samples: Sequence[Sample], recent: int = 5) -> list[Finding]:
    """As `regress`, for whoever keeps the samples."""
    series: dict[Key, tuple[list[float], list[float | None]]] = {}
    # What the last runs did not have is a thing of the past.
    present = {key for one in samples[: WIDER * recent] for key in one.values}
    for one in samples:
        for key in present.intersection(one.values):
            values, items = series.setdefault(key, ([], []))
            values.append(one.values[key])
            items.append(one.items.get(key[0]))
    return [
        judge(key, values, items, recent)
        for key, (values, items) in sorted(series.items())
        if len(values) >= recent + LEAST_BASELINE
    ]


def judge(key: Key, values: Sequence[float], items: Sequence[float | None], recent: int) -> Finding:
    """One series, newest first, with the items of the same runs; at least `recent` and LEAST_BASELINE values."""
    first = _judge(key, values, items, recent)
    if first.is_change or len(values) < WIDER * recent + LEAST_BASELINE:
        return first
    wider = _judge(key, values, items, WIDER * recent)
    return wider if wider.is_change else first


def _judge(key: Key, values: Sequence[float], items: Sequence[float | None], n: int) -> Finding:
    phase, measure = key
    now, before = median(values[:n]), median(values[n:])
    change = now / before if before else (math.inf if now else 1.0)
    finding = Finding(phase, measure, now, before, change, n, len(values) - n, is_change=False)
    if not _is_worth_a_word(measure, now, before):
        return finding
    even = _even(measure, values)
    least = _least_spread(measure, items)
    without = _without_items(even, items, n) if measure in BY_ITEMS else None
    if without is None:
        return finding._replace(is_change=_is_no_noise(even, n, least))
    left = before * math.exp(median(without[:n]) - median(without[n:]))
    is_same_way = (left > before) == (now > before)
    if is_same_way and _is_worth_a_word(measure, left, before) and _is_no_noise(without, n, least):
        return finding._replace(is_change=True)
    return finding._replace(explained_by_items=_is_no_noise(even, n, least))


def _is_worth_a_word(measure: str, now: float, before: float) -> bool:
    return abs(now - before) >= FLOORS[measure] and not before / LEAST_EFFECT < now < before * LEAST_EFFECT


def _even(measure: str, values: Sequence[float]) -> list[float]:
    """Values on a scale on which noise is as wide everywhere: logarithms; of what is counted, roots."""
    if measure == "error_rate":
        return [math.sqrt(value) for value in values]
    least = min([value for value in values if value > 0], default=1.0)
    return [math.log(max(value, least)) for value in values]


def _least_spread(measure: str, items: Sequence[float | None]) -> float:
    if measure != "error_rate":
        return LEAST_SPREAD
    # The root of a Poisson rate has a spread of 1 / (2 sqrt(items)); the median of five has half of that.
    known = [number for number in items if number]
    return 0.25 / math.sqrt(median(known)) if known else 1.0


def _is_no_noise(values: Sequence[float], n: int, least: float) -> bool:
    """Whether the first n values differ from the others by more than medians of n did before. least: of that spread."""
    recent, baseline = values[:n], values[n:]
    if ranks_differ(recent, baseline) > CHANCE:
        return False
    centre = median(baseline)
    medians = [median(baseline[place : place + n]) for place in range(len(baseline) - n + 1)]
    seen = spread(medians, centre) * (1 + FEW * n / len(baseline))
    single = spread(baseline, centre) * OF_MEDIAN / math.sqrt(n)
    return abs(median(recent) - centre) > SCORE * max(least, seen, single)


def _without_items(logs: Sequence[float], items: Sequence[float | None], n: int) -> list[float] | None:
    """Less what items explain in the runs before the first n; None where not all told them, or they explain nothing."""
    sizes = [math.log(number) for number in items if number]
    if len(sizes) < len(logs):
        return None
    by = slope(sizes[n:], logs[n:])
    if not by:
        return None
    centre = median(sizes[n:])
    return [value - by * (size - centre) for value, size in zip(logs, sizes, strict=True)]
