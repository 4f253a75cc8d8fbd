"""Machines of EC2 in every region of every account, spot or not.

    spot_fleet_instances{account="prod",region="us-east-1",az_id="use1-az2",instance_type="m7g.large",…} 12
    spot_fleet_unregistered{account="prod",region="us-east-1",lifecycle="spot"} 3
    spot_requests{account="prod",region="us-east-1",state="active",status="fulfilled"} 12

Machines that have ended are read, too, as long as EC2 tells of them: their StateReason and their request say why.
A region that fails keeps what was read there before, for KEPT_CYCLES cycles; `aws_api_last_success_timestamp_seconds`
says how old it is.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fleetwatch.aws.access import Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Call
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.collect.clouds import incomplete
from fleetwatch.collect.here import Here, SpotAccess
from fleetwatch.collect.runner import KEPT_CYCLES, NoData, source
from fleetwatch.collect.spot import _ec2
from fleetwatch.collect.spot._ask import wrong_rows
from fleetwatch.collect.spot._targets import Targets, Where
from fleetwatch.collect.sums import Sums
from fleetwatch.records.spot import Fleet, Instance, Pool, Shape, SpotRequest

log = logging.getLogger(__name__)

PATIENCE = 50.0
"""Seconds for all regions together."""
ZONES_AGAIN = 86_400.0
"""Seconds after which zones are read again, and types asked for again that a region did not have."""
ERRORS_KEPT = 86_400 * NANO
"""Nanoseconds for which a pool without capacity is remembered."""


class _Look(NamedTuple):
    """At one region of one account."""

    fleet: Fleet
    shapes: dict[str, Shape]
    no_capacity: dict[Pool, int]
    troubles: list[Trouble]
    """Of parts; the machines themselves were read."""
    missed: bool = False
    """The requests were not read: they are those of before."""


@source(interval=60, timeout=55)
class Ec2Fleet:
    def __init__(self, here: Here) -> None:
        self._here = here
        self._desk = here.desk
        self._calls = Calls("ec2_fleet")
        self._targets: Targets[_Look] = Targets(self._calls)
        self._sums = Sums(here.ai_services.limits)
        self._failures: Counter[Where] = Counter()
        self._missed: Counter[Where] = Counter()
        self._zones_at: dict[Where, float] = {}
        self._absent: dict[tuple[str, str], float] = {}
        """(region, type) that it does not have -> when that was seen."""

    def __call__(self) -> Iterator[Sample]:
        aws, access = self._here.aws, self._here.spot
        if aws is None or access is None:
            raise NoData

        def look(target: Target, where: Where) -> _Look:
            return self._look(aws.caller(_ec2.API, target, self._calls), where, access)

        answers = self._targets.ask(aws, look, PATIENCE)
        troubles = list(answers.troubles)
        for where, found in answers.found.items():
            troubles += self._take(where, found)
        for where in answers.failed:
            self._failures[where] += 1
            if self._failures[where] > KEPT_CYCLES:
                self._desk.fleets.pop(where, None)
        self._forget_errors()
        yield from self._sums.of(sample for fleet in list(self._desk.fleets.values()) for sample in _samples(fleet))
        yield from self._calls.samples()
        if troubles:
            raise incomplete(troubles)

    @property
    def actions(self) -> set[str]:
        """What IAM must have allowed for the requests that were made."""
        return self._calls.actions()

    def _look(self, call: Call, where: Where, access: SpotAccess) -> _Look:
        """In a thread of its own. Raises Trouble where the machines cannot be read."""
        troubles: list[Trouble] = []
        zones = self._zones(call, where, troubles)
        at = int(self._here.clock() * NANO)
        asked = _ec2.Asked(*where, zones, access, at)
        told = _ec2.rows(call, "DescribeInstances", "Reservations")
        rows = [item for held in told for item in held.get("Instances", ())]
        machines = [_ec2.instance(item, asked) for item in rows if item.get("InstanceId")]
        nameless = wrong_rows(f"ec2:DescribeInstances in {where.region}", _nameless(len(rows) - len(machines)))
        if nameless is not None:
            troubles.append(nameless)
        before = self._desk.fleets.get(where)
        requests, no_capacity, missed = self._requests(call, where, zones, troubles)
        if requests is None:
            requests = before.requests if before is not None and self._missed[where] < KEPT_CYCLES else ()
        shapes = self._shapes(call, where.region, {item.pool.instance_type for item in machines}, troubles)
        known = {item.id: item for item in before.instances} if before is not None else {}
        whole = _whole(machines, {**self._desk.shapes, **shapes}, {item.instance: item for item in requests}, known)
        no_capacity |= {
            item.pool: item.ended or item.launched
            for item in whole
            if item.ended_why == "Server.InsufficientInstanceCapacity"
        }
        return _Look(Fleet(*where, at, tuple(whole), tuple(requests)), shapes, no_capacity, troubles, missed)

    def _zones(self, call: Call, where: Where, troubles: list[Trouble]) -> dict[str, str]:
        """Names of zones -> ids. Machines tell their zone's id themselves; where that is missing the name tells it."""
        now, known = self._here.clock(), self._desk.zones.get(where, {})
        if known and 0 <= now - self._zones_at.get(where, 0.0) < ZONES_AGAIN:
            return known
        try:
            # It has no pages.
            answer = call("DescribeAvailabilityZones", {})
        except Trouble as trouble:
            troubles.append(trouble)
            return known
        told = answer.get("AvailabilityZones") or ()
        found = {str(item["ZoneName"]): str(item["ZoneId"]) for item in told if item.keys() >= {"ZoneName", "ZoneId"}}
        self._desk.zones[where], self._zones_at[where] = found, now
        return found

    def _requests(
        self, call: Call, where: Where, zones: dict[str, str], troubles: list[Trouble]
    ) -> tuple[Sequence[SpotRequest] | None, dict[Pool, int], bool]:
        """None for what could not be read; the pools that had no capacity; whether it failed."""
        found: list[SpotRequest] = []
        no_capacity: dict[Pool, int] = {}
        try:
            for told in _ec2.rows(call, "DescribeSpotInstanceRequests", "SpotInstanceRequests"):
                request = _ec2.request(told)
                found.append(request)
                pool = _ec2.pool_of_request(told, *where, zones) if request.status in _ec2.NO_CAPACITY else None
                if pool is not None:
                    no_capacity[pool] = max(no_capacity.get(pool, 0), request.updated)
        except Trouble as trouble:
            troubles.append(trouble)
            return None, {}, True
        return found, no_capacity, False

    def _shapes(self, call: Call, region: str, used: set[str], troubles: list[Trouble]) -> dict[str, Shape]:
        """Of types in use that are not known; all others are read by `instance_types`."""
        now = self._here.clock()
        again = {kind for kind in used if now - self._absent.get((region, kind), float("-inf")) < ZONES_AGAIN}
        missing = sorted(used - set(self._desk.shapes) - again - {""})
        found: dict[str, Shape] = {}
        try:
            for first in range(0, len(missing), _ec2.TYPES_PAGE):
                some = missing[first : first + _ec2.TYPES_PAGE]
                # As a filter: InstanceTypes fails as a whole for one that the region does not have.
                named = [{"Name": "instance-type", "Values": some}]
                rows = _ec2.rows(call, "DescribeInstanceTypes", "InstanceTypes", _ec2.TYPES_PAGE, Filters=named)
                found |= _ec2.shapes(rows)
                self._absent |= {(region, kind): now for kind in some if kind not in found}
        except Trouble as trouble:
            troubles.append(trouble)
        return found

    def _take(self, where: Where, found: _Look) -> list[Trouble]:
        self._failures[where] = 0
        self._missed[where] = self._missed[where] + 1 if found.missed else 0
        self._desk.shapes.update(found.shapes)
        for pool, at in found.no_capacity.items():
            self._desk.capacity_errors[pool] = max(at, self._desk.capacity_errors.get(pool, 0))
        self._desk.fleets[where] = found.fleet
        return found.troubles

    def _forget_errors(self) -> None:
        oldest = int(self._here.clock() * NANO) - ERRORS_KEPT
        for pool, at in list(self._desk.capacity_errors.items()):
            if at < oldest:
                self._desk.capacity_errors.pop(pool, None)


def _whole(
    machines: Sequence[Instance],
    shapes: dict[str, Shape],
    requests: dict[str, SpotRequest],
    known: dict[str, Instance],
) -> list[Instance]:
    """Each machine once, with what others know of it: its type, its request, what EC2 told while it ran."""
    found: dict[str, Instance] = {}
    for told in machines:
        item = told
        shape, request, before = shapes.get(item.pool.instance_type), requests.get(item.id), known.get(item.id)
        if not item.vcpus and shape is not None:
            item = item._replace(vcpus=shape.vcpus)
        if item.state in _ec2.OVER and item.ended is None and request is not None and _is_over(request):
            item = item._replace(ended=request.updated)
        if before is not None and item.state in _ec2.OVER:
            # A machine that has ended has no name any more.
            item = item._replace(names=tuple(dict.fromkeys((*before.names, *item.names))))
        found[item.id] = item
    return list(found.values())


def _nameless(number: int) -> list[str]:
    return [f"{number} machines without InstanceId are left out"] if number else []


def _is_over(request: SpotRequest) -> bool:
    return request.status.startswith(("instance-terminated-", "instance-stopped-"))


def _samples(fleet: Fleet) -> Iterator[Sample]:
    place = {"account": fleet.account, "region": fleet.region}
    instances: Counter[tuple[Pool, str, str, str]] = Counter()
    vcpus: Counter[tuple[Pool, str, str, str]] = Counter()
    unregistered: Counter[str] = Counter()
    for item in fleet.instances:
        if item.state != "running":
            continue
        key = (item.pool, item.lifecycle, item.team, item.workload)
        instances[key] += 1
        vcpus[key] += item.vcpus
        unregistered[item.lifecycle] += not item.workload
    for (pool, lifecycle, team, workload), number in sorted(instances.items()):
        labels = {**pool._asdict(), "lifecycle": lifecycle, "team": team, "workload": workload}
        yield spot.FLEET_INSTANCES(number, **labels)
        yield spot.FLEET_VCPUS(vcpus[pool, lifecycle, team, workload], **labels)
    for lifecycle, number in sorted(unregistered.items()):
        yield spot.UNREGISTERED(number, **place, lifecycle=lifecycle)
    requests = Counter((item.state, item.status) for item in fleet.requests)
    for (state, status), number in sorted(requests.items()):
        yield spot.REQUESTS(number, **place, state=state, status=status)
