"""How a refusal looks on the wire: google.rpc.Status, as the OpenTelemetry protocol asks for."""

from __future__ import annotations

import json
import math
from typing import Any

from fleetwatch.receive.errors import BadRequest, Refusal
from fleetwatch.wire import field, text, varint

_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def status_of(refusal: Refusal) -> bytes:
    """The status message of both transports, with the details that tell a sender what to do, serialized."""
    out = b"\x08" + varint(refusal.code) + text(2, str(refusal))
    if isinstance(refusal, BadRequest):
        violation = text(1, "body") + text(2, str(refusal))
        out += field(3, _any(_BAD_REQUEST, field(1, violation)))
    if refusal.retry_after_s is not None:
        out += field(3, _any(_RETRY_INFO, retry_info(refusal.retry_after_s)))
    return out


def status_json(refusal: Refusal) -> bytes:
    """The same for a sender that speaks JSON."""
    said = str(refusal)
    details: list[dict[str, Any]] = []
    if isinstance(refusal, BadRequest):
        details.append({"@type": _BAD_REQUEST, "fieldViolations": [{"field": "body", "description": said}]})
    if refusal.retry_after_s is not None:
        whole, nanos = _duration(refusal.retry_after_s)
        delay = f"{whole}.{nanos:09d}".rstrip("0").rstrip(".") if nanos else str(whole)
        details.append({"@type": _RETRY_INFO, "retryDelay": f"{delay}s"})
    status: dict[str, Any] = {"code": refusal.code, "message": said}
    if details:
        status["details"] = details
    return json.dumps(status).encode()


def retry_info(seconds: float) -> bytes:
    """google.rpc.RetryInfo, serialized. Fields that are 0 stay out, as the library has it."""
    whole, nanos = _duration(seconds)
    delay = (b"\x08" + varint(whole) if whole else b"") + (b"\x10" + varint(nanos) if nanos else b"")
    return field(1, delay)


def retry_after(seconds: float) -> bytes:
    """Value of the header Retry-After: whole seconds, at least one."""
    return str(max(1, math.ceil(seconds))).encode()


def _duration(seconds: float) -> tuple[int, int]:
    return divmod(max(0, int(seconds * 1e9)), 10**9)


def _any(kind: str, message: bytes) -> bytes:
    return text(1, kind) + field(2, message)
