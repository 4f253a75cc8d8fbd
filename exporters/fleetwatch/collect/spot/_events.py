"""Messages of EC2's events, as EventBridge, an Auto Scaling group or a topic between them puts them into a queue.

Shapes: EC2 user guide "Spot Instance interruption notices", "EC2 instance rebalance recommendations", "State change
events", "Monitor interruptible Capacity Reservations"; Auto Scaling user guide "EventBridge event reference"; Health
user guide "Amazon EventBridge schema". A message names machines by their id alone.

`time` is when AWS told; a machine that is terminated or stopped has two minutes from then, one that hibernates none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, cast

import msgspec

from fleetwatch.records.spot import Action, Signal, SpotSignal

MOST_CHARACTERS: Final = 1 << 20
"""Of a message; SQS takes no longer ones."""
MOST_MACHINES: Final = 1000
"""That one message may name; Health names some hundred."""
NOTICE: Final = 120 * 10**9
AHEAD: Final = 86_400 * 10**9
"""Nanoseconds by which a time may be after now; what is further ahead is no time."""

_SECOND: Final = 10**9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANCE: Final = re.compile(r"(?:.{0,2000}/)?(i-[0-9a-f]{8,17})")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_REGION: Final = re.compile(r"[a-z]{2,12}(?:-[a-z0-9]{1,12}){1,4}")
_PLAIN: Final = re.compile(r"[0-9A-Za-z._:-]{1,100}")
_TERMINATING: Final = "autoscaling:EC2_INSTANCE_TERMINATING"
_STATES: Final = frozenset({"pending", "running", "stopping", "stopped", "shutting-down", "terminated"})
_ACTIONS: Final = frozenset({"terminate", "stop", "hibernate"})


class Rejected(Exception):  # noqa: N818 - it says what became of a message
    """A message that is none of ours. reason: one of catalogue.spot.REJECT."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Message(NamedTuple):
    """What all kinds have in common."""

    key: str
    account: str
    region: str
    at: int
    received: int
    detail: Mapping[str, Any]


def parse(body: str, received: int) -> list[SpotSignal]:
    """What a message tells; nothing for one that is no news of a machine's end, as a test of a hook.

    received: Unix nanoseconds. account: the number, empty where it is not told, as the region. Raises Rejected.
    """
    if len(body) > MOST_CHARACTERS:
        raise Rejected("too_large")
    told = _decode(body)
    if told.get("Type") == "Notification" and isinstance(told.get("Message"), str):
        told = _decode(told["Message"])
    if "detail-type" in told:
        return _event(told, body, received)
    if "LifecycleTransition" in told or "Event" in told:
        return _lifecycle(_direct(told, body, received))
    raise Rejected("not_an_event")


def _decode(text: str) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Rejected("not_json") from None
    if not isinstance(told, dict):
        raise Rejected("not_an_event")
    return told


def _event(told: Mapping[str, Any], body: str, received: int) -> list[SpotSignal]:
    kind, detail = told["detail-type"], told.get("detail")
    read = _KINDS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise Rejected("unknown_kind")
    if not isinstance(detail, dict):
        raise Rejected("not_an_event")
    account, region = _one_of(_ACCOUNT, told.get("account")), _one_of(_REGION, told.get("region"))
    at = _time(told.get("time"), received) or received
    return read(_Message(_key(told.get("id"), body), account, region, at, received, detail))


def _direct(told: Mapping[str, Any], body: str, received: int) -> _Message:
    """Of an Auto Scaling group that tells the queue itself."""
    key = _key(told.get("LifecycleActionToken") or told.get("RequestId"), body)
    at = _time(told.get("Time"), received) or received
    return _Message(key, _one_of(_ACCOUNT, told.get("AccountId")), "", at, received, told)


def _warning(message: _Message) -> list[SpotSignal]:
    action = _action(message)
    due = message.at if action == "hibernate" else message.at + NOTICE
    return [_signal(message, "warning", action=action, due=due)]


def _reservation(message: _Message) -> list[SpotSignal]:
    due = _time(message.detail.get("instance-termination-time"), message.received)
    return [_signal(message, "reservation_warning", action=_action(message), due=due)]


def _rebalance(message: _Message) -> list[SpotSignal]:
    return [_signal(message, "rebalance")]


def _state_change(message: _Message) -> list[SpotSignal]:
    state = _text(message.detail.get("state"))
    if state not in _STATES:
        raise Rejected("not_an_event")
    return [_signal(message, "state_change", state=state)]


def _lifecycle(message: _Message) -> list[SpotSignal]:
    """Of a hook of an Auto Scaling group. One that is new tells the queue of itself, with a test."""
    detail = message.detail
    transition = _text(detail.get("LifecycleTransition"))
    if _text(detail.get("Event")).endswith("TEST_NOTIFICATION") or transition not in {"", _TERMINATING}:
        return []
    return [_signal(message, "lifecycle_action", named="EC2InstanceId", action="terminate")]


def _health(message: _Message) -> list[SpotSignal]:
    """Of AWS Health: one message for many machines. Other services and kinds are nobody's end."""
    detail = message.detail
    if detail.get("service") != "EC2" or detail.get("eventTypeCategory") != "scheduledChange":
        return []
    entities = detail.get("affectedEntities")
    listed = entities if isinstance(entities, list) else []
    values = [item.get("entityValue") for item in listed if isinstance(item, dict)]
    machines = dict.fromkeys(_instance(value) for value in values[:MOST_MACHINES])
    machines.pop("", None)
    if not machines:
        raise Rejected("no_instance")
    due = _time(detail.get("startTime"), message.received, ahead=400 * AHEAD)
    base = SpotSignal(
        message.key, "scheduled", "", message.account, message.region, message.at, message.received, due=due
    )
    return [base._replace(key=f"{message.key}/{machine}", instance=machine) for machine in machines]


def _signal(
    message: _Message,
    kind: Signal,
    *,
    named: str = "instance-id",
    action: Action = "unknown",
    due: int | None = None,
    state: str = "",
) -> SpotSignal:
    instance = _instance(message.detail.get(named))
    if not instance:
        raise Rejected("no_instance")
    return SpotSignal(
        *(message.key, kind, instance, message.account, message.region, message.at, message.received),
        action=action,
        due=due,
        state=state,
    )


_KINDS: Final[Mapping[str, Callable[[_Message], list[SpotSignal]]]] = {
    "EC2 Spot Instance Interruption Warning": _warning,
    "EC2 Instance Rebalance Recommendation": _rebalance,
    "EC2 Instance State-change Notification": _state_change,
    "EC2 Instance-terminate Lifecycle Action": _lifecycle,
    "AWS Health Event": _health,
    # AWS has told of it under both names.
    "EC2 Capacity Reservation Instance Interruption Warning": _reservation,
    "EC2 Interruptible Capacity Reservation Instance Interruption Warning": _reservation,
}


def _action(message: _Message) -> Action:
    action = _text(message.detail.get("instance-action"))
    return cast(Action, action) if action in _ACTIONS else "unknown"


def _instance(value: object) -> str:
    """The id, of an ARN its last part; empty for what is none."""
    found = _INSTANCE.fullmatch(value) if isinstance(value, str) and len(value) < 2048 else None
    return found[1] if found else ""


def _key(given: object, body: str) -> str:
    """What tells the message from others: its own id. One without has its text; a strange one is shortened."""
    if isinstance(given, str) and _PLAIN.fullmatch(given):
        return given
    text = given if isinstance(given, str) and given else body
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _time(value: object, received: int, ahead: int = AHEAD) -> int | None:
    """Unix nanoseconds; None for what is no time, or not one of this world's."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    moment = _iso_time(value) or _health_time(value)
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    gone = moment - _EPOCH
    at = (gone.days * 86_400 + gone.seconds) * _SECOND + gone.microseconds * 1000
    return at if 0 < at <= received + ahead else None


def _iso_time(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def _health_time(value: str) -> datetime | None:
    """Health writes `Sat, 05 Nov 2026 15:15:15 GMT` within its details."""
    try:
        return datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None


def _one_of(pattern: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
