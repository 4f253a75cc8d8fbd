"""Token metrics of senders that may or may not send spans as well.

A point waits (on disk) for `grace` seconds. If spans of the same service came within the last hour, its tokens are
those of calls that are counted already, and it is a duplicate; else it becomes a call with the confidence `estimated`.
Where two instrumentations measure the same calls, the points of one count: see families.py.
A cumulative stream counts by its differences; its last value is on disk, so a restart counts nothing twice. What a
stream shows at its first sight counts whole: that is what was used since the stream's start.
"""

from __future__ import annotations

import json
import operator
import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from fleetwatch.ledger.families import Families
from fleetwatch.ledger.waiting import dump_call, load_call
from fleetwatch.records.llm import LlmCall, Tokens, UsagePoint

SPANS_REMEMBERED = 3600 * 10**9
"""Nanoseconds for which a service that sent spans is known as one that does."""

STREAM_REMEMBERED = 7 * 86400 * 10**9
"""Nanoseconds after which a stream that stands still is forgotten: its process has long ended."""

Mode = Literal["auto", "always", "never"]


class Usage:
    """Decides what a usage point counts. grace: seconds."""

    def __init__(self, mode: Mode = "auto", grace: float = 15.0) -> None:
        self._mode = mode
        self._grace = round(grace * 10**9) if mode == "auto" else 0
        self._spans_noted: dict[str, int] = {}
        self._families = Families()
        self._next_due: int | None = None

    def resume(self, db: sqlite3.Connection, now: int) -> None:
        """Go on with what an earlier process left waiting.

        It waits once more: senders may still hold the spans that they could not deliver meanwhile.
        """
        if self._mode == "never":
            db.execute("DELETE FROM usage_waiting")
        else:
            db.execute("UPDATE usage_waiting SET due = max(due, ?)", (now + self._grace,))

    def keep(self, db: sqlite3.Connection, points: Iterable[UsagePoint], now: int) -> tuple[int, Counter[str]]:
        """Put points on disk. Returns how many are new, and duplicates by reason."""
        kept = 0
        duplicates: Counter[str] = Counter()
        for point in points:
            if self._mode == "never":
                continue
            counted = db.execute("SELECT 1 FROM llm_calls WHERE key = ?", (point.call.key,)).fetchone()
            row = (point.call.key, now + self._grace, point.call.service, _dump(point))
            if not counted and db.execute("INSERT OR IGNORE INTO usage_waiting VALUES (?, ?, ?, ?)", row).rowcount:
                kept += 1
                self._next_due = min(self._next_due or row[1], row[1])
            else:
                duplicates["resent"] += 1
        return kept, duplicates

    def any_due(self, db: sqlite3.Connection, now: int) -> bool:
        """Whether a point's time to wait is over."""
        if self._next_due is None:
            # After a start or an error the file knows better than we do; 0 stands for "nothing waits".
            self._next_due = db.execute("SELECT coalesce(min(due), 0) FROM usage_waiting").fetchone()[0]
        return 0 < self._next_due <= now

    def due(self, db: sqlite3.Connection, now: int) -> tuple[list[LlmCall], Counter[str]]:
        """Calls that points whose time is over stand for, and duplicates by reason."""
        if not self.any_due(db, now):
            return [], Counter()
        calls: list[LlmCall] = []
        duplicates: Counter[str] = Counter()
        points = [
            (_load(text), service)
            for text, service in db.execute("SELECT point, service FROM usage_waiting WHERE due <= ?", (now,))
        ]
        for point, service in sorted(points, key=lambda item: item[0].at):
            call = self._difference(db, point) if point.cumulative else point.call
            # Also of a stream that stands still: its family is still there.
            counts = self._families.counts(db, point, now)
            if call is None:
                continue
            if self._mode == "auto" and self._sends_spans(db, service, now):
                duplicates["metrics_of_spans"] += call.requests
            elif not counts:
                duplicates["other_instrumentation"] += call.requests
            else:
                calls.append(call)
        db.execute("DELETE FROM usage_waiting WHERE due <= ?", (now,))
        self._next_due = db.execute("SELECT coalesce(min(due), 0) FROM usage_waiting").fetchone()[0]
        return calls, +duplicates  # without zeros: points may tell tokens alone

    def see_spans(self, db: sqlite3.Connection, calls: Iterable[LlmCall], now: int) -> None:
        """Remember which services send their calls as spans."""
        noted = self._spans_noted
        for service in {call.service for call in calls}:
            # Once in a quarter of the time is often enough to stay known.
            if service and noted.get(service, 0) < now - SPANS_REMEMBERED // 4:
                db.execute("INSERT OR REPLACE INTO span_services VALUES (?, ?)", (service, now))
                noted[service] = now

    def prune(self, db: sqlite3.Connection, now: int) -> None:
        """Forget streams and services that are long silent."""
        db.execute("DELETE FROM usage_streams WHERE at < ?", (now - STREAM_REMEMBERED,))
        db.execute("DELETE FROM span_services WHERE seen < ?", (now - STREAM_REMEMBERED,))
        self._families.prune(db, now)
        self._spans_noted = {name: seen for name, seen in self._spans_noted.items() if seen > now - SPANS_REMEMBERED}

    def forget(self) -> None:
        """Drop what is remembered beside the file: a transaction was undone."""
        self._spans_noted.clear()
        self._families.forget()
        self._next_due = None

    def _sends_spans(self, db: sqlite3.Connection, service: str, now: int) -> bool:
        found = db.execute("SELECT seen FROM span_services WHERE service = ?", (service,)).fetchone()
        return found is not None and found[0] > now - SPANS_REMEMBERED

    def _difference(self, db: sqlite3.Connection, point: UsagePoint) -> LlmCall | None:
        """The values since the stream's last point; None for a point that is older or says nothing new."""
        found = db.execute(
            "SELECT at, requests, tokens FROM usage_streams WHERE stream = ?", (point.stream,)
        ).fetchone()
        at, sums = (found[0], [found[1], *json.loads(found[2])]) if found else (-1, [0] * (1 + len(Tokens())))
        if point.at < at:
            return None
        values = [point.call.requests, *point.call.tokens]
        if not point.start and point.at > at and any(map(operator.lt, values, sums)):
            # Without a start time only a step back tells that the sender began anew; with one that is a new stream.
            sums = [0] * len(sums)
        # A kind may still step back, and come at the same time: parts of one export that a Collector sent in halves.
        now = list(map(max, values, sums))
        row = (point.stream, point.at, now[0], json.dumps(now[1:]))
        db.execute("INSERT OR REPLACE INTO usage_streams VALUES (?, ?, ?, ?)", row)
        requests, *tokens = map(operator.sub, now, sums)
        if not requests and not any(tokens):
            return None
        return point.call._replace(requests=requests, tokens=Tokens(*tokens))


def _dump(point: UsagePoint) -> str:
    return json.dumps(
        [point.stream.hex(), point.cumulative, point.start, point.at, dump_call(point.call), point.family]
    )


def _load(text: str) -> UsagePoint:
    stream, cumulative, start, at, call, *family = json.loads(text)
    # A list: as points were written before calls had a form of their own.
    call = load_call(call if isinstance(call, str) else json.dumps(call))
    return UsagePoint(bytes.fromhex(stream), cumulative, start, at, call, *family)
