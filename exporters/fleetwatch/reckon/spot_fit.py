"""Which types of machines fit a workload, by its settings and by the machines that it has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from fleetwatch.records.spot import Instance, Shape

LARGER = 4
"""Times the processors that a workload asks for, above which a type is too large: one interruption would take too much
at once. Nor may one machine be more than half of a workload. What is as large as those that it has is not too large."""
WITH_DISKS = frozenset({"c3", "f1", "g2", "h1", "m3", "r3", "x1", "x1e"})
"""Families with disks of their own whose names do not say so."""

_TYPE = re.compile(r"([a-z-]+)(\d+)([a-z0-9]*)")


class Kind(NamedTuple):
    """What the machines of a workload are like; what stands in for patterns where it has none.

    generation: the oldest, the 7 of `m7g`; series: only these, the `g` of `g5`, because GPUs differ too much; empty:
    any; has_disks: each of its machines has disks of its own.
    """

    generation: int
    series: frozenset[str]
    bursts: bool
    is_metal: bool
    has_disks: bool


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
    used = [instance.pool.instance_type for instance in instances if instance.pool.instance_type in shapes]
    names = sorted(set(used))
    have = [shapes[name] for name in names]
    vcpus = least_vcpus or min((shape.vcpus for shape in have), default=0)
    if vcpus <= 0 or not (types or have):
        return None
    gpus = min((shape.gpus for shape in have), default=0)
    return Need(
        workload,
        tuple(types),
        None if types else _kind(names, has_gpus=gpus > 0),
        vcpus,
        least_memory or min((shape.memory for shape in have), default=0),
        _most_vcpus(vcpus, [shapes[name].vcpus for name in used]),
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


def _most_vcpus(least: int, have: Sequence[int]) -> int:
    return max(*have, min(LARGER * least, sum(have) // 2), least) if have else LARGER * least


def _kind(names: Sequence[str], *, has_gpus: bool) -> Kind:
    told = [_parts(name) for name in names]
    return Kind(
        min((generation for _, generation, _ in told), default=0),
        frozenset(series for series, _, _ in told) if has_gpus else frozenset(),
        any(map(_bursts, names)),
        any(map(_is_metal, names)),
        all(map(_has_disks, names)),
    )


def _is_allowed(need: Need, name: str, shape: Shape) -> bool:
    if need.types:
        return any(fnmatchcase(name, pattern) for pattern in need.types)
    kind = need.kind
    if kind is None:
        return True
    series, generation, _ = _parts(name)
    return (
        generation >= kind.generation
        and (series in kind.series if kind.series else not shape.gpus)
        and (kind.bursts or not _bursts(name))
        and (kind.is_metal or not _is_metal(name))
        and (not kind.has_disks or _has_disks(name))
    )


def _parts(name: str) -> tuple[str, int, str]:
    """(series, generation, what it has besides): m, 7 and gd of `m7gd.large`."""
    found = _TYPE.match(name)
    return (found[1], int(found[2]), found[3]) if found else ("", 0, "")


def _bursts(name: str) -> bool:
    """Its processors are lent by credits: a price per processor would mislead."""
    return _parts(name)[0] == "t"


def _is_metal(name: str) -> bool:
    """It takes minutes to boot, and not every image does."""
    return ".metal" in name


def _has_disks(name: str) -> bool:
    """It has disks of its own, which work may rely on."""
    series, _, besides = _parts(name)
    return series in ("d", "i", "im", "is") or "d" in besides or family(name) in WITH_DISKS
