"""Alertmanager beside a running exporter, and who is listed first."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from fleetwatch.app import alerts
from fleetwatch.collect.alerting._api import Alert, Api, Silence
from fleetwatch.settings import SettingsError
from support import free_port, wait_for
from support_alerting import Told, recording
from support_app import RunningExporter, settings

COUNTED = 'alert_acknowledgements_total{alertname="PhaseFailed",severity="ticket"} 1'


def told() -> tuple[list[Alert], list[Silence]]:
    return (
        msgspec.json.decode(recording("alerts"), type=list[Alert]),
        msgspec.json.decode(recording("silences"), type=list[Silence]),
    )


def test_an_acknowledgement_is_counted_once_over_restarts(tmp_path: Path) -> None:
    with Told() as alertmanager:
        # One that ended a month ago is none any more.
        alertmanager.tell(silences=recording("silences").replace('"endsAt": "2026', '"endsAt": "2099'))
        for _ in range(2):
            with RunningExporter(tmp_path, alerting={"alertmanager": alertmanager.url}) as exporter:
                wait_for(lambda: COUNTED in exporter.get("/metrics").text, 20, "the acknowledgement")
                text = exporter.get("/metrics").text
            assert 'alert_acknowledge_seconds_count{severity="ticket"} 1' in text
            assert 'fleetwatch_ledger_records_total{kind="acknowledgement"}' in text
            assert 'state="acknowledged"} 1' in text


def success(exporter: RunningExporter) -> str:
    page = exporter.get("/metrics").text
    found = re.search(r'^fleetwatch_collector_success{[^}]*collector="alertmanager"} (\d)', page, re.MULTILINE)
    return found[1] if found else ""


def test_one_that_nobody_named_may_be_missing_and_a_named_one_may_not(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with RunningExporter(tmp_path, stack={"alertmanager_listen": nobody}) as exporter:
        assert wait_for(lambda: success(exporter), 20, "a cycle") == "1"
    with RunningExporter(tmp_path, alerting={"alertmanager": f"http://{nobody}"}) as exporter:
        assert wait_for(lambda: success(exporter), 20, "a cycle") == "0"


def test_without_an_address_this_machine_s_own_is_asked_with_the_headers_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer k-1\n")
    with Told() as alertmanager:
        port = alertmanager.url.rpartition(":")[2]
        given = settings(
            tmp_path, stack={"alertmanager_listen": f"0.0.0.0:{port}"}, alerting={"headers_file": str(file)}
        )
        access = alerts.access_of(given)
        assert (access.url, access.is_named) == (alertmanager.url, False)
        Api(access).alerts()
        file.write_text("Authorization: Bearer k-2\n")
        Api(access).silences()
    assert [token for _, token in alertmanager.asked] == ["Bearer k-1", "Bearer k-2"]


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:9095", "http://127.0.0.1:9095"),
        ("0.0.0.0:9095", "http://127.0.0.1:9095"),
        ("[::]:9095", "http://[::1]:9095"),
        ("127.0.0.1:0", "http://127.0.0.1:9093"),
    ],
)
def test_who_listens_everywhere_is_asked_on_loopback(listen: str, url: str, tmp_path: Path) -> None:
    assert alerts.access_of(settings(tmp_path, stack={"alertmanager_listen": listen})).url == url


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"alertmanager": "127.0.0.1:9093"},
            'alerting.alertmanager: expected an address like http://127.0.0.1:9093, got "127.0.0.1:9093"',
        ),
        ({"headers_file": "/nowhere"}, "alerting.headers_file: /nowhere cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_asked_is_told(given: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        alerts.access_of(settings(tmp_path, alerting=given))
    assert str(raised.value) == message


def test_pages_come_first_and_first_what_nobody_has_taken_on() -> None:
    rows = alerts.listed(*told())
    assert [(row.alert, row.severity, row.state) for row in rows] == [
        ("LlmErrorRatioHigh", "page", "active"),
        ("PhaseFailed", "ticket", "active"),
        ("PhaseFailed", "ticket", "acknowledged"),
        ("HostMissing", "ticket", "silenced"),
        ("LlmLatencyHigh", "ticket", "inhibited"),
        ("Strange", "other", "active"),
        ("Watchdog", "info", "active"),
    ]
    by_state = {row.state: row for row in rows}
    assert by_state["acknowledged"].who == by_state["silenced"].who == "jane"
    assert by_state["acknowledged"].why.startswith("looking at the disk")
    assert by_state["silenced"].why == "maintenance of web-1"
    assert by_state["inhibited"].why == "while it fires: LlmErrorRatioHigh"


def test_twins_of_two_prometheus_servers_are_one_alert() -> None:
    firing, _ = told()
    (one, *_) = [item for item in firing if item.name == "HostMissing"]
    twins = [Alert({**one.labels, "replica": name, "empty": ""}, one.startsAt, one.status) for name in "ab"]
    assert alerts.identities(twins, "HostMissing", {}) == [one.labels]
