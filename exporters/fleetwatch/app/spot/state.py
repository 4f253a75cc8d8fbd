"""What the judge remembers over a restart beside the ledger. A lost file costs no count; it costs joins to be made."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from fleetwatch.app.spot.lost import Marked
from fleetwatch.app.spot.moves import ANSWERS
from fleetwatch.collect.files import replace
from fleetwatch.records.agents import AgentRun
from fleetwatch.records.spot import Pool

log = logging.getLogger(__name__)


class _Kept(msgspec.Struct, frozen=True):
    """The file."""

    main: dict[str, Pool] = {}
    recommended: dict[str, list[tuple[Pool, int]]] = {}
    decided: dict[str, int] = {}
    marked: dict[str, Marked] = {}
    tasks: list[AgentRun] = []


class State:
    """file: None keeps it in memory alone."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        kept = self._load()
        self.main = dict(kept.main)
        """Workload -> the pool with most of it: decides between equal ones."""
        self.recommended = {workload: dict(pairs) for workload, pairs in kept.recommended.items()}
        """Workload -> pool -> when it was last counted as chosen; gone once a move has answered."""
        self.decided = dict(kept.decided)
        """Workload -> hour since 1970 of its last decision that was counted."""
        self.marked = dict(kept.marked)
        """Machines that are being taken, by id."""
        self.tasks = list(kept.tasks)
        """Agents' tasks that did not end well, of the last while."""
        self._written = b""

    def _load(self) -> _Kept:
        if self._file is None or not self._file.exists():
            return _Kept()
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s cannot be read, what it remembered of recommendations is lost: %s", self._file, error)
            return _Kept()

    def recommend(self, chosen: Mapping[str, Pool], at: int) -> None:
        """Note what was counted as chosen."""
        for workload, pool in chosen.items():
            told = self.recommended.setdefault(workload, {})
            told[pool] = at
            self.recommended[workload] = {old: when for old, when in told.items() if at - when <= ANSWERS}

        oldest = at - ANSWERS
        self.recommended = {
            workload: told for workload, told in self.recommended.items() if max(told.values(), default=0) >= oldest
        }

    def decide(self, workloads: Iterable[str], hour: int) -> None:
        """A decision of each was counted in this hour; those of other hours do not matter any more."""
        kept = [workload for workload, when in self.decided.items() if when == hour]
        self.decided = dict.fromkeys([*kept, *workloads], hour)

    def answered(self, workloads: Iterable[str]) -> None:
        """Their recommendations are done with."""
        for workload in workloads:
            self.recommended.pop(workload, None)

    def save(self) -> None:
        """Write it where it has changed. Raises OSError."""
        if self._file is None:
            return
        pairs = {workload: sorted(told.items()) for workload, told in self.recommended.items()}
        text = msgspec.json.encode(_Kept(self.main, pairs, self.decided, self.marked, self.tasks))
        if text == self._written:
            return
        replace(self._file, text)
        self._written = text
