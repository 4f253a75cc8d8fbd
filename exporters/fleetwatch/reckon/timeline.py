"""What was told of a machine, in whatever order, as its takings: from the first sign to the end, one row each.

All is a function of the set of facts. So late, repeated and shuffled messages give the rows of the sorted stream.

A sign (rebalance recommendation, warning) or EC2's own word that it took the machine begins a taking; ends and steps of
a drain belong to the taking that they are near. Signs of one taking are at most APART from each other, as a rebalance
recommendation is from its warning. Two warnings more than WARNED_APART from each other are two takings: the machine was
stopped and started again in between.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from fleetwatch.records.spot import Action, Reason

FactKind = Literal[
    "rebalance", "warning", "reservation_warning", "ended", "seen", "cordoned", "first_eviction", "drained", "gone"
]

_SECOND: Final = 10**9
APART: Final = 6 * 3600 * _SECOND
"""Nanoseconds between signs of one taking, and from its last sign to its end and its drain."""
WARNED_APART: Final = 1800 * _SECOND
"""Nanoseconds: a warning leads by two minutes."""
SLACK: Final = 600 * _SECOND
"""Nanoseconds by which an end or a step may be before its sign: their clocks are others'."""
NOTICE: Final = 120 * _SECOND
"""Nanoseconds that a warning leads where nothing else is told."""

_SIGNS: Final = frozenset({"rebalance", "warning", "reservation_warning"})
_WARNINGS: Final = frozenset({"warning", "reservation_warning"})
_ENDED: Final = re.compile(r"instance-(terminated|stopped|hibernated)-|spot-instance-terminated-|(Server|Client)\.")
_TAKEN: Final = re.compile(
    r"instance-(?:terminated|stopped|hibernated)-(?P<why>by-price|no-capacity|capacity-oversubscribed|"
    r"[a-z-]*constraint|by-experiment)|marked-for-[a-z-]+|Server\.SpotInstance(?:Termination|Shutdown)"
)
_REASONS: Final[dict[str, Reason]] = {
    "by-price": "price",
    "no-capacity": "capacity",
    "capacity-oversubscribed": "capacity",
}


class Fact(NamedTuple):
    """One thing that was told of a machine. ended: EC2's event of its stop or end; seen: EC2's answer about it.

    at, due: Unix nanoseconds; why: of `seen`, code of its StateReason or of its request's status.
    """

    kind: FactKind
    at: int
    due: int | None = None
    action: Action = "unknown"
    why: str = ""
    cluster: str = ""
    nodepool: str = ""
    host: str = ""


class Taking(NamedTuple):
    """One taking. Times: Unix nanoseconds, None: not seen.

    reserved: it was of an interruptible capacity reservation, and no spot machine; reclaimed: EC2's own answer says
    that it took the machine; interrupted: that, or a warning was seen.
    """

    began: int
    action: Action
    reason: Reason
    rebalance: int | None
    warning: int | None
    due: int | None
    cordoned: int | None
    first_eviction: int | None
    drained: int | None
    terminated: int | None
    cluster: str
    nodepool: str
    host: str
    interrupted: bool
    reserved: bool
    reclaimed: bool

    @property
    def is_whole(self) -> bool:
        """Nothing is missing that EC2 would still tell."""
        return self.terminated is not None and (not self.interrupted or self.reserved or self.reason != "unknown")


def reason_of(why: str) -> Reason | None:
    """Why EC2 took a machine, from a StateReason or a status of its request; None: it was not EC2 that ended it."""
    found = _TAKEN.fullmatch(why)
    if found is None:
        return None
    said = found["why"] or ""
    return "constraint" if said.endswith("constraint") else _REASONS.get(said, "unknown")


def takings(facts: Iterable[Fact]) -> list[Taking]:
    """The takings of one machine, by time."""
    ordered = sorted(set(facts), key=_order)
    groups: list[list[Fact]] = []
    for fact in ordered:
        if _is_sign(fact):
            if not groups or _is_apart(groups[-1], fact):
                groups.append([])
            groups[-1].append(fact)
    starts = [group[0].at - SLACK for group in groups]
    last = [group[-1].at for group in groups]
    for fact in ordered:
        place = bisect_right(starts, fact.at) - 1
        if place >= 0 and not _is_sign(fact) and fact.at <= last[place] + APART:
            groups[place].append(fact)
    return [_taking(sorted(group, key=_order)) for group in groups]


def outcome(taking: Taking, *, settled: bool) -> str:
    """How the machine was left: in_time, late, not_seen; pending while that can still become another.

    It had until it went; where that was not seen until it was due.
    """
    if taking.drained is not None:
        until = taking.terminated or taking.due or (taking.warning + NOTICE if taking.warning else None)
        if settled or taking.terminated is not None:
            return "in_time" if until is None or taking.drained <= until else "late"
        return "pending"
    if not settled:
        return "pending"
    return "late" if taking.first_eviction is not None else "not_seen"


def drain_time(taking: Taking) -> int | None:
    """Nanoseconds from the notice to the last pod's leaving: from the warning, or, where it was empty before, from the
    rebalance recommendation. None where there was no notice before, or nobody saw it empty.
    """
    notices = [at for at in (taking.rebalance, taking.warning) if at is not None and at <= (taking.drained or 0)]
    return None if taking.drained is None or not notices else taking.drained - max(notices)


def _is_sign(fact: Fact) -> bool:
    return fact.kind in _SIGNS or (fact.kind == "seen" and reason_of(fact.why) is not None)


def _is_apart(group: Sequence[Fact], sign: Fact) -> bool:
    """Whether a sign begins another taking than this one, the last before it."""
    gap = sign.at - group[-1].at
    if sign.kind == "seen":
        # Its time may be that of a look long after. A machine that was warned of is taken by that warning.
        ended = [fact for fact in group if fact.kind == "seen" and _ENDED.match(fact.why)]
        if ended:
            is_for_good = any("terminat" in fact.why.lower() for fact in ended)
            return not is_for_good and sign.at - ended[0].at > WARNED_APART
        return gap > APART and not any(fact.kind in _WARNINGS for fact in group)
    if sign.kind in _WARNINGS and any(f.kind in _WARNINGS and sign.at - f.at > WARNED_APART for f in group):
        return True
    return gap > APART


def _taking(facts: Sequence[Fact]) -> Taking:
    """facts: sorted."""
    warnings = [fact for fact in facts if fact.kind in _WARNINGS]
    taken = [fact for fact in facts if fact.kind == "seen" and reason_of(fact.why) is not None]
    reasons = [reason for fact in taken if (reason := reason_of(fact.why)) not in {None, "unknown"}]
    placed = [fact for fact in facts if fact.cluster or fact.host]
    spot = [fact for fact in warnings if fact.kind == "warning"]
    return Taking(
        began=min(fact.at for fact in facts if _is_sign(fact)),
        action=next((fact.action for fact in warnings if fact.action != "unknown"), "unknown"),
        reason=next((reason for reason in reasons if reason is not None), "unknown"),
        rebalance=_first(facts, "rebalance"),
        warning=warnings[0].at if warnings else None,
        due=next((fact.due for fact in warnings if fact.due is not None), None),
        cordoned=_first(facts, "cordoned"),
        first_eviction=_first(facts, "first_eviction"),
        drained=_first(facts, "drained"),
        terminated=_end(facts),
        cluster=placed[0].cluster if placed else "",
        nodepool=placed[0].nodepool if placed else "",
        host=placed[0].host if placed else "",
        interrupted=bool(warnings or taken),
        reserved=bool(warnings) and not spot and not taken,
        reclaimed=bool(taken),
    )


def _end(facts: Sequence[Fact]) -> int | None:
    """EC2's event has its time to the second; what its answers say may be when the end was asked for."""
    told = _first(facts, "ended")
    if told is not None:
        return told
    return next((fact.at for fact in facts if fact.kind == "seen" and _ENDED.match(fact.why)), None)


def _first(facts: Sequence[Fact], kind: FactKind) -> int | None:
    return next((fact.at for fact in facts if fact.kind == kind), None)


def _order(fact: Fact) -> tuple[object, ...]:
    return fact.at, fact.kind, fact.due or 0, fact.action, fact.why, fact.cluster, fact.nodepool, fact.host
