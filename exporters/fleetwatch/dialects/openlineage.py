"""OpenLineage's run events: Airflow, Spark, dbt, Dagster, Flink, and whoever uses one of its clients.

An event is JSON (https://openlineage.io/spec/2-0-2/OpenLineage.json). Events of jobs and datasets without a run are
accepted and leave nothing. Of the facets only these are read: parent, jobType, airflow (number of the attempt),
errorMessage (the error's class alone), processing_engine, sourceCodeLocation (version), and the statistics of inputs
and outputs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

from fleetwatch.dialects.parts.dialect import EARLIEST, Batch, Translation
from fleetwatch.dialects.parts.text import clean
from fleetwatch.records.lineage import DataUse, Job, LineageEvent

EVENT_TYPES: Final[dict[str, tuple[str, str]]] = {
    # eventType -> state, result
    "START": ("executing", ""),
    "RUNNING": ("executing", ""),
    "COMPLETE": ("ended", "success"),
    "FAIL": ("ended", "failure"),
    "ABORT": ("ended", "cancellation"),
    "OTHER": ("", ""),
}
MOST_DATASETS: Final = 100
"""Datasets of one event that are counted singly; what is past it is added to one more."""
_MOST: Final = 10**15
"""Rows, bytes, files; more is a mistake."""
_MOST_ATTEMPTS: Final = 10_000
_LONGEST_TRACE: Final = 65_536
"""Characters of a stack trace that are looked at, from its end."""

# A class as Python and the JVM write it, perhaps with its module; then its message.
_CLASS = r"(?:[A-Za-z_][\w$]*\.)*([A-Za-z_][\w$]{0,79})"
_FIRST_LINE = re.compile(rf"(?:Exception in thread \"[^\"\n]*\" )?{_CLASS}(?::|\s*$)", re.MULTILINE)
_MESSAGE = re.compile(r"(?:[A-Za-z_][\w$]*\.)*([A-Za-z_][\w$]{0,70}(?:Error|Exception|Interrupt|Exit))(?::|$)")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9})\d*)?\s?([Zz]|[+-]\d\d(?::?\d\d)?)?")


class BadEventError(ValueError):
    """What is no run event. reason: bad_event or bad_time; the text names the field and what was expected."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def translate_lineage(events: Iterable[object], now: int | None = None) -> tuple[Translation, dict[int, str]]:
    """Records of the events, and why which of them (by its place) are refused. now: Unix ns."""
    batch = Batch(time.time_ns() if now is None else now)
    why: dict[int, str] = {}
    for place, event in enumerate(events):
        try:
            found = read(event)
        except BadEventError as error:
            batch.reject(error.reason)
            why[place] = str(error)
            continue
        if found is not None:
            batch.newest = max(batch.newest, found.at)
            batch.records.append(found._replace(at=min(found.at, batch.now)))
    return batch.translation(), why


def read(event: object) -> LineageEvent | None:
    """The record of an event; None for one of a job or dataset without a run. Raises BadEventError."""
    if not isinstance(event, dict):
        raise BadEventError("bad_event", "expected an object")
    if "run" not in event and ("job" in event or "dataset" in event):
        return None
    kind = event.get("eventType")
    if not isinstance(kind, str | None) or (kind or "OTHER").upper() not in EVENT_TYPES:
        raise BadEventError("bad_event", f"eventType: expected one of {', '.join(EVENT_TYPES)}")
    kind = (kind or "OTHER").upper()
    state, result = EVENT_TYPES[kind]
    run, job = _object(event, "run"), _object(event, "job")
    facets, job_facets = _facets(run), _facets(job)
    parent = None if _is_dag(job_facets) else facets.get("parent")
    me = _job(run, job, "")
    if me is None:
        raise BadEventError("bad_event", "run.runId and job.name: expected texts")
    return LineageEvent(
        me=me,
        at=_time(event.get("eventTime")),
        state=state,
        result=result,
        begins=kind == "START",
        error_type=error_type(facets.get("errorMessage")) if result == "failure" else "",
        parent=_other(parent, me),
        root=_other(_within(parent, "root"), me),
        attempt=_attempt(facets),
        version=_version(facets, job_facets),
        data=_data(event),
    )


def error_type(facet: object) -> str:
    """The class of the error that an errorMessage facet tells; empty where it does not. Never its text."""
    if not isinstance(facet, dict):
        return ""
    trace, message = facet.get("stackTrace"), facet.get("message")
    language = facet.get("programmingLanguage")
    if isinstance(trace, str) and trace.strip():
        python = isinstance(language, str) and language.lower().startswith("python")
        if first := _python(trace) if python else _FIRST_LINE.match(trace.lstrip()[:1000]):
            return first[1].rpartition("$")[2]
    if isinstance(message, str) and (found_in := _MESSAGE.match(message[:400])):
        return found_in[1]
    return ""


def _python(trace: str) -> re.Match[str] | None:
    """The error behind the last traceback: what was raised in the end comes last, and lines of code are indented."""
    last = trace[-_LONGEST_TRACE:].rpartition("Traceback (most recent call last):\n")[2]
    return next(filter(None, (_FIRST_LINE.match(line[:1000]) for line in last.splitlines() if line[:1].strip())), None)


def _object(event: dict[str, Any], name: str) -> dict[str, Any]:
    found = event.get(name)
    if not isinstance(found, dict):
        raise BadEventError("bad_event", f"{name}: expected an object")
    return found


def _within(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _facets(of: object, name: str = "facets") -> dict[str, Any]:
    """The facets of a run, job or dataset. Those of a wrong type are as good as none: they are for others to read."""
    found = _within(of, name)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return clean(value) if isinstance(value, str) else ""


def _job(run: object, job: object, default: str) -> Job | None:
    run_id, name = _text(_within(run, "runId")), _text(_within(job, "name")) or default
    return Job(run_id, name, _text(_within(job, "namespace"))) if run_id and name else None


def _other(facet: object, me: Job) -> Job | None:
    """The parent or root that a facet names; None for one that names nobody or the run itself."""
    # A parent without a name is still known by its run: its own events tell the name.
    found = _job(_within(facet, "run"), _within(facet, "job"), "unknown")
    return None if found is None or found.run == me.run else found


def _is_dag(facets: dict[str, Any]) -> bool:
    """Whether a job is a DAG of Airflow: a pipeline also where a task of another one triggered it and is its parent."""
    facet = facets.get("jobType")
    integration, kind = _within(facet, "integration"), _within(facet, "jobType")
    return isinstance(integration, str) and integration.upper() == "AIRFLOW" and kind == "DAG"


def _time(value: object) -> int:
    """Unix ns of ISO 8601; without a zone it is UTC. Raises BadEventError."""
    found = _TIME.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 100 else None
    if found is None:
        raise BadEventError("bad_event", "eventTime: expected a time like 2026-01-31T12:00:00.000Z")
    day, clock, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{(zone or 'Z').upper()}")
        seconds = round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    except (ValueError, OverflowError):
        raise BadEventError("bad_event", "eventTime: expected a time that is on the calendar") from None
    at = seconds * 10**9 + int((fraction or "").ljust(9, "0"))
    if at < EARLIEST:
        raise BadEventError("bad_time", "eventTime: expected a time after 2020")
    return at


def _attempt(facets: dict[str, Any]) -> int:
    """Airflow tries a task again under another run id, and says which attempt it is."""
    number = _within(_within(facets.get("airflow"), "taskInstance"), "try_number")
    return number if type(number) is int and 1 <= number <= _MOST_ATTEMPTS else 1


def _version(run: dict[str, Any], job: dict[str, Any]) -> str:
    """That of the job's source code, else the engine's, as in `Airflow 3.1.0`."""
    if told := _text(_within(job.get("sourceCodeLocation"), "version")):
        return told
    engine = run.get("processing_engine")
    return f"{_text(_within(engine, 'name'))} {_text(_within(engine, 'version'))}".strip()


def _data(event: dict[str, Any]) -> tuple[DataUse, ...]:
    """What is told of each dataset; one that is told twice in an event is counted once."""
    found: dict[str, DataUse] = {}
    rest = DataUse("rest")
    for use in _uses(event):
        before = found.get(use.dataset)
        if before is not None:
            found[use.dataset] = DataUse(use.dataset, *map(max, before[1:], use[1:]))
        elif len(found) < MOST_DATASETS:
            found[use.dataset] = use
        else:
            rest = DataUse("rest", *(min(_MOST, a + b) for a, b in zip(rest[1:], use[1:], strict=True)))
    return (*found.values(), rest) if any(rest[1:]) else tuple(found.values())


def _uses(event: dict[str, Any]) -> Iterator[DataUse]:
    for direction, facets, name in (
        ("inputs", "inputFacets", "inputStatistics"),
        ("outputs", "outputFacets", "outputStatistics"),
    ):
        datasets = event.get(direction)
        for dataset in datasets if isinstance(datasets, list) else ():
            told = _facets(dataset, facets).get(name)
            rows, files, size = (_number(_within(told, key)) for key in ("rowCount", "fileCount", "size"))
            if not (rows or files or size):
                continue
            key = _digest(direction, dataset)
            if direction == "inputs":
                yield DataUse(key, items_in=rows)
            else:
                yield DataUse(key, items_out=rows, files=files, size=size)


def _digest(direction: str, dataset: object) -> str:
    named = "\0".join((direction, str(_within(dataset, "namespace"))[:2000], str(_within(dataset, "name"))[:2000]))
    return blake2b(named.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _number(value: Any) -> int:
    """A whole number of 0 or more; 0 for anything else."""
    # Comparisons alone: neither an endless number nor one with a thousand digits is converted.
    return int(value) if type(value) in (int, float) and 0 <= value <= _MOST else 0
