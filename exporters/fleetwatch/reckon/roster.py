"""Who is there, who has left, who is missing: judged from reports and the clock, which is passed in.

Times are Unix nanoseconds. Reports may come late, twice and out of order (a queue on the way, a sender that tries
again), and hosts' clocks may be wrong: order is by the host's clock, silence by ours.
"""

from __future__ import annotations

from typing import NamedTuple

from fleetwatch.reckon.pulse import SECOND, bounded, heard
from fleetwatch.records.hosts import Host

USUAL = 15 * SECOND
"""Interval of a host that does not tell its own."""
NEARLY = 300 * SECOND
"""A host that falls silent this long before the time of its notice was reclaimed: spot machines have two minutes, and
the schedulers that watch for notices empty and end them earlier."""


class Rules(NamedTuple):
    """The settings of the roster. Durations in nanoseconds."""

    expected: frozenset[str] = frozenset()
    learn: bool = True
    confirm_after: int = 600 * SECOND
    missing_after: float = 3.0
    """Of a host's own intervals."""
    forget_after: int = 7 * 86400 * SECOND


class Word(NamedTuple):
    """What a report says that the roster is about."""

    name: str
    at: int
    """By the host's clock, at most when it arrived."""
    interval: int | None = None
    goodbye: bool = False
    notice_at: int | None = None
    facts: tuple[str, str, str] | None = None
    """Instance type, region, lifecycle."""


def hear(host: Host | None, word: Word, now: int, rules: Rules) -> Host | None:
    """The host after a report; None when the report is older than what is known. host: None for a new one."""
    if host is None:
        first = Host(word.name, now, now, now, word.at, now - word.at, USUAL)
        return _told(first, word, now, rules)
    if word.at < host.sent:
        return None
    if word.at == host.sent:  # another piece of the same report, or the same one again
        return _facts(host, word)._replace(
            goodbye_at=host.last_report if word.goodbye else host.goodbye_at,
            silent_at=None if word.goodbye else host.silent_at,
            notice_at=host.notice_at if word.notice_at is None else word.notice_at,
        )
    last, lag = heard(host.last_report, host.lag, host.interval, word.at, now)
    gone = host.goodbye_at is not None or host.silent_at is not None
    back = host._replace(sent=word.at, lag=lag, last_report=last, since=last if gone else host.since)
    return _told(back, word, now, rules)


def _told(host: Host, word: Word, now: int, rules: Rules) -> Host:
    said = _facts(host, word)._replace(
        goodbye_at=host.last_report if word.goodbye else None, notice_at=word.notice_at, silent_at=None
    )
    if rules.learn and said.confirmed_at is None and said.last_report - said.since >= rules.confirm_after:
        return said._replace(confirmed_at=now)
    return said


def _facts(host: Host, word: Word) -> Host:
    if word.interval is not None:
        host = host._replace(interval=bounded(word.interval))
    if word.facts is not None:
        instance_type, region, lifecycle = word.facts
        host = host._replace(instance_type=instance_type, region=region, lifecycle=lifecycle)
    return host


def watch(host: Host, now: int, started: int, rules: Rules) -> Host:
    """The host as of now: silent when its next reports are overdue.

    started: when we began to listen. Before it no report could be heard, so the wait begins there.
    """
    if host.goodbye_at is not None or host.silent_at is not None:
        return host
    due = max(host.last_report, started) + int(rules.missing_after * host.interval)
    return host._replace(silent_at=due) if now >= due else host


def state(host: Host) -> str:
    """One of the values of the catalogue's HOST_STATE, of a host that was watched as of now."""
    if host.goodbye_at is not None:
        return "goodbye"
    if host.silent_at is None:
        return "reporting" if host.notice_at is None else "notice"
    announced = host.notice_at is not None and host.last_report >= host.notice_at - NEARLY
    return "reclaimed" if announced else "missing"


def is_present(host: Host) -> bool:
    """Whether its series are shown."""
    return host.goodbye_at is None and host.silent_at is None


def is_expected(host: Host, rules: Rules) -> bool:
    """Whether somebody should look for it when it is missing."""
    return host.name in rules.expected or host.confirmed_at is not None


def is_past(host: Host, now: int, rules: Rules) -> bool:
    """Whether it has been gone for so long that it is forgotten."""
    left = host.goodbye_at if host.goodbye_at is not None else host.silent_at
    return left is not None and now - left >= rules.forget_after and host.name not in rules.expected


def makes_room(hosts: list[Host], rules: Rules) -> Host | None:
    """The host to forget for a new one where the roster is full: the one that left first, if any.

    None of those that somebody is looking for: an alert must not end because a newcomer took the place.
    """
    left = [
        (host.goodbye_at or host.silent_at or 0, host)
        for host in hosts
        if not is_present(host)
        and host.name not in rules.expected
        and (state(host) != "missing" or not is_expected(host, rules))
    ]
    return min(left, key=lambda item: item[0])[1] if left else None
