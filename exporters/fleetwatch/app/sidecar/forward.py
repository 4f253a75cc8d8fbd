"""Spool -> sink, in order, in a thread: joined into larger requests, and tried until the sink has them or refuses."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fleetwatch.receive import Refusal
from fleetwatch.receive.unpack import decompress
from fleetwatch.send.client import PROTOBUF, Answer, Client
from fleetwatch.spool import SIGNALS, Record, Spool, SpoolError

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two tries, doubled each time. What the sink asks for is a minimum."""
JOINED_BYTES, JOINED_ITEMS = 1 << 20, 5000
"""About the size of a request, decompressed; one record may be larger."""
REFUSALS_LOGGED = 60.0
"""Seconds between two lines about refused data."""

JSON = "application/json"


class Sink:
    """Whether the sink takes what it is sent; its changes are logged, one line each.

    waiting: number of items in the spool.
    """

    def __init__(self, name: str, waiting: Callable[[], int] = lambda: 0) -> None:
        self._name = name
        self._waiting = waiting
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._since = 0.0
        self.up: bool | None = None
        """Whether the last attempt of each sender succeeded; None before the first."""

    def saw(self, sender: str, answer: Answer) -> None:
        """Take note of an answer; a refusal is one, too.

        sender: `data` or `reports`. A sink may take the one and not the other, for days: that is one trouble, and
        not a line for each of its answers.
        """
        with self._lock:
            (self._failing.add if answer.outcome == "again" else self._failing.discard)(sender)
            before, self.up = self.up, not self._failing
        if self.up and before is False:
            gone = time.monotonic() - self._since
            log.info("%s takes everything again after %.0f s; %d items wait", self._name, gone, self._waiting())
        elif not self.up and before is not False:
            self._since = time.monotonic()
            kept = "it is kept and tried again" if sender == "data" else "data is kept"
            log.warning("%s does not take %s; %s: %s", self._name, sender, kept, answer.why)


class _Request(NamedTuple):
    """Records as one request. A request joined of serialized ones is their merger: that is how protobuf works."""

    records: Sequence[Record]
    body: bytes
    gzip: bool  # already; else the client does it
    kind: str


class Forwarder:
    """Forwards between start() and stop(). most: bytes that a record may have when decompressed."""

    def __init__(self, spool: Spool, client: Client, sink: Sink, most: int) -> None:
        self._spool = spool
        self._client = client
        self._sink = sink
        self._most = most
        self._more = threading.Event()
        self._stopped = threading.Event()
        self._pause = FIRST_PAUSE
        self._next_line = 0.0
        self._unsaid = 0
        self._alone: set[int] = set()
        """Signals that nothing takes while others are taken."""
        self._thread = threading.Thread(target=self._run, name="forward", daemon=True)

    def start(self) -> None:
        """Begin with what is in the spool."""
        self._thread.start()

    def more(self) -> None:
        """There is something in the spool."""
        self._more.set()

    def stop(self, wait: float = 0.0) -> None:
        """Begin nothing new. A request under way has `wait` seconds; else it stays in the spool."""
        self._stopped.set()
        self._more.set()
        if self._thread.is_alive():
            self._thread.join(wait)

    def _run(self) -> None:
        try:
            self._forward()
        finally:
            self._client.close()

    def _forward(self) -> None:
        while not self._stopped.is_set():
            try:
                self._more.clear()
                records = self._spool.take(JOINED_BYTES, JOINED_ITEMS)
                if records:
                    self._settle(records)
                elif not self._stopped.is_set():  # told before `clear`, nobody would wake us
                    self._more.wait()
            except Exception as error:
                if self._stopped.is_set():
                    return
                # The disk may be ill for a while; whatever else it is must not end the forwarding.
                if isinstance(error, (OSError, SpoolError)):
                    log.warning("the spool cannot be read or settled; tried again in %g s: %s", LONGEST_PAUSE, error)
                else:
                    log.exception("forwarding failed; tried again in %g s", LONGEST_PAUSE)
                self._stopped.wait(LONGEST_PAUSE)

    def _settle(self, records: Sequence[Record]) -> None:
        """Until all are taken, refused, or we are told to stop."""
        singly = False
        while records and not self._stopped.is_set():
            try:
                request = self._joined(records[:1] if singly else records)
            except Refusal as error:  # the bounds are narrower than those under which it was accepted
                request = _Request(records[:1], b"", gzip=False, kind=PROTOBUF)
                self._refused(request, records[0].items, Answer("refused", why=str(error)))
                records = records[1:]
                continue
            answer = self._post(request)
            unwanted = answer.absent and self._is_unwanted(request)
            if answer.outcome == "again" and not unwanted:
                self._wait(answer.retry_after)
                continue
            self._pause = FIRST_PAUSE
            if unwanted:
                self._refused(request, sum(record.items for record in request.records), answer)
            elif answer.outcome == "refused":
                if len(request.records) > 1:
                    singly = True
                    continue
                self._refused(request, sum(record.items for record in request.records), answer)
            elif answer.rejected:
                self._refused(request, answer.rejected, answer)
            else:
                self._spool.done(request.records)
            records = records[len(request.records) :]

    def _post(self, request: _Request) -> Answer:
        answer = self._client.post(
            SIGNALS[request.records[0].signal], request.body, gzip=request.gzip, content_type=request.kind
        )
        self._sink.saw("data", answer)
        if not answer.absent:
            self._alone.discard(request.records[0].signal)
        return answer

    def _is_unwanted(self, request: _Request) -> bool:
        """Whether the sink has no place for this signal but for others, which must not wait for ever behind it.

        Another signal must have been taken between two such answers: what takes nothing is a wrong address, or a sink
        that is just being exchanged. It is asked with an empty request, which is good OTLP and says nothing.
        """
        mine = request.records[0].signal
        if mine in self._alone:
            return True
        others = (name for number, name in enumerate(SIGNALS) if number != mine)
        if any(self._client.post(name, b"").outcome == "accepted" for name in others):
            self._alone.add(mine)
        return False

    def _wait(self, wish: float | None) -> None:
        pause = self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - no secret: many sidecars must not come at once
        self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        if wish is not None:
            pause += wish
        self._stopped.wait(pause)

    def _refused(self, request: _Request, items: int, answer: Answer) -> None:
        self._spool.done(request.records, rejected=items)
        self._unsaid += items
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + REFUSALS_LOGGED
            signal = SIGNALS[request.records[0].signal]
            log.warning("the sink refused %d items (%s), which are lost: %s", self._unsaid, signal, answer.why)
            self._unsaid = 0

    def _joined(self, records: Sequence[Record]) -> _Request:
        """The first of the records as one request of bounded size. Raises Refusal where the first is too large."""
        first = records[0]
        json = first.encoding.startswith("json")
        packing = first.encoding.removeprefix("json").removeprefix("+") or "identity"
        as_it_is = _Request(records[:1], first.body, gzip=True, kind=JSON if json else PROTOBUF)
        if (len(records) == 1 or json) and packing == "gzip":
            return as_it_is
        try:
            # What fills a request by itself is not unpacked to its end: that may be a hundred times its size.
            most = min(self._most, JOINED_BYTES) if packing == "gzip" else self._most
            plain = decompress(first.body, packing.encode(), most)
        except Refusal:
            if packing != "gzip":
                raise
            return as_it_is
        parts = [plain]
        size = len(plain)
        for record in records[1:]:
            try:
                plain = decompress(record.body, record.encoding.encode(), min(self._most, max(0, JOINED_BYTES - size)))
            except Refusal:  # too large for this request, or alone
                break
            size += len(plain)
            parts.append(plain)
        body = b"".join(parts)
        return _Request(records[: len(parts)], body, gzip=False, kind=JSON if json else PROTOBUF)
