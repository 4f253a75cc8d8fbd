"""AWS by the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetwatch.app.cloud import ai_services_of, aws_of, spot_of, storage_of
from fleetwatch.app.exporter import Exporter
from fleetwatch.app.here import here_of
from fleetwatch.aws import Account, Target
from fleetwatch.settings import Settings, SettingsError
from fleetwatch.settings.model import AiServices, Aws, AwsAccount, Host
from fleetwatch.settings.spot import EventQueue, PlacementScore, Spot, SpotWorkload, Storage


def settings(tmp_path: Path, **aws: object) -> Settings:
    return Settings(data_dir=tmp_path, host=Host(enabled=False), aws=Aws(enabled=True, regions=["eu-west-1"], **aws))  # type: ignore[arg-type]  # passed on


def test_aws_is_not_asked_unless_it_is_switched_on(tmp_path: Path) -> None:
    assert aws_of(Settings(data_dir=tmp_path)) is None
    assert "bedrock" not in _sources(Settings(data_dir=tmp_path, host=Host(enabled=False)))


def test_switched_on_every_ai_service_is_a_source(tmp_path: Path) -> None:
    names = _sources(settings(tmp_path))
    assert {
        "bedrock",
        "bedrock_agents",
        "bedrock_guardrails",
        "agentcore",
        "q_business",
        "textract",
        "comprehend",
    } <= names


def _sources(found: Settings) -> set[str]:
    return {source.name for source in Exporter(found)._runner._sources}


def test_accounts_and_regions_are_the_settings(tmp_path: Path) -> None:
    role = "arn:aws:iam::444455556666:role/fleetwatch"
    aws = aws_of(settings(tmp_path, accounts=[AwsAccount(name="prod"), AwsAccount(role_arn=role, external_id="7")]))
    assert aws is not None
    assert aws.targets() == [
        Target(Account("prod"), "eu-west-1"),
        Target(Account("", role, "7"), "eu-west-1"),
    ]


@pytest.mark.parametrize(
    "url", ["http://vpce.example", "http://10.0.0.1:4566", "vpce.example", "https://", "ftp://localhost"]
)
def test_credentials_go_in_the_clear_to_this_machine_alone(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match=r"aws\.endpoint_url: expected an address like https"):
        aws_of(settings(tmp_path, endpoint_url=url))


def test_no_more_accounts_and_regions_than_can_be_told_apart(tmp_path: Path) -> None:
    accounts = [AwsAccount(name=f"a{number}") for number in range(51)]
    with pytest.raises(SettingsError, match=r"aws\.accounts: expected at most 50 \(labels\.limits\.account\), got 51"):
        aws_of(settings(tmp_path, accounts=accounts))
    assert aws_of(settings(tmp_path, accounts=accounts[:50])) is not None
    many = Aws(enabled=True, regions=[f"r{number}" for number in range(41)])
    with pytest.raises(SettingsError, match=r"aws\.regions: expected at most 40 \(labels\.limits\.region\), got 41"):
        aws_of(Settings(data_dir=tmp_path, aws=many))


@pytest.mark.parametrize("url", ["", "https://vpce.example", "http://127.0.0.1:4566", "http://localhost:4566"])
def test_endpoints_that_are_taken(tmp_path: Path, url: str) -> None:
    assert aws_of(settings(tmp_path, endpoint_url=url)) is not None


@pytest.mark.parametrize(
    ("accounts", "why"),
    [
        (
            [AwsAccount(role_arn="fleetwatch")],
            r'aws\.accounts\[0\]\.role_arn: expected arn:aws:iam.*, got "fleetwatch"',
        ),
        (
            [AwsAccount(name="a"), AwsAccount(name="a")],
            r"aws\.accounts\[1\]\.name: expected another than that of \[0\]",
        ),
        ([AwsAccount(), AwsAccount()], r"aws\.accounts\[1\]\.name"),
    ],
)
def test_accounts_that_cannot_be_meant_are_named(tmp_path: Path, accounts: list[AwsAccount], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        aws_of(settings(tmp_path, accounts=accounts))


def test_a_service_that_does_not_exist_is_named(tmp_path: Path) -> None:
    wrong = Settings(data_dir=tmp_path, ai_services=AiServices(invocations={"bedrok": "all"}))
    with pytest.raises(SettingsError, match=r"ai_services\.invocations\.bedrok: expected one of bedrock, "):
        ai_services_of(wrong)


def test_sources_keep_what_they_know_in_the_data_folder(tmp_path: Path) -> None:
    assert here_of(settings(tmp_path)).state == tmp_path / "collect"


QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/fleetwatch"


def test_machines_are_asked_about_as_the_settings_say(tmp_path: Path) -> None:
    assert spot_of(Settings(data_dir=tmp_path)) is None
    spot = Spot(
        enabled=True,
        team_tag="owner",
        queues=[EventQueue(url=QUEUE, account="prod")],
        scores=[PlacementScore(name="gpu", instance_types=["g5.xlarge"], unit="vcpu")],
        workloads=[SpotWorkload(name="db", eligible=False), SpotWorkload(name="indexer")],
        load=True,
    )
    found = Settings(data_dir=tmp_path, spot=spot, aws=Aws(accounts=[AwsAccount(name="prod")]))
    access = spot_of(found)
    assert access is not None
    assert (access.team_tag, access.workload_tag, access.load) == ("owner", "workload", True)
    assert access.queues == ((QUEUE, "", "prod"),)
    assert access.scores == (("gpu", ("g5.xlarge",), 10, "vcpu", True),)
    assert access.not_eligible == {"db"}
    here = here_of(found)
    assert (here.spot, here.storage) == (access, None)
    assert here.aws is not None


def test_storage_is_asked_about_as_the_settings_say(tmp_path: Path) -> None:
    assert storage_of(Settings(data_dir=tmp_path)) is None
    here = here_of(Settings(data_dir=tmp_path, storage=Storage(enabled=True, grace=3600)))
    assert here.storage == (3600, None)
    assert here.aws is not None


@pytest.mark.parametrize(
    ("spot", "why"),
    [
        ({"queues": [EventQueue(url="fleetwatch")]}, r"spot\.queues\[0\]\.url: expected an address like https://sqs\."),
        ({"queues": [EventQueue(url="http://sqs.example/1/q")]}, r"spot\.queues\[0\]\.url: expected an address"),
        ({"queues": [EventQueue(url="https://[sqs/1/q")]}, r"spot\.queues\[0\]\.url: expected an address"),
        (
            {"queues": [EventQueue(url=QUEUE, account="dev")]},
            r'spot\.queues\[0\]\.account: expected a name in aws\.accounts, got "dev"',
        ),
        (
            {"scores": [PlacementScore(name="gpu", instance_types=["g5.xlarge"])] * 2},
            r'spot\.scores\[1\]\.name: expected another than that of \[0\], got "gpu"',
        ),
    ],
)
def test_what_cannot_be_meant_of_machines_is_named(tmp_path: Path, spot: dict[str, object], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        spot_of(Settings(data_dir=tmp_path, spot=Spot(enabled=True, **spot)))  # type: ignore[arg-type]  # passed on
