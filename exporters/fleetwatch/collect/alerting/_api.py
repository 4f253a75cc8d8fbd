"""Alertmanager's API v2, of 0.25 and newer: bounded in time and size, no redirects, no proxies.

What it says comes from whoever may write there: senders of alerts, makers of silences. No answer's text is told in
errors.
"""

from __future__ import annotations

import datetime
import http.client
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from fleetwatch.collect.serving._address import Address, address_of

SECONDS: Final = 5.0
"""For one request, from connecting to the end of the answer."""
LARGEST: Final = 16 << 20
"""Bytes of an answer: some 10,000 alerts."""
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,100}")

T = TypeVar("T")


class Access(NamedTuple):
    """Where Alertmanager is. headers: read anew for each request, for secrets change.

    is_named: whether somebody said that it is there; else it is looked for where this machine's would be.
    """

    url: str
    headers: Callable[[], Mapping[str, str]] = dict
    is_named: bool = True


class NoAnswer(Exception):  # noqa: N818 - what is told is that none came
    """Alertmanager did not do what it was asked; the message says why, without headers or its own words."""


class _Status(msgspec.Struct, frozen=True):
    """What keeps an alert quiet, by ids. mutedBy: names of time intervals, since 0.28."""

    silencedBy: tuple[str, ...] | None = None  # noqa: N815 - Alertmanager's name
    inhibitedBy: tuple[str, ...] | None = None  # noqa: N815 - likewise
    mutedBy: tuple[str, ...] | None = None  # noqa: N815 - likewise


class Alert(msgspec.Struct, frozen=True):
    """An alert that fires."""

    labels: dict[str, str]
    startsAt: datetime.datetime  # noqa: N815 - Alertmanager's name
    status: _Status
    annotations: dict[str, str] = {}
    fingerprint: str = ""

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")


class Matcher(msgspec.Struct, frozen=True):
    """isEqual: since 0.22; a silence of an older one has none, which means true."""

    name: str
    value: str
    isRegex: bool = False  # noqa: N815 - Alertmanager's name
    isEqual: bool = True  # noqa: N815 - likewise


class _State(msgspec.Struct, frozen=True):
    state: str


class Silence(msgspec.Struct, frozen=True):
    """A silence; an expired one stays for days."""

    id: str
    status: _State
    matchers: tuple[Matcher, ...]
    startsAt: datetime.datetime  # noqa: N815 - Alertmanager's name
    endsAt: datetime.datetime  # noqa: N815 - likewise
    createdBy: str = ""  # noqa: N815 - likewise
    comment: str = ""

    @property
    def is_over(self) -> bool:
        return self.status.state == "expired"


class _Made(msgspec.Struct, frozen=True):
    silenceID: str  # noqa: N815 - Alertmanager's name


class Api:
    """One Alertmanager. Raises ValueError for an address that is none, NoAnswer from all of its requests."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._address = address_of(access.url, "/")

    def alerts(self) -> list[Alert]:
        """All alerts that fire, muted ones too."""
        return self._asked("GET", "/alerts", list[Alert])

    def silences(self) -> list[Silence]:
        """All silences, those that are over too, as long as they are kept."""
        return self._asked("GET", "/silences", list[Silence])

    def silence(
        self,
        matchers: Mapping[str, str],
        *,
        start: datetime.datetime,
        end: datetime.datetime,
        who: str,
        comment: str,
        instead_of: str = "",
    ) -> str:
        """Make a silence for what has exactly these labels; returns its id. instead_of: one that ends with that."""
        body: dict[str, Any] = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True}
                for name, value in sorted(matchers.items())
            ],
            "startsAt": start,
            "endsAt": end,
            "createdBy": who,
            "comment": comment,
            **({"id": instead_of} if instead_of else {}),
        }
        return self._asked("POST", "/silences", _Made, body).silenceID

    def expire(self, silence: str) -> None:
        """End a silence now."""
        if not _ID.fullmatch(silence):
            raise NoAnswer("the silence has an id that is none")
        self._exchange("DELETE", f"/silence/{quote(silence)}", None)

    def _asked(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        answer = self._exchange(method, path, body)
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise NoAnswer(
                f"{self._address.server}: answered {method} {path} with what is not Alertmanager's"
            ) from None

    def _exchange(self, method: str, path: str, body: object) -> bytes:
        _, server, prefix = self._address
        headers = {**self._access.headers(), "Accept": "application/json", "User-Agent": "fleetwatch"}
        sent = None if body is None else msgspec.json.encode(body)
        if sent is not None:
            headers["Content-Type"] = "application/json"
        try:
            with _connected(self._address) as connection:
                connection.request(method, f"{prefix.rstrip('/')}/api/v2{path}", sent, headers)
                answer = connection.getresponse()
                content = answer.read(LARGEST + 1)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"{server}: {_trouble(error)}") from None
        except ValueError:  # http.client's words hold the header
            raise NoAnswer("alerting: the address or a header of headers_file is not what HTTP allows") from None
        if answer.status != 200:
            raise NoAnswer(f"{server}: answered {answer.status} to {method} {path}{_HINTS.get(answer.status, '')}")
        if len(content) > LARGEST:
            raise NoAnswer(f"{server}: told more than {LARGEST >> 20} MiB")
        return content


@contextmanager
def _connected(address: Address) -> Iterator[http.client.HTTPConnection]:
    """A connection that is cut when its time is over.

    A socket's own time-out begins anew with every byte: who drips would hold us for hours.
    """
    scheme, server, _ = address
    connection = http.client.HTTPConnection(server, timeout=SECONDS)
    if scheme == "https":
        connection = http.client.HTTPSConnection(server, timeout=SECONDS, context=ssl.create_default_context())
    late = threading.Event()
    whole: list[socket.socket] = []

    def cut() -> None:
        late.set()
        # Before it is whole, as TLS begins, the connection has the socket; later on the answer may have it.
        for line in whole or [connection.sock]:
            with suppress(OSError, AttributeError):  # it has ended just now, or has not begun
                line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(SECONDS, cut)
    timer.daemon = True
    try:
        timer.start()
        connection.connect()
        whole.append(connection.sock)
        yield connection
        if late.is_set():  # an answer without a length looks as if it were whole
            raise TimeoutError
    except (OSError, http.client.HTTPException):
        if late.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
        connection.close()


def _trouble(error: Exception) -> str:
    """What went wrong, without what was sent."""
    if isinstance(error, TimeoutError):
        return f"no answer within {SECONDS:g} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'the connection was cut'}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"the answer is not HTTP: {type(error).__name__}"


_HINTS: Final = {
    401: ": it wants a header, name its file in alerting.headers_file",
    403: ": who asks has no right to it",
    404: ": there is no Alertmanager under this path",
}
