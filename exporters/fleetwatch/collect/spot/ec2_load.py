"""How busy the machines of EC2 are, from CloudWatch: only where `spot.load` is set, since each machine and look costs.

spot_fleet_cpu_utilization_ratio{account="prod",region="us-east-1",team="a",workload="search",lifecycle="spot"} 0.61

Mean of `CPUUtilization` of AWS/EC2 over the newest five minutes that a machine has a value for, weighted by its virtual
processors. A machine without a value (just started, or its monitoring is late) is left out of the mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fleetwatch.aws.access import Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Call
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.clouds import incomplete
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import KEPT_CYCLES, NoData, source
from fleetwatch.collect.spot._ask import pages
from fleetwatch.collect.spot._targets import Targets, Where
from fleetwatch.collect.sums import Sums
from fleetwatch.records.spot import Instance

API = "cloudwatch"
PATIENCE = 50.0
"""Seconds for all regions together."""
QUERIES = 500
"""Of one request, the most there are."""
PAGES = 20
"""Of one request."""
PERIOD = 300
"""Seconds. Machines without detailed monitoring have a value every five minutes."""
BACK = 1800
"""Seconds that are looked back: values come late. They cost nothing, only metrics do."""


class _Load(NamedTuple):
    use: list[Sample]
    """Processor use times processors."""
    processors: list[Sample]
    at: float
    """When it was asked for, Unix seconds."""
    failures: int = 0


@source(interval=60, timeout=55)
class Ec2Load:
    """A cycle asks for regions whose last answer is PERIOD old; most ask nothing."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._calls = Calls("ec2_load")
        self._targets: Targets[_Load | None] = Targets(self._calls)
        self._sums = Sums(here.ai_services.limits)
        self._loads: dict[Where, _Load] = {}

    def __call__(self) -> Iterator[Sample]:
        aws, access = self._here.aws, self._here.spot
        if aws is None or access is None or not access.load:
            raise NoData

        def look(target: Target, where: Where) -> _Load | None:
            return self._look(aws.caller(API, target, self._calls, _billed), where)

        answers = self._targets.ask(aws, look, PATIENCE)
        self._loads |= {where: load for where, load in answers.found.items() if load is not None}
        for where in answers.failed & set(self._loads):
            load = self._loads[where]
            self._loads[where] = load._replace(failures=load.failures + 1)
        yield from self._samples()
        yield from self._calls.samples()
        if answers.troubles:
            raise incomplete(answers.troubles)

    @property
    def actions(self) -> set[str]:
        """What IAM must have allowed for the requests that were made."""
        return self._calls.actions()

    def _look(self, call: Call, where: Where) -> _Load | None:
        """None where the machines are not known yet. Raises Trouble."""
        now, before, fleet = self._here.clock(), self._loads.get(where), self._here.desk.fleets.get(where)
        if fleet is None:
            return None
        if before is not None and not before.failures and 0 <= now - before.at < PERIOD:
            return before
        machines = [item for item in fleet.instances if item.state == "running"]
        return _Load(*_weighed(where, machines, self._read(call, machines)), now)

    def _samples(self) -> Iterator[Sample]:
        loads = [load for load in self._loads.values() if load.failures <= KEPT_CYCLES]
        processors = self._sums.of(item for load in loads for item in load.processors)
        weights = {item.labels: item.value for item in processors}
        sums: dict[tuple[str, ...], float] = {}
        for item in (item for load in loads for item in load.use):
            labels = self._sums.labels(item)
            sums[labels] = sums.get(labels, 0.0) + item.value
        for labels, total in sorted(sums.items()):
            yield Sample(spot.LOAD, labels, total / weights[labels])

    def _read(self, call: Call, machines: Sequence[Instance]) -> dict[str, float]:
        """Machine -> processor use, 0 to 1. Raises Trouble."""
        end = self._here.clock() // PERIOD * PERIOD
        span = {"StartTime": datetime.fromtimestamp(end - BACK, UTC), "EndTime": datetime.fromtimestamp(end, UTC)}
        found: dict[str, float] = {}
        for first in range(0, len(machines), QUERIES):
            some = machines[first : first + QUERIES]
            asked = {"MetricDataQueries": [_query(number, item) for number, item in enumerate(some)], **span}
            for page in pages(call, "GetMetricData", asked, PAGES):
                found |= _values(page, some)
        return found


def _billed(**asked: Any) -> int:
    return len(asked.get("MetricDataQueries", ())) or 1


def _query(number: int, machine: Instance) -> dict[str, Any]:
    metric = {
        "Namespace": "AWS/EC2",
        "MetricName": "CPUUtilization",
        "Dimensions": [{"Name": "InstanceId", "Value": machine.id}],
    }
    return {"Id": f"m{number}", "MetricStat": {"Metric": metric, "Period": PERIOD, "Stat": "Average"}}


def _values(page: Mapping[str, Any], machines: Sequence[Instance]) -> dict[str, float]:
    """Of this page. Raises Trouble for what CloudWatch does not show."""
    found: dict[str, float] = {}
    for result in page.get("MetricDataResults", ()):
        if result.get("StatusCode") == "Forbidden":
            fix = "Allow cloudwatch:GetMetricData for these metrics' owner."
            raise Trouble("denied", "cloudwatch:GetMetricData: Forbidden", fix, "cloudwatch:GetMetricData")
        points = sorted(zip(result.get("Timestamps", ()), result.get("Values", ()), strict=False))
        if points:
            found[machines[int(result["Id"][1:])].id] = float(points[-1][1]) / 100
    return found


def _weighed(where: Where, machines: Sequence[Instance], use: Mapping[str, float]) -> tuple[list[Sample], list[Sample]]:
    """Of machines with a value: use times processors, and processors."""
    uses: list[Sample] = []
    processors: list[Sample] = []
    for item in machines:
        if item.id in use:
            # One whose type is not known counts as one processor.
            weight = item.vcpus or 1
            labels = {**where._asdict(), "team": item.team, "workload": item.workload, "lifecycle": item.lifecycle}
            uses.append(spot.LOAD(use[item.id] * weight, **labels))
            processors.append(spot.LOAD(weight, **labels))
    return uses, processors
