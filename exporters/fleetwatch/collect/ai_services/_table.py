"""What CloudWatch's names mean. A service's own file has its rows; everything that differs between them is here.

Sums are per period and never a counter; some services count failed calls among all calls and some do not; the same
thing is spelled differently; every time is in milliseconds. The code that reads the rows knows no service.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["requests", "tokens", "duration", "items", "level"]

Meaning = Literal["successful", "accepted", "all"]
"""What a service's number of calls has in it: those that went well; also those that failed; also throttled ones."""

MEANINGS: tuple[Meaning, ...] = ("successful", "accepted", "all")

Statistic = Literal["Sum", "SampleCount", "Average", "Maximum", "p95"]


class Column(NamedTuple):
    """A metric of CloudWatch and what it is to us.

    names: its spellings, the likeliest first; where AWS has several at once, the first is read and no other.
    part: of calls: total, ok, client_error, server_error, error or throttled; else the label's value: kind, stage,
    item, level. statistic: for items and levels; calls and tokens are sums, durations are read in three ways.
    scale: of a level, its factor to the unit that the label names.
    """

    kind: Kind
    part: str
    names: tuple[str, ...]
    statistic: Statistic = "Sum"
    scale: float = 1.0


def requests(part: str, *names: str) -> Column:
    return Column("requests", part, names)


def tokens(part: str, *names: str) -> Column:
    return Column("tokens", part, names)


def duration(stage: str, *names: str) -> Column:
    """A time in milliseconds."""
    return Column("duration", stage, names)


def items(item: str, *names: str) -> Column:
    return Column("items", item, names)


def level(level: str, statistic: Statistic, *names: str, scale: float = 1.0) -> Column:
    return Column("level", level, names, statistic, scale)


class Namespace(NamedTuple):
    """A service in CloudWatch.

    service: our name. names: AWS's, with older ones; all are looked at. resource, operation: dimensions that become
    these labels, joined where there are several. besides: dimensions over which we sum; a series with any other
    dimension is left alone, for it may be a second look at the same calls.
    invocations: what the number of calls has in it; the settings may say otherwise.
    capacity: (asked for, granted) items that stand for calls where the service counts no calls.
    provider: whose calls the tokens are in the price table; empty: they get no price.
    """

    service: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    resource: tuple[str, ...] = ()
    operation: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()
    invocations: Meaning = "accepted"
    capacity: tuple[str, str] | None = None
    provider: str = ""
