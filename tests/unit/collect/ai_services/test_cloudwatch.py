"""The two questions, with botocore's Stubber: it holds parameters and answers against AWS's own models."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from fleetwatch.aws.calls import Trouble
from fleetwatch.collect.ai_services._cloudwatch import BATCH, Query, list_series, read, requested
from fleetwatch.collect.ai_services._select import Found, Series
from fleetwatch.collect.ai_services._table import requests

START = 1_800_000_000


class Client:
    """A client of the SDK whose answers are set beforehand."""

    def __init__(self) -> None:
        self.client: Any = botocore.session.Session().create_client(
            "cloudwatch", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y"
        )
        self.stub = Stubber(self.client)
        self.stub.activate()

    def __call__(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        method = {"ListMetrics": self.client.list_metrics, "GetMetricData": self.client.get_metric_data}[operation]
        answer: dict[str, Any] = method(**parameters)
        return answer

    def lists(self, metrics: list[str], token: str | None = None, after: str | None = None) -> None:
        found = [
            {"Namespace": "N", "MetricName": name, "Dimensions": [{"Name": "B", "Value": "2"}]} for name in metrics
        ]
        asked = {"Namespace": "N", "RecentlyActive": "PT3H"}
        self.stub.add_response(
            "list_metrics",
            {"Metrics": found, **({"NextToken": token} if token else {})},
            {**asked, **({"NextToken": after} if after else {})},
        )

    def gives(self, *results: dict[str, Any], token: str | None = None, messages: tuple[str, ...] = ()) -> None:
        self.stub.add_response(
            "get_metric_data",
            {
                "MetricDataResults": list(results),
                "Messages": [{"Code": code, "Value": "See the guide"} for code in messages],
                **({"NextToken": token} if token else {}),
            },
        )


def query(number: int) -> Query:
    found = Found("AWS/Bedrock", f"M{number}", (("ModelId", "a"),))
    return Query(Series(requests("total", f"M{number}"), found, "a", "", "a"), "Sum")


def result(name: str, points: dict[float, float], status: str = "Complete") -> dict[str, Any]:
    times = [datetime.fromtimestamp(START + offset, UTC) for offset in points]
    return {"Id": name, "Timestamps": times, "Values": list(points.values()), "StatusCode": status}


def test_a_list_is_followed_to_its_last_page() -> None:
    client = Client()
    client.lists(["M1"], token="t")
    client.lists(["M2"], after="t")
    assert list_series(client, "N") == [Found("N", "M1", (("B", "2"),)), Found("N", "M2", (("B", "2"),))]
    client.stub.assert_no_pending_responses()


def test_a_list_that_leads_back_to_itself_ends() -> None:
    client = Client()
    client.lists(["M1"], token="t")
    client.lists(["M2"], token="t", after="t")
    with pytest.raises(Trouble, match="repeats itself"):
        list_series(client, "N")


def test_the_question_names_metric_statistic_period_and_span() -> None:
    client = Client()
    client.stub.add_response(
        "get_metric_data",
        {"MetricDataResults": [result("q0", {0: 3})]},
        {
            "MetricDataQueries": [
                {
                    "Id": "q0",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "AWS/Bedrock",
                            "MetricName": "M0",
                            "Dimensions": [{"Name": "ModelId", "Value": "a"}],
                        },
                        "Period": 60,
                        "Stat": "Sum",
                    },
                }
            ],
            "StartTime": datetime.fromtimestamp(START, UTC),
            "EndTime": datetime.fromtimestamp(START + 300, UTC),
            "ScanBy": "TimestampAscending",
        },
    )
    reading = read(client, [query(0)], START, START + 300)
    assert (reading.values, reading.problems) == ({query(0): {START: 3}}, [])


def test_pages_of_values_are_put_together() -> None:
    client = Client()
    client.gives(result("q0", {0: 1, 60: 2}, "PartialData"), token="t")
    client.gives(result("q0", {120: 3}), result("q1", {0: 9}))
    reading = read(client, [query(0), query(1)], START, START + 300)
    assert reading.values[query(0)] == {START: 1, START + 60: 2, START + 120: 3}
    assert reading.values[query(1)] == {START: 9}
    assert reading.problems == []


@pytest.mark.parametrize("status", ["PartialData", "InternalError"])
def test_a_part_that_stays_incomplete_is_a_problem_and_the_values_stand(status: str) -> None:
    client = Client()
    client.gives(result("q0", {0: 1}, status), result("q1", {0: 9}))
    reading = read(client, [query(0), query(1)], START, START + 300)
    assert reading.values == {query(0): {START: 1}, query(1): {START: 9}}
    assert reading.problems == [f"GetMetricData: {status} for M0"]
    assert not reading.forbidden


def test_a_forbidden_metric_is_told_from_a_broken_one() -> None:
    client = Client()
    client.gives(result("q0", {}, "Forbidden"))
    assert read(client, [query(0)], START, START + 300).forbidden


def test_what_cloudwatch_says_of_the_whole_is_a_problem() -> None:
    client = Client()
    client.gives(result("q0", {0: 1}), messages=("MaxMetricsExceeded",))
    assert read(client, [query(0)], START, START + 300).problems == ["GetMetricData: MaxMetricsExceeded: See the guide"]


def test_values_that_were_not_asked_for_or_cannot_be_counted_are_left_out() -> None:
    client = Client()
    points: dict[float, float] = {-60: 1, 0: 2, 61: 3, 120: -4, 180: float("nan"), 240: float("inf"), 300: 5}
    client.gives(result("q0", points), result("q7", {0: 1}))
    reading = read(client, [query(0)], START, START + 300)
    assert reading.values == {query(0): {START: 2}}
    assert reading.problems == ['GetMetricData: answers "q7", which was not asked for']


def test_more_queries_than_a_request_may_have_are_several_requests() -> None:
    client = Client()
    client.stub.add_response("get_metric_data", {"MetricDataResults": [result("q0", {0: 1})]})
    client.stub.add_response("get_metric_data", {"MetricDataResults": [result("q0", {0: 2})]})
    queries = [query(number) for number in range(BATCH + 1)]
    reading = read(client, queries, START, START + 300)
    assert (reading.values[query(0)], reading.values[query(BATCH)]) == ({START: 1}, {START: 2})
    client.stub.assert_no_pending_responses()


def test_no_queries_are_no_request() -> None:
    assert read(Client(), [], START, START + 300).values == {}


def test_aws_bills_each_metric_of_getmetricdata_and_else_the_request() -> None:
    assert requested(MetricDataQueries=[{}] * 7, StartTime=0) == 7
    assert requested(Namespace="N") == 1
