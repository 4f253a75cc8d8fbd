"""The judge of the spot fleet on a desk that a test fills, with a real ledger beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleetwatch.app.spot import SpotJudge
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect import Here
from fleetwatch.collect.desk import Desk
from fleetwatch.collect.here import CommitError, SpotAccess
from fleetwatch.collect.runner import Incomplete
from fleetwatch.ledger import Ledger
from fleetwatch.records.agents import AgentRun
from fleetwatch.records.spot import Fleet, Instance, ListPrice, Pool, PriceStep, Shape, SpotPrices
from fleetwatch.settings import Settings
from fleetwatch.settings.model import Aws
from fleetwatch.settings.spot import Spot
from support_ledger import BOOK

SECOND = 10**9
HOUR = 3600 * SECOND
NOON = 1_800_014_400 * SECOND
"""The beginning of an hour."""
WHERE = ("prod", "us-east-1")


def pool(kind: str = "m7g.large", zone: str = "use1-az1", account: str = "prod", region: str = "us-east-1") -> Pool:
    return Pool(account, region, zone, kind, "Linux/UNIX")


def machine(number: int, where: Pool | None = None, **fields: Any) -> Instance:
    """A spot machine with two processors, launched a day before noon, of workload `search`."""
    given: dict[str, Any] = {
        "lifecycle": "spot",
        "state": "running",
        "vcpus": 2,
        "launched": NOON - 24 * HOUR,
        "workload": "search",
    }
    return Instance(id=f"i-{number:017x}", pool=where or pool(), **(given | {"team": "find"} | fields))


class Court:
    """A judge, its desk and its ledger. now: Unix nanoseconds, for all of them."""

    def __init__(self, folder: Path, **section: Any) -> None:
        self.folder = folder
        self.now = NOON
        self.monotonic = 1000.0
        self.section = section
        self.aws = Aws()
        self.tasks: list[AgentRun] = []
        self.refuses = False
        self.ledger: Ledger | None = None
        self.desk = Desk()
        self.open()

    def open(self) -> None:
        """Start, or start again: what was in memory is gone, the desk as well."""
        if self.ledger is not None:
            self.ledger.close()
        self.ledger = Ledger(self.folder / "ledger.db", BOOK, clock=lambda: self.now)
        self.counted: dict[tuple[str, tuple[str, ...]], int] = {}
        self.desk = Desk()
        here = Here(
            desk=self.desk,
            spot=SpotAccess(),
            state=self.folder,
            commit=self._commit,
            clock=lambda: self.now / SECOND,
        )
        settings = Settings(spot=Spot(enabled=True, **self.section), aws=self.aws)
        self.judge = SpotJudge(settings, here, lambda work: work(self.open_ledger), self._tasks, lambda: self.monotonic)

    def close(self) -> None:
        self.open_ledger.close()

    @property
    def open_ledger(self) -> Ledger:
        assert self.ledger is not None
        return self.ledger

    def _commit(self, records: Sequence[Any]) -> None:
        if self.refuses:
            raise CommitError("the disk is full")
        self.open_ledger.commit(records)

    def _tasks(self) -> list[AgentRun]:
        found, self.tasks = self.tasks, []
        return found

    def fleet(self, *machines: Instance, account: str = "prod", region: str = "us-east-1") -> None:
        """What EC2 tells now."""
        self.desk.fleets[account, region] = Fleet(account, region, self.now, machines)

    def price(self, usd: float, where: Pool | None = None, at: int | None = None) -> None:
        """A step of the spot price, from the beginning where no time is given; all prices are read now."""
        where = where or pool()
        before = self.desk.spot_prices.get(where)
        step = PriceStep(NOON - 30 * 24 * HOUR if at is None else at, round(usd * SECOND))
        self.desk.spot_prices[where] = SpotPrices((*(before.steps if before else ()), step), self.now)
        self.looked(where)
        self.read()

    def looked(self, where: Pool) -> None:
        """Prices of the pool's type were read, whether it has one or not."""
        looks = self.desk.price_looks.get((where.account, where.region), frozenset())
        self.desk.price_looks[where.account, where.region] = looks | {(where.instance_type, where.product)}

    def read(self) -> None:
        """Prices are read now and have not changed."""
        self.desk.spot_prices = {one: prices._replace(at=self.now) for one, prices in self.desk.spot_prices.items()}

    def list_price(self, usd: float, kind: str = "m7g.large", region: str = "us-east-1") -> None:
        self.desk.list_prices[region, kind, "Linux/UNIX"] = ListPrice(round(usd * SECOND), self.now)

    def shape(self, kind: str, vcpus: int = 2, gib: int = 8, architecture: str = "arm64") -> None:
        self.desk.shapes[kind] = Shape(vcpus, gib * 2**30, 0, architecture)

    def look(self, later: float = 0) -> list[Sample]:
        """A cycle of the judge, some seconds later. What fails is not hidden."""
        self.now += round(later * SECOND)
        self.monotonic += later
        found = list(self.judge())
        self._count()
        return found

    def failing_look(self, later: float = 0) -> tuple[list[Sample], str]:
        """One that has to fail: what was shown, and what it says."""
        self.now += round(later * SECOND)
        self.monotonic += later
        found: list[Sample] = []
        try:
            found.extend(self.judge())
        except Incomplete as error:
            return found, str(error)
        raise AssertionError("it did not fail")

    def _count(self) -> None:
        for metric, labels, amount, _ in self.open_ledger.counts():
            key = metric.name, labels
            self.counted[key] = self.counted.get(key, 0) + amount

    def total(self, metric: Metric, **labels: str) -> int:
        """Sum of a durable counter's series with these labels, in 1/scale units."""
        self._count()
        wanted = labels.items()
        return sum(
            value
            for (name, given), value in self.counted.items()
            if name == metric.name and wanted <= dict(zip(metric.label_names, given, strict=True)).items()
        )


def values(samples: Sequence[Sample], metric: Metric, **labels: str) -> list[float]:
    """Values of the series of a metric with these labels."""
    wanted = labels.items()
    return [
        sample.value
        for sample in samples
        if sample.metric is metric and wanted <= dict(zip(metric.label_names, sample.labels, strict=True)).items()
    ]
