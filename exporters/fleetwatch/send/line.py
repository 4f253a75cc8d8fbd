"""A connection on which everything together - name, handshake, sending, answer - ends by a deadline.

A socket's own time-out begins anew with every byte: a sink that drips would hold its sender for hours.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
from typing import cast


class Line:
    """One TCP or TLS connection. Raises OSError (TimeoutError, ssl.SSLError) from all of its work.

    most: bytes that are read of one answer; what is longer reads as if it ended there.
    """

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, deadline: float, most: int) -> None:
        self._most = most
        self._left = most
        self._deadline = deadline
        self._answer: io.BufferedReader | None = None
        self.heard = False
        """Whether any byte of the present answer has come."""
        self.ended = False
        """Whether there is no more to read: the other side has closed, or has said all that is listened to."""
        self._socket = self._reach(host, port)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self._socket.settimeout(self._remaining())
                self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except BaseException:
            self._socket.close()
            raise

    def begin(self, deadline: float) -> None:
        """A new request on the same connection."""
        self._deadline = deadline
        self._left = self._most
        self.heard = False

    @property
    def is_fresh(self) -> bool:
        """Whether the other side has neither closed nor said anything unasked."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._socket.settimeout(self._remaining())
            # Not more at once: a TLS socket takes all or nothing before its time-out.
            view = view[self._socket.send(view[:65536]) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client reads an answer from; closing it leaves the connection open."""
        return io.BufferedReader(_Answer(self))

    def read(self, into: memoryview) -> int:
        count = 0
        if self._left:
            self._socket.settimeout(self._remaining())
            count = self._socket.recv_into(into[: self._left])
        self._left -= count
        self.heard = self.heard or count > 0
        self.ended = not count
        return count

    def close(self) -> None:
        self._socket.close()

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        return remaining

    def _reach(self, host: str, port: int) -> socket.socket:
        """The first of the host's addresses that answers. The name's look-up has the system's own time-out."""
        failed: OSError | None = None
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for place, (family, kind, protocol, _, address) in enumerate(found):
            one = socket.socket(family, kind, protocol)
            try:
                # A part of the time each: an address that swallows everything must not hide the others.
                one.settimeout(self._remaining() / (len(found) - place))
                one.connect(address)
            except OSError as error:
                one.close()
                failed = error
            else:
                return one
        raise failed or OSError(f"{host} has no address")


class _Answer(io.RawIOBase):
    def __init__(self, line: Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, into: object) -> int:
        return self._line.read(memoryview(cast(bytearray, into)))
