"""A source of machines of EC2 against the loopback AWS: what came of its cycles, and what a scrape shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fleetwatch.aws import Account
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect import Here
from fleetwatch.collect.here import SpotAccess
from fleetwatch.collect.runner import Incomplete
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition
from support_ec2 import REGION, Ec2


class Looks:
    """kind: makes the source. Those of one `here` share a desk and a way to AWS."""

    def __init__(
        self,
        kind: Callable[[Here], Callable[[], Iterable[Sample]]],
        ec2: Ec2,
        here: Here | None = None,
        *,
        spot: SpotAccess | None = None,
        regions: Sequence[str] = (REGION,),
        accounts: Sequence[Account] = (Account(),),
        **access: Any,
    ) -> None:
        self.ec2 = ec2
        self.here = here or Here(
            aws=ec2.aws(regions, accounts, **access), spot=spot or SpotAccess(), clock=lambda: ec2.now
        )
        self.source = kind(self.here)
        self.failure: Incomplete | None = None
        self.samples: list[Sample] = []

    def look(self, later: float = 0) -> None:
        """One cycle, some seconds later."""
        self.ec2.now += later
        self.samples, self.failure = [], None
        try:
            self.samples.extend(self.source())
        except Incomplete as error:
            # As the runner does: what was yielded before is shown.
            self.failure = error

    def total(self, metric: Metric, **labels: str) -> float:
        """Sum of the series with these labels."""
        return sum(sample.value for sample in self.samples if sample.metric is metric and _has(sample, labels))

    def series(self, metric: Metric) -> dict[tuple[str, ...], float]:
        """Labels -> value. Fails for a series that comes twice."""
        found = [(sample.labels, sample.value) for sample in self.samples if sample.metric is metric]
        assert len(found) == len(dict(found)), f"{metric.prometheus}: a series came twice"
        return dict(found)

    def page(self) -> str:
        meter = Meter(implied={"host_name": "gpu-7"})
        meter.replace("source", self.samples)
        return exposition(meter, openmetrics=False)


def _has(sample: Sample, labels: dict[str, str]) -> bool:
    have = dict(zip(sample.metric.label_names, sample.labels, strict=True))
    return labels.items() <= have.items()
