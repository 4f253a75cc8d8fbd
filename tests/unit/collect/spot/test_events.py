"""Messages of EC2's events become records; what is none of them is named, and does no harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue.spot import REJECT
from fleetwatch.collect.spot._events import MOST_CHARACTERS, Rejected, parse
from fleetwatch.records.spot import SpotSignal

SECOND = 10**9
AT = 1_795_262_400 * SECOND
"""2026-11-21 12:00 UTC."""
RECEIVED = AT + 3 * SECOND
ID = "i-0123456789abcdef0"
REBALANCE = "EC2 Instance Rebalance Recommendation"


def envelope(detail_type: str, detail: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As EventBridge writes it."""
    return {
        "version": "0",
        "id": "1e5527d7-bb36-4607-3370-4164db56a40e",
        "detail-type": detail_type,
        "source": "aws.ec2",
        "account": "123456789012",
        "time": "2026-11-21T12:00:00Z",
        "region": "us-east-1",
        # Without the account: as AWS writes it.
        "resources": [f"arn:aws:ec2:us-east-1b:instance/{ID}"],
        "detail": detail,
        **more,
    }


def read(told: object, received: int = RECEIVED) -> list[SpotSignal]:
    return parse(json.dumps(told), received)


USUAL = SpotSignal(
    "1e5527d7-bb36-4607-3370-4164db56a40e", "warning", ID, "123456789012", "us-east-1", AT, RECEIVED
)  # fmt: skip
WARNING = envelope("EC2 Spot Instance Interruption Warning", {"instance-id": ID, "instance-action": "terminate"})


@pytest.mark.parametrize(("action", "lead"), [("terminate", 120), ("stop", 120), ("hibernate", 0)])
def test_a_warning_says_when_it_acts(action: str, lead: int) -> None:
    told = envelope("EC2 Spot Instance Interruption Warning", {"instance-id": ID, "instance-action": action})
    assert read(told) == [USUAL._replace(action=action, due=AT + lead * SECOND)]  # type: ignore[arg-type]


def test_a_rebalance_recommendation() -> None:
    assert read(envelope(REBALANCE, {"instance-id": ID})) == [USUAL._replace(kind="rebalance")]


@pytest.mark.parametrize("state", ["pending", "running", "stopping", "stopped", "shutting-down", "terminated"])
def test_a_change_of_state(state: str) -> None:
    told = envelope("EC2 Instance State-change Notification", {"instance-id": ID, "state": state})
    assert read(told) == [USUAL._replace(kind="state_change", state=state)]


@pytest.mark.parametrize("word", ["", "Interruptible "])
def test_a_reservation_that_ends_under_both_of_its_names(word: str) -> None:
    detail = {
        "instance-id": ID,
        "instance-action": "terminate",
        "instance-termination-time": "2026-11-21T12:02:30Z",
        "azId": "use1-az1",
    }
    told = envelope(
        f"EC2 {word}Capacity Reservation Instance Interruption Warning",
        detail,
        resources=f"arn:aws:ec2:us-east-1:123456789012:instance/{ID}",
    )
    assert read(told) == [USUAL._replace(kind="reservation_warning", action="terminate", due=AT + 150 * SECOND)]


HOOK = {
    "LifecycleActionToken": "87654321-4321-4321-4321-210987654321",
    "AutoScalingGroupName": "workers",
    "LifecycleHookName": "drain",
    "EC2InstanceId": ID,
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
}


def test_a_hook_of_an_auto_scaling_group() -> None:
    told = envelope("EC2 Instance-terminate Lifecycle Action", HOOK, source="aws.autoscaling")
    assert read(told) == [USUAL._replace(kind="lifecycle_action", action="terminate")]


def test_a_hook_that_tells_the_queue_itself() -> None:
    told = {**HOOK, "Service": "AWS Auto Scaling", "Time": "2026-11-21T12:00:00.250Z", "AccountId": "123456789012"}
    key = HOOK["LifecycleActionToken"]
    expected = USUAL._replace(key=key, kind="lifecycle_action", region="", at=AT + SECOND // 4, action="terminate")
    assert read(told) == [expected]


@pytest.mark.parametrize(
    "told",
    [
        {"Event": "autoscaling:TEST_NOTIFICATION", "AutoScalingGroupName": "workers", "Time": "2026-11-21T12:00:00Z"},
        envelope("EC2 Instance-terminate Lifecycle Action", {**HOOK, "LifecycleTransition": "TEST_NOTIFICATION"}),
        {**HOOK, "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"},
        envelope("AWS Health Event", {"service": "RDS", "eventTypeCategory": "scheduledChange"}, source="aws.health"),
        envelope("AWS Health Event", {"service": "EC2", "eventTypeCategory": "issue"}, source="aws.health"),
    ],
)
def test_what_is_no_news_of_a_machines_end_is_left_out(told: dict[str, Any]) -> None:
    assert read(told) == []


def test_health_names_many_machines_in_one_message() -> None:
    names = [f"i-{number:017x}" for number in range(300)]
    values = [*names, names[0], f"arn:aws:ec2:us-east-1:1:instance/{ID}", "vol-1", None, 7]
    detail = {
        "service": "EC2",
        "eventTypeCategory": "scheduledChange",
        "eventTypeCode": "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED",
        "startTime": "Sat, 05 Dec 2026 15:00:00 GMT",
        "affectedEntities": [{"entityValue": value} for value in values],
    }
    found = read(envelope("AWS Health Event", detail, source="aws.health"))
    assert [item.instance for item in found] == [*names, ID]
    assert len({item.key for item in found}) == 301
    assert {item.due for item in found} == {1_796_482_800 * SECOND}


def test_a_message_that_came_over_a_topic() -> None:
    topic = {"Type": "Notification", "MessageId": "x", "Message": json.dumps(WARNING)}
    assert read(topic) == read(WARNING)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not_json"),
        ("{", "not_json"),
        ("[" * 100_000, "not_json"),
        ('{"a": "\ud800"}', "not_json"),
        ("[]", "not_an_event"),
        ("7", "not_an_event"),
        ("{}", "not_an_event"),
        ('{"Type": "Notification", "Message": "hello"}', "not_json"),
        (json.dumps(envelope("EC2 Spot Instance Interruption Warning", [])), "not_an_event"),  # type: ignore[arg-type]
        (json.dumps(envelope("EC2 Fleet Error", {})), "unknown_kind"),
        (json.dumps({"detail-type": {"a": 1}}), "unknown_kind"),
        (json.dumps(envelope(REBALANCE, {})), "no_instance"),
        (json.dumps(envelope(REBALANCE, {"instance-id": [ID]})), "no_instance"),
        (json.dumps(envelope(REBALANCE, {"instance-id": "i-" + "a" * 10_000})), "no_instance"),
        (json.dumps(envelope(REBALANCE, {"instance-id": "i-०१२३४५६७"})), "no_instance"),
        (
            json.dumps(envelope("EC2 Instance State-change Notification", {"instance-id": ID, "state": {}})),
            "not_an_event",
        ),
        (" " * (MOST_CHARACTERS + 1), "too_large"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_cannot_be_read_is_named(body: str, reason: str) -> None:
    with pytest.raises(Rejected) as rejected:
        parse(body, RECEIVED)
    assert rejected.value.reason == reason


@pytest.mark.parametrize(
    "time",
    ["", "yesterday", 7, None, "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "2026-11-23T12:00:00Z", "x" * 10_000],
)
def test_a_time_that_cannot_be_is_when_it_was_read(time: object) -> None:
    (found,) = read({**WARNING, "time": time})
    assert (found.at, found.due) == (RECEIVED, RECEIVED + 120 * SECOND)


def test_a_clock_that_is_an_hour_ahead_is_believed() -> None:
    (found,) = read({**WARNING, "time": "2026-11-21T13:00:00Z"})
    assert found.at == AT + 3600 * SECOND


@pytest.mark.parametrize(("field", "value"), [("account", 123456789012), ("account", "12"), ("region", "us east")])
def test_an_account_or_region_that_is_none_is_left_out(field: str, value: object) -> None:
    (found,) = read({**WARNING, field: value})
    assert getattr(found, field) == ""


def test_a_message_without_an_id_is_known_by_its_text() -> None:
    first, again = ({key: value for key, value in WARNING.items() if key != "id"} for _ in range(2))
    assert read(first)[0].key == read(again)[0].key
    assert read({**first, "time": "2026-11-21T12:00:01Z"})[0].key != read(first)[0].key


@pytest.mark.parametrize("key", ["x" * 10_000, "a b", "\u202e", 7])
def test_a_strange_id_is_shortened(key: object) -> None:
    (found,) = read({**WARNING, "id": key})
    assert len(found.key) == 32
    assert found.key.isascii()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
KINDS = [
    "EC2 Spot Instance Interruption Warning",
    "EC2 Instance Rebalance Recommendation",
    "EC2 Instance State-change Notification",
    "EC2 Instance-terminate Lifecycle Action",
    "AWS Health Event",
    "EC2 Capacity Reservation Instance Interruption Warning",
]
NAMES = [
    *("instance-id", "instance-action", "state", "service", "eventTypeCategory", "affectedEntities", "startTime"),
    *("EC2InstanceId", "LifecycleTransition", "Event", "instance-termination-time"),
]
MEANT = st.sampled_from([ID, "EC2", "scheduledChange", "terminated", "2026-11-21T12:00:00Z", [{"entityValue": ID}]])
DETAILS = st.dictionaries(st.sampled_from(NAMES), MEANT | VALUES)
MESSAGES = st.fixed_dictionaries(
    {"detail-type": st.sampled_from(KINDS) | VALUES, "detail": DETAILS | VALUES},
    optional=dict.fromkeys(("id", "time", "account", "region", "resources", "Type", "Message", "Event"), VALUES),
)


def read_or_named(body: str) -> list[SpotSignal]:
    """What a message tells; nothing for one that is rejected for a reason that has a name."""
    reason = ""
    try:
        return parse(body, RECEIVED)
    except Rejected as rejected:
        reason = rejected.reason
    assert reason in REJECT.one_of
    return []


@given(MESSAGES | DETAILS | VALUES)
def test_whatever_comes_is_read_or_rejected_and_stays_in_its_bounds(told: object) -> None:
    for item in read_or_named(json.dumps(told)):
        assert item.instance == ID
        assert len(item.key) <= 120
        assert 0 < item.at <= RECEIVED + 86_400 * SECOND
        assert item.due is None or 0 < item.due < 2**63
        assert item.account == "" or len(item.account) == 12


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_text_is_rejected_or_read(body: bytes) -> None:
    assert read_or_named(body.decode("utf-8", "surrogateescape")) == []
