"""The exporter's books over a real ledger with a clock of its own, and pipelines that tell of their runs.

house.tell(told("run-1", at=0, started=0), told_phase("P00", "run-1", at=0, started=0))
house.after(30)
assert house.value(pipelines.RUN_ACTIVE, state="executing") == 1
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fleetwatch.app.books import Books
from fleetwatch.app.prices import price_book
from fleetwatch.catalogue.metric import Metric
from fleetwatch.ledger import Ledger
from fleetwatch.meter.text import exposition
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.records.pipelines import Phase, PhaseReport, Run, RunReport, RunWithPhases, Tally, Usage
from fleetwatch.settings import Settings, from_dict
from support_program import Series, labels, samples

PRICES = price_book(Settings())
START = 1_800_000_000 * SECOND

_RUN = Run(
    "nightly", "run-1", "executing", "", "", "", START, None, START, START, START, 10 * SECOND, "instrument", b"", "",
    "", "", None, None, False, None, 0, 0, None, "",
)  # fmt: skip
_PHASE = Phase(
    "nightly", "run-1", "e1", "P00", "", 1, "executing", "", "", "", START, None, START, b"", Usage(), Tally(), None,
    None,
)  # fmt: skip
_WELL: dict[str, Any] = {"state": "ended", "result": "success", "reason": "completed"}


def a_run(run: str = "run-1", **fields: Any) -> Run:
    """As the ledger has it, of pipeline `nightly`, under way since START; one that ended did so well unless told."""
    given = {**_WELL, **fields} if "ended" in fields else fields
    return _RUN._replace(run=run, **given)


def a_phase(phase: str = "P00", **fields: Any) -> Phase:
    """Likewise."""
    given = {**_WELL, **fields} if fields.get("ended") is not None else fields
    return _PHASE._replace(phase=phase, **{"execution": phase, **given})


def with_phases(run: Run, *phases: Phase, **fields: Any) -> RunWithPhases:
    """fields: of a phase, where none is given."""
    return RunWithPhases(run, phases or (a_phase(**fields),))


def told(run: str = "run-1", pipeline: str = "nightly", *, at: float, **fields: Any) -> RunReport:
    """What a sender says of a run. Times in seconds after START; who tells an end tells that it went well."""
    return RunReport(pipeline, run, START + _ns(at), **_given(fields))


def told_phase(
    phase: str = "P00", run: str = "run-1", pipeline: str = "nightly", *, at: float, **fields: Any
) -> PhaseReport:
    """Likewise, of an execution of a phase."""
    return PhaseReport(pipeline, run, phase=phase, at=START + _ns(at), **{"execution": phase, **_given(fields)})


def _ns(seconds: float) -> int:
    return round(seconds * SECOND)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    state = _WELL if "ended" in fields else {"state": "executing"}
    times: dict[str, Any] = {name: START + _ns(fields[name]) for name in ("started", "ended") if name in fields}
    return {"source": "instrument", **state, **fields, **times}


class PipelineHouse:
    """Times are seconds after START."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.folder, self.sections = folder, sections
        self.now = 0.0
        self.books = self._made()

    def _made(self) -> Books:
        given = {"web": {"scrape_interval": 0.000001}, "host": {"enabled": False}, **self.sections}
        settings = from_dict({"data_dir": self.folder, **given})
        made = Books(settings, PRICES, self.clock)
        made.writer.open()
        return made

    def clock(self) -> int:
        """Unix nanoseconds."""
        return START + _ns(self.now)

    @property
    def ledger(self) -> Ledger:
        assert self.books.writer.ledger is not None
        return self.books.writer.ledger

    def crash(self) -> None:
        """A new process over what the old one has committed."""
        self.books.writer.close()
        self.books = self._made()

    def tell(self, *reports: Any) -> None:
        """Commit what senders say, now."""
        self.ledger.commit(reports)

    def run(self, run: str, pipeline: str = "nightly", *, took: float = 100, phases: int = 2, **fields: Any) -> None:
        """Tell of a run that ended now, with phases that took equally long one after the other."""
        began, each = self.now - took, took / max(1, phases)
        ended = [
            told_phase(
                f"P{place:02d}", run, pipeline, at=self.now, started=began + place * each,
                ended=began + (place + 1) * each,
            )
            for place in range(phases)
        ]  # fmt: skip
        self.tell(told(run, pipeline, at=self.now, **{"started": began, "ended": self.now, **fields}), *ended)

    def after(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + step)
            self.books.tick()

    def text(self) -> str:
        self.books.refresh()
        return exposition(self.books.meter, openmetrics=False)

    def shown(self, metric: Metric, suffix: str = "") -> dict[Series, float]:
        """Series of a metric; of a histogram those with this suffix."""
        text = self.text()
        lines = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
        assert len(lines) == len(set(lines)), "a series stands twice: Prometheus would drop the scrape"
        return samples(text).get(metric.prometheus + suffix, {})

    def value(self, metric: Metric, suffix: str = "", **who: str) -> float | None:
        """Of one series; None where it is not shown."""
        return self.shown(metric, suffix).get(labels(**{"pipeline": "nightly", **who}))
