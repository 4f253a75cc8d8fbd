"""A blocking OTLP/HTTP client: one connection that is kept, one deadline for everything, one plain answer.

No redirects, no proxies: the headers may hold credentials, and these go to the configured host alone.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import cast
from urllib.parse import urlsplit

from fleetwatch import __version__
from fleetwatch.send.answer import MISSET, Answer, judge
from fleetwatch.send.line import Line

__all__ = ["Answer", "Client"]

PROTOBUF = "application/x-protobuf"
ANSWER_BYTES = 64 << 10
"""Head and body of an answer; a sink has no reason to say more."""
WORTH_PACKING = 1024
"""Bytes from which a body is compressed."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OWN = frozenset({"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection"})


class Client:
    """Posts to `base`/v1/<signal>, or to `base` itself where it is `whole`. Belongs to one thread at a time.

    headers: sent with each request and told nowhere. ca_file: PEM of the authorities that are believed instead of the
    system's. timeout: seconds for one post, from connecting to the end of the answer.

    Raises ValueError for an address or header that cannot be sent; the message holds no header's value.
    """

    def __init__(
        self,
        base: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        ca_file: Path | None = None,
        timeout: float = 10.0,
        *,
        whole: bool = False,
    ) -> None:
        parts = urlsplit(base)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("expected an address like http://gateway:4318")
        if parts.username is not None:
            raise ValueError("expected no user or password in the address: put them into a header")
        if not base.isascii() or re.search(r"[\x00-\x20\x7f]", base):
            raise ValueError("expected no spaces or control characters in the address, and ASCII alone")
        if not whole and (parts.query or parts.fragment):
            # It would be lost from the requests, and the address is told in logs.
            raise ValueError("expected nothing behind `?` or `#` in the address: put a key into a header")
        self._host = parts.hostname
        self._tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "") if whole else parts.path
        self._whole = whole
        self._ca_file = ca_file
        self._context: ssl.SSLContext | None = None
        self._timeout = timeout
        self._line: Line | None = None
        self._secrets = tuple(headers.values())
        self._head = _head(parts.netloc, headers)

    def post(self, signal: str, body: bytes, *, gzip: bool = False, content_type: str = PROTOBUF) -> Answer:
        """Send a request. gzip: the body is packed already; else a larger one is packed here.

        Never raises: what keeps the request from being sent or answered is the `why` of "again".
        """
        deadline = time.monotonic() + self._timeout
        if not gzip and len(body) >= WORTH_PACKING:
            body, gzip = _packed(body), True
        path = self._path if self._whole else f"{self._path.rstrip('/')}/v1/{signal}"
        packing = "content-encoding: gzip\r\n" if gzip else ""
        start = f"POST {path} HTTP/1.1\r\ncontent-type: {content_type}\r\n{packing}content-length: {len(body)}\r\n"
        try:
            return self._exchange(start.encode("latin-1") + self._head, body, deadline)
        except ssl.SSLCertVerificationError as error:
            self.close()
            # Whoever mends the file should not have to start us again.
            self._context = None
            why = f"its certificate is not believed: {error.verify_message}"
            return Answer("again", retry_after=MISSET, why=why)
        except TimeoutError:
            self.close()
            return Answer("again", why=f"no answer within {self._timeout:g} s")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Answer("again", why=_trouble(error))

    def close(self) -> None:
        """Let the connection go; the next post makes a new one."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _exchange(self, head: bytes, body: bytes, deadline: float) -> Answer:
        """Send and hear, on the kept connection if it still stands."""
        kept = self._line
        if kept is not None and kept.is_fresh:
            kept.begin(deadline)
            try:
                return self._ask(kept, head, body)
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException):
                # Sinks close connections that were idle; that may cross with our request.
                if kept.heard:
                    raise
        self.close()
        self._line = Line(self._host, self._port, self._trust(), deadline, ANSWER_BYTES)
        return self._ask(self._line, head, body)

    def _ask(self, line: Line, head: bytes, body: bytes) -> Answer:
        unsent: OSError | None = None
        try:
            line.send(head + body if len(body) < 1 << 14 else head)
            if len(body) >= 1 << 14:
                line.send(body)
        except TimeoutError:
            raise
        except OSError as error:
            # A sink may refuse before it has read everything; then the reason is there to be read.
            unsent = error
        response = http.client.HTTPResponse(cast(socket.socket, line), method="POST")
        try:
            response.begin()
        except (OSError, http.client.HTTPException):
            if unsent is not None and not line.heard:
                raise unsent from None
            raise
        content = _content(response)
        # A sink that reads no further or says too much has lost its place in the connection.
        if unsent is not None or line.ended or response.will_close or not response.isclosed():
            self.close()
        response.close()
        named = {name.lower(): value for name, value in response.headers.items()}
        answer = judge(response.status, named, content or b"", self._secrets)
        if content is None and answer.outcome == "accepted":
            # The head says that the sink has the data. Sending them again would count them twice.
            return Answer("accepted", why="the answer was cut")
        return answer

    def _trust(self) -> ssl.SSLContext | None:
        """Who is believed to be the sink. Raises OSError with the file's name."""
        if not self._tls:
            return None
        if self._context is None:
            try:
                context = ssl.create_default_context(cafile=self._ca_file)
            except OSError as error:
                raise OSError(f"{self._ca_file}: expected certificates in PEM: {error}") from None
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._context = context
        return self._context


def _content(response: http.client.HTTPResponse) -> bytes | None:
    """Body of an answer; None for one that was cut."""
    try:
        return response.read(ANSWER_BYTES)
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _head(host: str, headers: Mapping[str, str]) -> bytes:
    """The header fields that are the same in each request. Raises ValueError."""
    lines = [f"host: {host}", f"user-agent: fleetwatch/{__version__}", "accept: application/x-protobuf"]
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or name.lower() in _OWN:
            raise ValueError(
                f"header {name!r}: expected a name that HTTP allows and that is not {', '.join(sorted(_OWN))}"
            )
        if not _VALUE.fullmatch(value):
            raise ValueError(f"header {name}: expected a value of one line in Latin-1")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _trouble(error: Exception) -> str:
    """What went wrong, without what the sink sent."""
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'the connection was cut'}"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed before an answer"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return f"the answer is not HTTP: {type(error).__name__}"


def _packed(body: bytes) -> bytes:
    """gzip, fast: level 9 would take five times as long for a few percent."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
    return deflate.compress(body) + deflate.flush()
