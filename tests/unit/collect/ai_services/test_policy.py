"""The policies beside the code allow what the sources do, and nothing else."""

from __future__ import annotations

import json

from fleetwatch.aws import Account
from fleetwatch.aws.calls import POLICY
from fleetwatch.places import PROJECT
from support_ai_services import SOURCES
from support_aws import Watched
from support_cloudwatch import CloudWatch

FOLDER = PROJECT / "exporters" / "deploy" / "aws"
NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity"}
"""STS API reference, GetCallerIdentity: "No permissions are required to perform this operation"."""


def allowed(file: str) -> set[str]:
    policy = json.loads((FOLDER / file).read_text())
    assert policy["Version"] == "2012-10-17"
    assert all(item["Effect"] == "Allow" for item in policy["Statement"])
    return {action for item in policy["Statement"] for action in item["Action"]}


def test_the_policies_allow_exactly_what_the_sources_ask_for(cloud: CloudWatch) -> None:
    asked: set[str] = set()
    accounts = (Account(), Account("other", "arn:aws:iam::444455556666:role/fleetwatch"))
    for kind, fill in SOURCES.items():
        fill(cloud)
        watched = Watched(kind, cloud, accounts=accounts)
        watched.look(240)
        assert watched.failure is None
        asked |= watched.source.actions
    own, others = allowed("ai-services-policy.json"), allowed("other-accounts-policy.json")
    assert own | others == asked - NEEDS_NO_PERMISSION
    assert others == {"sts:AssumeRole"}
    # What the SDK really sent is what was recorded.
    assert {operation for _, operation, _ in cloud.asked} == {action.partition(":")[2] for action in asked}


def test_roles_may_only_be_taken_on_where_they_are_named() -> None:
    policy = json.loads((FOLDER / "other-accounts-policy.json").read_text())
    assert all(item["Resource"].startswith("arn:aws:iam::") for item in policy["Statement"])
    assert all("*" not in item["Resource"] for item in policy["Statement"])


def test_no_action_stands_for_several() -> None:
    for file in FOLDER.glob("*.json"):
        assert not {action for action in allowed(file.name) if "*" in action}


def test_failures_name_a_file_that_exists() -> None:
    assert (PROJECT / "exporters" / POLICY).is_file()


def test_every_service_is_asked_in_these_tests() -> None:
    """A source that is not in the table would need permissions that nobody looks at."""
    sources = PROJECT / "exporters" / "fleetwatch" / "collect" / "ai_services"
    files = {path.stem for path in sources.glob("*.py") if not path.name.startswith("_")}
    assert {kind.__module__.rpartition(".")[2] for kind in SOURCES} == files
