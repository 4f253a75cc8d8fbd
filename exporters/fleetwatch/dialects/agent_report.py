"""What agents say of themselves: gauges as `fleetwatch.instrument` sends them, and anybody else may.

The metrics have the catalogue's names. Each point names its agent, and its process where the resource does not. The
points of one process and one time become one beat; a Collector that cuts an export in two makes two beats of it, each
with what it was told.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint, ScopeMetrics

from fleetwatch.catalogue import agents
from fleetwatch.dialects.parts.dialect import EARLIEST, Batch, Dialect
from fleetwatch.dialects.parts.metric_points import NO_VALUE
from fleetwatch.dialects.parts.resource import TEAM_KEYS, Resource
from fleetwatch.dialects.parts.text import UNKNOWN, clean
from fleetwatch.records.agents import STATES, AgentBeat

GOODBYE: Final = "agent.goodbye.timestamp"
"""Told by a process that ends on purpose; the exporter shows it as a presence."""

AGENT: Final = "gen_ai.agent.name"
VERSION: Final = "gen_ai.agent.version"
MODEL: Final = "gen_ai.request.model"
FRAMEWORK: Final = "fleetwatch.agent.framework"
STATE: Final = "fleetwatch.agent.state"
HOST: Final = "host.name"
PROCESS: Final = "process.pid"
ATTRIBUTES: Final = frozenset({AGENT, VERSION, MODEL, FRAMEWORK, STATE, HOST, PROCESS, *TEAM_KEYS})
"""Attributes of points that are read; a Collector with an allow-list must let them through."""

_SECOND: Final = 10**9
_LONGEST_INTERVAL: Final = 86_400.0
"""Seconds. A heart that beats less than once a day is none."""
_LATEST: Final = 1e11
"""Unix seconds, about the year 5100."""
_MOST_TASKS: Final = 10**9
_LONGEST_WAIT: Final = 10.0 * 365 * 86_400


class _Point(NamedTuple):
    """at: Unix ns, at most now. words: attributes that are texts, cleaned."""

    value: float
    at: int
    words: dict[str, str]


def _info(point: _Point) -> dict[str, Any]:
    words = point.words
    return {
        "version": words.get(VERSION, ""),
        "framework": words.get(FRAMEWORK, ""),
        "model": words.get(MODEL, ""),
    }


def _state(point: _Point) -> dict[str, Any] | None:
    state = point.words.get(STATE, "")
    if state not in STATES:
        return None
    return {"state": state} if point.value == 1 else {}


def _progress(point: _Point) -> dict[str, Any] | None:
    if not EARLIEST / _SECOND <= point.value <= _LATEST:
        return None
    # A time of the future would hide that nothing goes on.
    return {"progress": min(int(point.value * _SECOND), point.at)}


def _interval(point: _Point) -> dict[str, Any] | None:
    return {"interval": max(1, int(point.value * _SECOND))} if 0 < point.value <= _LONGEST_INTERVAL else None


def _count(field: str) -> Callable[[_Point], dict[str, Any] | None]:
    return lambda point: {field: int(point.value)} if 0 <= point.value <= _MOST_TASKS else None


def _queue_age(point: _Point) -> dict[str, Any] | None:
    return {"queue_age": point.value} if 0 <= point.value <= _LONGEST_WAIT else None


_READERS: Final[dict[str, Callable[[_Point], dict[str, Any] | None]]] = {
    # name -> fields of the beat that a point of it tells; None for a value that cannot be
    agents.INFO.name: _info,
    agents.STATE.name: _state,
    agents.LAST_HEARTBEAT.name: lambda _: {},
    agents.LAST_PROGRESS.name: _progress,
    agents.HEARTBEAT_INTERVAL.name: _interval,
    agents.OPEN_TASKS.name: _count("open_tasks"),
    agents.QUEUE_DEPTH.name: _count("queue_depth"),
    agents.QUEUE_AGE.name: _queue_age,
    GOODBYE: lambda _: {"goodbye": True},
}


def read_beats(resource: Resource, scope: ScopeMetrics, batch: Batch) -> bool:
    """The beats of one scope into the batch. The scope is nobody else's when it tells nothing but these gauges."""
    beats: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    known = 0
    for metric in scope.metrics:
        read = _READERS.get(metric.name)
        if read is None:
            continue
        known += 1
        if metric.WhichOneof("data") != "gauge":
            batch.reject("bad_point")
            continue
        for point in metric.gauge.data_points:
            _add(resource, point, read, beats, batch)
    batch.records.extend(
        AgentBeat(agent=agent, host=host, instance=instance, at=at, **fields)
        for (agent, host, instance, at), fields in beats.items()
    )
    return known > 0 and known == len(scope.metrics)


def _add(
    resource: Resource,
    sent: NumberDataPoint,
    read: Callable[[_Point], dict[str, Any] | None],
    beats: dict[tuple[str, str, str, int], dict[str, Any]],
    batch: Batch,
) -> None:
    """What one point tells, to the beat that it belongs to."""
    words, process = _words(sent)
    # Monitoring programs call themselves agents, too; these are others.
    agent = words.get(AGENT, "")
    if sent.flags & NO_VALUE or not agent:
        return
    batch.newest = max(batch.newest, sent.time_unix_nano)
    if sent.time_unix_nano < EARLIEST:
        batch.reject("bad_time")
        return
    value = float(sent.as_int) if sent.WhichOneof("value") == "as_int" else sent.as_double
    point = _Point(value, min(sent.time_unix_nano, batch.now), words)
    told = read(point) if math.isfinite(value) else None
    if told is None:
        batch.reject("bad_point")
        return
    host = resource.host or words.get(HOST, "")
    beat = beats.setdefault((agent, host, resource.instance or process, point.at), {})
    beat.setdefault("team", next((words[key] for key in TEAM_KEYS if key in words), resource.team) or UNKNOWN)
    beat.update(told)


def _words(point: NumberDataPoint) -> tuple[dict[str, str], str]:
    """(the attributes that are read, process id as text or empty)."""
    words: dict[str, str] = {}
    process = ""
    for item in point.attributes:
        if item.key == PROCESS:
            process = str(item.value.int_value or "") or clean(item.value.string_value)
        elif item.key in ATTRIBUTES and (text := clean(item.value.string_value)):
            words.setdefault(item.key, text)
    return words, process


DIALECT = Dialect("agent_report", 60, metrics=read_beats)
