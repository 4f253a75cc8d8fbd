"""What `alerts` says to people, and what it takes from them; what Alertmanager makes of it is in tests/stack."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from support import free_port
from support_alerting import Told
from support_cli import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Settings with an Alertmanager that is not there."""
    address = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "fleetwatch.yml").write_text(f"data_dir: {tmp_path}\nalerting: {{alertmanager: '{address}'}}\n")
    return tmp_path


def listed(folder: Path, *arguments: str) -> str:
    with Told() as told:
        (folder / "fleetwatch.yml").write_text(f"data_dir: {folder}\nalerting: {{alertmanager: '{told.url}'}}\n")
        result = run(folder, "alerts", "list", *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_list_leaves_out_what_nobody_is_notified_of(tmp_path: Path) -> None:
    short, whole = listed(tmp_path), listed(tmp_path, "--all")
    assert "Watchdog" not in short
    assert (
        "6 alerts: 3 active, 1 acknowledged, 1 silenced, 1 inhibited. 1 of severity info are left out: --all." in short
    )
    assert "Watchdog" in whole
    assert "phase=P01 pipeline=nightly" in short
    assert "looking at the disk" in short


@pytest.mark.parametrize("style", ["table", "csv", "json"])
def test_texts_of_strangers_do_not_speak_to_the_terminal(style: str, tmp_path: Path) -> None:
    told = listed(tmp_path, "--all", "--format", style)
    assert "Strange" in told
    assert not [char for char in told if not char.isprintable() and char != "\n"]


def test_programs_get_all_of_it(tmp_path: Path) -> None:
    rows = json.loads(listed(tmp_path, "--format", "json"))
    (taken,) = [row for row in rows if row["state"] == "acknowledged"]
    assert (taken["labels"]["phase"], taken["who"], len(taken["silence"])) == ("P01", "jane", 36)
    (again,) = [
        row
        for row in csv.DictReader(io.StringIO(listed(tmp_path, "--format", "csv")))
        if row["state"] == "acknowledged"
    ]
    assert json.loads(again["labels"]) == taken["labels"]


def test_an_alertmanager_that_is_not_there_is_told_in_one_line(folder: Path) -> None:
    result = run(folder, "alerts", "list")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "Connection refused" in result.output
    assert "set alerting.alertmanager" not in result.output
    (folder / "fleetwatch.yml").write_text(
        f"data_dir: {folder}\nstack: {{alertmanager_listen: '127.0.0.1:{free_port()}'}}\n"
    )
    assert "if Alertmanager is elsewhere, set alerting.alertmanager" in run(folder, "alerts", "list").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--why", "x", "--for", "2 weeks"], '--for: expected a duration such as 30m, 2h or 1d, got "2 weeks"'),
        (["--why", "x", "--for", "31d"], '--for: expected a time to come, at most 30 days from now, got "31d"'),
        (["--why", "x", "--for", "9" * 300 + "d"], "--for: expected a time to come, at most 30 days from now"),
        (["--why", "x", "--for", "0"], '--for: expected a time to come, at most 30 days from now, got "0"'),
        (["--why", "x", "--until", "2020-01-01"], "--until: expected a time to come, at most 30 days from now"),
        (["--why", "x", "--until", "soon"], '--until: expected a time such as 2026-11-01T08:00, got "soon"'),
        (["--why", "x", "--until", "2020-01-01", "--for", "1h"], "--for and --until: expected one of them"),
        (["--why", " "], "--why: expected 1 to 500 characters, got 0"),
        (["--why", "x", "--who", "y" * 501], "--who: expected 1 to 500 characters, got 501"),
        (["--why", "x", "--label", "phase"], '--label: expected NAME=VALUE, got "phase"'),
        ([], "Missing option '--why'"),
    ],
)
def test_what_cannot_be_is_told_before_anybody_is_asked(arguments: list[str], message: str, folder: Path) -> None:
    result = run(folder, "alerts", "ack", "PhaseFailed", *arguments)
    assert result.exit_code in (1, 2)
    assert message in result.output
