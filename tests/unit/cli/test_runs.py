"""`fleetwatch runs`: what a person at a terminal and a program in a pipe learn of runs."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.app.pipelines import tables as run_tables
from fleetwatch.ledger import Ledger
from fleetwatch.records.pipelines import PhaseReport, RunReport, Tally, Usage
from support_cli import PRICES, run

SECOND = 10**9
NOW = time.time_ns()


def phase_of(of: str, name: str, began: int, seconds: float | None, **fields: Any) -> PhaseReport:
    ended = None if seconds is None else began + round(seconds * SECOND)
    told = {"state": "executing"} if ended is None else {"state": "ended", "result": "success", "reason": "completed"}
    given = {"execution": f"{name}-1", "source": "instrument", **told, **fields}
    return PhaseReport("nightly", of, phase=name, at=ended or NOW, started=began, ended=ended, **given)


def run_of(name: str, began: int, seconds: float | None, **fields: Any) -> RunReport:
    ended = None if seconds is None else began + round(seconds * SECOND)
    told = {"state": "executing"} if ended is None else {"state": "ended", "result": "success", "reason": "completed"}
    return RunReport(
        "nightly", name, ended or NOW, started=began, ended=ended, **{"source": "instrument", **told, **fields}
    )


def history(runs: int = 12) -> list[RunReport | PhaseReport]:
    """A run an hour of 10 s and 20 s."""
    records: list[RunReport | PhaseReport] = []
    for number in range(runs):
        began = NOW - (runs - number) * 3600 * SECOND
        second = 20.0 + number % 3
        tally = Tally(items_out=1000)
        records += [
            phase_of(f"run-{number:02d}", "P00", began, 10, tally=tally),
            phase_of(f"run-{number:02d}", "P01", began + 10 * SECOND, second, tally=tally),
            run_of(f"run-{number:02d}", began, 10 + second, version="1.3", host="db-7"),
        ]
    return records


def ledger_of(folder: Path, records: Sequence[RunReport | PhaseReport]) -> None:
    ledger = Ledger(folder / "ledger.db", PRICES)
    ledger.commit(records)
    ledger.take()
    ledger.checkpoint()
    ledger.close()


def objects(folder: Path, *arguments: str) -> Any:
    told = run(folder, "runs", *arguments, "--format", "json")
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


def test_runs_are_listed_newest_first_with_how_they_stand(tmp_path: Path) -> None:
    records = [
        *history(3),
        phase_of("bad", "P00", NOW - 50 * SECOND, 5, result="failure", reason="exception", error_type="ValueError"),
        run_of("bad", NOW - 50 * SECOND, 6, result="failure", reason="exception", error_type="ValueError"),
        run_of("now", NOW - 20 * SECOND, None),
    ]
    ledger_of(tmp_path, records)
    listed = objects(tmp_path, "list")
    assert [item["run"] for item in listed] == ["now", "bad", "run-02", "run-01", "run-00"]
    assert [item["state"] for item in listed[:3]] == ["executing", "failure", "success"]
    assert (listed[1]["reason"], listed[1]["failed"]) == ("ValueError", 1)
    assert (listed[2]["duration"], listed[2]["items"], listed[2]["host"]) == ("32 s", 2000, "db-7")
    assert [item["run"] for item in objects(tmp_path, "list", "--running")] == ["now"]
    assert [item["run"] for item in objects(tmp_path, "list", "--result", "failure")] == ["bad"]
    assert [item["run"] for item in objects(tmp_path, "list", "--since", "90m")] == ["now", "bad", "run-02"]
    table = run(tmp_path, "runs", "list", "nightly", "--most", "2").stdout
    assert "2 runs: 1 executing, 1 failure. There are more: --most 2." in table


@pytest.mark.parametrize(("width", "left_out"), [(200, []), (60, ["version", "host"])])
def test_a_narrow_terminal_has_fewer_columns_and_whole_words(width: int, left_out: list[str]) -> None:
    columns = ["run", "state", "reason", "started", "phases", "host", "version"]
    rows = [["20260131-4f0c91d2", "success", "", "2026-01-31T03:00:00Z", "10", "db-7", "1.4"]]
    kept, shown, told = run_tables.fitting(columns, rows, width)
    assert told == left_out
    assert kept == [name for name in columns if name not in ("reason", *left_out)]
    assert [len(row) for row in shown] == [len(kept)]
    assert sum(len(str(value)) + 2 for value in shown[0]) <= width


def test_a_cost_that_nobody_knows_is_not_zero(tmp_path: Path) -> None:
    ledger_of(tmp_path, history(1))
    assert objects(tmp_path, "list")[0]["cost_usd"] == "not known"
    assert objects(tmp_path, "show", "run-00")["llm_cost_usd"] == ""


def test_a_run_is_shown_with_phases_parts_and_attempts(tmp_path: Path) -> None:
    began = NOW - 600 * SECOND
    tally = Tally(items_out=500, warnings=2, artifacts=1, artifact_bytes=2_000_000, errors=(("ValueError", 3),))
    ledger_of(
        tmp_path,
        [
            *history(),
            phase_of("it", "P00", began, 10, tally=tally, usage=Usage(7 * SECOND, 300 << 20)),
            phase_of("it", "P00", began, 4, execution="part", subphase="load"),
            phase_of("it", "P01", began + 10 * SECOND, 5, result="failure", reason="exception", error_type="OSError"),
            phase_of("it", "P01", began + 15 * SECOND, 30, execution="again", attempt=2),
            run_of("it", began, 45, host="db-7", version="1.4"),
        ],
    )
    told = run(tmp_path, "runs", "show", "it").stdout
    assert told.startswith("nightly it: success, 45 s, since ")
    assert "host db-7, version 1.4" in told
    rows = {line.split("  ")[0].strip() or line.strip().split("  ")[0]: line for line in told.splitlines()}
    assert "10 s (+0%)" in rows["P00"]
    assert "ValueError 3" in rows["P00"]
    assert "1 (2 MB)" in rows["P00"]
    assert "315 MB" in rows["P00"]
    assert "failure: OSError" in rows["P01"]
    assert "30 s" in rows["P01 #2"]
    assert "load" in rows
    assert told.index("  load") < told.index("P01")


def test_a_run_under_way_tells_when_it_will_be_done(tmp_path: Path) -> None:
    late = [phase_of("late", "P00", NOW - 500 * SECOND, 10), phase_of("late", "P01", NOW - 490 * SECOND, None)]
    soon = [phase_of("soon", "P00", NOW - 12 * SECOND, 10), phase_of("soon", "P01", NOW - 2 * SECOND, None)]
    ledger_of(
        tmp_path,
        [*history(), *late, *soon, run_of("late", NOW - 500 * SECOND, None), run_of("soon", NOW - 12 * SECOND, None)],
    )
    assert "Done in about " in run(tmp_path, "runs", "show", "soon").stdout
    assert "(12 past runs)" in run(tmp_path, "runs", "show", "soon").stdout
    assert "Overdue by " in run(tmp_path, "runs", "show", "late").stdout


def test_without_a_past_nothing_is_predicted(tmp_path: Path) -> None:
    ledger_of(tmp_path, [*history(2), run_of("now", NOW - 5 * SECOND, None)])
    assert "When it will be done is not known" in run(tmp_path, "runs", "show", "now").stdout


def test_a_comparison_tells_change_from_noise(tmp_path: Path) -> None:
    began = NOW - 100 * SECOND
    tally = Tally(items_out=1000)
    slow: list[RunReport | PhaseReport] = [
        phase_of("slow", "P00", began, 10, tally=tally),
        phase_of("slow", "P01", began + 10 * SECOND, 60, tally=tally),
        run_of("slow", began, 70, version="1.4", host="db-7"),
    ]
    ledger_of(tmp_path, [*history(), *slow])
    told = run(tmp_path, "runs", "compare")
    assert "a = run-11 " in told.stdout
    assert "b = slow " in told.stdout
    assert "version: 1.3 -> 1.4" in told.stdout
    verdicts = {(item["phase"], item["measure"]): item["verdict"] for item in objects(tmp_path, "compare")}
    assert verdicts["P01", "duration"] == "slower"
    assert verdicts["P01", "throughput"] == "slower"
    assert verdicts["P00", "duration"] == "noise"
    quiet = run(tmp_path, "runs", "compare", "run-05", "run-08").stdout
    assert "Nothing changed by more than past runs differ among themselves." in quiet


def test_an_export_is_exact_and_whole(tmp_path: Path) -> None:
    hostile = 'a,"b"\n\x1b[31m=cmd()'
    began = NOW // SECOND * SECOND - 86_400 * SECOND + 123_456_789
    ledger_of(
        tmp_path,
        [
            phase_of(hostile, "P00", began, 1.5, tally=Tally(items_in=7, signals=(("pressure", 2.5),))),
            run_of(hostile, began, 1.5, host=hostile),
            *history(3),
        ],
    )
    rows = list(csv.DictReader(io.StringIO(run(tmp_path, "runs", "export").stdout)))
    assert len(rows) == 4
    assert rows[-1]["run"] == hostile
    assert rows[-1]["duration_s"] == "1.500000000"
    assert rows[-1]["started"] == time.strftime("%Y-%m-%dT%H:%M:%S.123456Z", time.gmtime(began // SECOND))
    phases = list(csv.DictReader(io.StringIO(run(tmp_path, "runs", "export", "--level", "phases").stdout)))
    assert len(phases) == 7
    lines = run(tmp_path, "runs", "export", "nightly", "--level", "signals", "--format", "json").stdout.splitlines()
    [signal] = [json.loads(line) for line in lines]
    assert (signal["phase"], signal["signal"], signal["value"]) == ("P00", "pressure", 2.5)
    assert run(tmp_path, "runs", "export", "--until", "2020-01-01").stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "run-"], "12 runs begin so: nightly run-11; nightly run-10"),
        (["show", "nope"], "no such run"),
        (["list", "nope"], "no such pipeline; known: nightly"),
        (["forget", "nope"], "no such pipeline; known: nightly"),
        (["compare", "--pipeline", "nope"], "no such pipeline"),
        (["list", "--since", "soon"], 'expected a time such as 2026-11-01T08:00 or an age such as 24h, got "soon"'),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, arguments: list[str], says: str) -> None:
    ledger_of(tmp_path, history())
    told = run(tmp_path, "runs", *arguments)
    assert told.exit_code != 0
    assert says in told.output


def test_a_run_is_found_by_the_beginning_of_its_id_and_by_words(tmp_path: Path) -> None:
    ledger_of(tmp_path, [*history(), run_of("zz-failed", NOW - 10 * SECOND, 5, result="failure", reason="exception")])
    assert objects(tmp_path, "show", "zz")["run"] == "zz-failed"
    assert objects(tmp_path, "show", "last")["run"] == "zz-failed"
    assert objects(tmp_path, "show", "previous")["run"] == "run-11"
    assert objects(tmp_path, "show", "last-success")["run"] == "run-11"


def test_terminals_are_safe_from_names(tmp_path: Path) -> None:
    ledger_of(tmp_path, [run_of("\x1b[31mred", NOW - 60 * SECOND, 5, host="\x1b]0;owned\x07")])
    for arguments in (["list"], ["show", "last"]):
        assert "\x1b" not in run(tmp_path, "runs", *arguments).stdout


def test_an_expected_pipeline_is_not_forgotten(tmp_path: Path) -> None:
    ledger_of(tmp_path, history(1))
    config = {"data_dir": str(tmp_path), "pipelines": {"expected": [{"pipeline": "nightly", "every": "1d"}]}}
    (tmp_path / "fleetwatch.yml").write_text(json.dumps(config), encoding="utf-8")
    told = run(tmp_path, "runs", "forget", "nightly")
    assert told.exit_code == 1
    assert "pipelines.expected names it" in told.output
