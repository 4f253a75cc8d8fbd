from __future__ import annotations

import pytest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

from fleetwatch.dialects.parts import resource
from fleetwatch.dialects.parts.resource import attributes_digest, resource_of
from support_otlp import key_values


def message(**attributes: str) -> ResourceMessage:
    return ResourceMessage(attributes=key_values({name.replace("_", "."): text for name, text in attributes.items()}))


def test_the_service_tells_processes_apart_and_joins_their_signals() -> None:
    one = resource_of(message(service_namespace="shop", service_name="api", service_instance_id="i-1"))
    assert one.service == "shop\x1fapi\x1fi-1"
    assert resource_of(message(service_name="api")).service == "\x1fapi\x1f"


def test_the_same_resource_is_read_once() -> None:
    assert resource_of(message(service_name="once")) is resource_of(message(service_name="once"))


def test_hostile_variety_does_not_grow_the_memory_of_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[bytes, resource.Resource] = {}
    monkeypatch.setattr(resource, "_known", known)
    monkeypatch.setattr(resource, "_MOST", 10)
    numbers = {resource_of(message(service_name=f"api-{number}")).number for number in range(35)}
    assert len(numbers) == 35
    assert len(known) <= 10
    resource_of(message(service_name="x" * 20_000))
    assert max(map(len, known)) < 20_000


def test_a_digest_is_of_the_attributes_and_not_of_their_order() -> None:
    pairs = key_values({"a": "bc", "d": 1})
    assert attributes_digest(pairs) == attributes_digest(pairs[::-1])
    assert attributes_digest(key_values({"ab": "c", "d": 1})) != attributes_digest(pairs)
    assert attributes_digest(key_values({"a": "bc", "d": "1"})) != attributes_digest(pairs)


def test_a_hostile_key_does_not_pass_for_two_attributes() -> None:
    one, two = key_values({"a": "x", "b": "y"})
    joined = KeyValue(key="a" + one.value.SerializeToString().decode() + "b", value=two.value)
    assert attributes_digest([joined]) != attributes_digest([one, two])
