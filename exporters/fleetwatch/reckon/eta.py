"""When a run under way will be done, from the pipeline's past runs that ended well.

Each past run tells one way in which this run may go on: what is under way takes as long as it did there; what has not
begun begins as long after what it waits for, and takes as long, as it did there. What a phase waits for is learned: the
phases that ended before it began in every past run. So parallel phases, and those that wait for several, come out
right. Of all the ways p50 and p90 are told.

- A phase under way takes longer than it has taken already: past runs in which it did not say nothing of its rest.
- A phase that tells how many items it expects is believed by its own rate, the more the further it is.
- A run that was slow so far will be slow on, as far as that was so with past runs.
- Past runs of another branch (with other phases) weigh little, those long ago less than the last ones.

    past = Past.of(history)             # anew when a run has ended; a few milliseconds for 100 runs of 10 phases
    past.predict(run, time.time_ns())   # at each scrape; under a millisecond
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import NamedTuple

from fleetwatch.reckon.measures import by_phase, items_of
from fleetwatch.reckon.robust import next_below, slope
from fleetwatch.reckon.ways import Ways, learn
from fleetwatch.records.pipelines import Phase, RunWithPhases

LEAST_RUNS = 5
"""Past runs that ended well, below which nothing is predicted."""
MOST_PHASES = 60
"""Phases of a pipeline that are looked at; more are names made anew for each run."""
HALF_LIFE = 30
"""Runs after which a past run weighs half."""
OTHER_BRANCH = 0.02
"""Weight of a past run for each phase that it does not share with this one, at most MOST_STRANGE times."""
MOST_STRANGE = 5
LEAST_SHARE = 0.05
"""Of its expected items that a phase must have before its rate is believed."""
TRUST = 0.15
"""Share of items at which a phase's own rate counts as much as history."""
RATE_SPREAD = 0.25
"""Of the logarithm of what is left by a phase's own rate: rates change on the way."""
LEAST_PACED = 10
"""Past runs that are needed to see whether slow runs stay slow."""
P90 = 0.92
"""Rank that is told as p90: past runs predict each other better than they do the next run, by so much."""
INSTANT = 10**8
"""Nanoseconds added before a logarithm is taken: a tenth of a second more or less is no news."""


class Quantiles(NamedTuple):
    """Nanoseconds left; both are 0 past the p90 of history."""

    p50: int
    p90: int


class Prediction(NamedTuple):
    run: Quantiles
    phases: dict[str, Quantiles]
    """Of phases under way that past runs had, or that tell their items."""
    overdue: int
    """Nanoseconds past the p90 of when it would have been done; 0 before."""
    past_runs: int
    """How many runs it rests on."""


class _Here(NamedTuple):
    """Where a run is. Phases by their place; times are Unix nanoseconds."""

    started: int
    done: dict[int, int]
    """Ends."""
    open: dict[int, int]
    """First beginnings."""
    passed: frozenset[int]
    """Phases that did not begin and will not: what comes after them has begun."""
    rates: dict[str, tuple[float, float]]
    """By name: nanoseconds left by a phase's own rate, and the share of items that it has."""
    spent: float
    """Nanoseconds that the phases took which are done."""


class Past:
    """Past runs of one pipeline, prepared for predictions. Does not change."""

    __slots__ = ("_ages", "_luck", "_ways")

    def __init__(self, ways: Ways) -> None:
        """ways: of runs that ended well, newest first."""
        self._ways = ways
        self._ages = [0.5 ** (age / HALF_LIFE) for age in range(len(ways.runs))]
        # Normal, in an order that has nothing to do with the runs' own: multiples of the golden ratio are even.
        evenly = [(0.5 + number * 0.6180339887) % 1 for number in range(len(ways.runs))]
        self._luck = [math.exp(RATE_SPREAD * NormalDist().inv_cdf(share)) for share in evenly]

    @classmethod
    def of(cls, runs: Iterable[RunWithPhases]) -> Past:
        """runs: in any order; those that did not end well are left out."""
        good = [run for run in runs if run.run.result == "success" and run.run.ended is not None]
        good.sort(key=lambda run: run.run.ended or 0, reverse=True)
        return cls(learn(good, MOST_PHASES))

    def predict(self, run: RunWithPhases, now: int) -> Prediction | None:
        """None for a run that has ended, and where fewer than LEAST_RUNS past runs are known. now: Unix nanoseconds."""
        runs = self._ways.runs
        if len(runs) < LEAST_RUNS or run.run.ended is not None:
            return None
        here = self._where(run, now)
        weights = self._weights(here)
        rests = self._rests(here, now)
        if here.done or here.open:
            left = self._paced([end - now for end in self._ends(here, rests, now)], weights, here)
        else:
            left = _rest([(way.total, True) for way in runs], now - here.started)
        overdue = self._overdue(here, weights, now)
        phases = self._phases(here, rests, weights, now)
        if overdue and not here.rates:
            return Prediction(Quantiles(0, 0), phases, overdue, len(runs))
        # What is not known from past runs can still tell how long it needs itself.
        least = max((rest for name, (rest, _) in here.rates.items() if name not in self._ways.places), default=0.0)
        return Prediction(_quantiles([max(least, rest) for rest in left], weights), phases, overdue, len(runs))

    def _where(self, run: RunWithPhases, now: int) -> _Here:
        done, under_way, rates, spent = {}, {}, {}, 0.0
        for name, executions in by_phase(run).items():
            still = [phase for phase in executions if phase.ended is None]
            if still and (rate := _by_rate(still, now)) is not None:
                rates[name] = rate
            place = self._ways.places.get(name)
            if place is None:
                continue
            begin = min(phase.started for phase in executions)
            if still:
                under_way[place] = begin
            else:
                done[place] = max(phase.ended or begin for phase in executions)
                spent += done[place] - begin
        begun = {*done, *under_way}
        passed = frozenset[int]().union(*(self._ways.before[place] for place in begun)) - begun
        return _Here(run.run.started, done, under_way, passed, rates, spent)

    def _weights(self, here: _Here) -> list[float]:
        begun = frozenset((*here.done, *here.open))
        return [
            age * OTHER_BRANCH ** min(MOST_STRANGE, len(begun - way.has) + len(here.passed & way.has))
            for age, way in zip(self._ages, self._ways.runs, strict=True)
        ]

    def _rests(self, here: _Here, now: int) -> dict[int, list[float]]:
        """By phase under way: what is left of it by each past run."""
        names = {place: name for name, place in self._ways.places.items() if place in here.open}
        found = {}
        for place, begin in here.open.items():
            rests = _rest([(way.took[place], place in way.has) for way in self._ways.runs], now - begin)
            rate = here.rates.get(names[place])
            if rate is not None:
                trust = rate[1] / (rate[1] + TRUST)
                rests = [
                    trust * rate[0] * luck + (1 - trust) * rest for luck, rest in zip(self._luck, rests, strict=True)
                ]
            found[place] = rests
        return found

    def _overdue(self, here: _Here, weights: Sequence[float], now: int) -> int:
        """Nanoseconds past the p90 of when past runs would have been done."""
        runs = self._ways.runs
        if not here.done and not here.open:
            usual: Sequence[float] = [here.started + way.total for way in runs]
        else:
            begins = here.open.items()
            soonest = [max([begin + way.took[place] for place, begin in begins], default=0) + way.tail for way in runs]
            if next_below(0.9, list(zip(soonest, weights, strict=True))) >= now:
                return 0  # whatever else has to be done: most predictions end here, and are faster by a third
            usual = self._ends(here, {place: [way.took[place] for way in runs] for place in here.open}, None)
        return max(0, now - round(next_below(0.9, list(zip(usual, weights, strict=True)))))

    def _ends(self, here: _Here, rests: dict[int, list[float]], now: int | None) -> list[float]:
        """When the run is done, by each past run. Nothing begins or ends before now.

        rests: of phases under way, from now; without a now, from their beginning.
        """
        _, _, waits, runs = self._ways
        settled = {*here.done, *here.open, *here.passed}
        pending = [(place, waits[place]) for place in range(len(waits)) if place not in settled]
        ends: list[float] = [here.done.get(place, here.open.get(place, here.started)) for place in range(len(waits))]
        for place in sorted(here.passed):
            ends[place] = max([ends[other] for other in waits[place]], default=here.started)
        known = max(here.done.values(), default=here.started)
        earliest = here.started if now is None else now
        begins = [(place, begin if now is None else now, rests[place]) for place, begin in here.open.items()]
        found = []
        # The hot loop: comparisons instead of max() halve its time.
        for number, (_, took, gaps, tail, _) in enumerate(runs):
            last: float = known
            for place, begin, rest in begins:
                end = begin + rest[number]
                ends[place] = end
                if end > last:  # noqa: PLR1730 -- see above
                    last = end
            for place, before in pending:
                end = here.started
                for other in before:
                    end = max(end, ends[other])
                end += gaps[place]
                end = (end if end > earliest else earliest) + took[place]  # noqa: FURB136 -- see above
                ends[place] = end
                if end > last:  # noqa: PLR1730 -- see above
                    last = end
            found.append(max(earliest, last + tail))
        return found

    def _paced(self, left: list[float], weights: Sequence[float], here: _Here) -> list[float]:
        """What is left by each past run, longer or shorter as this run was slower or faster so far.

        By the regression of what was left on what was spent, both in logarithm, over past runs that had all phases
        which are done here; its slope is cut by the adjusted share of variance that it explains, so few runs or a
        loose relation change little.
        """
        runs = self._ways.runs
        places = list(here.done)
        alike = [number for number, way in enumerate(runs) if way.has.issuperset(places)]
        if not places or len(alike) < LEAST_PACED:
            return left
        spent = [math.log(INSTANT + sum(runs[number].took[place] for place in places)) for number in alike]
        rests = [math.log(INSTANT + max(0.0, left[number])) for number in alike]
        by = slope(spent, rests, [weights[number] for number in alike])
        mine = math.log(INSTANT + here.spent)
        paced = list(left)
        for number, theirs in zip(alike, spent, strict=True):
            # Beyond a factor of e past runs say little.
            paced[number] *= math.exp(by * max(-1.0, min(1.0, mine - theirs)))
        return paced

    def _phases(
        self, here: _Here, rests: dict[int, list[float]], weights: Sequence[float], now: int
    ) -> dict[str, Quantiles]:
        late = math.exp(RATE_SPREAD * NormalDist().inv_cdf(0.9))
        found = {name: Quantiles(round(rest), round(rest * late)) for name, (rest, _) in here.rates.items()}
        for name, place in self._ways.places.items():
            if place not in here.open:
                continue
            found[name] = _quantiles(rests[place], weights)
            known = [
                (way.took[place], weight)
                for way, weight in zip(self._ways.runs, weights, strict=True)
                if place in way.has
            ]
            if name not in here.rates and now - here.open[place] > next_below(0.9, known):
                found[name] = Quantiles(0, 0)
        return found


def _rest(past: Sequence[tuple[int, bool]], elapsed: int) -> list[float]:
    """What is left after `elapsed`, for each past run. past: (how long it took, whether it had the phase).

    A run that took no longer says nothing and takes the rest of another one; 0 for all where none took so long.
    """
    rests = [float(took - elapsed) if has and took > elapsed else None for took, has in past]
    known = [rest for rest in rests if rest is not None]
    if not known:
        return [0.0] * len(rests)
    lent = itertools.cycle(known)
    return [next(lent) if rest is None else rest for rest in rests]


def _by_rate(executions: Sequence[Phase], now: int) -> tuple[float, float] | None:
    """Nanoseconds left by their own rates, of the last one to be done, and the least share of items that one has.

    None unless each tells how many it expects, and has enough of them.
    """
    rests, shares = [], []
    for phase in executions:
        items, expected = items_of(phase.tally), phase.tally.expected
        if not expected or items < LEAST_SHARE * expected:
            return None
        share = min(1.0, items / expected)
        rests.append(max(0, now - phase.started) * (1 - share) / share)
        shares.append(share)
    return max(rests), min(shares)


def _quantiles(left: Sequence[float], weights: Sequence[float]) -> Quantiles:
    values = list(zip(left, weights, strict=True))
    p50 = max(0, round(next_below(0.5, values)))
    return Quantiles(p50, max(p50, round(next_below(P90, values))))
