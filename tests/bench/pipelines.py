"""Pipelines over a month: what 1,000 runs a day cost in series, disk, time and memory, and how long boards wait.

Records go through the real ledger and the exporter's books, whose clock is moved; every five minutes the page that a
Prometheus would scrape is read. Series are counted against the budget that exporters/PIPELINES.md gives. The month is
then put into Prometheus, and all queries of the boards are asked over it (bench/pipeline_queries.py). At last somebody
makes up 5,000 names of phases and 500 of pipelines.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))
from bench.pipeline_queries import Month, ask_boards, is_wanted
from bench.pipeline_runs import PIPELINES, SECOND, Event, Report, schedule
from fleetwatch.app.books import Books
from fleetwatch.app.pipelines import pipelines as app
from fleetwatch.app.prices import price_book
from fleetwatch.catalogue import exporter, pipelines
from fleetwatch.meter.text import exposition
from fleetwatch.records.pipelines import PhaseReport, RunReport
from fleetwatch.settings import Settings, from_dict

START = 1_749_600_000
"""Where the widest block of a TSDB begins: fewer of them have to be made."""
MINUTE, DAY = 60, 86400
SHOWN = 5
"""Minutes between two pages."""
LOOK = 10
"""Seconds between two looks for runs that fell silent."""
LEARNED = 12 * 3600 * SECOND
"""Nanoseconds between two looks at a pipeline's past. Learning takes 25 ms and changes no number of series, so a month
of it after each run would take an hour.
"""
NAMING = pipelines.SLOT_INFO.prometheus
STEPS = ("commit", "take", "show", "page")
SETTINGS = {
    "web": {"scrape_interval": 0.000001},
    "host": {"enabled": False},
    "pipelines": {
        "signals": [{"name": "rows.dropped"}, {"name": "rows.rate", "kind": "gauge"}],
        "machines": [{"usd_per_hour": 0.4}],
        "expected": [{"pipeline": "nightly", "every": 3600}],
    },
}


class House:
    """The exporter's books with a clock of their own, and what was seen of them."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.seen: dict[str, bool] = {}
        """Series -> whether a query of the boards reads it over all the month."""
        self.spent: defaultdict[str, float] = defaultdict(float)
        """Seconds of processor time by step."""
        app.PAUSE = LEARNED
        settings = from_dict({"data_dir": folder, **SETTINGS})
        self.books = Books(settings, price_book(Settings()), lambda: self.now * SECOND)
        self.books.writer.open()

    def _time(self, step: str, work: Callable[[], object]) -> None:
        began = time.process_time()
        work()
        self.spent[step] += time.process_time() - began

    def commit(self, reports: list[Report]) -> None:
        ledger = self.books.writer.ledger
        assert ledger is not None
        self._time("commit", lambda: ledger.commit(reports))

    def pass_minute(self, reports: list[Report]) -> None:
        """A minute in which these reports came. Silence is looked for often enough not to be taken for deafness."""
        for _ in range(MINUTE // LOOK):
            self.now += LOOK
            self._time("take", self._watch)
        self.commit(reports)
        self._time("take", self._take)
        if self.now // MINUTE % SHOWN == 0:
            self._time("predict", self.books.tick)

    def _watch(self) -> None:
        lost = self.books.pipelines.lost()
        if lost and self.books.writer.judge(lost):
            self.books.take()

    def _take(self) -> None:
        self.books.writer.tick()
        self.books.take()
        if self.books.meter.due():
            self.books.checkpoint()

    def page(self) -> list[str]:
        """Lines of the series that are shown."""
        self._time("show", self.books.refresh)
        began = time.process_time()
        text = exposition(self.books.meter, openmetrics=False)
        self.spent["page"] += time.process_time() - began
        return [line for line in text.splitlines() if not line.startswith("#")]

    def look(self, text: TextIO) -> Counter[str]:
        """Look at a page, and write what the boards read; names of series never seen before, and how many of each."""
        new: Counter[str] = Counter()
        kept = []
        for line in self.page():
            series = line.rpartition(" ")[0]
            is_kept = self.seen.get(series)
            if is_kept is None:
                is_kept = self.seen[series] = is_wanted(series)
                new[series.partition("{")[0]] += 1
            if is_kept:
                kept.append(f"{line} {self.now}\n")
        text.writelines(kept)
        return new

    def size(self) -> float:
        """MiB of the ledger."""
        assert self.books.writer.ledger is not None
        return self.books.writer.ledger.size() / 2**20


def memory() -> float:
    """MiB of this process."""
    return float(psutil.Process().memory_info().rss) / 2**20


def simulate(house: House, a_day: int, days: int, text: TextIO) -> None:
    """Let the days pass, a minute at a time; print a line for each. text: for the pages that the boards need."""
    print(f"\n{'day':>3} {'new series':>10} {'naming runs':>11} {'shown':>6}  CPU ms a run: {'commit':>7} {'take':>6}"
          f"  CPU ms each: {'show':>6} {'page':>6}  {'MiB':>6} {'RSS':>5}", flush=True)  # fmt: skip
    events = schedule(START * SECOND, a_day, days)
    waiting: Event | None = next(events, None)
    late: Counter[str] = Counter()
    for day in range(1, days + 1):
        new: Counter[str] = Counter()
        before = dict(house.spent)
        for minute in range(1, DAY // MINUTE + 1):
            batch: list[Report] = []
            while waiting is not None and waiting.at < (house.now + MINUTE) * SECOND:
                batch.append(waiting.report)
                waiting = next(events, None)
            house.pass_minute(batch)
            if minute % SHOWN == 0:
                new += house.look(text)
        # The rest is read at the end only.
        lines = house.page()
        seen = house.seen
        text.writelines(f"{line} {house.now}\n" for line in lines if not seen.get(line.rpartition(" ")[0], True))
        if day > 7:
            late += new
        spent = {step: seconds - before.get(step, 0) for step, seconds in house.spent.items()}
        pages = DAY / MINUTE / SHOWN
        a_run = [spent[step] / a_day * 1e3 for step in STEPS[:2]]
        a_page = [spent[step] / pages * 1e3 for step in STEPS[2:]]
        print(f"{day:3} {new.total():10} {new[NAMING]:11} {len(lines):6}  {a_run[0]:21.2f} {a_run[1]:6.2f}"
              f"  {a_page[0]:19.1f} {a_page[1]:6.1f}  {house.size():6.1f} {memory():5.0f}", flush=True)  # fmt: skip
    others = {name: number for name, number in late.items() if name != NAMING}
    print(f"after the first week, new but {NAMING}: {others or 'nothing'}")
    lines = [line for line in house.page() if line.startswith("pipeline_slot_")]
    slots = sum(line.startswith(NAMING) for line in lines)
    print(f"with its id on all series of its slot a run would add {len(lines) / slots:.0f} in place of 1")
    overflows = [line for line in house.page() if line.startswith(exporter.LABEL_OVERFLOW.prometheus)]
    print(f"labels without room: {overflows or 'none'}")


def attack(house: House, folder: Path, phases: int, names: int) -> None:
    """Make up names of phases in one pipeline, a run each, then names of pipelines; print what it did."""

    def state(what: str) -> None:
        lines = [line for line in house.page() if line.startswith("pipeline_")]
        db = sqlite3.connect(f"file:{folder}/ledger.db?mode=ro", uri=True)
        counts, known = (db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                         for table in ("counts", "pipeline_names"))  # fmt: skip
        db.close()
        print(f"{what:28} {len(lines):7} series, {counts:6} rows of counts, {known:5} names, "
              f"{house.size():6.1f} MiB, RSS {memory():4.0f} MiB", flush=True)  # fmt: skip

    def run(pipeline: str, number: int, phase: str) -> None:
        began, ended = house.now * SECOND, (house.now + 1) * SECOND
        run = RunReport(pipeline, f"odd-{number}", ended, "ended", "success", "completed", "", began, ended)
        run = run._replace(source="instrument")
        part = PhaseReport(
            pipeline, run.run, "1", phase, "", ended, 1, "ended", "success", "completed", "", began, ended
        )
        house.pass_minute([run, part, part._replace(execution="2", subphase=f"part-{phase}")])

    state("before")
    for number in range(phases):
        run(PIPELINES[0], number, f"phase-{number}")
        if number == phases // 2:
            state(f"{number} names of phases")
    state(f"{phases} names of phases")
    for number in range(names):
        run(f"pipeline-{number}", number, "P00")
        if number == names // 2:
            state(f"{number} names of pipelines")
    state(f"{names} names of pipelines")
    for _ in range(DAY // MINUTE):
        house.pass_minute([])
    state("a day later")
    shown = [line for line in house.page() if line.startswith(exporter.LABEL_OVERFLOW.prometheus)]
    print("said so:", *shown, sep="\n  ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--a-day", type=int, default=1000, help="runs, of five pipelines together")
    parser.add_argument("--folder", type=Path, help="where ledger, pages and data are left")
    parser.add_argument("--asked", action="store_true", help="only ask what an earlier call left in the folder")
    parser.add_argument("--unasked", action="store_true", help="ask nothing of Prometheus")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        month = Month(folder, START, START + options.days * DAY)
        if not options.asked:
            print(f"{options.a_day} runs a day of {len(PIPELINES)} pipelines, {options.days} days")
            house = House(folder / "ledger")
            with month.pages.open("w", encoding="utf-8") as text:
                simulate(house, options.a_day, options.days, text)
            attack(house, folder / "ledger", 5000, 500)
            house.books.close()
        if not options.unasked:
            ask_boards(month)


if __name__ == "__main__":
    main()
