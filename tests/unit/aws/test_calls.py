"""Requests are counted, and what goes wrong is said in words that lead to a repair."""

from __future__ import annotations

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError

from fleetwatch.aws.calls import LONGEST, Calls, Cause, cause_of, outcome_of, plain, trouble_of
from fleetwatch.catalogue import exporter
from fleetwatch.catalogue.metric import Metric


def refused(code: str, message: str = "", status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},
        "GetMetricData",
    )


CAUSES: list[tuple[Exception, Cause]] = [
    (refused("AccessDenied"), "denied"),
    (refused("AccessDeniedException"), "denied"),
    (refused("UnauthorizedOperation"), "denied"),
    (refused("SomethingNew", status=403), "denied"),
    (refused("Throttling"), "throttled"),
    (refused("com.amazonaws.cloudwatch#ThrottlingException"), "throttled"),
    (refused("ThrottlingException:http://internal.amazon.com/coral/"), "throttled"),
    (refused("SomethingNew", status=429), "throttled"),
    (refused("ExpiredToken"), "credentials"),
    (refused("ExpiredTokenException"), "credentials"),
    (refused("InvalidClientTokenId"), "credentials"),
    (refused("UnrecognizedClientException"), "credentials"),
    (refused("OptInRequired"), "region"),
    (refused("InternalFailure", status=500), "error"),
    (refused("InvalidParameterValue"), "error"),
    (exceptions.EndpointConnectionError(endpoint_url="https://x"), "unreachable"),
    (exceptions.ConnectTimeoutError(endpoint_url="https://x"), "unreachable"),
    (exceptions.ReadTimeoutError(endpoint_url="https://x"), "unreachable"),
    (exceptions.SSLError(endpoint_url="https://x", error="bad"), "unreachable"),
    (exceptions.ProxyConnectionError(proxy_url="http://p"), "unreachable"),
    (exceptions.NoCredentialsError(), "credentials"),
    (exceptions.ProfileNotFound(profile="x"), "credentials"),
    (exceptions.UnauthorizedSSOTokenError(), "credentials"),
    (exceptions.NoRegionError(), "region"),
    (ValueError("no AWS at all"), "error"),
]


@pytest.mark.parametrize(("error", "cause"), CAUSES, ids=lambda item: item if isinstance(item, str) else str(item)[:60])
def test_each_failure_has_the_cause_that_a_person_acts_on(error: Exception, cause: Cause) -> None:
    assert cause_of(error) == cause
    assert outcome_of("", 0, error) == cause


def test_an_outcome_is_one_of_the_catalogue_s() -> None:
    assert {outcome_of("", 0, error) for error, _ in CAUSES} | {outcome_of("", 200)} == set(exporter.API_OUTCOME.one_of)
    assert outcome_of("", 503) == "error"


def test_a_denied_request_names_the_permission_and_where_it_is_allowed() -> None:
    trouble = trouble_of(refused("AccessDenied", "User x is not authorized"), "cloudwatch", "ListMetrics", "prod/eu")
    assert trouble.permission == "cloudwatch:ListMetrics"
    assert str(trouble) == (
        "cloudwatch:ListMetrics in prod/eu: AccessDenied: User x is not authorized. "
        "Allow cloudwatch:ListMetrics to the exporter's identity, as in deploy/aws/ai-services-policy.json."
    )


def test_only_a_denied_request_names_a_permission() -> None:
    assert trouble_of(refused("Throttling"), "cloudwatch", "ListMetrics", "eu").permission == ""


def test_expired_credentials_are_not_taken_for_wrong_ones() -> None:
    assert "have run out" in trouble_of(refused("ExpiredToken"), "cloudwatch", "ListMetrics", "eu").fix
    assert "switched off" in trouble_of(refused("InvalidClientTokenId"), "cloudwatch", "ListMetrics", "eu").fix


def test_what_aws_repeats_of_others_words_stays_one_short_printable_line() -> None:
    assert plain("a\nb\x1b[31m\u202ec ") == "a b [31m c"
    assert plain("x" * 400) == "x" * LONGEST + "…"


def shown(calls: Calls, metric: Metric) -> dict[tuple[str, ...], float]:
    return {sample.labels[1:]: sample.value for sample in calls.samples() if sample.metric is metric}


def test_attempts_items_and_cost_are_counted_by_operation() -> None:
    calls = Calls("bedrock")
    calls.answered("cloudwatch", "GetMetricData", "throttled", 250)
    calls.answered("cloudwatch", "GetMetricData", "ok", 250)
    calls.answered("sts", "GetCallerIdentity", "ok", 1)
    assert shown(calls, exporter.API_REQUESTS) == {
        ("bedrock", "cloudwatch", "GetMetricData", "throttled"): 1,
        ("bedrock", "cloudwatch", "GetMetricData", "ok"): 1,
        ("bedrock", "sts", "GetCallerIdentity", "ok"): 1,
    }
    assert shown(calls, exporter.API_ITEMS) == {
        ("bedrock", "cloudwatch", "GetMetricData"): 250,
        ("bedrock", "sts", "GetCallerIdentity"): 1,
    }
    # 0.01 USD for 1,000 metrics requested; STS costs nothing and has no cost.
    assert shown(calls, exporter.API_COST) == {("bedrock", "cloudwatch", "GetMetricData"): 0.0025}
    assert calls.actions() == {"cloudwatch:GetMetricData", "sts:GetCallerIdentity"}
