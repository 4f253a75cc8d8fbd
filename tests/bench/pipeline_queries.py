"""All queries of the boards of pipelines over a month, asked of the oldest and the newest supported Prometheus.

What the boards read over all the month is put in at five minutes, of the rest the last values. Recorded series are
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
STEP = 300
"""Seconds between two values of recorded series, as of all others."""
SCRAPES = 15
POINTS = 1000
"""Values of a line, about as many as a panel has pixels."""
STEPS = (15, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Steps that Grafana rounds to."""
TIMES = 5
SLOWEST = 25
"""Panels that are printed."""
_END = "# EOF\n"
_TAIL = 8 << 20
"""Bytes that hold the last page."""
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
    # What the oldest one writes, all can read.
    oldest = next(iter(programs.values()))
    recorded, whole = month.folder / "recorded.om", month.folder / "whole.om"
    _record(oldest, month, recorded)
    chosen = _chosen(month)
    with whole.open("w", encoding="utf-8") as text:
        for file in (month.pages, recorded):
            with file.open(encoding="utf-8") as lines:
                text.writelines(line for line in lines if _is_read(line, month, chosen))
        text.write(_END)
    shutil.rmtree(month.folder / "data", ignore_errors=True)
    _backfill(oldest, whole, month.folder / "data")
    for generation, program in programs.items():
        folder = month.folder / generation
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(month.folder / "data", folder / "data")
        with running_prometheus(program, folder, {}, flags=FLAGS) as prometheus:
            _print(generation, list(_asked(prometheus, month, chosen)))


# --- the data


@functools.cache
def _over_time(stems: tuple[str, ...]) -> frozenset[str]:
    """Names of which these boards read more than the last value."""
    exprs = [
        target["expr"]
        for stem in stems
        for _, target in queries(load(stem))
        if target["range"] or "[" in target["expr"] or "offset" in target["expr"]
    ]
    return frozenset(name for expr in exprs for name in _NAME.findall(expr))


@functools.cache
def _is_read_over_time(series: str, slot: str) -> bool:
    name = series.partition("{")[0]
    if name in _over_time(("pipelines",)):
        return True
    if name not in _over_time(BOARDS) or f'pipeline="{ONE}"' not in series:
        return False
    if 'le="' in series and 'phase="' in series and f'phase="{PHASE}"' not in series:
        return False
    return 'slot="' not in series or f'slot="{slot}"' in series


def _is_read(line: str, month: Month, chosen: dict[str, str]) -> bool:
    """Whether a query reads it: the last values of all series, and some series over all the month."""
    series, _, at = line.rpartition(" ")
    if int(at) > month.end - 600:
        return True
    return _is_read_over_time(series.rpartition(" ")[0], chosen["slot"])


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


def _record(program: str, month: Month, recorded: Path) -> None:
    """Write the recorded series. Most rules read others' results, which are put in before they are asked."""
    folder = month.folder / "recorded"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file = folder / "ruled.om"
    with month.pages.open(encoding="utf-8") as pages, file.open("w", encoding="utf-8") as text:
        text.writelines(line for line in pages if line.partition("{")[0] in _ruled())
        text.write(_END)
    with recorded.open("w", encoding="utf-8") as every:
        for level in _levels():
            _backfill(program, file, folder / "data")
            with running_prometheus(program, folder, {}, flags=FLAGS) as prometheus:
                lines = [line for name in level for line in _evaluated(prometheus, name, month)]
            with file.open("w", encoding="utf-8") as text:
                text.writelines(lines)
                text.write(_END)
            every.writelines(lines)


def _levels() -> list[list[str]]:
    """Rules, those first that need no other."""
    levels: dict[str, int] = {}
    for name, expr in _rules().items():
        levels[name] = 1 + max([levels[other] for other in _NAME.findall(expr) if other in levels], default=-1)
    return [[name for name, of in levels.items() if of == level] for level in sorted(set(levels.values()))]


@functools.cache
def _ruled_over_time() -> frozenset[str]:
    """Recorded series of which other rules read more than the last value."""
    windows = re.compile(r"\b(pipelines:[\w:]+)(?:\{[^}]*\})? *(?:\[|offset)")
    return frozenset(name for expr in _rules().values() for name in windows.findall(expr))


def _evaluated(prometheus: Prometheus, name: str, month: Month) -> Iterator[str]:
    is_ruled = name in _ruled_over_time()
    start = month.start if is_ruled or name in _over_time(BOARDS) else month.end - STEP
    times = {"start": str(start), "end": str(month.end), "step": str(STEP), "timeout": "300s"}
    for series in _ask(prometheus, "query_range", query=_rules()[name], **times)["result"]:
        labels = ",".join(f'{label}="{value}"' for label, value in series["metric"].items() if label != "__name__")
        full = f"{name}{{{labels}}}"
        values = series["values"] if is_ruled or _is_read_over_time(full, "") else series["values"][-2:]
        yield from (f"{full} {value} {at}\n" for at, value in values if value != "NaN" and at > month.start)


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


def _asked(prometheus: Prometheus, month: Month, chosen: dict[str, str]) -> Iterator[_Answer]:
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


def _chosen(month: Month) -> dict[str, str]:
    """Values of the variables: the last two runs that ended, as the boards choose them."""
    begun: dict[str, float] = {}
    with month.pages.open("rb") as pages:
        pages.seek(-min(month.pages.stat().st_size, _TAIL), 2)
        last = [line for line in pages.read().decode().splitlines() if line.endswith(f" {month.end}")]
    found = re.compile(rf'pipeline_slot_run_(\w+){{pipeline="{ONE}",slot="(\d+)"}} (\S+)')
    values = {(given[1], given[2]): float(given[3]) for given in map(found.match, last) if given}
    for (what, slot), value in values.items():
        if what == "state" and value > 3.5:
            begun[slot] = values["start_timestamp_seconds", slot]
    a, b, *_ = sorted(begun, key=lambda slot: -begun[slot])
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
    """By board, then the slowest query of each panel, then what found nothing."""
    print(f"\nPrometheus {generation}: seconds of a query, median of {TIMES}")
    print("board      queries  empty  median  slowest  all of them  the slowest panel")
    for stem in BOARDS:
        own = [item for item in answers if item.board == stem]
        slowest = max(own, key=lambda item: item.seconds)
        middle, together = statistics.median(item.seconds for item in own), sum(item.seconds for item in own)
        empty = sum(item.values == 0 for item in own)
        times = f"{middle:6.3f} {slowest.seconds:8.3f} {together:12.2f}"
        print(f"{stem:10} {len(own):7} {empty:6} {times}  {slowest.panel}")
    print(f"\n{'board':10} {'panel':45} {'kind':7} median     max    samples  values")
    panels = {(item.board, item.panel): item for item in sorted(answers, key=lambda item: item.seconds)}
    for item in sorted(panels.values(), key=lambda item: -item.seconds)[:SLOWEST]:
        kind = "range" if item.is_range else "instant"
        numbers = f"{item.seconds:6.3f} {item.most:7.3f} {item.samples:10} {item.values:7}"
        print(f"{item.board:10} {item.panel:45} {kind:7} {numbers}")
    for item in answers:
        if not item.values:
            print(f"nothing found: {item.board}: {item.panel}: {item.expr[:100]}")
