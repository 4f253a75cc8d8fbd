"""Clients for accounts and regions, against a loopback AWS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.aws import Access, Account, Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws
from fleetwatch.catalogue import exporter
from support_aws import own_identity
from support_cloudwatch import BAD_TOKEN, EXPIRED, OWN_ACCOUNT, THROTTLED, CloudWatch, Refusal, denied

EU = Target(Account(), "eu-west-1")
OFF = Target(Account(), "me-south-1")
LIST = {"Namespace": "AWS/Bedrock"}


def aws(cloud: CloudWatch, *accounts: Account, **access: Any) -> Aws:
    access = {"regions": ("eu-west-1",), "attempts": 3, "endpoint_url": cloud.url, **access}
    return Aws(Access(accounts=accounts or (Account(),), **access), clock=lambda: cloud.now)


def outcomes(calls: Calls, operation: str) -> dict[str, float]:
    found = (sample for sample in calls.samples() if sample.metric is exporter.API_REQUESTS)
    return {sample.labels[-1]: sample.value for sample in found if sample.labels[3] == operation}


def test_every_region_of_every_account_is_a_target(cloud: CloudWatch) -> None:
    accounts = (Account("prod"), Account("test", "arn:aws:iam::444455556666:role/fleetwatch"))
    found = aws(cloud, *accounts, regions=("eu-west-1", "us-east-1")).targets()
    assert [str(target) for target in found] == [
        "prod/eu-west-1",
        "prod/us-east-1",
        "test/eu-west-1",
        "test/us-east-1",
    ]


def test_without_regions_the_environment_s_is_taken(cloud: CloudWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    assert [target.region for target in aws(cloud, regions=()).targets()] == ["ap-south-1"]


def test_without_any_region_the_setting_is_named(cloud: CloudWatch) -> None:
    with pytest.raises(Trouble, match=r"aws\.regions is empty and the environment names no region\. Set aws\.regions"):
        aws(cloud, regions=()).targets()


def test_a_profile_that_does_not_exist_is_named(cloud: CloudWatch) -> None:
    call = aws(cloud, profile="nobody").caller("cloudwatch", EU, Calls("x"))
    with pytest.raises(Trouble, match="nobody") as caught:
        call("ListMetrics", LIST)
    assert caught.value.cause == "credentials"


def test_without_credentials_the_failure_says_so(cloud: CloudWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Trouble, match="Unable to locate credentials") as caught:
        aws(cloud).caller("cloudwatch", EU, Calls("x"))("ListMetrics", LIST)
    assert caught.value.cause == "credentials"


def test_who_we_are_is_asked_once(cloud: CloudWatch) -> None:
    access, calls = aws(cloud), Calls("x")
    assert [access.number(EU, calls), access.number(EU, calls)] == [OWN_ACCOUNT, OWN_ACCOUNT]
    assert cloud.count("GetCallerIdentity") == 1


def test_a_role_is_taken_on_with_its_external_id_and_renewed_before_it_ends(cloud: CloudWatch) -> None:
    other = Account("test", "arn:aws:iam::444455556666:role/fleetwatch", "fw-7")
    target, access, calls = Target(other, "eu-west-1"), aws(cloud, other), Calls("x")
    assert access.identity(target, calls)["Account"] == "444455556666"
    access.identity(target, calls)
    assert cloud.count("AssumeRole") == 1
    [(_, _, asked)] = [item for item in cloud.asked if item[1] == "AssumeRole"]
    assert (asked["RoleArn"], asked["ExternalId"], asked["RoleSessionName"]) == (other.role_arn, "fw-7", "fleetwatch")
    cloud.now += 3600 - 500
    access.identity(target, calls)
    assert cloud.count("AssumeRole") == 2
    # The request within the request is counted under its own name.
    assert outcomes(calls, "AssumeRole") == {"ok": 2}
    assert outcomes(calls, "GetCallerIdentity") == {"ok": 3}


def test_a_role_that_may_not_be_taken_on_is_named(cloud: CloudWatch) -> None:
    other = Account("test", "arn:aws:iam::444455556666:role/fleetwatch")
    cloud.refuse["*", "AssumeRole"] = [denied("sts:AssumeRole")]
    with pytest.raises(Trouble) as caught:
        aws(cloud, other).caller("cloudwatch", Target(other, "eu-west-1"), Calls("x"))("ListMetrics", LIST)
    assert (caught.value.cause, caught.value.permission) == ("denied", "sts:AssumeRole")
    assert "test/eu-west-1" in caught.value.why


def test_throttled_attempts_are_repeated_and_counted(cloud: CloudWatch) -> None:
    cloud.refuse["*", "ListMetrics"] = [THROTTLED]
    calls = Calls("x")
    call = aws(cloud, attempts=2).caller("cloudwatch", EU, calls)
    with pytest.raises(Trouble) as caught:
        call("ListMetrics", LIST)
    assert caught.value.cause == "throttled"
    assert outcomes(calls, "ListMetrics") == {"throttled": 2}
    cloud.refuse.clear()
    call("ListMetrics", LIST)
    assert outcomes(calls, "ListMetrics") == {"throttled": 2, "ok": 1}


@pytest.mark.parametrize(("refusal", "attempts"), [(EXPIRED, 1), (BAD_TOKEN, 1), (denied("cloudwatch:ListMetrics"), 1)])
def test_what_no_repetition_mends_is_not_repeated(cloud: CloudWatch, refusal: Any, attempts: int) -> None:
    cloud.refuse["*", "ListMetrics"] = [refusal]
    calls = Calls("x")
    with pytest.raises(Trouble):
        aws(cloud).caller("cloudwatch", EU, calls)("ListMetrics", LIST)
    assert sum(outcomes(calls, "ListMetrics").values()) == attempts


def test_an_api_that_hangs_is_given_up(cloud: CloudWatch) -> None:
    cloud.silent.add("eu-west-1")
    calls = Calls("x")
    with pytest.raises(Trouble, match="Read timeout") as caught:
        aws(cloud, timeout=0.2, attempts=1).caller("cloudwatch", EU, calls)("ListMetrics", LIST)
    assert caught.value.cause == "unreachable"
    assert outcomes(calls, "ListMetrics") == {"unreachable": 1}


def test_nobody_listens_is_told_from_a_wrong_answer(cloud: CloudWatch) -> None:
    with pytest.raises(Trouble) as caught:
        aws(cloud, endpoint_url="http://127.0.0.1:9", attempts=1).caller("cloudwatch", EU, Calls("x"))(
            "ListMetrics", LIST
        )
    assert caught.value.cause == "unreachable"


def test_credentials_that_were_renewed_in_their_file_are_taken_without_a_restart(
    cloud: CloudWatch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    keys = tmp_path / "credentials"
    keys.write_text("[default]\naws_access_key_id = old-key\naws_secret_access_key = s\n")
    call = aws(cloud).caller("cloudwatch", EU, Calls("x"))
    with pytest.raises(Trouble):
        call("ListMetrics", LIST)
    keys.write_text("[default]\naws_access_key_id = own-key\naws_secret_access_key = s\n")
    assert call("ListMetrics", LIST)["Metrics"] == []


def test_a_region_that_takes_no_credentials_does_not_make_clients_anew_each_time(cloud: CloudWatch) -> None:
    cloud.refuse["me-south-1", "ListMetrics"] = [BAD_TOKEN]
    access, calls = aws(cloud), Calls("x")
    good, bad = access.caller("cloudwatch", EU, calls), access.caller("cloudwatch", OFF, calls)
    clients = set()
    for _ in range(5):
        with pytest.raises(Trouble):
            bad("ListMetrics", LIST)
        good("ListMetrics", LIST)
        clients.add(access._client("cloudwatch", EU))
    assert len(clients) == 1


def test_a_role_whose_credentials_end_early_is_taken_on_again(cloud: CloudWatch) -> None:
    other = Account("test", "arn:aws:iam::444455556666:role/fleetwatch")
    call = aws(cloud, other).caller("cloudwatch", Target(other, "eu-west-1"), Calls("x"))
    call("ListMetrics", LIST)
    cloud.refuse["*", "ListMetrics"] = [EXPIRED]
    with pytest.raises(Trouble, match="renew them"):
        call("ListMetrics", LIST)
    cloud.refuse.clear()
    call("ListMetrics", LIST)
    assert cloud.count("AssumeRole") == 2


def test_a_wrong_signature_does_not_repeat_the_request_with_its_token(cloud: CloudWatch) -> None:
    text = (
        "The request signature we calculated does not match.\n\nThe Canonical String for this request should have been"
        "\n'POST\nx-amz-security-token:canary'"
    )
    for words in (text, text.replace("\n", " ")):
        cloud.refuse["*", "ListMetrics"] = [Refusal(403, "SignatureDoesNotMatch", words)]
        with pytest.raises(Trouble, match="does not match") as caught:
            aws(cloud).caller("cloudwatch", EU, Calls("x"))("ListMetrics", LIST)
        assert caught.value.cause == "credentials"
        assert "canary" not in str(caught.value)


def test_the_exporter_says_its_name(cloud: CloudWatch) -> None:
    seen: list[str] = []
    access = aws(cloud)
    client = access._client("cloudwatch", EU)
    client.meta.events.register("before-send.*", lambda request, **_: seen.append(request.headers["User-Agent"]))
    access.caller("cloudwatch", EU, Calls("x"))("ListMetrics", LIST)
    assert b"fleetwatch/" in (seen[0] if isinstance(seen[0], bytes) else seen[0].encode())


def test_the_sdk_is_loaded_with_the_first_request_and_not_before() -> None:
    """A sidecar has the same `Here` and must not pay for a cloud that it never asks."""
    program = """
import sys
import fleetwatch.aws, fleetwatch.aws.session, fleetwatch.aws.calls, fleetwatch.collect.clouds
import fleetwatch.app.here
from fleetwatch.settings import Settings
fleetwatch.app.here.here_of(Settings())
print(sorted(name for name in sys.modules if name.partition(".")[0] in {"botocore", "boto3", "genai_prices"}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_an_unknown_identity_is_told(cloud: CloudWatch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own_identity(monkeypatch, tmp_path, "a-stranger")
    with pytest.raises(Trouble, match="InvalidClientTokenId"):
        aws(cloud).identity(EU, Calls("x"))
