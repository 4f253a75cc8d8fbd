"""The policy beside the code is the least that the sources of spot machines need."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

import pytest

from fleetwatch.aws import Access, Account
from fleetwatch.aws.budget import Budget
from fleetwatch.aws.calls import ACCOUNTS_POLICY, SPOT_POLICY
from fleetwatch.aws.session import Aws
from fleetwatch.collect import Here
from fleetwatch.collect.here import ScoreRequest, SpotAccess, SpotQueue
from fleetwatch.collect.runner import Incomplete, load, source_names
from fleetwatch.places import PROJECT
from support_aws import own_identity
from support_ec2 import OWN, REGION, Ec2, ec2_cloud
from support_policy import FOLDER, NEEDS_NO_PERMISSION, allowed

FILE = "spot-policy.json"
NOT_OF_AWS_API = {"spot_advisor"}
"""It reads a public file without an identity."""
FIRST = "ec2_fleet"
"""What it finds the others ask about."""
NAMES = [FIRST, *(name for name in source_names("spot") if name not in {FIRST, *NOT_OF_AWS_API})]
LAB = Account("lab", "arn:aws:iam::444455556666:role/fleetwatch")
IAM = {"sqs:DeleteMessageBatch": "sqs:DeleteMessage"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ec2]:
    """One for all tests here: to make clients and queues takes most of the time."""
    with pytest.MonkeyPatch.context() as patch, ec2_cloud() as server:
        own_identity(patch, tmp_path_factory.mktemp("identity"))
        server.list_price("m7g.large", 0.0816)
        server.price("m7g.large", 0.04)
        server.load[server.run("m7g.large")[0]] = 50.0
        server.queue()
        yield server
        assert server.wrong == []


@pytest.fixture(scope="module")
def aws(cloud: Ec2) -> Aws:
    """Without a budget: each test is a cycle long after the one before."""
    access = Access((REGION,), (Account(), LAB), endpoint_url=cloud.url, attempts=1, timeout=5.0)
    return Aws(access, clock=lambda: cloud.now, budget=Budget(lambda _: None))


@pytest.fixture(scope="module")
def asked_by(cloud: Ec2, aws: Aws) -> dict[str, set[str]]:
    """Action -> the sources that ask for it, when all of them look for the first time."""
    found: dict[str, set[str]] = {}
    here = _here(cloud, aws)
    for name in NAMES:
        before = len(cloud.asked)
        list(load(name, here).collect())
        for item in cloud.asked[before:]:
            found.setdefault(IAM.get(item.action, item.action), set()).add(name)
    return found


def failures_of(cloud: Ec2, aws: Aws, names: Collection[str]) -> list[Incomplete]:
    """What fails when these look for the first time, and before them the one whose machines they ask about."""
    here = _here(cloud, aws)
    failures = []
    for name in NAMES:
        if name in {*names, FIRST}:
            try:
                list(load(name, here).collect())
            except Incomplete as error:
                failures.append(error)
    return failures


def _here(cloud: Ec2, aws: Aws) -> Here:
    cloud.rebalance(next(iter(cloud.machines)))
    kept: list[object] = []
    access = SpotAccess(
        queues=(SpotQueue(cloud.queues[OWN, REGION][0], REGION),),
        scores=(ScoreRequest("web", ("m7g.large", "m7g.xlarge", "m6g.large")),),
        capacity_manager=True,
        load=True,
    )
    return Here(aws=aws, spot=access, commit=kept.extend, clock=lambda: cloud.now)


def test_it_allows_exactly_what_is_asked_for(asked_by: dict[str, set[str]]) -> None:
    assert asked_by.keys() - NEEDS_NO_PERMISSION == allowed(FILE) | allowed("other-accounts-policy.json")


@pytest.mark.parametrize("action", sorted(allowed(FILE)))
def test_without_one_of_them_it_is_named_with_its_file(
    action: str, cloud: Ec2, aws: Aws, asked_by: dict[str, set[str]], request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(cloud.relent)
    cloud.refuse("denied", next((name for name, known in IAM.items() if known == action), action))
    denied = [item for failure in failures_of(cloud, aws, asked_by[action]) for item in failure.denied]
    assert {item.permission for item in denied} == {action}
    if action != "cloudwatch:GetMetricData":  # which is in the one for AI services, too
        assert all(SPOT_POLICY in item.fix for item in denied)


def test_a_role_that_may_not_be_taken_on_is_named_with_its_file(
    cloud: Ec2, aws: Aws, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(cloud.relent)
    cloud.refuse("denied", "sts:AssumeRole")
    cloud.now += 3600  # what was taken on before has ended
    denied = [item for failure in failures_of(cloud, aws, ()) for item in failure.denied]
    assert {item.permission for item in denied} == {"sts:AssumeRole"}
    assert all(ACCOUNTS_POLICY in item.fix for item in denied)


def test_only_one_queue_may_be_read() -> None:
    policy = json.loads((FOLDER / FILE).read_text())
    for item in policy["Statement"]:
        about_queues = any(action.startswith("sqs:") for action in item["Action"])
        assert about_queues == (item["Resource"] != "*")
        assert not about_queues or "*" not in item["Resource"]


def test_failures_name_a_file_that_exists() -> None:
    for file in (SPOT_POLICY, ACCOUNTS_POLICY):
        assert (PROJECT / "exporters" / file).is_file()
