"""Starts the demo's pipeline again and again, as a scheduler does: each run is a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Final

from fleetwatch.demo.pipeline import Order

EVERY: Final = 30.0
"""Seconds from the beginning of a run to that of the next one."""
_PATIENCE: Final = 5.0
"""Seconds that a run has to say how it ended when it is told to end."""


class Jobs:
    """first: the order of the first run; the numbers of the others follow."""

    def __init__(self, first: Order) -> None:
        self._order = first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="jobs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """End the run under way; returns when it has ended."""
        self._stop.set()
        self._thread.join()

    def _play(self) -> None:
        number = self._order.number
        while not self._stop.is_set():
            told = json.dumps(self._order._replace(number=number)._asdict())
            with subprocess.Popen([sys.executable, "-m", "fleetwatch.demo.pipeline", told]) as process:
                self._watch(process)
            number += 1

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Until the next run is due and this one has ended: of one pipeline one runs at a time."""
        self._stop.wait(EVERY / self._order.speed)
        while process.poll() is None and not self._stop.wait(0.2):
            pass
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
