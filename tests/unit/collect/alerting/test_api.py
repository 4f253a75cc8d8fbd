"""Alertmanager's interface, and what its answers may not do to us."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.collect.alerting import _api
from fleetwatch.collect.alerting._acknowledged import MARK, acknowledgements_of, acknowledging, last_of, state_of
from fleetwatch.collect.alerting._api import Access, Alert, Api, NoAnswer, Silence
from support_alerting import Told

SECRET = "Bearer canary-secret"


def test_a_path_before_the_interface_is_kept_and_headers_are_sent(tmp_path: Path) -> None:
    with Told() as told:
        api = Api(Access(f"{told.url}/alerting/", lambda: {"Authorization": SECRET}))
        assert [item.name for item in api.alerts()].count("PhaseFailed") == 2
        assert told.asked == [("/alerting/api/v2/alerts", SECRET)]


@pytest.mark.parametrize(
    ("text", "status", "told"),
    [
        ("[]", 302, "answered 302 to GET /alerts"),
        ("[]", 401, "answered 401 to GET /alerts: it wants a header"),
        ("<html>", 200, "with what is not Alertmanager's"),
        ('[{"labels": {"a": 1}}]', 200, "with what is not Alertmanager's"),
        ('{"alerts": []}', 200, "with what is not Alertmanager's"),
        ("[" * 100_000, 200, "with what is not Alertmanager's"),
        ('[{"labels": {}, "startsAt": "when?", "status": {}}]', 200, "with what is not Alertmanager's"),
    ],
)
def test_an_answer_that_is_none_is_told_in_our_words(text: str, status: int, told: str) -> None:
    with Told(status=status) as server:
        server.tell(alerts=text)
        with pytest.raises(NoAnswer) as raised:
            Api(Access(server.url, lambda: {"Authorization": SECRET})).alerts()
    assert told in str(raised.value)
    assert "canary" not in str(raised.value)
    assert len(server.asked) == 1


def test_an_answer_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_api, "SECONDS", 0.3)
    with Told() as told:
        told.drips.set()
        started = time.monotonic()
        with pytest.raises(NoAnswer, match=r"no answer within 0\.3 s"):
            Api(Access(told.url)).alerts()
    assert time.monotonic() - started < 5


def test_an_answer_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_api, "LARGEST", 1 << 20)
    with Told() as told:
        told.tell(alerts="[" + " " * (1 << 20) + "]")
        with pytest.raises(NoAnswer, match="told more than 1 MiB"):
            Api(Access(told.url)).alerts()


@pytest.mark.parametrize("header", [{"X-A": "canary\r\nX-B: 1"}, {"X-A": "canary\u2028"}])
def test_a_header_that_cannot_be_sent_is_not_told(header: dict[str, str]) -> None:
    with Told() as told, pytest.raises(NoAnswer) as raised:
        Api(Access(told.url, lambda: header)).alerts()
    assert "headers_file" in str(raised.value)
    assert "canary" not in str(raised.value)
    assert told.asked == []


def test_an_id_that_is_none_is_not_put_into_an_address() -> None:
    with Told() as told, pytest.raises(NoAnswer, match="an id that is none"):
        Api(Access(told.url)).expire("../status")
    assert told.asked == []


texts = st.text(max_size=8)
ids = st.sampled_from(["a", "b", "c"])
times = st.datetimes(timezones=st.just(datetime.UTC) | st.none()).map(lambda moment: moment.isoformat())
keeping = st.lists(ids, max_size=3) | st.none()
alerts = st.fixed_dictionaries(
    {
        "labels": st.dictionaries(st.sampled_from(["alertname", "severity", "x"]), texts),
        "startsAt": times,
        "status": st.fixed_dictionaries(
            {}, optional={"silencedBy": keeping, "inhibitedBy": keeping, "mutedBy": keeping}
        ),
    }
)
matchers = st.fixed_dictionaries(
    {"name": st.sampled_from(["alertname", "x"]), "value": texts},
    optional={"isRegex": st.booleans(), "isEqual": st.booleans()},
)
silences = st.fixed_dictionaries(
    {
        "id": ids,
        "status": st.fixed_dictionaries({"state": st.sampled_from(["active", "pending", "expired", "?"])}),
        "matchers": st.lists(matchers, max_size=3),
        "startsAt": times,
        "endsAt": times,
        "comment": texts.map(lambda text: MARK + text) | texts,
    }
)


@given(st.lists(silences, max_size=6), st.lists(alerts, max_size=6), times)
def test_whatever_is_told_is_sorted_into_what_we_know(told: list[object], fired: list[object], now: str) -> None:
    kept = msgspec.convert(told, list[Silence])
    firing = msgspec.convert(fired, list[Alert])
    moment = msgspec.convert(now, datetime.datetime)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    held = acknowledging(kept)
    for alert in firing:
        assert (state_of(alert, held) == "acknowledged") == (last_of(alert, held) is not None)
    for item in acknowledgements_of(kept, firing, aware):
        assert item.severity in ("page", "ticket", "info", "other")
        assert item.waited is None or 0 <= item.waited < 2**63
        assert -(2**63) <= item.ends < 2**63
