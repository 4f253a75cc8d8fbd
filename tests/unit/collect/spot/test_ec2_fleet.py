"""Machines of EC2 from its answers to a scrape and to what other sources are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from fleetwatch.aws import Account
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO
from fleetwatch.catalogue.metric import OTHER as REST
from fleetwatch.collect import Here
from fleetwatch.collect.here import SpotAccess
from fleetwatch.collect.runner import KEPT_CYCLES, NoData
from fleetwatch.collect.spot.ec2_fleet import Ec2Fleet
from fleetwatch.records.spot import Instance, Pool
from support import wait_for
from support_aws import NOW
from support_ec2 import OWN, REGION, Ec2
from support_ec2_looks import Looks
from support_ec2_machines import types

OTHER = "444455556666"
ACCOUNTS = (Account("prod"), Account("test", f"arn:aws:iam::{OTHER}:role/fleetwatch"))
REGIONS = ("us-east-1", "eu-west-1")
TAGS = {"team": "search", "workload": "indexer"}


def told(looks: Looks, account: str = OWN, region: str = REGION) -> dict[str, Instance]:
    """Machines on the desk, by id."""
    fleet = looks.here.desk.fleets[account, region]
    assert len({item.id for item in fleet.instances}) == len(fleet.instances)
    return {item.id: item for item in fleet.instances}


def test_a_fleet_gives_this_scrape(ec2: Ec2, golden: Callable[[str, str], None]) -> None:
    ec2.run("m7g.large", 3, tags=TAGS)
    ec2.run("m7g.large", 1, zone="b", tags={"team": 'a"b\\\n<!channel>'})
    ec2.run("c7i.4xlarge", 2, lifecycle="on-demand", tags={**TAGS, "fleetwatch.io/on-demand": "true"})
    ec2.run("g5.xlarge", 1, lifecycle="capacity-block", platform="Windows")
    ec2.run("m7g.large", 1, state="stopped", tags=TAGS)
    [gone] = ec2.run("r7g.large", 1, tags=TAGS)
    ec2.take(gone)
    ec2.request("p5.48xlarge")
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    assert looks.failure is None
    golden("sources/ec2_fleet.prom", looks.page())


def test_a_machine_is_told_with_all_that_others_need(ec2: Ec2) -> None:
    tags = {**TAGS, "Name": "indexer-1", "kubernetes.io/cluster/blue": "owned", "fleetwatch.io/on-demand": "No"}
    [name] = ec2.run("m7g.large", zone="c", tags=tags, launched=NOW - 3600)
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    machine = told(looks)[name]
    assert machine == Instance(
        id=name,
        pool=Pool(OWN, REGION, ec2.zone_id("c"), "m7g.large", "Linux/UNIX"),
        lifecycle="spot",
        state="running",
        vcpus=2,
        launched=(NOW - 3600) * NANO,
        request=ec2.machines[name].request,
        team="search",
        workload="indexer",
        cluster="blue",
        names=("ip-10-0-0-2.ec2.internal", "ip-10-0-0-2", "indexer-1"),
    )
    desk = looks.here.desk
    assert desk.shapes["m7g.large"] == (2, 8 << 30, 0, "arm64")
    assert desk.zones[OWN, REGION]["us-east-1c"] == ec2.zone_id("c")
    assert desk.fleets[OWN, REGION].at == NOW * NANO


def test_who_may_not_be_spot_is_not_eligible(ec2: Ec2) -> None:
    kept = [ec2.run("m7g.large", lifecycle="on-demand", tags={"od": value})[0] for value in ("yes", "", "0", "FALSE")]
    [database] = ec2.run("m7g.large", lifecycle="on-demand", tags={"app": "db"})
    [block] = ec2.run("g5.xlarge", lifecycle="capacity-block")
    access = SpotAccess(on_demand_tag="od", workload_tag="app", cluster_tag="app", not_eligible=frozenset({"db"}))
    looks = Looks(Ec2Fleet, ec2, spot=access)
    looks.look()
    machines = told(looks)
    assert [machines[name].forced for name in kept] == [True, True, False, False]
    assert [machines[name].eligible for name in (*kept, database, block)] == [False, False, True, True, False, False]
    assert machines[database].cluster == "db"


def test_types_in_use_are_looked_up_once_also_where_ec2_does_not_know_them_any_more(ec2: Ec2) -> None:
    ec2.run("m7g.large")
    ec2.run("g5.xlarge")
    ec2.run("z9.huge")
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    assert set(looks.here.desk.shapes) == {"m7g.large", "g5.xlarge"}
    assert looks.here.desk.shapes["g5.xlarge"].gpus == 1
    looks.look(60)
    assert ec2.count("ec2:DescribeInstanceTypes") == 1
    assert ec2.count("ec2:DescribeAvailabilityZones") == 1
    looks.look(86_400)
    assert ec2.count("ec2:DescribeAvailabilityZones") == 2
    assert ec2.count("ec2:DescribeInstanceTypes") == 2


def test_a_machine_that_was_taken_says_when_and_why_and_is_gone_from_the_scrape(ec2: Ec2) -> None:
    [stays, taken] = ec2.run("m7g.large", 2, tags=TAGS)
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    assert looks.total(spot.FLEET_INSTANCES) == 2
    names = told(looks)[taken].names
    ec2.now += 30
    ec2.take(taken, tell=False)
    looks.look(30)
    assert looks.total(spot.FLEET_INSTANCES) == 1
    machine = told(looks)[taken]
    assert (machine.state, machine.ended_why) == ("terminated", "Server.SpotInstanceTermination")
    assert machine.ended == (NOW + 30) * NANO
    # EC2 tells no name of it any more.
    assert machine.names == names
    [request] = [item for item in looks.here.desk.fleets[OWN, REGION].requests if item.instance == taken]
    assert (request.status, request.updated) == ("instance-terminated-no-capacity", (NOW + 30) * NANO)
    assert looks.here.desk.capacity_errors == {machine.pool: (NOW + 30) * NANO}
    ec2.forget(taken)
    looks.look(60)
    assert set(told(looks)) == {stays}
    looks.look(86_400)
    assert looks.here.desk.capacity_errors == {}


def test_where_ec2_does_not_say_when_a_machine_ended_its_request_does(ec2: Ec2) -> None:
    [name] = ec2.run("m7g.large")
    ec2.now += 5
    ec2.take(name)
    ec2.machines[name].transition = "Server.SpotInstanceTermination"
    looks = Looks(Ec2Fleet, ec2)
    looks.look(60)
    assert told(looks)[name].ended == (NOW + 5) * NANO
    ec2.requests.clear()
    looks.look(60)
    assert told(looks)[name].ended is None


def test_a_pool_without_capacity_is_known_from_requests(ec2: Ec2) -> None:
    ec2.request("p5.48xlarge", "capacity-not-available", zone="b")
    ec2.request("g5.xlarge", "price-too-low")
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    pool = Pool(OWN, REGION, ec2.zone_id("b"), "p5.48xlarge", "Linux/UNIX")
    assert looks.here.desk.capacity_errors == {pool: NOW * NANO}


def big(ec2: Ec2) -> Counter[tuple[str, ...]]:
    """Two accounts, two regions, 300 machines each. Gives what an independent count finds, by pool and labels."""
    kinds = ("m7g.large", "c7i.4xlarge")
    for account in (OWN, OTHER):
        for region in REGIONS:
            for number in range(60):
                tags = {"team": f"team-{number % 4}", "workload": f"w-{number % 7}"} if number % 5 else {}
                life = "spot" if number % 3 else "on-demand"
                kind, zone = kinds[number % 2], "abc"[number % 3]
                ids = ec2.run(kind, 5, account=account, region=region, zone=zone, lifecycle=life, tags=tags)
                if not number % 11:
                    ec2.take(ids[0], tell=False)
    found: Counter[tuple[str, ...]] = Counter()
    for machine in ec2.machines.values():
        if machine.state == "running":
            name = {OWN: "prod", OTHER: "test"}[machine.account]
            zone = ec2.zone_id(machine.zone, machine.region, machine.account)
            life = machine.lifecycle.replace("-", "_")
            named = (machine.tags.get("team", ""), machine.tags.get("workload", ""))
            found[name, machine.region, zone, machine.type, machine.platform, life, *named] += 1
    return found


def test_two_accounts_two_regions_and_300_machines_each_are_all_counted_once(ec2: Ec2) -> None:
    expected = big(ec2)
    ec2.page = 70
    looks = Looks(Ec2Fleet, ec2, regions=REGIONS, accounts=ACCOUNTS)
    looks.look()
    assert looks.failure is None
    assert looks.series(spot.FLEET_INSTANCES) == expected
    # 24 of 1,200 have been taken.
    assert expected.total() == 1200 - 24
    vcpus = {key: number * types()[key[3]]["VCpuInfo"]["DefaultVCpus"] for key, number in expected.items()}
    assert looks.series(spot.FLEET_VCPUS) == vcpus
    bare = Counter[tuple[str, ...]]()
    for key, number in expected.items():
        bare[key[0], key[1], key[5]] += number * (key[7] == "")
    assert looks.series(spot.UNREGISTERED) == bare
    assert ec2.count("ec2:DescribeInstances") == 4 * 5


FAILURES = ("throttled", "denied", "expired", "off", "error", "html", "page", "hang")


@pytest.mark.parametrize("kind", FAILURES)
def test_a_target_that_fails_keeps_its_last_facts_with_their_time_and_harms_no_other(ec2: Ec2, kind: str) -> None:
    for account in (OWN, OTHER):
        for region in REGIONS:
            ec2.run("m7g.large", 2, account=account, region=region)
    looks = Looks(Ec2Fleet, ec2, regions=REGIONS, accounts=ACCOUNTS, timeout=1.0 if kind == "hang" else 20.0)
    looks.look()
    assert looks.total(spot.FLEET_INSTANCES) == 8
    ec2.refuse(kind, account=OTHER, region="eu-west-1")
    for account in (OWN, OTHER):
        for region in REGIONS:
            ec2.run("m7g.large", 1, account=account, region=region)
    looks.look(60)
    fresh = {("prod", region): 3.0 for region in REGIONS} | {("test", "us-east-1"): 3.0, ("test", "eu-west-1"): 2.0}
    counts = looks.series(spot.FLEET_INSTANCES)
    assert {(key[0], key[1]): value for key, value in counts.items()} == fresh
    at = {where: fleet.at - NOW * NANO for where, fleet in looks.here.desk.fleets.items()}
    assert at == {where: (60 * NANO if value == 3 else 0) for where, value in fresh.items()}
    assert looks.failure is not None
    assert "test/eu-west-1" in str(looks.failure)
    permissions = {item.permission for item in looks.failure.denied}
    assert permissions == ({"ec2:DescribeInstances", "ec2:DescribeAvailabilityZones"} & permissions)
    assert bool(permissions) == (kind == "denied")
    ec2.relent()
    # A thread that hung comes back.
    wait_for(lambda: not looks.source._targets._hanging, 5)  # type: ignore[attr-defined]  # of Ec2Fleet
    looks.look(60)
    assert looks.failure is None
    assert looks.total(spot.FLEET_INSTANCES) == 12


def test_facts_go_also_where_no_region_is_known_any_more(ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    ec2.run("m7g.large", 2)
    looks = Looks(Ec2Fleet, ec2, regions=())
    looks.look()
    assert looks.total(spot.FLEET_INSTANCES) == 2
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    ec2.refuse("expired")  # so that the environment is looked at again
    for _ in range(KEPT_CYCLES + 1):
        looks.look(60)
        assert looks.failure is not None
    assert looks.series(spot.FLEET_INSTANCES) == {}


def test_facts_that_are_too_old_go(ec2: Ec2) -> None:
    ec2.run("m7g.large", 2)
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    ec2.refuse("error", "ec2:DescribeInstances")
    for _ in range(KEPT_CYCLES):
        looks.look(60)
        assert looks.total(spot.FLEET_INSTANCES) == 2
    looks.look(60)
    assert looks.series(spot.FLEET_INSTANCES) == {}
    assert looks.here.desk.fleets == {}


def test_more_workloads_than_a_label_takes_are_added_up(ec2: Ec2) -> None:
    for number in range(spot.WORKLOAD.at_most + 20):
        ec2.run("m7g.large", 2, tags={"workload": f"w-{number:03}"})
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    assert looks.total(spot.FLEET_INSTANCES, workload=REST) == 2 * 21
    assert looks.total(spot.FLEET_INSTANCES) == 2 * (spot.WORKLOAD.at_most + 20)


@pytest.mark.parametrize(
    "action", ["DescribeSpotInstanceRequests", "DescribeAvailabilityZones", "DescribeInstanceTypes"]
)
def test_a_permission_that_is_missing_is_named_and_costs_only_what_it_is_for(ec2: Ec2, action: str) -> None:
    ec2.run("m7g.large", 2)
    ec2.refuse("denied", f"ec2:{action}")
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    assert looks.failure is not None
    [denied] = looks.failure.denied
    assert denied.permission == f"ec2:{action}"
    assert "deploy/aws/spot-policy.json" in denied.fix
    [(labels, number)] = looks.series(spot.FLEET_INSTANCES).items()
    assert (number, labels[2]) == (2, ec2.zone_id("a"))
    assert looks.total(spot.FLEET_VCPUS) == (0 if action == "DescribeInstanceTypes" else 4)
    assert looks.total(spot.REQUESTS) == (0 if action == "DescribeSpotInstanceRequests" else 2)


def test_requests_that_cannot_be_read_for_a_while_are_those_of_before(ec2: Ec2) -> None:
    ec2.run("m7g.large", 2)
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    ec2.refuse("error", "ec2:DescribeSpotInstanceRequests")
    for _ in range(KEPT_CYCLES):
        looks.look(60)
        assert looks.total(spot.REQUESTS) == 2
    looks.look(60)
    assert looks.total(spot.REQUESTS) == 0


def test_pages_without_an_end_are_a_failure_and_no_small_fleet(ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    ec2.run("m7g.large", 20)
    ec2.page = 5

    class Same(dict[str, int]):
        """Forgets where it was."""

        def __getitem__(self, key: str) -> int:
            return 0

        def __len__(self) -> int:
            return 7

    monkeypatch.setattr(ec2, "tokens", Same())
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    assert looks.failure is not None
    assert "DescribeInstances: expected a new NextToken" in str(looks.failure)
    assert looks.here.desk.fleets == {}


def test_no_machines_are_no_failure(ec2: Ec2) -> None:
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    assert looks.failure is None
    assert looks.series(spot.FLEET_INSTANCES) == {}
    assert looks.here.desk.fleets[OWN, REGION].instances == ()


@pytest.mark.parametrize("here", [{}, {"spot": SpotAccess()}])
def test_where_it_is_not_asked_for_there_is_nothing(here: dict[str, Any]) -> None:
    with pytest.raises(NoData):
        list(Ec2Fleet(Here(**here))())


def test_nothing_is_asked_that_the_documented_permissions_do_not_have(ec2: Ec2) -> None:
    ec2.run("m7g.large")
    looks = Looks(Ec2Fleet, ec2)
    looks.look()
    asked = {asked.action for asked in ec2.asked}
    assert asked == {
        "sts:GetCallerIdentity",
        "ec2:DescribeInstances",
        "ec2:DescribeSpotInstanceRequests",
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeInstanceTypes",
    }
    assert isinstance(looks.source, Ec2Fleet)
    assert looks.source.actions == asked
