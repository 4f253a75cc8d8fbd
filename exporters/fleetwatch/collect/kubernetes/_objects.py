"""What all objects of the API have, read out of JSON: only the fields that are named here are decoded."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

import msgspec

from fleetwatch.records.kubernetes import Requirement, Selector

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)([numkMGTPE]|[KMGTPE]i)?")
_SUFFIXES = {
    "": 1.0,
    **{suffix: 10.0**power for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)},
    **{f"{suffix}i": 1024.0**power for power, suffix in enumerate("KMGTPE", 1)},
}


MOST = 1e21
"""Of a quantity; the API itself takes none above 2^63, and a sum has to stay finite."""


class Owner(msgspec.Struct):
    kind: str = ""
    controller: bool | None = None


class Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[Owner] | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None


class Status(msgspec.Struct):
    """What the API says where it has no data."""

    code: int = 0
    message: str = ""


class Condition(msgspec.Struct, rename="camel"):
    type: str = ""
    status: str = ""
    reason: str = ""
    last_transition_time: str | None = None


class Expression(msgspec.Struct):
    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class LabelSelector(msgspec.Struct, rename="camel"):
    match_labels: dict[str, str] | None = None
    match_expressions: list[Expression] | None = None


def selector(given: LabelSelector | None) -> Selector:
    """The conditions of a selector; None for none."""
    if given is None:
        return None
    equal = [Requirement(key, "In", frozenset((value,))) for key, value in (given.match_labels or {}).items()]
    more = [
        Requirement(item.key, item.operator, frozenset(item.values or ())) for item in given.match_expressions or ()
    ]
    return (*equal, *more)


def nanoseconds(text: str | None) -> int | None:
    """Unix nanoseconds of an RFC 3339 time; None for none."""
    if not text:
        return None
    at = datetime.fromisoformat(text)
    return int(at.timestamp()) * 10**9 + at.microsecond * 1000


@lru_cache(maxsize=4096)  # a cluster's pods ask for a few dozen different amounts
def quantity(text: str) -> float:
    """Value of a resource quantity: `250m` is 0.25, `1Gi` is 1073741824. Raises ValueError for what is none."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f'expected a quantity like 250m or 1Gi, got "{text:.60}"')
    value = float(found[1]) * _SUFFIXES[found[2] or ""]
    if not abs(value) < MOST:
        raise ValueError(f'expected a quantity below {MOST:g}, got "{text:.60}"')
    return value


GPUS = ("nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "habana.ai/gaudi", "aws.amazon.com/neuron")
"""Names under which whole accelerators are asked for."""


def amounts(resources: dict[str, str] | None) -> tuple[float, float, float]:
    """(cores, bytes, GPUs) of a list of resources."""
    if not resources:
        return (0.0, 0.0, 0.0)
    gpus = sum(quantity(resources[name]) for name in GPUS if name in resources)
    return (quantity(resources.get("cpu", "0")), quantity(resources.get("memory", "0")), gpus)
