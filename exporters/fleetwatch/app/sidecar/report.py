"""The sidecar's own series -> sink: always the newest snapshot, on a connection that no backlog holds up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from fleetwatch.app.sidecar.forward import Sink
from fleetwatch.send.client import Client

log = logging.getLogger(__name__)


class Reporter:
    """Sends `snapshot()` every `interval` seconds between start() and stop(). One that fails is not repeated.

    snapshot: a serialized request; called in the reporter's thread.
    """

    def __init__(
        self, snapshot: Callable[[], bytes], connect: Callable[[float | None], Client], sink: Sink, interval: float
    ) -> None:
        self._snapshot = snapshot
        self._connect = connect
        self._sink = sink
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def start(self) -> None:
        """Begin; the first report follows when the sources have had a moment for their first cycle."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing new; one under way is not waited for."""
        self._stopped.set()

    def last(self, body: bytes, within: float, done: Callable[[bool], None]) -> None:
        """Try once to send a last report, in a thread of its own; `done` hears there whether the sink has it."""

        def work() -> None:
            client = self._connect(within)
            try:
                done(client.post("metrics", body).outcome == "accepted")
            except Exception:
                log.exception("the last report failed")
                done(False)
            finally:
                client.close()

        threading.Thread(target=work, name="last report", daemon=True).start()

    def _run(self) -> None:
        client = self._connect(None)
        try:
            self._report(client)
        finally:
            client.close()

    def _report(self, client: Client) -> None:
        told = ""
        due = time.monotonic() + min(1.0, self._interval)
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._interval, time.monotonic())
            try:
                answer = client.post("metrics", self._snapshot())
            except Exception:
                if not self._stopped.is_set():
                    log.exception("a report failed; the next one carries the same totals")
                continue
            self._sink.saw("reports", answer)
            due = max(due, time.monotonic() + (answer.retry_after or 0.0))
            refusal = answer.why if answer.outcome == "refused" else ""
            if refusal and refusal != told:
                log.warning("the sink refuses reports: %s", refusal)
            told = refusal
