"""Sources of prices and chances, look by look, with the machines that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from fleetwatch.aws import Account
from fleetwatch.catalogue import exporter
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect import Here
from fleetwatch.collect.desk import Desk
from fleetwatch.collect.here import SpotAccess
from fleetwatch.collect.runner import Incomplete
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from fleetwatch.records.spot import Fleet, Instance, Pool
from support_ec2 import OWN, REGION, Ec2
from support_ec2_machines import zone_id

DAY = 86_400
POOL = Pool(OWN, REGION, zone_id(OWN, REGION, "a"), "m7g.large", "Linux/UNIX")


class _Source(Protocol):
    def __init__(self, here: Here) -> None: ...

    def __call__(self) -> Iterator[Sample]: ...


def here_of(
    ec2: Ec2,
    *,
    regions: Sequence[str] = (REGION,),
    accounts: Sequence[Account] = (Account(),),
    access: SpotAccess | None = SpotAccess(),  # noqa: B008 - a tuple cannot change
    state: Path | None = None,
    aws: Any = None,
    timeout: float = 5.0,
) -> Here:
    aws = aws or ec2.aws(regions, accounts, timeout=timeout)
    return Here(aws=aws, spot=access, state=state, clock=lambda: ec2.now)


def instance(
    kind: str,
    *,
    account: str = OWN,
    region: str = REGION,
    zone: str = "a",
    product: str = "Linux/UNIX",
    state: Any = "running",
) -> Instance:
    number = OWN if account == OWN or not account.isdigit() else account
    pool = Pool(account, region, zone_id(number, region, zone), kind, product)
    return Instance(f"i-{kind}-{region}-{zone}-{product}", pool, "spot", state, 2, 0)


def fleet(here: Here, *instances: Instance, account: str = OWN, region: str = REGION) -> None:
    """The machines of one region of one account, as the source of machines would tell them."""
    here.desk.fleets[account, region] = Fleet(account, region, int(here.clock() * 1e9), instances)


class Looks:
    """A source, what came of its last cycle and what a scrape shows."""

    def __init__(self, kind: type[_Source], ec2: Ec2, **given: Any) -> None:
        """given: as `here_of` takes it."""
        self.kind, self.ec2 = kind, ec2
        self.here = here_of(ec2, **given)
        self.source = kind(self.here)
        self.samples: list[Sample] = []
        self.failure: Incomplete | None = None

    def look(self, later: float = 0) -> None:
        """One cycle, some seconds later."""
        self.ec2.now += later
        self.samples, self.failure = [], None
        try:
            # As the runner does: what was yielded before a failure is shown.
            self.samples.extend(self.source())
        except Incomplete as error:
            self.failure = error

    def restart(self) -> None:
        """Another process: nothing is left but files."""
        fleets, wanted = self.here.desk.fleets, self.here.desk.wanted
        self.here = replace(self.here, desk=Desk(fleets=fleets, wanted=wanted))
        self.source = self.kind(self.here)

    def value(self, metric: Metric, **labels: str) -> float | None:
        """The one value of the metric with these labels; None without any."""
        found = [sample.value for sample in self._of(metric, labels)]
        assert len(found) <= 1, f"{metric.prometheus}: {len(found)} series"
        return found[0] if found else None

    def number(self, metric: Metric, **labels: str) -> int:
        return len(list(self._of(metric, labels)))

    def labels(self, metric: Metric, name: str) -> set[str]:
        place = metric.label_names.index(name)
        return {sample.labels[place] for sample in self._of(metric, {})}

    def page(self) -> str:
        """Without the requests, which the tests of the way to AWS have."""
        left_out = {exporter.API_REQUESTS, exporter.API_ITEMS, exporter.API_COST}
        meter = Meter(implied={"host_name": "cloud-1"})
        meter.replace("source", [sample for sample in self.samples if sample.metric not in left_out])
        return exposition(meter, openmetrics=False)

    def _of(self, metric: Metric, labels: dict[str, str]) -> Iterable[Sample]:
        for sample in self.samples:
            have = dict(zip(sample.metric.label_names, sample.labels, strict=True))
            if sample.metric is metric and labels.items() <= have.items():
                yield sample
