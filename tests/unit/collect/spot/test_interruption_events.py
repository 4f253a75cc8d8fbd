"""Queues of EC2's events: each event is on disk before its message is deleted, and counts once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.app.commits import Commits
from fleetwatch.aws import Account
from fleetwatch.aws.calls import Trouble
from fleetwatch.aws.session import Call
from fleetwatch.catalogue import spot
from fleetwatch.collect.here import CommitError, Here, SpotQueue
from fleetwatch.collect.runner import NoData
from fleetwatch.collect.spot import _queue, interruption_events
from fleetwatch.collect.spot._queue import target_of
from fleetwatch.collect.spot.interruption_events import InterruptionEvents
from fleetwatch.ledger.query import Reader
from support import wait_for
from support_aws import NOW
from support_ec2 import OWN, REGION, Ec2
from support_spot_events import Reading, commits, counted

OTHER = "eu-west-1"
WARNING = "EC2 Spot Instance Interruption Warning"
HASTY = 5.0
"""Seconds for an answer; SQS is not asked to hold one back."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def way(path: Path) -> Iterator[Commits]:
    with commits(path) as opened:
        yield opened


def warn(ec2: Ec2, number: int, *, id: str = "", region: str = REGION) -> None:
    detail = {"instance-id": f"i-f{number:016x}", "instance-action": "terminate"}
    ec2.event(OWN, region, WARNING, detail, id=id or f"event-{number}")


def left(ec2: Ec2, url: str, region: str = REGION) -> tuple[int, int]:
    """Messages that wait, and those that somebody has and has not deleted."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = ec2.client("sqs", region).get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(found[names[0]]), int(found[names[1]])


def test_events_reach_the_ledger_once_and_leave_the_queue(ec2: Ec2, way: Commits, path: Path) -> None:
    """A backlog of several answers in one cycle, with duplicates."""
    url = ec2.queue()
    for number in range(34):
        warn(ec2, number)
    warn(ec2, 3)
    (machine,) = ec2.run("m7g.large", lifecycle="spot")
    ec2.rebalance(machine)
    ec2.take(machine)
    reading = Reading(ec2.aws(timeout=HASTY), way.commit, SpotQueue(url, REGION))
    reading.look()
    assert reading.failure is None
    assert left(ec2, url) == (0, 0)
    assert counted(path, spot.EVENTS) == {("warning",): 34, ("rebalance",): 1, ("state_change",): 1}
    assert counted(path, spot.EVENT_DUPLICATES) == {("warning",): 1}
    assert reading.value(spot.QUEUE_MESSAGES, OWN, REGION) == 0
    for reason in spot.REJECT.one_of:
        assert reading.value(spot.EVENTS_REJECTED, reason) == 0
    with Reader(path) as reader:
        taken = reader.interruptions()
    assert len(taken) == 35
    assert {(item.account, item.region) for item in taken} == {(OWN, REGION)}
    assert {item.warning for item in taken} == {NOW * 10**9, None}
    # What IAM has to allow is exactly this.
    assert reading.source.actions == {
        *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sts:GetCallerIdentity")
    }


def test_a_message_that_comes_while_sqs_holds_back_its_answer_is_read_at_once(
    ec2: Ec2, way: Commits, path: Path
) -> None:
    url = ec2.queue()
    reading = Reading(ec2.aws(timeout=10.0), way.commit, SpotQueue(url, REGION))
    late = threading.Timer(0.3, warn, (ec2, 1))
    late.start()
    reading.look()
    late.join()
    assert counted(path, spot.EVENTS) == {("warning",): 1}
    assert ec2.count("sqs:ReceiveMessage") == 2


def test_a_message_stays_until_its_record_is_on_disk(
    ec2: Ec2, way: Commits, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_queue, "HIDDEN", 1)
    url = ec2.queue()
    warn(ec2, 1)

    def full(_: Sequence[object]) -> None:
        raise CommitError("the disk is full")

    refused = Reading(ec2.aws(timeout=HASTY), full, SpotQueue(url, REGION))
    refused.look()
    assert "messages stay in the queue: the disk is full" in str(refused.failure)
    assert sum(left(ec2, url)) == 1
    assert ec2.count("sqs:DeleteMessageBatch") == 0
    reading = Reading(ec2.aws(timeout=HASTY), way.commit, SpotQueue(url, REGION))

    def came() -> bool:
        reading.look()
        return counted(path, spot.EVENTS) == {("warning",): 1}

    wait_for(came)
    assert left(ec2, url) == (0, 0)


def test_killed_between_commit_and_deletion_the_event_comes_again_and_changes_nothing(
    ec2: Ec2, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = ec2.queue()
    warn(ec2, 1)
    program = (
        "import sys, pathlib, support_spot_events as support; "
        "support.die_after_commit(pathlib.Path(sys.argv[1]), *sys.argv[2:])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(path), ec2.url, url]
    done = subprocess.run(command, env=environment, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert left(ec2, url) == (0, 1)
    # Its time of being hidden is over.
    ec2.event(OWN, REGION, WARNING, {"instance-id": f"i-f{1:016x}", "instance-action": "terminate"}, id="event-1")
    with commits(path) as way:
        reading = Reading(ec2.aws(timeout=HASTY), way.commit, SpotQueue(url, REGION))
        reading.look()
    assert counted(path, spot.EVENTS) == {("warning",): 1}
    assert counted(path, spot.EVENT_DUPLICATES) == {("warning",): 1}
    with Reader(path) as reader:
        assert len(reader.interruptions()) == 1


def test_a_deletion_that_fails_in_part_is_tried_again(
    ec2: Ec2, way: Commits, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = ec2.queue()
    for number in range(4):
        warn(ec2, number)
    reading = Reading(ec2.aws(timeout=HASTY), way.commit, SpotQueue(url, REGION))
    asked: list[int] = []

    def flaky(call: Call) -> Call:
        """SQS that does not delete the first of each batch, twice."""

        def answer(operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
            if operation != "DeleteMessageBatch":
                return call(operation, parameters)
            first, *others = parameters["Entries"]
            asked.append(len(parameters["Entries"]))
            if len(asked) > 2:
                return call(operation, parameters)
            done = call(operation, {**parameters, "Entries": others}) if others else {}
            failed = {"Id": first["Id"], "SenderFault": False, "Code": "InternalError"}
            return {**done, "Failed": [failed]}

        return answer

    caller = reading.here.aws.caller  # type: ignore[union-attr]
    monkeypatch.setattr(reading.here.aws, "caller", lambda *given: flaky(caller(*given)))
    reading.look()
    assert asked == [4, 1, 1]
    assert reading.failure is None
    assert left(ec2, url) == (0, 0)
    assert counted(path, spot.EVENTS) == {("warning",): 4}


def test_messages_that_are_none_are_counted_deleted_and_said_once(
    ec2: Ec2, way: Commits, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = ec2.queue()
    sqs = ec2.client("sqs")
    for body in ("secret words", "more secret words", '{"detail-type": "EC2 Fleet Error"}', "{}"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    ec2.event(OWN, REGION, WARNING, {"instance-id": "nobody"})
    warn(ec2, 1)
    reading = Reading(ec2.aws(timeout=HASTY), way.commit, SpotQueue(url, REGION))
    reading.look()
    assert left(ec2, url) == (0, 0)
    rejected = {reason: reading.value(spot.EVENTS_REJECTED, reason) for reason in spot.REJECT.one_of}
    assert rejected == {"not_json": 2, "unknown_kind": 1, "not_an_event": 1, "no_instance": 1, "too_large": 0}
    assert counted(path, spot.EVENTS) == {("warning",): 1}
    said = [record.getMessage() for record in caplog.records if "deleted unread" in record.getMessage()]
    assert len(said) == 4
    assert not any("secret" in text or "nobody" in text for text in said)


def test_a_queue_that_fails_hurts_only_itself(
    ec2: Ec2, way: Commits, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruption_events, "PATIENCE", 3.0)
    monkeypatch.setattr(interruption_events, "FIRST_PAUSE", 0.0)
    here, there = ec2.queue(), ec2.queue(region=OTHER)
    reading = Reading(ec2.aws(timeout=HASTY), way.commit, SpotQueue(here, REGION), SpotQueue(there, OTHER))
    for number, kind in enumerate(("denied", "hang")):
        warn(ec2, 2 * number)
        warn(ec2, 2 * number + 1, region=OTHER)
        ec2.refuse(kind, "sqs:ReceiveMessage", region=OTHER)
        reading.look()
        ec2.relent()
        assert reading.failure is not None
        assert OTHER in str(reading.failure)
        assert there not in str(reading.failure)  # it has the account's number
        assert [item.permission for item in reading.failure.denied] == ["sqs:ReceiveMessage"] * (kind == "denied")
        assert reading.value(spot.QUEUE_MESSAGES, OWN, REGION) == 0
        assert counted(path, spot.EVENTS) == {("warning",): number + 1}

    def both() -> bool:
        reading.look()
        return reading.failure is None and counted(path, spot.EVENTS) == {("warning",): 4}

    wait_for(both)


@pytest.mark.parametrize("kind", ["throttled", "denied"])
def test_a_queue_that_refuses_is_asked_less_and_less(
    ec2: Ec2, way: Commits, path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Ten minutes of cycles, a second apart."""
    now = [1000.0]
    monkeypatch.setattr(interruption_events, "monotonic", lambda: now[0])
    url = ec2.queue()
    reading = Reading(ec2.aws(timeout=HASTY), way.commit, SpotQueue(url, REGION))
    ec2.refuse(kind, "sqs:ReceiveMessage")
    for _ in range(600):
        reading.look()
        assert reading.failure is not None
        now[0] += 1
    assert ec2.count("sqs:ReceiveMessage") <= 16
    ec2.relent()
    warn(ec2, 1)
    now[0] += interruption_events.LONGEST_PAUSE
    reading.look()
    assert reading.failure is None
    assert counted(path, spot.EVENTS) == {("warning",): 1}


def test_messages_are_read_also_where_their_number_may_not_be_asked_for(ec2: Ec2, way: Commits, path: Path) -> None:
    url = ec2.queue()
    warn(ec2, 1)
    ec2.refuse("denied", "sqs:GetQueueAttributes")
    reading = Reading(ec2.aws(timeout=HASTY), way.commit, SpotQueue(url, REGION))
    reading.look()
    ec2.relent()
    assert [item.permission for item in reading.failure.denied] == ["sqs:GetQueueAttributes"]  # type: ignore[union-attr]
    assert reading.value(spot.QUEUE_MESSAGES, OWN, REGION) is None
    assert counted(path, spot.EVENTS) == {("warning",): 1}


def test_without_queues_or_a_ledger_there_is_nothing_to_read(ec2: Ec2, way: Commits) -> None:
    queue = SpotQueue("https://sqs.us-east-1.amazonaws.com/1/q")
    for reading in (Reading(ec2.aws(timeout=HASTY), way.commit), Reading(ec2.aws(timeout=HASTY), None, queue)):
        with pytest.raises(NoData):
            reading.look()
    with pytest.raises(NoData):
        list(InterruptionEvents(Here())())


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        (SpotQueue("https://sqs.eu-west-1.amazonaws.com/123456789012/q"), ("", "eu-west-1")),
        (SpotQueue("https://eu-west-1.queue.amazonaws.com/123456789012/q"), ("", "eu-west-1")),
        (SpotQueue("https://sqs.cn-north-1.amazonaws.com.cn/1/q", account="beta"), ("beta", "cn-north-1")),
        (SpotQueue("http://127.0.0.1:1/q", "us-east-1"), ("", "us-east-1")),
    ],
)
def test_where_a_queue_is(ec2: Ec2, queue: SpotQueue, expected: tuple[str, str]) -> None:
    target = target_of(queue, ec2.aws(accounts=(Account(), Account("beta", "arn:aws:iam::444455556666:role/x"))))
    assert (target.account.name, target.region) == expected


@pytest.mark.parametrize(
    ("queue", "words"),
    [
        (SpotQueue("https://queue.example/q"), "no region is in the address"),
        (SpotQueue("https://sqs.eu-west-1.amazonaws.com/1/q", account="gone"), 'one of aws.accounts, got "gone"'),
    ],
)
def test_a_queue_that_nobody_could_find_is_said(ec2: Ec2, queue: SpotQueue, words: str) -> None:
    with pytest.raises(Trouble, match=words):
        target_of(queue, ec2.aws())
