"""Spot prices, from EC2's price history: of types in use and of those that are wanted as alternates.

spot_pool_price_usd_per_hour{az_id="use1-az1",instance_type="m7g.large",product="Linux/UNIX",…} 0.0412
spot_pool_price_age_seconds{…,source="api"} 42

Of a type that is new here, seven days are read: how much its price varies is part of the risk. After that, what came
since the last look. A region that fails keeps its prices, which grow old, and holds up no other one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from fleetwatch.aws.access import Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws, Call
from fleetwatch.aws.together import each
from fleetwatch.catalogue import spot
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.collect.clouds import incomplete
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import NoData, source
from fleetwatch.collect.spot._ask import (
    VPC,
    account_of,
    demand,
    pages,
    product_of,
    trouble_of,
    wrong_rows,
)
from fleetwatch.collect.spot._steps import merged, price_at
from fleetwatch.collect.spot._usd import nano_usd
from fleetwatch.records.spot import Pool, PriceStep, SpotPrices

API, OPERATION = "ec2", "DescribeSpotPriceHistory"
ASK_EVERY = 300.0
"""Seconds between looks at a region; EC2 changes a pool's price a few times a day."""
AGAIN = 60.0
"""The same after one that failed."""
HISTORY = 7 * 86_400 * NANO
OVERLAP = 3600 * NANO
"""Read again at each look: what came late. EC2 tells the price that was valid at the start in any case."""
LINGER = 3600.0
"""Seconds for which prices of what is used or wanted no more are read on: its last hours are yet to be reckoned."""
PATIENCE = 120.0
"""Seconds for all regions together; the source's own time-out is a little longer."""
TYPES = 50
"""Of one request, with all its pages: what is read of them counts where the next ones fail."""
PAGES = 200
"""Of a request, each of ROWS rows: seven days of fifty types in six zones, ninety steps a day."""
ROWS = 1000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Key = tuple[str, str]
"""(instance type, product)."""


@dataclass
class _Region:
    """What is known of a target."""

    account: str
    region: str
    used: dict[_Key, float] = field(default_factory=dict)
    """What is asked for, and when it was last used or wanted, Unix seconds."""
    prices: dict[Pool, SpotPrices] = field(default_factory=dict)
    read: dict[_Key, int] = field(default_factory=dict)
    """Up to when prices are known, Unix nanoseconds. What EC2 has told nothing of is not here."""
    asked: frozenset[_Key] = frozenset()
    """Those that EC2 has answered for, also with nothing."""
    troubles: list[Trouble] = field(default_factory=list)
    tried: float = float("-inf")
    pause: float = 0.0

    def is_due(self, now: float, keys: Collection[_Key]) -> bool:
        """A clock that was set back asks again."""
        waits = self.tried <= now < self.tried + self.pause
        is_new = self.pause == ASK_EVERY and not self.asked.issuperset(keys)
        return bool(keys) and (is_new or not waits)


class _Answer(NamedTuple):
    """Of a look at a target. at: when it began, Unix nanoseconds; keys: what was read; trouble: why not all."""

    account: str
    at: int
    keys: frozenset[_Key]
    steps: Mapping[Pool, list[PriceStep]]
    wrong: Trouble | None
    trouble: Trouble | None


@source(interval=15, timeout=150)
class SpotPriceHistory:
    """A cycle looks whether types are new or a region is due; most ask nothing."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._calls = Calls("spot_prices")
        self._regions: dict[Target, _Region] = {}
        self._lost: dict[Target, tuple[float, Trouble]] = {}
        """Targets whose account's number is not known, and when it was asked for."""
        self._hanging: set[Target] = set()
        self._demand = demand(here.desk)

    def __call__(self) -> Iterator[Sample]:
        """Raises NoData where machines are not asked about, Incomplete for regions that failed."""
        aws = self._here.aws
        if aws is None or self._here.spot is None:
            raise NoData
        troubles: list[Trouble] = []
        try:
            targets = aws.targets()
        except Trouble as trouble:
            targets, troubles = list(self._regions), [trouble]
        now = self._here.clock()
        self._demand = demand(self._here.desk)
        for region in self._regions.values():
            region.used |= dict.fromkeys(self._in_demand(region.account, region.region), now)
            region.used = {key: at for key, at in region.used.items() if 0 <= now - at < LINGER}
        due = [item for item in targets if self._is_due(item, now)]
        # Those that failed come last: they take their time, and the others must not wait for it.
        due.sort(key=lambda item: item not in self._regions or bool(self._regions[item].troubles))
        for target, answer in each(due, lambda item: self._ask(aws, item), PATIENCE, self._hanging).items():
            self._take(target, answer, now)
        for target in targets:
            self._forget(target)
        self._here.desk.spot_prices = {
            pool: prices for item in self._regions.values() for pool, prices in item.prices.items()
        }
        self._here.desk.price_looks = {(item.account, item.region): item.asked for item in self._regions.values()}
        yield from self._samples(self._here.clock())
        yield from self._calls.samples()
        troubles += [trouble for _, trouble in self._lost.values()]
        troubles += [trouble for item in self._regions.values() for trouble in item.troubles]
        if troubles:
            raise incomplete(troubles)

    def _is_due(self, target: Target, now: float) -> bool:
        region = self._regions.get(target)
        if region is None:
            return not 0 <= now - self._lost.get(target, (float("-inf"),))[0] < AGAIN
        return region.is_due(now, region.used)

    def _in_demand(self, account: str, region: str) -> frozenset[_Key]:
        products = self._demand.products_of(region)
        return frozenset((kind, name) for kind in self._demand.types_of(account, region) for name in products)

    def _ask(self, aws: Aws, target: Target) -> _Answer:
        """In a thread of its own: it reads what is known and changes nothing. Raises Trouble."""
        at = int(self._here.clock() * NANO)
        account = account_of(aws, target, self._calls)
        region = self._regions.get(target) or _Region(account, target.region)
        keys = self._in_demand(account, target.region) | region.used.keys()
        call = aws.caller(API, target, self._calls)
        rows: list[dict[str, Any]] = []
        done: set[_Key] = set()
        trouble: Trouble | None = None
        for some, start in self._parts(account, region, keys, at):
            try:
                rows += _rows(call, some, start)
            except Trouble as found:
                if not done:
                    raise
                trouble = found  # what was read before still counts
                break
            done |= some
        steps, wrong = _steps(rows, region, self._here.desk.zones.get((account, target.region)))
        steps = {pool: found for pool, found in steps.items() if (pool.instance_type, pool.product) in done}
        rows_wrong = wrong_rows(f"{API}:{OPERATION} in {target}", wrong)
        return _Answer(account, at, frozenset(done), steps, rows_wrong, trouble)

    def _parts(self, account: str, region: _Region, keys: Collection[_Key], at: int) -> Iterator[tuple[set[_Key], int]]:
        """What to ask for together, and from when on: known ones from where they are, new ones with their history.

        Those in use come before alternates.
        """
        used = self._demand.types.get((account, region.region), frozenset())
        known = [key for key in keys if key in region.read]
        since = max(at - HISTORY, min((region.read[key] for key in known), default=at) - OVERLAP)
        for some, start in ((known, since), ([key for key in keys if key not in region.read], at - HISTORY)):
            types = sorted({kind for kind, _ in some}, key=lambda kind: (kind not in used, kind))
            for first in range(0, len(types), TYPES):
                part = types[first : first + TYPES]
                yield {key for key in some if key[0] in part}, start

    def _take(self, target: Target, answer: _Answer | Exception, now: float) -> None:
        if not isinstance(answer, _Answer):
            region = self._regions.get(target)
            trouble = trouble_of(answer, target)
            if region is None:
                self._lost[target] = now, trouble
            else:
                region.troubles, region.tried, region.pause = [trouble], now, AGAIN
            return
        self._lost.pop(target, None)
        region = self._regions.setdefault(target, _Region(answer.account, target.region))
        region.used |= dict.fromkeys(answer.keys - region.used.keys(), now)
        region.account = answer.account
        region.troubles = [found for found in (answer.wrong, answer.trouble) if found is not None]
        region.tried, region.pause = now, AGAIN if answer.trouble is not None else ASK_EVERY
        region.asked |= answer.keys
        region.read.update({(pool.instance_type, pool.product): answer.at for pool in answer.steps})
        if not answer.wrong:  # EC2 tells a price of each pool that it has
            told = answer.steps.keys() | self._demand.running
            region.prices = {
                pool: prices
                for pool, prices in region.prices.items()
                if pool in told or (pool.instance_type, pool.product) not in answer.keys
            }
        for pool, steps in answer.steps.items():
            before = region.prices.get(pool)
            known = merged(before.steps if before is not None else (), steps, since=answer.at - HISTORY)
            region.prices[pool] = SpotPrices(known, answer.at)

    def _forget(self, target: Target) -> None:
        """What nobody has used or wanted for a while."""
        region = self._regions.get(target)
        if region is None:
            return
        keys = region.used.keys()
        region.read = {key: at for key, at in region.read.items() if key in keys}
        region.asked &= keys
        region.prices = {
            pool: prices for pool, prices in region.prices.items() if (pool.instance_type, pool.product) in keys
        }
        if not keys:
            region.troubles = []

    def _samples(self, now: float) -> Iterator[Sample]:
        desk, at = self._here.desk, int(now * NANO)
        for pool in sorted(self._demand.running | desk.alternates):
            prices = desk.spot_prices.get(pool)
            if prices is None:
                continue
            labels = pool._asdict()
            yield spot.POOL_PRICE(price_at(prices.steps, at) / NANO, **labels)
            yield spot.PRICE_AGE(max(0, at - prices.at) / NANO, **labels, source=prices.source)


def _rows(call: Call, keys: Collection[_Key], start: int) -> Iterator[dict[str, Any]]:
    """Rows of the history of these types and products since then. Raises Trouble."""
    parameters = {
        "InstanceTypes": sorted({kind for kind, _ in keys}),
        "ProductDescriptions": [
            name for product in sorted({name for _, name in keys}) for name in (product, product + VPC)
        ],
        "StartTime": _EPOCH + timedelta(microseconds=start // 1000),
        "MaxResults": ROWS,
    }
    for page in pages(call, OPERATION, parameters, PAGES):
        yield from page.get("SpotPriceHistory") or ()


def _steps(
    rows: Sequence[Mapping[str, Any]], region: _Region, zones: Mapping[str, str] | None
) -> tuple[dict[Pool, list[PriceStep]], list[str]]:
    """Steps by pool, and what is wrong with the others. Raises Trouble where no zone of the account is known."""
    steps: dict[Pool, list[PriceStep]] = {}
    wrong: list[str] = []
    for row in rows:
        try:
            pool, step = _step(row, region.account, region.region, zones)
        except LookupError:
            continue  # a zone that is not open to the account
        except ValueError as error:
            wrong.append(str(error))
            continue
        steps.setdefault(pool, []).append(step)
    return steps, wrong


def _step(row: Mapping[str, Any], account: str, region: str, zones: Mapping[str, str] | None) -> tuple[Pool, PriceStep]:
    """Raises ValueError for a row that cannot be read, LookupError for one of a zone that the account does not have.

    Raises Trouble where no zone of the account is known.
    """
    kind, product, zone = (row.get(name) or "" for name in ("InstanceType", "ProductDescription", "AvailabilityZone"))
    name = f"{kind or '?'} in {row.get('AvailabilityZoneId') or zone or '?'} ({product or '?'})"
    az_id = row.get("AvailabilityZoneId") or (zones or {}).get(zone)
    if not kind or not product or not (az_id or zone):
        raise ValueError(f"{name}: expected InstanceType, ProductDescription and AvailabilityZone, got one without")
    if not az_id:
        if not zones:
            why = f"{API}:{OPERATION}: {name}: the id of the zone is not known"
            raise Trouble("error", why, "It comes with ec2:DescribeAvailabilityZones: see the source ec2_fleet.")
        raise LookupError(zone)
    when = row.get("Timestamp")
    if not isinstance(when, datetime):
        raise ValueError(f"{name}: Timestamp: expected a time, got {when!r:.60}")
    try:
        price = nano_usd(row.get("SpotPrice"))
    except ValueError as error:
        raise ValueError(f"{name}: SpotPrice: {error}") from None
    if not price:
        raise ValueError(f"{name}: SpotPrice: expected more than 0, got {row.get('SpotPrice')!r}")
    pool = Pool(account, region, str(az_id), str(kind), product_of(product))
    return pool, PriceStep((when - _EPOCH) // timedelta(microseconds=1) * 1000, price)
