"""How a refusal looks on the wire: google.rpc.Status, as the OpenTelemetry protocol asks for."""

from __future__ import annotations

import math

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest as BadRequestDetail  # type: ignore[import-untyped] # it has no stubs
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # it has no stubs

from fleetwatch.receive.errors import BadRequest, Refusal


def status_of(refusal: Refusal) -> Status:
    """The status message of both transports, with the details that tell a sender what to do."""
    text = str(refusal)
    number: int = refusal.code.value[0]
    status = Status(code=number, message=text)
    if isinstance(refusal, BadRequest):
        violation = BadRequestDetail.FieldViolation(field="body", description=text)
        status.details.add().Pack(BadRequestDetail(field_violations=[violation]))
    if refusal.retry_after_s is not None:
        status.details.add().Pack(retry_info(refusal.retry_after_s))
    return status


def retry_info(seconds: float) -> RetryInfo:
    nanos = max(0, int(seconds * 1e9))
    return RetryInfo(retry_delay=Duration(seconds=nanos // 10**9, nanos=nanos % 10**9))


def retry_after(seconds: float) -> bytes:
    """Value of the header Retry-After: whole seconds, at least one."""
    return str(max(1, math.ceil(seconds))).encode()
