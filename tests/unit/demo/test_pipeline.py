"""The demo's pipeline: its work is right, and each kind of trouble is told as what it is."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.demo import report
from fleetwatch.demo.jobs import Jobs
from fleetwatch.demo.pipeline import LONG_PROMPTS, NAME, TOKEN_RATE, Job, Order
from fleetwatch.demo.report import BusyError, ChecksumError, Row, Trend
from fleetwatch.dialects import translate_traces
from fleetwatch.records.llm import LlmCall
from fleetwatch.records.pipelines import PhaseReport, RunReport, Tally
from support import wait_for
from support_instrument import Application
from support_stack import OtlpSink, otlp_sink

PHASES = [
    "P00-fetch", "P01-verify", "P02-parse", "P03-split", "P04-minutes", "P05-ranks", "P06-pack", "P07-forecast",
    "P08-comment", "P09-report",
]  # fmt: skip


class Played(NamedTuple):
    """What was sent of one run."""

    run: RunReport
    executions: list[PhaseReport]
    parts: list[PhaseReport]
    calls: list[LlmCall]

    def of(self, name: str) -> list[PhaseReport]:
        """Executions of a phase, by attempt."""
        return sorted((item for item in self.executions if item.phase == name), key=lambda item: item.attempt)

    def tally(self, name: str) -> Tally:
        [phase] = self.of(name)
        assert phase.tally is not None
        return phase.tally


def told(app: Application) -> Played:
    records = translate_traces(app.traces()).records
    [run] = [record for record in records if isinstance(record, RunReport)]
    phases = [record for record in records if isinstance(record, PhaseReport)]
    return Played(
        run,
        [phase for phase in phases if not phase.subphase],
        [phase for phase in phases if phase.subphase],
        [record for record in records if isinstance(record, LlmCall)],
    )


def play(number: int, folder: Path, failing: type[Exception] | None = None, speed: float = 100) -> Played:
    app = Application()
    job = Job(Order("", number, speed=speed), app, folder)
    if failing is None:
        job.play()
    else:
        with pytest.raises(failing):
            job.play()
    return told(app)


def test_a_good_run_counts_every_line_in_every_phase(tmp_path: Path) -> None:
    played = play(0, tmp_path, speed=20)
    assert (played.run.pipeline, played.run.result) == (NAME, "success")
    assert {phase.phase for phase in played.executions} == set(PHASES)
    assert {phase.result for phase in played.executions} == {"success"}

    fetched, parsed, split = (played.tally(name) for name in ("P00-fetch", "P02-parse", "P03-split"))
    lines = fetched.items_out
    assert lines == fetched.expected == played.tally("P01-verify").items_out == parsed.items_in == parsed.items_out
    assert lines > 0.69 * 8818
    [(kind, lost)] = parsed.errors
    assert kind == "ValueError"
    assert parsed.warnings > 0
    assert parsed.warnings + lost == lines // 300
    rows = lines - lost
    assert split.items_in == split.items_out == rows
    assert sum(phase.tally.items_out for phase in played.of("P04-minutes") if phase.tally) == rows

    short, long = (len((tmp_path / f"{name}.csv").read_text().splitlines()) for name in ("short", "long"))
    assert short + long == rows
    assert dict(split.signals) == {LONG_PROMPTS: long}
    [(signal_name, rate)] = played.tally("P07-forecast").signals
    assert signal_name == TOKEN_RATE
    assert rate > 0
    assert fetched.artifacts == -(-lines // report.BLOCK)
    assert played.tally("P06-pack").artifacts == 2
    assert {(part.phase, part.subphase) for part in played.parts} == {
        ("P00-fetch", "read"), ("P00-fetch", "cut"), ("P02-parse", "fields"), ("P02-parse", "order"),
    }  # fmt: skip


def test_phases_run_side_by_side_and_calls_belong_to_theirs(tmp_path: Path) -> None:
    played = play(0, tmp_path, speed=20)
    beside = [*played.of("P04-minutes"), *played.of("P05-ranks")]
    assert len(beside) == 3
    assert max(phase.started or 0 for phase in beside) < min(phase.ended or 0 for phase in beside)
    [comment] = played.of("P08-comment")
    assert len(played.calls) == 3
    assert {(call.span[:16], call.parent) for call in played.calls} == {(played.run.trace, comment.span)}


def test_a_damaged_block_fails_the_run(tmp_path: Path) -> None:
    played = play(2, tmp_path, ChecksumError)
    assert (played.run.result, played.run.reason) == ("failure", "exception")
    assert played.run.error_type == f"{ChecksumError.__module__}.{ChecksumError.__name__}"
    assert [phase.result for phase in played.of("P01-verify")] == ["failure"]
    assert not played.of("P02-parse")


def test_a_busy_model_is_asked_again(tmp_path: Path) -> None:
    played = play(1, tmp_path)
    assert [(phase.attempt, phase.result) for phase in played.of("P08-comment")] == [(1, "failure"), (2, "success")]
    assert [phase.error_type for phase in played.of("P08-comment")] == [f"{BusyError.__module__}.BusyError", ""]
    assert played.run.result == "success"
    assert sorted(call.outcome for call in played.calls) == ["error", "ok", "ok", "ok", "ok"]


def test_a_killed_child_process_is_an_error_that_the_run_survives(tmp_path: Path) -> None:
    played = play(4, tmp_path)
    first, second = played.of("P06-pack")
    assert (first.result, first.reason) == ("error", "killed")
    assert second.result == "success"
    assert played.run.result == "success"


@contextmanager
def jobs(sink: OtlpSink, number: int, speed: float) -> Iterator[None]:
    started = Jobs(Order(sink.url, number, speed=speed, beat=0.2))
    started.start()
    try:
        yield
    finally:
        started.end()


def results(sink: OtlpSink) -> list[tuple[str, str]]:
    """(result, reason) of the runs whose end arrived."""
    traces = [request for request in list(sink.requests) if isinstance(request, ExportTraceServiceRequest)]
    records = [record for request in traces for record in translate_traces(request).records]
    return [(record.result, record.reason) for record in records if isinstance(record, RunReport)]


def test_run_follows_run_and_the_last_one_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a process of its own, one of which is killed. Their files are removed, except that one's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with otlp_sink() as sink:
        with jobs(sink, 10, speed=200):
            wait_for(lambda: len(results(sink)) >= 2, 30, "the runs before and after the one that is killed")
        assert results(sink)[:2] == [("success", "completed"), ("failure", "exception")]
        before = len(results(sink))
        with jobs(sink, 0, speed=1):
            wait_for(lambda: len(list(tmp_path.glob("*/block-00.csv"))) == 2, 20, "files of a run under way")
        assert results(sink)[before:] == [("cancellation", "exit")]
    assert len(list(tmp_path.iterdir())) == 1


def test_lines_are_mended_or_refused() -> None:
    row = Row(18 * 60 + 17, 4808, 10)
    assert report.parsed("2023-11-16 18:17:03.9799600,4808,10") == (row, False)
    assert report.parsed('2023-11-16 18:17:03.9799600, "4808", 10 ') == (row, True)
    assert report.parsed("2023-11-16 18:17:03.9799600;4808;10") == (row, True)
    for line in ("2023-11-16 18:17:03.9799600,4808", "2023-11-16 18:17:03.9799600,-,-", "", "x,y,z"):
        with pytest.raises(ValueError, match=r"."):
            report.parsed(line)


def test_the_same_dice_give_the_same_lines() -> None:
    one, two, other = (report.lines(0.5, random.Random(seed)) for seed in (1, 1, 2))
    assert one == two != other


def test_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "block.csv"
    report.write(file, ["one", "two", "three"])
    assert report.verified(file) == ["one", "two", "three"]
    report.damage(file)
    with pytest.raises(ChecksumError):
        report.verified(file)


def test_figures_of_the_report() -> None:
    rows = [Row(minute, 100 * minute, 1) for minute in range(1, 11)]
    minutes = report.by_minute([*rows, Row(1, 5, 5)])
    assert minutes[1] == 111
    assert minutes[10] == 1001
    assert report.quantiles(rows) == {"p50": 500, "p90": 900, "p99": 900}
    assert report.trend({minute: 7 + 3 * minute for minute in range(5)}) == Trend(7, 3, 0)
