"""Answers of AWS with parts missing, and more of everything than a fleet has: the rest is shown, within its bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.aws.session import Call
from fleetwatch.catalogue import spot
from fleetwatch.collect import Here
from fleetwatch.collect.here import SpotAccess
from fleetwatch.collect.runner import Incomplete
from fleetwatch.collect.spot import _ec2, spot_advisor
from fleetwatch.collect.spot.ec2_fleet import Ec2Fleet
from fleetwatch.collect.spot.spot_advisor import SpotAdvisor
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from support_ec2 import Ec2
from support_ec2_looks import Looks

ASKED = _ec2.Asked("prod", "us-east-1", {}, SpotAccess(), 1)

Answer = Callable[[str, dict[str, Any]], None]


def changed(looks: Looks, change: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS answers otherwise than it does. change: of (operation, answer)."""
    aws = looks.here.aws
    assert aws is not None
    caller = aws.caller

    def other(call: Call) -> Call:
        def answer(operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
            found = call(operation, parameters)
            change(operation, found)
            return found

        return answer

    monkeypatch.setattr(aws, "caller", lambda *given: other(caller(*given)))


def test_a_machine_without_a_name_takes_no_other_one_with_it(ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    ec2.run("m7g.large", count=3, lifecycle="spot")
    looks = Looks(Ec2Fleet, ec2)

    def cut(operation: str, answer: dict[str, Any]) -> None:
        if operation == "DescribeInstances":
            del answer["Reservations"][0]["Instances"][0]["InstanceId"]

    changed(looks, cut, monkeypatch)
    looks.look()
    assert looks.total(spot.FLEET_INSTANCES) == 2
    assert "ec2:DescribeInstances in us-east-1: 1 machines without InstanceId are left out" in str(looks.failure)


@pytest.mark.parametrize("missing", ["AvailabilityZones", "InstanceTypes", "SpotInstanceRequests"])
def test_a_list_that_is_missing_is_an_empty_one(ec2: Ec2, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    ec2.run("m7g.large", count=2, lifecycle="spot")
    looks = Looks(Ec2Fleet, ec2)
    changed(looks, lambda _, answer: answer.pop(missing, None), monkeypatch)
    looks.look()
    assert looks.total(spot.FLEET_INSTANCES) == 2
    assert looks.failure is None


def test_a_machine_of_which_nothing_is_told() -> None:
    machine = _ec2.instance({"InstanceId": "i-0"}, ASKED)
    assert (machine.pool.instance_type, machine.pool.az_id, machine.vcpus, machine.team) == ("", "", 0, "")
    assert (machine.state, machine.lifecycle, machine.ended) == ("pending", "on_demand", None)


def test_a_type_without_processors_has_no_shape() -> None:
    assert _ec2.shapes([{"InstanceType": "m7g.large"}, {"VCpuInfo": {"DefaultVCpus": 2}}, {}]) == {}


def test_a_tag_that_somebody_filled_is_cut() -> None:
    told = {"InstanceId": "i-0", "Tags": [{"Key": "team", "Value": "\x1b[2J\r\n\u202e" + "x" * 100_000}, {}]}
    team = _ec2.instance(told, ASKED).team
    assert len(team) == 128
    assert team.isprintable()


def test_two_thousand_workloads_are_a_hundred_series_and_one_sum(ec2: Ec2) -> None:
    """Of the lines of a scrape as well: nothing is lost where a bound puts them together."""
    (large,) = ec2.run("m7g.large", lifecycle="spot", tags={"workload": "w0"})
    for number in range(1, 2000):
        ec2.run("m7g.large", lifecycle="spot", tags={"workload": f"w{number}"})
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    assert looks.failure is None
    meter = Meter()
    meter.replace("ec2_fleet", looks.samples)
    shown = [item for item in meter.reported_by("ec2_fleet") if item.metric is spot.FLEET_INSTANCES]
    assert sum(item.value for item in shown) == 2000
    assert len(shown) <= spot.WORKLOAD.at_most
    assert len(exposition(meter, openmetrics=False)) < 100_000
    assert ec2.count("ec2:DescribeInstances") == 2
    ec2.forget(large)
    looks.look(60)
    assert looks.total(spot.FLEET_INSTANCES) == 1999


def test_a_file_of_advice_that_does_not_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spot_advisor, "LARGEST", 1 << 20)
    file = tmp_path / "advice.json"
    with file.open("wb") as out:
        out.truncate(1 << 33)
    with pytest.raises(Incomplete, match="expected at most 1 MiB, got more"):
        list(SpotAdvisor(Here(spot=SpotAccess(advisor_file=file)))())
