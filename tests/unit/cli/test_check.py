"""`fleetwatch check` tells what is well-formed, what is wrong and what it could not look at."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fleetwatch import places
from fleetwatch.settings import SettingsError
from support_cli import run


def findings(output: str) -> dict[str, str]:
    """What was looked at -> ok, wrong or skipped, with the details."""
    return {
        line[8:].split(":")[0]: line[:8].strip() + line[8:].partition(":")[1] + line[8:].partition(":")[2]
        for line in output.splitlines()
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's files that a test may break; no program of the stack is found."""
    copy = tmp_path / "project"
    for name in ("prometheus", "alertmanager", "otel-collector", "grafana/generated"):
        shutil.copytree(places.PROJECT / name, copy / name)
    monkeypatch.setattr(places, "PROJECT", copy)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("FLEETWATCH_TOOLS", raising=False)
    return copy


def program(folder: Path, name: str, status: int) -> None:
    """A program that says what it was asked and ends so."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f'#!/bin/sh\necho "asked $1"\necho "line two"\nexit {status}\n', encoding="utf-8")
    (folder / name).chmod(0o755)


def test_what_ships_is_well_formed(tmp_path: Path, project: Path) -> None:
    told = run(tmp_path, "check")
    assert told.exit_code == 0, told.output
    states = findings(told.output)
    assert states["settings"] == "ok"
    assert states["alertmanager.yml"] == "skipped: amtool is not on PATH or in FLEETWATCH_TOOLS"
    assert states["board llm.json"] == "ok"
    assert not [state for state in states.values() if state.startswith("wrong")]


def test_a_program_judges_its_own_file(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETWATCH_TOOLS", str(tmp_path / "tools"))
    program(tmp_path / "tools" / "bin", "promtool", 1)
    program(tmp_path / "tools" / "bin", "amtool", 0)
    told = run(tmp_path, "check")
    assert told.exit_code == 1
    states = findings(told.output)
    assert states["prometheus.yml, rules and alerts"] == "wrong: promtool says: asked check | line two"
    assert states["alertmanager.yml"] == "ok"


def test_an_alert_without_a_runbook_is_wrong(tmp_path: Path, project: Path) -> None:
    (project / "prometheus" / "runbooks" / "ExporterDown.md").unlink()
    told = run(tmp_path, "check")
    assert told.exit_code == 1
    assert "alerts: none for ExporterDown" in told.output


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "no JSON"), (json.dumps({"uid": "other"}), "uid: expected fw-llm, got other"), ("[]", "expected an object")],
)
def test_a_board_that_is_broken_is_named(tmp_path: Path, project: Path, text: str, problem: str) -> None:
    (project / "grafana" / "generated" / "llm.json").write_text(text, encoding="utf-8")
    told = run(tmp_path, "check")
    assert told.exit_code == 1
    assert f"wrong   board llm.json: {problem}" in told.output


@pytest.mark.parametrize("text", ["groups: [", "groups: 1", "other: []"])
def test_rules_that_are_no_rules_are_named(tmp_path: Path, project: Path, text: str) -> None:
    (project / "prometheus" / "alerts" / "llm.yml").write_text(text, encoding="utf-8")
    told = run(tmp_path, "check")
    assert (told.exit_code, type(told.exception)) == (1, SystemExit), told.exception
    assert "llm.yml" in told.output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("collect: {hots: {enabled: false}}", "collect.hots: expected one of "),
        ("labels: {limits: {agents: 5}}", "labels.limits.agents: expected one of "),
    ],
)
def test_settings_that_run_would_refuse_are_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "fleetwatch.yml").write_text(text, encoding="utf-8")
    result = run(tmp_path, "check")
    assert isinstance(result.exception, SettingsError)
    assert str(result.exception).startswith(told)
