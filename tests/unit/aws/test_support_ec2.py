"""The loopback AWS for machines of EC2 answers as AWS does: the SDK reads it, and its models know all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from fleetwatch.aws import Account
from fleetwatch.aws.calls import Calls, Trouble
from support_aws import NOW
from support_ec2 import OWN, Ec2
from support_ec2_machines import when

OTHER = "444455556666"


def machines(client: Any, **asked: Any) -> list[dict[str, Any]]:
    pages = client.get_paginator("describe_instances").paginate(**asked)
    return [item for page in pages for reservation in page["Reservations"] for item in reservation["Instances"]]


def prices(client: Any, **asked: Any) -> list[tuple[str, str, str]]:
    rows = client.get_paginator("describe_spot_price_history").paginate(**asked)
    return [
        (row["AvailabilityZoneId"], row["SpotPrice"], f"{row['Timestamp'].timestamp() - NOW:+.0f}")
        for page in rows
        for row in page["SpotPriceHistory"]
    ]


def test_machines_are_told_with_their_lifecycle_zone_and_tags(ec2: Ec2) -> None:
    [spot] = ec2.run("m7g.large", tags={"team": "search & <find>"})
    [plain] = ec2.run("c7i.xlarge", zone="b", lifecycle="on-demand", platform="Windows")
    first, second = machines(ec2.client("ec2"))
    assert (first["InstanceId"], first["InstanceLifecycle"], first["PlatformDetails"]) == (spot, "spot", "Linux/UNIX")
    assert first["Placement"]["AvailabilityZoneId"] == ec2.zone_id("a")
    assert first["Tags"] == [{"Key": "team", "Value": "search & <find>"}]
    assert first["LaunchTime"] == when(NOW)
    assert (second["InstanceId"], second["PlatformDetails"]) == (plain, "Windows")
    assert "InstanceLifecycle" not in second
    assert [first["Architecture"], second["Architecture"]] == ["arm64", "x86_64"]


def test_machines_come_in_pages_and_pass_filters(ec2: Ec2) -> None:
    ec2.run("m7g.large", 12)
    ec2.run("m7g.large", 3, lifecycle="on-demand")
    client = ec2.client("ec2")
    assert len(machines(client, PaginationConfig={"PageSize": 5})) == 15
    assert ec2.count("ec2:DescribeInstances") == 3
    spot = [{"Name": "instance-lifecycle", "Values": ["spot"]}]
    assert len(machines(client, Filters=spot)) == 12
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        machines(client, MaxResults=4)


def test_a_machine_that_was_taken_says_why_and_is_forgotten(ec2: Ec2) -> None:
    [taken, price, user] = ec2.run("m7g.large", 3)
    client = ec2.client("ec2")
    ec2.warn(taken, tell=False)
    [status] = [
        item["Status"]["Code"]
        for item in client.describe_spot_instance_requests()["SpotInstanceRequests"]
        if item["InstanceId"] == taken
    ]
    assert status == "marked-for-termination"
    ec2.now += 120
    for name, reason in ((taken, "capacity"), (price, "price"), (user, "user")):
        ec2.take(name, reason)
    found = {item["InstanceId"]: item for item in machines(client)}
    assert found[taken]["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert found[taken]["StateTransitionReason"] == f"Service initiated ({when(NOW + 120):%Y-%m-%d %H:%M:%S} GMT)"
    assert found[user]["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    requests = client.describe_spot_instance_requests()["SpotInstanceRequests"]
    assert {item["InstanceId"]: (item["State"], item["Status"]["Code"]) for item in requests} == {
        taken: ("closed", "instance-terminated-no-capacity"),
        price: ("closed", "instance-terminated-by-price"),
        user: ("closed", "instance-terminated-by-user"),
    }
    ec2.forget(taken)
    assert {item["InstanceId"] for item in machines(client)} == {price, user}


def test_prices_begin_with_the_one_that_was_valid_at_the_start(ec2: Ec2) -> None:
    for at, usd in ((-7200, 0.03), (-3600, 0.04), (-60, 0.05), (+60, 0.06)):
        ec2.price("m7g.large", usd, at=NOW + at)
    ec2.price("m7g.large", 0.031, zone="b", at=NOW - 9000)
    client, a, b = ec2.client("ec2"), ec2.zone_id("a"), ec2.zone_id("b")
    assert prices(client, StartTime=when(NOW)) == [(a, "0.050000", "-60"), (b, "0.031000", "-9000")]
    assert prices(client, StartTime=when(NOW - 1800), AvailabilityZoneId=a) == [
        (a, "0.050000", "-60"),
        (a, "0.040000", "-3600"),
    ]
    # Without a start it is all that there is; what is still to come is not told.
    assert len(prices(client, PaginationConfig={"PageSize": 1})) == 4
    assert prices(client, StartTime=when(NOW), InstanceTypes=["c7g.large"]) == []
    assert client.describe_spot_price_history(StartTime=when(NOW))["NextToken"] == ""


def test_a_product_is_told_under_each_name_that_is_asked_for(ec2: Ec2) -> None:
    ec2.price("m7g.large", 0.04)
    names = ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"]
    rows = ec2.client("ec2").describe_spot_price_history(ProductDescriptions=names)["SpotPriceHistory"]
    assert sorted(row["ProductDescription"] for row in rows) == names
    assert ec2.client("ec2").describe_spot_price_history(ProductDescriptions=["Windows"])["SpotPriceHistory"] == []


def test_placement_scores_are_of_the_whole_request(ec2: Ec2) -> None:
    ec2.score(9, zone="a")
    ec2.score(7)
    ec2.score(8, region="eu-west-1")
    client = ec2.client("ec2")
    three = ["m7g.large", "c7g.large", "r7g.large"]
    zones = client.get_spot_placement_scores(InstanceTypes=three, TargetCapacity=10, SingleAvailabilityZone=True)
    assert zones["SpotPlacementScores"] == [{"Region": "us-east-1", "AvailabilityZoneId": ec2.zone_id("a"), "Score": 9}]
    few = client.get_spot_placement_scores(InstanceTypes=["m7g.large"], TargetCapacity=10, RegionNames=["eu-west-1"])
    assert few["SpotPlacementScores"] == [{"Region": "eu-west-1", "Score": 3}]


def test_capacity_manager_sums_by_what_is_asked_for(ec2: Ec2) -> None:
    hour = NOW // 3600 * 3600
    for zone in "ab":
        ec2.manage("m7g.large", "spot-total-interruptions-inst", 2, zone=zone, at=hour - 1800)
    ec2.manage("m7g.large", "spot-total-count-inst", 40, at=hour - 1800)
    client = ec2.client("ec2")
    told = client.get_capacity_manager_metric_data(
        MetricNames=["spot-total-interruptions-inst"],
        StartTime=when(hour - 86400),
        EndTime=when(hour),
        Period=86400,
        GroupBy=["account-id", "resource-region", "instance-type"],
    )
    assert told["MetricDataResults"] == [
        {
            "Dimension": {"AccountId": OWN, "ResourceRegion": "us-east-1", "InstanceType": "m7g.large"},
            "Timestamp": when(hour - 86400),
            "MetricValues": [{"Metric": "spot-total-interruptions-inst", "Value": 4.0}],
        }
    ]


def test_list_prices_are_json_texts_in_pages(ec2: Ec2) -> None:
    for number, kind in enumerate(("m7g.large", "c7g.large", "r7g.large")):
        ec2.list_price(kind, 0.08 + number / 100)
    ec2.list_price("m7g.large", 0.09, region="eu-west-1")
    ec2.page = 2
    asked = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"}]
    pages = ec2.client("pricing").get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=asked)
    found = {}
    for page in pages:
        for text in page["PriceList"]:
            item = json.loads(text)
            [term] = item["terms"]["OnDemand"].values()
            [rate] = term["priceDimensions"].values()
            found[item["product"]["attributes"]["instanceType"]] = rate["pricePerUnit"]["USD"]
    assert found == {"m7g.large": "0.0800000000", "c7g.large": "0.0900000000", "r7g.large": "0.1000000000"}
    assert ec2.count("pricing:GetProducts") == 2


def test_zones_have_other_names_in_other_accounts_and_the_same_ids(ec2: Ec2) -> None:
    def zones(account: str) -> dict[str, str]:
        answer = ec2.client("ec2", account=account).describe_availability_zones()["AvailabilityZones"]
        return {item["ZoneName"]: item["ZoneId"] for item in answer}

    mine, others = zones(OWN), zones(OTHER)
    assert mine != others
    assert sorted(mine.values()) == sorted(others.values()) == ["use1-az1", "use1-az2", "use1-az3"]


def test_types_are_those_that_there_are(ec2: Ec2) -> None:
    client = ec2.client("ec2")
    [found] = client.describe_instance_types(InstanceTypes=["g5.xlarge"])["InstanceTypes"]
    assert (found["VCpuInfo"]["DefaultVCpus"], found["GpuInfo"]["Gpus"][0]["Count"]) == (4, 1)
    with pytest.raises(ClientError, match="InvalidInstanceType"):
        client.describe_instance_types(InstanceTypes=["z9.large"])


def test_accounts_are_told_apart_by_the_role_that_is_taken_on(ec2: Ec2) -> None:
    other = Account("other", f"arn:aws:iam::{OTHER}:role/fleetwatch")
    ec2.run("m7g.large", 2, account=OTHER)
    aws = ec2.aws(accounts=(Account("own"), other))
    own, its = aws.targets()
    answers = [aws.caller("ec2", target, Calls("x"))("DescribeInstances", {}) for target in (own, its)]
    assert [sum(len(item["Instances"]) for item in answer["Reservations"]) for answer in answers] == [0, 2]


CAUSES = [
    ("throttled", "throttled"),
    ("denied", "denied"),
    ("expired", "credentials"),
    ("off", "credentials"),
    ("error", "error"),
    ("html", "error"),
    ("page", "error"),
    ("hang", "unreachable"),
]


@pytest.mark.parametrize(("kind", "cause"), CAUSES)
def test_failures_are_of_one_account_region_and_action(ec2: Ec2, kind: str, cause: str) -> None:
    aws = ec2.aws(regions=("us-east-1", "eu-west-1"), timeout=1.0 if kind == "hang" else 20.0)
    ill, well = aws.targets()
    ec2.refuse(kind, "ec2:DescribeInstances", region="us-east-1")
    with pytest.raises(Trouble) as caught:
        aws.caller("ec2", ill, Calls("x"))("DescribeInstances", {})
    assert caught.value.cause == cause
    assert caught.value.permission == ("ec2:DescribeInstances" if kind == "denied" else "")
    aws.caller("ec2", well, Calls("x"))("DescribeInstances", {})
    aws.caller("ec2", ill, Calls("x"))("DescribeAvailabilityZones", {})
    ec2.relent()
    aws.caller("ec2", ill, Calls("x"))("DescribeInstances", {})


def test_a_refusal_may_end_by_itself(ec2: Ec2) -> None:
    ec2.refuse("throttled", "ec2:DescribeInstances", times=1)
    [target] = ec2.aws().targets()
    calls = Calls("x")
    ec2.aws(attempts=2).caller("ec2", target, calls)("DescribeInstances", {})
    assert ec2.count("ec2:DescribeInstances") == 2


def test_a_page_instead_of_an_answer_is_what_the_sdk_cannot_read(ec2: Ec2) -> None:
    ec2.refuse("page")
    with pytest.raises(ResponseParserError):
        ec2.client("ec2").describe_instances()


def test_volumes_and_queues_are_moto_s_and_events_name_the_account(ec2: Ec2) -> None:
    client = ec2.client("ec2")
    client.create_volume(AvailabilityZone="us-east-1a", Size=10)
    assert len(client.describe_volumes()["Volumes"]) == 1
    assert ec2.client("ec2", account=OTHER).describe_volumes()["Volumes"] == []
    assert client.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    url = ec2.queue()
    [machine] = ec2.run("m7g.large")
    told = [ec2.rebalance(machine), ec2.warn(machine), ec2.take(machine)]
    queue = ec2.client("sqs")
    read = queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [json.loads(item["Body"]) for item in read] == told
    assert told[1] == {
        "version": "0",
        "id": "00000000-0000-0000-0000-000000000004",
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "source": "aws.ec2",
        "account": OWN,
        "time": when(NOW).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "us-east-1",
        "resources": [f"arn:aws:ec2:us-east-1a:instance/{machine}"],
        "detail": {"instance-id": machine, "instance-action": "terminate"},
    }
    ec2.refuse("denied", "ec2:DescribeVolumes")
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        client.describe_volumes()
