"""What types of machines there are in the regions in use, so that alternates can be told apart by size.

It shows nothing but how AWS was asked. A region is asked once a day, through the first account that has machines there;
what is known of a type stays, for a type never changes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from fleetwatch.aws.access import Target
from fleetwatch.aws.calls import Calls
from fleetwatch.aws.session import Call
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.clouds import incomplete
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import NoData, source
from fleetwatch.collect.spot import _ec2
from fleetwatch.collect.spot._targets import Targets, Where
from fleetwatch.records.spot import Shape

PATIENCE = 100.0
"""Seconds for all regions together; a region has about a thousand types, ten pages."""
AGAIN = 86_400.0
"""Seconds between looks at a region."""
RETRY = 600.0
"""The same after one that failed."""


@source(interval=15, timeout=110)
class InstanceTypes:
    """A cycle looks whether a region is new or due; most ask nothing."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._calls = Calls("instance_types")
        self._targets: Targets[dict[str, Shape]] = Targets(self._calls)
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}
        """Region -> when it is asked again, Unix seconds."""

    def __call__(self) -> Iterator[Sample]:
        aws = self._here.aws
        if aws is None or self._here.spot is None:
            raise NoData

        def look(target: Target, where: Where) -> dict[str, Shape]:
            return self._look(aws.caller(_ec2.API, target, self._calls), where)

        answers = self._targets.ask(aws, look, PATIENCE)
        for found in answers.found.values():
            self._here.desk.shapes.update(found)
        yield from self._calls.samples()
        if answers.troubles:
            raise incomplete(answers.troubles)

    @property
    def actions(self) -> set[str]:
        """What IAM must have allowed for the requests that were made."""
        return self._calls.actions()

    def _look(self, call: Call, where: Where) -> dict[str, Shape]:
        """Types of the region; none where it is not its turn. Raises Trouble."""
        fleet = self._here.desk.fleets.get(where)
        if fleet is None or not any(item.state == "running" for item in fleet.instances):
            return {}
        now = self._here.clock()
        with self._lock:  # one of the accounts asks for all
            due = self._next.get(where.region, now)
            # One that is further off than ever is of a clock that was set back.
            if now < due <= now + AGAIN:
                return {}
            self._next[where.region] = now + RETRY
        rows = _ec2.rows(call, "DescribeInstanceTypes", "InstanceTypes", _ec2.TYPES_PAGE)
        found = _ec2.shapes(rows)
        self._next[where.region] = now + AGAIN
        return found
