"""A client of EC2's instance metadata service, version 2: a session token first, then plain GETs over one connection.

Protocol: "Use the Instance Metadata Service to access instance metadata" in the EC2 user guide. No proxy of the
environment, no redirects: what answers must be the machine's own service.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from urllib.parse import urlsplit

SECONDS = 1.0
"""The service is on the machine's own network card; it answers in a millisecond."""

TOKEN_SECONDS = 21600
"""The longest that the service grants."""

_EARLY = 60.0
"""Seconds before its end at which a token is made anew."""

_LARGEST = 16384
_TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path
_TOKEN = re.compile(r"[A-Za-z0-9+/=_.-]{1,1024}", re.ASCII)
# Answers to PUT have a limit of hops of their own; where a container is one hop further, they never arrive.
_HOPS = ": in a container or pod, set the instance's metadata hop limit to 2 or use the host network"


class Unreachable(Exception):  # noqa: N818 - what is unreachable is the service
    """The service does not answer, or not as itself."""


class Unexpected(ValueError):  # noqa: N818 - an answer, not a fault of ours
    """One answer is not what the service gives."""


class Client:
    """One connection and one token, both made anew when they have ended. Not for several threads at once."""

    def __init__(self, address: str, clock: Callable[[], float]) -> None:
        """address: http://HOST or http://HOST:PORT, IPv6 in brackets. Raises ValueError for anything else."""
        parts = urlsplit(address)
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
            raise ValueError(f"host.imds: expected http://ADDRESS or http://ADDRESS:PORT, got {address!r}")
        self._clock = clock
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=SECONDS)
        self._token = ""
        self._made = 0.0
        self._lasts = 0.0

    def get(self, path: str) -> str | None:
        """A value of /latest/meta-data/, None where there is none (404). Raises Unreachable, Unexpected."""
        full = f"/latest/meta-data/{path}"
        for attempt in (1, 2):
            status, body, _ = self._ask("GET", full, {"X-aws-ec2-metadata-token": self._valid_token()})
            if status == 401 and attempt == 1:  # ended early: the machine slept, or its clock was set
                self._token = ""
                continue
            break
        if status == 404:
            return None
        if status != 200:
            raise Unexpected(f"GET {full}: expected status 200 or 404, got {status}: {shown(body)}")
        try:
            return body.decode("ascii").strip()
        except UnicodeDecodeError:
            raise Unexpected(f"GET {full}: expected ASCII text, got {shown(body)}") from None

    def close(self) -> None:
        self._connection.close()

    def __del__(self) -> None:
        """A source that nobody holds any more leaves no socket behind."""
        if hasattr(self, "_connection"):
            self.close()

    def _valid_token(self) -> str:
        age = self._clock() - self._made
        if self._token and 0 <= age < self._lasts - min(_EARLY, self._lasts / 2):
            return self._token
        asked = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
        status, body, granted = self._ask("PUT", _TOKEN_PATH, asked)
        where = f"PUT {_TOKEN_PATH}"
        if status == 403:
            raise Unreachable(
                f"{where}: got status 403: the instance's metadata service is switched off, and no notice of a spot "
                "machine is seen; where that is meant: collect.imds.enabled: false"
            )
        token = body.decode("latin-1").strip()
        if status != 200 or not _TOKEN.fullmatch(token):
            raise Unreachable(f"{where}: expected a token with status 200, got {status}: {shown(body)}")
        self._token, self._made = token, self._clock()
        self._lasts = float(granted) if granted.isascii() and granted.isdigit() else TOKEN_SECONDS
        return token

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes, str]:
        """Status, body, granted seconds of a token. The service may have ended a kept connection: then once more."""
        kept = self._connection.sock is not None
        try:
            return self._once(method, path, headers)
        except (ConnectionError, http.client.BadStatusLine) as error:  # RemoteDisconnected is both
            self.close()
            if not kept:
                raise Unreachable(f"{method} {path}: {error}") from None
        except TimeoutError:
            self.close()
            hint = _HOPS if method == "PUT" else ""
            raise Unreachable(f"{method} {path}: no answer in {SECONDS:g} s{hint}") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(f"{method} {path}: {type(error).__name__}: {error}") from None
        return self._ask(method, path, headers)

    def _once(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes, str]:
        self._connection.request(method, path, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read(_LARGEST + 1)
        if len(body) > _LARGEST:
            self.close()
            raise Unexpected(f"{method} {path}: expected at most {_LARGEST} bytes, got more: {shown(body)}")
        granted = answer.getheader("X-aws-ec2-metadata-token-ttl-seconds") or ""
        if not answer.isclosed():  # exactly _LARGEST bytes: the end has not been seen
            self.close()
        return answer.status, body, granted


def shown(body: bytes) -> str:
    """The beginning of a body, for messages."""
    return repr(body[:60].decode("utf-8", "replace") + ("…" if len(body) > 60 else ""))
