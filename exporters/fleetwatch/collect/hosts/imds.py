"""Notices of EC2 to a spot machine, and what EC2 says that the machine is.

host_spot_action_timestamp_seconds{action="terminate"} 1.7637e+09
host_spot_rebalance_timestamp_seconds 1.7636e+09

The action's time is when the machine goes, not when the notice came. A notice whose time has passed is shown for as
long as the machine lives. Region, zone, instance type and lifecycle become facts that host_info shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.here import Here
from fleetwatch.collect.hosts._imds_client import Client, Unexpected, Unreachable, shown
from fleetwatch.collect.hosts._kind import on_ec2
from fleetwatch.collect.hosts._read import each, parts
from fleetwatch.collect.runner import Incomplete, NoData, source

FACTS_SECONDS = 3600.0
"""From one question for facts to the next. An instance changes its type only while it is stopped."""

AGAIN_SECONDS = 60.0
"""The same, where not all could be had."""

_ACTION = "spot/instance-action"
_REBALANCE = "events/recommendations/rebalance"


class _Fact(NamedTuple):
    """Where a fact is, and its form, so that the page of a foreign server never becomes a label."""

    path: str
    form: str
    example: str


# Patterns are compiled at first use: most machines are not on EC2, and all of them pay for the start.
_FACTS = {
    "instance_type": _Fact("instance-type", r"[a-z][a-z0-9-]*\.[a-z0-9-]+", "m5.large"),
    "zone": _Fact("placement/availability-zone-id", r"[a-z0-9]+(-[a-z0-9]+)+", "use1-az4"),
    "region": _Fact("placement/region", r"[a-z]+(-[a-z]+)+-\d+", "us-east-1"),
    "lifecycle": _Fact("instance-life-cycle", r"[a-z]+(-[a-z]+)*", "spot"),
}
_LONGEST_FACT = 40

_ZULU = r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d{1,9})?Z"


@source(interval=5)
class Imds:
    """Asks for the two notices in each cycle, over one kept connection, and rarely for facts."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._client: Client | None = None
        self._elsewhere = False
        self._facts_at = 0.0
        self._facts_due = 0.0

    def __call__(self) -> Iterator[Sample]:
        """NoData off EC2, without a word on the network. Raises Unreachable, Incomplete, ValueError."""
        if self._client is None:
            if self._elsewhere or not (self._here.imds != Here.imds or on_ec2(self._here)):
                self._elsewhere = True
                raise NoData
            self._client = Client(self._here.imds, self._here.clock)
        client = self._client
        # Notices first: they have two minutes, facts have an hour.
        yield from parts(lambda: _action(client), lambda: _rebalance(client), lambda: self._facts(client))

    def _facts(self, client: Client) -> Iterator[Sample]:
        now = self._here.clock()
        if self._facts_at <= now < self._facts_due:  # a clock that was set back asks again
            return
        self._facts_at, self._facts_due = now, now + AGAIN_SECONDS
        try:
            yield from each(_FACTS, lambda name: self._fact(client, name))
        except Unreachable as error:
            raise Incomplete(str(error)) from None  # the notices of this cycle count
        self._facts_due = now + FACTS_SECONDS

    def _fact(self, client: Client, name: str) -> Iterator[Sample]:
        """Sets a fact; there is nothing to show here."""
        path, form, example = _FACTS[name]
        found = client.get(path)
        if found is None:
            return
        if len(found) > _LONGEST_FACT or not re.fullmatch(form, found, re.ASCII):
            raise Unexpected(f"{path}: expected a name such as {example}, got {shown(found.encode())}")
        self._here.facts[name] = found
        yield from ()


def _action(client: Client) -> Iterator[Sample]:
    notice = _notice(client, _ACTION, "action", "time")
    if notice:
        what, when = notice
        known = what if what in hosts.ACTION.one_of else "other"
        yield hosts.SPOT_ACTION(zulu(when, f"{_ACTION}: time"), action=known)


def _rebalance(client: Client) -> Iterator[Sample]:
    notice = _notice(client, _REBALANCE, "noticeTime")
    if notice:
        yield hosts.REBALANCE(zulu(notice[0], f"{_REBALANCE}: noticeTime"))


def _notice(client: Client, path: str, *fields: str) -> list[str]:
    """The fields of a notice, empty without one."""
    body = client.get(path)
    if body is None:
        return []
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    given = [found.get(name) for name in fields] if isinstance(found, dict) else []
    values = [value for value in given if isinstance(value, str)]
    if len(values) != len(fields):
        raise Unexpected(f"{path}: expected JSON with {' and '.join(fields)}, got {shown(body.encode())}")
    return values


def zulu(word: str, where: str) -> float:
    """Unix time of a moment such as 2017-09-18T08:22:00Z (RFC 3339, UTC). Raises ValueError for anything else."""
    match = re.fullmatch(_ZULU, word, re.ASCII)
    try:
        if match is None:
            raise ValueError
        moment = datetime(*map(int, match.groups()[:6]), tzinfo=UTC)  # type: ignore[arg-type,misc]  # six numbers
    except ValueError:
        raise Unexpected(f"{where}: expected a time such as 2017-09-18T08:22:00Z, got {shown(word.encode())}") from None
    return moment.timestamp() + float(match[7] or 0)
