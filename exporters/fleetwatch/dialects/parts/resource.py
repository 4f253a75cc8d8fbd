"""Who sent: the parts of an OpenTelemetry resource that records carry."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

from fleetwatch.dialects.parts.text import UNKNOWN, texts

TEAM_KEYS = ("team", "team.id", "team.name")
READ = frozenset(
    {
        *TEAM_KEYS,
        "cloud.region",
        "gen_ai.agent.name",
        "host.name",
        "process.pid",
        "service.instance.id",
        "service.name",
        "service.namespace",
        "service.version",
    }
)
"""Attributes that are read one by one; the digest is of all."""

_MOST = 1000
"""Resources remembered: one per process, and a Collector in front of a fleet mixes hundreds in one request."""
_LARGEST = 16_384
"""Bytes of a resource worth remembering; real ones have about 1,000."""


class Resource(NamedTuple):
    """number: never reused, for look-ups; region: where it runs, or empty; digest: 16 bytes that tell resources apart.

    service: namespace, name and instance id, joined with U+001F. name, host, version, instance: service.name,
    host.name, service.version and service.instance.id (else the process id), or empty.
    """

    number: int
    agent: str
    team: str
    region: str
    service: str
    digest: bytes
    name: str
    host: str
    version: str
    instance: str


_numbers = itertools.count()
_known: dict[bytes, Resource] = {}


def resource_of(message: ResourceMessage) -> Resource:
    """The resource, remembered by its bytes."""
    raw = message.SerializeToString(deterministic=True)
    resource = _known.get(raw)
    if resource is None:
        resource = _read(message)
        if len(raw) <= _LARGEST:
            if len(_known) >= _MOST:
                _known.clear()
            _known[raw] = resource
    return resource


def _read(message: ResourceMessage) -> Resource:
    found = texts(message.attributes)
    namespace, name = found.get("service.namespace", ""), found.get("service.name", "")
    team = next((found[key] for key in TEAM_KEYS if key in found), namespace)
    return Resource(
        number=next(_numbers),
        agent=found.get("gen_ai.agent.name", "") or name or UNKNOWN,
        team=team or UNKNOWN,
        region=found.get("cloud.region", ""),
        service="\x1f".join((namespace, name, found.get("service.instance.id", ""))),
        digest=attributes_digest(message.attributes),
        name=name,
        host=found.get("host.name", ""),
        version=found.get("service.version", ""),
        instance=found.get("service.instance.id", "") or _process_id(message),
    )


def _process_id(message: ResourceMessage) -> str:
    return next((str(item.value.int_value) for item in message.attributes if item.key == "process.pid"), "")


def attributes_digest(attributes: Iterable[KeyValue]) -> bytes:
    """16 bytes that are equal for equal attributes in any order."""
    parts = sorted((item.key.encode(), item.value.SerializeToString(deterministic=True)) for item in attributes)
    digest = blake2b(digest_size=16)
    for key, value in parts:
        # Lengths first: ("a", "bc") and ("ab", "c") differ.
        digest.update(b"%d %d " % (len(key), len(value)) + key + value)
    return digest.digest()
