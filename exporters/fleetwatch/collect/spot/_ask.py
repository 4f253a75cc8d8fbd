"""What the sources of prices and chances have in common: pages, names of accounts, which machines are meant."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fleetwatch.aws.access import Target
from fleetwatch.aws.calls import Calls, Trouble
from fleetwatch.aws.session import Aws, Call
from fleetwatch.collect.desk import Desk
from fleetwatch.records.spot import Pool

log = logging.getLogger(__name__)

VPC = " (Amazon VPC)"
"""EC2 names a product with and without it; it is one."""
ALIVE = frozenset({"pending", "running", "stopping", "shutting_down"})
SHOWN = 3
"""Rows with an error that a message names; the others are counted."""


def pages(call: Call, operation: str, parameters: Mapping[str, Any], most: int) -> Iterator[dict[str, Any]]:
    """The pages of an answer, in order. Raises Trouble, also for an answer that does not end."""
    token, seen = "", set[str]()
    for _ in range(most):
        page = call(operation, {**parameters, "NextToken": token} if token else parameters)
        yield page
        token = page.get("NextToken") or ""
        if not token:
            return
        if token in seen:
            raise Trouble("error", f"{operation}: expected a new NextToken, got one for the second time", "")
        seen.add(token)
    raise Trouble("error", f"{operation}: expected at most {most} pages, got more", "")


def account_of(aws: Aws, target: Target, calls: Calls) -> str:
    """What the target's account is called in series. Raises Trouble."""
    return target.account.name or aws.number(target, calls)


def trouble_of(error: Exception, where: Hashable) -> Trouble:
    """What went wrong, with the place in its words."""
    if isinstance(error, Trouble):
        why = error.why if str(where) in error.why else f"{where}: {error.why}"
        return Trouble(error.cause, why, error.fix, error.permission)
    log.error("%s: %s", where, error, exc_info=error)
    return Trouble("error", f"{where}: {type(error).__name__}: {error}", "")


def wrong_rows(what: str, wrong: Sequence[str]) -> Trouble | None:
    """Rows that could not be read; None without any."""
    texts = list(dict.fromkeys(wrong))
    if not texts:
        return None
    more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return Trouble("error", f"{what}: {'; '.join(texts[:SHOWN])}{more}", "")


def product_of(name: str) -> str:
    return name.removesuffix(VPC)


class Demand(NamedTuple):
    """What prices are wanted of, as it is on the desk at one moment."""

    types: Mapping[tuple[str, str], frozenset[str]]
    """(account, region) -> types of machines that run, or that ended a while ago: their last hours are yet to count."""
    products: Mapping[str, frozenset[str]]
    """Region -> their products."""
    running: frozenset[Pool]
    wanted: frozenset[tuple[str, str]]
    """(region, type) of alternates."""

    def types_of(self, account: str, region: str) -> frozenset[str]:
        """Of an account without machines none: it needs no alternates."""
        if not any(whose == account for whose, _ in self.types):
            return frozenset()
        return self.types.get((account, region), frozenset()) | {kind for where, kind in self.wanted if where == region}

    def products_of(self, region: str) -> frozenset[str]:
        """Of machines there; where there are none, of all: alternates may be elsewhere."""
        return self.products.get(region) or frozenset().union(*self.products.values())

    def regions(self) -> frozenset[str]:
        return frozenset(self.products) | {where for where, _ in self.wanted}


def shown(wanted: Demand, desk: Desk) -> list[tuple[str, str, str]]:
    """(region, type, product) of machines that run, and of alternates that are shown."""
    return sorted({(pool.region, pool.instance_type, pool.product) for pool in wanted.running | desk.alternates})


def demand(desk: Desk) -> Demand:
    """Without machines there is none."""
    types: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    products: defaultdict[str, set[str]] = defaultdict(set)
    running: set[Pool] = set()
    for (account, region), fleet in list(desk.fleets.items()):
        for item in fleet.instances:
            if item.state == "stopped":
                continue
            types[account, region].add(item.pool.instance_type)
            products[region].add(item.pool.product)
            if item.state in ALIVE:
                running.add(item.pool)
    wanted = desk.wanted if types else ()
    return Demand(
        {key: frozenset(value) for key, value in types.items()},
        {key: frozenset(value) for key, value in products.items()},
        frozenset(running),
        frozenset(wanted),
    )
