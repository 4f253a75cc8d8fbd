"""List prices of machines on demand, from AWS' Pricing API: of regions and products in use, all types of them.

spot_on_demand_price_age_seconds{region="us-east-1",instance_type="m7g.large",product="Linux/UNIX",source="api"} 4200

All types, since one that nobody uses yet may be the better one; a region's are a dozen requests a day. They are kept
for a day, over restarts too, and longer while AWS cannot be asked. Where AWS has not answered yet, a dated table steps
in and is marked source="static": yours (spot.prices_file, which comes before AWS' answer as well), else the one that
comes with the exporter, which has Linux/UNIX in one region. What is in neither has no price.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from fleetwatch.aws.access import Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws
from fleetwatch.aws.together import each
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.collect.clouds import incomplete
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import NoData, source
from fleetwatch.collect.spot import _kept, _list_table, _offers
from fleetwatch.collect.spot._ask import Demand, demand, shown, trouble_of, wrong_rows
from fleetwatch.collect.spot._list_table import Key, Table
from fleetwatch.records.spot import ListPrice

API = "pricing"
ENDPOINTS = {"eu": "eu-central-1", "me": "eu-central-1", "af": "eu-central-1", "ap": "ap-south-1"}
"""Beginning of a region -> where the Pricing API is near; for all others:"""
ENDPOINT = "us-east-1"
FRESH = 86_400.0
"""Seconds for which an answer is good."""
KEPT = 30 * 86_400.0
"""Seconds after which one that nobody uses is forgotten."""
FIRST_PAUSE, LONGEST_PAUSE = 300.0, 3600.0
"""Seconds to the next try after a failure, doubled each time."""
AT_ONCE = 4
"""Regions and products of one cycle: the API has a low quota, and the next cycle is near."""
PATIENCE = 150.0
VERSION = 1


class _Of(NamedTuple):
    """What a request is about."""

    region: str
    product: str

    def __str__(self) -> str:
        return f"{self.region} ({self.product})"


@dataclass
class _Held:
    """The answer for a region and product. at: when it was asked for, Unix seconds; 0: never."""

    at: float = 0.0
    prices: Mapping[str, int] | None = None
    wrong: Trouble | None = None
    trouble: Trouble | None = None
    tried: float = 0.0
    pause: float = 0.0

    def is_due(self, now: float) -> bool:
        """A clock that was set back asks again."""
        if self.trouble is not None:
            return not self.tried <= now < self.tried + self.pause
        return not self.at <= now < self.at + FRESH


@source(interval=60, timeout=180)
class OnDemandPrices:
    """Most cycles ask nothing."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._calls = Calls("on_demand_prices")
        self._file = here.state / "on_demand_prices.json" if here.state is not None else None
        self._held: dict[_Of, _Held] | None = None
        self._own: tuple[int, Table] | None = None
        self._unkept: Trouble | None = None
        self._hanging: set[_Of] = set()

    def __call__(self) -> Iterator[Sample]:
        """Raises NoData where machines are not asked about, Incomplete for prices that are missing or not new."""
        aws = self._here.aws
        if aws is None or self._here.spot is None:
            raise NoData
        if self._held is None:
            self._held = self._load()
        wanted = demand(self._here.desk)
        table, troubles = self._table()
        needed = [item for item in _needed(wanted) if not self._is_all_own(item, table, wanted)]
        troubles += self._look(aws, needed)
        self._here.desk.list_prices = self._prices(wanted, table)
        yield from self._samples(wanted)
        yield from self._calls.samples()
        held = [self._held[item] for item in needed if item in self._held]
        troubles += [trouble for item in held for trouble in (item.trouble, item.wrong) if trouble is not None]
        if self._unkept is not None:
            troubles.append(self._unkept)
        if troubles:
            raise incomplete(troubles)

    def _look(self, aws: Aws, needed: Collection[_Of]) -> list[Trouble]:
        """Ask for what is due, and keep it. What failed is with the held one."""
        assert self._held is not None  # noqa: S101 - loaded before anything is asked
        now = self._here.clock()
        due = [item for item in needed if self._held.get(item, _Held()).is_due(now)]
        # Those that failed come last: they take their time, and the others must not wait for it.
        due.sort(key=lambda item: self._held[item].tried if self._held and item in self._held else 0.0)
        if not due:
            return []
        try:
            target = _endpoint(aws.targets())
        except Trouble as trouble:
            return [trouble]
        call = aws.caller(API, target, self._calls)
        answers = each(due[:AT_ONCE], lambda item: _offers.ask(call, *item), PATIENCE, self._hanging)
        for item, answer in answers.items():
            held = self._held.setdefault(item, _Held())
            held.tried = now
            if isinstance(answer, _offers.Offers):
                wrong = wrong_rows(f"{API}:{_offers.OPERATION} of {item}", answer.wrong)
                self._held[item] = _Held(now, answer.prices, wrong)
            else:
                held.trouble = trouble_of(answer, item)
                held.pause = min(max(FIRST_PAUSE, 2 * held.pause), LONGEST_PAUSE)
        if any(isinstance(answer, _offers.Offers) for answer in answers.values()):
            self._unkept = self._save(now, needed)
        return []

    def _table(self) -> tuple[Table, list[Trouble]]:
        """Your prices, read again when the file changes; the exporter's own where there is no file."""
        assert self._here.spot is not None  # noqa: S101 - seen before
        file = self._here.spot.prices_file
        if file is None:
            return _list_table.bundled(), []
        fix = "Put the file right; what it does not tell is AWS' own price."
        try:
            at = _list_table.changed(file)
            if self._own is None or self._own[0] != at:
                self._own = at, _list_table.of_file(file, at)
        except ValueError as error:
            # What was read before still stands, and grows old.
            trouble = Trouble("error", f"{_list_table.SETTING}: {error}", fix)
            return self._own[1] if self._own is not None else Table({}), [trouble]
        wrong = wrong_rows(_list_table.SETTING, self._own[1].wrong)
        return self._own[1], [Trouble("error", wrong.why, fix)] if wrong is not None else []

    def _is_all_own(self, item: _Of, table: Table, wanted: Demand) -> bool:
        """Your file tells the price of all types in use there: AWS is not asked."""
        assert self._here.spot is not None  # noqa: S101 - seen before
        if self._here.spot.prices_file is None:
            return False
        types = {pool.instance_type for pool in wanted.running if (pool.region, pool.product) == item}
        return bool(types) and all((item.region, kind, item.product) in table.prices for kind in types)

    def _prices(self, wanted: Demand, table: Table) -> dict[Key, ListPrice]:
        """AWS' answers; your file before them, the exporter's table where there is none."""
        is_own = self._here.spot is not None and self._here.spot.prices_file is not None
        found: dict[Key, ListPrice] = {}
        asked = _needed(wanted)
        answered = set()
        for item in asked:
            held = (self._held or {}).get(item)
            if held is not None and held.prices is not None:
                answered.add(item)
                at = int(held.at * NANO)
                found |= {(item.region, kind, item.product): ListPrice(nano, at) for kind, nano in held.prices.items()}
        for key, price in table.prices.items():
            item = _Of(key[0], key[2])
            if item in asked and (is_own or item not in answered):
                found[key] = price
        return found

    def _samples(self, wanted: Demand) -> Iterator[Sample]:
        now, prices = int(self._here.clock() * NANO), self._here.desk.list_prices
        for region, kind, product in shown(wanted, self._here.desk):
            price = prices.get((region, kind, product))
            if price is not None:
                labels = {"region": region, "instance_type": kind, "product": product, "source": price.source}
                yield spot.ON_DEMAND_AGE(max(0, now - price.at) / NANO, **labels)

    def _load(self) -> dict[_Of, _Held]:
        held = _kept.load(self._file, VERSION)
        if held is None or self._file is None:
            return {}
        try:
            return {_Of(str(one["region"]), str(one["product"])): _loaded(one) for one in held["answers"]}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            _kept.damaged(self._file, error)
            return {}

    def _save(self, now: float, needed: Collection[_Of]) -> Trouble | None:
        assert self._held is not None  # noqa: S101 - see _look
        good = {item: one for item, one in self._held.items() if item in needed or 0 <= now - one.at < KEPT}
        self._held = good
        answers = [
            {**item._asdict(), "at": one.at, "prices": one.prices}
            for item, one in sorted(good.items())
            if one.prices is not None
        ]
        return _kept.save(self._file, {"answers": answers}, VERSION)


def _needed(wanted: Demand) -> list[_Of]:
    """Products that AWS' list does not know have no price: `spot_price_missing_instances` tells of their machines."""
    return sorted(
        _Of(region, product)
        for region in wanted.regions()
        for product in wanted.products_of(region)
        if product in _offers.PRODUCTS
    )


def _endpoint(targets: Collection[Target]) -> Target:
    """List prices are the same for all accounts: the first is asked, at the endpoint near its first region."""
    first = next(iter(targets))
    return Target(first.account, ENDPOINTS.get(first.region.partition("-")[0], ENDPOINT))


def _loaded(one: Mapping[str, Any]) -> _Held:
    prices = {str(kind): nano for kind, nano in one["prices"].items()}
    if not all(type(nano) is int and nano > 0 for nano in prices.values()):
        raise ValueError("prices: expected whole nano-USD above 0")
    return _Held(float(one["at"]), prices)
