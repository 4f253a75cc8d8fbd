"""`fleetwatch doctor` names what is in the way, and the way round it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.stack.state import Member, State, identity
from support import free_port
from support_aws import MODEL, each_minute, own_identity
from support_cli import run
from support_cloudwatch import EXPIRED, CloudWatch, Refusal, cloudwatch, denied
from support_house import House

CANARY = "canary-0123456789-of-a-key"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudWatch]:
    import time

    own_identity(monkeypatch, tmp_path)
    with cloudwatch(time.time()) as server:
        server.put("Invocations", each_minute(5, 30, since=server.now // 60 * 60 - 1800), ModelId=MODEL)
        yield server


def settings(folder: Path, **sections: Any) -> None:
    """Settings without this machine's own sources, on ports of their own."""
    text = {
        "data_dir": str(folder / "data"),
        "host": {"enabled": False},
        "web": {"listen": f"127.0.0.1:{free_port()}"},
        "receive": {"http": {"listen": "127.0.0.1:0"}, "grpc": {"listen": "127.0.0.1:0"}},
        **sections,
    }
    (folder / "fleetwatch.yml").write_text(json.dumps(text), encoding="utf-8")


def asked(folder: Path, *more: str) -> tuple[int, dict[tuple[str, str], dict[str, str]]]:
    """Exit status, and findings by area and what."""
    told = run(folder, "doctor", "--format", "json", *more)
    return told.exit_code, {(item["area"], item["what"]): item for item in json.loads(told.stdout)}


def test_where_all_is_well_it_says_so_and_changes_nothing(tmp_path: Path, cloud: CloudWatch) -> None:
    settings(tmp_path, aws={"enabled": True, "regions": ["eu-west-1"], "endpoint_url": cloud.url})
    status, found = asked(tmp_path)
    assert status == 0
    assert found["aws", "identity in the own account"]["detail"].startswith("arn:aws:sts::111122223333:")
    assert "series in" in found["sources", "bedrock"]["detail"]
    assert found["sources", "textract"]["state"] == "ok"
    assert found["ledger", "file"]["detail"].endswith("the exporter makes it when it starts")
    assert not (tmp_path / "data").exists()
    assert cloud.wrong == []


def test_a_program_that_up_started_is_on_this_machine(tmp_path: Path) -> None:
    """Whatever PATH says in the shell of whoever asks."""
    settings(tmp_path)
    pid = os.getpid()
    State(tmp_path / "data").save("up", {"otel-collector": Member(pid, identity(pid), "127.0.0.1:4318", "", 0)})
    finding = asked(tmp_path)[1]["stack", "otel-collector"]
    assert finding["state"] == "ok"
    assert finding["detail"] == f"running: started by `up`, process {pid}, 127.0.0.1:4318"


def test_a_program_that_up_started_and_that_is_gone_is_trouble(tmp_path: Path) -> None:
    settings(tmp_path)
    State(tmp_path / "data").save("up", {"otel-collector": Member(os.getpid(), 1.0, "127.0.0.1:4318", "", 0)})
    status, found = asked(tmp_path)
    assert status == 1
    assert found["stack", "otel-collector"]["detail"].startswith("gone: ")


@pytest.mark.parametrize("operation", ["ListMetrics", "GetMetricData"])
def test_a_missing_permission_is_named_with_the_way_to_give_it(
    tmp_path: Path, cloud: CloudWatch, operation: str
) -> None:
    settings(tmp_path, aws={"enabled": True, "regions": ["eu-west-1"], "endpoint_url": cloud.url})
    cloud.refuse["*", operation] = [denied(f"cloudwatch:{operation}")]
    status, found = asked(tmp_path)
    assert status == 1
    finding = found["sources", "bedrock"]
    assert (finding["state"], finding["permission"]) == ("trouble", f"cloudwatch:{operation}")
    assert "as in deploy/aws/ai-services-policy.json" in finding["fix"]


def test_a_role_that_may_not_be_taken_on_is_named(tmp_path: Path, cloud: CloudWatch) -> None:
    accounts = [{"name": "prod", "role_arn": "arn:aws:iam::444455556666:role/fleetwatch"}]
    settings(tmp_path, aws={"enabled": True, "regions": ["eu-west-1"], "endpoint_url": cloud.url, "accounts": accounts})
    cloud.refuse["*", "AssumeRole"] = [denied("sts:AssumeRole")]
    status, found = asked(tmp_path)
    assert status == 1
    assert found["aws", "identity in prod"]["permission"] == "sts:AssumeRole"


def test_expired_credentials_are_no_missing_permission(tmp_path: Path, cloud: CloudWatch) -> None:
    settings(tmp_path, aws={"enabled": True, "regions": ["eu-west-1"], "endpoint_url": cloud.url})
    cloud.refuse["*", "GetCallerIdentity"] = [EXPIRED]
    status, found = asked(tmp_path)
    finding = found["aws", "identity in the own account"]
    assert (status, finding["permission"]) == (1, "")
    assert "renew them" in finding["fix"]


def test_a_port_of_another_program_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        settings(tmp_path, web={"listen": address})
        status, found = asked(tmp_path)
    finding = found["ports", "web.listen"]
    assert (status, finding["state"]) == (1, "trouble")
    assert f"{address} is in use by" in finding["detail"]
    assert "set web.listen to another address" in finding["fix"]


def test_a_running_exporter_is_no_trouble(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        status, found = asked_of(house)
    assert found["exporter", "ready"] == {
        "area": "exporter",
        "what": "ready",
        "state": "ok",
        "detail": f"http://{house.web}",
        "fix": "",
        "permission": "",
    }
    assert found["ports", "web.listen"]["state"] == "ok"
    assert found["ledger", "file"]["state"] == "ok"
    assert status == 0


def asked_of(house: House) -> tuple[int, dict[tuple[str, str], dict[str, str]]]:
    return asked(house.config.parent)


def test_secrets_that_are_missing_empty_or_open_are_named(tmp_path: Path) -> None:
    empty, open_to_all = tmp_path / "empty", tmp_path / "open"
    empty.write_text("\n")
    open_to_all.write_text("https://hooks.example/x\n")
    open_to_all.chmod(0o644)
    empty.chmod(0o600)
    settings(
        tmp_path,
        stack={
            "slack_url_file": str(open_to_all),
            "pagerduty_key_file": str(empty),
            "deadman_url_file": str(tmp_path / "nowhere"),
        },
    )
    status, found = asked(tmp_path)
    assert status == 1
    assert found["files", "stack.slack_url_file"]["fix"] == f"chmod 600 {open_to_all}"
    assert found["files", "stack.slack_url_file"]["state"] == "note"
    assert found["files", "stack.pagerduty_key_file"]["detail"] == f"{empty} is empty"
    assert "No such file" in found["files", "stack.deadman_url_file"]["detail"]


def test_a_key_of_a_bill_is_looked_at(tmp_path: Path) -> None:
    settings(tmp_path, bills={"openai": {"key_file": str(tmp_path / "no-key"), "url": "http://127.0.0.1:9"}})
    status, found = asked(tmp_path)
    assert status == 1
    assert found["files", "bills.openai.key_file"]["state"] == "trouble"
    assert found["sources", "openai"]["state"] == "trouble"


def test_what_costs_money_is_not_asked_unless_told(tmp_path: Path) -> None:
    settings(tmp_path, bills={"aws": {"enabled": True}})
    _, found = asked(tmp_path)
    assert found["sources", "aws_cost"]["state"] == "skipped"
    assert "0.01 USD" in found["sources", "aws_cost"]["detail"]


def test_the_bill_of_aws_alone_needs_no_region(tmp_path: Path, cloud: CloudWatch) -> None:
    settings(tmp_path, aws={"endpoint_url": cloud.url}, bills={"aws": {"enabled": True}})
    status, found = asked(tmp_path)
    assert found["aws", "identity in the own account"]["state"] == "ok"
    assert (status, found["sources", "aws_cost"]["state"]) == (0, "skipped")


def test_without_an_identity_no_source_of_aws_is_asked(tmp_path: Path, cloud: CloudWatch) -> None:
    settings(tmp_path, aws={"enabled": True, "regions": ["eu-west-1"], "endpoint_url": cloud.url})
    cloud.refuse["*", "GetCallerIdentity"] = [EXPIRED]
    status, found = asked(tmp_path)
    assert (status, found["sources", "bedrock"]["state"]) == (1, "skipped")
    assert {operation for _, operation, _ in cloud.asked} == {"GetCallerIdentity"}
    assert len(cloud.asked) == 1


def test_what_all_sources_lack_is_said_once(tmp_path: Path, cloud: CloudWatch) -> None:
    settings(tmp_path, aws={"enabled": True, "regions": ["eu-west-1", "us-east-1"], "endpoint_url": cloud.url})
    cloud.refuse["*", "ListMetrics"] = [denied("cloudwatch:ListMetrics")]
    told = run(tmp_path, "doctor").stdout
    assert told.count("missing: cloudwatch:ListMetrics") == told.count("fix: Allow cloudwatch:ListMetrics") == 1
    assert "trouble   sources, agentcore, bedrock, bedrock_agents," in told
    assert "(and 1 more of this kind)" in told
    assert told.splitlines()[-1].startswith("7 troubles, ")


def test_keys_are_in_nothing_that_it_says(
    tmp_path: Path, cloud: CloudWatch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "fleetwatch")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", CANARY)
    for name in ("openai", "anthropic"):
        (tmp_path / name).write_text(CANARY)
    settings(
        tmp_path,
        aws={"enabled": True, "regions": ["eu-west-1"], "endpoint_url": cloud.url},
        bills={
            "openai": {"key_file": str(tmp_path / "openai"), "url": cloud.url},
            "anthropic": {"key_file": str(tmp_path / "anthropic"), "url": "http://127.0.0.1:9"},
            "aws": {"enabled": True},
        },
    )
    repeated = f"does not match\n\nThe Canonical String is\nx-amz-security-token:{CANARY}"
    cloud.refuse["*", "GetMetricData"] = [Refusal(403, "SignatureDoesNotMatch", repeated)]
    for style in ("text", "json"):
        told = run(tmp_path, "doctor", "--all", "--paid", "--format", style)
        assert told.exit_code == 1
        assert "SignatureDoesNotMatch" in told.stdout
        assert CANARY not in told.stdout + told.stderr + caplog.text


def test_settings_that_make_no_exporter_are_a_finding(tmp_path: Path) -> None:
    settings(tmp_path, collect={"nobody": {"enabled": False}})
    status, found = asked(tmp_path)
    assert status == 1
    assert found["settings", "all"]["detail"].startswith("collect.nobody: expected one of")
    assert found["sources", "all"]["detail"] == "not asked: the settings do not hold"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    settings(tmp_path, data_dir=str(tmp_path / "a file" / "data"))
    status, found = asked(tmp_path)
    assert (status, found["ledger", "folder"]["state"]) == (1, "trouble")


def test_a_damaged_ledger_is_named(tmp_path: Path) -> None:
    settings(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ledger.db").write_bytes(b"no database at all" * 100)
    status, found = asked(tmp_path)
    assert (status, found["ledger", "file"]["state"]) == (1, "trouble")


def test_the_text_says_what_is_wrong_and_counts_the_rest(tmp_path: Path, cloud: CloudWatch) -> None:
    settings(tmp_path, aws={"enabled": True, "regions": ["eu-west-1"], "endpoint_url": cloud.url})
    cloud.refuse["*", "GetMetricData"] = [denied("cloudwatch:GetMetricData")]
    told = run(tmp_path, "doctor")
    assert told.exit_code == 1
    lines = told.stdout.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("trouble"))
    assert lines[place].startswith("trouble   sources, bedrock: cloudwatch:GetMetricData in eu-west-1: AccessDenied")
    assert lines[place + 1] == "          missing: cloudwatch:GetMetricData"
    assert lines[place + 2].startswith("          fix: Allow cloudwatch:GetMetricData")
    assert lines[-1].startswith("1 trouble, ")
    assert not [line for line in lines if line.startswith("ok")]
    assert [line for line in run(tmp_path, "doctor", "--all").stdout.splitlines() if line.startswith("ok")]


def test_settings_that_cannot_be_read_end_it_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "fleetwatch.yml").write_text("aws: {enabled: perhaps}\n")
    told = run(tmp_path, "doctor")
    assert told.exit_code != 0
    assert "aws.enabled: expected true or false" in str(told.exception)
