"""How AWS was asked, by account, region and operation: counted where requests are made, shown in one place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fleetwatch.aws import Account
from fleetwatch.aws.budget import Budget, Size
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws
from fleetwatch.catalogue import aws as names
from fleetwatch.catalogue.metric import Metric
from fleetwatch.collect import Here
from fleetwatch.collect.exporter.aws_api import aws_api
from fleetwatch.collect.runner import NoData
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from support_aws import NOW
from support_ec2 import OWN, Ec2

OTHER = "444455556666"
ROLE = f"arn:aws:iam::{OTHER}:role/fleetwatch"


def shown(aws: Aws, metric: Metric) -> dict[tuple[str, ...], float]:
    found = [(sample.labels, sample.value) for sample in aws.samples() if sample.metric is metric]
    assert len(found) == len(dict(found))
    return dict(found)


def test_attempts_gives_this_scrape(ec2: Ec2, golden: Callable[[str, str], None]) -> None:
    aws = ec2.aws(accounts=(Account("prod"), Account("", ROLE)), attempts=2)
    own, other = aws.targets()
    calls = Calls("x")
    aws.caller("ec2", own, calls)("DescribeInstances", {})
    ec2.now += 60
    ec2.refuse("throttled", "ec2:DescribeInstances", times=1)
    ec2.refuse("denied", "ec2:DescribeInstances", account=OTHER)
    aws.caller("ec2", own, calls)("DescribeInstances", {})
    with pytest.raises(Trouble):
        aws.caller("ec2", other, calls)("DescribeInstances", {})
    meter = Meter(implied={"host_name": "gpu-7"})
    meter.replace("aws_api", aws_api(Here(aws=aws)))
    golden("sources/aws_api.prom", exposition(meter, openmetrics=False))


def test_without_aws_there_is_nothing() -> None:
    with pytest.raises(NoData):
        list(aws_api(Here()))


def test_a_permission_that_was_given_is_missing_no_more(ec2: Ec2) -> None:
    aws = ec2.aws()
    [target] = aws.targets()
    call = aws.caller("ec2", target, Calls("x"))
    aws.number(target, Calls("x"))
    where = (OWN, "us-east-1", "ec2:DescribeInstances")
    ec2.refuse("denied")
    with pytest.raises(Trouble):
        call("DescribeInstances", {})
    assert shown(aws, names.DENIED) == {where: 1}
    assert where not in shown(aws, names.LAST_SUCCESS)
    ec2.relent()
    call("DescribeInstances", {})
    assert shown(aws, names.DENIED) == {}
    assert shown(aws, names.LAST_SUCCESS)[where] == NOW
    # A failure that says nothing of rights leaves them as they were.
    ec2.refuse("error")
    with pytest.raises(Trouble):
        call("DescribeInstances", {})
    assert shown(aws, names.DENIED) == {}


def test_what_is_over_the_budget_is_not_asked_and_counted(ec2: Ec2) -> None:
    aws = ec2.aws(budget=Budget(lambda _: Size(1, 0.01)))
    [target] = aws.targets()
    call = aws.caller("ec2", target, Calls("x"))
    call("DescribeInstances", {})
    with pytest.raises(Trouble, match="ec2:DescribeInstances in us-east-1: not asked, the next turn is in") as caught:
        call("DescribeInstances", {})
    assert caught.value.cause == "held_back"
    assert ec2.count("ec2:DescribeInstances") == 1
    assert list(shown(aws, names.HELD_BACK).values()) == [1]
    assert list(shown(aws, names.REQUESTS).values()) == [1]


def test_attempts_that_are_turned_away_slow_the_next_ones_down(ec2: Ec2) -> None:
    slept: list[float] = []
    aws = ec2.aws(budget=Budget(sleep=slept.append))
    [target] = aws.targets()
    call = aws.caller("ec2", target, Calls("x"))
    ec2.refuse("throttled", times=1)
    with pytest.raises(Trouble):
        call("DescribeInstances", {})
    assert slept == []
    call("DescribeInstances", {})
    # The bucket is empty and fills at half of one a second.
    assert slept == [pytest.approx(2.0, abs=0.2)]
    assert list(shown(aws, names.HELD_BACK).values()) == [1]


def test_two_ways_into_one_account_are_one_series(ec2: Ec2) -> None:
    aws = ec2.aws(accounts=(Account("", ROLE), Account("", f"arn:aws:iam::{OTHER}:role/bills")))
    for target in aws.targets():
        aws.caller("ec2", target, Calls("x"))("DescribeInstances", {})
    assert shown(aws, names.REQUESTS) == {
        (OTHER, "us-east-1", "ec2:DescribeInstances"): 2,
        (OTHER, "us-east-1", "sts:AssumeRole"): 2,
    }


def test_an_account_without_a_name_has_its_number_once_that_is_known(ec2: Ec2) -> None:
    aws = ec2.aws()
    [target] = aws.targets()
    aws.caller("ec2", target, Calls("x"))("DescribeInstances", {})
    assert {labels[0] for labels in shown(aws, names.REQUESTS)} == {""}
    aws.number(target, Calls("x"))
    assert {labels[0] for labels in shown(aws, names.REQUESTS)} == {OWN}
    ec2.refuse("expired")
    with pytest.raises(Trouble):
        aws.caller("ec2", target, Calls("x"))("DescribeInstances", {})
    assert {labels[0] for labels in shown(aws, names.REQUESTS)} == {OWN}
