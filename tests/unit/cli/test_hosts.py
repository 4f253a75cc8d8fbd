"""The roster at a terminal, beside the exporter that writes it."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import pytest

from fleetwatch.app import exporter as exporter_module
from fleetwatch.catalogue import hosts
from fleetwatch.cli import _roster
from fleetwatch.ledger.roster import Changes
from fleetwatch.ledger.store import Ledger
from fleetwatch.records.hosts import Host
from support import wait_for
from support_app import RunningExporter
from support_cli import PRICES, run
from support_hosts import FakeHost

SECOND = 10**9


def roster_of(folder: Path, *known: Host) -> None:
    """A ledger with these hosts and nobody who writes it."""
    ledger = Ledger(folder / "ledger.db", PRICES)
    ledger.checkpoint(hosts=Changes(known))
    ledger.close()


def host(name: str, age: int = 5, **fields: int | str | None) -> Host:
    at = time.time_ns() - age * SECOND
    return Host(name, at, at, at, at, 0, 15 * SECOND)._replace(**fields)  # type: ignore[arg-type]


def test_the_list_says_who_is_there_and_who_is_not(tmp_path: Path) -> None:
    (tmp_path / "fleetwatch.yml").write_text(f"data_dir: {tmp_path}\nroster: {{expected: [node-9]}}\n")
    gpu = host("gpu-1", instance_type="p5.48xlarge", region="eu-central-1", lifecycle="spot", confirmed_at=1)
    roster_of(tmp_path, gpu, host("old-1", 90, silent_at=1), host("left-1", goodbye_at=1))
    rows = json.loads(run(tmp_path, "hosts", "list", "--format", "json").output)
    assert [(row["host"], row["state"], row["expected"]) for row in rows] == [
        ("gpu-1", "reporting", "yes"),
        ("left-1", "goodbye", "no"),
        ("node-9", "never_seen", "yes"),
        ("old-1", "missing", "no"),
    ]
    assert (rows[0]["instance_type"], rows[0]["region"], rows[0]["lifecycle"]) == (
        "p5.48xlarge",
        "eu-central-1",
        "spot",
    )
    assert 90 <= rows[3]["age_s"] < 120
    assert list(csv.DictReader(io.StringIO(run(tmp_path, "hosts", "list", "--format", "csv").output)))[3]["age_s"]
    told = " ".join(run(tmp_path, "hosts", "list").output.split())
    assert "4 hosts: 1 goodbye, 1 missing, 1 never_seen, 1 reporting" in told
    assert "eu-central-1" in told


def test_a_list_that_nobody_keeps_up_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roster_of(tmp_path, host("node-1"))
    assert "is it running" not in run(tmp_path, "hosts", "list").output
    monkeypatch.setattr(_roster, "PATIENCE", -1.0)
    assert "The exporter wrote this 0 s ago; is it running?" in run(tmp_path, "hosts", "list").output


def test_an_empty_roster_is_told_in_a_sentence(tmp_path: Path) -> None:
    roster_of(tmp_path)
    assert "No host has reported" in run(tmp_path, "hosts", "list").output


def test_the_exporter_s_own_machine_is_spoken_of_unless_a_sidecar_reports_it(tmp_path: Path) -> None:
    """It is in the series, and nowhere in the ledger."""
    said = "The exporter's own machine is not listed"
    config = tmp_path / "fleetwatch.yml"
    config.write_text(f"data_dir: {tmp_path}\nhost: {{name: box}}\nroster: {{expected: [box]}}\n")
    roster_of(tmp_path)
    told = run(tmp_path, "hosts", "list").output
    assert said in told
    assert "never_seen" not in told
    config.write_text(f"data_dir: {tmp_path}\nhost: {{name: box, enabled: false}}\nroster: {{expected: [box]}}\n")
    told = run(tmp_path, "hosts", "list").output
    assert said not in told
    assert "1 never_seen" in told
    config.write_text(f"data_dir: {tmp_path}\nhost: {{name: box}}\n")
    roster_of(tmp_path, host("box"))
    assert said not in run(tmp_path, "hosts", "list").output


def test_a_name_that_commands_the_terminal_is_shown_harmless(tmp_path: Path) -> None:
    roster_of(tmp_path, host("\x1b[31mred"))
    assert "\x1b" not in run(tmp_path, "hosts", "list").output
    assert "\x1b" not in run(tmp_path, "hosts", "forget", "\x1b[31mblue").output


@pytest.mark.parametrize("wish", ["confirm", "forget"])
def test_nobody_is_asked_about_a_host_that_nobody_knows(tmp_path: Path, wish: str) -> None:
    roster_of(tmp_path, host("node-1"))
    told = run(tmp_path, "hosts", wish, "node-2")
    assert (told.exit_code, told.output) == (
        1,
        "Error: node-2: no such host; `fleetwatch hosts list` shows the 1 known ones\n",
    )


def test_who_the_settings_name_cannot_be_forgotten(tmp_path: Path) -> None:
    (tmp_path / "fleetwatch.yml").write_text(f"data_dir: {tmp_path}\nroster: {{expected: [node-1]}}\n")
    roster_of(tmp_path, host("node-1"))
    assert "roster.expected names it, so it stays" in run(tmp_path, "hosts", "forget", "node-1").output


def test_without_an_exporter_the_wish_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_roster, "PATIENCE", 0.0)
    roster_of(tmp_path, host("node-1"))
    told = run(tmp_path, "hosts", "forget", "node-1")
    assert (told.exit_code, told.output) == (
        0,
        "node-1 will be forgotten when the exporter runs again: it has not taken the request yet\n",
    )


def test_a_running_exporter_does_what_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_module, "CHECKPOINT", 0.05)
    (tmp_path / "fleetwatch.yml").write_text(f"data_dir: {tmp_path / 'data'}\n")
    with RunningExporter(tmp_path) as exporter:
        sink = exporter.exporter.addresses()["otlp-http"].removeprefix("http://")
        for name in ("node-1", "node-2"):
            sender = FakeHost(name, sink)
            sender.report(hosts.LOAD_1M(1))
            sender.close()
        wait_for(lambda: "node-2" in run(tmp_path, "hosts", "list").output, what="the hosts in the ledger")
        assert run(tmp_path, "hosts", "confirm", "node-1").output == "node-1 is expected from now on\n"
        assert run(tmp_path, "hosts", "forget", "node-2").output == "node-2 is forgotten\n"
        [row] = json.loads(run(tmp_path, "hosts", "list", "--format", "json").output)
        assert (row["host"], row["expected"]) == ("node-1", "yes")
        page = exporter.get("/metrics").text
        assert f'{hosts.EXPECTED.prometheus}{{host_name="node-1"}} 1' in page
        assert "node-2" not in page
