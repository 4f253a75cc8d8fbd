"""A source of storage: asks EC2 in every region of every account, and knows since when things are unused.

A region that fails hurts only itself: what was read there before is shown for KEPT_CYCLES cycles, and
`storage_read_timestamp_seconds` says of when it is.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from fleetwatch.aws.access import Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws, Call
from fleetwatch.aws.together import each
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.clouds import incomplete
from fleetwatch.collect.here import Here, StorageAccess
from fleetwatch.collect.runner import KEPT_CYCLES, NoData
from fleetwatch.collect.storage import _ec2, _show
from fleetwatch.collect.storage._clock import Clock, Where
from fleetwatch.collect.storage._prices import Table, table
from fleetwatch.records.storage import Item, PriceList

log = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds for all regions together; the source's own time-out is a little longer."""


class Place(NamedTuple):
    """What a look asks with. owner: the account's number."""

    call: Call
    owner: str
    region: str
    prices: PriceList
    now: float
    grace: float


class Look(NamedTuple):
    """What one look at a place found. None: it could not be read."""

    where: Where
    stored: list[Item] | None = None
    unused: list[Item] | None = None
    trouble: Trouble | None = None


@dataclass
class _Part:
    """Things that are read together, as they were when they were last read whole."""

    items: list[Item] = field(default_factory=list)
    at: float | None = None
    failures: int = 0

    def take(self, items: list[Item] | None, now: float) -> None:
        if items is not None:
            self.items, self.at, self.failures = items, now, 0
            return
        self.failures += 1
        if self.failures > KEPT_CYCLES:
            self.items = []

    @property
    def shown(self) -> bool:
        return self.at is not None and self.failures <= KEPT_CYCLES


@dataclass
class _State:
    stored: _Part = field(default_factory=_Part)
    unused: _Part = field(default_factory=_Part)


class StorageSource:
    """Base of the sources; they say what there is."""

    parts: ClassVar[tuple[str, str]]
    """What is read for what is stored, and for what of it is unused, as in the catalogue."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._name = type(self).__module__.rpartition(".")[2]
        self._calls = Calls(self._name)
        self._clock: Clock | None = None
        self.table: Table | None = None
        self._states: dict[Where, _State] = {}
        self._accounts: dict[Target, str] = {}
        self._hanging: set[Target] = set()
        self._failed: set[Target] = set()

    @abstractmethod
    def look(self, place: Place) -> Iterator[tuple[str, list[Item]]]:
        """("stored", all there is), then ("unused", what nobody uses now). Raises Trouble; what came before counts."""

    def __call__(self) -> Iterator[Sample]:
        aws, access = self._here.aws, self._here.storage
        if aws is None or access is None:
            raise NoData
        if self._clock is None:
            self._clock = Clock(self._here.state / f"{self._name}.json" if self._here.state is not None else None)
        clock, now = self._clock, self._clock.now(self._here.clock())
        troubles = self._read_prices(access)
        try:
            targets = aws.targets()
        except Trouble as trouble:
            raise incomplete([*troubles, trouble]) from None
        troubles += self._ask_all(targets, self._asker(aws, access, now), clock, now)
        troubles += self._save(clock, targets)
        for where, state in self._states.items():
            yield from self._samples(where, state, clock, access.grace, now)
        yield from _show.top(self._all_waste(clock, access.grace, now))
        yield from self.extra()
        yield from self._calls.samples()
        if troubles:
            raise incomplete(troubles)

    def extra(self) -> Iterator[Sample]:
        """What a source shows besides."""
        return iter(())

    @property
    def actions(self) -> set[str]:
        """What IAM must have allowed for the requests that were made."""
        return self._calls.actions()

    def _read_prices(self, access: StorageAccess) -> list[Trouble]:
        """The file may be replaced while we run. One that cannot be read leaves the prices as they were, or none."""
        try:
            self.table = table(access.prices_file)
        except ValueError as error:
            return [Trouble("error", str(error), "Mend the file; its last prices are used until then, if any.")]
        return []

    def _asker(self, aws: Aws, access: StorageAccess, now: float) -> Callable[[Target], Look]:
        prices: PriceList = {} if self.table is None else self.table.prices

        def ask(target: Target) -> Look:
            """In a thread of its own: it changes nothing here."""
            owner = aws.number(target, self._calls)
            look = Look(Where(target.account.name or owner, target.region))
            call = aws.caller(_ec2.API, target, self._calls)
            try:
                for name, items in self.look(Place(call, owner, target.region, prices, now, access.grace)):
                    look = look._replace(stored=items) if name == "stored" else look._replace(unused=items)
            except Trouble as trouble:
                look = look._replace(trouble=trouble)
            return look

        return ask

    def _ask_all(
        self, targets: Sequence[Target], ask: Callable[[Target], Look], clock: Clock, now: float
    ) -> list[Trouble]:
        # Those that failed come last: they take their time, and the others must not wait for it.
        ordered = sorted(targets, key=lambda target: target in self._failed)
        answers = each(ordered, ask, PATIENCE, self._hanging)
        self._failed = {key for key, look in answers.items() if not isinstance(look, Look) or look.trouble is not None}
        troubles: list[Trouble] = []
        for target, answer in answers.items():
            if isinstance(answer, Look):
                self._accounts[target] = answer.where.account
                look = answer
            else:
                account = target.account.name or self._accounts.get(target, "")
                look = Look(Where(account, target.region), trouble=_as_trouble(answer, target))
            if look.where.account:
                troubles += self._take(look, clock, now)
            if look.trouble is not None:
                troubles.append(look.trouble)
        return troubles

    def _take(self, look: Look, clock: Clock, now: float) -> Iterator[Trouble]:
        state = self._states.setdefault(look.where, _State())
        state.stored.take(look.stored, now)
        state.unused.take(look.unused, now)
        if look.unused is not None:
            left_out = clock.seen(look.where, {item.id for item in look.unused}, now)
            if left_out:
                what = f"{left_out} unused resources in {look.where.region} have no place in the list of times"
                yield Trouble("error", what, "They are not shown as waste: remove what is unused.")

    def _samples(self, where: Where, state: _State, clock: Clock, grace: float, now: float) -> Iterator[Sample]:
        for name, part in dict(zip(self.parts, (state.stored, state.unused), strict=True)).items():
            if part.at is not None:
                yield _show.read(where, name, part.at)
        begun = clock.begun(where)
        if begun is not None:
            yield _show.watched(where, self.parts[1], begun)
        if state.stored.shown:
            yield from _show.stored(where, state.stored.items)
        if state.unused.shown:
            yield from _show.unused(where, _show.aged(where, state.unused.items, clock.since(where), grace, now))

    def _all_waste(self, clock: Clock, grace: float, now: float) -> Iterator[_show.Aged]:
        for where, state in self._states.items():
            for found in _show.aged(where, state.unused.items, clock.since(where), grace, now):
                if found.waste:
                    yield found

    def _save(self, clock: Clock, targets: Sequence[Target]) -> list[Trouble]:
        """Forgets what the settings do not name any more, once all accounts that they do name are known."""
        named = {Where(item.account.name or self._accounts.get(item, ""), item.region) for item in targets}
        if all(item.account for item in named):
            clock.keep(named)
            self._states = {where: state for where, state in self._states.items() if where in named}
        try:
            clock.save()
        except OSError as error:
            why = f"{self._name}: times cannot be kept over a restart: {error.strerror}"
            return [Trouble("error", why, "Give the program the right to write to data_dir, or space.")]
        return []


def _as_trouble(error: Exception, target: Target) -> Trouble:
    if isinstance(error, Trouble):
        why = error.why if str(target) in error.why else f"{target}: {error.why}"
        return Trouble(error.cause, why, error.fix, error.permission)
    log.error("%s: %s", target, error, exc_info=error)
    return Trouble("error", f"{target}: {type(error).__name__}: {error}", "")
