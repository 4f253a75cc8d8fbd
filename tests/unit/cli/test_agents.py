"""The roster of agents at a terminal, beside the exporter that writes it."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import pytest

from fleetwatch.app import exporter as exporter_module
from fleetwatch.cli import _roster
from fleetwatch.ledger.agent_roster import AgentChanges
from fleetwatch.ledger.roster import Changes
from fleetwatch.ledger.store import Ledger
from fleetwatch.records.agents import AgentProcess
from fleetwatch.records.hosts import Host
from support import wait_for
from support_app import RunningExporter
from support_cli import PRICES, run
from support_instrument import Application
from support_stack import post

SECOND = 10**9


def roster_of(folder: Path, *known: AgentProcess, hosts: tuple[Host, ...] = ()) -> None:
    """A ledger with these processes and nobody who writes it."""
    ledger = Ledger(folder / "ledger.db", PRICES)
    ledger.checkpoint(hosts=Changes(hosts), agents=AgentChanges(known))
    ledger.close()


def process(agent: str, instance: str = "1", **fields: int | str | None) -> AgentProcess:
    at = 1_800_000_000 * SECOND
    made = AgentProcess(agent, "node-1", instance, "core", at, at, at, 0, 15 * SECOND, state="working")
    return made._replace(**fields)  # type: ignore[arg-type]


def test_the_list_says_who_is_there_and_who_is_not(tmp_path: Path) -> None:
    (tmp_path / "fleetwatch.yml").write_text(f"data_dir: {tmp_path}\nagents: {{expected: [reviewer, coder]}}\n")
    coder = process("coder", version="1.2", framework="langgraph", model="gpt-4o", progress=1_799_999_990 * SECOND)
    at = time.time_ns()
    taken = Host("spot-1", at, at, at, at, 0, SECOND)._replace(notice_at=at, silent_at=at)
    roster_of(
        tmp_path,
        coder,
        process("coder", "2", silent_at=1),
        process("crawler", host="spot-1", silent_at=1),
        process("writer", goodbye_at=1),
        hosts=(taken,),
    )
    rows = json.loads(run(tmp_path, "agents", "list", "--format", "json").output)
    assert [(row["agent"], row["host"], row["instance"], row["presence"]) for row in rows] == [
        ("coder", "node-1", "1", "reporting"),
        ("coder", "node-1", "2", "missing"),
        ("crawler", "spot-1", "1", "host_gone"),
        ("reviewer", "", "", "never_seen"),
        ("writer", "node-1", "1", "goodbye"),
    ]
    assert rows[0] == {
        "agent": "coder", "host": "node-1", "instance": "1", "presence": "reporting", "state": "working",
        "last_beat": "2027-01-15T08:00:00Z", "last_progress": "2027-01-15T07:59:50Z", "interval_s": 15.0,
        "version": "1.2", "framework": "langgraph", "model": "gpt-4o",
    }  # fmt: skip
    assert rows[1]["last_progress"] == ""
    printed = list(csv.DictReader(io.StringIO(run(tmp_path, "agents", "list", "--format", "csv").output)))
    assert [row["presence"] for row in printed] == [row["presence"] for row in rows]
    told = " ".join(run(tmp_path, "agents", "list").output.split())
    assert "5 processes: 1 goodbye, 1 host_gone, 1 missing, 1 never_seen, 1 reporting." in told
    assert "langgraph" in told


def test_an_empty_roster_is_told_in_a_sentence(tmp_path: Path) -> None:
    roster_of(tmp_path)
    assert "No agent has said that it is there" in " ".join(run(tmp_path, "agents", "list").output.split())


def test_a_name_that_commands_the_terminal_is_shown_harmless(tmp_path: Path) -> None:
    roster_of(tmp_path, process("\x1b[31mred"))
    assert "\x1b" not in run(tmp_path, "agents", "list").output
    assert "\x1b" not in run(tmp_path, "agents", "forget", "\x1b[31mblue").output


def test_nobody_is_asked_about_an_agent_that_nobody_knows(tmp_path: Path) -> None:
    roster_of(tmp_path, process("coder"), process("coder", "2"))
    told = run(tmp_path, "agents", "forget", "node-1")
    assert (told.exit_code, told.output) == (
        1,
        "Error: node-1: no such agent; `fleetwatch agents list` shows the 1 known ones\n",
    )


def test_who_the_settings_name_cannot_be_forgotten(tmp_path: Path) -> None:
    (tmp_path / "fleetwatch.yml").write_text(f"data_dir: {tmp_path}\nagents: {{expected: [coder]}}\n")
    roster_of(tmp_path, process("coder"))
    assert "agents.expected names it, so it stays" in run(tmp_path, "agents", "forget", "coder").output


def test_without_an_exporter_the_wish_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_roster, "PATIENCE", 0.0)
    roster_of(tmp_path, process("coder"))
    told = run(tmp_path, "agents", "forget", "coder")
    assert (told.exit_code, told.output) == (
        0,
        "coder will be forgotten when the exporter runs again: it has not taken the request yet\n",
    )


def test_a_running_exporter_does_what_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_module, "CHECKPOINT", 0.05)
    (tmp_path / "fleetwatch.yml").write_text(f"data_dir: {tmp_path / 'data'}\n")
    application = Application()
    with RunningExporter(tmp_path) as exporter, application.agent("coder"), application.agent("writer"):
        sink = exporter.exporter.addresses()["otlp-http"]
        assert post(f"{sink}/v1/metrics", application.beat().SerializeToString()) == 200
        wait_for(lambda: "writer" in run(tmp_path, "agents", "list").output, what="the agents in the ledger")
        assert run(tmp_path, "agents", "forget", "coder").output == "coder is forgotten\n"
        [row] = json.loads(run(tmp_path, "agents", "list", "--format", "json").output)
        assert (row["agent"], row["presence"], row["state"]) == ("writer", "reporting", "idle")
        page = exporter.get("/metrics").text
        assert 'agent="writer"' in page
        assert 'agent="coder"' not in page
