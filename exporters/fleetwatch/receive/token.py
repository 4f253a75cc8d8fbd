"""The bearer token that senders must show."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from fleetwatch.receive.errors import Unauthorized

log = logging.getLogger(__name__)

_CHECK_EVERY = 1.0  # seconds; a stat call per request would be cheap on a local disk only


class TokenFile:
    """A token that can be exchanged while we run: the file is read again when it changes.

    A file that vanishes or is empty for a while leaves the last token in force: never an open door.
    Raises ValueError or OSError at first reading.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._seen = self._stamp()
        self._token = self._read()
        self._next_check = clock() + _CHECK_EVERY

    def check(self, authorization: bytes | None) -> None:
        """Raise Unauthorized unless the value of the header field carries the token."""
        import hmac  # noqa: PLC0415 - it loads OpenSSL's hashes, and most sidecars ask for no token

        if self._clock() >= self._next_check:
            self._next_check = self._clock() + _CHECK_EVERY
            self._refresh()
        if authorization is None:
            raise Unauthorized("a bearer token is required")
        scheme, _, shown = authorization.partition(b" ")
        # compare_digest takes the same time wherever the two differ.
        if scheme.lower() != b"bearer" or not hmac.compare_digest(shown.strip(), self._token):
            raise Unauthorized("the bearer token is wrong")

    def _refresh(self) -> None:
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._token = self._read()
                self._seen = stamp
        except (OSError, ValueError) as error:
            log.warning("the last token stays in force: %s", error)

    def _stamp(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _read(self) -> bytes:
        token = self._path.read_bytes().strip()
        if not token:
            raise ValueError(f"{self._path}: expected a token, got an empty file")
        return token
