"""`alerts list|ack|unack` on the real Alertmanager of every version here, and what a running exporter shows of it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import Result

from fleetwatch.collect.alerting._api import Access, Api
from support import wait_for
from support_alertmanager import Alertmanager, NotificationSink, Program, alert, programs, running_alertmanager
from support_app import RunningExporter
from support_cli import run

pytestmark = pytest.mark.stack

VERSIONS = [pytest.param(p, id=p.version) for p in programs()] or [pytest.param(None, id="alertmanager")]
NAME = "PhaseFailed"
UNTIL = "alert_acknowledged_until_timestamp_seconds"


class Stage(NamedTuple):
    """Everything that takes part, and the settings that the verbs read."""

    alertmanager: Alertmanager
    sink: NotificationSink
    exporter: RunningExporter
    folder: Path

    def verb(self, *arguments: str) -> Result:
        return run(self.folder, "alerts", *arguments)

    def did(self, *arguments: str) -> str:
        result = self.verb(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    def shows(self, *lines: str) -> None:
        """Wait until the exporter shows these lines."""

        def all_there() -> bool:
            page = self.exporter.get("/metrics").text
            # An assertion tells which one is missing when the time is over.
            assert [line for line in lines if line not in page] == []
            return True

        wait_for(all_there, 20, "series")

    def listed(self) -> list[dict[str, Any]]:
        return list(json.loads(self.did("list", "--format", "json")))


def quick(config: dict[str, Any]) -> None:
    """Tests wait for what comes second in a second, not in minutes."""
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}


@pytest.fixture(params=VERSIONS)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    program: Program | None = request.param
    if program is None:
        pytest.skip("alertmanager is not on this machine")
    if problem := program.problem():
        pytest.skip(problem)
    with (
        NotificationSink() as sink,
        running_alertmanager(program, tmp_path / "alertmanager", sink, quick) as alertmanager,
    ):
        (tmp_path / "fleetwatch.yml").write_text(
            f"data_dir: {tmp_path}\nalerting: {{alertmanager: '{alertmanager.url}'}}\n"
        )
        paces = {"alertmanager": {"interval": 0.3}}
        with RunningExporter(tmp_path, alerting={"alertmanager": alertmanager.url}, collect=paces) as exporter:
            yield Stage(alertmanager, sink, exporter, tmp_path)


def failed(phase: str, *, ago: float = 0, over: bool = False) -> dict[str, Any]:
    """A ticket of one phase. ago: seconds since it began; over: as Prometheus sends it when it has ended."""
    now = datetime.datetime.now(datetime.UTC)
    made = alert(
        NAME,
        severity="ticket",
        domain="pipelines",
        owner=phase,
        phase=phase,
        annotations={"summary": f"{phase} failed"},
    )
    made["startsAt"] = (now - datetime.timedelta(seconds=ago)).isoformat()
    return made | ({"endsAt": now.isoformat()} if over else {})


def firing(state: str, number: int) -> str:
    return f'alert_firing{{alertname="{NAME}",domain="pipelines",severity="ticket",state="{state}"}} {number}'


COUNTED = f'alert_acknowledgements_total{{alertname="{NAME}",severity="ticket"}}'


def test_who_takes_on_an_alert_is_seen_counted_and_left_in_peace(stage: Stage) -> None:
    stage.alertmanager.post([failed("P01", ago=100)])
    wait_for(lambda: stage.sink.slack, what="its message")
    stage.shows(firing("active", 1))
    told = stage.did("ack", NAME, "--why", "disk is full", "--who", "jane", "--for", "1h")
    assert told.startswith("PhaseFailed phase=P01: acknowledged by jane until ")
    stage.shows(
        firing("acknowledged", 1), f"{COUNTED} 1", 'alert_acknowledge_seconds_bucket{severity="ticket",le="120.0"} 1'
    )
    (row,) = stage.listed()
    assert (row["state"], row["who"], row["why"]) == ("acknowledged", "jane", "disk is full")
    before = len(stage.sink.slack)

    assert "instead of the acknowledgement before" in stage.did("ack", NAME, "--why", "still", "--for", "2h")
    (again,) = stage.listed()
    assert again["until"] > row["until"]
    until = datetime.datetime.fromisoformat(again["until"]).timestamp()
    stage.shows(f'{UNTIL}{{alertname="{NAME}",domain="pipelines",severity="ticket"}} {until // 10:.0f}')

    # Neither its end nor a new beginning is told.
    stage.alertmanager.post([failed("P01", over=True)])
    wait_for(lambda: not stage.listed(), what="the alert to end")
    stage.alertmanager.post([failed("P01"), failed("P02")])
    wait_for(lambda: len(stage.sink.slack) > before, what="the message about P02")
    assert [message["attachments"][0]["title"] for message in stage.sink.slack[before:]] == ["[TICKET] P02 failed"]
    assert {(row["labels"]["phase"], row["state"]) for row in stage.listed()} == {
        ("P01", "acknowledged"),
        ("P02", "active"),
    }

    assert "acknowledged no longer" in stage.did("unack", NAME)
    stage.shows(firing("active", 2), f"{COUNTED} 1")
    assert f"{UNTIL}{{" not in stage.exporter.get("/metrics").text
    # That it fires is no news, but its end is.
    stage.alertmanager.post([failed("P01", over=True)])
    wait_for(lambda: len(stage.sink.slack) > before + 1, what="the message that P01 is over")
    assert "P01" in stage.sink.slack[-1]["attachments"][0]["title"]


def test_of_several_somebody_has_to_choose(stage: Stage) -> None:
    stage.alertmanager.post([failed(phase) for phase in ("P01", "P02", "P03")])
    wait_for(lambda: len(stage.listed()) == 3, what="three alerts")
    asked = stage.verb("ack", NAME, "--why", "x")
    assert asked.exit_code == 1
    assert "there are 3; choose with --label, or take --all" in asked.output
    assert "PhaseFailed phase=P02" in asked.output
    stage.did("ack", NAME, "--label", "phase=P02", "--why", "x")
    assert {row["labels"]["phase"]: row["state"] for row in stage.listed()} == {
        "P01": "active",
        "P02": "acknowledged",
        "P03": "active",
    }
    stage.did("ack", NAME, "--all", "--why", "x")
    stage.shows(firing("acknowledged", 3), f"{COUNTED} 3")
    assert "there are 3" in stage.verb("unack", NAME).output
    stage.did("unack", next(row["silence"] for row in stage.listed()))
    stage.did("unack", NAME, "--all")
    stage.shows(firing("active", 3))
    assert "no acknowledgement" in stage.verb("unack", NAME).output


def test_silences_of_others_are_shown_and_not_touched(stage: Stage) -> None:
    stage.alertmanager.post([failed("P01")])
    wait_for(stage.listed, what="the alert")
    now = datetime.datetime.now(datetime.UTC)
    api = Api(Access(stage.alertmanager.url))
    silence = api.silence(
        {"phase": "P01"}, start=now, end=now + datetime.timedelta(hours=1), who="ops", comment="maintenance"
    )
    stage.shows(firing("silenced", 1))
    (row,) = stage.listed()
    assert (row["state"], row["who"], row["why"], row["silence"]) == ("silenced", "ops", "maintenance", silence)
    for wanted in (NAME, silence):
        refused = stage.verb("unack", wanted)
        assert refused.exit_code == 1
        assert "other silences are ended in Alertmanager itself" in refused.output
    # Taking it on as well is possible, and takes nothing away.
    stage.did("ack", NAME, "--why", "mine")
    stage.shows(firing("acknowledged", 1))
    stage.did("unack", NAME)
    stage.shows(firing("silenced", 1))


def test_one_made_by_hand_with_the_mark_is_an_acknowledgement(stage: Stage) -> None:
    stage.alertmanager.post([failed("P01", ago=200)])
    wait_for(stage.listed, what="the alert")
    now = datetime.datetime.now(datetime.UTC)
    Api(Access(stage.alertmanager.url)).silence(
        {"alertname": NAME},
        start=now,
        end=now + datetime.timedelta(hours=1),
        who="joe",
        comment="acknowledged: by hand",
    )
    stage.shows(firing("acknowledged", 1), f"{COUNTED} 1")
    (row,) = stage.listed()
    assert (row["who"], row["why"]) == ("joe", "by hand")
    stage.did("unack", NAME)
    stage.shows(firing("active", 1))


def test_labels_of_strangers_come_back_exactly(stage: Stage) -> None:
    """A matcher with quotes, backslashes, line breaks and pattern signs still means that one alert."""
    odd = 'a"b\\c\n.*{}=~<b>\x1b[31m'
    stage.alertmanager.post([alert("Odd", severity="page", team=odd), alert("Odd", severity="page", team="axb")])
    wait_for(lambda: len(stage.listed()) == 2, what="two alerts")
    told = stage.did("ack", "Odd", "--label", f"team={odd}", "--why", "odd \x1b[31m")
    assert "\x1b" not in told
    states = {row["labels"]["team"]: row["state"] for row in stage.listed()}
    assert states == {odd: "acknowledged", "axb": "active"}
