"""Pipelines: what the ledger knows of their runs, as series; predictions, comparisons, and who is given up.

What is changed by news is made anew when it is shown, what moves with time at each scrape. Learning from past runs
takes milliseconds a pipeline, so it is done bit by bit between requests (`reckon`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fleetwatch.app.pipelines.hosts import Machine
from fleetwatch.app.pipelines.judge import Judge
from fleetwatch.app.pipelines.one import Pipeline
from fleetwatch.app.pipelines.score import Score
from fleetwatch.app.pipelines.thresholds import threshold_samples
from fleetwatch.catalogue import exporter, pipelines
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.meter import Meter
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.pipelines import RunReport, RunWithPhases
from fleetwatch.settings import Settings

if TYPE_CHECKING:
    from fleetwatch.ledger.pipelines.pipelines import Pipelines as History
    from fleetwatch.ledger.roster import Request

log = logging.getLogger(__name__)

STRIDE = 0.025
"""Seconds of each second that predicting may take, and likewise learning: senders and scrapes wait meanwhile."""
PAUSE = 10 * SECOND
"""Nanoseconds between two looks at the past of one pipeline, whose runs may end every second."""
MOST_PHASES = 3000
LEAST_RUNS = 8
"""Executions in past runs that are looked at, of one pipeline, and runs where each has very many. An execution takes
50 us, and nothing else is done meanwhile."""


_NO_ROOM = (pipelines.SLOT_PHASE_STATE.prometheus, pipelines.PHASE.name)
_NO_ERRORS = [0] * (len(pipelines.ETA_ERROR.buckets) + 1)


class Pipelines:
    """All pipelines of the ledger. machine: what is known of a run's machine, None for one that never reported."""

    def __init__(
        self,
        settings: Settings,
        meter: Meter,
        machine: Callable[[str], Machine | None],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        section = settings.pipelines
        self._settings = section
        self._signals = [item for item in section.signals if item.kind == "gauge"]
        self._periods = {item.pipeline: item.every for item in section.expected}
        self._forget_after = int(section.forget_after * SECOND)
        self._meter = meter
        self._clock = clock
        self._judge = Judge(settings, machine, clock)
        self._pipelines: dict[str, Pipeline] = {}
        self._open: dict[tuple[str, str], RunWithPhases] = {}
        """All runs under way, those of pipelines that have no room among the series as well."""
        self._most = settings.labels.max_series
        self._left = self._most
        self._shown: dict[str, int] = {}
        """Source of the meter -> its number of series."""
        for reason in pipelines.REJECTED_REASON.one_of:
            meter.add(pipelines.REJECTED, (reason,), 0)

    # --- the ledger

    def open(self, history: History) -> None:
        """Begin with what a ledger that was just opened knows."""
        for name in list(self._pipelines):
            self._drop(name)
        self._open.clear()
        if self._periods:
            history.expect(list(self._periods))
        self._know(history)
        self.take(history)

    def take(self, history: History) -> None:
        """Take what was committed since the last call."""
        for reason, reports in history.take_rejected().items():
            self._meter.add(pipelines.REJECTED, (reason,), reports)
        for name, signals in history.take_undeclared().items():
            self._meter.add(pipelines.SIGNALS_UNDECLARED, (name,), signals)
        changed = history.take_changed()
        if not changed:
            return
        self._know(history)
        for run in changed:
            key = run.run.pipeline, run.run.run
            if run.run.ended is None:
                self._open[key] = run
            else:
                self._open.pop(key, None)
            pipeline = self._pipelines.get(run.run.pipeline)
            if pipeline is not None:
                for score in pipeline.take(run):
                    self._score(pipeline.name, score)

    def _know(self, history: History) -> None:
        """What is remembered of pipelines beyond their runs; those past the label's bound are not among them."""
        for known in history.known():
            pipeline = self._pipelines.get(known.pipeline)
            if pipeline is None:
                self._pipelines[known.pipeline] = Pipeline(known)
                self._meter.merge(pipelines.ETA_ERROR, (known.pipeline,), _NO_ERRORS, 0)
                for word in pipelines.WITHIN.one_of:
                    self._meter.add(pipelines.ETA_SCORED, (known.pipeline, word), 0)
            elif pipeline.known != known:
                pipeline.know(known)

    def _score(self, name: str, score: Score) -> None:
        self._meter.observe(pipelines.ETA_ERROR, (name,), round(score.error * NANO))
        self._meter.add(pipelines.ETA_SCORED, (name, "yes" if score.within else "no"), 1)

    # --- who is given up, who is forgotten

    def lost(self) -> list[RunReport]:
        """Ends of runs that fell silent. Called while reports can be taken, and only then."""
        return self._judge.judge(self._open.values())

    def obey(self, requests: Iterable[Request], history: History) -> None:
        """Forget the pipelines that somebody asked to forget, and those without a run for long. Raises LedgerError."""
        wished = [name for _, name, wish in requests if wish == "forget_pipeline"]
        for name in (*wished, *self._past()):
            self.forget(history, name)

    def _past(self) -> list[str]:
        now = self._clock()
        return [
            name
            for name, pipeline in self._pipelines.items()
            if name not in self._periods
            and not pipeline.open_runs()
            and now - max(pipeline.known.seen, pipeline.known.first_seen) >= self._forget_after
        ]

    def forget(self, history: History, name: str) -> None:
        """Take a pipeline out, with all its series, and make room for others. Raises LedgerError."""
        history.forget(name)
        self._meter.forget(pipelines.PIPELINE, name)
        self._drop(name)
        if name in self._periods:
            history.expect([name])
            self._know(history)

    def _drop(self, name: str) -> None:
        pipeline = self._pipelines.pop(name, None)
        if pipeline is not None:
            for source in (_summary(name), _moves(name), *(_slot(name, slot) for slot in pipeline.all_slots())):
                self._put(source, ())

    # --- predictions and comparisons

    def reckon(self, history: History) -> None:
        """Predict the ends of runs under way and learn from those that ended, as much as there is time for."""
        now = self._clock()
        self._predict(now, time.perf_counter() + STRIDE)
        stale = [
            (not pipeline.open_runs(), pipeline.reckoned_at, pipeline.name)
            for pipeline in self._pipelines.values()
            if pipeline.is_stale and not 0 <= now - pipeline.reckoned_at < PAUSE
        ]
        until = time.perf_counter() + STRIDE
        for _, _, name in sorted(stale):
            past = self._history(history, name)
            try:
                self._pipelines[name].reckon(past, self._settings.recent, now)
            except Exception:
                log.exception("pipeline %r: nothing can be learned from its %d past runs", name, len(past))
            if time.perf_counter() >= until:
                break

    def _predict(self, now: int, until: float) -> None:
        due = [(since, run, item) for item in self._pipelines.values() for since, run in item.due(now)]
        for _, run, pipeline in sorted(due, key=lambda item: item[:2]):
            try:
                pipeline.predict(run, now)
            except Exception:
                log.exception("pipeline %r: the end of run %r cannot be predicted", pipeline.name, run)
            if time.perf_counter() >= until:
                break

    def _history(self, history: History, name: str) -> list[RunWithPhases]:
        """Past runs of a pipeline, fewer of them where they are large."""
        found = history.history(name, 1)
        phases = max([len(run.phases) for run in found], default=1)
        return history.history(name, min(self._settings.history, max(LEAST_RUNS, MOST_PHASES // max(1, phases))))

    # --- series

    def show(self, history: History) -> None:
        """Bring all series up to the moment."""
        now = self._clock()
        self._left = self._most - len(self._meter)
        for name, pipeline in self._pipelines.items():
            for slot in pipeline.changed_slots:
                self._put(_slot(name, slot), pipeline.slot(slot))
            pipeline.changed_slots.clear()
            if pipeline.is_changed:
                pipeline.is_changed = False
                self._put(_summary(name), self._summary(pipeline, history))
            self._put(_moves(name), pipeline.moving(now))

    def _put(self, source: str, samples: Iterable[Sample]) -> None:
        """Show these series; where a scrape has no room for them, only those that have no phase, and that is counted.

        Past its sample_limit a Prometheus would drop the whole scrape.
        """
        fresh = list(samples)
        before = self._shown.pop(source, 0)
        if len(fresh) - before > self._left:
            fresh = [sample for sample in fresh if pipelines.PHASE not in sample.metric.labels]
            self._meter.add(exporter.LABEL_OVERFLOW, _NO_ROOM, 1)
        shown = self._meter.replace(source, fresh)
        if shown:
            self._shown[source] = shown
        self._left -= shown - before

    def _summary(self, pipeline: Pipeline, history: History) -> Iterator[Sample]:
        name = pipeline.name
        yield from pipeline.summary()
        for phase in pipeline.phases if self._has_signals(name) else ():
            for signal, value in history.signals(name, phase):
                yield Sample(pipelines.SIGNAL_VALUE, (name, phase, signal), value)
        yield from threshold_samples(self._settings.thresholds, name, pipeline.phases)
        if name in self._periods:
            yield Sample(pipelines.EXPECTED_PERIOD, (name,), self._periods[name])

    def _has_signals(self, name: str) -> bool:
        return any(fnmatchcase(name, item.pipeline) for item in self._signals)


def _summary(name: str) -> str:
    """The meter's source of the pipeline itself. With a slash: no collector can have the name."""
    return f"pipeline/{name}"


def _moves(name: str) -> str:
    return f"pipeline-moves/{name}"


def _slot(name: str, slot: int) -> str:
    return f"pipeline-slot/{slot}/{name}"
