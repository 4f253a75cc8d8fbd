"""EC2's answers as records: whatever is missing in them, and as other people read the same API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue.metric import NANO
from fleetwatch.collect.here import SpotAccess
from fleetwatch.collect.spot import _ec2
from fleetwatch.records.spot import Pool, Shape

ASKED = _ec2.Asked("prod", "us-east-1", {"us-east-1a": "use1-az6"}, SpotAccess(), 7)
NAIVE = datetime(1970, 1, 2)  # noqa: DTZ001 - hypothesis adds the zone itself
TIMES = st.datetimes(NAIVE, NAIVE.replace(year=2100), timezones=st.just(UTC))


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


MACHINES = some(
    InstanceType=st.text(),
    InstanceLifecycle=st.sampled_from([*_ec2.LIFECYCLES, "something-new", ""]),
    State=some(Name=st.sampled_from([*_ec2.STATES, "something-new"])),
    LaunchTime=TIMES,
    Placement=some(
        AvailabilityZone=st.sampled_from(["us-east-1a", "us-east-1z"]), AvailabilityZoneId=st.just("use1-az1")
    ),
    StateReason=some(Code=st.text()),
    StateTransitionReason=st.one_of(st.text(), st.just("User initiated (2026-02-30 00:15:51 GMT)")),
    PlatformDetails=st.text(min_size=1),
    Platform=st.sampled_from(["windows", "Windows", ""]),
    CpuOptions=some(CoreCount=st.integers(1, 96), ThreadsPerCore=st.integers(1, 2)),
    Tags=st.lists(some(Key=st.sampled_from(["team", "workload", "Name", "kubernetes.io/cluster/"]), Value=st.text())),
    SpotInstanceRequestId=st.text(),
    PrivateDnsName=st.text(),
)


@given(MACHINES)
def test_a_machine_of_which_little_is_told_is_still_a_machine(told: dict[str, Any]) -> None:
    machine = _ec2.instance({"InstanceId": "i-1", **told}, ASKED)
    assert machine.id == "i-1"
    assert machine.pool.product
    assert machine.cluster == ""
    assert "" not in machine.names
    assert machine.ended is None or machine.state in _ec2.OVER
    if "LaunchTime" in told:
        assert machine.launched == round(told["LaunchTime"].timestamp() * 1e6) * 1000
    else:
        assert machine.launched == 7


@given(
    some(
        SpotInstanceRequestId=st.text(),
        State=st.text(),
        InstanceId=st.text(),
        Status=some(Code=st.text(), UpdateTime=TIMES),
        LaunchSpecification=some(InstanceType=st.text(), Placement=some(AvailabilityZone=st.text())),
        ProductDescription=st.text(),
    )
)
def test_a_request_of_which_little_is_told_is_still_a_request(told: dict[str, Any]) -> None:
    assert _ec2.request(told).updated >= 0
    pool = _ec2.pool_of_request(told, "prod", "us-east-1", ASKED.zones)
    assert pool is None or (pool.az_id and pool.instance_type)


@pytest.mark.parametrize(
    ("told", "ended"),
    [
        ("User initiated (2026-11-22 00:15:51 GMT)", datetime(2026, 11, 22, 0, 15, 51, tzinfo=UTC)),
        ("Service initiated (2026-11-22 00:15:51 UTC)", datetime(2026, 11, 22, 0, 15, 51, tzinfo=UTC)),
        ("User initiated", None),
        ("User initiated (2026-02-30 00:15:51 GMT)", None),
        ("", None),
    ],
)
def test_the_end_stands_in_a_sentence(told: str, ended: datetime | None) -> None:
    answer = {"InstanceId": "i-1", "State": {"Name": "terminated"}, "StateTransitionReason": told}
    expected = None if ended is None else int(ended.timestamp()) * NANO
    assert _ec2.instance(answer, ASKED).ended == expected
    # One that was started again runs, whatever is still told of its last end.
    assert _ec2.instance({**answer, "State": {"Name": "running"}}, ASKED).ended is None


def test_a_zone_is_known_by_its_name_where_its_id_is_not_told() -> None:
    placed = {"InstanceId": "i-1", "Placement": {"AvailabilityZone": "us-east-1a"}}
    assert _ec2.instance(placed, ASKED).pool == Pool("prod", "us-east-1", "use1-az6", "", "Linux/UNIX")


def test_processors_that_were_switched_off_do_not_count() -> None:
    told = {"InstanceId": "i-1", "CpuOptions": {"CoreCount": 4, "ThreadsPerCore": 1}}
    assert _ec2.instance(told, ASKED).vcpus == 4


def test_a_type_is_its_size_and_architecture() -> None:
    told = {
        "InstanceType": "m1.small",
        "ProcessorInfo": {"SupportedArchitectures": ["i386", "x86_64"]},
        "VCpuInfo": {"DefaultVCpus": 1},
        "MemoryInfo": {"SizeInMiB": 1740},
        "GpuInfo": {"Gpus": [{"Count": 2}, {"Count": 1}]},
    }
    assert _ec2.shape(told) == Shape(1, 1740 << 20, 3, "x86_64")
    assert _ec2.shape({}) == Shape(0, 0)
