"""EC2 Capacity Manager's own count of spot machines and interruptions in the last day, to compare with what was seen.

spot_capacity_manager_interruptions{account="prod",region="us-east-1",instance_type="m7g.large"} 3

It tells of all regions in the one where it is switched on, and of all accounts of an organization where it is allowed
to. Its figures are some hours late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from fleetwatch.aws.access import Account, Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws
from fleetwatch.aws.together import each
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.collect.clouds import incomplete
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import KEPT_CYCLES, NoData, source
from fleetwatch.collect.spot._ask import pages, trouble_of

API, OPERATION = "ec2", "GetCapacityManagerMetricData"
DAY = 86_400
HOUR = 3600
# How the figures of a day's parts make one: what happened adds up, machines that ran in two parts are the same ones.
FIGURES: Mapping[str, tuple[Metric, Callable[[float, float], float]]] = {
    "spot-total-interruptions-inst": (spot.MANAGER_INTERRUPTIONS, lambda one, other: one + other),
    "spot-total-count-inst": (spot.MANAGER_INSTANCES, max),
    "spot-total-usage-hrs-inst": (spot.MANAGER_HOURS, lambda one, other: one + other),
}
GROUPS = ("account-id", "resource-region", "instance-type")
PAGES = 50
ROWS = 1000
PATIENCE = 120.0

_Row = tuple[str, str, str]
"""(account's number, region, instance type)."""
_Figures = Mapping[_Row, Mapping[str, float]]


class _Answer(NamedTuple):
    """Of one account. number: its own; home: the region that answered."""

    number: str
    home: Target
    figures: _Figures


@source(interval=HOUR, timeout=150)
class CapacityManager:
    """Each account's regions are asked in turn, the one that answered last time first, until one answers."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._calls = Calls("capacity_manager")
        self._answers: dict[Account, _Answer] = {}
        self._missed: dict[Account, int] = {}
        self._hanging: set[Account] = set()

    def __call__(self) -> Iterator[Sample]:
        """Raises NoData where it is not to be asked, Incomplete for accounts that it did not tell of."""
        aws, access = self._here.aws, self._here.spot
        if aws is None or access is None or not access.capacity_manager:
            raise NoData
        troubles: list[Trouble] = []
        try:
            targets = aws.targets()
        except Trouble as trouble:
            targets, troubles = [], [trouble]
        accounts = list(dict.fromkeys(item.account for item in targets))
        found = each(accounts, lambda item: self._ask(aws, item, targets), PATIENCE, self._hanging)
        for account, answer in found.items():
            if isinstance(answer, _Answer):
                self._answers[account], self._missed[account] = answer, 0
                continue
            troubles.append(trouble_of(answer, account.name or "the own account"))
            self._missed[account] = self._missed.get(account, 0) + 1
            if self._missed[account] > KEPT_CYCLES:
                self._answers.pop(account, None)
        yield from self._samples()
        yield from self._calls.samples()
        if troubles:
            raise incomplete(troubles)

    def _ask(self, aws: Aws, account: Account, targets: Sequence[Target]) -> _Answer:
        """In a thread of its own. Raises Trouble, where no region answered that of the first."""
        known = self._answers.get(account)
        mine = sorted((item for item in targets if item.account == account), key=lambda item: _is_not(item, known))
        first: Trouble | None = None
        for target in mine:
            try:
                figures = self._figures(aws, target)
                number = aws.number(target, self._calls)
            except Trouble as trouble:
                first = first or trouble
                if trouble.cause in ("unreachable", "throttled", "held_back"):
                    break  # the next would wait as long for nothing
                continue
            return _Answer(number, target, figures)
        assert first is not None  # noqa: S101 - an account has a region
        raise _explained(first)

    def _figures(self, aws: Aws, target: Target) -> _Figures:
        call = aws.caller(API, target, self._calls)
        until = datetime.fromtimestamp(self._here.clock() // HOUR * HOUR, UTC)
        parameters = {
            "MetricNames": list(FIGURES),
            "StartTime": until - timedelta(seconds=DAY),
            "EndTime": until,
            "Period": DAY,
            "GroupBy": list(GROUPS),
            "MaxResults": ROWS,
        }
        found: defaultdict[_Row, dict[str, float]] = defaultdict(dict)
        for page in pages(call, OPERATION, parameters, PAGES):
            for row in page.get("MetricDataResults") or ():
                _read(row, found)
        return found

    def _samples(self) -> Iterator[Sample]:
        """Of two accounts that tell of the same one, its own word counts."""
        names = {answer.number: account.name or answer.number for account, answer in self._answers.items()}
        shown: dict[_Row, Mapping[str, float]] = {}
        for answer in self._answers.values():
            for row, figures in answer.figures.items():
                if row[0] == answer.number or row not in shown:
                    shown[row] = figures
        for (number, region, kind), figures in sorted(shown.items()):
            labels = {"account": names.get(number, number), "region": region, "instance_type": kind}
            for name, value in sorted(figures.items()):
                yield FIGURES[name][0](value, **labels)


def _is_not(target: Target, known: _Answer | None) -> bool:
    return known is None or known.home != target


def _read(row: Mapping[str, Any], found: dict[_Row, dict[str, float]]) -> None:
    dimension = row.get("Dimension") or {}
    number, region, kind = (str(dimension.get(name) or "") for name in ("AccountId", "ResourceRegion", "InstanceType"))
    if not (number and region and kind):
        return  # hours of machines that it could not put down to any
    for item in row.get("MetricValues") or ():
        name, value = item.get("Metric"), item.get("Value")
        if name in FIGURES and value is not None:
            figures = found[number, region, kind]
            figures[name] = FIGURES[name][1](figures[name], value) if name in figures else value


def _explained(trouble: Trouble) -> Trouble:
    """That it is not switched on comes as an error that AWS has no common name for."""
    if trouble.cause != "error":
        return trouble
    fix = (
        "Switch EC2 Capacity Manager on in one of aws.regions (EC2 console, or ec2:EnableCapacityManager; the first "
        "figures come after some hours), or set spot.capacity_manager to false."
    )
    return Trouble("error", trouble.why, fix)
