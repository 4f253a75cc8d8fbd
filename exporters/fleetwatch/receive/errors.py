"""Why a request was not accepted, and what that means on each transport.

The OpenTelemetry protocol lets a sender repeat a request only after HTTP 429, 502, 503 or 504, or after gRPC's
UNAVAILABLE, DEADLINE_EXCEEDED and the like; RESOURCE_EXHAUSTED only with RetryInfo. Everything else makes
it drop the data. So an error is retryable exactly when the same bytes may be accepted later.
"""

from __future__ import annotations

from typing import ClassVar

# gRPC's statuses by their numbers: its library would double the memory of a process that only speaks HTTP.
_INVALID_ARGUMENT = 3
_DEADLINE_EXCEEDED = 4
_RESOURCE_EXHAUSTED = 8
_UNIMPLEMENTED = 12
_INTERNAL = 13
_UNAVAILABLE = 14
_UNAUTHENTICATED = 16


class Refusal(Exception):  # noqa: N818 - the subclasses are named for what happened; some of them are no errors of ours
    """A request that is not accepted. The text is shown to the sender: it names no content of the request.

    status: value of the label `status`; http: HTTP status; code: gRPC status, as its number; retry_after_s: seconds,
    None for "never".
    """

    status: ClassVar[str]
    http: ClassVar[int]
    code: ClassVar[int]
    retry_after_s: float | None = None


class BadRequest(Refusal):
    status, http, code = "bad_request", 400, _INVALID_ARGUMENT


class Unauthorized(Refusal):
    status, http, code = "unauthorized", 401, _UNAUTHENTICATED


class TooLarge(Refusal):
    # On gRPC RESOURCE_EXHAUSTED would be the word, but some SDKs repeat that one even without RetryInfo.
    status, http, code = "too_large", 413, _INVALID_ARGUMENT


class UnsupportedMethod(Refusal):
    status, http, code = "unsupported", 405, _UNIMPLEMENTED


class NotHere(Refusal):
    """Good, but nobody here takes it."""

    status, http, code = "unsupported", 404, _UNIMPLEMENTED


class UnsupportedType(Refusal):
    status, http, code = "unsupported", 415, _UNIMPLEMENTED


class Broken(Refusal):
    """Our own mistake with these very bytes: repeating them would only fail again."""

    status, http, code = "bad_request", 500, _INTERNAL


class TooSlow(Refusal):
    """The request did not arrive in time.

    503 and not 408: senders drop what was answered with 408, yet the same bytes over a better network are welcome.
    """

    status, http, code = "timeout", 503, _DEADLINE_EXCEEDED
    retry_after_s = 1.0


class _Retryable(Refusal):
    def __init__(self, retry_after_s: float, message: str) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Throttled(_Retryable):
    """The sender is too fast; raised by the sink."""

    status, http, code = "throttled", 429, _RESOURCE_EXHAUSTED

    def __init__(self, retry_after_s: float, message: str = "more records wait than can be committed") -> None:
        super().__init__(retry_after_s, message)


class Unavailable(_Retryable):
    """Nothing can be accepted at the moment, for example because the ledger cannot be written; raised by the sink."""

    status, http, code = "unavailable", 503, _UNAVAILABLE

    def __init__(self, retry_after_s: float, message: str = "records cannot be committed at the moment") -> None:
        super().__init__(retry_after_s, message)
