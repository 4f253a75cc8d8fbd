"""AWS' bill, from Cost Explorer on loopback and through the SDK's own stubber."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from fleetwatch.aws import Access, Account, Target
from fleetwatch.aws.session import Aws
from fleetwatch.catalogue import bills, exporter
from fleetwatch.collect import Here, Runner, Source
from fleetwatch.collect.bills import _shelf
from fleetwatch.collect.bills.aws_cost import AwsCost
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from fleetwatch.places import PROJECT
from fleetwatch.records.bills import BillDay
from support_aws import own_identity
from support_bills import TODAY, Clock, here
from support_cost_explorer import ACCOUNT, CostExplorer, cost_explorer
from support_machines import collected

SETTLED = TODAY - 2
BEDROCK = "Amazon Bedrock"
CLAUDE = "Claude Sonnet 4.5 (Amazon Bedrock Edition)"
SERVICES = ("Amazon Bedrock", "*(Amazon Bedrock Edition)")


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CostExplorer]:
    """Whatever is asked of it must fit the model that AWS ships."""
    own_identity(monkeypatch, tmp_path)
    with cost_explorer() as server:
        server.books = {SETTLED: [(ACCOUNT, BEDROCK, "1.5"), (ACCOUNT, "Amazon Elastic Compute Cloud - Compute", "99")]}
        yield server
        assert server.wrong == []


def place(tmp_path: Path, url: str, clock: Clock | None = None, **fields: Any) -> Here:
    aws = Aws(Access(attempts=1, timeout=5.0, endpoint_url=url))
    machine = here(tmp_path, "aws", "", clock or Clock(), services=SERVICES, refresh=6 * 3600.0, **fields)
    return replace(machine, aws=aws)


def bill(tmp_path: Path, books: CostExplorer, clock: Clock | None = None) -> AwsCost:
    return AwsCost(place(tmp_path, books.url, clock))


def kept(tmp_path: Path) -> dict[int, BillDay]:
    return _shelf.read(tmp_path / "bills" / "aws.json").days


def test_a_bill_is_shown_by_account_and_service(
    tmp_path: Path, books: CostExplorer, golden: Callable[[str, str], None]
) -> None:
    books.books = {
        SETTLED - 1: [(ACCOUNT, BEDROCK, "0.0412300000"), ("444455556666", CLAUDE, "12.25")],
        SETTLED: [(ACCOUNT, BEDROCK, "41.2"), (ACCOUNT, "AWS Lambda", "3"), (ACCOUNT, CLAUDE, "0.0000000001")],
        TODAY - 1: [(ACCOUNT, BEDROCK, "7")],
    }
    clock, meter = Clock(), Meter(implied={"host_name": "here"})
    item = Source("aws_cost", 300, 30, bill(tmp_path, books, clock))
    asyncio.run(Runner([item], meter, clock=clock).cycle(item))
    lines = exposition(meter, openmetrics=False).splitlines()
    golden("sources/aws_cost.prom", "".join(f"{line}\n" for line in lines if "collector_duration" not in line))


def test_one_request_asks_for_all_days_and_is_counted_with_what_it_costs(tmp_path: Path, books: CostExplorer) -> None:
    samples, told = collected(bill(tmp_path, books)())
    assert told == ""
    [asked] = books.asked
    assert asked["TimePeriod"] == {"Start": "2026-11-16", "End": "2026-11-21"}
    assert asked["Granularity"] == "DAILY"
    assert asked["Filter"]["Not"]["Dimensions"] == {"Key": "RECORD_TYPE", "Values": ["Credit", "Refund", "Tax"]}
    assert books.targets == ["AWSInsightsIndexService.GetCostAndUsage"]
    assert [one.value for one in samples if one.metric is exporter.API_COST] == [0.01]
    assert {one.labels[1:]: one.value for one in samples if one.metric is exporter.API_REQUESTS} == {
        ("aws_cost", "ce", "GetCostAndUsage", "ok"): 1
    }


def test_aws_is_paid_once_in_six_hours_also_over_restarts(tmp_path: Path, books: CostExplorer) -> None:
    clock = Clock()
    source = bill(tmp_path, books, clock)
    for _ in range(72):
        collected(source())
        clock.now += 300
    assert len(books.asked) == 1
    collected(bill(tmp_path, books, clock)())
    assert len(books.asked) == 2
    for _ in range(5):
        collected(bill(tmp_path, books, clock)())
    assert len(books.asked) == 2


def test_a_bill_that_cannot_be_understood_is_not_paid_for_more_often(tmp_path: Path, books: CostExplorer) -> None:
    books.books = {SETTLED: [(ACCOUNT, BEDROCK, "much")]}
    clock = Clock()
    source = bill(tmp_path, books, clock)
    for _ in range(12 * 48):
        collected(source())
        clock.now += 300
    # Two days: after 0, 5, 15, 35, 75, 155, 315 and 635 minutes, then every six hours as good readings are.
    assert len(books.asked) == 8 + 6


def test_only_the_services_of_the_settings_count(tmp_path: Path, books: CostExplorer) -> None:
    books.books = {SETTLED: [(ACCOUNT, BEDROCK, "1"), (ACCOUNT, CLAUDE, "2"), (ACCOUNT, "Amazon Textract", "4")]}
    machine = place(tmp_path, books.url)
    access = machine.bills["aws"]._replace(services=("Amazon Textract", "Amazon B?drock"))
    collected(AwsCost(replace(machine, bills={"aws": access}))())
    assert {row.line for row in kept(tmp_path)[SETTLED].rows} == {BEDROCK, "Amazon Textract"}


def test_a_day_that_is_cut_by_a_page_is_put_together(tmp_path: Path, books: CostExplorer) -> None:
    books.page_size = 2
    books.books = {
        SETTLED - 1: [(ACCOUNT, BEDROCK, "1"), (ACCOUNT, CLAUDE, "2"), ("444455556666", BEDROCK, "3")],
        SETTLED: [(ACCOUNT, BEDROCK, "4"), (ACCOUNT, CLAUDE, "5")],
    }
    assert collected(bill(tmp_path, books)())[1] == ""
    assert len(books.asked) == 3
    assert {day: one.nano for day, one in kept(tmp_path).items() if one.nano} == {SETTLED - 1: 6e9, SETTLED: 9e9}


def test_a_page_that_fails_leaves_no_half_day(tmp_path: Path, books: CostExplorer) -> None:
    clock = Clock()
    source = bill(tmp_path, books, clock)
    collected(source())
    before = kept(tmp_path)
    books.page_size = 1
    books.books = {SETTLED: [(ACCOUNT, BEDROCK, "4"), (ACCOUNT, CLAUDE, "5")]}
    books.odd = {2: (400, "LimitExceededException", "Rate exceeded")}
    clock.now += 6 * 3600
    samples, told = collected(source())
    assert "ce:GetCostAndUsage in us-east-1: LimitExceededException: Rate exceeded" in told
    assert kept(tmp_path) == before
    assert [one.value for one in samples if one.metric is bills.LINE_USD] == [1.5]
    clock.now += 299
    collected(source())
    assert len(books.asked) == 3
    clock.now += 1
    assert collected(source())[1] == ""
    assert kept(tmp_path)[SETTLED].nano == 9e9


@pytest.mark.parametrize(
    "message",
    [
        "User: arn:aws:iam::111122223333:user/x is not authorized to perform: ce:GetCostAndUsage",
        "User not enabled for cost explorer access",
    ],
)
def test_a_missing_permission_is_named_with_its_fix(tmp_path: Path, books: CostExplorer, message: str) -> None:
    books.odd = {0: (400, "AccessDeniedException", message)}
    meter = Meter(implied={"host_name": "here"})
    item = Source("aws_cost", 300, 30, bill(tmp_path, books))
    asyncio.run(Runner([item], meter).cycle(item))
    text = exposition(meter, openmetrics=False)
    permission = 'collector="aws_cost",permission="ce:GetCostAndUsage"'
    assert f'fleetwatch_collector_denied{{host_name="here",{permission}}} 1' in text
    assert 'operation="GetCostAndUsage",outcome="denied"} 1' in text
    assert "fleetwatch_api_cost_usd_total" not in text, "a denied request is free"
    told = collected(item.collect())[1]
    assert "see that Cost Explorer is switched on" in told


def test_the_policy_allows_what_is_asked_for_and_no_more(tmp_path: Path, books: CostExplorer) -> None:
    collected(bill(tmp_path, books)())
    policy = json.loads((PROJECT / "exporters" / "deploy" / "aws" / "bills-policy.json").read_text())
    asked = {f"ce:{target.partition('.')[2]}" for target in books.targets}
    assert asked == {action for statement in policy["Statement"] for action in statement["Action"]}


def test_estimates_are_marked_until_the_bill_is_final(tmp_path: Path, books: CostExplorer) -> None:
    books.books |= {SETTLED - 1: [(ACCOUNT, BEDROCK, "1")]}
    books.estimated_from = SETTLED
    collected(bill(tmp_path, books)())
    assert [kept(tmp_path)[day].estimated for day in (SETTLED - 1, SETTLED)] == [False, True]


@pytest.mark.parametrize(
    ("unit", "amount", "why"),
    [("CNY", "1", "currency: expected USD, got 'CNY'"), ("USD", "much", "expected an amount of money, got 'much'")],
)
def test_what_is_no_dollar_is_refused(tmp_path: Path, books: CostExplorer, unit: str, amount: str, why: str) -> None:
    books.unit = unit
    books.books = {SETTLED: [(ACCOUNT, BEDROCK, amount)]}
    assert collected(bill(tmp_path, books)())[1] == f"GetCostAndUsage: 2026-11-19: {why}"
    assert SETTLED not in kept(tmp_path)


def test_a_token_that_comes_again_ends_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the SDK's stubber, which checks requests and answers against the service model."""
    own_identity(monkeypatch, tmp_path)
    machine = place(tmp_path, "")
    assert machine.aws is not None
    page = {"ResultsByTime": [], "NextPageToken": "same"}
    client = machine.aws._client("ce", Target(Account(), "us-east-1"))
    query = {
        "TimePeriod": {"Start": "2026-11-16", "End": "2026-11-21"},
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
        "GroupBy": [{"Type": "DIMENSION", "Key": "LINKED_ACCOUNT"}, {"Type": "DIMENSION", "Key": "SERVICE"}],
        "Filter": {"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": ["Credit", "Refund", "Tax"]}}},
    }
    with Stubber(client) as stub:
        stub.add_response("get_cost_and_usage", page, query)
        stub.add_response("get_cost_and_usage", page, {**query, "NextPageToken": "same"})
        told = collected(AwsCost(machine)())[1]
        stub.assert_no_pending_responses()
    assert told == "GetCostAndUsage: expected a new NextPageToken, got one for the second time"


def test_throttling_and_strange_days_through_the_stubber(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_identity(monkeypatch, tmp_path)
    clock = Clock()
    machine = place(tmp_path, "", clock)
    assert machine.aws is not None
    source = AwsCost(machine)
    month = {"TimePeriod": {"Start": "2026-10-01", "End": "2026-11-01"}, "Groups": [], "Estimated": False}
    with Stubber(machine.aws._client("ce", Target(Account(), "us-east-1"))) as stub:
        stub.add_client_error("get_cost_and_usage", "ThrottlingException", "Rate exceeded", 400)
        stub.add_response("get_cost_and_usage", {"ResultsByTime": [month]})
        assert "ThrottlingException" in collected(source())[1]
        clock.now += 300
        told = collected(source())[1]
        assert told.startswith("GetCostAndUsage: expected buckets of UTC days from 2026-11-16 to 2026-11-20, got ")
