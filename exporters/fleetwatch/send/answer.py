"""What a sink's answer means for the data: it has them, send them again, or it will never take them.

OTLP/HTTP 1.x, "Failures": only 429, 502, 503 and 504 are worth a retry. We keep data in more cases: a wrong token or
path is mended by a person within the day, and must not cost that day's data.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

from fleetwatch.wire import fields

LONGEST_WISH = 300.0
"""Seconds of a Retry-After that are believed."""
MISSET = 30.0
"""Seconds until the next try where a person must act first."""
_WORDS = 200
"""Characters of the sink's own words that are told."""
_PIECE = 8
"""Characters of a secret that may not be told."""

_BUSY = frozenset({408, 425, 429, 502, 503, 504})
_ABSENT = frozenset({404, 405, 501})
_MISSET = {
    401: "it wants other credentials",
    402: "it wants to be paid",
    403: "these credentials may not send there",
    404: "nothing takes OTLP at this address",
    405: "nothing takes OTLP at this address",
    407: "a proxy wants credentials",
    421: "the server is not the one that was asked for",
    501: "nothing takes OTLP at this address",
}


class Answer(NamedTuple):
    """rejected: items that the sink did not take of an accepted request. retry_after: seconds, None if it said none.

    absent: there is a server, but nothing of it takes this signal.
    """

    outcome: Literal["accepted", "again", "refused"]
    rejected: int = 0
    retry_after: float | None = None
    why: str = ""
    absent: bool = False


def judge(status: int, headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...] = ()) -> Answer:
    """The meaning of an answer. headers: by names in small letters; secrets: what `why` must not repeat."""
    kind = (headers.get("content-type") or "").partition(";")[0].strip().lower()
    protobuf = kind == "application/x-protobuf"
    if 200 <= status < 300:
        if kind in {"text/html", "application/xhtml+xml"}:
            # Web pages say yes to anything: the data would be gone.
            return Answer("again", retry_after=MISSET, why=f"answered {status} with a web page: no OTLP receiver")
        return _accepted(body, secrets) if protobuf else Answer("accepted")
    if status in _BUSY:
        return Answer("again", retry_after=_wish(headers.get("retry-after")), why=f"answered {status}")
    if status in _MISSET or 300 <= status < 400:
        # The headers may hold credentials, which belong to the host that was configured.
        reason = _MISSET.get(status, "a redirect, which is not followed")
        why = f"answered {status}: {reason}"
        return Answer("again", retry_after=MISSET, why=why, absent=status in _ABSENT)
    if 400 <= status <= 500:
        said = _status_message(body) if protobuf else body.decode("utf-8", "replace") if kind == "text/plain" else ""
        return Answer("refused", why=f"answered {status}{_quoted(said, secrets)}")
    # 5xx of proxies and content networks: the server behind them was not reached, or is full.
    return Answer("again", retry_after=_wish(headers.get("retry-after")) or MISSET, why=f"answered {status}")


def _accepted(body: bytes, secrets: tuple[str, ...]) -> Answer:
    """An ExportXServiceResponse: partial_success (1) with the number of rejected items (1) and a message (2)."""
    rejected, said = 0, ""
    try:
        for number, value in fields(body):
            if number != 1 or not isinstance(value, bytes):
                continue
            for inner, content in fields(value):
                if inner == 1 and isinstance(content, int):
                    # A negative int64 makes no sense here.
                    rejected = content if content < 1 << 63 else 0
                elif inner == 2 and isinstance(content, bytes):
                    said = content.decode("utf-8", "replace")
    except ValueError as error:
        return Answer("accepted", why=f"the answer is no OTLP message: {error}")
    if not rejected and not said:
        return Answer("accepted")
    return Answer("accepted", rejected, why=f"rejected {rejected} items{_quoted(said, secrets)}")


def _status_message(body: bytes) -> str:
    """The message (2) of a google.rpc.Status."""
    try:
        found = [value for number, value in fields(body) if number == 2 and isinstance(value, bytes)]
    except ValueError:
        return ""
    return found[-1].decode("utf-8", "replace") if found else ""


def _quoted(said: str, secrets: tuple[str, ...]) -> str:
    """The sink's words in one short line; nothing at all when they repeat a piece of a secret."""
    for secret in secrets:
        pieces = (secret[at : at + _PIECE] for at in range(max(1, len(secret) - _PIECE + 1)))
        if secret and any(piece in said for piece in pieces):
            return ""
    plain = "".join(letter if letter.isprintable() else " " for letter in said[: 4 * _WORDS])
    plain = " ".join(plain.split())[:_WORDS]
    return f": {plain}" if plain else ""


def _wish(text: str | None) -> float | None:
    """Seconds that a Retry-After asks for: a number or an HTTP date (RFC 9110, 10.2.3)."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    if seconds != seconds:  # noqa: PLR0124 - "nan" is a float, too
        return None
    return min(LONGEST_WISH, max(0.0, seconds))
