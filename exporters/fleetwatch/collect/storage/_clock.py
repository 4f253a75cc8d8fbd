"""Since when nobody uses something: the time of the first look that saw it so, kept over restarts.

    {"version": 1, "latest": 1800000000, "behind": null, "begun": [["prod", "eu-west-1", 1790000000], …],
     "unused": [["prod", "eu-west-1", "vol-1", 1799000000], …]}

EC2 does not tell when a volume was detached, and CreateTime says nothing of it. What was unused before and after the
exporter was away was so all the time, as far as anybody knows.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from fleetwatch.collect.files import replace

log = logging.getLogger(__name__)

VERSION = 1

MOST = 50_000
"""Resources whose time is kept, of all accounts together: a file of about 3 MB."""

BELIEVED_AFTER = 86_400.0
"""Seconds after which a clock that went back is believed to be right now and to have been ahead before."""


class Where(NamedTuple):
    account: str
    region: str


class Clock:
    """One for each source; in memory alone where there is no file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._since: dict[Where, dict[str, float]] = {}
        self._begun: dict[Where, float] = {}
        self._latest = float("-inf")
        self._behind: float | None = None
        self._load()

    def now(self, now: float) -> float:
        """The time that ages are taken by. It does not go back with the machine's clock, else what is first seen then
        would look older than it is once the clock is right again; not until it has been behind for a day.
        """
        if now >= self._latest:
            self._latest, self._behind = now, None
            return now
        if self._behind is None or now < self._behind:
            self._behind = now
        if now - self._behind < BELIEVED_AFTER:
            return self._latest
        self._latest, self._behind = now, None
        self._since = {
            where: {name: min(since, now) for name, since in known.items()} for where, known in self._since.items()
        }
        self._begun = {where: min(begun, now) for where, begun in self._begun.items()}
        return now

    def seen(self, where: Where, unused: Collection[str], now: float) -> int:
        """What a whole look found unused; all else of that place is used again, or gone.

        Returns how many there was no room for: these have no time and are never waste.
        """
        self._begun.setdefault(where, now)
        known = self._since.get(where, {})
        room = MOST - sum(len(others) for place, others in self._since.items() if place != where)
        fresh = {name: known[name] for name in unused if name in known}
        left_out = 0
        for name in sorted(set(unused) - fresh.keys()):
            if len(fresh) < room:
                fresh[name] = now
            else:
                left_out += 1
        self._since[where] = fresh
        return left_out

    def since(self, where: Where) -> Mapping[str, float]:
        """Resource -> Unix time at which it was first seen unused."""
        return self._since.get(where, {})

    def begun(self, where: Where) -> float | None:
        """Unix time of the first whole look there."""
        return self._begun.get(where)

    def keep(self, places: Collection[Where]) -> None:
        """Forget all other places."""
        for known in (self._since, self._begun):
            for where in known.keys() - set(places):
                del known[where]

    def save(self) -> None:
        """Replace the file, whole or not at all, readable by the owner alone. Raises OSError."""
        if self._file is None:
            return
        held = {
            "version": VERSION,
            "latest": self._latest,
            "behind": self._behind,
            "begun": [[*where, begun] for where, begun in self._begun.items()],
            "unused": list(self._rows()),
        }
        replace(self._file, json.dumps(held, separators=(",", ":")).encode())

    def _rows(self) -> Iterator[tuple[str, str, str, float]]:
        for where, known in self._since.items():
            for name, since in known.items():
                yield where.account, where.region, name, since

    def _load(self) -> None:
        """A file that is missing, damaged or of another version is none: everything is seen for the first time."""
        if self._file is None:
            return
        try:
            held = json.loads(self._file.read_text(encoding="utf-8"))
            if held["version"] != VERSION:
                raise ValueError(f"expected version {VERSION}, got {held['version']!r}")
            rows = [(Where(str(row[0]), str(row[1])), str(row[2]), float(row[3])) for row in held["unused"][:MOST]]
            begun = {Where(str(row[0]), str(row[1])): float(row[2]) for row in held["begun"][:MOST]}
            latest, behind = float(held["latest"]), held["behind"]
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
            log.warning("%s: cannot be read, times begin anew: %s: %s", self._file, type(error).__name__, error)
            return
        for where, name, since in rows:
            self._since.setdefault(where, {})[name] = since
        self._begun, self._latest, self._behind = begun, latest, None if behind is None else float(behind)
