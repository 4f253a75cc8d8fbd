"""Which types of machines fit a workload, by its settings and by the machines that it has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from fleetwatch.records.spot import Instance, Shape

LARGER = 4
"""Times the processors that a workload asks for, above which a type is too large, unless it has such machines: one
interruption would take too much at once."""

_TYPE = re.compile(r"([a-z]+)(\d+)")


class Kind(NamedTuple):
    """What the machines of a workload are like; what stands in for patterns where it has none.

    generation: the oldest, the 7 of `m7g`; families: only these, because GPUs differ too much; empty: any.
    """

    generation: int
    bursts: bool
    is_metal: bool
    families: frozenset[str]


class Need(NamedTuple):
    """What machines of a workload have to be.

    types: patterns as `m7g.*`, any of them; kind: instead of them. vCPUs, memory (bytes) and GPUs are of one machine;
    most_vcpus 0: no limit; architectures: any of them, empty: any at all. most_risk: 0 to 100; rework_hours: hours of
    work that an interruption costs.
    """

    workload: str
    types: tuple[str, ...]
    kind: Kind | None
    least_vcpus: int
    least_memory: int
    most_vcpus: int
    gpus: int
    architectures: frozenset[str]
    most_risk: float
    rework_hours: float


def need_of(
    workload: str,
    instances: Sequence[Instance],
    shapes: Mapping[str, Shape],
    *,
    types: Sequence[str] = (),
    least_vcpus: int = 0,
    least_memory: int = 0,
    most_risk: float,
    rework_hours: float,
) -> Need | None:
    """What a workload needs, by its settings and where they are silent (0, empty) by the machines it has.

    None where neither says how large a machine has to be, or which types may run it. With patterns every architecture
    will do: they are the word of who knows the workload. Without: types like those it has.
    """
    names = sorted({instance.pool.instance_type for instance in instances} & shapes.keys())
    have = [shapes[name] for name in names]
    vcpus = least_vcpus or min((shape.vcpus for shape in have), default=0)
    if vcpus <= 0 or not (types or have):
        return None
    gpus = min((shape.gpus for shape in have), default=0)
    return Need(
        workload,
        tuple(types),
        None if types else _kind(names, gpus),
        vcpus,
        least_memory or min((shape.memory for shape in have), default=0),
        max([LARGER * vcpus, *(shape.vcpus for shape in have)]),
        gpus,
        frozenset() if types else frozenset(shape.architecture for shape in have),
        most_risk,
        rework_hours,
    )


def unfit(need: Need, name: str, shape: Shape) -> str:
    """Why a type is none for the workload, empty where it is: type_excluded, architecture, too_small or too_large.

    Too small is also what has less memory for each unit: prices are compared per unit, and the work that a unit does
    needs its memory.
    """
    if not _is_allowed(need, name, shape):
        return "type_excluded"
    if need.architectures and shape.architecture not in need.architectures:
        return "architecture"
    least_units = need.gpus or need.least_vcpus
    own = units(need, shape)
    if shape.vcpus < need.least_vcpus or own < max(least_units, 1):
        return "too_small"
    if shape.memory < need.least_memory or shape.memory * least_units < need.least_memory * own:
        return "too_small"
    return "too_large" if need.most_vcpus and shape.vcpus > need.most_vcpus else ""


def units(need: Need, shape: Shape) -> int:
    """What prices are compared by: GPUs where the workload needs them, else virtual processors."""
    return shape.gpus if need.gpus else shape.vcpus


def family(instance_type: str) -> str:
    """`m7g` of `m7g.large`."""
    return instance_type.partition(".")[0]


def _kind(names: Sequence[str], gpus: int) -> Kind:
    generations = [told for name in names if (told := _generation(name)) is not None]
    return Kind(
        min(generations, default=0),
        any(_bursts(name) for name in names),
        any(_is_metal(name) for name in names),
        frozenset(map(family, names)) if gpus or not generations else frozenset(),
    )


def _is_allowed(need: Need, name: str, shape: Shape) -> bool:
    if need.types:
        return any(fnmatchcase(name, pattern) for pattern in need.types)
    kind = need.kind
    if kind is None:
        return True
    if kind.families:
        return family(name) in kind.families
    generation = _generation(name)
    return (
        generation is not None
        and generation >= kind.generation
        and not shape.gpus
        and (kind.bursts or not _bursts(name))
        and (kind.is_metal or not _is_metal(name))
    )


def _generation(name: str) -> int | None:
    """7 of `m7g.large`; None of `u-6tb1.metal`."""
    found = _TYPE.match(name)
    return int(found[2]) if found else None


def _bursts(name: str) -> bool:
    """Its processors are lent by credits: a price per processor would mislead."""
    found = _TYPE.match(name)
    return found is not None and found[1] == "t"


def _is_metal(name: str) -> bool:
    """It takes minutes to boot, and not every image does."""
    return ".metal" in name
