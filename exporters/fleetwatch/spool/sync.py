"""Forces what was written to the disk, in a thread: one fdatasync for all requests that wait for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

log = logging.getLogger(__name__)


class Syncer:
    """Calls `sync` after something was written: at once, or `interval` seconds later for all that came meanwhile."""

    def __init__(self, sync: Callable[[], None], interval: float) -> None:
        self._sync = sync
        self._interval = interval
        self._changed = threading.Condition()
        self._dirty = False
        self._stopped = threading.Event()
        self._waiting: list[Future[None]] = []
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="spool sync", daemon=True)
        self._thread.start()

    def written(self) -> None:
        """Something is to be synced."""
        with self._changed:
            self._dirty = True
            self._changed.notify()

    def synced(self) -> Future[None]:
        """Done when everything that is written by now is on the disk, or failed with why it is not."""
        done: Future[None] = Future()
        with self._changed:
            self._dirty = True
            self._waiting.append(done)
            self._changed.notify()
        return done

    def stop(self) -> None:
        """Sync a last time what waits, in this thread's time."""
        self._stopped.set()
        with self._changed:
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._dirty and not self._stopped.is_set():
                    self._changed.wait()
                if not self._dirty:
                    return
            if self._interval:
                self._stopped.wait(self._interval)
            with self._changed:
                self._dirty = False
                waiting, self._waiting = self._waiting, []
            # From here on nobody can cancel them: a result for a cancelled one would end this thread.
            self._pass([future for future in waiting if future.set_running_or_notify_cancel()])

    def _pass(self, waiting: list[Future[None]]) -> None:
        try:
            self._sync()
        except OSError as error:
            if not self._failing:
                log.warning("the spool cannot be forced to the disk: %s", error.strerror)
            self._failing = True
            for future in waiting:
                future.set_exception(error)
        else:
            if self._failing:
                log.info("the spool is forced to the disk again")
            self._failing = False
            for future in waiting:
                future.set_result(None)
