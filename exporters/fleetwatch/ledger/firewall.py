"""One call, billed once, however many spans tell of it.

In this order:
1. A key that was counted: the same response again.
2. Inside one trace, a sighting around or inside a counted call: reckon.sightings.
3. The preferred point. Sightings at the other one (those of gateways, unless the settings prefer them) and echoes wait
   on disk for a better sighting of the same call, and count if none comes.
A sighting waits likewise while a span that has not come yet may make 2. true.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from fleetwatch.ledger.calls import Inserted
from fleetwatch.ledger.traces import (
    AGAIN,
    DOUBTFUL,
    NO_SPAN,
    NO_TRACE,
    OF_TRACE,
    SpanRow,
    Traces,
    pseudo_span,
)
from fleetwatch.ledger.trees import Structure, Trees
from fleetwatch.ledger.waiting import Waiting
from fleetwatch.reckon.sightings import Sighting, Tree
from fleetwatch.reckon.span_tree import CALL, WAITING
from fleetwatch.records.llm import ECHO, LlmCall

_AT_ONCE = 200
_SPANS_OF_KEYS = f"SELECT key, span FROM llm_calls WHERE key IN ({', '.join('?' * _AT_ONCE)})"
_TOKENS_OF = (
    "SELECT input + cache_read + cache_write + output + reasoning + audio_in + audio_out + image FROM llm_calls "
    f"WHERE id = (SELECT s.call FROM trace_spans AS s WHERE {OF_TRACE} AND s.span = ?2)"
)


class Rules(NamedTuple):
    """What the settings say. proxies: service names of gateways. grace: seconds that a call waits at most."""

    count_at: Literal["client", "proxy"] = "client"
    proxies: frozenset[str] = frozenset()
    grace: float = 15.0


class Left(NamedTuple):
    """A sighting that does not count, or not yet."""

    row: SpanRow
    stands_for: bytes
    """Key of the counted call that it is as well; empty for none."""
    waited: bool
    """It is decided now."""


class Judged:
    """What is to be done with the calls of a group."""

    def __init__(self) -> None:
        self.counted: list[LlmCall] = []
        """In the order of their coming."""
        self.places: list[tuple[bytes, bytes]] = []
        """Span id and parent of each of them; both empty where there is no trace."""
        self.waited: set[int] = set()
        """Which of them waited, by place."""
        self.is_plain = True
        """All of them are spans in traces of which no other sighting is known, under their own ids."""
        self.again: Counter[str] = Counter()
        """Sightings that do not count, by reason."""
        self.left: list[Left] = []

    def count(self, call: LlmCall, span: bytes, parent: bytes, *, waited: bool = False) -> None:
        if waited:
            self.waited.add(len(self.counted))
        self.is_plain = False
        self.counted.append(call)
        self.places.append((span, parent))


class Firewall:
    """Decides which sightings count. Called inside the writer's transaction."""

    def __init__(self, db: sqlite3.Connection, traces: Traces, rules: Rules) -> None:
        self.rules = rules
        self.waiting = Waiting(db, round(rules.grace * 10**9))
        self._db = db
        self._traces = traces
        self._trees = Trees(traces)
        self._all_may_wait = bool(rules.proxies) or rules.count_at == "proxy"

    def judge(self, calls: Sequence[LlmCall], structure: Sequence[Structure], now: int) -> Judged:
        """Decide on a group's calls and on those that wait. structure: the group's other spans."""
        judged = Judged()
        sightings = Counter([call.span[:16] for call in calls])
        # Calls without a span of their own.
        lonely = NO_TRACE in sightings or any(call.span.endswith(NO_SPAN) for call in calls)
        del sightings[NO_TRACE]
        due, waited = self._waited(sightings, structure, now)
        wanted = {call.span[:16] for call in waited.values()}
        careful = self._all_may_wait or any(call.point for call in calls)
        if careful:
            wanted |= {call.span[:16] for call in calls if self.waits(call)}
        trees = self._trees.of(sightings, wanted - {NO_TRACE}, structure)
        group = _Group(self, self._db, trees, judged, now)
        if waited or wanted or trees:
            group.learn_keys([*waited.values(), *(call for call in calls if call.span[:16] in trees or call.point)])
        for number, call in waited.items():
            group.decide(call, number, final=number in due)
        if not trees and not waited and not careful and not lonely:
            judged.counted = list(calls)
            return judged
        for call in calls:
            if call.span[:16] in trees or (careful and self.waits(call)):
                group.decide(call, 0, final=not self.waiting.grace)
            else:
                judged.count(call, *place_of(call))
        self._trees.remember(trees)
        return judged

    def write(self, judged: Judged, inserted: Inserted, now: int) -> Counter[str]:
        """Remember the sightings, now that the calls are in; returns those whose key was known, by reason."""
        again: Counter[str] = Counter()
        if judged.is_plain:
            # The estimated calls have numbers after these.
            new = [number for place, number in enumerate(inserted.numbers) if place not in inserted.spans]
            new = new[: len(judged.counted) - sum(place < len(judged.counted) for place in inserted.spans)]
            if new:
                self._traces.add_calls(new[0], new[-1], now, [call.span[:16] for call in judged.counted])
        rows = []
        for place in sorted(inserted.spans) if judged.is_plain else range(len(judged.counted)):
            if place >= len(judged.counted):
                break
            row = self._row(judged, inserted, place, now, again)
            if row is None:
                continue
            if place in judged.waited or place in inserted.spans:
                self._remember(row, waited=place in judged.waited)
            else:
                rows.append(row)
        self._traces.add_new(rows)
        for left, stands_for, waited in judged.left:
            self._remember(left._replace(call=self._number(stands_for)) if stands_for else left, waited=waited)
        return again

    def _row(self, judged: Judged, inserted: Inserted, place: int, now: int, again: Counter[str]) -> SpanRow | None:
        """The row of a call that went to be counted; None for one without a trace. again: counts those known."""
        call = judged.counted[place]
        kind, what = CALL, ""
        if place in inserted.spans:
            reason = self.reason(call, inserted.spans[place])
            again[reason] += 1
            if reason != "resent":
                kind, what = AGAIN, call.key.hex()
        span, parent = place_of(call) if judged.is_plain else judged.places[place]
        if not span:
            return None
        start, number = call.at - (call.duration or 0), inserted.numbers[place]
        return SpanRow(call.span[:16], span, parent, kind, start, call.at, now, number, what=what)

    def reason(self, call: LlmCall, counted: bytes) -> str:
        """Why a call whose key is known does not count. counted: span of the sighting that did."""
        if counted == call.span:
            return "resent"
        return "proxy" if self.is_proxy(call) else "other_instrumentation"

    def is_proxy(self, call: LlmCall) -> bool:
        """Whether a gateway saw the call."""
        if call.point == "proxy" or not self.rules.proxies:
            return call.point == "proxy"
        return call.service.partition("\x1f")[2].partition("\x1f")[0] in self.rules.proxies

    def waits(self, call: LlmCall) -> bool:
        """Whether a better sighting of the call may come."""
        return call.point == ECHO or self.is_proxy(call) != (self.rules.count_at == "proxy")

    def undo(self) -> None:
        """Drop what is remembered beside the file: a transaction was undone."""
        self.waiting.undo()
        self._trees.undo()

    def _waited(
        self, sightings: Iterable[bytes], structure: Iterable[Structure], now: int
    ) -> tuple[Mapping[int, LlmCall], Mapping[int, LlmCall]]:
        """Number -> call, in the order of their coming: those whose time is over; all that may be decided now."""
        if not self.waiting.any_waits():
            return {}, {}
        due = self.waiting.due(now)
        traces = {*sightings, *(item.span[:16] for item in structure)}
        return due, dict(sorted((self.waiting.of_traces(traces) | due).items()))

    def _remember(self, row: SpanRow, *, waited: bool) -> None:
        if waited:
            self._traces.decide(row)
        else:
            self._traces.add([row])

    def _number(self, key: bytes) -> int:
        return int(self._db.execute("SELECT id FROM llm_calls WHERE key = ?", (key,)).fetchone()[0])


class _Case(NamedTuple):
    """A call to decide on. number: of one that waits, else 0. tree: of its trace; None where it has none."""

    call: LlmCall
    number: int
    tree: Tree | None
    place: Sighting

    def row(self, kind: str, now: int) -> SpanRow:
        """Its row, as a sighting that does not count, or not yet."""
        call, place = self.call, self.place
        return SpanRow(call.span[:16], *place[:2], kind, place.start, place.at, now, what=call.key.hex())


class _Group:
    """The decisions on one group, in order."""

    def __init__(
        self, firewall: Firewall, db: sqlite3.Connection, trees: Mapping[bytes, Tree], judged: Judged, now: int
    ) -> None:
        self._firewall = firewall
        self._db = db
        self._trees = trees
        self._judged = judged
        self._now = now
        self._keys: dict[bytes, bytes] = {}
        """Key of a counted call -> its span."""
        self._tokens: dict[bytes, int] = {}
        """Span (24 bytes) of a call that this group counts -> its tokens."""

    def learn_keys(self, calls: Sequence[LlmCall]) -> None:
        """Look up which of the calls' keys were counted."""
        keys = [call.key for call in calls]
        for start in range(0, len(keys), _AT_ONCE):
            chunk = keys[start : start + _AT_ONCE]
            chunk += [b""] * (_AT_ONCE - len(chunk))
            self._keys.update(self._db.execute(_SPANS_OF_KEYS, chunk))

    def decide(self, call: LlmCall, number: int, *, final: bool) -> None:
        """Count the call, leave it out or let it wait. number: of a call that waits, else 0. final: wait no longer."""
        case = self._case(call, number)
        if case is None:
            self._judged.again["resent"] += 1
            return
        reason, stands_for = self._verdict(case, final)
        if reason == "wait":
            if not number:
                self._keep_waiting(case)
            return
        if number:
            self._firewall.waiting.done(number)
        if reason:
            self._leave_out(case, reason, stands_for)
        else:
            self._count(case)

    def _case(self, call: LlmCall, number: int) -> _Case | None:
        """The call in its trace; None for a sighting that was seen before and did not count, or not yet."""
        tree = self._trees.get(call.span[:16])
        span, parent = place_of(call)
        if tree is not None and not number and tree.knows(span) and call.key not in self._keys:
            if tree.name(span) != call.key.hex():
                # Events may name the span that they were told in: where that is a call, it is another one's.
                span, parent = pseudo_span(call.key), parent if tree.name(span) is not None else span
            if tree.name(span) == call.key.hex():
                return None
        return _Case(call, number, tree, Sighting(span, parent, call.at - (call.duration or 0), call.at))

    def _verdict(self, case: _Case, final: bool) -> tuple[str, bytes]:
        """Why the call does not count: a reason, "wait", or empty; and the key of the call that it stands for."""
        firewall = self._firewall
        call, _, tree, place = case
        counted = self._keys.get(call.key)
        if counted is not None:
            reason = firewall.reason(call, counted)
            # Around the very call, it is a wrapper like others: a further attempt may come inside it.
            wrapper = reason != "resent" and tree is not None and tree.encloses(place)
            return reason, b"" if wrapper else call.key
        proxy = firewall.is_proxy(call)
        if tree is not None and (tree.encloses(place) or tree.inside(place)):
            return ("proxy" if proxy else "enclosing"), b""
        if not final and (firewall.waits(call) or (tree is not None and tree.in_doubt(place))):
            return "wait", b""
        if proxy and firewall.waits(call) and tree is not None and self._seen_by_caller(call, tree, place):
            return "proxy", b""
        return "", b""

    def _keep_waiting(self, case: _Case) -> None:
        call, _, tree, place = case
        other = self._firewall.waiting.keep(call, self._now)
        if other is not None:
            self._leave_out(case, self._firewall.reason(call, other), b"")
        elif tree is not None:
            doubtful = not self._firewall.waits(call)
            row = case.row(WAITING, self._now)._replace(flags=DOUBTFUL if doubtful else 0)
            self._judged.left.append(Left(row, b"", waited=False))
            tree.add(place, call.key.hex(), counted=False, doubtful=doubtful)

    def _leave_out(self, case: _Case, reason: str, stands_for: bytes) -> None:
        self._judged.again[reason] += 1
        call, number, tree, place = case
        # A span that came again has its row, unless that is forgotten: then it is needed once more.
        if tree is not None and (number or not tree.knows(place.span)):
            row = case.row(CALL if reason == "resent" else AGAIN, self._now)
            self._judged.left.append(Left(row, stands_for, waited=bool(number)))
            tree.add(place, call.key.hex(), counted=bool(stands_for))

    def _count(self, case: _Case) -> None:
        call, number, tree, place = case
        self._keys[call.key] = call.span
        if tree is None:
            self._judged.count(call, b"", b"")
            return
        self._judged.count(call, place.span, place.parent, waited=bool(number))
        self._tokens[call.span[:16] + place.span] = sum(call.tokens[:8])
        tree.add(place, call.key.hex(), counted=True)

    def _seen_by_caller(self, call: LlmCall, tree: Tree, place: Sighting) -> bool:
        """Whether a counted call is the caller's own sighting, though nobody reads the spans between the two.

        The same tokens at the same time in the same trace; an attempt that failed has none.
        """
        tokens = sum(call.tokens[:8])
        trace = call.span[:16]
        return any(not tokens or self._tokens_of(trace, span) == tokens for span in tree.around_by_time(place))

    def _tokens_of(self, trace: bytes, span: bytes) -> int | None:
        if (known := self._tokens.get(trace + span)) is not None:
            return known
        found = self._db.execute(_TOKENS_OF, (trace, span)).fetchone()
        return found[0] if found else None


def place_of(call: LlmCall) -> tuple[bytes, bytes]:
    """Span id and parent of a call; both empty for one without a trace."""
    span = call.span[16:]
    if len(span) != len(NO_SPAN) or call.span[:16] == NO_TRACE:
        return b"", b""
    return (span, call.parent) if span != NO_SPAN else (pseudo_span(call.key), call.parent)
