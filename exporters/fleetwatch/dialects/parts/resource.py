"""Who sent: the parts of an OpenTelemetry resource that records carry."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

from fleetwatch.dialects.parts.text import UNKNOWN, plain, texts

TEAM_KEYS = ("team", "team.id", "team.name")
_OF_PIPELINE = {
    # field of PipelineRun: attributes, the conventions' own first. The Collector's receiver for GitHub says `status`.
    "pipeline": ("cicd.pipeline.name",),
    "run": ("cicd.pipeline.run.id",),
    "result": ("cicd.pipeline.result", "cicd.pipeline.run.status"),
    "task_run": ("cicd.pipeline.task.run.id",),
    "task_result": ("cicd.pipeline.task.run.result", "cicd.pipeline.run.task.status"),
    "repository": ("vcs.repository.name",),
    "previous": ("cicd.pipeline.run.previous_attempt.url.full",),
}
READ = frozenset(
    {
        *TEAM_KEYS,
        *(key for keys in _OF_PIPELINE.values() for key in keys),
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


class PipelineRun(NamedTuple):
    """What a CI/CD system says of a run in its resource; empty where not told.

    result: of the run, where the whole resource is a report of its end. task_run, task_result: of a task, where it is a
    report of that; `pipeline` is then the task's name. previous: address of the attempt before this one, which has the
    same run id.
    """

    pipeline: str
    run: str
    result: str
    task_run: str
    task_result: str
    repository: str
    previous: str


class Resource(NamedTuple):
    """number: never reused, for look-ups; region: where it runs, or empty; digest: 16 bytes that tell resources apart.

    service: namespace, name and instance id, joined with U+001F. name, host, version, instance: service.name,
    host.name, service.version and service.instance.id (else the process id), or empty. run: None where nothing is told
    of a pipeline.
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
    run: PipelineRun | None


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
        run=_pipeline_run(message),
    )


def _pipeline_run(message: ResourceMessage) -> PipelineRun | None:
    told = {item.key: plain(item.value) for item in message.attributes if item.key.startswith(("cicd.", "vcs."))}
    run = PipelineRun(*(next((told[key] for key in keys if told.get(key)), "") for keys in _OF_PIPELINE.values()))
    return run if any((run.pipeline, run.run, run.task_run)) else None


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
