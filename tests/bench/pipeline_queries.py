"""All queries of the boards of pipelines over a month, asked of the oldest and the newest supported Prometheus.

What the boards read over all the month is put in at five minutes, the rest for the last hours. Recorded series are
evaluated by Prometheus itself from the shipped rules, and put in beside it.
"""

from __future__ import annotations

import functools
import json
import math
import re
import shutil
import statistics
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from fleetwatch.places import PROJECT
from support_boards import load, queries
from support_prometheus import Prometheus, prometheus_program, running_prometheus

BOARDS = ("pipelines", "run", "compare", "heatmap")
RULES = PROJECT / "prometheus" / "rules" / "pipelines.yml"
GENERATIONS = ("2.42", "3.")
ONE = "nightly"
"""The pipeline that boards about one show."""
PHASE = "P07"
STEP = 600
"""Seconds between two values of recorded series; what is added up of them is looked at so often."""
SCRAPES = 15
POINTS = 1000
"""Values of a line, about as many as a panel has pixels."""
STEPS = (15, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Steps that Grafana rounds to."""
TIMES = 5
SLOWEST = 25
"""Panels that are printed."""
_END = "# EOF\n"
FLAGS = ("--storage.tsdb.retention.time=20y",)
_NAME = re.compile(r"\bpipelines?[_:][a-z_:0-9A-Z]+")


class Month(NamedTuple):
    """start, end: Unix seconds."""

    folder: Path
    start: int
    end: int

    @property
    def pages(self) -> Path:
        return self.folder / "pages.om"


@functools.cache
def _rules() -> dict[str, str]:
    """Recorded series that the boards need -> expression, in an order in which each needs only those before it."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    every: dict[str, str] = {rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}
    needed: dict[str, str] = {}

    def need(name: str) -> None:
        if name in every and name not in needed:
            for other in _NAME.findall(every[name]):
                need(other)
            needed[name] = every[name]

    for name in sorted(_read()):
        need(name)
    return needed


@functools.cache
def _read() -> frozenset[str]:
    """Names that the boards' queries read."""
    exprs = [target["expr"] for stem in BOARDS for _, target in queries(load(stem))]
    return frozenset(name for expr in exprs for name in _NAME.findall(expr))


@functools.cache
def _ruled() -> frozenset[str]:
    """Names that the needed rules read."""
    return frozenset(name for expr in _rules().values() for name in _NAME.findall(expr))


def is_wanted(series: str) -> bool:
    """Whether boards or rules read it over all the month; of slots and buckets only those of the pipeline shown."""
    name = series.partition("{")[0]
    is_one = f'pipeline="{ONE}"' in series
    if name.endswith("_bucket") or name.startswith("pipeline_slot_"):
        return is_one and name in _read()
    return name in _read() or name in _ruled()


def ask_boards(month: Month) -> None:
    """Make the data and ask, of each Prometheus that is here."""
    programs = {}
    for generation in GENERATIONS:
        try:
            programs[generation] = prometheus_program(generation)
        except pytest.skip.Exception as reason:
            print(f"left out: {reason}")
    if not programs:
        return
    if not _is_whole(month.pages):
        recorded = _record(next(iter(programs.values())), month)
        with month.pages.open("a", encoding="utf-8") as text:
            text.writelines(recorded)
            text.write(_END)
    for generation, program in programs.items():
        data = month.folder / generation / "data"
        shutil.rmtree(data, ignore_errors=True)
        _backfill(program, month.pages, data)
        with running_prometheus(program, data.parent, {}, flags=FLAGS) as prometheus:
            _print(generation, list(_asked(prometheus, month)))


# --- the data


def _is_whole(pages: Path) -> bool:
    with pages.open("rb") as file:
        file.seek(-len(_END), 2)
        return file.read() == _END.encode()


def _backfill(program: str, text: Path, data: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    promtool = str(Path(program).with_name("promtool"))
    # The widest blocks: the text is read once for each.
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=486h", str(text), str(data)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"promtool could not read {text}: {done.stdout[-500:]}{done.stderr[-500:]}")
    size, took = text.stat().st_size / 2**20, time.monotonic() - began
    print(f"{text.name}: {size:.0f} MiB put in within {took:.0f} s", flush=True)


def _record(program: str, month: Month) -> list[str]:
    """Lines of the recorded series. Most rules read others' results, which are put in before they are asked."""
    folder = month.folder / "recorded"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file = folder / "ruled.om"
    with month.pages.open(encoding="utf-8") as pages, file.open("w", encoding="utf-8") as text:
        text.writelines(line for line in pages if line.partition("{")[0] in _ruled())
        text.write(_END)
    recorded: list[str] = []
    for level in _levels():
        _backfill(program, file, folder / "data")
        with running_prometheus(program, folder, {}, flags=FLAGS) as prometheus:
            lines = [line for name in level for line in _evaluated(prometheus, name, month)]
        with file.open("w", encoding="utf-8") as text:
            text.writelines(lines)
            text.write(_END)
        recorded += lines
    return recorded


def _levels() -> list[list[str]]:
    """Rules, those first that need no other."""
    levels: dict[str, int] = {}
    for name, expr in _rules().items():
        levels[name] = 1 + max([levels[other] for other in _NAME.findall(expr) if other in levels], default=-1)
    return [[name for name, of in levels.items() if of == level] for level in sorted(set(levels.values()))]


def _evaluated(prometheus: Prometheus, name: str, month: Month) -> Iterator[str]:
    times = {"start": str(month.start), "end": str(month.end), "step": str(STEP), "timeout": "300s"}
    for series in _ask(prometheus, "query_range", query=_rules()[name], **times)["result"]:
        labels = ",".join(f'{label}="{value}"' for label, value in series["metric"].items() if label != "__name__")
        yield from (f"{name}{{{labels}}} {value} {at}\n" for at, value in series["values"] if value != "NaN")


# --- the questions


class _Answer(NamedTuple):
    """seconds: the median; samples: that were read for it; values: in the answer."""

    board: str
    panel: str
    expr: str
    is_range: bool
    seconds: float
    most: float
    samples: int
    values: int


def _asked(prometheus: Prometheus, month: Month) -> Iterator[_Answer]:
    chosen = _chosen(prometheus, month)
    for stem in BOARDS:
        for panel, target in queries(load(stem)):
            points = panel.get("maxDataPoints") or POINTS
            asked = _question(target["expr"], month.end - month.start, points, chosen)
            if target["instant"]:
                path, times = "query", {"time": str(month.end)}
            else:
                step = _step(month.end - month.start, points)
                # Grafana begins and ends on a multiple of the step.
                path, times = "query_range", {
                    "start": str(month.start // step * step), "end": str(month.end // step * step), "step": str(step),
                }  # fmt: skip
            stats = _ask(prometheus, path, query=asked, stats="all", **times)["stats"]["samples"]
            took, answer = [], []
            for _ in range(TIMES):
                began = time.perf_counter()
                answer = _ask(prometheus, path, query=asked, **times)["result"]
                took.append(time.perf_counter() - began)
            values = sum(len(series.get("values", [0])) for series in answer)
            middle = statistics.median(took)
            read = stats["totalQueryableSamples"]
            yield _Answer(stem, panel["title"], asked, not target["instant"], middle, max(took), read, values)


def _ask(prometheus: Prometheus, path: str, **parameters: str) -> Any:
    url = f"{prometheus.url}/api/v1/{path}"
    with urllib.request.urlopen(url, urllib.parse.urlencode(parameters).encode(), timeout=300) as answer:
        return json.load(answer)["data"]


def _chosen(prometheus: Prometheus, month: Month) -> dict[str, str]:
    """Values of the variables: the last two runs that ended, as the boards choose them."""
    state, start = (f'pipeline_slot_run_{what}{{pipeline="{ONE}"}}' for what in ("state", "start_timestamp_seconds"))
    ended = f"sort_desc(max by (slot) ({start}) and on (slot) {state} > 3.5)"
    last, before, *_ = _ask(prometheus, "query", query=ended, time=str(month.end))["result"]
    a, b = last["metric"]["slot"], before["metric"]["slot"]
    return {"pipeline": ONE, "phase": PHASE, "slot": a, "a": a, "b": b}


def _question(expr: str, seconds: int, points: int, chosen: dict[str, str]) -> str:
    """As Grafana sends it. Its window of a rate is a scrape longer than a step."""
    step = _step(seconds, points)
    windows = {"$__rate_interval": max(step + SCRAPES, 4 * SCRAPES), "$__interval": step, "$__range": seconds}
    for word, window in windows.items():
        expr = expr.replace(word, f"{window}s")
    # Where several may be chosen, all are.
    expr = re.sub(r'=~"\$\w+"', '=~".*"', expr)
    return re.sub(r'"\$([a-z]+)"', lambda found: f'"{chosen[found[1]]}"', expr)


def _step(seconds: int, points: int) -> int:
    return min(STEPS, key=lambda step: abs(math.log(step * points / seconds)))


def _print(generation: str, answers: list[_Answer]) -> None:
    """By board, then the slowest panels."""
    print(f"\nPrometheus {generation}: seconds of a query (median of {TIMES}), slowest query of a panel")
    print(
        f"{'board':10} {'queries':>7} {'empty':>5} {'median':>7} {'slowest':>7} {'all of them':>11}  the slowest panel"
    )
    for stem in BOARDS:
        own = [item for item in answers if item.board == stem]
        slowest = max(own, key=lambda item: item.seconds)
        middle, all_of_them = statistics.median(item.seconds for item in own), sum(item.seconds for item in own)
        empty = sum(item.values == 0 for item in own)
        print(
            f"{stem:10} {len(own):7} {empty:5} {middle:7.3f} {slowest.seconds:7.3f} {all_of_them:11.2f}  {slowest.panel}"
        )
    print(f"\n{'board':10} {'panel':45} {'kind':7} {'median':>7} {'max':>7} {'samples':>9} {'values':>7}")
    panels: dict[tuple[str, str], _Answer] = {}
    for item in sorted(answers, key=lambda item: item.seconds):
        panels[item.board, item.panel] = item
    for item in sorted(panels.values(), key=lambda item: -item.seconds)[:SLOWEST]:
        kind = "range" if item.is_range else "instant"
        print(
            f"{item.board:10} {item.panel:45} {kind:7} {item.seconds:7.3f} {item.most:7.3f} {item.samples:9} {item.values:7}"
        )
    for item in answers:
        if not item.values:
            print(f"nothing found: {item.board}: {item.panel}: {item.expr[:100]}")
