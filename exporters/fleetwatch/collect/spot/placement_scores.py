"""Spot placement scores: how likely a whole request is to be met now, by AWS' own judgement.

spot_placement_score{config="web",region="us-east-1",az_id="use1-az1"} 7

AWS tells the ten best zones (or regions) of a request, and lets an account ask for few different requests a day: those
of the settings, unchanged. The first account is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fleetwatch.aws.access import Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws
from fleetwatch.aws.together import each
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.collect.clouds import incomplete
from fleetwatch.collect.here import Here, ScoreRequest
from fleetwatch.collect.runner import KEPT_CYCLES, NoData, source
from fleetwatch.collect.spot._ask import pages, trouble_of
from fleetwatch.records.spot import Score

API, OPERATION = "ec2", "GetSpotPlacementScores"
INTERVAL = 1800.0
LEAST_INTERVAL = 900.0
"""Seconds between two questions, at least, whatever the settings say; AWS' own tracker is built for that pace."""
MOST = 10
"""Requests that are asked for."""
REGIONS = 10
"""Of one request, at most."""
PAGES = 5
ROWS = 10
PATIENCE = 120.0


class _Held(NamedTuple):
    """Scores of a request. at: when they were asked for, Unix seconds."""

    scores: tuple[Score, ...]
    at: float


@source(interval=INTERVAL, timeout=150)
class PlacementScores:
    """One request that fails hurts no other one, and keeps its scores for some cycles."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._calls = Calls("placement_scores")
        self._held: dict[str, _Held] = {}
        self._troubles: list[Trouble] = []
        self._tried = float("-inf")
        self._hanging: set[ScoreRequest] = set()

    def __call__(self) -> Iterator[Sample]:
        """Raises NoData where the settings name no request, Incomplete for those that failed."""
        aws, access = self._here.aws, self._here.spot
        if aws is None or access is None or not access.scores:
            raise NoData
        now = self._here.clock()
        # The runner varies its interval a little.
        if not self._tried <= now < self._tried + LEAST_INTERVAL * 0.9:
            self._tried = now
            self._troubles = list(self._look(aws, access.scores, now))
        self._held = {
            name: held for name, held in self._held.items() if now - held.at <= (KEPT_CYCLES + 0.5) * INTERVAL
        }
        scores = [score for held in self._held.values() for score in held.scores]
        self._here.desk.scores = {(score.config, score.region, score.az_id): score for score in scores}
        for score in scores:
            yield spot.PLACEMENT_SCORE(score.score, config=score.config, region=score.region, az_id=score.az_id)
        yield from self._calls.samples()
        if self._troubles:
            raise incomplete(self._troubles)

    def _look(self, aws: Aws, requests: Sequence[ScoreRequest], now: float) -> Iterator[Trouble]:
        if len(requests) > MOST:
            why = f"spot.scores: expected at most {MOST}, got {len(requests)}: those from {requests[MOST].name} on wait"
            yield Trouble("error", why, "Leave out some.")
        try:
            targets = aws.targets()
        except Trouble as trouble:
            yield trouble
            return
        account = targets[0].account
        regions = [item.region for item in targets if item.account == account]
        call = aws.caller(API, targets[0], self._calls)

        def ask(request: ScoreRequest) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            for first in range(0, len(regions), REGIONS):
                asked = _parameters(request, regions[first : first + REGIONS])
                for page in pages(call, OPERATION, asked, PAGES):
                    found += page.get("SpotPlacementScores") or []
            return found

        for request, answer in each(requests[:MOST], ask, PATIENCE, self._hanging).items():
            if isinstance(answer, Exception):
                yield _explained(trouble_of(answer, targets[0]), request, targets[0])
                continue
            try:
                self._held[request.name] = _Held(tuple(_scores(answer, request.name, now)), now)
            except ValueError as error:
                yield Trouble("error", f"{API}:{OPERATION}: {request.name}: {error}", "")


def _parameters(request: ScoreRequest, regions: Sequence[str]) -> dict[str, Any]:
    return {
        "InstanceTypes": list(request.instance_types),
        "TargetCapacity": request.capacity,
        "TargetCapacityUnitType": request.unit,
        "SingleAvailabilityZone": request.single_zone,
        "RegionNames": list(regions),
        "MaxResults": ROWS,
    }


def _scores(rows: Sequence[dict[str, Any]], name: str, now: float) -> Iterator[Score]:
    """Raises ValueError."""
    for row in rows:
        region, score = row.get("Region"), row.get("Score")
        if not region or not isinstance(score, int) or not 1 <= score <= 10:
            raise ValueError(f"expected Region and Score from 1 to 10, got {region!r:.40} and {score!r:.40}")
        yield Score(name, str(region), str(row.get("AvailabilityZoneId") or ""), score, int(now * NANO))


def _explained(trouble: Trouble, request: ScoreRequest, target: Target) -> Trouble:
    """AWS' limits in words that lead to a repair. "Limitations" of placement scores in the EC2 user guide."""
    said = trouble.why.lower()
    why = f"spot.scores, {request.name}: {trouble.why}"
    if trouble.permission or trouble.cause != "error":
        return Trouble(trouble.cause, why, trouble.fix, trouble.permission)
    if "config" in said and ("limit" in said or "exceed" in said):
        fix = (
            f"AWS lets {target.account.name or 'the account'} ask for no further request within 24 hours, only for "
            "those that it has seen: wait, and change spot.scores seldom."
        )
        return Trouble("error", why, fix)
    if "capacity" in said and ("limit" in said or "exceed" in said):
        return Trouble("error", why, "Set a lower capacity: AWS' limit follows the account's recent use of spot.")
    return Trouble(trouble.cause, why, trouble.fix)
