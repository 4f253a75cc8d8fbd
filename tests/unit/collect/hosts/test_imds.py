"""Notices and facts of EC2, asked for by the real protocol on loopback."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue import hosts
from fleetwatch.collect import Here, NoData
from fleetwatch.collect.hosts import _imds_client
from fleetwatch.collect.hosts._imds_client import Client, Unexpected, Unreachable
from fleetwatch.collect.hosts._kind import on_ec2
from fleetwatch.collect.hosts.imds import FACTS_SECONDS, Imds, zulu
from support_imds import ACTION, REBALANCE, ROOT, imds
from support_imds import Imds as Service
from support_machines import collected, page, values

PAGE = b"<!DOCTYPE html><html><body>Welcome to our guest network</body></html>"


@pytest.fixture
def service() -> Iterator[Service]:
    with imds() as server:
        yield server


def here(service: Service) -> Here:
    return Here(imds=service.address, clock=service.clock)


def test_a_quiet_spot_machine_has_facts_and_no_series(service: Service) -> None:
    machine = here(service)
    assert page(Imds(machine)()) == ""
    assert machine.facts == {
        "instance_type": "p5.48xlarge",
        "zone": "use1-az4",
        "region": "us-east-1",
        "lifecycle": "spot",
    }


def test_a_recommendation_then_the_end(service: Service, golden: Callable[[str, str], None]) -> None:
    source = Imds(here(service))
    service.values[REBALANCE] = '{"noticeTime": "2027-01-15T08:00:00Z"}'
    golden("sources/imds-rebalance.prom", page(source()))
    service.values[ACTION] = '{"action": "terminate", "time": "2027-01-15T08:22:07Z"}'
    golden("sources/imds-action.prom", page(source()))


def test_a_notice_whose_time_has_passed_is_still_shown(service: Service) -> None:
    service.values[ACTION] = '{"action":"stop","time":"2017-09-18T08:22:00Z"}'
    assert values(Imds(here(service))(), hosts.SPOT_ACTION) == {("stop",): 1505722920}


def test_an_action_that_is_new_is_shown_as_other(service: Service) -> None:
    service.values[ACTION] = '{"action":"teleport","time":"2017-09-18T08:22:00Z"}'
    assert values(Imds(here(service))(), hosts.SPOT_ACTION) == {("other",): 1505722920}


def test_a_cycle_asks_two_questions_over_one_connection(service: Service) -> None:
    source = Imds(here(service))
    page(source())
    service.asked.clear()
    for _ in range(3):
        page(source())
    assert service.asked == [f"GET {ROOT}{ACTION}", f"GET {ROOT}{REBALANCE}"] * 3
    assert service.connections == 1


def test_facts_are_asked_for_again_after_an_hour(service: Service) -> None:
    machine = here(service)
    source = Imds(machine)
    page(source())
    service.values["instance-type"] = "p5e.48xlarge"
    service.now += FACTS_SECONDS - 1
    page(source())
    assert machine.facts["instance_type"] == "p5.48xlarge"
    service.now += 1
    page(source())
    assert machine.facts["instance_type"] == "p5e.48xlarge"


def test_a_token_is_made_anew_before_it_ends(service: Service) -> None:
    source = Imds(here(service))
    page(source())
    service.now += 21600 - 61
    page(source())
    assert len(service.tokens) == 1
    service.now += 2
    page(source())
    assert len(service.tokens) == 2


def test_a_token_that_ended_early_is_made_anew(service: Service) -> None:
    source = Imds(here(service))
    page(source())
    service.tokens.clear()
    assert page(source()) == ""
    assert len(service.tokens) == 1


def test_a_service_that_refuses_each_token_is_an_error(service: Service) -> None:
    service.ttl = 0
    _, why = collected(Imds(here(service))())
    assert f"GET {ROOT}{ACTION}: expected status 200 or 404, got 401: '<?xml" in why


def test_an_ended_connection_is_made_anew(service: Service) -> None:
    service.end_connections = True
    source = Imds(here(service))
    page(source())
    service.values[ACTION] = '{"action":"stop","time":"2017-09-18T08:22:00Z"}'
    assert len(values(source(), hosts.SPOT_ACTION)) == 1


def test_no_answer_to_put_names_the_hop_limit(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_imds_client, "SECONDS", 0.1)
    service.dumb.add("PUT")
    with pytest.raises(Unreachable, match=r"PUT /latest/api/token: no answer .* hop limit to 2 or use the host netw"):
        page(Imds(here(service))())


def test_facts_that_cannot_be_had_do_not_hide_a_notice(service: Service) -> None:
    service.values[ACTION] = '{"action":"stop","time":"2017-09-18T08:22:00Z"}'
    service.odd[f"{ROOT}instance-type"] = 200, PAGE
    service.odd[f"{ROOT}placement/region"] = 500, b"sorry"
    machine = here(service)
    samples, why = collected(Imds(machine)())
    assert len(values(samples, hosts.SPOT_ACTION)) == 1
    assert "instance-type: expected a name such as m5.large, got '<!DOCTYPE html>" in why
    assert "expected status 200 or 404, got 500: 'sorry'" in why
    assert machine.facts == {"zone": "use1-az4", "lifecycle": "spot"}


def test_a_service_that_falls_silent_after_a_notice_does_not_hide_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_imds_client, "SECONDS", 0.1)
    service.values[ACTION] = '{"action":"stop","time":"2017-09-18T08:22:00Z"}'
    service.dumb.add(f"{ROOT}instance-type")
    samples, why = collected(Imds(here(service))())
    assert len(values(samples, hosts.SPOT_ACTION)) == 1
    assert "instance-type: no answer" in why


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, PAGE),
        (200, b""),
        (200, b"[]"),
        (200, b'{"action": 1, "time": 2}'),
        (200, b'{"action": "stop"}'),
        (200, b'{"action": "stop", "time": "soon"}'),
        (200, b"[" * 5000),
        (200, b"x" * 20000),
        (200, b"\xff\xfe"),
        (302, b""),
        (403, b"Forbidden"),
    ],
)
def test_an_odd_notice_is_an_error_and_hurts_only_itself(service: Service, status: int, body: bytes) -> None:
    service.odd[f"{ROOT}{ACTION}"] = status, body
    service.values[REBALANCE] = '{"noticeTime": "2027-01-15T08:00:00Z"}'
    samples, why = collected(Imds(here(service))())
    assert ACTION in why
    assert len(why) < 300
    assert {sample.metric for sample in samples} == {hosts.REBALANCE}
    assert not any("elsewhere" in asked for asked in service.asked)


@pytest.mark.parametrize("status", [200, 404, 302])
def test_a_page_instead_of_a_token_is_an_error_that_shows_it(service: Service, status: int) -> None:
    service.odd["/latest/api/token"] = status, PAGE
    with pytest.raises(Unreachable, match=f"expected a token with status 200, got {status}: '<!DOCTYPE html>"):
        page(Imds(here(service))())


def test_a_service_that_is_switched_off_says_so(service: Service) -> None:
    service.odd["/latest/api/token"] = 403, b""
    with pytest.raises(Unreachable, match="switched off"):
        page(Imds(here(service))())


def test_no_proxy_of_the_environment_is_asked(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert page(Imds(here(service))()) == ""


def test_nobody_listens() -> None:
    with imds() as gone:
        machine = here(gone)
    with pytest.raises(Unreachable, match=r"PUT /latest/api/token: .*refused"):
        page(Imds(machine)())


def test_elsewhere_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.client.HTTPConnection, "connect", lambda self: pytest.fail("connected"))
    source = Imds(Here(sys=tmp_path))
    for _ in range(2):
        with pytest.raises(NoData):
            page(source())


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("class/dmi/id/sys_vendor", "Amazon EC2\n", True),
        ("class/dmi/id/board_asset_tag", "i-0123456789abcdef0\n", True),
        ("hypervisor/uuid", "ec2e1916-9099-7caf-fd21-012345abcdef\n", True),
        ("class/dmi/id/sys_vendor", "QEMU\n", False),
        ("class/dmi/id/board_asset_tag", "i-am-a-desktop\n", False),
        ("hypervisor/uuid", "deadbeef-9099-7caf-fd21-012345abcdef\n", False),
    ],
)
def test_ec2_is_known_by_its_firmware(tmp_path: Path, file: str, content: str, expected: bool) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(content)
    assert on_ec2(Here(sys=tmp_path)) is expected


@pytest.mark.parametrize(
    "address", ["https://169.254.169.254", "169.254.169.254", "http://", "http://a/b", "http://u@a"]
)
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"host\.imds: expected http://ADDRESS"):
        Client(address, lambda: 0)


def test_the_ipv6_address_of_the_service_is_understood() -> None:
    connection = Client("http://[fd00:ec2::254]", lambda: 0)._connection
    assert (connection.host, connection.port) == ("fd00:ec2::254", 80)


@given(st.integers(0, 32503679999), st.integers(0, 999999))
def test_times_are_read_exactly(second: int, micro: int) -> None:
    whole = datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00")
    assert zulu(f"{whole}Z", "x") == second
    assert zulu(f"{whole}.{micro:06}Z", "x") == pytest.approx(second + micro / 1e6, abs=1e-5)


@given(st.one_of(st.text(), st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?\s?")))
def test_what_is_no_time_is_named(word: str) -> None:
    """Only what Python's own parser reads, and writes again as it was, passes."""
    try:
        moment = datetime.strptime(word, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        moment = None
    if moment and moment.isoformat().replace("+00:00", "Z") == word:
        assert zulu(word, "x") == moment.timestamp()
    else:
        with pytest.raises(Unexpected, match="spot/instance-action: time: expected a time such as"):
            zulu(word, "spot/instance-action: time")
