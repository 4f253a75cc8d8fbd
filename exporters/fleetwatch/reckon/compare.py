"""Two runs side by side: what changed from one to the other, and whether that is noise.

Two runs always differ. How much is no news is seen on the pipeline's past runs: each is compared with each, and a
change counts when it is larger than nine of ten changes between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from fleetwatch.reckon.measures import MEASURES, by_phase, measures_of
from fleetwatch.reckon.robust import quantile
from fleetwatch.records.pipelines import RunWithPhases

Verdict = Literal["noise", "slower", "faster", "more", "less", "unknown"]

USUAL = 0.9
"""Share of the changes between past runs that is noise."""
LEAST_HISTORY = 10
"""Past runs with a value, below which nothing is said: of ten there are 45 pairs."""


class Difference(NamedTuple):
    """One measure of one phase in both runs; phase "" is the run. Units: those of `measures`."""

    phase: str
    measure: str
    a: float | None
    b: float | None
    """None where that run has no value."""
    change: float | None
    """b / a; None where either is missing or a is 0."""
    verdict: Verdict
    """Of b, measured against a."""
    why: str
    """A few words for a person."""


class Otherwise(NamedTuple):
    """Something else that is not the same in both runs. what: version, host, result, reason, phase, attempts."""

    what: str
    phase: str
    a: str
    b: str


def compare(a: RunWithPhases, b: RunWithPhases, history: Sequence[RunWithPhases]) -> list[Difference]:
    """What b did otherwise than a, the run first, then by phase as they began.

    history: ended runs of the pipeline, in any order; a and b among them are left out.
    """
    both = {a.run.run, b.run.run}
    past = [measures_of(run) for run in history if run.run.run not in both]
    of_a, of_b = measures_of(a), measures_of(b)
    names = ["", *dict.fromkeys([*by_phase(a), *by_phase(b)])]
    return [
        _difference(phase, measure, of_a.get(key), of_b.get(key), [one[key] for one in past if key in one])
        for phase in names
        for measure in MEASURES
        if (key := (phase, measure)) in of_a or key in of_b
    ]


def otherwise(a: RunWithPhases, b: RunWithPhases) -> list[Otherwise]:
    """What else is not the same: version, machine, results, phases that only one has, attempts."""
    found = [
        Otherwise(what, "", one, other)
        for what, one, other in (
            ("version", a.run.version, b.run.version),
            ("host", a.run.host, b.run.host),
            ("result", a.run.result or a.run.state, b.run.result or b.run.state),
            ("reason", a.run.reason, b.run.reason),
        )
        if one != other
    ]
    phases_a, phases_b = by_phase(a), by_phase(b)
    for name in dict.fromkeys([*phases_a, *phases_b]):
        if name not in phases_a or name not in phases_b:
            found.append(
                Otherwise("phase", name, "yes" if name in phases_a else "no", "yes" if name in phases_b else "no")
            )
            continue
        last_a, last_b = phases_a[name][-1], phases_b[name][-1]
        if last_a.result != last_b.result:
            found.append(Otherwise("result", name, last_a.result or last_a.state, last_b.result or last_b.state))
        attempts = [max(phase.attempt for phase in phases[name]) for phases in (phases_a, phases_b)]
        if attempts[0] != attempts[1]:
            found.append(Otherwise("attempts", name, str(attempts[0]), str(attempts[1])))
    return found


def _difference(phase: str, measure: str, a: float | None, b: float | None, past: Sequence[float]) -> Difference:
    if a is None or b is None:
        return Difference(phase, measure, a, b, None, "unknown", f"only in {'b' if a is None else 'a'}")
    change = b / a if a else None
    if len(past) < LEAST_HISTORY:
        why = f"{len(past)} past runs, {LEAST_HISTORY} are needed to judge"
        return Difference(phase, measure, a, b, change, "unknown", why)
    # Ratios are the measure of what takes time; a rate or sum that may be 0 is compared by its difference.
    is_ratio = min(a, b, *past) > 0
    usual = quantile(USUAL, _steps(past, is_ratio))
    step = _step(a, b, is_ratio)
    band = f"x{math.exp(-usual):.2f} to x{math.exp(usual):.2f}" if is_ratio else f"{usual:.3g} up or down"
    verdict: Verdict = "noise" if abs(step) <= usual else _verdict(measure, step > 0)
    which = "within" if verdict == "noise" else "beyond"
    return Difference(phase, measure, a, b, change, verdict, f"{which} 9 of 10 pairs of {len(past)} past runs: {band}")


def _step(a: float, b: float, is_ratio: bool) -> float:
    return math.log(b / a) if is_ratio else b - a


def _steps(past: Sequence[float], is_ratio: bool) -> list[float]:
    values = [math.log(value) for value in past] if is_ratio else past
    return [abs(one - other) for place, one in enumerate(values) for other in values[:place]]


def _verdict(measure: str, is_up: bool) -> Verdict:
    if measure == "duration":
        return "slower" if is_up else "faster"
    if measure == "throughput":
        return "faster" if is_up else "slower"
    return "more" if is_up else "less"
