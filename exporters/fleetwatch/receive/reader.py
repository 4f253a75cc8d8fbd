"""Bytes of a connection -> heads and bodies of HTTP/1 requests. httptools refuses what is ambiguous, this the rest.

No upgrade is taken, WebSocket neither: a request that offers one is an ordinary request.
"""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url

_MOST_FIELDS = 128  # each takes 150 bytes, however short it is


class Refused(Exception):  # noqa: N818 - it is the client's error
    """status: of the answer, the last one of the connection."""

    def __init__(self, status: int) -> None:
        self.status = status


class Listener(Protocol):
    """Is told what is read."""

    def begin(self) -> None: ...
    def request(self, scope: dict[str, Any], keep_alive: bool, waits: bool) -> None:
        """The head; scope: the part of ASGI's scope that it tells; waits: for 100 before it sends the body."""

    def part(self, body: bytes) -> None: ...
    def end(self) -> None: ...


class Reader:
    """max_head_bytes: bound of what is no body at a stretch: a head, trailers, what is written beside chunks.

    It is looked at after each feed(): what a single one completes may be larger by that.
    """

    def __init__(self, listener: Listener, max_head_bytes: int) -> None:
        self._listener = listener
        self._max_head_bytes = max_head_bytes
        self._extra = 0
        self._in_head = False
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._waits = False
        self._parser = self._new_parser()

    def _new_parser(self) -> HttpRequestParser:
        parser = HttpRequestParser(self)
        # After the last request of a connection, more bytes are no error: they are not looked at.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def close(self) -> None:
        """End; parser and reader know each other, and would wait for the garbage collector."""
        del self._parser, self._listener

    def feed(self, data: bytes) -> None:
        """Raises Refused; after that, nothing more can be read."""
        self._extra += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as stop:
            # The parser takes the body for the new protocol. So it gets the head again, without the offer.
            fields = [b"%b: %b\r\n" % field for field in self._fields if field[0] != b"upgrade"]
            head = b"%b %b HTTP/1.1\r\n%b\r\n" % (self._parser.get_method(), self._url, b"".join(fields))
            self._parser = self._new_parser()
            self._extra = 0
            self.feed(head + data[stop.args[0] :])
        except HttpParserError as error:
            raise Refused(getattr(error.__context__, "status", 400)) from None
        if self._extra > self._max_head_bytes:
            raise Refused(431)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._url, self._fields, self._waits = b"", [], False
        self._listener.begin()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: the application has seen the head already
        if len(self._fields) >= _MOST_FIELDS:
            raise Refused(431)
        name = name.lower()
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise Refused(501)
        if name == b"expect":
            self._waits = value.lower() == b"100-continue"
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        version, method = self._parser.get_http_version(), self._parser.get_method()
        if version not in ("1.1", "1.0"):
            raise Refused(505)
        if method == b"CONNECT":
            raise Refused(501)
        if self._parser.should_upgrade():
            return
        self._in_head = False
        url = parse_url(self._url)
        raw = url.path or b"/"
        path = raw.decode("ascii")
        scope = {
            "type": "http",
            "http_version": version,
            "method": method.decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw,
            "query_string": url.query or b"",
            "headers": self._fields,
        }
        new = version == "1.1"
        self._listener.request(scope, new and self._parser.should_keep_alive(), new and self._waits)

    def on_body(self, part: bytes) -> None:
        self._extra = 0
        self._listener.part(part)

    def on_message_complete(self) -> None:
        if not self._in_head:
            self._extra = 0
            self._listener.end()
