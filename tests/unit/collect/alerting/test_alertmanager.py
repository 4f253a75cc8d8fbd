"""What Alertmanager tells, as series and as what is counted of acknowledgements."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from fleetwatch.collect.alerting._api import Access, NoAnswer
from fleetwatch.collect.alerting.alertmanager import Alertmanager
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import NoData
from fleetwatch.records.alerting import Acknowledgement
from support import free_port
from support_alerting import NOW, VERSIONS, Told, recording, silence
from support_machines import page


def source(url: str, *, is_named: bool = True) -> tuple[Alertmanager, Here]:
    here = Here(alertmanager=Access(url, is_named=is_named), clock=lambda: NOW)
    return Alertmanager(here), here


@pytest.mark.parametrize("version", VERSIONS)
def test_alerts_are_shown_by_what_becomes_of_them(version: str, golden: Callable[[str, str], None]) -> None:
    with Told(version) as told:
        golden(f"sources/alertmanager-{version}.prom", page(source(told.url)[0]()))


def test_nobody_and_no_reason_is_shown() -> None:
    with Told() as told:
        text = page(source(told.url)[0]())
    silences = recording("silences")
    assert "jane" in silences
    assert "looking at the disk" in silences
    assert not any(word in text for word in ("jane", "looking", "maintenance", "owned", "\x1b"))


def test_an_acknowledgement_is_told_once_with_the_time_that_it_took() -> None:
    with Told() as told:
        alertmanager, here = source(told.url)
        for _ in range(3):
            list(alertmanager())
    (one,) = here.acknowledged
    assert (one.alertname, one.severity, one.is_first) == ("PhaseFailed", "ticket", True)
    assert one.waited is not None
    assert 539 <= one.waited / 1e9 <= 541


def acknowledged(*silences: object, alerts: str = "[]") -> list[Acknowledgement]:
    with Told() as told:
        told.tell(silences=json.dumps(silences), alerts=alerts)
        alertmanager, here = source(told.url)
        list(alertmanager())
    return list(here.acknowledged)


def test_an_extension_is_no_second_acknowledgement() -> None:
    """Alertmanager ends the silence and makes another one in its place."""
    first = silence(1, "21:10", "21:20", alertname="PhaseFailed", phase="P01")
    second = silence(2, "21:20", "23:00", alertname="PhaseFailed", phase="P01")
    other = silence(3, "21:20", "23:00", alertname="PhaseFailed", phase="P02")
    later = silence(4, "21:30", "21:31", alertname="PhaseFailed", phase="P03")
    again = silence(5, "21:33", "23:00", alertname="PhaseFailed", phase="P03")
    found = {int(item.silence[-1]): item.is_first for item in acknowledged(again, later, second, first, other)}
    assert found == {1: True, 2: False, 3: True, 4: True, 5: True}


def test_who_takes_on_again_what_was_taken_on_did_not_wait_since_the_beginning() -> None:
    labels = {"alertname": "PhaseFailed", "phase": "P01", "pipeline": "nightly", "severity": "ticket"}
    first = silence(1, "21:30", "21:32", **labels)
    second = silence(2, "21:34", "23:00", **labels)
    alerts = json.loads(recording("alerts"))
    for alert in alerts:
        alert["status"]["silencedBy"] = [second["id"]] if alert["labels"].get("phase") == "P01" else []
    found = acknowledged(first, second, alerts=json.dumps(alerts))
    assert [(item.is_first, item.waited) for item in found] == [(True, None), (True, None)]
    (lone,) = acknowledged(second, alerts=json.dumps(alerts))
    assert lone.waited is not None


@pytest.mark.parametrize(
    "unlike",
    [
        silence(1, "21:10", "23:00", comment="maintenance, acknowledged: by all", alertname="X"),
        silence(1, "21:10", "23:00", comment="", alertname="X"),
        {**silence(1, "22:10", "23:00", alertname="X"), "status": {"state": "pending"}},
        {**silence(1, "21:10", "21:11", alertname="X"), "endsAt": "2026-10-01T00:00:00Z"},
    ],
)
def test_other_silences_are_no_acknowledgements(unlike: object) -> None:
    assert acknowledged(unlike) == []


def test_one_of_several_alerts_is_counted_as_other() -> None:
    alerts = json.loads(recording("alerts"))
    for alert in alerts:
        alert["status"]["silencedBy"] = ["00000000-0000-0000-0000-000000000001"]
    (one,) = acknowledged(silence(1, "21:35", "23:00", owner="platform"), alerts=json.dumps(alerts))
    assert (one.alertname, one.severity) == ("_other", "other")


def test_one_made_by_hand_with_another_case_counts_too() -> None:
    (one,) = acknowledged(silence(1, "21:35", "23:00", comment="Acknowledged: me", alertname="X", severity="page"))
    assert (one.alertname, one.severity, one.waited) == ("X", "page", None)


def test_an_alertmanager_that_nobody_named_may_be_missing() -> None:
    with pytest.raises(NoData):
        list(source(f"http://127.0.0.1:{free_port()}", is_named=False)[0]())
    with Told(status=404) as stranger, pytest.raises(NoData):
        list(source(stranger.url, is_named=False)[0]())


def test_one_that_was_there_or_is_named_is_missed() -> None:
    with pytest.raises(NoAnswer, match="Connection refused"):
        list(source(f"http://127.0.0.1:{free_port()}")[0]())
    with Told() as told:
        alertmanager, _ = source(told.url, is_named=False)
        assert list(alertmanager())
        told.status = 503
        with pytest.raises(NoAnswer, match="answered 503 to GET /silences"):
            list(alertmanager())


def test_without_alertmanager_there_is_nothing_to_report() -> None:
    with pytest.raises(NoData):
        list(Alertmanager(Here())())
