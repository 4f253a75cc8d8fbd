"""Refusals are written by hand, and read as the protobuf library reads and writes them."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import Parse
from google.rpc.error_details_pb2 import BadRequest as BadRequestDetail  # type: ignore[import-untyped] # it has no stubs
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # it has no stubs

from fleetwatch.receive.answers import retry_info, status_json, status_of
from fleetwatch.receive.errors import BadRequest, Broken, Refusal, Throttled, TooLarge, TooSlow, Unavailable


@pytest.mark.parametrize(
    "refusal",
    [
        BadRequest("the body is no message: ü"),
        TooLarge("x" * 200),
        TooSlow(""),
        Broken("text"),
        Throttled(2.0),
        Throttled(0.25, "slowly"),
        Unavailable(0.0, "now"),
        Unavailable(3600.000000001),
    ],
    ids=repr,
)
def test_a_status_is_what_the_library_makes_of_it(refusal: Refusal) -> None:
    wanted = Status(code=refusal.code, message=str(refusal))
    if isinstance(refusal, BadRequest):
        violation = BadRequestDetail.FieldViolation(field="body", description=str(refusal))
        wanted.details.add().Pack(BadRequestDetail(field_violations=[violation]))
    if refusal.retry_after_s is not None:
        info = RetryInfo()
        info.retry_delay.FromNanoseconds(int(refusal.retry_after_s * 1e9))
        info.retry_delay.SetInParent()
        wanted.details.add().Pack(info)
        assert RetryInfo.FromString(retry_info(refusal.retry_after_s)) == info
    assert Status.FromString(status_of(refusal)) == wanted
    assert Parse(status_json(refusal), Status()) == wanted
