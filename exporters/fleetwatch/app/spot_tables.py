"""Savings, interruptions, switches, pools and alternates as tables for people and programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fleetwatch.app.spot_live import Live, PoolNow
from fleetwatch.app.told import exact, utc
from fleetwatch.catalogue import spot
from fleetwatch.reckon.savings import HOUR, Savings
from fleetwatch.reckon.spot_risk import upper_bound

if TYPE_CHECKING:  # SQLite is loaded only where a ledger is opened
    from fleetwatch.ledger.query import Reader
    from fleetwatch.ledger.spot.tables import Exposure
    from fleetwatch.records.spot import Interruption, Pool, Switch

_POOL = ("account", "region", "az_id", "instance_type", "product")
SAVINGS = (
    *("account", "region", "team", "workload", "lifecycle"),
    *("spend_usd", "on_demand_usd", "saved_usd", "saved_share", "vcpu_hours"),
)
INTERRUPTIONS = (
    *("began", "kind", "instance", *_POOL, "workload", "cluster", "host", "action", "reason"),
    *("rebalance", "warning", "drained", "terminated", "lead_s", "drain_s", "outcome"),
)
SWITCHES = ("at", "workload", "from_type", "from_az_id", "to_type", "to_az_id", "to_region", "outcome")
POOLS = (
    *(*_POOL, "machines", "spot_usd_per_hour", "on_demand_usd_per_hour", "saved_share", "risk", "risk_inputs"),
    *("hours", "interruptions", "per_100_hours", "at_most_per_100_hours", "price_age_s"),
)
ALTERNATES = (
    *("workload", "rank", *_POOL, "effective_usd_per_unit_hour", "against_now", "spot_usd_per_hour", "risk"),
    "in_use",
)
SPARE = (
    *("product", "cluster", "action", "rebalance", "drained", "terminated", "warning", "price_age_s", "risk_inputs"),
    *("account", "vcpu_hours", "spot_usd_per_hour", "on_demand_usd_per_hour", "team", "host", "region", "to_region"),
    *("at_most_per_100_hours", "saved_share", "machines", "drain_s", "lead_s"),
)
"""Columns that a narrow terminal can do without, first those that are missed least."""
_SECOND = 10**9
_UNKNOWN = PoolNow()


class Money(NamedTuple):
    """What the ledger has counted, by the labels of the catalogue's counters; billionths and nanoseconds."""

    spend: Mapping[tuple[str, ...], int]
    on_demand: Mapping[tuple[str, ...], int]
    vcpu_time: Mapping[tuple[str, ...], int]
    unpriced: int
    until: Mapping[tuple[str, str], int]


def money(ledger: Reader) -> Money:
    """Raises LedgerError."""
    return Money(
        ledger.counter(spot.SPEND.name),
        ledger.counter(spot.EQUIVALENT.name),
        ledger.counter(spot.VCPU_HOURS.name),
        sum(ledger.counter(spot.UNPRICED_HOURS.name).values()),
        ledger.slices(),
    )


def money_of_days(ledger: Reader, since: int) -> Money:
    """The same of the whole days (UTC) from that of `since` on, Unix nanoseconds. Raises LedgerError."""
    spend: dict[tuple[str, ...], int] = {}
    on_demand: dict[tuple[str, ...], int] = {}
    times: dict[tuple[str, ...], int] = {}
    unpriced = 0
    for row in ledger.machine_days(since):
        labels = (row.account, row.region, row.team, row.workload, row.lifecycle)
        if row.spend or row.on_demand:
            spend[labels], on_demand[labels] = row.spend, row.on_demand
        times[*labels, "yes"], times[*labels, "no"] = row.eligible_time, row.vcpu_time - row.eligible_time
        unpriced += row.unpriced
    return Money(spend, on_demand, times, unpriced, ledger.slices())


def saved(told: Money) -> list[tuple[object, ...]]:
    """Rows of SAVINGS, largest savings first. Money is exact, and empty where no price was ever known."""
    hours: dict[tuple[str, ...], int] = defaultdict(int)
    for labels, time in told.vcpu_time.items():
        hours[labels[: len(spot.USE)]] += time
    found = [
        (labels, Savings(told.spend.get(labels, 0), told.on_demand.get(labels, 0)), hours.get(labels, 0))
        for labels in {**told.spend, **told.on_demand, **hours}
    ]
    found.sort(key=lambda item: (-item[1].saved, item[0]))
    return [
        (
            *labels,
            *(map(exact, (sums.spend, sums.on_demand, sums.saved)) if labels in told.on_demand else ("", "", "")),
            _share(sums.esr_over_list),
            f"{time / HOUR:.3f}",
        )
        for labels, sums, time in found
    ]


def saved_note(told: Money) -> str:
    """What the rows come to, in words; what is left out, and up to when it is counted."""
    total = Savings(sum(told.spend.values()), sum(told.on_demand.values()))
    rate = total.esr_over_list
    if any(told.vcpu_time.values()):
        share = "" if rate is None else f", {rate:.1%}"
        saved = f"Saved {exact(total.saved)} of {exact(total.on_demand)} USD at list prices{share}"
        words = [saved, *_covered(told.vcpu_time)]
    else:
        words = ["No machine ran in that time, as far as it is counted"]
    if told.unpriced:
        words.append(f"Left out: {told.unpriced / HOUR:,.1f} machine hours without a known price")
    return ". ".join([*words, *_counted_until(told.until)]) + "."


def _counted_until(until: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Up to when, and which regions are behind the others: they cannot be read, or have left the settings."""
    if not until:
        yield "Nothing is counted so far"
        return
    newest = max(until.values())
    yield f"Counted up to {utc(newest)}"
    for (account, region), at in sorted(until.items()):
        if newest - at > HOUR:
            yield f"{account}, {region} only up to {utc(at)}"


def _covered(times: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    """Spot's share, a sentence without its full stop."""
    names = spot.VCPU_HOURS.label_names
    how, could_be = names.index(spot.LIFECYCLE.name), names.index(spot.ELIGIBLE.name)
    on_spot = {labels: time for labels, time in times.items() if labels[how] == "spot"}
    if everything := sum(times.values()):
        told = f"Spot ran {sum(on_spot.values()) / everything:.1%} of all vCPU-hours"
        eligible, eligible_on_spot = (
            sum(time for labels, time in some.items() if labels[could_be] == "yes") for some in (times, on_spot)
        )
        yield told + (f", {eligible_on_spot / eligible:.1%} of those that could be spot" if eligible else "")


def taken(found: Iterable[Interruption]) -> list[tuple[object, ...]]:
    """Rows of INTERRUPTIONS, newest first."""
    return [_taken(item) for item in sorted(found, key=lambda item: (-item.began, item.instance))]


def _taken(item: Interruption) -> tuple[object, ...]:
    pool = tuple(item.pool) if item.pool is not None else (item.account, item.region, "", "", "")
    notices = [at for at in (item.rebalance, item.warning) if at is not None]
    before = [at for at in notices if item.drained is not None and at <= item.drained]
    first = item.warning if item.warning is not None else item.rebalance
    return (
        utc(item.began),
        "interruption" if item.interrupted else "rebalance",
        item.instance,
        *pool,
        item.workload,
        item.cluster,
        item.host,
        item.action,
        item.reason if item.interrupted else "",
        utc(item.rebalance),
        utc(item.warning),
        utc(item.drained),
        utc(item.terminated),
        _between(first, item.terminated),
        _between(max(before, default=None), item.drained),
        item.outcome if item.interrupted or item.drained is not None else "",
    )


def taken_note(found: Sequence[Interruption]) -> str:
    """`3 interruptions: 2 in_time, 1 late; 1 rebalance recommendation alone.`"""
    if not found:
        return "Nothing was taken in that time, as far as it was told."
    outcomes = [item.outcome for item in found if item.interrupted]
    words = ", ".join(f"{outcomes.count(word)} {word}" for word in sorted(set(outcomes)))
    alone = len(found) - len(outcomes)
    told = f"{_counted(len(outcomes), 'interruption')}{f': {words}' if words else ''}"
    return told + (f"; {_counted(alone, 'rebalance recommendation')} alone." if alone else ".")


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def switched(found: Iterable[Switch]) -> list[tuple[object, ...]]:
    """Rows of SWITCHES, as given."""
    return [
        (
            utc(item.at),
            item.workload,
            item.before.instance_type,
            item.before.az_id,
            item.after.instance_type,
            item.after.az_id,
            item.after.region,
            item.outcome,
        )
        for item in found
    ]


def pools(exposure: Mapping[Pool, Exposure], now: Live | None) -> list[tuple[object, ...]]:
    """Rows of POOLS: those that machines ran in, and those that the exporter shows; by name.

    Rates are of what was seen, without AWS' advice. now: None where no exporter runs.
    """
    shown = now.pools if now is not None else {}
    rows: list[tuple[object, ...]] = []
    for pool in sorted({*exposure, *shown}):
        seen, found = exposure.get(pool), shown.get(pool, _UNKNOWN)
        hours = seen.time / HOUR if seen is not None else 0.0
        count = seen.interruptions if seen is not None else 0
        bound = upper_bound(count, hours)
        rows.append(
            (
                *pool,
                "" if now is None else found.machines,
                _number(found.price, 6),
                _number(found.on_demand, 6),
                _share(1 - found.price / found.on_demand if found.price is not None and found.on_demand else None),
                _number(found.risk, 1),
                "" if found.inputs is None else found.inputs,
                f"{hours:.3f}",
                count,
                _number(100 * count / hours if hours else None, 3),
                _number(None if bound is None else 100 * bound, 3),
                _number(found.age, 0),
            )
        )
    return rows


def alternates(now: Live) -> list[tuple[object, ...]]:
    """Rows of ALTERNATES, by workload and rank."""
    rows: list[tuple[object, ...]] = []
    for item in now.alternates:
        today, pool = now.prices.get(item.workload), now.pools.get(item.pool, _UNKNOWN)
        against = item.price / today - 1 if today and item.price is not None else None
        rows.append(
            (
                item.workload,
                item.rank,
                *item.pool,
                _number(item.price, 6),
                "" if against is None else f"{against:+.1%}",
                _number(pool.price, 6),
                _number(pool.risk, 1),
                "yes" if (item.workload, item.pool) in now.used else "no",
            )
        )
    return rows


def alternates_note(now: Live) -> str:
    """Where each workload stands, a line each."""
    lines = []
    for workload in sorted({*now.prices, *now.optimisation, *(item.workload for item in now.alternates)}):
        today, rate = now.prices.get(workload), now.optimisation.get(workload)
        told = [f"pays {today:.6f} USD per unit and hour"] if today is not None else []
        told += [f"has {rate:.0%} of the savings that it could have"] if rate is not None else []
        told += ["is told to move"] if workload in now.recommended else []
        lines.append(f"{workload or '(unregistered)'}: {', '.join(told) or 'no price of its machines is known'}.")
    return "\n".join(lines) or "No workload has alternates: machines need the tag of a workload, and prices."


def _between(begin: int | None, end: int | None) -> str:
    """Seconds; empty where one is not known."""
    return "" if begin is None or end is None else f"{(end - begin) / _SECOND:.1f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
