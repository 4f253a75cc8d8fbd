"""What runs and phases of pipelines tell, whichever signal it comes in: names of attributes, and how they are read.

Whatever a sender writes becomes bounded here: texts are cut and cleaned, lists end at MOST_ENTRIES, and a value that
cannot be is as good as none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from fleetwatch.dialects.parts.text import clean, plain
from fleetwatch.records.pipelines import REASONS, Tally, Usage

SCOPE: Final = "fleetwatch.instrument"
"""Scope of our own instrumentation: its ids are unique, and its phases say what they lie in."""

# OpenTelemetry's CI/CD conventions.
PIPELINE: Final = "cicd.pipeline.name"
RUN: Final = "cicd.pipeline.run.id"
RUN_STATE: Final = "cicd.pipeline.run.state"
RUN_RESULT: Final = "cicd.pipeline.result"
TASK: Final = "cicd.pipeline.task.name"
TASK_RUN: Final = "cicd.pipeline.task.run.id"
TASK_RESULT: Final = "cicd.pipeline.task.run.result"
ERROR_TYPE: Final = "error.type"
HOST: Final = "host.name"
PROCESS: Final = "process.pid"

# What they have no word for.
VERSION: Final = "fleetwatch.pipeline.version"
CORES: Final = "fleetwatch.pipeline.cores"
REASON: Final = "fleetwatch.pipeline.reason"
PHASE_OF: Final = "fleetwatch.phase.of"
ATTEMPT: Final = "fleetwatch.phase.attempt"
ITEMS_IN: Final = "fleetwatch.phase.items.in"
ITEMS_OUT: Final = "fleetwatch.phase.items.out"
ITEMS_EXPECTED: Final = "fleetwatch.phase.items.expected"
WARNINGS: Final = "fleetwatch.phase.warnings"
ARTIFACTS: Final = "fleetwatch.phase.artifacts"
ARTIFACT_SIZE: Final = "fleetwatch.phase.artifacts.size"
ERRORS: Final = "fleetwatch.phase.errors"
SIGNALS: Final = "fleetwatch.phase.signals"
CPU_TIME: Final = "fleetwatch.usage.cpu.time"
MEMORY_PEAK: Final = "fleetwatch.usage.memory.peak"
IO_READ: Final = "fleetwatch.usage.io.read"
IO_WRITTEN: Final = "fleetwatch.usage.io.written"

WHO: Final = frozenset({PIPELINE, RUN, TASK, TASK_RUN, PHASE_OF, ATTEMPT, HOST, PROCESS})
"""Attributes by which a run, a phase, and the process that runs it are known."""
TALLY: Final = frozenset(
    {ITEMS_IN, ITEMS_OUT, ITEMS_EXPECTED, WARNINGS, ARTIFACTS, ARTIFACT_SIZE, ERRORS, SIGNALS}
)  # fmt: skip - one set
USAGE: Final = frozenset({CPU_TIME, MEMORY_PEAK, IO_READ, IO_WRITTEN})

MOST_ENTRIES: Final = 51
"""Types of errors, and signals, of one phase: fifty, and `_other` for the rest, as the instrumentation bounds them."""
MOST_COUNTED: Final = 10**15
"""Items, bytes, warnings …: more is a mistake, and a sum of such numbers still fits into 64 bits."""
LONGEST: Final = 10 * 365 * 86_400
"""Seconds of processor time: a thousand processors for half a week."""
MOST_CORES: Final = 1 << 16
MOST_ATTEMPTS: Final = 10_000
_SECOND: Final = 10**9
_LARGEST: Final = 1e18
"""Of a signal."""

_TOLD_REASONS: Final = frozenset(REASONS) - {"died", "oom_killed", "host_gone", "lost"}
"""Those that a sender may tell; the others are found out."""

Found = Mapping[str, AnyValue]


class Task(NamedTuple):
    """How an execution of a phase is known."""

    phase: str
    subphase: str
    execution: str
    """Empty where not told."""
    attempt: int


def text(found: Found, key: str) -> str:
    """A text, or a number as text, cleaned; empty for anything else."""
    value = found.get(key)
    return plain(value) if value is not None else ""


def amount(value: AnyValue | None, most: float = MOST_COUNTED) -> float | None:
    """A number from 0 to `most`, sent as number or text; None for anything else."""
    if value is None:
        return None
    kind = value.WhichOneof("value")
    if kind == "int_value":
        number = float(value.int_value)
    elif kind == "double_value":
        number = value.double_value
    elif kind == "string_value":
        number = _parsed(value.string_value)
    else:
        return None
    return number if 0 <= number <= most else None


def count(value: AnyValue | None, most: int = MOST_COUNTED) -> int | None:
    """The same as a whole number."""
    number = amount(value, most)
    return int(number) if number is not None else None


def task_of(found: Found, name: str) -> Task:
    """The execution. name: of the phase, or of the sub-phase where `found` says what it is one of."""
    within = text(found, PHASE_OF)
    phase, subphase = (within, name) if within else (name, "")
    return Task(phase, subphase, text(found, TASK_RUN), max(1, count(found.get(ATTEMPT), MOST_ATTEMPTS) or 1))


def usage_of(found: Found) -> Usage | None:
    """None where nothing was told."""
    seconds = amount(found.get(CPU_TIME), LONGEST)
    usage = Usage(
        cpu=round(seconds * _SECOND) if seconds is not None else None,
        memory_peak=count(found.get(MEMORY_PEAK)),
        read=count(found.get(IO_READ)),
        written=count(found.get(IO_WRITTEN)),
    )
    return usage if usage != _NO_USAGE else None


def tally_of(found: Found) -> Tally | None:
    """None where nothing was told."""
    if not found.keys() & TALLY:
        return None
    return Tally(
        items_in=count(found.get(ITEMS_IN)) or 0,
        items_out=count(found.get(ITEMS_OUT)) or 0,
        expected=count(found.get(ITEMS_EXPECTED)),
        warnings=count(found.get(WARNINGS)) or 0,
        artifacts=count(found.get(ARTIFACTS)) or 0,
        artifact_bytes=count(found.get(ARTIFACT_SIZE)) or 0,
        errors=errors_of(found.get(ERRORS)),
        signals=signals_of(found.get(SIGNALS)),
    )


def errors_of(value: AnyValue | None) -> tuple[tuple[str, int], ...]:
    """(error type, number) of texts like `ValueError=3`, sorted; what is not like that is left out."""
    told: dict[str, int] = {}
    for name, number in _entries(value):
        if number.is_integer() and 0 < number <= MOST_COUNTED:
            told.setdefault(name, int(number))
    return tuple(sorted(told.items()))


def signals_of(value: AnyValue | None) -> tuple[tuple[str, float], ...]:
    """(name, value) of texts like `irrigation.events=12.5`, sorted; what is not like that is left out."""
    told: dict[str, float] = {}
    for name, number in _entries(value):
        if is_signal(number):
            told.setdefault(name, number)
    return tuple(sorted(told.items()))


def is_signal(number: float) -> bool:
    return abs(number) <= _LARGEST  # false for what is no number


def reason_of(told: str) -> str:
    """The reason, where it is one that a sender may tell; else empty."""
    return told if told in _TOLD_REASONS else ""


def _entries(value: AnyValue | None) -> Iterator[tuple[str, float]]:
    """(name, number) of the first texts of a list."""
    if value is None:
        return
    for item in value.array_value.values[:MOST_ENTRIES]:
        name, equals, number = item.string_value.rpartition("=")
        name = clean(name)
        if equals and name:
            yield name, _parsed(number)


def _parsed(written: str) -> float:
    """NaN for what is no number, or would take long to read."""
    if len(written) > 40 or "_" in written:
        return math.nan
    try:
        return float(written)
    except ValueError:
        return math.nan


_NO_USAGE: Final = Usage()
