"""`fleetwatch doctor` where machines of AWS are asked about: what is reachable, which right is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import free_port
from support_aws import own_identity
from support_cli import run
from support_ec2 import Ec2, ec2_cloud


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ec2]:
    import time

    own_identity(monkeypatch, tmp_path)
    with ec2_cloud(time.time()) as server:
        server.run("m7g.large", tags={"workload": "search"})
        server.price("m7g.large", 0.04)
        server.list_price("m7g.large", 0.08)
        yield server


def asked(folder: Path, ec2: Ec2, **sections: Any) -> tuple[int, dict[tuple[str, str], dict[str, str]]]:
    """Exit status, and findings by area and what."""
    text = {
        "data_dir": str(folder / "data"),
        "host": {"enabled": False},
        "web": {"listen": f"127.0.0.1:{free_port()}"},
        "receive": {"http": {"listen": "127.0.0.1:0"}, "grpc": {"listen": "127.0.0.1:0"}},
        "aws": {"regions": ["us-east-1"], "endpoint_url": ec2.url, "attempts": 1, "timeout": 5},
        **sections,
    }
    (folder / "fleetwatch.yml").write_text(json.dumps(text), encoding="utf-8")
    told = run(folder, "doctor", "--format", "json")
    return told.exit_code, {(item["area"], item["what"]): item for item in json.loads(told.stdout)}


def test_prices_are_asked_of_the_machines_that_there_are(tmp_path: Path, ec2: Ec2) -> None:
    status, found = asked(tmp_path, ec2, spot={"enabled": True, "advisor_url": ""})
    assert status == 0
    assert found["aws", "identity in the own account"]["state"] == "ok"
    assert "series in" in found["sources", "ec2_fleet"]["detail"]
    assert "series in" in found["sources", "spot_prices"]["detail"]
    assert "no queue" in found["spot", "queue"]["detail"]
    assert ec2.count("ec2:DescribeSpotPriceHistory") == 1


def test_a_right_and_a_queue_that_are_missing_are_named_with_their_fix(tmp_path: Path, ec2: Ec2) -> None:
    ec2.refuse("denied", "ec2:DescribeSpotPriceHistory")
    ec2.refuse("denied", "sqs:GetQueueAttributes")
    queue = {"url": f"{ec2.url}/111122223333/events", "region": "us-east-1"}
    status, found = asked(tmp_path, ec2, spot={"enabled": True, "advisor_url": "", "queues": [queue]})
    assert status == 1
    for place, permission in (
        (("sources", "spot_prices"), "ec2:DescribeSpotPriceHistory"),
        (("spot", "queue events"), "sqs:GetQueueAttributes"),
    ):
        assert found[place]["permission"] == permission
        assert f"Allow {permission}" in found[place]["fix"]
    assert found["sources", "ec2_fleet"]["state"] == "ok"
    assert found["sources", "interruption_events"]["state"] == "skipped"
    assert ec2.count("sqs:ReceiveMessage") == ec2.count("sqs:DeleteMessage") == 0
