"""The judge of the spot fleet: reads what the sources put on the desk, tells the ledger what it cost, shows the rest.

A source of its own: the runner keeps it off the exporter's loop and tells its failures. Of what the ledger knows it
gets a copy at the beginning of each look; what it finds out goes into the ledger in one commit, which counts all of it
or nothing, and may be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from fleetwatch.app.spot import alternates, gauges
from fleetwatch.app.spot.alternates import Judged
from fleetwatch.app.spot.known import Known, cost_of_tasks, known_of
from fleetwatch.app.spot.losses import Losses
from fleetwatch.app.spot.moves import RUNS, Moved, by_workload, main_pool, moved
from fleetwatch.app.spot.pools import Pools
from fleetwatch.app.spot.recent import Recent, places
from fleetwatch.app.spot.slices import Slices, with_forced
from fleetwatch.app.spot.state import State
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.desk import Desk
from fleetwatch.collect.here import CommitError, Here
from fleetwatch.collect.runner import JITTER, Incomplete, Pace, Source
from fleetwatch.collect.sums import Sums
from fleetwatch.ledger.errors import LedgerError
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.reckon.savings import HOUR
from fleetwatch.reckon.spot_fit import Need
from fleetwatch.reckon.spot_risk import Weights
from fleetwatch.records.agents import AgentRun
from fleetwatch.records.spot import Fleet, FleetSlice, Instance, Pool
from fleetwatch.settings import Settings

if TYPE_CHECKING:
    from fleetwatch.ledger import Ledger

NAME = "spot_judge"
INTERVAL = 15.0
TIMEOUT = 60.0
LOOK_EVERY = 300.0
"""Seconds between looks at all candidates of all workloads at most."""
LOOK_SHARE = 50
"""A look that takes a second is repeated after so many: ranking takes 2 % of a processor at most."""
STARTUP = 600.0
"""Seconds for which decisions wait for the first prices of alternates."""

T = TypeVar("T")
Ask = Callable[[Callable[["Ledger"], object]], object]
"""Runs something on the ledger's thread. Raises LedgerError or CommitError where it cannot."""


class SpotJudge:
    """ask: see Ask; tasks: takes agents' tasks that did not end well since the last call."""

    def __init__(
        self,
        settings: Settings,
        here: Here,
        ask: Ask,
        tasks: Callable[[], Sequence[AgentRun]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings.spot
        self._aws = settings.aws
        self._rules = {item.name: item for item in settings.spot.workloads}
        weights = settings.spot.risk_weights
        self._weights = Weights(
            weights.advisor, weights.interruption, weights.placement, weights.price_level, weights.price_change,
            weights.capacity,
        )  # fmt: skip
        self._here = here
        self._desk = Desk()
        """As it was at the beginning of this look."""
        self._ask = ask
        self._take_tasks = tasks
        self._monotonic = monotonic
        self._began = monotonic()
        self._slices = Slices()
        self._recent = Recent()
        self._sums = Sums(here.ai_services.limits)
        self._state = State(here.state / f"{NAME}.json" if here.state is not None else None)
        self._losses = Losses(self._state)
        self._judged: list[Judged] = []
        self._look_after = 0.0
        self._prices_came = False

    def source(self, pace: Pace = Pace()) -> Source:  # noqa: B008 - a tuple cannot change
        jitter = JITTER if pace.jitter is None else pace.jitter
        return Source(NAME, pace.interval or INTERVAL, pace.timeout or TIMEOUT, self, jitter)

    def __call__(self) -> Iterator[Sample]:
        """One look. Raises Incomplete where the ledger could not be asked or told; what needs no ledger is shown."""
        now = int(self._here.clock() * SECOND)
        self._desk = copy_of(self._here.desk)
        nodes = places(self._desk.clusters.values())
        annotated = {
            node.instance: True
            for cluster in self._desk.clusters.values()
            for node in cluster.nodes
            if node.forced_on_demand and node.instance
        }
        fleets = [with_forced(fleet, annotated) for fleet in self._desk.fleets.values()]
        known, trouble = self._known(now)
        pools = self._pools(fleets, known, now)
        self._look(fleets, pools)
        if known is not None:
            self._losses.mark(known, fleets, pools, nodes)
            trouble = self._tell(fleets, known, now)
        yield from self._samples(fleets, pools)
        if known is not None:
            yield from gauges.recorded({where: at for where, at in known.untils.items() if self._is_ours(*where)})
            machines = {item.id: item for fleet in fleets for item in fleet.instances}
            yield from self._recent.notices(known.recent, {**known.instances, **machines}, nodes)
            yield from self._recent.switches(known.switches)
        if trouble:
            raise Incomplete(trouble)

    def _known(self, now: int) -> tuple[Known | None, str]:
        recent = self._settings.recent
        try:
            return _as(Known, self._ask(lambda ledger: known_of(ledger, now, recent))), ""
        except (LedgerError, CommitError) as error:
            return None, f"the ledger cannot be asked: {error}"

    def _is_ours(self, account: str, region: str) -> bool:
        """Whether the settings still name it: what has left them is behind for good, which is no trouble."""
        names = {item.name for item in self._aws.accounts}
        return (not self._aws.regions or region in self._aws.regions) and (not names or bool(names & {account, ""}))

    def _pools(self, fleets: Sequence[Fleet], known: Known | None, now: int) -> Pools:
        exposure = known.exposure if known is not None else {}
        scores = self._here.spot.scores if self._here.spot is not None else ()
        used = gauges.pools_in_use(fleets)
        return Pools(
            self._desk,
            exposure,
            scores=scores,
            weights=self._weights,
            prior_hours=self._settings.prior_hours,
            used=used,
            now=now,
        )

    # --- alternates

    def _look(self, fleets: Sequence[Fleet], pools: Pools) -> None:
        """Rank the candidates of all workloads, now and then."""
        started = self._monotonic()
        if started < self._look_after:
            return
        running = [item for fleet in fleets for item in fleet.instances]
        needs = [
            (workload, need)
            for workload in alternates.workloads_of(running, self._rules)
            if (need := self._need(workload)) is not None
        ]
        wanted, firsts = alternates.wanted(needs, self._desk)
        self._here.desk.wanted = wanted
        gain = self._settings.least_gain
        self._judged = [alternates.judge(workload, need, self._desk, pools, gain) for workload, need in needs]
        self._here.desk.alternates = frozenset(one.pool for item in self._judged for one in item.look.alternates)
        priced = {(pool.region, pool.instance_type) for pool in self._desk.spot_prices}
        # Nothing is wanted before machines and shapes are told of, which is a moment after the start.
        self._prices_came = bool(wanted) and firsts <= priced
        took = self._monotonic() - started
        # Until the prices that are wanted have come, each look may find more.
        self._look_after = started + max(LOOK_EVERY if self._prices_came else 0.0, LOOK_SHARE * took)

    def _need(self, workload: alternates.Workload) -> Need | None:
        return alternates.need_of(workload, self._desk.shapes, self._rules.get(workload.name), self._settings)

    def _undecided(self, now: int) -> list[Judged]:
        """The newest looks at workloads of which none was counted in this hour."""
        if not self._prices_came and self._monotonic() - self._began < STARTUP:
            return []
        return [item for item in self._judged if self._state.decided.get(item.workload) != now // HOUR]

    # --- the ledger

    def _tell(self, fleets: Sequence[Fleet], known: Known, now: int) -> str:
        """Write what was found out; returns why it could not be, empty where it is on disk."""
        try:
            tasks = self._losses.candidates(self._take_tasks(), now)
            costs = _as(dict, self._ask(lambda ledger: cost_of_tasks(ledger, tasks))) if tasks else {}
        except (LedgerError, CommitError) as error:
            return f"the ledger cannot be asked: {error}"
        slices = [made for fleet in fleets if (made := self._slice(fleet, known, now)) is not None]
        seen = [item for fleet in fleets for item in self._slices.ends(fleet)]
        moves = self._moved(slices, known)
        lost = self._losses.of(known, costs, now)
        decided = self._undecided(now)
        decisions = [alternates.decision(item, now) for item in decided]
        try:
            self._state.save()
            self._commit([*slices, *seen, *moves.switches, *moves.decisions, *decisions, *lost])
            self._slices.told(seen, now)
            self._losses.told(lost, now)
            self._state.answered(moves.spent)
            self._state.decide((item.workload for item in decided), now // HOUR)
            self._state.recommend({item.workload: item.chosen.pool for item in decided if item.chosen}, now)
            self._state.main = self._main(fleets)
            self._state.save()
        except (CommitError, OSError) as error:
            return str(error)
        return ""

    def _slice(self, fleet: Fleet, known: Known, now: int) -> FleetSlice | None:
        return self._slices.of(fleet, self._desk, known.untils.get((fleet.account, fleet.region)), now)

    def _commit(self, records: Sequence[object]) -> None:
        if not records:
            return
        if self._here.commit is None:
            raise CommitError("there is no ledger")
        self._here.commit(records)

    def _moved(self, slices: Sequence[FleetSlice], known: Known) -> Moved:
        """Who moved between what the ledger knows and what these slices tell it."""
        if not slices:
            return Moved([], [], [])
        told = {(item.account, item.region) for item in slices}
        others = [item for item in known.instances.values() if (item.pool.account, item.pool.region) not in told]
        after = [*others, *(item for one in slices for item in one.instances)]
        at = max(item.until for item in slices)
        return moved(known.instances.values(), after, self._state.main, self._state.recommended, at)

    def _main(self, fleets: Sequence[Fleet]) -> dict[str, Pool]:
        running: list[Instance] = [item for fleet in fleets for item in fleet.instances]
        found = {}
        for workload, vcpus in by_workload(running).items():
            pool = main_pool(vcpus, self._state.main.get(workload))
            if pool is not None:
                found[workload] = pool
        return found

    # --- series

    def _samples(self, fleets: Sequence[Fleet], pools: Pools) -> Iterator[Sample]:
        yield from self._sums.of([*gauges.money(fleets, self._desk), *gauges.forced(fleets)])
        running = {item.workload for fleet in fleets for item in fleet.instances if item.state in RUNS}
        # A look may be some minutes old; who is gone meanwhile is gone at once.
        judged = [item for item in self._judged if item.workload in running]
        yield from alternates.samples(judged)
        shown = gauges.pools_in_use(fleets) | {one.pool for item in judged for one in item.look.alternates}
        yield from gauges.pools(shown, pools)
        for name, weight in self._weights._asdict().items():
            yield Sample(spot.RISK_WEIGHT, (name,), weight)


def copy_of(desk: Desk) -> Desk:
    """The desk at one moment: its sources go on writing, and who iterates must not meet a change."""
    # A copy is made by C without running Python code, so no other thread comes in between. What was asked for comes
    # first: prices that come while this is copied are there then, and none is taken for one that there is not.
    looks = desk.price_looks.copy()
    return Desk(**{name: value.copy() for name, value in vars(desk).items()} | {"price_looks": looks})


def _as(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value
