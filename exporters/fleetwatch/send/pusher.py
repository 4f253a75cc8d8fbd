"""Pushes a snapshot at a regular pace, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from fleetwatch.send.client import Client

log = logging.getLogger(__name__)


class Pusher:
    """Sends `make()` every `interval` seconds. What fails is not repeated: the next one carries the same totals.

    make: a serialized request of metrics; called in the pusher's thread.
    """

    def __init__(self, make: Callable[[], bytes], client: Client, interval: float) -> None:
        self._make = make
        self._client = client
        self._interval = interval
        self._trouble = ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-export", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the export in progress; a sink that hangs is not waited for."""
        self._stopped.set()
        self._thread.join(timeout=0.5)

    def _run(self) -> None:
        pause = self._interval
        while not self._stopped.wait(pause):
            pause = self._interval
            try:
                answer = self._client.post("metrics", self._make())
            except Exception:
                if not self._stopped.is_set():
                    log.exception("OTLP export failed")
                continue
            if answer.outcome == "again":
                pause = max(pause, answer.retry_after or 0.0)
            self._tell(answer.why)
        self._client.close()

    def _tell(self, why: str) -> None:
        """One line when it begins to fail, when the reason changes, and when it works again."""
        if why == self._trouble:
            return
        self._trouble = why
        if why:
            log.warning("OTLP export was not accepted; the next one carries the same totals: %s", why)
        else:
            log.info("OTLP export is accepted again")
