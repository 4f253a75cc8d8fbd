"""A ledger of machines: what was told, and what it counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fleetwatch.catalogue.metric import Metric
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.spot.book import SpotRules
from fleetwatch.records.spot import (
    DrainStep,
    FleetSlice,
    Instance,
    InstanceSeen,
    Lifecycle,
    Pool,
    Signal,
    SpotSignal,
    State,
    Step,
    Use,
)
from support_ledger import BOOK

SECOND = 10**9
HOUR = 3600 * SECOND
DAY = 24 * HOUR
NOON = 1_795_262_400 * SECOND
"""2026-11-21 12:00 UTC."""
POOL = Pool("prod", "us-east-1", "use1-az1", "m7g.large", "Linux/UNIX")
ID = "i-0123456789abcdef0"


def at(seconds: float) -> int:
    return NOON + round(seconds * SECOND)


class Told:
    """A ledger and a clock. counts: what was counted since the file was made, over all restarts."""

    def __init__(self, folder: Path, keep_days: int = 400) -> None:
        self.path = folder / "ledger.db"
        self.now = NOON
        self._rules = SpotRules(keep_days)
        self.ledger = self._open()

    def restart(self) -> None:
        self.ledger.close()
        self.ledger = self._open()

    def tell(self, *records: object, later: float = 0) -> None:
        """Commit, some seconds later."""
        self.now += round(later * SECOND)
        self.ledger.commit(list(records))  # type: ignore[arg-type]

    def settle(self, later: float = 1000) -> None:
        self.now += round(later * SECOND)
        self.ledger.settle()

    def counts(self) -> dict[tuple[str, ...], int]:
        """(name, *labels) -> amount; of histograms their sum."""
        self.restart()
        return {(change.metric.prometheus, *change.labels): change.amount for change in self.ledger.counts()}

    def count(self, metric: Metric, *labels: str) -> int:
        return self.counts().get((metric.prometheus, *labels), 0)

    def rows(self) -> list[object]:
        """Takings without what a clock of ours made of them."""
        return list(self.ledger.spot.interruptions(0))

    def _open(self) -> Ledger:
        return Ledger(self.path, BOOK, spot=self._rules, clock=lambda: self.now)


def machine(
    name: str = ID, *, pool: Pool = POOL, lifecycle: Lifecycle = "spot", state: State = "running", **more: object
) -> Instance:
    return Instance(name, pool, lifecycle, state, 2, at(-HOUR // SECOND), **more)  # type: ignore[arg-type]


def use(
    *, pool: Pool = POOL, lifecycle: Lifecycle = "spot", hours: float = 1, spend: int | None = 40, od: int | None = 100
) -> Use:
    """Of two processors each. spend, od: nano-USD."""
    running = round(hours * HOUR)
    return Use(pool, lifecycle, "search", "index", True, running, 2 * running, spend, od)


def part(
    since: int,
    until: int,
    *instances: Instance,
    uses: Sequence[Use] = (),
    account: str = "prod",
    region: str = "us-east-1",
) -> FleetSlice:
    return FleetSlice(account, region, since, until, tuple(uses), instances)


def signal(kind: Signal, seconds: float = 0, key: str = "", name: str = ID, **more: object) -> SpotSignal:
    key = key or f"{kind}-{seconds}-{name}-{more}"
    told = {"due": at(seconds + 120), "action": "terminate"} if kind == "warning" else {}
    return SpotSignal(key, kind, name, "prod", "us-east-1", at(seconds), at(seconds + 1), **{**told, **more})  # type: ignore[arg-type]


def step(kind: Step, seconds: float, name: str = ID, host: str = "node-1") -> DrainStep:
    return DrainStep("prod-eks", "spot", host, name, kind, at(seconds))


def seen(why: str, seconds: float, name: str = ID) -> InstanceSeen:
    return InstanceSeen(name, "prod", "us-east-1", at(seconds), why)


def usual(name: str = ID) -> list[object]:
    """All that is told of a usual taking."""
    return [
        signal("rebalance", -600, name=name),
        signal("warning", 0, name=name),
        step("cordoned", 2, name),
        step("first_eviction", 4, name),
        step("drained", 70, name),
        signal("state_change", 90, name=name, state="shutting-down"),
        signal("state_change", 121, name=name, state="terminated"),
        seen("instance-terminated-no-capacity", 118, name),
        seen("Server.SpotInstanceTermination", 118, name),
        step("gone", 180, name),
    ]
