"""CloudWatch's two questions: which series are there, and what were their values.

    list_series(call, "AWS/Bedrock")  ->  [Found("AWS/Bedrock", "Invocations", (("ModelId", "…"),)), …]
    read(call, queries, start, end)   ->  Reading({query: {1790000040: 12.0, …}, …}, problems)

Shapes: Amazon CloudWatch API reference, ListMetrics, GetMetricData, MetricDataResult.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fleetwatch.aws.calls import Trouble, plain
from fleetwatch.collect.ai_services._select import Found, Series
from fleetwatch.collect.ai_services._table import Statistic

Call = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]

BATCH = 500
"""Queries in a request, at most."""
MOST_PAGES = 200
"""Of one answer; more are an answer that leads back to itself."""
RECENTLY = 3 * 3600
"""Seconds. Only what had values in them is listed, where no older ones are wanted: else two weeks of models are."""
PERIOD = 60
"""Seconds. The services publish by the minute, and values are not billed, only series and statistics."""
PERCENTILE_PERIOD = 300
"""Seconds. A percentile of the few calls of one minute says little."""


class Query(NamedTuple):
    series: Series
    statistic: Statistic
    period: int = PERIOD


class Reading(NamedTuple):
    """values: query -> start of the period, Unix seconds -> value. problems: why it is not all that there is."""

    values: dict[Query, dict[int, float]]
    problems: list[str]
    forbidden: bool = False


def requested(MetricDataQueries: Sequence[object] = (), **_more: object) -> int:  # noqa: N803 - the API's own name
    """What AWS bills of a request to CloudWatch: each metric of GetMetricData, else the request."""
    return len(MetricDataQueries) or 1


def list_series(call: Call, namespace: str, *, recently: bool = True) -> list[Found]:
    """Series of a namespace, with values in the past three hours or else in the past two weeks. Raises Trouble."""
    found = []
    parameters = {"Namespace": namespace, **({"RecentlyActive": "PT3H"} if recently else {})}
    for page in _pages(call, "ListMetrics", parameters):
        for item in page.get("Metrics", ()):
            dimensions = sorted((one["Name"], one["Value"]) for one in item.get("Dimensions", ()))
            found.append(Found(namespace, item["MetricName"], tuple(dimensions)))
    return found


def read(call: Call, queries: Sequence[Query], start: int, end: int) -> Reading:
    """Values of all periods with start <= period < end. start, end: Unix seconds, of whole periods. Raises Trouble."""
    reading = Reading({}, [])
    for first in range(0, len(queries), BATCH):
        part = _read_batch(call, queries[first : first + BATCH], start, end)
        reading.values.update(part.values)
        reading.problems.extend(part.problems)
        reading = reading._replace(forbidden=reading.forbidden or part.forbidden)
    return reading


def _read_batch(call: Call, queries: Sequence[Query], start: int, end: int) -> Reading:
    by_id = {f"q{number}": query for number, query in enumerate(queries)}
    values: dict[Query, dict[int, float]] = {query: {} for query in queries}
    # The last word on a query is that of the last page that speaks of it.
    status = dict.fromkeys(by_id, "Complete")
    problems: list[str] = []
    parameters = {
        "MetricDataQueries": [_wire(name, query) for name, query in by_id.items()],
        "StartTime": _time(start),
        "EndTime": _time(end),
        "ScanBy": "TimestampAscending",
    }
    for page in _pages(call, "GetMetricData", parameters):
        problems += (_said(item) for item in page.get("Messages", ()))
        for result in page.get("MetricDataResults", ()):
            name = result.get("Id", "")
            if name not in by_id:
                problems.append(f'GetMetricData: answers "{plain(name)}", which was not asked for')
                continue
            status[name] = result.get("StatusCode", "Complete")
            points = zip(result.get("Timestamps", ()), result.get("Values", ()), strict=False)
            values[by_id[name]].update(_clean(points, start, end, by_id[name].period))
    for state in sorted(set(status.values()) - {"Complete"}):
        metrics = sorted({by_id[name].series.found.metric for name, found in status.items() if found == state})
        problems.append(f"GetMetricData: {state} for {', '.join(metrics[:5])}{' …' if len(metrics) > 5 else ''}")
    return Reading(values, problems, "Forbidden" in status.values())


def _pages(call: Call, operation: str, parameters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    token: str | None = None
    seen: set[str] = set()
    for _ in range(MOST_PAGES):
        page = call(operation, parameters if token is None else {**parameters, "NextToken": token})
        yield page
        token = page.get("NextToken")
        if not token:
            return
        if token in seen:
            break
        seen.add(token)
    raise Trouble("error", f"{operation}: the answer does not end after {MOST_PAGES} pages, or repeats itself", "")


def _clean(
    points: Iterable[tuple[datetime.datetime, float]], start: int, end: int, period: int
) -> Iterator[tuple[int, float]]:
    """Points that were asked for and can be counted."""
    for time, value in points:
        moment = int(time.timestamp())
        if start <= moment < end and moment % period == 0 and math.isfinite(value) and value >= 0:
            yield moment, value


def _wire(name: str, query: Query) -> dict[str, Any]:
    found = query.series.found
    metric = {
        "Namespace": found.namespace,
        "MetricName": found.metric,
        "Dimensions": [{"Name": dimension, "Value": value} for dimension, value in found.dimensions],
    }
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": query.period, "Stat": query.statistic}}


def _time(moment: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC)


def _said(message: Mapping[str, str]) -> str:
    return plain(f"GetMetricData: {message.get('Code', '')}: {message.get('Value', '')}")
