"""What is known of a pool: how often its machines are taken, its risk, what it costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fleetwatch.collect.desk import Desk
from fleetwatch.collect.here import ScoreRequest
from fleetwatch.reckon import spot_risk
from fleetwatch.reckon.spot_risk import Exposure, Hazard, Risk, Weights
from fleetwatch.records.spot import Advice, ListPrice, Pool, Score

_NOTHING = Exposure()


class Pools:
    """Of one look. now: Unix nanoseconds; scores: what placement scores are asked for; used: pools with machines."""

    def __init__(
        self,
        desk: Desk,
        exposure: Mapping[Pool, Exposure],
        *,
        scores: Collection[ScoreRequest],
        weights: Weights,
        prior_hours: float,
        used: Collection[Pool],
        now: int,
    ) -> None:
        self._desk = desk
        self._exposure = exposure
        self._weights = weights
        self._prior = prior_hours
        self._used = used
        self._now = now
        self._configs: dict[str, list[str]] = {}
        """Instance type -> configurations with it."""
        for request in scores:
            for name in request.instance_types:
                self._configs.setdefault(name, []).append(request.name)
        self._scores = desk.scores
        # A pool is a candidate of many workloads.
        self._hazards: dict[Pool, Hazard] = {}
        self._risks: dict[Pool, Risk] = {}

    def hazard(self, pool: Pool) -> Hazard:
        """Interruptions per machine hour."""
        known = self._hazards.get(pool)
        if known is None:
            known = spot_risk.hazard(self._exposure.get(pool, _NOTHING), self.advice(pool), self._prior)
            self._hazards[pool] = known
        return known

    def risk(self, pool: Pool) -> Risk:
        """0 to 100, and how many of its inputs were known."""
        known = self._risks.get(pool)
        if known is None:
            known = self._risks[pool] = self._risk(pool)
        return known

    def _risk(self, pool: Pool) -> Risk:
        found = spot_risk.inputs(
            self._exposure.get(pool, _NOTHING),
            self.advice(pool),
            self._prior,
            self._now,
            prices=self._desk.spot_prices.get(pool),
            list_price=self.list_price(pool),
            score=self._score(pool),
            capacity_error=self._desk.capacity_errors.get(pool),
            is_used=pool in self._used,
        )
        return spot_risk.risk(found, self._weights)

    def advice(self, pool: Pool) -> Advice | None:
        """AWS' own; it tells Windows from everything else."""
        system = "Windows" if pool.product.startswith("Windows") else "Linux"
        return self._desk.advice.get((pool.region, pool.instance_type, system))

    def list_price(self, pool: Pool) -> ListPrice | None:
        return self._desk.list_prices.get((pool.region, pool.instance_type, pool.product))

    def price(self, pool: Pool) -> int | None:
        """Spot, of now, nano-USD per hour."""
        prices = self._desk.spot_prices.get(pool)
        return prices.steps[-1].price if prices is not None and prices.steps else None

    def _score(self, pool: Pool) -> int | None:
        """Of a configuration with the type: that of the zone, else of the region; of several the lowest."""
        configs = self._configs.get(pool.instance_type, ())
        for zone in (pool.az_id, ""):
            found: list[Score] = [
                score for name in configs if (score := self._scores.get((name, pool.region, zone))) is not None
            ]
            if found:
                return min(score.score for score in found)
        return None
